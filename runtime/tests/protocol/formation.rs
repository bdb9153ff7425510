//! How a cluster forms: through any member, at once or one after another, and with those that stand apart.

use std::time::Duration;

use regatta::{ClusterCa, Limits};
use regatta_proto::engine::{EngineConfig, Membership, Standing};
use regatta_proto::host::NodeChange;
use regatta_proto::testing::{Mesh, Path};

use super::world::{self, SOON, ca, certified, engine, issue, link, mesh};

/// Whether every node is linked with every other.
pub(crate) fn is_full(mesh: &Mesh, nodes: &[usize]) -> bool {
    nodes.iter().all(|node| mesh.nodes[*node].links().len() == nodes.len() - 1)
}

/// Links there are, each counted once; panics if the two ends of one do not agree on who dialled.
fn count_links(mesh: &Mesh) -> usize {
    let ends: Vec<bool> =
        mesh.nodes.iter().flat_map(|node| node.engine.links()).map(|link| link.dialed).collect();
    let dialed = ends.iter().filter(|dialed| **dialed).count();
    assert_eq!(2 * dialed, ends.len(), "each link has one dialer");
    dialed
}

pub(crate) fn names(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("n{index:03}")).collect()
}

fn world(seed: u64, count: usize) -> Mesh {
    let names = names(count);
    certified(seed, &names.iter().map(String::as_str).collect::<Vec<_>>(), &Limits::default())
}

#[test]
fn nodes_that_all_know_one_member_become_a_full_mesh() {
    for seed in 0..8 {
        let mut mesh = world(seed, 8);
        mesh.path = Path {
            latency: Duration::from_millis(2),
            jitter: Duration::from_millis(4),
            loss_permille: if seed % 2 == 0 { 20 } else { 0 },
        };
        let all: Vec<usize> = (0..8).collect();
        for node in 1..8 {
            mesh.connect(node, 0);
        }
        assert!(mesh.run_until(2 * SOON, |mesh| is_full(mesh, &all)), "seed {seed}");
        mesh.run_for(SOON);
        assert!(is_full(&mesh, &all), "seed {seed}");
        assert_eq!(count_links(&mesh), 28, "seed {seed}");
        for node in &mesh.nodes {
            assert_eq!(node.downs(), 0, "seed {seed}: no link gave way after it was up");
            let ups = node.node_changes();
            assert_eq!(ups.len(), 7, "seed {seed}: each other node came up once");
            assert!(ups.iter().all(|(_, _, change)| *change == NodeChange::Up), "seed {seed}: {ups:?}");
        }
    }
}

#[test]
fn a_newcomer_learns_of_all_through_whomever_it_dials() {
    for seed_node in [0, 3, 6] {
        let mut mesh = world(1, 8);
        // A chain: each knows the one before it.
        for node in 1..7 {
            link(&mut mesh, node, node - 1);
        }
        let seven: Vec<usize> = (0..7).collect();
        assert!(mesh.run_until(SOON, |mesh| is_full(mesh, &seven)));
        mesh.connect(7, seed_node);
        let all: Vec<usize> = (0..8).collect();
        let start = mesh.elapsed();
        assert!(mesh.run_until(SOON, |mesh| is_full(mesh, &all)), "through {seed_node}");
        assert!(mesh.elapsed() - start < Duration::from_secs(1), "{:?}", mesh.elapsed() - start);
    }
}

#[test]
fn two_clusters_become_one_when_any_two_of_their_nodes_link() {
    let mut mesh = world(1, 8);
    for node in [1, 2, 3] {
        link(&mut mesh, node, 0);
    }
    for node in [5, 6, 7] {
        link(&mut mesh, node, 4);
    }
    link(&mut mesh, 6, 2);
    let all: Vec<usize> = (0..8).collect();
    assert!(mesh.run_until(SOON, |mesh| is_full(mesh, &all)));
    assert_eq!(count_links(&mesh), 28);
}

#[test]
fn fifty_nodes_that_start_at_once_have_all_1225_links_within_five_seconds_and_none_twice() {
    let mut mesh = world(1, 50);
    mesh.path.latency = Duration::from_millis(1);
    for node in 1..50 {
        mesh.connect(node, 0);
    }
    let all: Vec<usize> = (0..50).collect();
    assert!(mesh.run_until(Duration::from_secs(5), |mesh| is_full(mesh, &all)));
    assert_eq!(count_links(&mesh), 1_225);
    mesh.run_for(SOON);
    for node in &mesh.nodes {
        let stats = node.engine.stats();
        assert_eq!((stats.links_up, stats.links_down, stats.handshakes_refused), (49, 0, 0));
    }
}

/// A node of `ca` with choices of its own.
fn with(ca: &ClusterCa, name: &str, incarnation: u64, membership: Membership) -> EngineConfig {
    EngineConfig { membership, ..engine(name, incarnation, &issue(ca, name), Limits::default()) }
}

fn standings(mesh: &Mesh, node: usize) -> Vec<(String, Standing)> {
    let members = mesh.nodes[node].engine.members();
    members.map(|member| (member.id.name.to_string(), member.standing)).collect()
}

#[test]
fn a_node_that_does_not_connect_to_all_knows_of_all_and_links_with_whom_it_dials() {
    let (ca, mut mesh) = (ca(), mesh(1));
    for (index, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
        let membership = Membership { connect_all: name != "d", ..Membership::default() };
        mesh.add(with(&ca, name, index as u64 + 1, membership));
    }
    for node in 1..4 {
        link(&mut mesh, node, 0);
    }
    mesh.run_for(SOON);
    assert_eq!(mesh.nodes[3].links().len(), 1);
    assert!([0, 1, 2].into_iter().all(|node| mesh.nodes[node].link("d").is_some() == (node == 0)));
    let heard = |name: &str| (name.to_owned(), Standing::Heard);
    assert_eq!(standings(&mesh, 3), [("a".into(), Standing::Up), heard("b"), heard("c")]);
    assert!(standings(&mesh, 1).contains(&heard("d")));
    link(&mut mesh, 3, 2);
    assert_eq!(mesh.nodes[3].links().len(), 2);
}

#[test]
fn a_hidden_node_is_known_only_to_those_it_is_linked_with() {
    let (ca, mut mesh) = (ca(), mesh(1));
    for (index, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
        let membership = Membership { hidden: name == "d", ..Membership::default() };
        mesh.add(with(&ca, name, index as u64 + 1, membership));
    }
    for node in 1..4 {
        link(&mut mesh, node, 0);
    }
    mesh.run_for(SOON);
    assert_eq!(mesh.nodes[3].links().len(), 1, "it dials only whom it is told to");
    assert_eq!(mesh.nodes[0].links().len(), 3);
    for node in [1, 2] {
        assert!(standings(&mesh, node).iter().all(|(name, _)| name != "d"));
    }
}

#[test]
fn members_are_dialled_at_the_address_that_they_advertise() {
    let (ca, mut mesh) = (ca(), mesh(1));
    mesh.add(with(&ca, "a", 1, Membership::default()));
    // Nobody is there: only where it is seen, after where it says.
    let elsewhere = Membership { addrs: vec![([10, 9, 9, 9], 1).into()], ..Membership::default() };
    mesh.add(with(&ca, "b", 2, elsewhere));
    mesh.add(with(&ca, "c", 3, Membership::default()));
    link(&mut mesh, 1, 0);
    mesh.connect(2, 0);
    assert!(
        mesh.run_until(SOON, |mesh| is_full(mesh, &[0, 1, 2])),
        "b can still dial c, which is where it says"
    );
    let b = mesh.nodes[0].engine.members().find(|member| member.id.name.as_str() == "b").expect("known");
    assert_eq!(b.addrs, [([10, 9, 9, 9], 1).into()]);
    // Lost, it is found again where it was seen.
    mesh.partition(&[&[1]]);
    assert!(mesh.run_until(world::EVENTUALLY, |mesh| mesh.nodes[0].downs() == 1));
    mesh.heal();
    assert!(mesh.run_until(2 * SOON, |mesh| is_full(mesh, &[0, 1, 2])));
}

#[test]
fn a_dial_for_one_node_does_not_link_with_another_that_took_its_address() {
    let (ca, mut mesh) = (ca(), mesh(1));
    for (index, name) in ["a", "b"].into_iter().enumerate() {
        mesh.add(with(&ca, name, index as u64 + 1, Membership::default()));
    }
    link(&mut mesh, 0, 1);
    mesh.restart(1, with(&ca, "x", 9, Membership::default()));
    assert!(mesh.run_until(world::EVENTUALLY, |mesh| mesh.nodes[0].downs() == 1));
    mesh.run_for(4 * SOON);
    assert_eq!(mesh.nodes[0].links(), [], "x is dialled for b, and is not b");
    let refused = mesh.nodes[1].engine.stats().handshakes_refused;
    assert!((1..=3).contains(&refused), "and a no is not asked for again at once: {refused}");
}
