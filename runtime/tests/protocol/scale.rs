//! Many nodes and many names: what a full mesh costs, and how long news take, in virtual time.
//!
//! `cargo test --release -p regatta --test protocol scale -- --ignored --nocapture` prints the curves of
//! `docs/SCALE.md`.

use std::time::{Duration, Instant};

use regatta::Limits;
use regatta_proto::engine::{EngineConfig, Membership};
use regatta_proto::host::NodeChange;
use regatta_proto::testing::{Mesh, Path};

use super::formation::names;
use super::world::{ca, certified, claim, engine, issue, owner};

/// Half a millisecond each way, as within a data centre.
const PATH: Path =
    Path { latency: Duration::from_micros(500), jitter: Duration::from_micros(200), loss_permille: 0 };
/// Steps in which a world is looked at.
const LOOK: Duration = Duration::from_millis(10);

fn world(nodes: usize) -> Mesh {
    let names = names(nodes);
    let mut mesh = certified(1, &names.iter().map(String::as_str).collect::<Vec<_>>(), &Limits::default());
    mesh.path = PATH;
    mesh
}

fn forget_events(mesh: &mut Mesh) {
    for node in &mut mesh.nodes {
        node.host.events = Vec::new();
    }
}

/// Runs until `done`, and gives how long that took.
fn until(mesh: &mut Mesh, max: Duration, done: impl Fn(&Mesh) -> bool) -> Duration {
    let start = mesh.elapsed();
    while !done(mesh) {
        assert!(mesh.elapsed() - start < max, "it takes longer than {max:?}");
        mesh.run_for(LOOK);
        forget_events(mesh);
    }
    mesh.elapsed() - start
}

fn links(mesh: &Mesh) -> usize {
    mesh.nodes.iter().map(|node| node.engine.links().count()).sum::<usize>() / 2
}

/// All nodes but the first dial that one at the same moment; how long until each is linked with each.
fn form(mesh: &mut Mesh) -> Duration {
    let nodes = mesh.nodes.len();
    for node in 1..nodes {
        mesh.connect(node, 0);
    }
    until(mesh, Duration::from_secs(60), |mesh| links(mesh) == nodes * (nodes - 1) / 2)
}

/// Each node claims so many names at the same moment; how long until each knows all, and with how many bytes for each
/// name on each other node.
fn claim_all(mesh: &mut Mesh, each: usize, max: Duration) -> (Duration, f64) {
    let nodes = mesh.nodes.len();
    let name = |node: usize, n: usize| format!("service/{node:03}/{n:05}");
    let before = mesh.bytes_sent;
    for node in 0..nodes {
        for n in 0..each {
            assert_eq!(claim(mesh, node, &name(node, n), n as u64 + 1), Ok(()));
        }
    }
    let knows = |mesh: &Mesh, n: usize| {
        (0..nodes).all(|of| {
            let name = name(of, n);
            (0..nodes).all(|at| owner(mesh, at, &name).is_some_and(|(_, serial)| serial == n as u64 + 1))
        })
    };
    let took = until(mesh, max, |mesh| knows(mesh, 0) && knows(mesh, each - 1));
    assert!((0..each).step_by(each.div_ceil(50)).all(|n| knows(mesh, n)));
    let told = (nodes * each * (nodes - 1)) as f64;
    (took, (mesh.bytes_sent - before) as f64 / told)
}

#[test]
fn fifty_nodes_that_start_at_once_are_a_full_mesh_of_single_links_within_five_seconds() {
    let mut mesh = world(50);
    let took = form(&mut mesh);
    assert!(took <= Duration::from_secs(5), "{took:?}");
    mesh.run_for(Duration::from_secs(2));
    assert_eq!(links(&mesh), 1_225);
    assert!(
        mesh.nodes.iter().all(|node| node.engine.stats().links_down == 0),
        "no link gave way after it was up"
    );
}

#[test]
fn fifty_nodes_that_start_at_once_see_the_same_cluster() {
    let mut mesh = world(50);
    form(&mut mesh);
    mesh.run_for(Duration::from_secs(3));
    let first = mesh.nodes[0].engine.view();
    assert_eq!((first.members.len(), first.cuts.len()), (50, 0));
    for node in &mesh.nodes[1..] {
        assert_eq!(node.engine.view(), first, "as {} sees it", node.engine.id());
    }
}

#[test]
fn ten_nodes_with_ten_thousand_names_each_converge_within_ten_seconds() {
    let mut mesh = world(10);
    form(&mut mesh);
    let (took, bytes) = claim_all(&mut mesh, 10_000, Duration::from_secs(10));
    assert!(bytes <= 100.0, "{bytes} bytes for each name on each node, in {took:?}");
}

#[test]
#[ignore = "takes 2 GB of memory and a minute: 50,000 names on each of 100 nodes"]
fn a_hundred_nodes_with_five_hundred_names_each_converge_within_ten_seconds() {
    let mut mesh = world(100);
    form(&mut mesh);
    let (took, bytes) = claim_all(&mut mesh, 500, Duration::from_secs(10));
    println!("100 nodes with 500 names each: {took:?}, {bytes:.1} bytes for each name on each other node");
    assert!(bytes <= 100.0, "{bytes} bytes for each name on each node, in {took:?}");
}

#[test]
#[ignore = "a measurement, which takes minutes"]
fn curves() {
    println!(
        "| nodes | links | cold start | datagrams a link to form | idle, each node: datagrams/s | kB/s \
              | a newcomer is linked with all | a name is known to all | bytes a name and node | crash: first | last |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for nodes in [3, 10, 32, 50, 100, 200] {
        let begun = Instant::now();
        let mut mesh = world(nodes);
        let datagrams =
            |mesh: &Mesh| mesh.nodes.iter().map(|node| node.engine.stats().datagrams_sent).sum::<u64>();
        // The last one stands apart at first.
        let newcomer = nodes - 1;
        for node in 1..newcomer {
            mesh.connect(node, 0);
        }
        let old = newcomer * (newcomer - 1) / 2;
        let formed = until(&mut mesh, Duration::from_secs(120), |mesh| links(mesh) == old);
        let each = datagrams(&mesh) as f64 / old as f64;
        mesh.connect(newcomer, 0);
        let all = nodes * (nodes - 1) / 2;
        let joined = until(&mut mesh, Duration::from_secs(60), |mesh| links(mesh) == all);
        mesh.run_for(Duration::from_secs(5));
        let (sent, bytes) = (datagrams(&mesh), mesh.bytes_sent);
        mesh.run_for(Duration::from_secs(10));
        let idle = (datagrams(&mesh) - sent) as f64 / 10.0 / nodes as f64;
        let idle_kb = (mesh.bytes_sent - bytes) as f64 / 10_000.0 / nodes as f64;
        assert_eq!(claim(&mut mesh, 0, "one", 1), Ok(()));
        let told = until(&mut mesh, Duration::from_secs(10), |mesh| {
            (0..nodes).all(|node| owner(mesh, node, "one").is_some())
        });
        let (_, per_name) = claim_all(&mut mesh, 20, Duration::from_secs(10));
        forget_events(&mut mesh);
        for node in &mut mesh.nodes {
            node.host.node_changes = Vec::new();
        }
        mesh.crash(nodes - 1);
        let crashed = mesh.elapsed();
        let down = |mesh: &Mesh, node: usize| {
            let mut changes = mesh.nodes[node].host.node_changes.iter();
            changes.find_map(|(at, _, change)| matches!(change, NodeChange::Down { .. }).then_some(*at))
        };
        until(&mut mesh, Duration::from_secs(60), |mesh| {
            (0..nodes - 1).all(|node| down(mesh, node).is_some())
        });
        let found: Vec<Duration> =
            (0..nodes - 1).map(|node| down(&mesh, node).expect("just seen") - crashed).collect();
        let (first, last) = (found.iter().min().expect("some"), found.iter().max().expect("some"));
        println!(
            "| {nodes} | {all} | {} ms | {each:.1} | {idle:.0} | {idle_kb:.2} | {} ms | {} ms | {per_name:.0} | {:.1} s | {:.1} s |",
            formed.as_millis(),
            joined.as_millis(),
            told.as_millis(),
            first.as_secs_f64(),
            last.as_secs_f64(),
        );
        eprintln!("{nodes} nodes: {:?}", begun.elapsed());
    }
}

/// Nodes that link with few (`connect_all = false`): each with the next one on a ring, and with three further on.
fn sparse(nodes: usize) -> Mesh {
    let ca = ca();
    let mut mesh = super::world::mesh(1);
    for (index, name) in names(nodes).iter().enumerate() {
        let membership = Membership { connect_all: false, ..Membership::default() };
        let config = engine(name, index as u64 + 1, &issue(&ca, name), Limits::default());
        mesh.add(EngineConfig { membership, ..config });
    }
    mesh.path = PATH;
    mesh
}

#[test]
#[ignore = "a measurement, which takes minutes"]
fn sparse_curves() {
    println!(
        "| nodes | links of a node | all see one cluster | kB that each sent by then | idle, each node: datagrams/s \
              | kB/s | a crash is known to its neighbours |"
    );
    println!("|---|---|---|---|---|---|---|");
    for nodes in [50, 100, 200, 400] {
        let mut mesh = sparse(nodes);
        for node in 0..nodes {
            for further in [1, 5, 11, 23] {
                mesh.connect(node, (node + further) % nodes);
            }
        }
        let all = nodes * 4;
        until(&mut mesh, Duration::from_secs(60), |mesh| links(mesh) == all);
        let mut agreed = Duration::ZERO;
        while (0..nodes).any(|node| mesh.nodes[node].engine.view().members.len() < nodes) {
            assert!(agreed < Duration::from_secs(60), "{nodes} nodes never see one cluster");
            mesh.run_for(Duration::from_millis(500));
            forget_events(&mut mesh);
            agreed += Duration::from_millis(500);
        }
        let formed_kb = mesh.bytes_sent as f64 / 1_000.0 / nodes as f64;
        mesh.run_for(Duration::from_secs(2));
        let datagrams =
            |mesh: &Mesh| mesh.nodes.iter().map(|node| node.engine.stats().datagrams_sent).sum::<u64>();
        let (sent, bytes) = (datagrams(&mesh), mesh.bytes_sent);
        mesh.run_for(Duration::from_secs(10));
        let idle = (datagrams(&mesh) - sent) as f64 / 10.0 / nodes as f64;
        let idle_kb = (mesh.bytes_sent - bytes) as f64 / 10_000.0 / nodes as f64;
        mesh.crash(0);
        let neighbours: Vec<usize> = [1, 5, 11, 23].iter().flat_map(|at| [*at, nodes - at]).collect();
        let took = until(&mut mesh, Duration::from_secs(60), |mesh| {
            neighbours.iter().all(|node| mesh.nodes[*node].engine.links().count() == 7)
        });
        println!(
            "| {nodes} | {} | {:.1} s | {formed_kb:.0} | {idle:.1} | {idle_kb:.2} | {:.1} s |",
            2 * all / nodes,
            agreed.as_secs_f64(),
            took.as_secs_f64()
        );
    }
}
