//! What the loss of a datagram costs those whose messages were in it, and those whose were not.

use std::collections::BTreeMap;
use std::time::Duration;

use regatta_proto::signal::{Signal, Target};
use regatta_proto::testing::{Mesh, Path};
use regatta_proto::wire::frame::To;

use super::world::linked_pair;

/// Senders of one node that each have one round trip to an echo of their own under way.
struct Clients {
    mesh: Mesh,
    sent: Vec<Duration>,
    times: Vec<Duration>,
}

impl Clients {
    fn new(seed: u64, path: Path, in_flight: usize) -> Self {
        let mut mesh = linked_pair(seed);
        mesh.path = path;
        Self { mesh, sent: vec![Duration::ZERO; in_flight], times: Vec::new() }
    }

    /// Messages between the processes of these serials, here and there.
    fn send(&mut self, from: usize, to: &str, serials: &[u64]) {
        self.mesh.send(from, to, |out| {
            for serial in serials {
                out.message(*serial, To::Serial(*serial), &[7; 64]).expect("it fits");
            }
        });
    }

    fn ask(&mut self, serials: &[u64]) {
        self.send(0, "b", serials);
        for serial in serials {
            self.sent[*serial as usize] = self.mesh.elapsed();
        }
    }

    /// Who has got a message at `node` since the last time.
    fn heard(&mut self, node: usize) -> Vec<u64> {
        let delivered = std::mem::take(&mut self.mesh.nodes[node].host.delivered);
        let serials = delivered.iter().map(|(_, to, signal)| match (to, signal) {
            (Target::Serial(serial), Signal::Message(_)) => *serial,
            other => panic!("only messages are sent: {other:?}"),
        });
        serials.collect()
    }

    /// The response times of `count` round trips, sorted.
    fn run(mut self, count: usize) -> Vec<Duration> {
        let all: Vec<u64> = (0..self.sent.len() as u64).collect();
        self.ask(&all);
        while self.times.len() < count {
            let arrived = |mesh: &Mesh| mesh.nodes.iter().any(|node| !node.host.delivered.is_empty());
            assert!(self.mesh.run_until(Duration::from_secs(60), arrived), "nothing arrives any more");
            let asked = self.heard(1);
            if !asked.is_empty() {
                self.send(1, "a", &asked);
            }
            let answered = self.heard(0);
            let now = self.mesh.elapsed();
            self.times.extend(answered.iter().map(|serial| now - self.sent[*serial as usize]));
            if !answered.is_empty() {
                self.ask(&answered);
            }
        }
        self.times.sort_unstable();
        self.times
    }
}

fn quantile(sorted: &[Duration], permille: usize) -> Duration {
    sorted[(sorted.len() - 1) * permille / 1_000]
}

fn short_path(loss_permille: u32) -> Path {
    Path { latency: Duration::from_micros(50), loss_permille, ..Path::default() }
}

/// Virtual time: these are properties of the protocol, the same on every machine.
#[test]
fn one_round_trip_in_a_hundred_that_loses_a_datagram_is_not_a_hundred_times_as_long() {
    for seed in [1, 2, 3] {
        for (loss_permille, in_flight) in [(5, 1), (5, 32), (10, 256)] {
            // The first loss is found the slow way, by all that are under way at that moment.
            let times =
                Clients::new(seed, short_path(loss_permille), in_flight).run(20_000 + 400 * in_flight);
            let (median, p99) = (quantile(&times, 500), quantile(&times, 990));
            let case = format!("seed {seed}, {loss_permille} permille lost, {in_flight} in flight");
            assert_eq!(median, Duration::from_micros(100), "{case}: most lose nothing");
            // QUIC's own probe timeout is above two milliseconds on this path.
            assert!(p99 <= 10 * median, "{case}: {p99:?}");
        }
    }
}

#[test]
fn on_a_path_that_loses_nothing_nobody_asks_after_anything() {
    let mut mesh = linked_pair(1);
    mesh.run_for(Duration::from_secs(1));
    // One way, so that only acknowledgements come back, later than a round-trip time.
    let sent = |mesh: &Mesh| mesh.nodes[0].engine.stats().datagrams_sent;
    let before = sent(&mesh);
    let messages = 100;
    for _ in 0..messages {
        mesh.send(0, "b", |out| {
            out.message(1, To::Serial(9), &[7; 64]).expect("it fits");
        });
        mesh.run_for(Duration::from_millis(20));
    }
    // In these two seconds each end sends four pulses, or five, and acknowledges as many.
    let pulses = 10;
    assert!(sent(&mesh) - before <= messages + pulses, "{} for {messages}", sent(&mesh) - before);
}

/// How many of 2,000 messages a second from 256 senders, over a path of 10 ms that loses one in a hundred, arrive more
/// than a round-trip time later than they would have.
fn delayed(seed: u64, ordered: bool) -> usize {
    const MESSAGES: u64 = 40_000;
    let rtt = Duration::from_millis(10);
    let mut mesh = linked_pair(seed);
    mesh.path = Path { latency: rtt / 2, loss_permille: 10, ..Path::default() };
    let begun = mesh.elapsed();
    let mut late = BTreeMap::new();
    for number in 0..MESSAGES {
        let body = number.to_be_bytes();
        mesh.send(0, "b", |out| {
            let (from, to) = (number * 7_919 % 256 + 1, To::Serial(9));
            let put =
                if ordered { out.message(from, to, &body) } else { out.message_unordered(from, to, &body) };
            put.expect("it fits");
        });
        let next = begun + Duration::from_micros(500) * (number as u32 + 1);
        while mesh.elapsed() < next {
            let left = next - mesh.elapsed();
            let arrived = mesh.run_until(left, |mesh| !mesh.nodes[1].host.delivered.is_empty());
            if !arrived {
                break;
            }
            let now = mesh.elapsed();
            for (_, _, signal) in std::mem::take(&mut mesh.nodes[1].host.delivered) {
                let Signal::Message(body) = signal else { panic!("only messages are sent") };
                let number = u64::from_be_bytes(body[..].try_into().expect("eight bytes"));
                let sent = begun + Duration::from_micros(500) * number as u32;
                late.insert(number, now - sent > rtt + rtt / 2);
            }
        }
    }
    assert!(late.len() as u64 > MESSAGES - 500, "seed {seed}: nearly all have arrived: {}", late.len());
    late.values().filter(|late| **late).count()
}

#[test]
fn lanes_delay_next_to_nobody_whose_message_was_not_lost() {
    let (mut ordered, mut unordered) = (0, 0);
    for seed in [1, 2, 3] {
        ordered += delayed(seed, true);
        unordered += delayed(seed, false);
    }
    assert!(unordered > 600, "the path did lose datagrams: {unordered}");
    assert!(2 * ordered <= 3 * unordered, "{ordered} with order, {unordered} without");
}
