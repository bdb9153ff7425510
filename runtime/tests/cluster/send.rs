//! Messages across nodes: by name, by pid and by handle, in both directions.

use regatta::cluster::NodeSendError;
use regatta::{Bytes, Limits, SendError};

use super::world::{Probe, anywhere, bind, link, pair, run, shared};

#[test]
fn messages_by_name_and_by_pid_arrive_in_both_directions() {
    run(async {
        let (a, b) = pair().await;
        for (from, to) in [(&a, &b), (&b, &a)] {
            let mut probe = Probe::start(to);
            to.runtime().register("svc", probe.pid()).expect("the name is free");
            from.send(to.name(), "svc", b"by name").await.expect("accepted");
            assert_eq!(probe.message().await, "by name");
            from.runtime().send(probe.pid(), "by pid").await.expect("accepted");
            assert_eq!(probe.message().await, "by pid");
            from.runtime().try_send(probe.pid(), "without a wait").expect("accepted");
            assert_eq!(probe.message().await, "without a wait");
        }
    });
}

#[test]
fn the_handle_of_a_dial_sends_to_its_peer() {
    run(async {
        let identity = shared();
        let (a, b) = (bind("a", &identity), bind("b", &identity));
        let mut probe = Probe::start(&b);
        b.runtime().register("svc", probe.pid()).expect("the name is free");
        let remote = a.connect(b.local_addr().expect("it runs")).await.expect("linked");
        assert_eq!((remote.name(), remote.id()), ("b", b.id()));
        remote.send("svc", b"through the handle").await.expect("accepted");
        assert_eq!(probe.message().await, "through the handle");
    });
}

#[test]
fn a_send_to_its_own_node_needs_no_link() {
    run(async {
        let a = bind("a", &shared());
        let mut probe = Probe::start(&a);
        a.runtime().register("svc", probe.pid()).expect("the name is free");
        a.send("a", "svc", b"to myself").await.expect("taken");
        assert_eq!(probe.message().await, "to myself");
        let nobody = a.send("a", "nobody", b"x").await;
        let local = NodeSendError::Local { name: "nobody".to_owned(), source: SendError::NoProc };
        assert_eq!(nobody, Err(local));
    });
}

#[test]
fn what_cannot_be_sent_is_an_error_that_says_why() {
    run(async {
        let (a, b) = pair().await;
        let nowhere = a.send("nowhere", "svc", b"x").await;
        assert_eq!(nowhere, Err(NodeSendError::NoConnection { node: "nowhere".to_owned() }));
        let nobody = a.send_global("nobody", b"x").await;
        assert_eq!(nobody, Err(NodeSendError::NoName { name: "nobody".to_owned() }));
        assert!(matches!(a.send("b", "", b"x").await, Err(NodeSendError::BadName(_))));

        let max = Limits::default().message_bytes_max;
        let large = vec![0; max + 1];
        let refused = a.send("b", "svc", &large).await;
        assert_eq!(refused, Err(NodeSendError::TooLarge { node: "b".to_owned(), len: max + 1, max }));
        let probe = Probe::start(&b);
        let refused = a.runtime().send(probe.pid(), large).await;
        assert_eq!(refused, Err(SendError::TooLarge { len: max + 1, max }));
        assert_eq!(a.peers(), ["b"], "none of it touches the link");
    });
}

#[test]
fn a_pid_of_a_node_that_is_not_linked_is_no_connection() {
    run(async {
        let identity = shared();
        let (a, b) = (bind("a", &identity), bind("b", &identity));
        let probe = Probe::start(&b);
        assert_eq!(a.runtime().send(probe.pid(), "x").await, Err(SendError::NoConnection));
    });
}

#[test]
fn a_message_of_the_largest_size_arrives_whole_and_in_its_place() {
    run(async {
        let (a, b) = pair().await;
        let mut probe = Probe::start(&b);
        let to = probe.pid();
        let large: Bytes = (0..Limits::default().message_bytes_max).map(|at| (at % 251) as u8).collect();
        let sent = large.clone();
        let sender = a.runtime().spawn(move |ctx| async move {
            for body in [Bytes::from_static(b"before"), sent, Bytes::from_static(b"after")] {
                ctx.send(to, body).await.expect("accepted");
            }
        });
        assert_eq!(probe.message().await, "before");
        assert!(probe.message().await == large, "the large body is whole");
        assert_eq!(probe.message().await, "after");
        sender.join().await;
    });
}

#[test]
fn a_flood_waits_for_room_and_arrives_complete_and_in_order() {
    run(async {
        // A small queue, so that senders meet its bound over and over again.
        let limits = Limits { queue_bytes_high: 8 * 1024, queue_bytes_low: 2 * 1024, ..Limits::default() };
        let identity = shared();
        let b = bind("b", &identity);
        let a = regatta::ClusterNode::builder("a", regatta::Runtime::new(), &identity);
        let a = a.limits(limits).bind(anywhere()).expect("the node starts");
        link(&a, &b).await;
        let mut probe = Probe::start(&b);
        let to = probe.pid();
        for sender in 0..4_u32 {
            a.runtime().spawn(move |ctx| async move {
                for number in 0..5_000_u32 {
                    let body = [sender.to_be_bytes(), number.to_be_bytes()].concat();
                    ctx.send(to, body).await.expect("it waits, and is accepted");
                }
            });
        }
        let mut next = [0_u32; 4];
        for _ in 0..20_000 {
            let body = probe.message().await;
            let word = |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().expect("four bytes"));
            let sender = word(0) as usize;
            assert_eq!(word(4), next[sender], "sender {sender}");
            next[sender] += 1;
        }
        assert_eq!(next, [5_000; 4]);
    });
}
