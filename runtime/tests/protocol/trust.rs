//! Who may link: certificates of one CA under their own name, or one shared identity.

use regatta::{ClusterCa, Identity, Limits};
use regatta_proto::host::{ConnectError, LinkEnd};

use super::world::{SOON, ca, claim, dial, ends, engine, issue, link, mesh, owner, rejected};

#[test]
fn a_certificate_for_x_that_announces_y_is_refused_and_changes_nothing() {
    let (ca, mut mesh) = (ca(), mesh(1));
    let limits = Limits::default;
    for (incarnation, name) in (1..).zip(["a", "x", "y"]) {
        mesh.add(engine(name, incarnation, &issue(&ca, name), limits()));
    }
    // Claims to be a later start of y, so that only the certificate stands in its way.
    let impostor = mesh.add(engine("y", 99, &issue(&ca, "x"), limits()));
    link(&mut mesh, 1, 0);
    link(&mut mesh, 2, 0);
    assert_eq!(claim(&mut mesh, 1, "of-x", 4), Ok(()));
    assert_eq!(claim(&mut mesh, 2, "of-y", 4), Ok(()));
    mesh.run_for(SOON);
    let before = mesh.nodes[0].links();

    let outcome = dial(&mut mesh, impostor, 0);
    assert!(matches!(outcome, Err(ConnectError::Identity(_))), "{outcome:?}");
    assert_eq!(rejected(&mesh.nodes[0]), 1, "the acceptor tells of it");
    let outcome = dial(&mut mesh, 0, impostor);
    assert!(matches!(outcome, Err(ConnectError::Identity(_))), "{outcome:?}");
    mesh.run_for(SOON);

    assert_eq!(mesh.nodes[impostor].links(), []);
    assert_eq!(mesh.nodes[0].links(), before, "x and y keep their links");
    assert_eq!(mesh.nodes.iter().map(|node| node.downs()).sum::<usize>(), 0);
    assert_eq!(owner(&mesh, 0, "of-x"), Some(("x".to_owned(), 4)));
    assert_eq!(owner(&mesh, 0, "of-y"), Some(("y".to_owned(), 4)));
    assert_eq!(owner(&mesh, impostor, "of-x"), None, "the impostor learns nothing");
}

fn assert_no_trust(mine: &Identity, theirs: &Identity) {
    let mut mesh = mesh(1);
    mesh.add(engine("a", 1, mine, Limits::default()));
    mesh.add(engine("b", 2, theirs, Limits::default()));
    for (from, to) in [(0, 1), (1, 0)] {
        let outcome = dial(&mut mesh, from, to);
        assert!(matches!(outcome, Err(ConnectError::NotTrusted(_))), "{from} to {to}: {outcome:?}");
        mesh.run_for(SOON);
        assert_eq!(rejected(&mesh.nodes[to]), 1, "the acceptor tells of it");
        assert_eq!(mesh.nodes[to].engine.stats().handshakes_refused, 1);
    }
    assert!(mesh.nodes.iter().all(|node| node.links().is_empty()));
}

#[test]
fn a_foreign_ca_is_refused_whoever_dials() {
    let theirs = ClusterCa::generate().expect("a CA");
    assert_no_trust(&issue(&ca(), "a"), &issue(&theirs, "b"));
}

#[test]
fn another_shared_identity_and_a_certificate_are_refused_whoever_dials() {
    let shared = || Identity::generate().expect("an identity");
    assert_no_trust(&shared(), &shared());
    assert_no_trust(&shared(), &issue(&ca(), "b"));
}

#[test]
fn the_second_holder_of_a_name_is_refused_while_the_first_lives() {
    let (shared, mut mesh) = (Identity::generate().expect("an identity"), mesh(1));
    for (incarnation, name) in (1..).zip(["a", "b", "b"]) {
        mesh.add(engine(name, incarnation, &shared, Limits::default()));
    }
    link(&mut mesh, 1, 0);
    let first = mesh.nodes[0].links();
    for (from, to) in [(2, 0), (0, 2)] {
        let outcome = dial(&mut mesh, from, to);
        assert!(matches!(outcome, Err(ConnectError::Identity(_))), "{from} to {to}: {outcome:?}");
        mesh.run_for(SOON);
        assert_eq!(mesh.nodes[0].links(), first, "the first holder keeps its link");
    }
    mesh.act(1, |now, engine, host| engine.shutdown(now, host));
    assert!(mesh.run_until(SOON, |mesh| mesh.nodes[0].downs() == 1));
    assert_eq!(ends(&mesh.nodes[0]), [&LinkEnd::PeerShutdown]);
    link(&mut mesh, 2, 0);
}

#[test]
fn two_nodes_of_one_name_do_not_link() {
    let (ca, mut mesh) = (ca(), mesh(1));
    let identity = issue(&ca, "a");
    mesh.add(engine("a", 1, &identity, Limits::default()));
    mesh.add(engine("a", 2, &identity, Limits::default()));
    let outcome = dial(&mut mesh, 0, 1);
    assert!(matches!(outcome, Err(ConnectError::Identity(_))), "{outcome:?}");
    assert!(mesh.nodes.iter().all(|node| node.links().is_empty()));
}
