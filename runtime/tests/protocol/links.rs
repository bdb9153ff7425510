//! How links come and go: one for each pair of nodes, however they dial.

use std::time::Duration;

use regatta::Limits;
use regatta_proto::host::{ConnectError, Event, LinkEnd};
use regatta_proto::testing::{Mesh, Path};
use regatta_proto::wire::frame::To;

use super::world::{self, SOON, certified, dial, ends, linked_pair};

#[test]
fn a_hello_links_two_nodes() {
    let mut mesh = certified(1, &["a", "b"], &Limits::default());
    let id = dial(&mut mesh, 0, 1).expect("the dial succeeds");
    assert_eq!(&id, mesh.nodes[1].engine.id(), "the dialer learns name and incarnation");
    assert!(mesh.run_until(SOON, |mesh| mesh.nodes[1].link("a").is_some()));
    for (node, peer, dialed) in [(0, "b", true), (1, "a", false)] {
        let links: Vec<_> = mesh.nodes[node].engine.links().collect();
        assert_eq!(links.len(), 1);
        assert_eq!((links[0].peer.name.as_str(), links[0].dialed), (peer, dialed));
        assert_eq!(mesh.nodes[node].engine.stats().links_up, 1);
    }
}

/// Both ends hold one link, and it is the same one: exactly one of them dialled it, and messages pass both ways.
fn assert_one_link(mesh: &mut Mesh, what: &str) {
    let dialers: Vec<bool> =
        mesh.nodes.iter().flat_map(|node| node.engine.links()).map(|link| link.dialed).collect();
    assert_eq!(dialers.len(), 2, "one link at each end: {what}");
    assert_ne!(dialers[0], dialers[1], "the same link at both ends: {what}");
    for (from, to) in [(0, "b"), (1, "a")] {
        mesh.send(from, to, |out| {
            out.message(7, To::Serial(1), b"over the one link").expect("it fits");
        });
    }
    let arrived = |mesh: &Mesh| mesh.nodes.iter().all(|node| node.messages().count() == 1);
    assert!(mesh.run_until(world::EVENTUALLY, arrived), "messages pass both ways: {what}");
}

#[test]
fn two_nodes_that_dial_each_other_at_once_end_with_one_link_and_all_dials_succeed() {
    // A generous timeout: the path loses so much that a handshake may take several seconds.
    let limits = Limits { handshake_timeout: Duration::from_secs(60), ..Limits::default() };
    for seed in 0..64 {
        for dials in [1, 2] {
            let what = format!("seed {seed}, {dials} dials from each end");
            let mut mesh = certified(seed, &["a", "b"], &limits);
            mesh.path = Path {
                latency: Duration::from_millis(2),
                jitter: Duration::from_millis(4),
                loss_permille: if seed % 2 == 0 { 50 } else { 0 },
            };
            let mut tokens = Vec::new();
            for _ in 0..dials {
                tokens.push((0, mesh.connect(0, 1)));
                tokens.push((1, mesh.connect(1, 0)));
            }
            let over =
                |mesh: &Mesh| tokens.iter().all(|(node, token)| mesh.nodes[*node].dialed(*token).is_some());
            assert!(mesh.run_until(world::EVENTUALLY, over), "every dial ends: {what}");
            for (node, token) in &tokens {
                let outcome = mesh.nodes[*node].dialed(*token).expect("it is over");
                assert!(outcome.is_ok(), "{what}: {outcome:?}");
            }
            // Whatever was to give way has given way by then.
            mesh.run_for(Duration::from_secs(20));
            assert_one_link(&mut mesh, &what);
            for node in &mesh.nodes {
                assert_eq!(ends(node), Vec::<&LinkEnd>::new(), "no link gave way after it was up: {what}");
            }
        }
    }
}

#[test]
fn a_dial_to_a_node_that_is_linked_succeeds_with_the_link_that_is_there() {
    let mut mesh = linked_pair(1);
    let before = [mesh.nodes[0].link("b"), mesh.nodes[1].link("a")];
    assert!(dial(&mut mesh, 0, 1).is_ok());
    assert!(dial(&mut mesh, 1, 0).is_ok());
    mesh.run_for(SOON);
    assert_eq!([mesh.nodes[0].link("b"), mesh.nodes[1].link("a")], before);
    assert_eq!(mesh.nodes[0].downs() + mesh.nodes[1].downs(), 0);
    assert_one_link(&mut mesh, "dialled again in both directions");
}

#[test]
fn a_link_that_is_idle_for_ten_minutes_is_still_there() {
    let mut mesh = linked_pair(1);
    mesh.path.loss_permille = 20;
    let before = [mesh.nodes[0].link("b"), mesh.nodes[1].link("a")];
    mesh.run_for(Duration::from_secs(600));
    assert_eq!([mesh.nodes[0].link("b"), mesh.nodes[1].link("a")], before);
    assert_eq!(mesh.nodes[0].downs() + mesh.nodes[1].downs(), 0);
    assert_one_link(&mut mesh, "after ten idle minutes");
}

#[test]
fn a_node_that_dials_itself_is_told_so() {
    let mut mesh = linked_pair(1);
    let addr = mesh.nodes[0].addr;
    assert_eq!(dial(&mut mesh, 0, 0), Err(ConnectError::SelfDial(addr)));
    mesh.run_for(SOON);
    assert_eq!(mesh.nodes[0].links().len(), 1, "only the link that was there");
    assert_one_link(&mut mesh, "after a dial to itself");
}

#[test]
fn a_dial_to_nobody_ends_with_the_handshake_timeout() {
    let mut mesh = certified(1, &["a", "b"], &Limits::default());
    mesh.crash(1);
    let addr = mesh.nodes[1].addr;
    assert_eq!(dial(&mut mesh, 0, 1), Err(ConnectError::Timeout(addr)));
    let limit = Limits::default().handshake_timeout;
    assert!(mesh.elapsed() <= limit + Duration::from_millis(1), "{:?}", mesh.elapsed());
}

#[test]
fn a_shutdown_says_goodbye_and_takes_no_more_dials() {
    let mut mesh = linked_pair(1);
    let start = mesh.elapsed();
    mesh.act(0, |now, engine, host| engine.shutdown(now, host));
    assert!(mesh.run_until(SOON, |mesh| mesh.nodes[1].downs() == 1));
    assert!(mesh.elapsed() - start < Duration::from_secs(1), "told, not noticed by its silence");
    assert_eq!(ends(&mesh.nodes[0]), [&LinkEnd::Shutdown]);
    assert_eq!(ends(&mesh.nodes[1]), [&LinkEnd::PeerShutdown]);
    assert_eq!(dial(&mut mesh, 0, 1), Err(ConnectError::Shutdown));
    assert!(dial(&mut mesh, 1, 0).is_err());
    mesh.run_for(Duration::from_secs(60));
    assert!(mesh.nodes[0].engine.is_drained(), "every link was forgotten");
    assert_eq!(mesh.nodes[0].downs() + mesh.nodes[1].downs(), 2, "each end once");
}

#[test]
fn a_dial_that_is_under_way_ends_with_the_shutdown_of_its_node() {
    let mut mesh = certified(1, &["a", "b"], &Limits::default());
    let token = mesh.connect(0, 1);
    mesh.act(0, |now, engine, host| engine.shutdown(now, host));
    assert_eq!(mesh.nodes[0].dialed(token), Some(&Err(ConnectError::Shutdown)));
    mesh.run_for(Duration::from_secs(30));
    let ups = mesh.nodes.iter().flat_map(|node| &node.host.events);
    assert_eq!(ups.filter(|event| matches!(event, Event::Up { .. })).count(), 0);
}

#[test]
fn many_nodes_that_all_dial_each_other_at_once_end_with_a_full_mesh() {
    const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
    let limits = Limits { handshake_timeout: Duration::from_secs(60), ..Limits::default() };
    for seed in 0..6 {
        let mut mesh = certified(seed, &NAMES, &limits);
        mesh.path = Path {
            latency: Duration::from_millis(2),
            jitter: Duration::from_millis(10),
            loss_permille: if seed % 2 == 0 { 30 } else { 0 },
        };
        let pairs = (0..NAMES.len()).flat_map(|from| (0..NAMES.len()).map(move |to| (from, to)));
        let pairs = pairs.filter(|(from, to)| from != to);
        let tokens: Vec<(usize, u64)> = pairs.map(|(from, to)| (from, mesh.connect(from, to))).collect();
        let over =
            |mesh: &Mesh| tokens.iter().all(|(node, token)| mesh.nodes[*node].dialed(*token).is_some());
        assert!(mesh.run_until(world::EVENTUALLY, over), "seed {seed}: every dial ends");
        mesh.run_for(Duration::from_secs(20));
        for (node, token) in &tokens {
            assert!(mesh.nodes[*node].dialed(*token).is_some_and(Result::is_ok), "seed {seed}");
        }
        for (index, node) in mesh.nodes.iter().enumerate() {
            let others = NAMES.iter().enumerate().filter(|(other, _)| *other != index);
            let peers: Vec<String> = node.links().into_iter().map(|(name, _)| name).collect();
            assert!(peers.iter().eq(others.map(|(_, name)| name)), "seed {seed}: {peers:?}");
            assert_eq!(node.downs(), 0, "seed {seed}");
        }
        let dialed =
            mesh.nodes.iter().flat_map(|node| node.engine.links()).filter(|link| link.dialed).count();
        assert_eq!(dialed, NAMES.len() * (NAMES.len() - 1) / 2, "seed {seed}: one dialer for each link");
    }
}
