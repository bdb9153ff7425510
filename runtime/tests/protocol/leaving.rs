//! A node that leaves: what its processes had sent arrives, and it does not take long.

use std::time::Duration;

use bytes::Bytes;
use regatta::ExitReason;
use regatta_proto::host::{Event, NodeChange};
use regatta_proto::signal::Signal;
use regatta_proto::testing::Path;
use regatta_proto::wire::frame::To;

use super::detection::{full, story};
use super::world::{SOON, ends, linked_pair, pid, reference, signals};

const LEAVE: Duration = Duration::from_millis(100);

#[test]
fn what_was_sent_before_a_node_left_arrives_before_its_goodbye() {
    let mut mesh = linked_pair(1);
    mesh.path = Path { latency: Duration::from_millis(2), ..Path::default() };
    mesh.run_for(SOON);
    mesh.send(0, "b", |out| {
        for number in 0..10_000u64 {
            out.message(number % 64 + 1, To::Serial(9), &number.to_be_bytes()).expect("it fits");
        }
        for sender in [3, 77] {
            out.message_owned(sender, To::Serial(9), Bytes::from(vec![7; 200_000])).expect("it fits");
            out.message(sender, To::Serial(9), b"behind").expect("it fits");
        }
    });
    let start = mesh.elapsed();
    mesh.act(0, |now, engine, host| engine.shutdown(now, host));
    assert!(mesh.run_until(SOON, |mesh| story(&mesh.nodes[1], "a") == ["left"]));
    assert!(mesh.elapsed() - start <= LEAVE, "{:?}", mesh.elapsed() - start);
    let received: Vec<&[u8]> = mesh.nodes[1].messages().collect();
    assert_eq!(received.len(), 10_004);
    assert_eq!(received.iter().filter(|body| body.len() == 200_000).count(), 2);
    assert_eq!(mesh.nodes[0].engine.stats().frames_dropped, 0);
    mesh.run_for(SOON);
    assert!(mesh.nodes[0].engine.is_drained());
}

#[test]
fn a_node_that_has_nothing_to_send_leaves_at_once() {
    let mut mesh = full(1, 5);
    mesh.run_for(SOON);
    let start = mesh.elapsed();
    mesh.act(2, |now, engine, host| engine.shutdown(now, host));
    let others = [0, 1, 3, 4];
    let left = |node: &usize| story(&mesh.nodes[*node], "n002") == ["left"];
    assert!(!others.iter().any(left));
    let path = mesh.path.latency;
    mesh.run_for(2 * path);
    assert!(others.iter().all(|node| story(&mesh.nodes[*node], "n002") == ["left"]));
    assert!(mesh.elapsed() - start <= 2 * path);
}

#[test]
fn what_reaches_a_node_that_leaves_too_late_is_answered_with_no_connection() {
    let mut mesh = linked_pair(1);
    mesh.path = Path { latency: Duration::from_millis(10), ..Path::default() };
    mesh.run_for(SOON);
    let process = pid(&mesh, 0, 4);
    mesh.act(0, |now, engine, host| engine.shutdown(now, host));
    // Its goodbye is under way when this is sent.
    mesh.send(1, "a", |out| {
        out.signal(9, process, Signal::Monitor { reference: reference(1) }).expect("it fits");
        out.signal(9, process, Signal::Link).expect("it fits");
    });
    mesh.run_for(SOON);
    let reason = ExitReason::NoConnection;
    assert_eq!(
        signals(&mesh.nodes[1]),
        [
            (process, 9, Signal::LinkExit(reason.clone())),
            (process, 9, Signal::Down { reference: reference(1), reason }),
        ]
    );
    assert_eq!(mesh.nodes[1].node_changes().pop().map(|(.., change)| change), Some(NodeChange::Left));
}

#[test]
fn a_node_does_not_wait_for_peers_that_do_not_answer() {
    let mut mesh = full(1, 3);
    mesh.run_for(SOON);
    mesh.cut(1, 0);
    mesh.send(0, "n001", |out| {
        out.message(1, To::Serial(9), b"lost").expect("it fits");
    });
    let start = mesh.elapsed();
    mesh.act(0, |now, engine, host| engine.shutdown(now, host));
    let over = mesh.run_until(SOON, |mesh| mesh.nodes[0].links().is_empty());
    assert!(over && mesh.elapsed() - start <= LEAVE, "{:?}", mesh.elapsed() - start);
    assert_eq!(ends(&mesh.nodes[0]).len(), 2);
    mesh.run_for(SOON);
    // The goodbye went through: nobody takes it for a crash.
    assert_eq!(story(&mesh.nodes[1], "n000"), ["left"]);
}

#[test]
fn a_node_that_runs_out_of_time_amid_its_sends_says_goodbye() {
    let mut mesh = linked_pair(1);
    mesh.path = Path { latency: Duration::from_millis(40), ..Path::default() };
    mesh.run_for(SOON);
    mesh.send(0, "b", |out| {
        for sender in 0..64 {
            out.message_owned(sender, To::Serial(9), Bytes::from(vec![7; 200_000])).expect("it fits");
        }
    });
    let start = mesh.elapsed();
    mesh.act(0, |now, engine, host| engine.shutdown(now, host));
    assert!(mesh.run_until(SOON, |mesh| story(&mesh.nodes[1], "a") == ["left"]), "found out by silence");
    assert!(mesh.elapsed() - start <= LEAVE + mesh.path.latency, "{:?}", mesh.elapsed() - start);
    assert!(mesh.nodes[1].messages().count() < 64, "more than the path takes in that time");
}

#[test]
fn two_nodes_that_leave_at_the_same_time_both_end() {
    let mut mesh = linked_pair(1);
    for (node, peer) in [(0, "b"), (1, "a")] {
        mesh.send(node, peer, |out| {
            out.message(1, To::Serial(9), b"last").expect("it fits");
        });
        mesh.act(node, |now, engine, host| engine.shutdown(now, host));
    }
    mesh.run_for(SOON);
    for node in &mesh.nodes {
        assert!(node.engine.is_drained());
        assert_eq!(node.messages().count(), 1, "what had been sent when the other left");
        let downs = node.host.events.iter().filter(|event| matches!(event, Event::Down { .. }));
        assert_eq!(downs.count(), 1);
    }
}
