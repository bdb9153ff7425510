//! Messages without order: whole and once like all others, and nobody waits for them, nor they for anybody.

use std::collections::BTreeSet;
use std::time::Duration;

use regatta_proto::limits::UNI_STREAMS;
use regatta_proto::signal::Signal;
use regatta_proto::testing::{Mesh, Path};
use regatta_proto::wire::frame::To;

use super::world::{EVENTUALLY, SOON, linked_pair};

fn bodies(mesh: &Mesh) -> Vec<&[u8]> {
    mesh.nodes[1].messages().collect()
}

#[test]
fn each_arrives_whole_and_once_also_over_a_path_that_loses_some() {
    for seed in [1, 2] {
        let mut mesh = linked_pair(seed);
        mesh.path =
            Path { latency: Duration::from_millis(2), jitter: Duration::from_millis(2), loss_permille: 30 };
        // Of one byte, of several packets, and of the size that ordered messages have a stream of their own for.
        let body = |number: u32| {
            let len = [4, 5_000, 100_000][number as usize % 3];
            let mut body = vec![number as u8; len];
            body[..4].copy_from_slice(&number.to_be_bytes());
            body
        };
        let all = 300;
        for number in 0..all {
            mesh.send(0, "b", |out| {
                out.message_unordered(1, To::Serial(9), &body(number)).expect("it fits");
            });
        }
        assert!(mesh.run_until(EVENTUALLY, |mesh| bodies(mesh).len() >= all as usize), "seed {seed}");
        mesh.run_for(SOON);
        let arrived: BTreeSet<&[u8]> = bodies(&mesh).into_iter().collect();
        assert_eq!(bodies(&mesh).len(), all as usize, "seed {seed}: none came twice");
        assert!((0..all).all(|number| arrived.contains(&body(number)[..])), "seed {seed}: each is whole");
    }
}

#[test]
fn more_of_them_than_a_link_has_streams_for_wait_their_turn() {
    let mut mesh = linked_pair(1);
    let all = UNI_STREAMS as usize + 500;
    mesh.send(0, "b", |out| {
        for _ in 0..all {
            out.message_unordered(1, To::Serial(9), &[7; 2_000]).expect("it fits");
        }
    });
    assert!(mesh.run_until(EVENTUALLY, |mesh| bodies(mesh).len() == all));
    assert_eq!(mesh.nodes[0].engine.links().next().expect("the link").queued_bytes, 0);
}

#[test]
fn what_overtakes_a_large_ordered_body_of_the_same_sender_is_without_order_alone() {
    let mut mesh = linked_pair(1);
    mesh.path.latency = Duration::from_millis(20);
    mesh.send(0, "b", |out| {
        out.message_owned(1, To::Serial(9), vec![1; 1 << 20].into()).expect("it fits");
        out.message(1, To::Serial(9), &[2]).expect("it fits");
        out.message_unordered(1, To::Serial(9), &[3]).expect("it fits");
    });
    assert!(mesh.run_until(EVENTUALLY, |mesh| bodies(mesh).len() == 3));
    let order: Vec<u8> = bodies(&mesh).iter().map(|body| body[0]).collect();
    assert_eq!(order, [3, 1, 2]);
}

#[test]
fn only_the_peers_bound_on_a_message_limits_its_size() {
    let mut mesh = linked_pair(1);
    let max = mesh.nodes[1].engine.limits().message_bytes_max;
    mesh.send(0, "b", |out| {
        out.message_unordered(1, To::Serial(9), &vec![1; max]).expect("it fits");
    });
    assert!(mesh.run_until(EVENTUALLY, |mesh| bodies(mesh).len() == 1));
    assert_eq!(bodies(&mesh)[0].len(), max);
    assert!(mesh.nodes[1].host.delivered.iter().all(|(_, _, signal)| matches!(signal, Signal::Message(_))));
}
