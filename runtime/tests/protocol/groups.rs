//! Memberships of groups between engines: told on connect and on change, gone with their node, equal after a heal.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use regatta::Limits;
use regatta_proto::host::Event;
use regatta_proto::link::outgoing::Encoded;
use regatta_proto::signal::{Signal, Target};
use regatta_proto::testing::Mesh;

use super::world::{EVENTUALLY, SOON, certified, link, linked_pair};

fn set(mesh: &mut Mesh, node: usize, group: &str, serial: u64, count: u32) {
    let group = group.parse().expect("a name");
    mesh.act(node, |now, engine, _| engine.set_membership(now, group, serial, count));
}

/// What a node's program was told of the members on other nodes: group and process, with how often it is one.
fn members(mesh: &Mesh, node: usize) -> BTreeMap<(String, u64, u64), u32> {
    let mut members = BTreeMap::new();
    for event in &mesh.nodes[node].host.events {
        if let Event::Member { group, pid, count } = event {
            members.insert((group.to_string(), pid.incarnation().raw(), pid.serial()), *count);
        }
    }
    members.retain(|_, count| *count > 0);
    members
}

fn sees(node: usize, expected: &[(&str, u64, u64, u32)]) -> impl Fn(&Mesh) -> bool {
    let expected: BTreeMap<_, _> = expected
        .iter()
        .map(|(group, incarnation, serial, count)| (((*group).to_owned(), *incarnation, *serial), *count))
        .collect();
    move |mesh| members(mesh, node) == expected
}

#[test]
fn memberships_from_before_and_after_the_link_are_known_at_both_ends() {
    let mut mesh = certified(1, &["a", "b"], &Limits::default());
    set(&mut mesh, 0, "g", 5, 2);
    link(&mut mesh, 0, 1);
    assert!(mesh.run_until(SOON, sees(1, &[("g", 1, 5, 2)])));
    set(&mut mesh, 1, "g", 7, 1);
    assert!(mesh.run_until(SOON, sees(0, &[("g", 2, 7, 1)])));
    set(&mut mesh, 0, "g", 5, 1);
    assert!(mesh.run_until(SOON, sees(1, &[("g", 1, 5, 1)])));
    set(&mut mesh, 0, "g", 5, 0);
    assert!(mesh.run_until(SOON, sees(1, &[])));
}

#[test]
fn the_members_of_a_lost_node_vanish_and_come_back_with_it() {
    let mut mesh = certified(2, &["a", "b", "c"], &Limits::default());
    (1..3).for_each(|from| link(&mut mesh, from, 0));
    set(&mut mesh, 1, "g", 1, 1);
    set(&mut mesh, 2, "g", 1, 1);
    assert!(mesh.run_until(SOON, sees(0, &[("g", 2, 1, 1), ("g", 3, 1, 1)])));
    mesh.partition(&[&[0, 1], &[2]]);
    assert!(mesh.run_until(2 * SOON, sees(0, &[("g", 2, 1, 1)])));
    assert!(mesh.run_until(2 * SOON, sees(2, &[])));
    // What changes meanwhile on both sides is known to all after the heal.
    set(&mut mesh, 1, "g", 1, 3);
    set(&mut mesh, 2, "h", 4, 1);
    mesh.heal();
    let whole = sees(0, &[("g", 2, 1, 3), ("g", 3, 1, 1), ("h", 3, 4, 1)]);
    assert!(mesh.run_until(2 * SOON, whole), "{:?}", members(&mesh, 0));
    assert!(mesh.run_until(SOON, sees(2, &[("g", 2, 1, 3)])));
}

#[test]
fn after_any_changes_over_a_bad_path_all_nodes_see_the_same_members() {
    for seed in 0..4 {
        let mut mesh = certified(seed, &["a", "b", "c", "d"], &Limits::default());
        (1..4).for_each(|from| link(&mut mesh, from, 0));
        mesh.path.loss_permille = 100;
        mesh.path.jitter = Duration::from_millis(20);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut truth: BTreeMap<(String, u64, u64), u32> = BTreeMap::new();
        for _ in 0..300 {
            let (node, group) = (random.usize(0..4), format!("g{}", random.u8(0..3)));
            let (serial, count) = (random.u64(1..4), random.u32(0..3));
            set(&mut mesh, node, &group, serial, count);
            truth.insert((group, node as u64 + 1, serial), count);
            mesh.run_for(Duration::from_millis(random.u64(0..40)));
        }
        truth.retain(|_, count| *count > 0);
        let of_others = |node: usize| {
            let mut all = truth.clone();
            all.retain(|(_, incarnation, _), _| *incarnation != node as u64 + 1);
            all
        };
        let converged = |mesh: &Mesh| (0..4).all(|node| members(mesh, node) == of_others(node));
        assert!(mesh.run_until(EVENTUALLY, converged), "seed {seed}");
    }
}

#[test]
fn a_message_to_a_group_is_encoded_once_and_arrives_whole_whatever_its_size() {
    let mut mesh = linked_pair(3);
    for (n, size) in [0, 100, 65_536, 65_537, 500_000].into_iter().enumerate() {
        let body = Bytes::from(vec![n as u8; size]);
        let message = Encoded::new(3, "g".parse().expect("a name"), body.clone());
        mesh.send(0, "b", |outgoing| {
            outgoing.encoded(&message).expect("it fits");
        });
        let to = Target::Group("g".parse().expect("a name"));
        let arrived = |mesh: &Mesh| mesh.nodes[1].host.delivered.len() == n + 1;
        assert!(mesh.run_until(SOON, arrived), "{size} bytes");
        let (from, target, signal) = mesh.nodes[1].host.delivered.last().expect("just seen");
        assert_eq!((from.serial(), target, signal), (3, &to, &Signal::Message(body)));
    }
}
