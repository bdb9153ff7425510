//! Over how many lanes a link spreads its senders: few on a near path, all on a far one. No change breaks a sender's order,
//! and none gets stuck.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use regatta::Limits;
use regatta_proto::limits::{BULK_BYTES_MIN, LANES, LANES_NEAR};
use regatta_proto::signal::Signal;
use regatta_proto::testing::{Mesh, Path};
use regatta_proto::wire::frame::To;

use super::world::{EVENTUALLY, certified, link, linked_pair};

const NEAR: Path = Path { latency: Duration::from_micros(100), jitter: Duration::ZERO, loss_permille: 0 };
const FAR: Path = Path { latency: Duration::from_millis(5), jitter: Duration::ZERO, loss_permille: 0 };

/// How many lanes the senders of `a` share.
fn lanes(mesh: &Mesh) -> usize {
    mesh.nodes[0].engine.links().next().expect("they are linked").lanes
}

/// A process on `a` sends a message each millisecond, for so many of them.
fn send_for(mesh: &mut Mesh, ms: u64) {
    for _ in 0..ms {
        mesh.send(0, "b", |out| {
            out.message(1, To::Serial(9), b"regularly").expect("it fits");
        });
        mesh.run_for(Duration::from_millis(1));
    }
}

#[test]
fn senders_share_few_lanes_while_the_path_is_near_and_all_when_it_is_far() {
    let mut mesh = linked_pair(1);
    mesh.path = NEAR;
    assert_eq!(lanes(&mesh), LANES);
    send_for(&mut mesh, 200);
    assert_eq!(lanes(&mesh), LANES_NEAR);
    mesh.path = FAR;
    send_for(&mut mesh, 6_000);
    assert_eq!(lanes(&mesh), LANES);
    mesh.path = NEAR;
    send_for(&mut mesh, 1_500);
    assert_eq!(lanes(&mesh), LANES_NEAR);
}

#[test]
fn a_bound_of_zero_keeps_all_lanes() {
    let mut mesh = certified(1, &["a", "b"], &Limits { near_rtt: Duration::ZERO, ..Limits::default() });
    link(&mut mesh, 0, 1);
    send_for(&mut mesh, 500);
    assert_eq!(lanes(&mesh), LANES);
}

/// What is sent while a path becomes near, and far, and near again.
struct Traffic<'a> {
    paths: &'a [Path],
    /// How long each of them lasts.
    each: Duration,
    /// Pauses between messages, in turn. Each sender sends one after each pause.
    pauses: &'a [Duration],
    /// The length of a body, by sender and number.
    body: fn(u64, u64) -> usize,
}

impl Traffic<'_> {
    const SENDERS: u64 = 20;

    /// Sends it all, and gives how often the number of lanes changed. Asserts that everything arrives, whole and in the
    /// order of each sender.
    fn changes(&self, mesh: &mut Mesh, seed: u64) -> usize {
        let (mut sent, mut changes, mut before) = (0_u64, 0, lanes(mesh));
        let mut pauses = self.pauses.iter().cycle();
        for path in self.paths {
            mesh.path = *path;
            let until = mesh.elapsed() + self.each;
            while mesh.elapsed() < until {
                mesh.send(0, "b", |out| {
                    for sender in 1..=Self::SENDERS {
                        let mut bytes = vec![sender as u8; (self.body)(sender, sent)];
                        bytes[..8].copy_from_slice(&sent.to_be_bytes());
                        out.message_owned(sender, To::Serial(99), Bytes::from(bytes)).expect("it fits");
                    }
                });
                sent += 1;
                mesh.run_for(*pauses.next().expect("cycle"));
                let now = lanes(mesh);
                changes += usize::from(std::mem::replace(&mut before, now) != now);
            }
        }
        let all = (Self::SENDERS * sent) as usize;
        let arrived = |mesh: &Mesh| mesh.nodes[1].host.delivered.len() >= all;
        let done = mesh.run_until(EVENTUALLY, arrived);
        assert!(done, "seed {seed}: {} of {all}", mesh.nodes[1].host.delivered.len());
        let mut next: BTreeMap<u64, u64> = BTreeMap::new();
        for (from, _, signal) in &mesh.nodes[1].host.delivered {
            let Signal::Message(bytes) = signal else { panic!("only messages were sent, not {signal:?}") };
            let number = u64::from_be_bytes(bytes[..8].try_into().expect("eight bytes"));
            let expected = next.entry(from.serial()).or_default();
            assert_eq!(number, *expected, "seed {seed}, sender {}", from.serial());
            assert_eq!(bytes.len(), (self.body)(from.serial(), number), "seed {seed}");
            *expected += 1;
        }
        assert!(next.values().all(|count| *count == sent), "seed {seed}");
        changes
    }
}

#[test]
fn no_change_breaks_a_senders_order_over_a_path_that_loses_and_swaps() {
    for seed in 1..=6 {
        let mut mesh = linked_pair(seed);
        let lossy = |path: Path, jitter_us| Path {
            jitter: Duration::from_micros(jitter_us),
            loss_permille: 10,
            ..path
        };
        let (near, far) = (lossy(NEAR, 200), lossy(FAR, 4_000));
        let traffic = Traffic {
            paths: &[near, far, near, far],
            each: Duration::from_millis(6_500),
            pauses: &[Duration::from_millis(2)],
            body: |sender, number| if sender == 7 && number % 300 == 299 { BULK_BYTES_MIN + 1 } else { 16 },
        };
        let changes = traffic.changes(&mut mesh, seed);
        assert!(changes >= 3, "seed {seed}: {changes} changes");
    }
}

#[test]
fn a_change_does_not_get_stuck_where_more_waits_than_flow_control_allows() {
    for seed in 1..=3 {
        let limits = Limits { stream_window_bytes: 16_000, link_window_bytes: 40_000, ..Limits::default() };
        let mut mesh = certified(seed, &["a", "b"], &limits);
        link(&mut mesh, 0, 1);
        // 80 KiB at a time, twice what may be under way; and as much again before the first is through.
        let traffic = Traffic {
            paths: &[NEAR, FAR, NEAR],
            each: Duration::from_millis(9_500),
            pauses: &[Duration::from_millis(1), Duration::from_millis(150)],
            body: |_, _| 4_000,
        };
        let changes = traffic.changes(&mut mesh, seed);
        assert!(changes >= 3, "seed {seed}: {changes} changes");
    }
}

/// Open arrivals of 2,000 messages a second from 256 senders, one way, over a path of 10 ms there and back that loses one
/// datagram in a hundred: the share that came more than a round trip later than it would have.
fn delayed(seed: u64, seconds: u64, ordered: bool) -> f64 {
    const STEP: Duration = Duration::from_micros(500);
    const ON_TIME: Duration = Duration::from_millis(5 + 10);
    let mut mesh = linked_pair(seed);
    mesh.path = Path { loss_permille: 10, ..FAR };
    send_for(&mut mesh, 200);
    mesh.run_for(Duration::from_secs(1));
    let begun = mesh.nodes[1].host.delivered.len();
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut sent, mut seen, mut late, mut due) = (Vec::new(), begun, 0_usize, mesh.elapsed());
    let end = mesh.elapsed() + Duration::from_secs(seconds);
    loop {
        while due <= mesh.elapsed() && due < end {
            let (sender, number) = (random.u64(1..=256), sent.len() as u32);
            let mut body = [7; 64];
            body[..4].copy_from_slice(&number.to_be_bytes());
            mesh.send(0, "b", |out| {
                let to = To::Serial(9);
                let put = if ordered {
                    out.message(sender, to, &body)
                } else {
                    out.message_unordered(sender, to, &body)
                };
                put.expect("it fits");
            });
            sent.push(mesh.elapsed());
            due += Duration::from_secs_f64(-(1.0 - random.f64()).ln() / 2_000.0);
        }
        if mesh.elapsed() > end + Duration::from_secs(2) {
            break;
        }
        mesh.run_for(STEP);
        let now = mesh.elapsed();
        let delivered = &mesh.nodes[1].host.delivered;
        for (_, _, signal) in &delivered[seen..] {
            let Signal::Message(body) = signal else { panic!("only messages were sent, not {signal:?}") };
            let number = u32::from_be_bytes(body[..4].try_into().expect("four bytes"));
            late += usize::from(now - sent[number as usize] > ON_TIME + STEP);
        }
        seen = delivered.len();
    }
    assert_eq!(seen - begun, sent.len(), "seed {seed}: all arrive");
    late as f64 / sent.len() as f64
}

#[test]
fn order_costs_at_most_half_as_many_late_messages_again_where_one_datagram_in_a_hundred_is_lost() {
    let share = |ordered: bool| (1..=4).map(|seed| delayed(seed, 15, ordered)).sum::<f64>() / 4.0;
    let (ordered, unordered) = (share(true), share(false));
    eprintln!("late: {:.3} % in order, {:.3} % without", ordered * 100.0, unordered * 100.0);
    assert!(unordered > 0.005, "the path did lose datagrams: {unordered}");
    assert!(ordered <= 1.5 * unordered, "{ordered} in order, {unordered} without");
}
