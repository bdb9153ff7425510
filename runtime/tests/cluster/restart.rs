//! A node that was started again: pids of its earlier start are told apart.

use regatta::cluster::NodeSendError;
use regatta::{ClusterCa, ExitReason, Received, SendError};

use super::world::{Probe, bind, link, run};

#[test]
fn pids_of_an_earlier_start_are_stale_as_soon_as_the_later_one_is_linked() {
    run(async {
        let ca = ClusterCa::generate().expect("a CA");
        let [a_id, b_id] = ["a", "b"].map(|name| ca.issue(name).expect("a certificate"));
        let (a, b) = (bind("a", &a_id), bind("b", &b_id));
        link(&a, &b).await;
        let old = Probe::start(&b);
        b.shutdown();
        a.settled(|a| a.peers().is_empty()).await;
        assert_eq!(a.runtime().send(old.pid(), "x").await, Err(SendError::NoConnection));

        let again = bind("b", &b_id);
        link(&again, &a).await;
        assert_eq!(a.runtime().send(old.pid(), "x").await, Err(SendError::StaleIncarnation));
        let mut probe = Probe::start(&a);
        let reference = a.runtime().monitor(probe.pid(), old.pid()).expect("the probe lives");
        let down = Received::Down { reference, pid: old.pid(), reason: ExitReason::NoProc };
        assert_eq!(probe.next().await, down, "gone for good, not merely out of reach");
        let mut new = Probe::start(&again);
        a.runtime().send(new.pid(), "to the new start").await.expect("accepted");
        assert_eq!(new.message().await, "to the new start");
    });
}

#[test]
fn sends_by_name_follow_the_link_that_is_there_whoever_used_this_thread_before() {
    run(async {
        let ca = ClusterCa::generate().expect("a CA");
        let ids = ["a", "b", "c"].map(|name| ca.issue(name).expect("a certificate"));
        let (a, b, c) = (bind("a", &ids[0]), bind("b", &ids[1]), bind("c", &ids[2]));
        link(&a, &b).await;
        link(&c, &b).await;
        let mut first = Probe::start(&b);
        b.runtime().register("probe", first.pid()).expect("the name is free");
        // Two nodes in turn, on one thread, with a link each to the node of the same name.
        for text in ["1", "2"] {
            a.send("b", "probe", text.as_bytes()).await.expect("linked");
            assert_eq!(first.message().await, text);
            c.send("b", "probe", text.as_bytes()).await.expect("linked");
            assert_eq!(first.message().await, text);
        }
        b.shutdown();
        a.settled(|a| !a.peers().iter().any(|peer| peer == "b")).await;
        let lost = a.send("b", "probe", b"lost").await;
        assert!(matches!(lost, Err(NodeSendError::NoConnection { .. })), "{lost:?}");

        let again = bind("b", &ids[1]);
        let mut second = Probe::start(&again);
        again.runtime().register("probe", second.pid()).expect("the name is free");
        link(&again, &a).await;
        a.send("b", "probe", b"to the new start").await.expect("linked");
        assert_eq!(second.message().await, "to the new start");
    });
}
