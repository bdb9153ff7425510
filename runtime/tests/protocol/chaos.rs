//! Random faults, from a seed: whatever happens, the cluster is whole soon after the last one is over.
//!
//! `REGATTA_SEEDS=200 cargo nextest run -p regatta --test protocol chaos` plays more of them than the suite does.

use std::collections::BTreeSet;
use std::time::Duration;

use regatta::Limits;
use regatta_proto::host::{Event, NodeChange};
use regatta_proto::testing::{Mesh, Path};

use super::detection::agree;
use super::formation::{is_full, names};
use super::world::{SOON, ca, claim, engine, issue, mesh};

const NODES: usize = 9;
/// How long one fault lasts.
const TURN: Duration = Duration::from_secs(5);
/// How many there are: five minutes of them.
const TURNS: usize = 60;

fn seeds() -> u64 {
    std::env::var("REGATTA_SEEDS").map_or(4, |seeds| seeds.parse().expect("a number of seeds"))
}

/// What one turn does to the network or to a node.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Each node falls on one of two sides.
    Split,
    Isolate(usize),
    Cut(usize, usize),
    CutOneWay(usize, usize),
    Pause(usize),
    Restart(usize),
    Nothing,
}

fn fault(random: &mut fastrand::Rng) -> Fault {
    let (one, other) = (random.usize(0..NODES), random.usize(1..NODES));
    let other = (one + other) % NODES;
    match random.u8(0..10) {
        0..4 => Fault::Split,
        4 => Fault::Isolate(one),
        5 => Fault::Cut(one, other),
        6 => Fault::CutOneWay(one, other),
        7 => Fault::Pause(one),
        8 => Fault::Restart(one),
        _ => Fault::Nothing,
    }
}

/// The owners of all names that a node knows, in the order of the names.
fn registry(mesh: &Mesh, node: usize) -> Vec<(String, Option<(String, u64)>)> {
    let contested = (0..4).map(|n| format!("contested/{n}"));
    let own = (0..NODES).map(|n| format!("own/{n}"));
    contested.chain(own).map(|name| (name.clone(), super::world::owner(mesh, node, &name))).collect()
}

/// Claims that succeeded on a node since it started, less those that it lost again: the names that it holds.
fn held(mesh: &Mesh, node: usize) -> BTreeSet<String> {
    let mut held = BTreeSet::new();
    let me = mesh.nodes[node].engine.id().name.clone();
    for event in &mesh.nodes[node].host.events {
        match event {
            Event::Name { name, owner: Some(owner) } if owner.node == me => {
                held.insert(name.to_string());
            }
            Event::NameLost { name, .. } => assert!(held.remove(name.as_str()), "told once of {name}"),
            _ => {}
        }
    }
    held
}

#[test]
fn after_five_minutes_of_random_faults_all_agree_within_five_seconds() {
    for seed in 0..seeds() {
        play(seed);
    }
}

fn play(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (ca, mut mesh) = (ca(), mesh(seed));
    let names = names(NODES);
    let identities: Vec<_> = names.iter().map(|name| issue(&ca, name)).collect();
    for (index, name) in names.iter().enumerate() {
        mesh.add(engine(name, index as u64 + 1, &identities[index], Limits::default()));
    }
    mesh.path = Path {
        latency: Duration::from_millis(2),
        jitter: Duration::from_millis(3),
        loss_permille: if seed.is_multiple_of(2) { 0 } else { 20 },
    };
    let all: Vec<usize> = (0..NODES).collect();
    for node in 1..NODES {
        mesh.connect(node, 0);
    }
    assert!(mesh.run_until(2 * SOON, |mesh| is_full(mesh, &all)), "seed {seed}");
    let mut incarnation = 100;
    for turn in 0..TURNS {
        let fault = fault(&mut random);
        let sides: Vec<bool> = all.iter().map(|_| random.bool()).collect();
        match fault {
            Fault::Split => {
                let side =
                    |of: bool| all.iter().copied().filter(|node| sides[*node] == of).collect::<Vec<_>>();
                mesh.partition(&[&side(true), &side(false)]);
            }
            Fault::Isolate(one) => mesh.partition(&[&[one]]),
            Fault::Cut(one, other) => {
                mesh.cut(one, other);
                mesh.cut(other, one);
            }
            Fault::CutOneWay(one, other) => mesh.cut(one, other),
            Fault::Pause(one) => mesh.pause(one),
            Fault::Restart(one) => {
                incarnation += 1;
                mesh.restart(one, engine(&names[one], incarnation, &identities[one], Limits::default()));
                // As a member that starts does: it dials some other.
                mesh.connect(one, (one + 1) % NODES);
            }
            Fault::Nothing => {}
        }
        mesh.run_for(TURN / 2);
        for n in 0..4 {
            let node = random.usize(0..NODES);
            // Somebody may hold it, as the node sees it.
            let _ = claim(&mut mesh, node, &format!("contested/{n}"), turn as u64 + 1);
        }
        for node in 0..NODES {
            let _ = claim(&mut mesh, node, &format!("own/{node}"), 1_000 + turn as u64);
        }
        if random.bool() {
            let (node, ends) = (random.usize(0..NODES), random.u64(0..turn as u64 + 1));
            mesh.act(node, |now, engine, host| engine.process_ended(now, ends, host));
        }
        mesh.run_for(TURN / 2);
        mesh.heal();
        if let Fault::Pause(one) = fault {
            mesh.resume(one);
        }
        // Now and then there is peace for a while.
        if random.u8(0..4) == 0 {
            mesh.run_for(TURN);
        }
    }
    let whole = |mesh: &Mesh| {
        let first = registry(mesh, 0);
        is_full(mesh, &all) && agree(mesh, &all) && all.iter().all(|node| registry(mesh, *node) == first)
    };
    let converged = mesh.run_until(SOON, whole);
    assert!(converged, "seed {seed}: {}", differences(&mesh));
    // It stays so, and nobody is found down any more.
    let before = downs(&mesh);
    mesh.run_for(Duration::from_secs(60));
    assert!(whole(&mesh), "seed {seed}");
    assert_eq!(downs(&mesh), before, "seed {seed}");
    for (name, owner) in registry(&mesh, 0) {
        if let Some((owner, _)) = owner {
            let holders = all.iter().filter(|node| names[**node] == owner).count();
            assert_eq!(holders, 1, "seed {seed}: {name} has one owner");
        }
    }
    for node in &all {
        let unheld: Vec<String> = registry(&mesh, *node)
            .into_iter()
            .filter(|(_, owner)| owner.as_ref().is_some_and(|(owner, _)| *owner == names[*node]))
            .map(|(name, _)| name)
            .filter(|name| !held(&mesh, *node).contains(name))
            .collect();
        assert_eq!(unheld, Vec::<String>::new(), "seed {seed}: {} was told that it lost", names[*node]);
    }
}

/// In what the nodes differ, for whoever reads why a run failed.
fn differences(mesh: &Mesh) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for (index, node) in mesh.nodes.iter().enumerate() {
        let (links, (members, cuts)) = (node.links().len(), super::detection::view(mesh, index));
        let members = members.len();
        let odd: Vec<_> =
            std::iter::zip(registry(mesh, index), registry(mesh, 0)).filter(|(a, b)| a != b).collect();
        let line = writeln!(
            out,
            "n{index:03}: {links} links, {members} members, cuts {cuts:?}, names unlike n000's: {odd:?}"
        );
        line.expect("a string takes all");
    }
    out
}

fn downs(mesh: &Mesh) -> usize {
    let changes = mesh.nodes.iter().flat_map(|node| &node.host.node_changes);
    changes.filter(|(.., change)| matches!(change, NodeChange::Down { .. })).count()
}
