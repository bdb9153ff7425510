//! Silence: who is found to be lost, how soon, by whom, and who is not.

use std::time::Duration;

use regatta::Limits;
use regatta_proto::engine::ClusterView;
use regatta_proto::host::{DownCause, LinkEnd, NodeChange, Testimony};
use regatta_proto::testing::{Mesh, Node, Path};

use super::formation::{is_full, names};
use super::world::{EVENTUALLY, SOON, certified};

/// Nodes `n000` and so on, all linked with each other.
pub(crate) fn full(seed: u64, count: usize) -> Mesh {
    let names = names(count);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut mesh = certified(seed, &names, &Limits::default());
    for node in 1..count {
        mesh.connect(node, 0);
    }
    let all: Vec<usize> = (0..count).collect();
    assert!(mesh.run_until(2 * SOON, |mesh| is_full(mesh, &all)), "seed {seed}");
    mesh
}

/// What a node saw of another since the first `Up`, in short words.
pub(crate) fn story(node: &Node, peer: &str) -> Vec<&'static str> {
    let changes = node.host.node_changes.iter().filter(|(_, id, _)| id.name.as_str() == peer);
    changes.map(|(_, _, change)| word(change)).skip(1).collect()
}

fn word(change: &NodeChange) -> &'static str {
    match change {
        NodeChange::Up => "up",
        NodeChange::Suspect => "suspect",
        NodeChange::Trusted => "trusted",
        NodeChange::Unreachable { .. } => "unreachable",
        NodeChange::Down { .. } => "down",
        NodeChange::Left => "left",
        _ => "?",
    }
}

/// When a node found another down, in the world's time, in order.
fn downs(node: &Node, peer: &str) -> Vec<Duration> {
    let changes = node.host.node_changes.iter();
    let downs = changes
        .filter(|(_, id, change)| id.name.as_str() == peer && matches!(change, NodeChange::Down { .. }));
    downs.map(|(at, ..)| *at).collect()
}

/// All nodes that anybody found down, with who did.
fn all_downs(mesh: &Mesh) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for node in &mesh.nodes {
        let changes = node.host.node_changes.iter();
        let downs = changes.filter(|(_, _, change)| matches!(change, NodeChange::Down { .. }));
        let by = node.engine.id().name.to_string();
        all.extend(downs.map(|(_, id, _)| (by.clone(), id.name.to_string())));
    }
    all
}

/// The names of a view's members, and of its cut pairs.
pub(crate) fn view(mesh: &Mesh, node: usize) -> (Vec<String>, Vec<(String, String)>) {
    let ClusterView { members, cuts } = mesh.nodes[node].engine.view();
    let cuts = cuts.iter().map(|(one, other)| (one.name.to_string(), other.name.to_string()));
    (members.iter().map(|member| member.name.to_string()).collect(), cuts.collect())
}

pub(crate) fn agree(mesh: &Mesh, nodes: &[usize]) -> bool {
    nodes.windows(2).all(|pair| mesh.nodes[pair[0]].engine.view() == mesh.nodes[pair[1]].engine.view())
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1]
}

#[test]
fn a_crash_is_seen_by_the_four_others_within_a_little_more_than_three_seconds() {
    let mut times = Vec::new();
    for seed in 0..50 {
        let mut mesh = full(seed, 5);
        mesh.path =
            Path { latency: Duration::from_millis(1), jitter: Duration::from_millis(1), loss_permille: 10 };
        // The crash comes at any point of the beat.
        mesh.run_for(Duration::from_millis(2_000 + 37 * seed));
        let crash = mesh.elapsed();
        mesh.crash(4);
        let seen = |mesh: &Mesh| mesh.nodes[..4].iter().all(|node| downs(node, "n004").len() == 1);
        assert!(mesh.run_until(Duration::from_secs(6), seen), "seed {seed}");
        mesh.run_for(SOON);
        for node in &mesh.nodes[..4] {
            let down = downs(node, "n004");
            assert_eq!(down.len(), 1, "seed {seed}: once");
            times.push(down[0] - crash);
            let evidence = node.engine.why_down("n004").expect("kept");
            assert_eq!(evidence.cause, DownCause::LinkEnd(LinkEnd::Silence));
            assert_eq!(evidence.asked.len(), 3, "seed {seed}: {evidence}");
            assert!(evidence.seen_by.is_empty() && evidence.patience == 1, "seed {seed}: {evidence}");
        }
        assert_eq!(all_downs(&mesh).len(), 4, "seed {seed}: and nobody else is down");
        assert!(agree(&mesh, &[0, 1, 2, 3]) && view(&mesh, 0).0.len() == 4, "seed {seed}");
    }
    times.sort();
    let (p50, p99) = (percentile(&times, 50), percentile(&times, 99));
    assert!(p50 <= Duration::from_millis(3_200), "p50 {p50:?}");
    assert!(p99 <= Duration::from_millis(4_500), "p99 {p99:?}");
    assert!(times[0] >= Duration::from_secs(2), "nobody is in a hurry: {:?}", times[0]);
}

#[test]
fn of_two_nodes_each_waits_four_seconds_for_the_other() {
    let mut mesh = full(1, 2);
    mesh.run_for(SOON);
    let crash = mesh.elapsed();
    mesh.crash(1);
    assert!(mesh.run_until(SOON, |mesh| !downs(&mesh.nodes[0], "n001").is_empty()));
    let took = mesh.elapsed() - crash;
    assert!(Duration::from_millis(3_400) < took && took <= Duration::from_secs(4), "{took:?}");
    assert_eq!(story(&mesh.nodes[0], "n001"), ["suspect", "down"]);
}

#[test]
fn idle_nodes_suspect_nobody_for_ten_minutes() {
    let mut mesh = full(1, 3);
    mesh.run_for(Duration::from_secs(600));
    for node in &mesh.nodes {
        let stats = node.engine.stats();
        assert_eq!((stats.suspicions, stats.links_down), (0, 0));
    }
}

#[test]
fn a_pair_that_is_cut_is_unreachable_to_each_other_and_a_member_to_all() {
    for seed in 0..5 {
        let mut mesh = full(seed, 3);
        mesh.run_for(SOON);
        mesh.partition(&[]);
        mesh.heal();
        let start = mesh.elapsed();
        mesh.cut(0, 2);
        mesh.cut(2, 0);
        let all = |name: &str| name.to_owned();
        let cut = (vec![all("n000"), all("n001"), all("n002")], vec![(all("n000"), all("n002"))]);
        let agreed = |mesh: &Mesh| (0..3).all(|node| view(mesh, node) == cut);
        assert!(mesh.run_until(SOON, agreed), "seed {seed}: {:?}", view(&mesh, 0));
        assert!(mesh.elapsed() - start <= Duration::from_secs(5));
        // It stays like that.
        for _ in 0..60 {
            mesh.run_for(Duration::from_secs(1));
            assert!(agreed(&mesh), "seed {seed}");
        }
        assert_eq!(story(&mesh.nodes[0], "n002"), ["suspect", "unreachable"], "seed {seed}");
        assert_eq!(story(&mesh.nodes[2], "n000"), ["suspect", "unreachable"], "seed {seed}");
        assert!(story(&mesh.nodes[1], "n000").is_empty() && story(&mesh.nodes[1], "n002").is_empty());
        let seen = NodeChange::Unreachable { seen_by: vec!["n001".parse().expect("a name")] };
        let last = mesh.nodes[0].node_changes().pop().map(|(.., change)| change);
        assert_eq!(last, Some(seen), "seed {seed}");
        mesh.heal();
        assert!(mesh.run_until(Duration::from_secs(2), |mesh| is_full(mesh, &[0, 1, 2])), "seed {seed}");
        mesh.run_for(Duration::from_secs(1));
        assert!((0..3).all(|node| view(&mesh, node).1.is_empty()), "seed {seed}");
    }
}

#[test]
fn a_pair_that_is_cut_in_one_direction_agrees_that_it_is_cut() {
    for seed in 0..5 {
        let mut mesh = full(seed, 4);
        mesh.run_for(SOON);
        let start = mesh.elapsed();
        mesh.cut(0, 1);
        let unreachable =
            |mesh: &Mesh, at: usize, peer: &str| story(&mesh.nodes[at], peer).contains(&"unreachable");
        let both = |mesh: &Mesh| unreachable(mesh, 0, "n001") && unreachable(mesh, 1, "n000");
        assert!(mesh.run_until(Duration::from_secs(6), both), "seed {seed}");
        assert!(mesh.elapsed() - start <= Duration::from_secs(6));
        mesh.run_for(Duration::from_secs(60));
        assert!(agree(&mesh, &[0, 1, 2, 3]), "seed {seed}");
        assert_eq!(view(&mesh, 3).1, [("n000".to_owned(), "n001".to_owned())], "seed {seed}");
        // The one that is heard has it from the other's own word.
        assert_eq!(story(&mesh.nodes[0], "n001"), ["unreachable"], "seed {seed}");
        assert_eq!(story(&mesh.nodes[1], "n000"), ["suspect", "unreachable"], "seed {seed}");
        let others: usize = mesh.nodes[2..].iter().map(|node| node.engine.stats().suspicions as usize).sum();
        assert_eq!((others, all_downs(&mesh)), (0, vec![]), "seed {seed}: the others are untouched");
    }
}

#[test]
fn a_node_that_is_unreachable_to_one_is_down_to_it_once_nobody_hears_it_any_more() {
    let mut mesh = full(1, 3);
    mesh.run_for(SOON);
    mesh.cut(0, 2);
    mesh.cut(2, 0);
    mesh.run_for(2 * SOON);
    mesh.crash(2);
    let down = |mesh: &Mesh| mesh.nodes[..2].iter().all(|node| downs(node, "n002").len() == 1);
    assert!(mesh.run_until(SOON, down));
    assert_eq!(story(&mesh.nodes[0], "n002"), ["suspect", "unreachable", "down"]);
    assert_eq!(story(&mesh.nodes[1], "n002"), ["suspect", "down"]);
    assert_eq!(view(&mesh, 0), (vec!["n000".to_owned(), "n001".to_owned()], vec![]));
}

#[test]
fn what_two_nodes_say_of_their_cut_reaches_those_who_hear_neither() {
    // A chain: each hears only its neighbours, so rows must be passed on.
    let mut mesh = full(1, 6);
    mesh.run_for(SOON);
    for one in 0..6usize {
        for other in 0..6 {
            if one.abs_diff(other) > 1 {
                mesh.cut(one, other);
            }
        }
    }
    let all: Vec<usize> = (0..6).collect();
    let agreed = |mesh: &Mesh| agree(mesh, &all) && view(mesh, 0).0.len() == 6 && view(mesh, 0).1.len() == 10;
    mesh.run_for(Duration::from_secs(4));
    assert!(mesh.run_until(Duration::from_secs(6), agreed), "{:?}", view(&mesh, 0));
    mesh.run_for(Duration::from_secs(30));
    assert!(agreed(&mesh), "{:?}", view(&mesh, 0));
    assert_eq!(all_downs(&mesh), [], "everybody hears of everybody");
    mesh.heal();
    assert!(mesh.run_until(Duration::from_secs(3), |mesh| is_full(mesh, &all)));
}

#[test]
fn a_node_that_stands_still_for_two_seconds_is_not_lost_and_loses_nobody() {
    for seed in 0..10 {
        let mut mesh = full(seed, 5);
        mesh.run_for(Duration::from_millis(2_000 + 83 * seed));
        mesh.pause(4);
        mesh.run_for(Duration::from_secs(2));
        mesh.resume(4);
        mesh.run_for(Duration::from_secs(30));
        assert_eq!(all_downs(&mesh), [], "seed {seed}");
        assert!(mesh.nodes.iter().all(|node| node.engine.stats().links_down == 0), "seed {seed}");
    }
}

#[test]
fn a_node_that_stood_still_for_long_convicts_nobody_and_is_back_within_three_seconds() {
    for seed in 0..10 {
        let mut mesh = full(seed, 5);
        mesh.run_for(Duration::from_millis(2_000 + 83 * seed));
        mesh.pause(4);
        mesh.run_for(Duration::from_secs(20));
        for node in &mesh.nodes[..4] {
            assert_eq!(story(node, "n004"), ["suspect", "down"], "seed {seed}");
        }
        mesh.resume(4);
        let back = |mesh: &Mesh| is_full(mesh, &[0, 1, 2, 3, 4]);
        assert!(mesh.run_until(Duration::from_secs(3), back), "seed {seed}");
        mesh.run_for(Duration::from_secs(30));
        assert!(agree(&mesh, &[0, 1, 2, 3, 4]), "seed {seed}");
        assert_eq!(all_downs(&mesh).len(), 4, "seed {seed}: it was down to the four, and nobody to it");
        for node in &mesh.nodes[..4] {
            assert_eq!(story(node, "n004"), ["suspect", "down", "up"], "seed {seed}");
        }
    }
}

#[test]
fn a_node_that_stood_still_does_not_speak_for_one_that_was_lost_meanwhile() {
    for seed in 0..10 {
        let mut mesh = full(seed, 5);
        mesh.run_for(Duration::from_millis(2_000 + 83 * seed));
        mesh.pause(3);
        mesh.run_for(Duration::from_secs(1));
        let crash = mesh.elapsed();
        mesh.crash(4);
        mesh.run_for(Duration::from_millis(900));
        mesh.resume(3);
        let seen = |mesh: &Mesh| mesh.nodes[..3].iter().all(|node| downs(node, "n004").len() == 1);
        assert!(mesh.run_until(Duration::from_secs(10), seen), "seed {seed}");
        let took = mesh.elapsed() - crash;
        assert!(took <= Duration::from_millis(4_500), "seed {seed}: {took:?}");
        for node in &mesh.nodes[..3] {
            assert_eq!(story(node, "n004"), ["suspect", "down"], "seed {seed}");
        }
    }
}

#[test]
fn one_node_with_heavy_loss_brings_down_nobody_else() {
    for seed in 0..1 {
        let mut mesh = full(seed, 32);
        for other in 0..31 {
            let lossy = Path { loss_permille: 800, ..mesh.path };
            mesh.set_path(31, other, lossy);
            mesh.set_path(other, 31, lossy);
        }
        mesh.run_for(Duration::from_secs(60));
        let others: Vec<_> =
            all_downs(&mesh).into_iter().filter(|(by, of)| by != "n031" && of != "n031").collect();
        assert_eq!(others, [], "seed {seed}");
        for node in &mesh.nodes[..31] {
            assert_eq!(node.links().iter().filter(|(name, _)| name != "n031").count(), 30, "seed {seed}");
        }
    }
}

/// Runs nodes on a path with 5 % loss and 50 ms of jitter.
fn lose_and_jitter(nodes: usize, time: Duration) {
    let mut mesh = full(1, nodes);
    mesh.path =
        Path { latency: Duration::from_millis(5), jitter: Duration::from_millis(50), loss_permille: 50 };
    mesh.run_for(time);
    assert_eq!(all_downs(&mesh), []);
    assert!(mesh.nodes.iter().all(|node| node.engine.stats().links_down == 0));
}

#[test]
fn loss_and_jitter_alone_bring_down_nobody() {
    lose_and_jitter(8, Duration::from_secs(600));
}

#[test]
#[ignore = "an hour of 32 nodes is 14 million datagrams: some minutes"]
fn loss_and_jitter_alone_bring_down_nobody_of_32_nodes_in_an_hour() {
    lose_and_jitter(32, Duration::from_secs(3_600));
}

#[test]
fn a_verdict_says_what_it_rests_on() {
    let mut mesh = full(1, 4);
    mesh.run_for(SOON);
    mesh.cut(0, 3);
    mesh.cut(3, 0);
    mesh.run_for(SOON);
    let evidence = mesh.nodes[0].engine.why_down("n003").expect("found unreachable");
    assert_eq!(evidence.seen_by.len(), 2, "{evidence}");
    assert!(evidence.silent_for >= Duration::from_secs(3), "{evidence}");
    let heard = |said: &Testimony| matches!(said, Testimony::HeardAgo(ago) if *ago < Duration::from_secs(1));
    assert!(evidence.asked.len() == 2 && evidence.asked.iter().all(|(_, said)| heard(said)), "{evidence}");
    assert!(evidence.packets_sent > 0, "{evidence}");
    let text = evidence.to_string();
    assert!(text.starts_with("nothing was heard of the peer for too long; silent for 3."), "{text}");
    assert!(text.ends_with("; linked with n001, n002"), "{text}");
    assert_eq!(mesh.nodes[0].engine.why_down("n001"), None);
}

#[test]
fn a_node_that_closes_its_links_is_seen_at_once() {
    let mut mesh = full(1, 4);
    mesh.run_for(SOON);
    let start = mesh.elapsed();
    mesh.act(3, |now, engine, host| engine.shutdown(now, host));
    let left = |mesh: &Mesh| mesh.nodes[..3].iter().all(|node| story(node, "n003") == ["left"]);
    assert!(mesh.run_until(EVENTUALLY, left));
    assert!(mesh.elapsed() - start <= Duration::from_millis(100));
    mesh.run_for(Duration::from_secs(1));
    assert!(agree(&mesh, &[0, 1, 2]) && view(&mesh, 0).0.len() == 3);
}

#[test]
fn a_node_that_others_are_linked_with_cannot_be_forgotten() {
    let mut mesh = full(1, 4);
    mesh.run_for(SOON);
    mesh.cut(0, 3);
    mesh.cut(3, 0);
    mesh.run_for(SOON);
    assert_eq!(story(&mesh.nodes[0], "n003"), ["suspect", "unreachable"]);
    let forget = |mesh: &mut Mesh| mesh.act(0, |now, engine, host| engine.forget(now, "n003", host));
    assert!(forget(&mut mesh).is_err(), "it runs");
    mesh.crash(3);
    mesh.run_for(2 * SOON);
    assert_eq!(forget(&mut mesh), Ok(true));
    assert_eq!(forget(&mut mesh), Ok(true), "and once more is nothing new");
    let told = story(&mesh.nodes[0], "n003");
    assert_eq!(told.iter().filter(|change| **change == "left").count(), 1, "{told:?}");
}

#[test]
fn a_path_that_loses_most_does_not_flap() {
    for (seed, loss_permille) in (0..).zip([500, 600, 650, 700, 750, 800, 900, 600, 650, 700, 750]) {
        let mut mesh = full(seed, 5);
        mesh.run_for(SOON);
        let lossy = Path { loss_permille, ..mesh.path };
        mesh.set_path(0, 1, lossy);
        mesh.set_path(1, 0, lossy);
        mesh.run_for(Duration::from_secs(900));
        for (one, other) in [(0, "n001"), (1, "n000")] {
            let gone = mesh.nodes[one].host.node_changes.iter().filter_map(|(at, id, change)| {
                let is_gone = matches!(change, NodeChange::Unreachable { .. });
                (is_gone && id.name.as_str() == other).then_some(*at)
            });
            let gone: Vec<Duration> = gone.collect();
            // Every 17 s or so, if each was dialled again at once.
            assert!(gone.len() <= 36, "{loss_permille} in a thousand: {gone:?}");
        }
        assert_eq!(all_downs(&mesh), [], "the others hear both");
        // Whole again, the path is tried within the longest pause.
        let whole = mesh.path;
        mesh.set_path(0, 1, whole);
        mesh.set_path(1, 0, whole);
        assert!(
            mesh.run_until(Duration::from_secs(30), |mesh| is_full(mesh, &[0, 1, 2, 3, 4])),
            "seed {seed}"
        );
    }
}
