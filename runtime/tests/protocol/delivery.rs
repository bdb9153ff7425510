//! What is sent arrives whole, once, in each sender's order, and a large body holds nobody else up.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use regatta::Limits;
use regatta_proto::limits::{BULK_BYTES_MIN, UNI_STREAMS};
use regatta_proto::signal::Signal;
use regatta_proto::testing::{Mesh, Path};
use regatta_proto::wire::frame::To;

use super::world::{EVENTUALLY, SOON, linked_pair};

const SENDERS: u64 = 8;
const MESSAGES: u64 = 10_000;

fn bodies(mesh: &Mesh, node: usize) -> impl Iterator<Item = (u64, &Bytes)> {
    mesh.nodes[node].host.delivered.iter().map(|(from, _, signal)| match signal {
        Signal::Message(body) => (from.serial(), body),
        other => panic!("only messages were sent, not {other:?}"),
    })
}

#[test]
fn ten_thousand_messages_of_each_of_eight_senders_arrive_complete_and_in_order() {
    for seed in [3, 11] {
        let mut mesh = linked_pair(seed);
        mesh.path =
            Path { latency: Duration::from_millis(1), jitter: Duration::from_millis(3), loss_permille: 20 };
        // In bursts, so that what is under way is lost, swapped and sent again while more is queued.
        for burst in 0..MESSAGES / 100 {
            mesh.send(0, "b", |out| {
                for number in burst * 100..(burst + 1) * 100 {
                    for sender in 1..=SENDERS {
                        out.message(sender, To::Serial(99), &number.to_be_bytes()).expect("it fits");
                    }
                }
            });
            mesh.run_for(Duration::from_millis(5));
        }
        let all = (SENDERS * MESSAGES) as usize;
        let arrived = |mesh: &Mesh| mesh.nodes[1].host.delivered.len() >= all;
        assert!(mesh.run_until(EVENTUALLY, arrived), "seed {seed}: {}", mesh.nodes[1].host.delivered.len());
        mesh.run_for(Duration::from_secs(5));
        let mut next: BTreeMap<u64, u64> = BTreeMap::new();
        for (sender, body) in bodies(&mesh, 1) {
            let number = u64::from_be_bytes(body[..].try_into().expect("eight bytes"));
            let expected = next.entry(sender).or_default();
            assert_eq!(number, *expected, "seed {seed}, sender {sender}");
            *expected += 1;
        }
        assert_eq!(next.into_values().collect::<Vec<_>>(), [MESSAGES; SENDERS as usize], "seed {seed}");
        let lost: u64 = mesh.nodes[0].engine.links().map(|link| link.lost_packets).sum();
        assert!(lost > 0, "seed {seed}: the path did lose datagrams");
    }
}

#[test]
fn a_large_body_holds_up_nobody_else_and_keeps_its_senders_order() {
    for seed in [1, 2, 3] {
        let mut mesh = linked_pair(seed);
        mesh.path = Path {
            latency: Duration::from_millis(5),
            jitter: Duration::from_millis(1),
            loss_permille: if seed == 1 { 0 } else { 20 },
        };
        let large: Bytes = (0..Limits::default().message_bytes_max).map(|at| (at % 251) as u8).collect();
        let sent = large.clone();
        // 17 shares the lane of 1, 2 does not.
        mesh.send(0, "b", move |out| {
            out.message(1, To::Serial(9), b"before").expect("it fits");
            out.message_owned(1, To::Serial(9), sent).expect("it fits");
            for number in 0..50_u8 {
                for sender in [1, 2, 17] {
                    out.message(sender, To::Serial(9), &[number]).expect("it fits");
                }
            }
        });
        let all = 2 + 3 * 50;
        let arrived = |mesh: &Mesh| mesh.nodes[1].host.delivered.len() == all;
        assert!(mesh.run_until(EVENTUALLY, arrived), "seed {seed}");
        let order: Vec<(u64, &Bytes)> = bodies(&mesh, 1).collect();
        let large_at = order.iter().position(|(_, body)| **body == large).expect("it arrived whole");
        for sender in [2, 17] {
            let after = order[large_at..].iter().filter(|(from, _)| *from == sender).count();
            assert_eq!(after, 0, "seed {seed}: all of sender {sender} came before the large body");
        }
        let own: Vec<&Bytes> = order.iter().filter(|(from, _)| *from == 1).map(|(_, body)| *body).collect();
        assert_eq!(own[0], &b"before"[..]);
        assert_eq!(own[1], &large);
        assert!(own[2..].iter().map(|body| body[0]).eq(0..50), "seed {seed}: in order after its large body");
        for sender in [2, 17] {
            let small = order.iter().filter(|(from, _)| *from == sender).map(|(_, body)| body[0]);
            assert!(small.eq(0..50), "seed {seed}, sender {sender}");
        }
    }
}

#[test]
fn a_small_message_that_is_sent_while_a_large_body_travels_overtakes_it() {
    let mut mesh = linked_pair(1);
    mesh.path.latency = Duration::from_millis(20);
    mesh.send(0, "b", |out| {
        out.message_owned(1, To::Serial(9), vec![7; 1 << 20].into()).expect("it fits");
    });
    mesh.run_for(Duration::from_millis(41));
    assert_eq!(mesh.nodes[1].host.delivered.len(), 0, "the large body is still under way");
    mesh.send(0, "b", |out| {
        out.message(2, To::Serial(9), b"small").expect("it fits");
    });
    let two = |mesh: &Mesh| mesh.nodes[1].host.delivered.len() == 2;
    assert!(mesh.run_until(EVENTUALLY, two));
    let senders: Vec<u64> = bodies(&mesh, 1).map(|(from, _)| from).collect();
    assert_eq!(senders, [2, 1]);
}

#[test]
fn more_large_bodies_than_a_link_has_streams_for_arrive_whole_and_in_order() {
    const BODIES: u32 = UNI_STREAMS + 200;
    let mut mesh = linked_pair(2);
    let bodies_sent: Vec<Bytes> = (0..BODIES)
        .map(|number| {
            let mut body = vec![(number % 251) as u8; BULK_BYTES_MIN + 1];
            body[..4].copy_from_slice(&number.to_be_bytes());
            body.into()
        })
        .collect();
    for some in bodies_sent.chunks(100) {
        mesh.send(0, "b", |out| {
            for body in some {
                out.message_owned(1, To::Serial(9), body.clone()).expect("it fits");
            }
        });
    }
    let all = |mesh: &Mesh| mesh.nodes[1].host.delivered.len() == BODIES as usize;
    assert!(mesh.run_until(EVENTUALLY, all), "{} arrived", mesh.nodes[1].host.delivered.len());
    assert!(bodies(&mesh, 1).map(|(_, body)| body).eq(&bodies_sent));
}

#[test]
fn senders_that_begin_while_large_bodies_use_up_the_link_are_heard() {
    let mut mesh = linked_pair(4);
    mesh.path.latency = Duration::from_millis(20);
    mesh.send(0, "b", |out| {
        for _ in 0..20 {
            out.message_owned(1, To::Serial(9), vec![1; 1 << 20].into()).expect("it fits");
        }
    });
    // New lanes open at every stage of the large transfer, also when it has used up all flow control.
    for sender in 2..=16 {
        mesh.run_for(Duration::from_millis(15));
        mesh.send(0, "b", |out| {
            out.message(sender, To::Serial(9), b"small").expect("it fits");
        });
    }
    let all = |mesh: &Mesh| mesh.nodes[1].host.delivered.len() == 35;
    assert!(mesh.run_until(EVENTUALLY, all), "{} arrived", mesh.nodes[1].host.delivered.len());
    let small = bodies(&mesh, 1).filter(|(_, body)| **body == "small").map(|(sender, _)| sender);
    assert_eq!(small.collect::<std::collections::BTreeSet<_>>(), (2..=16).collect());
    assert_eq!(mesh.nodes[0].downs(), 0);
}

#[test]
fn large_bodies_alone_do_not_use_up_the_windows_of_a_link() {
    let mut mesh = linked_pair(3);
    mesh.path.latency = Duration::from_millis(50);
    let small = |mesh: &mut Mesh| {
        mesh.send(0, "b", |out| {
            out.message(2, To::Serial(9), b"small").expect("it fits");
        });
    };
    let large = |mesh: &mut Mesh| {
        mesh.send(0, "b", |out| {
            for _ in 0..60 {
                out.message_owned(1, To::Serial(9), vec![1; 1 << 20].into()).expect("it fits");
            }
        });
    };
    // The congestion window grows to what large bodies need.
    small(&mut mesh);
    large(&mut mesh);
    assert!(mesh.run_until(EVENTUALLY, |mesh| mesh.nodes[1].host.delivered.len() == 61));
    mesh.run_for(SOON);
    // No acknowledgement comes back: what the sender may have under way is all that it can send.
    mesh.cut(1, 0);
    large(&mut mesh);
    mesh.run_for(Duration::from_secs(1));
    assert!(mesh.nodes[1].host.delivered.len() < 121, "the large bodies wait for acknowledgements");
    small(&mut mesh);
    let heard = |mesh: &Mesh| bodies(mesh, 1).filter(|(sender, _)| *sender == 2).count() == 2;
    assert!(mesh.run_until(Duration::from_secs(2), heard), "without one acknowledgement");
}

#[test]
fn a_long_row_of_large_bodies_arrives_in_order_over_a_path_that_loses_some() {
    for (seed, loss_permille) in [(1, 2), (2, 10)] {
        let mut mesh = linked_pair(seed);
        mesh.path = Path { latency: Duration::from_millis(2), jitter: Duration::ZERO, loss_permille };
        for number in 0..40_u8 {
            mesh.send(0, "b", |out| {
                out.message_owned(1, To::Serial(9), vec![number; 1 << 20].into()).expect("it fits");
                out.message(1, To::Serial(9), &[number]).expect("it fits");
            });
        }
        let all = |mesh: &Mesh| mesh.nodes[1].host.delivered.len() == 80;
        assert!(mesh.run_until(EVENTUALLY, all), "seed {seed}: {}", mesh.nodes[1].host.delivered.len());
        let order = bodies(&mesh, 1).map(|(_, body)| (body.len(), body[0]));
        assert!(order.eq((0..40).flat_map(|number| [(1 << 20, number), (1, number)])), "seed {seed}");
    }
}
