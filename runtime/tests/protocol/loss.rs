//! What the end of a link does to all that depends on it: each thing fires once.

use std::time::Duration;

use bytes::Bytes;
use regatta::ExitReason;
use regatta_proto::host::{CallError, Event, LinkEnd};
use regatta_proto::signal::Signal;
use regatta_proto::testing::{Mesh, Node};
use regatta_proto::wire::control::{Ask, ListProcesses, Question};
use regatta_proto::wire::frame::SpawnRequest;

use super::world::{SOON, ends, linked_pair, pid, reference, signals};

/// Longer than a peer's silence is borne.
const DEADLINE: Duration = Duration::from_secs(60);

/// What a world has under way across its one link: links in both directions, monitors in both directions, one link that
/// was taken back without an acknowledgement so far, one monitor that was taken back, one that has fired, and two calls without an answer.
fn entangle(mesh: &mut Mesh) {
    let (a1, b5) = (pid(mesh, 0, 1), pid(mesh, 1, 5));
    mesh.send(0, "b", |out| {
        let mut put = |from, signal| assert!(out.signal(from, b5, signal).is_ok());
        put(1, Signal::Link);
        put(1, Signal::Monitor { reference: reference(10) });
        put(2, Signal::Link);
        put(2, Signal::Unlink { id: 1 });
        put(2, Signal::Monitor { reference: reference(11) });
        put(2, Signal::Demonitor { reference: reference(11) });
        put(3, Signal::Monitor { reference: reference(12) });
    });
    mesh.send(1, "a", |out| {
        let mut put = |from, signal| assert!(out.signal(from, a1, signal).is_ok());
        // The same link from the other end: still one link.
        put(5, Signal::Link);
        put(6, Signal::Monitor { reference: reference(20) });
    });
    mesh.run_for(Duration::from_secs(1));
    let a3 = pid(mesh, 0, 3);
    mesh.send(1, "a", |out| {
        let down = Signal::Down { reference: reference(12), reason: ExitReason::Normal };
        assert!(out.signal(5, a3, down).is_ok());
    });
    mesh.send(0, "b", |out| {
        let request = SpawnRequest {
            call: 100,
            factory: "worker".parse().expect("a name"),
            register: None,
            link: true,
            monitor: Some(reference(13)),
            deadline: DEADLINE,
            args: Bytes::new(),
        };
        assert!(out.spawn(1, &request).is_ok());
    });
    let link = mesh.nodes[0].link("b").expect("they are linked");
    mesh.act(0, |now, engine, host| {
        let question = Question { ask: Some(Ask::ListProcesses(ListProcesses { after: 0, max: 10 })) };
        engine.ask(now, link, 101, &question, DEADLINE, host);
    });
    mesh.run_for(Duration::from_secs(1));
    for node in &mut mesh.nodes {
        node.host.delivered.clear();
    }
}

fn calls(node: &Node) -> Vec<(u64, CallError)> {
    let calls = node.host.events.iter().filter_map(|event| match event {
        Event::Called { call, result: Err(error) } => Some((*call, error.clone())),
        Event::Called { call, result: Ok(outcome) } => panic!("call {call} was answered: {outcome:?}"),
        _ => None,
    });
    calls.collect()
}

fn assert_all_fired_once(mesh: &Mesh) {
    let (a, b) = (&mesh.nodes[0], &mesh.nodes[1]);
    let (a1, b5) = (pid(mesh, 0, 1), pid(mesh, 1, 5));
    let gone = Signal::LinkExit(ExitReason::NoConnection);
    let down = |raw| Signal::Down { reference: reference(raw), reason: ExitReason::NoConnection };
    let acknowledged = Signal::UnlinkAck { id: 1 };
    assert_eq!(signals(a), [(b5, 1, gone.clone()), (b5, 2, acknowledged), (b5, 1, down(10))]);
    assert_eq!(signals(b), [(a1, 5, gone), (a1, 6, down(20))]);
    assert_eq!(calls(a), [(100, CallError::LinkLost), (101, CallError::LinkLost)]);
    let forgotten = |node: &Node| {
        let lost = node.host.events.iter().filter_map(|event| match event {
            Event::WatcherLost { target, watcher, reference } => Some((*target, *watcher, *reference)),
            _ => None,
        });
        lost.collect::<Vec<_>>()
    };
    assert_eq!(forgotten(a), [(1, pid(mesh, 1, 6), reference(20))]);
    assert_eq!(forgotten(b), [(5, a1, reference(10))]);
}

#[test]
fn a_goodbye_fires_each_link_monitor_and_call_across_it_once() {
    let mut mesh = linked_pair(1);
    entangle(&mut mesh);
    mesh.act(1, |now, engine, host| engine.shutdown(now, host));
    assert!(mesh.run_until(SOON, |mesh| mesh.nodes[0].downs() == 1));
    assert_all_fired_once(&mesh);
    // Nothing fires late: not by the deadlines of the calls, and not when the link is forgotten.
    mesh.run_for(2 * DEADLINE);
    assert_all_fired_once(&mesh);
}

#[test]
fn a_cut_fires_each_link_monitor_and_call_across_it_once() {
    let mut mesh = linked_pair(1);
    entangle(&mut mesh);
    mesh.cut(0, 1);
    mesh.cut(1, 0);
    assert!(mesh.run_until(DEADLINE, |mesh| mesh.nodes.iter().all(|node| node.downs() == 1)));
    assert_all_fired_once(&mesh);
    mesh.heal();
    mesh.run_for(2 * DEADLINE);
    assert_all_fired_once(&mesh);
}

#[test]
fn what_is_queued_for_a_link_that_is_gone_fails_as_with_the_link() {
    let mut mesh = linked_pair(1);
    let link = mesh.nodes[0].link("b").expect("they are linked");
    let b5 = pid(&mesh, 1, 5);
    mesh.act(1, |now, engine, host| engine.shutdown(now, host));
    assert!(mesh.run_until(SOON, |mesh| mesh.nodes[0].downs() == 1));
    mesh.act(0, |now, engine, host| {
        let mut out = regatta_proto::link::outgoing::Outgoing::new(1 << 20);
        assert!(out.signal(1, b5, Signal::Link).is_ok());
        assert!(out.signal(1, b5, Signal::Monitor { reference: reference(1) }).is_ok());
        assert!(out.signal(2, b5, Signal::Unlink { id: 3 }).is_ok());
        assert!(out.signal(1, b5, Signal::Message(Bytes::from_static(b"lost"))).is_ok());
        engine.take(now, link, &mut out, host);
        assert!(out.is_empty());
        let question = Question { ask: None };
        engine.ask(now, link, 7, &question, DEADLINE, host);
    });
    let gone = ExitReason::NoConnection;
    assert_eq!(
        signals(&mesh.nodes[0]),
        [
            (b5, 1, Signal::LinkExit(gone.clone())),
            (b5, 1, Signal::Down { reference: reference(1), reason: gone }),
            (b5, 2, Signal::UnlinkAck { id: 3 })
        ]
    );
    assert_eq!(calls(&mesh.nodes[0]), [(7, CallError::NotSent)]);
    assert_eq!(mesh.nodes[0].engine.stats().frames_dropped, 4);
}

#[test]
fn a_crashed_peer_is_noticed_by_its_silence_within_the_limits() {
    for seed in 0..4 {
        let mut mesh = linked_pair(seed);
        mesh.run_for(Duration::from_millis(3_300 * seed));
        let limits = mesh.nodes[0].engine.limits().clone();
        let start = mesh.elapsed();
        mesh.crash(1);
        assert!(mesh.run_until(DEADLINE, |mesh| mesh.nodes[0].downs() == 1), "seed {seed}");
        let silence = mesh.elapsed() - start;
        assert_eq!(ends(&mesh.nodes[0]), [&LinkEnd::Silence], "seed {seed}");
        // The last sign of life came up to a pulse before the crash, or was still under way.
        let (most, under_way) = (limits.down_unanswered_after, mesh.path.latency);
        assert!(silence <= most + under_way, "seed {seed}: {silence:?}");
        assert!(silence >= most - limits.pulse, "seed {seed}: {silence:?}");
    }
}

#[test]
fn a_call_without_an_answer_ends_by_its_deadline_and_once() {
    let mut mesh = linked_pair(1);
    let link = mesh.nodes[0].link("b").expect("they are linked");
    let start = mesh.elapsed();
    let deadline = Duration::from_secs(4);
    mesh.act(0, |now, engine, host| {
        let question = Question { ask: Some(Ask::ListProcesses(ListProcesses { after: 0, max: 1 })) };
        engine.ask(now, link, 9, &question, deadline, host);
    });
    assert!(mesh.run_until(SOON, |mesh| !calls(&mesh.nodes[0]).is_empty()));
    assert_eq!(mesh.elapsed() - start, deadline, "at the deadline, not later");
    mesh.act(1, |now, engine, host| engine.shutdown(now, host));
    mesh.run_for(SOON);
    assert_eq!(calls(&mesh.nodes[0]), [(9, CallError::Timeout)], "not again with the link");
}
