//! Names that a majority confirms, as users see them.

use std::time::Duration;

use regatta::cluster::{ConfirmName, ConfirmNameError, OnLoss, Quorum, RegisterGlobalError};
use regatta::{ClusterNode, ExitReason, Identity, Limits, Received, Runtime};

use super::world::{Probe, anywhere, link, run, shared};

/// A node that votes soon after its start.
fn bind(name: &str, identity: &Identity) -> ClusterNode {
    let limits = Limits { lease: Duration::from_millis(400), ..Limits::default() };
    let builder = ClusterNode::builder(name, Runtime::new(), identity).limits(limits);
    builder.bind(anywhere()).expect("the node starts")
}

async fn three() -> [ClusterNode; 3] {
    let identity = shared();
    let nodes = ["a", "b", "c"].map(|name| bind(name, &identity));
    let [a, b, c] = &nodes;
    for (from, to) in [(b, a), (c, a), (c, b)] {
        link(from, to).await;
    }
    nodes
}

fn short() -> ConfirmName {
    ConfirmName { deadline: Some(Duration::from_millis(300)), ..ConfirmName::default() }
}

#[test]
fn a_confirmed_name_has_one_holder_and_each_later_one_a_higher_token() {
    run(async {
        let [a, b, _c] = three().await;
        let (first, second) = (Probe::start(&a), Probe::start(&b));
        let options = ConfirmName::default();
        let token = a.register_global_confirmed("leader", first.pid(), options).await.expect("a majority");
        assert_eq!(a.whereis_global_pid("leader"), Some(first.pid()), "the node reads its own write");
        b.settled(|b| b.fencing_token("leader") == Some(token)).await;
        let taken = b.register_global_confirmed("leader", second.pid(), options).await;
        assert_eq!(taken, Err(ConfirmNameError::Taken { node: "a".to_owned() }));
        let plain = b.try_register_global("leader", second.pid());
        assert_eq!(plain, Err(RegisterGlobalError::Taken { node: "a".to_owned() }));
        // The end of the holder gives the name back at once: nobody waits for a lease to run out.
        first.process.kill();
        b.settled(|b| b.whereis_global("leader").is_none()).await;
        let next = b.register_global_confirmed("leader", second.pid(), options).await.expect("it is free");
        assert!(next > token);
        b.send_global("leader", b"to the holder").await.expect("taken");
    });
}

#[test]
fn without_a_majority_there_is_no_name_and_a_holder_loses_its_own() {
    run(async {
        let [a, b, c] = three().await;
        let (mut told, killed) = (Probe::start(&a), Probe::start(&a));
        let options = ConfirmName::default();
        let token = a.register_global_confirmed("told", told.pid(), options).await.expect("a majority");
        let kill = ConfirmName { on_loss: OnLoss::Kill, ..options };
        a.register_global_confirmed("killed", killed.pid(), kill).await.expect("a majority");
        // Members that left in good order count for two leases still.
        b.shutdown();
        c.shutdown();
        assert_eq!(told.next().await, Received::NameLost { name: "told".parse().expect("a name"), token });
        assert_eq!(killed.process.join().await, ExitReason::Killed);
        assert_eq!((a.whereis_global("told"), a.runtime().whereis("told")), (None, None));
    });
}

#[test]
fn a_node_alone_is_no_majority_of_a_cluster_of_three() {
    run(async {
        let a = bind("a", &shared());
        let probe = Probe::start(&a);
        let of_three =
            ConfirmName { quorum: Quorum::Of(3), deadline: Some(Duration::from_millis(800)), ..short() };
        let alone = a.register_global_confirmed("leader", probe.pid(), of_three).await;
        assert_eq!(alone, Err(ConfirmNameError::NoQuorum { granted: 1, needed: 2 }));
        assert_eq!(a.runtime().whereis("leader"), None, "nothing is left behind");
        let of_one = ConfirmName { quorum: Quorum::Majority, ..ConfirmName::default() };
        a.register_global_confirmed("leader", probe.pid(), of_one).await.expect("alone it is a majority");
        assert!(a.unregister_global("leader"));
        assert_eq!(a.fencing_token("leader"), None);
    });
}

#[test]
fn an_attempt_that_is_given_up_leaves_nothing_behind() {
    run(async {
        let a = bind("a", &shared());
        let (first, second) = (Probe::start(&a), Probe::start(&a));
        let of_three = ConfirmName { quorum: Quorum::Of(3), ..ConfirmName::default() };
        {
            let mut attempt = std::pin::pin!(a.register_global_confirmed("leader", first.pid(), of_three));
            let waits = futures_poll(attempt.as_mut()).await;
            assert!(waits, "there is nobody to ask");
            let taken = a.register_global_confirmed("leader", second.pid(), short()).await;
            assert_eq!(taken, Err(ConfirmNameError::Taken { node: "a".to_owned() }));
        }
        a.register_global_confirmed("leader", second.pid(), ConfirmName::default())
            .await
            .expect("it is free");
        second.process.kill();
        a.settled(|a| a.whereis_global("leader").is_none()).await;
        let dead = a.register_global_confirmed("leader", second.pid(), short()).await;
        assert_eq!(dead, Err(ConfirmNameError::NoProc));
    });
}

/// Polls a future once; whether it waits.
async fn futures_poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> bool {
    std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}
