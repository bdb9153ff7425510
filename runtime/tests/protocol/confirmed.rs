//! Names that a majority confirms: between engines, in virtual time.

use std::time::Duration;

use regatta::Limits;
use regatta_proto::engine::Confirm;
use regatta_proto::host::{ConfirmError, ConflictPolicy, Event, FencingToken, Quorum};
use regatta_proto::testing::Mesh;

use super::world::{SOON, ca, certified, engine, issue, link, owner};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
/// Behind this, every voter votes.
const GROWN_UP: Duration = Duration::from_secs(4);

/// Five nodes that are linked with each other, and vote.
fn five(seed: u64) -> Mesh {
    let mut mesh = certified(seed, &NAMES, &Limits::default());
    (1..5).for_each(|from| link(&mut mesh, from, 0));
    let full = |mesh: &Mesh| mesh.nodes.iter().all(|node| node.links().len() == 4);
    assert!(mesh.run_until(SOON, full));
    mesh.run_for(GROWN_UP);
    mesh
}

fn confirm(mesh: &mut Mesh, node: usize, call: u64, deadline: Duration) {
    let name = "leader".parse().expect("a name");
    let (quorum, policy) = (Quorum::Majority, ConflictPolicy::NotifyLoser);
    // Each attempt is for a process of its own.
    let wish = Confirm { call, name, serial: call, quorum, policy, deadline };
    mesh.act(node, |now, engine, host| engine.confirm(now, wish, host));
}

fn outcome(mesh: &Mesh, node: usize, call: u64) -> Option<Result<FencingToken, ConfirmError>> {
    mesh.nodes[node].host.events.iter().find_map(|event| match event {
        Event::Confirmed { call: of, result } if *of == call => Some(result.clone()),
        _ => None,
    })
}

/// Asks, and gives what came of it; every attempt ends by its deadline.
fn confirmed(mesh: &mut Mesh, node: usize, call: u64) -> Result<FencingToken, ConfirmError> {
    let deadline = Duration::from_secs(5);
    confirm(mesh, node, call, deadline);
    assert!(mesh.run_until(deadline, |mesh| outcome(mesh, node, call).is_some()), "it ends by its deadline");
    outcome(mesh, node, call).expect("just seen")
}

/// The nodes whose own process holds the name, as they see it.
fn holders(mesh: &Mesh) -> Vec<usize> {
    let holds = |node: &usize| owner(mesh, *node, "leader").is_some_and(|(at, _)| at == NAMES[*node]);
    (0..mesh.nodes.len()).filter(holds).collect()
}

/// Lets time pass in small steps; never may two nodes hold the name.
fn run_and_look(mesh: &mut Mesh, time: Duration) {
    let end = mesh.elapsed() + time;
    while mesh.elapsed() < end {
        mesh.run_for(Duration::from_millis(20).min(end - mesh.elapsed()));
        assert!(holders(mesh).len() <= 1, "{:?} hold the name", holders(mesh));
    }
}

#[test]
fn a_majority_confirms_a_name_within_a_few_round_trips_and_all_see_the_holder() {
    let mut mesh = five(1);
    mesh.path.latency = Duration::from_millis(20);
    let before = mesh.elapsed();
    let token = confirmed(&mut mesh, 2, 7).expect("nobody else wants it");
    assert!(mesh.elapsed() - before <= Duration::from_millis(100), "one round trip and what delays it");
    let all = |mesh: &Mesh| (0..5).all(|node| owner(mesh, node, "leader") == Some(("c".to_owned(), 7)));
    assert!(mesh.run_until(SOON, all));
    let seen = mesh.nodes[4].engine.owner("leader").expect("all see it");
    assert_eq!(seen.token, Some(token));
    assert!(
        matches!(confirmed(&mut mesh, 4, 8), Err(ConfirmError::Taken(owner)) if owner.node.as_str() == "c")
    );
    mesh.run_for(Duration::from_secs(60));
    assert!(all(&mesh), "it is renewed for as long as its process lives");
}

#[test]
fn a_minority_gets_no_name_by_its_deadline_and_loses_the_one_that_it_holds() {
    let mut mesh = five(2);
    let first = confirmed(&mut mesh, 0, 1).expect("nobody else wants it");
    assert!(mesh.run_until(SOON, |mesh| owner(mesh, 2, "leader").is_some()));
    mesh.partition(&[&[0, 1], &[2, 3, 4]]);
    // The other side takes it over, and not before this one has lost it.
    confirm(&mut mesh, 2, 2, Duration::from_secs(60));
    assert!(matches!(outcome(&mesh, 2, 2), Some(Err(ConfirmError::Taken(_)))), "its holder is known");
    let lost = |mesh: &Mesh| holders(mesh).is_empty();
    let cut_at = mesh.elapsed();
    assert!(mesh.run_until(SOON, lost));
    assert!(mesh.elapsed() - cut_at <= Duration::from_secs(3), "within a lease");
    let told = mesh.nodes[0].host.events.iter();
    let told = told
        .filter(|event| matches!(event, Event::NameUnconfirmed { serial: 1, token, .. } if *token == first));
    assert_eq!(told.count(), 1, "and its process is told, once");
    // Seen from the majority, the holder's node must be down first: then its claim is gone.
    let gone = |mesh: &Mesh| owner(mesh, 2, "leader").is_none();
    assert!(mesh.run_until(2 * SOON, gone));
    let next = confirmed(&mut mesh, 2, 3).expect("three of five are a majority");
    assert!(next > first);
    let refused = confirmed(&mut mesh, 1, 4);
    assert_eq!(refused, Err(ConfirmError::NoQuorum { granted: 2, needed: 3 }));
    mesh.heal();
    run_and_look(&mut mesh, Duration::from_secs(10));
    assert!((0..5).all(|node| owner(&mesh, node, "leader") == Some(("c".to_owned(), 3))));
}

#[test]
fn all_nodes_ask_at_once_and_one_gets_the_name() {
    for seed in 0..5 {
        let mut mesh = five(seed);
        mesh.path.latency = Duration::from_millis(5);
        (0..5).for_each(|node| confirm(&mut mesh, node, 1 + node as u64, Duration::from_secs(5)));
        run_and_look(&mut mesh, Duration::from_secs(5));
        let outcomes: Vec<_> =
            (0..5).map(|node| outcome(&mesh, node, 1 + node as u64).expect("over")).collect();
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "seed {seed}: {outcomes:?}");
        let taken = outcomes.iter().filter(|outcome| matches!(outcome, Err(ConfirmError::Taken(_))));
        assert_eq!(taken.count(), 4, "seed {seed}: {outcomes:?}");
        assert_eq!(holders(&mesh).len(), 1);
    }
}

#[test]
fn the_name_of_a_crashed_node_is_free_as_soon_as_the_node_is_down() {
    let mut mesh = five(3);
    let first = confirmed(&mut mesh, 4, 1).expect("nobody else wants it");
    assert!(mesh.run_until(SOON, |mesh| owner(mesh, 0, "leader").is_some()));
    mesh.crash(4);
    assert!(mesh.run_until(2 * SOON, |mesh| owner(mesh, 0, "leader").is_none()), "the node is down");
    let before = mesh.elapsed();
    let next = confirmed(&mut mesh, 0, 2).expect("four of five are a majority");
    assert!(next > first);
    assert!(mesh.elapsed() - before <= Duration::from_secs(1), "{:?}", mesh.elapsed() - before);
}

#[test]
fn a_name_that_is_given_up_with_its_process_is_free_at_once() {
    let mut mesh = five(4);
    let mut last = confirmed(&mut mesh, 0, 1).expect("nobody else wants it");
    for turn in 1..20 {
        let (from, to) = (turn as usize % 5, (turn as usize + 1) % 5);
        let holder = holders(&mesh)[0];
        mesh.act(holder, |now, engine, host| engine.process_ended(now, turn, host));
        assert!(mesh.run_until(SOON, |mesh| (0..5).all(|node| owner(mesh, node, "leader").is_none())));
        let next = confirmed(&mut mesh, to, turn + 1).expect("it is free");
        assert!(next > last, "turn {turn}, from node {from}");
        last = next;
    }
}

#[test]
fn a_node_that_stood_still_finds_that_it_has_lost_the_name() {
    let mut mesh = five(5);
    let first = confirmed(&mut mesh, 1, 1).expect("nobody else wants it");
    assert!(mesh.run_until(SOON, |mesh| owner(mesh, 0, "leader").is_some()));
    mesh.pause(1);
    assert!(mesh.run_until(2 * SOON, |mesh| owner(mesh, 0, "leader").is_none()), "the node is down");
    let next = confirmed(&mut mesh, 0, 2).expect("four of five are a majority");
    assert!(next > first, "whoever is written to can tell");
    mesh.resume(1);
    assert!(holders(&mesh).len() == 1, "the first thing that it does is to give the name up");
    run_and_look(&mut mesh, Duration::from_secs(10));
    assert_eq!(holders(&mesh), [0]);
}

#[test]
fn a_restarted_voter_votes_for_nobody_else_while_its_forgotten_grant_lasts() {
    let (ca, mut mesh) = (ca(), super::world::mesh(6));
    let names = &NAMES[..3];
    for (index, name) in names.iter().enumerate() {
        mesh.add(engine(name, index as u64 + 1, &issue(&ca, name), Limits::default()));
    }
    (1..3).for_each(|from| link(&mut mesh, from, 0));
    mesh.run_for(GROWN_UP);
    // The holder and one voter are a majority of three; the third never hears of it.
    mesh.partition(&[&[0, 1], &[2]]);
    confirmed(&mut mesh, 0, 1).expect("two of three are a majority");
    // The voter forgets, and now hears the third node and not the holder.
    mesh.restart(1, engine("b", 12, &issue(&ca, "b"), Limits::default()));
    mesh.heal();
    mesh.partition(&[&[0], &[1, 2]]);
    mesh.connect(1, 2);
    confirm(&mut mesh, 2, 2, Duration::from_secs(20));
    run_and_look(&mut mesh, Duration::from_secs(20));
    assert!(matches!(outcome(&mesh, 2, 2), Some(Ok(_))), "{:?}", outcome(&mesh, 2, 2));
    assert_eq!(holders(&mesh), [2]);
}

#[test]
fn nodes_that_are_forgotten_on_demand_do_not_count_any_more() {
    let mut mesh = five(7);
    (2..5).for_each(|node| mesh.crash(node));
    let lost = |mesh: &Mesh| (0..2).all(|node| mesh.nodes[node].links().len() == 1);
    assert!(mesh.run_until(2 * SOON, lost));
    assert_eq!(confirmed(&mut mesh, 0, 1), Err(ConfirmError::NoQuorum { granted: 2, needed: 3 }));
    let forget =
        |mesh: &mut Mesh, name: &str| mesh.act(0, |now, engine, host| engine.forget(now, name, host));
    for name in &NAMES[2..] {
        assert_eq!(forget(&mut mesh, name), Ok(true));
    }
    assert_eq!(forget(&mut mesh, "nobody"), Ok(false));
    assert_eq!(forget(&mut mesh, "b").map_err(|linked| linked.name.to_string()), Err("b".to_owned()));
    // Until the votes that they may have given are over.
    mesh.run_for(2 * SOON);
    confirmed(&mut mesh, 1, 2).expect("two of two: the other one was told");
    assert_eq!(holders(&mesh), [1]);
}

#[test]
fn nobody_here_claims_a_name_plainly_while_a_majority_is_asked_for_it() {
    let mut mesh = five(8);
    mesh.path.latency = Duration::from_millis(50);
    confirm(&mut mesh, 0, 1, SOON);
    let plain = super::world::claim(&mut mesh, 0, "leader", 2);
    assert_eq!(plain.map_err(|owner| owner.pid.serial()), Err(1));
    assert!(mesh.run_until(SOON, |mesh| outcome(mesh, 0, 1).is_some()));
    assert_eq!(holders(&mesh), [0]);
}
