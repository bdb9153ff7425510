//! Global names, as users see them.

use regatta::ClusterNode;
use regatta::cluster::{NodeSendError, RegisterGlobalError};

use super::world::{Probe, bind, link, pair, run, shared};

async fn sees(node: &ClusterNode, name: &str, holder: Option<&str>) {
    node.settled(|node| node.whereis_global(name).as_deref() == holder).await;
}

#[test]
fn names_registered_before_and_after_the_link_are_known_on_all_nodes() {
    run(async {
        let identity = shared();
        let nodes = ["a", "b", "c"].map(|name| bind(name, &identity));
        let [a, b, c] = &nodes;
        let (early, late) = (Probe::start(a), Probe::start(b));
        assert!(a.register_global("early", early.pid()));
        assert_eq!(a.whereis_global("early").as_deref(), Some("a"), "the node reads its own write");
        for (from, to) in [(b, a), (c, a), (c, b)] {
            link(from, to).await;
        }
        assert!(b.register_global("late", late.pid()));
        for node in &nodes {
            sees(node, "early", Some("a")).await;
            sees(node, "late", Some("b")).await;
            assert_eq!(node.whereis_global_pid("late"), Some(late.pid()));
            let both = [("early", "a"), ("late", "b")].map(|(name, at)| (name.to_owned(), at.to_owned()));
            assert_eq!(node.global_names(), both);
        }
    });
}

#[test]
fn a_message_to_a_global_name_reaches_its_holder_from_every_node() {
    run(async {
        let (a, b) = pair().await;
        let mut probe = Probe::start(&a);
        assert!(a.register_global("svc", probe.pid()));
        sees(&b, "svc", Some("a")).await;
        b.send_global("svc", b"from afar").await.expect("accepted");
        assert_eq!(probe.message().await, "from afar");
        a.send_global("svc", b"from here").await.expect("taken");
        assert_eq!(probe.message().await, "from here");
        b.send("a", "svc", b"by its node").await.expect("accepted");
        assert_eq!(probe.message().await, "by its node", "a global name is a local one too");
    });
}

#[test]
fn a_name_is_withdrawn_when_its_process_ends_and_may_be_taken_anew() {
    run(async {
        let (a, b) = pair().await;
        let (first, mut second) = (Probe::start(&a), Probe::start(&b));
        assert!(a.register_global("svc", first.pid()));
        sees(&b, "svc", Some("a")).await;
        let taken = b.try_register_global("svc", second.pid());
        assert_eq!(taken, Err(RegisterGlobalError::Taken { node: "a".to_owned() }));
        first.process.kill();
        first.process.join().await;
        sees(&b, "svc", None).await;
        let nobody = b.send_global("svc", b"x").await;
        assert_eq!(nobody, Err(NodeSendError::NoName { name: "svc".to_owned() }));
        assert!(b.register_global("svc", second.pid()));
        sees(&a, "svc", Some("b")).await;
        a.send_global("svc", b"to the new holder").await.expect("accepted");
        assert_eq!(second.message().await, "to the new holder");
    });
}

#[test]
fn only_a_live_process_of_the_node_can_be_registered_there() {
    run(async {
        let (a, b) = pair().await;
        let (dead, far) = (Probe::start(&a), Probe::start(&b));
        dead.process.kill();
        dead.process.join().await;
        assert_eq!(a.try_register_global("svc", dead.pid()), Err(RegisterGlobalError::NoProc));
        assert_eq!(a.try_register_global("svc", far.pid()), Err(RegisterGlobalError::NoProc));
        let no_name = a.try_register_global("", dead.pid());
        assert!(matches!(no_name, Err(RegisterGlobalError::BadName(_))), "{no_name:?}");
        assert_eq!(a.global_names(), []);
    });
}

#[test]
fn a_name_that_is_given_up_is_free_on_all_nodes() {
    run(async {
        let (a, b) = pair().await;
        let probe = Probe::start(&a);
        assert!(a.register_global("svc", probe.pid()));
        sees(&b, "svc", Some("a")).await;
        assert!(!b.unregister_global("svc"), "only its own node gives it up");
        assert!(a.unregister_global("svc"));
        assert!(!a.unregister_global("svc"));
        sees(&b, "svc", None).await;
        let local = a.runtime().send_named("svc", "x");
        assert_eq!(local, Err(regatta::SendError::NoProc), "the local name goes with it");
    });
}

#[test]
fn two_nodes_that_claim_one_name_before_they_meet_agree_on_one_owner() {
    run(async {
        let identity = shared();
        let (a, b) = (bind("a", &identity), bind("b", &identity));
        let (of_a, of_b) = (Probe::start(&a), Probe::start(&b));
        assert!(a.register_global("svc", of_a.pid()));
        assert!(b.register_global("svc", of_b.pid()));
        link(&a, &b).await;
        // Whichever claim is the earlier, one of the two nodes must change its mind.
        let (mut seen_by_a, mut seen_by_b) = (a.changes(), b.changes());
        let owner = loop {
            let owners = (a.whereis_global_pid("svc"), b.whereis_global_pid("svc"));
            if owners.0 == owners.1 {
                break owners.0.expect("a name that two claim has an owner");
            }
            tokio::select! {
                changed = seen_by_a.changed() => changed.expect("it runs"),
                changed = seen_by_b.changed() => changed.expect("it runs"),
            }
        };
        assert!([of_a.pid(), of_b.pid()].contains(&owner));
        assert!(
            a.runtime().is_alive(of_a.pid()) && b.runtime().is_alive(of_b.pid()),
            "nobody is ended for it"
        );
    });
}
