//! Global names between nodes: told on connect and on change, withdrawn with their process or their link.

use std::time::Duration;

use regatta::Limits;
use regatta_proto::host::{ClaimError, ConflictPolicy, Event};
use regatta_proto::testing::{Mesh, Node};

use super::world::{SOON, certified, claim, claim_as, link, linked_pair, owner};

fn all_see(name: &'static str, holder: Option<(&'static str, u64)>) -> impl Fn(&Mesh) -> bool {
    move |mesh| {
        let expected = holder.map(|(node, serial)| (node.to_owned(), serial));
        (0..mesh.nodes.len()).all(|node| owner(mesh, node, name) == expected)
    }
}

/// The processes of a node that keep a name against another claim, with that.
fn keepers(node: &Node) -> Vec<(u64, u64)> {
    let kept = node.host.events.iter().filter_map(|event| match event {
        Event::NameKept { serial, loser, .. } => Some((*serial, loser.pid.serial())),
        _ => None,
    });
    kept.collect()
}

/// The processes of a node that lost a name to an earlier claim.
fn losers(node: &Node) -> Vec<u64> {
    let lost = node.host.events.iter().filter_map(|event| match event {
        Event::NameLost { serial, .. } => Some(*serial),
        _ => None,
    });
    lost.collect()
}

#[test]
fn names_claimed_before_and_after_the_link_are_known_at_both_ends() {
    let mut mesh = certified(1, &["a", "b"], &Limits::default());
    assert_eq!(claim(&mut mesh, 0, "early-a", 1), Ok(()));
    assert_eq!(claim(&mut mesh, 1, "early-b", 2), Ok(()));
    link(&mut mesh, 0, 1);
    assert!(mesh.run_until(SOON, all_see("early-a", Some(("a", 1)))));
    assert!(mesh.run_until(SOON, all_see("early-b", Some(("b", 2)))));
    assert_eq!(claim(&mut mesh, 1, "late-b", 3), Ok(()));
    assert!(mesh.run_until(SOON, all_see("late-b", Some(("b", 3)))));
    let taken = claim(&mut mesh, 0, "late-b", 4).expect_err("it is held");
    assert_eq!((taken.node.as_str(), taken.pid.serial()), ("b", 3));
}

#[test]
fn a_name_is_withdrawn_with_its_process_and_can_be_claimed_by_another_node() {
    let mut mesh = linked_pair(1);
    assert_eq!(claim(&mut mesh, 0, "svc", 1), Ok(()));
    assert_eq!(claim(&mut mesh, 0, "other", 2), Ok(()));
    assert!(mesh.run_until(SOON, all_see("other", Some(("a", 2)))));
    mesh.act(0, |now, engine, host| engine.process_ended(now, 1, host));
    assert!(mesh.run_until(SOON, all_see("svc", None)));
    assert_eq!(claim(&mut mesh, 1, "svc", 9), Ok(()));
    assert!(mesh.run_until(SOON, all_see("svc", Some(("b", 9)))));
    assert!(all_see("other", Some(("a", 2)))(&mesh), "the other process keeps its name");
}

#[test]
fn the_names_of_a_lost_node_vanish_and_no_others() {
    let mut mesh = certified(1, &["a", "b", "c"], &Limits::default());
    for (from, to) in [(0, 1), (0, 2), (1, 2)] {
        link(&mut mesh, from, to);
    }
    assert_eq!(claim(&mut mesh, 1, "of-b", 1), Ok(()));
    assert_eq!(claim(&mut mesh, 2, "of-c", 1), Ok(()));
    assert!(mesh.run_until(SOON, all_see("of-b", Some(("b", 1)))));
    assert!(mesh.run_until(SOON, all_see("of-c", Some(("c", 1)))));
    mesh.crash(1);
    let gone = |mesh: &Mesh| [0, 2].into_iter().all(|node| owner(mesh, node, "of-b").is_none());
    assert!(mesh.run_until(12 * SOON, gone));
    assert!(all_see("of-c", Some(("c", 1)))(&mesh));
    assert_eq!(claim(&mut mesh, 0, "of-b", 5), Ok(()), "the name is free");
}

#[test]
fn of_two_claims_for_one_name_the_earlier_wins_at_both_ends() {
    for (early, late) in [(0, 1), (1, 0)] {
        for dialer in [0, 1] {
            let what = format!("node {early} claims first, node {dialer} dials");
            let mut mesh = certified(1, &["a", "b"], &Limits::default());
            assert_eq!(claim(&mut mesh, early, "svc", 10), Ok(()));
            mesh.run_for(Duration::from_millis(5));
            assert_eq!(claim(&mut mesh, late, "svc", 20), Ok(()));
            link(&mut mesh, dialer, 1 - dialer);
            let winner = (["a", "b"][early], 10);
            assert!(mesh.run_until(SOON, all_see("svc", Some(winner))), "{what}");
            mesh.run_for(SOON);
            assert!(all_see("svc", Some(winner))(&mesh), "{what}: it stays so");
            assert_eq!(losers(&mesh.nodes[late]), [20], "{what}: the loser's node is told once");
            assert_eq!(losers(&mesh.nodes[early]), [0; 0], "{what}");
            assert_eq!(keepers(&mesh.nodes[early]), [(10, 20)], "{what}: and so is the winner's");
            assert_eq!(keepers(&mesh.nodes[late]), [], "{what}");
            mesh.act(early, |now, engine, host| engine.process_ended(now, 10, host));
            assert!(mesh.run_until(SOON, all_see("svc", None)), "{what}: the lost claim does not come back");
        }
    }
}

#[test]
fn two_claims_that_cross_on_a_link_end_with_one_owner() {
    let mut mesh = linked_pair(1);
    mesh.path.latency = Duration::from_millis(50);
    assert_eq!(claim(&mut mesh, 1, "svc", 20), Ok(()));
    mesh.run_for(Duration::from_millis(10));
    assert_eq!(claim(&mut mesh, 0, "svc", 10), Ok(()), "it has not heard of the other claim yet");
    assert!(mesh.run_until(SOON, all_see("svc", Some(("b", 20)))));
    assert_eq!(losers(&mesh.nodes[0]), [10]);
    assert_eq!(losers(&mesh.nodes[1]), [0; 0]);
}

#[test]
fn a_third_node_sees_the_same_winner_whatever_it_hears_first() {
    for order in [[1, 2], [2, 1]] {
        let mut mesh = certified(1, &["a", "b", "c"], &Limits::default());
        assert_eq!(claim(&mut mesh, 1, "svc", 10), Ok(()));
        mesh.run_for(Duration::from_millis(5));
        assert_eq!(claim(&mut mesh, 2, "svc", 20), Ok(()));
        for peer in order {
            link(&mut mesh, 0, peer);
        }
        let b_wins = Some(("b".to_owned(), 10));
        let seen = |mesh: &Mesh| owner(mesh, 0, "svc") == b_wins;
        assert!(mesh.run_until(SOON, seen), "order {order:?}");
        link(&mut mesh, 1, 2);
        assert!(mesh.run_until(SOON, all_see("svc", Some(("b", 10)))), "order {order:?}");
    }
}

#[test]
fn a_node_claims_no_more_than_its_peers_take_and_keeps_its_links() {
    let limits = Limits { names_per_peer_max: 10, ..Limits::default() };
    let mut mesh = certified(1, &["a", "b"], &limits);
    link(&mut mesh, 0, 1);
    for serial in 1..=9 {
        assert_eq!(claim(&mut mesh, 0, &format!("svc/{serial}"), serial), Ok(()));
    }
    let join = |mesh: &mut Mesh, serial| {
        let group = "g".parse().expect("a name");
        mesh.act(0, |now, engine, _| engine.set_membership(now, group, serial, 1));
    };
    join(&mut mesh, 1);
    // That was the tenth.
    join(&mut mesh, 2);
    let more = claim_as(&mut mesh, 0, "one-more", 10, ConflictPolicy::default());
    assert_eq!(more, Err(ClaimError::TooMany { max: 10 }));
    assert_eq!(mesh.nodes[0].engine.stats().memberships_untold, 1);
    mesh.run_for(SOON);
    assert_eq!(mesh.nodes[0].engine.stats().links_down, 0);
    assert_eq!(owner(&mesh, 1, "svc/9"), Some(("a".to_owned(), 9)));
    mesh.act(0, |now, engine, host| engine.process_ended(now, 1, host));
    assert_eq!(claim(&mut mesh, 0, "one-more", 10), Ok(()), "there is room again");
}
