//! Remote spawns and questions: each call ends once, and a child is watched from its first moment.

use std::time::Duration;

use bytes::Bytes;
use regatta::{ExitReason, Limits};
use regatta_proto::host::{CallOutcome, Event, LinkId};
use regatta_proto::link::outgoing::Outgoing;
use regatta_proto::signal::Signal;
use regatta_proto::testing::{Mesh, Node};
use regatta_proto::wire::control::{Answer, Ask, ListProcesses, Question, Reply};
use regatta_proto::wire::frame::{SpawnRefusal, SpawnRequest};

use super::world::{EVENTUALLY, SOON, certified, link, linked_pair, pid, reference, signals};

fn request(call: u64) -> SpawnRequest {
    SpawnRequest {
        call,
        factory: "worker".parse().expect("a name"),
        register: None,
        link: true,
        monitor: Some(reference(call)),
        deadline: Duration::from_secs(60),
        args: Bytes::from_static(b"arguments"),
    }
}

/// Asks for a child and waits until the other end knows.
fn ask(mesh: &mut Mesh, call: u64) -> (LinkId, regatta::Pid, SpawnRequest) {
    let wanted = request(call);
    mesh.send(0, "b", |out| assert!(out.spawn(1, &wanted).is_ok()));
    let asked = |node: &Node| {
        node.host.events.iter().find_map(|event| match event {
            Event::SpawnRequested { link, caller, request } if request.call == call => {
                Some((*link, *caller, request.clone()))
            }
            _ => None,
        })
    };
    assert!(mesh.run_until(SOON, |mesh| asked(&mesh.nodes[1]).is_some()));
    let found = asked(&mesh.nodes[1]).expect("it arrived");
    assert_eq!(found.1, pid(mesh, 0, 1));
    assert_eq!((&found.2.args, found.2.deadline), (&wanted.args, wanted.deadline));
    found
}

/// How a call of the first node ended, as often as it did.
fn outcomes(mesh: &Mesh, call: u64) -> Vec<Result<CallOutcome, regatta_proto::host::CallError>> {
    let ended = mesh.nodes[0].host.events.iter().filter_map(|event| match event {
        Event::Called { call: of, result } if *of == call => Some(result.clone()),
        _ => None,
    });
    ended.collect()
}

#[test]
fn a_childs_end_right_after_its_start_fires_the_callers_link_and_monitor() {
    let mut mesh = linked_pair(1);
    let (_, caller, request) = ask(&mut mesh, 7);
    mesh.path.loss_permille = 20;
    mesh.send(1, "a", |out| {
        out.spawned(5, caller, &request, &Ok(()));
        let reason = ExitReason::custom("at once");
        assert!(out.signal(5, caller, Signal::LinkExit(reason.clone())).is_ok());
        assert!(out.signal(5, caller, Signal::Down { reference: reference(7), reason }).is_ok());
    });
    assert!(mesh.run_until(EVENTUALLY, |mesh| signals(&mesh.nodes[0]).len() == 2));
    let (child, reason) = (pid(&mesh, 1, 5), ExitReason::custom("at once"));
    assert_eq!(outcomes(&mesh, 7), [Ok(CallOutcome::Spawned(Ok(child)))]);
    let fired = [
        (child, 1, Signal::LinkExit(reason.clone())),
        (child, 1, Signal::Down { reference: reference(7), reason }),
    ];
    assert_eq!(signals(&mesh.nodes[0]), fired);
    mesh.act(1, |now, engine, host| engine.shutdown(now, host));
    assert!(mesh.run_until(EVENTUALLY, |mesh| mesh.nodes[0].downs() == 1));
    assert_eq!(signals(&mesh.nodes[0]), fired, "the loss of the link fires neither again");
}

#[test]
fn the_loss_of_the_link_to_a_child_fires_what_the_spawn_set_up() {
    let mut mesh = linked_pair(1);
    let (_, caller, request) = ask(&mut mesh, 7);
    mesh.send(1, "a", |out| {
        out.spawned(5, caller, &request, &Ok(()));
    });
    assert!(mesh.run_until(SOON, |mesh| !outcomes(mesh, 7).is_empty()));
    mesh.act(0, |now, engine, host| engine.shutdown(now, host));
    assert!(mesh.run_until(SOON, |mesh| mesh.nodes[1].downs() == 1));
    let (child, gone) = (pid(&mesh, 1, 5), ExitReason::NoConnection);
    assert_eq!(
        signals(&mesh.nodes[0]),
        [
            (child, 1, Signal::LinkExit(gone.clone())),
            (child, 1, Signal::Down { reference: reference(7), reason: gone.clone() })
        ]
    );
    assert_eq!(signals(&mesh.nodes[1]), [(caller, 5, Signal::LinkExit(gone))]);
    let lost =
        mesh.nodes[1].host.events.iter().filter(
            |event| matches!(event, Event::WatcherLost { target: 5, watcher, .. } if *watcher == caller),
        );
    assert_eq!(lost.count(), 1);
    assert_eq!(outcomes(&mesh, 7).len(), 1, "the call has its answer already");
}

#[test]
fn a_refused_spawn_watches_nothing() {
    let mut mesh = linked_pair(1);
    let (_, caller, request) = ask(&mut mesh, 7);
    mesh.send(1, "a", |out| {
        out.spawned(0, caller, &request, &Err(SpawnRefusal::NoFactory));
    });
    assert!(mesh.run_until(SOON, |mesh| !outcomes(mesh, 7).is_empty()));
    assert_eq!(outcomes(&mesh, 7), [Ok(CallOutcome::Spawned(Err(SpawnRefusal::NoFactory)))]);
    mesh.act(1, |now, engine, host| engine.shutdown(now, host));
    assert!(mesh.run_until(SOON, |mesh| mesh.nodes[0].downs() == 1));
    assert_eq!(signals(&mesh.nodes[0]), []);
}

/// What a node was told of children that came too late.
fn late(mesh: &Mesh) -> Vec<(u64, regatta::Pid, bool, Option<regatta::Reference>)> {
    let late = mesh.nodes[0].host.events.iter().filter_map(|event| match event {
        Event::SpawnedLate { caller, child, link, monitor } => Some((*caller, *child, *link, *monitor)),
        _ => None,
    });
    late.collect()
}

#[test]
fn a_child_that_starts_after_the_deadline_is_reported_once_and_watched_by_nobody() {
    let mut mesh = linked_pair(1);
    let (_, caller, request) = ask(&mut mesh, 7);
    mesh.run_for(2 * request.deadline);
    for _ in 0..2 {
        mesh.send(1, "a", |out| {
            out.spawned(5, caller, &request, &Ok(()));
        });
        mesh.run_for(SOON);
    }
    assert_eq!(late(&mesh), [(1, pid(&mesh, 1, 5), true, Some(reference(7)))]);
    // What the node then sends leaves nothing at the other end that the loss of the link would fire.
    let child = pid(&mesh, 1, 5);
    mesh.send(0, "b", |out| {
        assert!(out.signal(1, child, Signal::LinkExit(ExitReason::NoConnection)).is_ok());
        assert!(out.signal(1, child, Signal::Demonitor { reference: reference(7) }).is_ok());
    });
    mesh.run_for(SOON);
    let told = signals(&mesh.nodes[1]).len();
    mesh.act(1, |now, engine, host| engine.shutdown(now, host));
    assert!(mesh.run_until(SOON, |mesh| mesh.nodes[0].downs() == 1));
    assert_eq!(signals(&mesh.nodes[0]), []);
    assert_eq!((told, signals(&mesh.nodes[1]).len()), (2, 2));
    let lost = |event: &&Event| matches!(event, Event::WatcherLost { .. });
    assert_eq!(mesh.nodes[1].host.events.iter().filter(lost).count(), 0);
}

#[test]
fn a_late_refusal_and_a_late_child_that_nobody_wanted_to_watch_are_not_reported() {
    let mut mesh = linked_pair(1);
    let (_, caller, refused) = ask(&mut mesh, 7);
    let unwatched = SpawnRequest { link: false, monitor: None, ..request(8) };
    mesh.send(0, "b", |out| assert!(out.spawn(1, &unwatched).is_ok()));
    mesh.run_for(2 * refused.deadline);
    mesh.send(1, "a", |out| {
        out.spawned(0, caller, &refused, &Err(SpawnRefusal::NoFactory));
        out.spawned(5, caller, &unwatched, &Ok(()));
        // A second answer, to what was refused already.
        out.spawned(6, caller, &refused, &Ok(()));
    });
    mesh.run_for(SOON);
    assert_eq!(late(&mesh), []);
}

#[test]
fn what_a_caller_wants_of_its_child_stays_when_another_peer_answers_its_call() {
    let mut mesh = certified(1, &["a", "b", "c"], &Limits::default());
    link(&mut mesh, 0, 1);
    link(&mut mesh, 0, 2);
    let (_, caller, request) = ask(&mut mesh, 7);
    for (node, child) in [(2, 6), (1, 5)] {
        mesh.send(node, "a", |out| {
            out.spawned(child, caller, &request, &Ok(()));
        });
        mesh.run_for(SOON);
    }
    assert_eq!(outcomes(&mesh, 7), [Ok(CallOutcome::Spawned(Ok(pid(&mesh, 1, 5))))]);
    mesh.act(1, |now, engine, host| engine.shutdown(now, host));
    assert!(mesh.run_until(SOON, |mesh| mesh.nodes[0].downs() == 1));
    assert_eq!(signals(&mesh.nodes[0]).len(), 2, "its link and its monitor fire");
}

#[test]
fn spawns_that_a_peer_never_answers_count_among_the_links_and_monitors() {
    let limits = Limits { watches_per_link_max: 2, ..Limits::default() };
    let mut mesh = certified(1, &["a", "b"], &limits);
    link(&mut mesh, 0, 1);
    for call in 7..10 {
        assert_eq!(mesh.nodes[0].downs(), 0);
        ask(&mut mesh, call);
        mesh.run_for(2 * request(call).deadline);
    }
    assert_eq!(mesh.nodes[0].downs(), 1);
}

#[test]
fn an_answer_after_the_deadline_is_nobodys() {
    let mut mesh = linked_pair(1);
    let (_, caller, request) = ask(&mut mesh, 7);
    mesh.run_for(2 * request.deadline);
    assert_eq!(outcomes(&mesh, 7), [Err(regatta_proto::host::CallError::Timeout)]);
    mesh.send(1, "a", |out| {
        out.spawned(5, caller, &request, &Ok(()));
    });
    mesh.run_for(SOON);
    assert_eq!(outcomes(&mesh, 7).len(), 1);
}

#[test]
fn questions_that_are_asked_at_once_each_get_their_own_answer() {
    const QUESTIONS: u64 = 200;
    let mut mesh = linked_pair(5);
    mesh.path.loss_permille = 20;
    let link = mesh.nodes[0].link("b").expect("they are linked");
    mesh.act(0, |now, engine, host| {
        for call in 0..QUESTIONS {
            let question = Question { ask: Some(Ask::ListProcesses(ListProcesses { after: call, max: 1 })) };
            engine.ask(now, link, call, &question, Duration::from_secs(60), host);
        }
    });
    let done = |mesh: &Mesh| (0..QUESTIONS).all(|call| !outcomes(mesh, call).is_empty());
    let mut answered = 0;
    while !done(&mesh) {
        assert!(mesh.elapsed() < EVENTUALLY, "{answered} answers so far");
        mesh.run_for(Duration::from_millis(5));
        let asked = mesh.nodes[1].host.events.iter().filter_map(|event| match event {
            Event::Asked { link, stream, question } => Some((*link, *stream, question.clone())),
            _ => None,
        });
        let fresh: Vec<_> = asked.skip(answered).collect();
        answered += fresh.len();
        mesh.act(1, |_, engine, _| {
            for (link, stream, question) in fresh {
                let Some(Ask::ListProcesses(ListProcesses { after, .. })) = question.ask else {
                    panic!("only that was asked");
                };
                let reply = Some(Reply::Refused(format!("answer to {after}")));
                engine.answer(link, stream, &Answer { reply });
            }
        });
    }
    for call in 0..QUESTIONS {
        let own = regatta_proto::host::CallError::Refused(format!("answer to {call}"));
        assert_eq!(outcomes(&mesh, call), [Err(own)]);
    }
}

#[test]
fn a_request_for_a_link_that_is_gone_was_not_sent() {
    let mut mesh = linked_pair(1);
    let link = mesh.nodes[0].link("b").expect("they are linked");
    mesh.act(1, |now, engine, host| engine.shutdown(now, host));
    assert!(mesh.run_until(SOON, |mesh| mesh.nodes[0].downs() == 1));
    mesh.act(0, |now, engine, host| {
        let mut out = Outgoing::new(1 << 20);
        assert!(out.spawn(1, &request(7)).is_ok());
        engine.take(now, link, &mut out, host);
    });
    assert_eq!(outcomes(&mesh, 7), [Err(regatta_proto::host::CallError::NotSent)]);
}
