//! Messages with word of their arrival, and messages in datagrams.

use std::collections::BTreeSet;
use std::time::Duration;

use regatta::Bytes;
use regatta_proto::host::{CallError, CallOutcome, Delivery, Event};
use regatta_proto::testing::{Mesh, Path};
use regatta_proto::wire::frame::To;

use super::world::{EVENTUALLY, SOON, linked_pair};

/// Longer than any answer takes.
const DEADLINE: Duration = Duration::from_secs(60);

/// What became of the messages of node 0 that wanted to know, by number of call.
fn ends(mesh: &Mesh) -> Vec<(u64, Result<Delivery, CallError>)> {
    let ended = mesh.nodes[0].host.events.iter().filter_map(|event| match event {
        Event::Called { call, result: Ok(CallOutcome::Delivery(delivery)) } => Some((*call, Ok(*delivery))),
        Event::Called { call, result: Err(error) } => Some((*call, Err(error.clone()))),
        Event::Called { result, .. } => panic!("{result:?} is no word of a delivery"),
        _ => None,
    });
    ended.collect()
}

/// Lets node 1 answer what it was asked, as a node does.
fn answer(mesh: &mut Mesh) {
    let wanted = mesh.nodes[1].host.events.iter().filter_map(|event| match event {
        Event::AckWanted { call, delivery, .. } => Some((*call, *delivery)),
        _ => None,
    });
    for (call, delivery) in wanted.collect::<Vec<_>>() {
        mesh.send(1, "a", |out| {
            out.acked(call, delivery);
        });
    }
}

fn wanted(mesh: &Mesh) -> usize {
    mesh.nodes[1].host.events.iter().filter(|event| matches!(event, Event::AckWanted { .. })).count()
}

#[test]
fn each_answer_is_about_its_own_message_whatever_travels_around_it() {
    for seed in 1..=4 {
        let mut mesh = linked_pair(seed);
        mesh.path =
            Path { latency: Duration::from_millis(2), jitter: Duration::from_millis(3), loss_permille: 50 };
        // Process 9 is there and 10 is not; serials 1, 17 and 33 share a lane. Some bodies have a stream of their own.
        mesh.nodes[1].host.missing.insert(10);
        let to = |call: u64| if call.is_multiple_of(3) { 10 } else { 9 };
        for call in 0..60_u64 {
            let len = if call.is_multiple_of(5) { 100_000 } else { 10 };
            mesh.send(0, "b", |out| {
                let from = 1 + 16 * (call % 3);
                let body = Bytes::from(vec![1; len]);
                out.message_acked(from, To::Serial(to(call)), body, call, DEADLINE).expect("it fits");
                out.message(1, To::Serial(10), &[2]).expect("it fits");
                out.message_unordered(from, To::Serial(10), &[3]).expect("it fits");
            });
        }
        assert!(mesh.run_until(EVENTUALLY, |mesh| wanted(mesh) == 60), "seed {seed}");
        answer(&mut mesh);
        assert!(mesh.run_until(EVENTUALLY, |mesh| ends(mesh).len() == 60), "seed {seed}");
        mesh.run_for(SOON);
        for (call, end) in ends(&mesh) {
            let there = if to(call) == 9 { Delivery::Delivered } else { Delivery::NoProc };
            assert_eq!(end, Ok(there), "seed {seed}, message {call}");
        }
    }
}

#[test]
fn an_answer_is_not_mistaken_where_a_large_body_of_another_sender_comes_between_a_message_and_the_wish_for_it()
 {
    for seed in 1..=4 {
        let mut mesh = linked_pair(seed);
        mesh.path =
            Path { latency: Duration::from_millis(2), jitter: Duration::from_millis(1), loss_permille: 20 };
        mesh.nodes[1].host.missing.insert(10);
        // 1 and 17 share a lane; frames of 700 bytes end anywhere in a datagram.
        let calls = 400_u64;
        for call in 0..calls {
            let (from, to, len) = if call.is_multiple_of(10) { (17, 10, 70_000) } else { (1, 9, 700) };
            mesh.send(0, "b", |out| {
                let body = Bytes::from(vec![1; len]);
                out.message_acked(from, To::Serial(to), body, call, DEADLINE).expect("it fits");
            });
            mesh.run_for(Duration::from_micros(300));
        }
        assert!(mesh.run_until(EVENTUALLY, |mesh| wanted(mesh) == calls as usize), "seed {seed}");
        answer(&mut mesh);
        assert!(mesh.run_until(EVENTUALLY, |mesh| ends(mesh).len() == calls as usize), "seed {seed}");
        for (call, end) in ends(&mesh) {
            let there = if call.is_multiple_of(10) { Delivery::NoProc } else { Delivery::Delivered };
            assert_eq!(end, Ok(there), "seed {seed}, message {call}");
        }
    }
}

#[test]
fn a_message_whose_answer_does_not_come_ends_at_its_deadline_and_a_later_answer_is_nobodys() {
    let mut mesh = linked_pair(1);
    mesh.send(0, "b", |out| {
        let deadline = Duration::from_secs(1);
        out.message_acked(1, To::Serial(9), Bytes::from_static(b"x"), 7, deadline).expect("it fits");
    });
    assert!(mesh.run_until(EVENTUALLY, |mesh| !ends(mesh).is_empty()));
    assert_eq!(ends(&mesh), [(7, Err(CallError::Timeout))]);
    answer(&mut mesh);
    mesh.run_for(SOON);
    assert_eq!(ends(&mesh).len(), 1);
    assert!(mesh.nodes[0].link("b").is_some(), "a late answer is no offence");
}

#[test]
fn a_message_whose_link_is_lost_may_have_been_delivered() {
    let mut mesh = linked_pair(1);
    mesh.send(0, "b", |out| {
        out.message_acked(1, To::Serial(9), Bytes::from_static(b"x"), 7, DEADLINE).expect("it fits");
    });
    mesh.run_for(Duration::from_millis(10));
    mesh.crash(1);
    assert!(mesh.run_until(EVENTUALLY, |mesh| !ends(mesh).is_empty()));
    assert_eq!(ends(&mesh), [(7, Err(CallError::LinkLost))]);
}

#[test]
fn datagrams_arrive_whole_and_at_most_once_and_those_that_are_lost_stay_lost() {
    let mut mesh = linked_pair(3);
    mesh.path =
        Path { latency: Duration::from_millis(2), jitter: Duration::from_millis(2), loss_permille: 100 };
    let body = |number: u32| {
        let mut body = vec![number as u8; 4 + number as usize];
        body[..4].copy_from_slice(&number.to_be_bytes());
        body
    };
    for number in 0..300 {
        mesh.send(0, "b", |out| {
            out.message_datagram(1, To::Serial(9), &body(number)).expect("it fits");
        });
        mesh.run_for(Duration::from_millis(1));
    }
    mesh.run_for(SOON);
    let arrived: Vec<&[u8]> = mesh.nodes[1].messages().collect();
    let each: BTreeSet<&[u8]> = arrived.iter().copied().collect();
    assert_eq!(arrived.len(), each.len(), "none came twice");
    assert!(each.iter().all(|arrived| (0..300).any(|number| body(number) == *arrived)), "each is whole");
    assert!((150..300).contains(&arrived.len()), "one in ten is lost, and not sent again: {}", arrived.len());
}

#[test]
fn datagrams_for_which_there_is_no_room_are_counted_and_leave_the_link_as_it_was() {
    let mut mesh = linked_pair(1);
    mesh.send(0, "b", |out| {
        for _ in 0..1_000 {
            out.message_datagram(1, To::Serial(9), &[7; 1_000]).expect("it fits");
        }
    });
    mesh.run_for(SOON);
    let dropped = mesh.nodes[0].engine.stats().datagrams_dropped;
    let arrived = mesh.nodes[1].messages().count() as u64;
    assert_eq!(dropped + arrived, 1_000, "each is sent or counted");
    assert!(dropped > 0 && arrived > 0, "{dropped} of them found no room");
    assert_eq!(mesh.nodes[0].engine.links().next().expect("the link").queued_bytes, 0);
}
