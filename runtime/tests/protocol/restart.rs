//! A node that was started again, with a higher incarnation, at its old address.

use std::time::Duration;

use regatta::{ExitReason, Identity, Limits};
use regatta_proto::host::{ConnectError, DownCause, LinkEnd};
use regatta_proto::signal::Signal;
use regatta_proto::testing::Mesh;

use super::detection::story;
use super::world::{SOON, ca, claim, dial, ends, engine, issue, link, mesh, owner, pid, reference, signals};

/// `a` and `b`, linked; `b` holds a name, and `a` watches one of its processes.
fn world() -> (Mesh, Identity) {
    let (ca, mut mesh) = (ca(), mesh(1));
    let b = issue(&ca, "b");
    mesh.add(engine("a", 1, &issue(&ca, "a"), Limits::default()));
    mesh.add(engine("b", 2, &b, Limits::default()));
    link(&mut mesh, 0, 1);
    assert_eq!(claim(&mut mesh, 1, "svc", 5), Ok(()));
    let b5 = pid(&mesh, 1, 5);
    mesh.send(0, "b", |out| {
        assert!(out.signal(1, b5, Signal::Monitor { reference: reference(1) }).is_ok());
    });
    assert!(mesh.run_until(SOON, |mesh| owner(mesh, 0, "svc").is_some()));
    (mesh, b)
}

/// The node loses all it knew, without a word to anybody, and starts again.
fn restart(mesh: &mut Mesh, node: usize, incarnation: u64, identity: &Identity) {
    mesh.restart(node, engine("b", incarnation, identity, Limits::default()));
}

fn assert_replaced(mesh: &mut Mesh, old: regatta::Pid) {
    mesh.run_for(SOON);
    let links: Vec<_> = mesh.nodes[0].engine.links().map(|link| link.peer.incarnation.raw()).collect();
    assert_eq!(links, [3], "one link, with the new start");
    assert_eq!(mesh.nodes[0].downs(), 1);
    let down = Signal::Down { reference: reference(1), reason: ExitReason::NoConnection };
    assert_eq!(signals(&mesh.nodes[0]), [(old, 1, down)], "the monitor on the old start fired, once");
    assert_eq!(owner(mesh, 0, "svc"), None, "the old start's name went with it");
    assert_eq!(claim(mesh, 1, "svc", 9), Ok(()));
    assert!(mesh.run_until(SOON, |mesh| owner(mesh, 0, "svc") == Some(("b".to_owned(), 9))));
    mesh.run_for(60 * SOON);
    assert_eq!(mesh.nodes[0].downs(), 1, "the old link's end does nothing to the new one");
}

#[test]
fn a_restarted_node_that_dials_replaces_its_old_link() {
    let (mut mesh, b) = world();
    let old = pid(&mesh, 1, 5);
    restart(&mut mesh, 1, 3, &b);
    link(&mut mesh, 1, 0);
    assert_replaced(&mut mesh, old);
}

#[test]
fn a_peer_that_is_started_again_is_noticed_by_the_next_pulse_and_found_at_once() {
    let (mut mesh, b) = world();
    mesh.run_for(SOON);
    let (old, start) = (pid(&mesh, 1, 5), mesh.elapsed());
    restart(&mut mesh, 1, 3, &b);
    let again = |mesh: &Mesh| mesh.nodes[0].engine.links().any(|link| link.peer.incarnation.raw() == 3);
    assert!(mesh.run_until(SOON, again), "it dials nobody, and says that it knows the link no more");
    assert!(mesh.elapsed() - start <= Duration::from_secs(1), "{:?}", mesh.elapsed() - start);
    assert_eq!(ends(&mesh.nodes[0]), [&LinkEnd::Reset]);
    assert_eq!(story(&mesh.nodes[0], "b"), ["unreachable", "down", "up"]);
    let evidence = mesh.nodes[0].engine.why_down("b").expect("kept");
    assert_eq!(evidence.cause, DownCause::Restarted);
    assert_replaced(&mut mesh, old);
}

#[test]
fn a_restarted_node_that_is_dialled_replaces_its_old_link() {
    let (mut mesh, b) = world();
    let old = pid(&mesh, 1, 5);
    restart(&mut mesh, 1, 3, &b);
    link(&mut mesh, 0, 1);
    assert_replaced(&mut mesh, old);
}

#[test]
fn an_earlier_start_cannot_take_the_place_of_a_later_one() {
    let (mut mesh, b) = world();
    let before = mesh.nodes[0].links();
    let old = mesh.add(engine("b", 1_000, &b, Limits::default()));
    // A later start takes over; the earlier one is then refused, though its certificate is the same.
    link(&mut mesh, old, 0);
    assert_ne!(mesh.nodes[0].links(), before);
    let now = mesh.nodes[0].links();
    let outcome = dial(&mut mesh, 1, 0);
    assert!(matches!(outcome, Err(ConnectError::Identity(_))), "{outcome:?}");
    assert_eq!(mesh.nodes[0].links(), now);
}

#[test]
fn a_node_that_lost_only_the_link_dials_again_and_replaces_it() {
    let (mut mesh, _) = world();
    // Only b notices: its end is over, and the goodbye is lost.
    mesh.cut(0, 1);
    mesh.cut(1, 0);
    assert!(mesh.run_until(12 * SOON, |mesh| mesh.nodes.iter().all(|node| node.downs() == 1)));
    mesh.heal();
    link(&mut mesh, 1, 0);
    assert_eq!(owner(&mesh, 0, "svc"), Some(("b".to_owned(), 5)), "the names are announced again");
    assert_eq!(mesh.nodes[0].downs() + mesh.nodes[1].downs(), 2);
}
