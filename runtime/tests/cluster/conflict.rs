//! Two nodes have claimed one global name before they met.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use regatta::cluster::{Keep, OnConflict};
use regatta::{ClusterNode, ExitReason, Pid, Received};

use super::world::{Probe, bind, link, run, shared};

/// Nodes that have claimed `svc` apart from each other, `early` first, and meet now.
struct Clash {
    early: (ClusterNode, Probe),
    late: (ClusterNode, Probe),
}

impl Clash {
    async fn of(early: OnConflict, late: OnConflict) -> Self {
        let identity = shared();
        let [early, late] = [("early", early), ("late", late)].map(|(name, on_conflict)| {
            let node = bind(name, &identity);
            let probe = Probe::start(&node);
            node.try_register_global_with("svc", probe.pid(), on_conflict).expect("nobody else is known");
            // Of two claims of one millisecond, that of the lower incarnation would be the earlier one.
            let before = node.runtime().clock().unix_us() / 1_000;
            while node.runtime().clock().unix_us() / 1_000 == before {
                std::thread::yield_now();
            }
            (node, probe)
        });
        link(&early.0, &late.0).await;
        Self { early, late }
    }

    /// Waits until both nodes see this one process as the holder, and its node alone answers to the name.
    async fn goes_to(&self, winner: Pid) {
        for node in [&self.early.0, &self.late.0] {
            node.settled(|node| node.whereis_global_pid("svc") == Some(winner)).await;
            let here = (node.runtime().whereis("svc") == Some(winner))
                || winner.incarnation() != node.id().incarnation;
            assert!(here, "the holder answers to the name on its own node");
        }
    }
}

fn conflict(other: Pid, kept: bool) -> Received {
    Received::NameConflict { name: "svc".parse().expect("a name"), other, kept }
}

#[test]
fn the_loser_is_told_once_and_the_winner_only_if_it_asked_for_that() {
    run(async {
        let mut clash = Clash::of(OnConflict::NotifyBoth, OnConflict::NotifyLoser).await;
        let (early, late) = (clash.early.1.pid(), clash.late.1.pid());
        assert_eq!(clash.late.1.next().await, conflict(early, false));
        assert_eq!(clash.early.1.next().await, conflict(late, true));
        clash.goes_to(early).await;
        assert_eq!(clash.late.0.runtime().whereis("svc"), None, "it answers to the name no more");
        // Whatever else might have been said comes before the next message.
        clash.early.0.send_global("svc", b"last").await.expect("taken");
        assert_eq!(clash.early.1.message().await, "last");
        clash.late.0.runtime().send(late, "last").await.expect("taken");
        assert_eq!(clash.late.1.message().await, "last");
    });
}

#[test]
fn a_loser_that_asked_to_be_killed_is() {
    run(async {
        let clash = Clash::of(OnConflict::default(), OnConflict::KillLoser).await;
        clash.goes_to(clash.early.1.pid()).await;
        assert_eq!(clash.late.1.process.join().await, ExitReason::Killed);
    });
}

#[test]
fn the_resolver_of_the_earlier_claim_decides_which_one_stays() {
    for keep in [Keep::Mine, Keep::Other] {
        run(async move {
            let asked = Arc::new(AtomicUsize::new(0));
            let (count, never) = (Arc::clone(&asked), OnConflict::resolve(|_| panic!("it is not asked")));
            let early = OnConflict::resolve(move |conflict| {
                count.fetch_add(1, Ordering::Relaxed);
                assert_eq!((conflict.name.as_str(), &*conflict.other_node), ("svc", "late"));
                keep
            });
            let mut clash = Clash::of(early, never).await;
            let (early, late) = (clash.early.1.pid(), clash.late.1.pid());
            if keep == Keep::Mine {
                assert_eq!(clash.late.1.next().await, conflict(early, false));
                clash.goes_to(early).await;
            } else {
                assert_eq!(clash.early.1.next().await, conflict(late, false));
                clash.goes_to(late).await;
            }
            assert_eq!(asked.load(Ordering::Relaxed), 1, "it is asked once");
        });
    }
}

#[test]
fn a_resolver_that_panics_leaves_the_name_where_it_is() {
    run(async {
        let panics = || OnConflict::resolve(|_| panic!("the program is wrong"));
        let mut clash = Clash::of(panics(), panics()).await;
        let early = clash.early.1.pid();
        assert_eq!(clash.late.1.next().await, conflict(early, false));
        clash.goes_to(early).await;
    });
}
