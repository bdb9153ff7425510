//! What was lost is found again: links, names, and nodes that were started anew.

use std::time::Duration;

use regatta::Limits;
use regatta_proto::host::{Event, NodeChange};
use regatta_proto::testing::{Mesh, Node};

use super::detection::story;
use super::formation::is_full;
use super::world::{EVENTUALLY, SOON, ca, certified, claim, engine, issue, link, mesh, owner};

/// Every node has noticed that it is linked with its own side alone.
fn is_split(mesh: &Mesh, sides: &[&[usize]]) -> bool {
    sides.iter().all(|side| is_full(mesh, side))
}

fn five(seed: u64) -> Mesh {
    let mut mesh = certified(seed, &["a", "b", "c", "d", "e"], &Limits::default());
    for node in 1..5 {
        mesh.connect(node, 0);
    }
    assert!(mesh.run_until(SOON, |mesh| is_full(mesh, &[0, 1, 2, 3, 4])));
    mesh
}

/// What a node knows of the global names.
fn names(mesh: &Mesh, node: usize, all: &[&str]) -> Vec<Option<(String, u64)>> {
    all.iter().map(|name| owner(mesh, node, name)).collect()
}

fn lost_names(node: &Node) -> Vec<u64> {
    let lost = node.host.events.iter().filter_map(|event| match event {
        Event::NameLost { serial, .. } => Some(*serial),
        _ => None,
    });
    lost.collect()
}

#[test]
fn after_a_split_the_mesh_is_whole_within_two_seconds_and_all_see_the_same_names() {
    for seed in 0..6 {
        let mut mesh = five(seed);
        let (left, right): (&[usize], &[usize]) = (&[0, 1], &[2, 3, 4]);
        assert_eq!(claim(&mut mesh, 0, "before", 1), Ok(()));
        mesh.run_for(Duration::from_millis(100));
        mesh.partition(&[left, right]);
        // Not noticed yet: the names of the other side are still there.
        mesh.run_for(Duration::from_secs(1));
        assert_eq!(claim(&mut mesh, 2, "of-c", 2), Ok(()));
        assert!(mesh.run_until(EVENTUALLY, |mesh| is_split(mesh, &[left, right])), "seed {seed}");
        assert_eq!(claim(&mut mesh, 1, "of-b", 3), Ok(()));
        assert_eq!(claim(&mut mesh, 3, "both", 4), Ok(()));
        mesh.run_for(Duration::from_millis(50));
        assert_eq!(claim(&mut mesh, 0, "both", 5), Ok(()), "the other side's claim is not seen");
        mesh.run_for(Duration::from_secs(17));
        mesh.heal();
        assert!(
            mesh.run_until(Duration::from_secs(2), |mesh| is_full(mesh, &[0, 1, 2, 3, 4])),
            "seed {seed}: two seconds after the heal"
        );
        mesh.run_for(Duration::from_millis(100));
        let owners =
            [("a", 1), ("c", 2), ("b", 3), ("d", 4)].map(|(node, serial)| Some((node.into(), serial)));
        for node in 0..5 {
            assert_eq!(
                names(&mesh, node, &["before", "of-c", "of-b", "both"]),
                owners,
                "seed {seed}, node {node}"
            );
            let losers: &[u64] = if node == 0 { &[5] } else { &[] };
            assert_eq!(lost_names(&mesh.nodes[node]), losers, "seed {seed}: the loser is told, once");
        }
    }
}

#[test]
fn a_node_that_is_started_again_is_found_by_those_that_had_it_though_it_dials_nobody() {
    let (ca, mut mesh) = (ca(), mesh(1));
    for (index, name) in ["a", "b", "c"].into_iter().enumerate() {
        mesh.add(engine(name, index as u64 + 1, &issue(&ca, name), Limits::default()));
    }
    link(&mut mesh, 1, 0);
    link(&mut mesh, 2, 0);
    assert!(mesh.run_until(SOON, |mesh| is_full(mesh, &[0, 1, 2])));
    mesh.crash(2);
    assert!(mesh.run_until(EVENTUALLY, |mesh| mesh.nodes[..2].iter().all(|node| node.downs() == 1)));
    mesh.run_for(4 * SOON);
    mesh.restart(2, engine("c", 7, &issue(&ca, "c"), Limits::default()));
    assert!(mesh.run_until(Duration::from_millis(2_100), |mesh| is_full(mesh, &[0, 1, 2])));
    assert_eq!(story(&mesh.nodes[0], "c"), ["suspect", "down", "up"]);
    let starts: Vec<u64> = mesh.nodes[0].node_changes().iter().map(|(_, start, _)| *start).collect();
    assert_eq!(starts.last(), Some(&7));
}

#[test]
fn a_restart_that_one_member_hears_of_is_soon_known_to_all() {
    let (ca, mut mesh) = (ca(), mesh(1));
    for (index, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
        mesh.add(engine(name, index as u64 + 1, &issue(&ca, name), Limits::default()));
    }
    for node in 1..4 {
        link(&mut mesh, node, 0);
    }
    assert!(mesh.run_until(SOON, |mesh| is_full(mesh, &[0, 1, 2, 3])));
    let start = mesh.elapsed();
    // Nobody has noticed that it was gone when it is back.
    mesh.restart(3, engine("d", 9, &issue(&ca, "d"), Limits::default()));
    mesh.connect(3, 0);
    let knows = |node: &Node| node.engine.links().any(|link| link.peer.incarnation.raw() == 9);
    assert!(mesh.run_until(SOON, |mesh| mesh.nodes[..3].iter().all(knows)));
    assert!(mesh.elapsed() - start < Duration::from_millis(1_500), "{:?}", mesh.elapsed() - start);
    mesh.run_for(4 * SOON);
    assert!(is_full(&mesh, &[0, 1, 2, 3]));
    for node in &mesh.nodes[..3] {
        assert_eq!(node.downs(), 1, "its earlier start went down, once");
    }
}

#[test]
fn a_node_that_said_goodbye_is_not_dialled_again() {
    let mut mesh = five(1);
    mesh.act(4, |now, engine, host| engine.shutdown(now, host));
    assert!(mesh.run_until(SOON, |mesh| is_full(mesh, &[0, 1, 2, 3])));
    mesh.run_for(Duration::from_secs(30));
    let before = mesh.nodes[4].engine.stats().datagrams_received;
    mesh.run_for(Duration::from_secs(600));
    assert_eq!(mesh.nodes[4].engine.stats().datagrams_received, before, "nobody calls");
    for node in &mesh.nodes[..4] {
        let last = node.node_changes().pop();
        assert_eq!(last, Some(("e".into(), 5, NodeChange::Left)));
    }
}

#[test]
fn a_node_that_is_cut_off_for_long_is_found_within_the_patient_pause() {
    let mut mesh = five(1);
    mesh.partition(&[&[0, 1, 2, 3], &[4]]);
    mesh.run_for(Duration::from_secs(3_600));
    assert!(is_split(&mesh, &[&[0, 1, 2, 3], &[4]]));
    mesh.heal();
    assert!(mesh.run_until(Duration::from_secs(31), |mesh| is_full(mesh, &[0, 1, 2, 3, 4])));
}

#[test]
fn a_cut_of_two_nodes_leaves_the_others_alone_and_heals() {
    let mut mesh = five(1);
    mesh.cut(0, 1);
    mesh.cut(1, 0);
    assert!(mesh.run_until(EVENTUALLY, |mesh| mesh.nodes[0].downs() == 1 && mesh.nodes[1].downs() == 1));
    mesh.run_for(Duration::from_secs(60));
    assert!(mesh.nodes[2..].iter().all(|node| node.downs() == 0));
    mesh.heal();
    assert!(mesh.run_until(Duration::from_secs(2), |mesh| is_full(mesh, &[0, 1, 2, 3, 4])));
    assert_eq!(mesh.nodes[0].downs(), 1);
}
