//! Remote spawn: a child on another node is like one that was spawned here.

use std::time::Duration;

use regatta::cluster::{AttachError, SpawnError};
use regatta::{ClusterNode, Context, ExitReason, Limits, Received, Runtime, SpawnRemote};
use regatta_proto::host::CallError;
use regatta_proto::wire::frame::SpawnRefusal;
use tokio::sync::mpsc;

use super::world::{Apart, Probe, anywhere, bind, link, pair, park, run, shared};

/// Teaches a node a child that passes on its arguments and then whatever it is told.
fn teach_parrot(node: &ClusterNode) -> mpsc::UnboundedReceiver<Vec<u8>> {
    let (said, heard) = mpsc::unbounded_channel();
    node.register_spawnable("parrot", move |rt, args| {
        let said = said.clone();
        let body = |mut ctx: Context| async move {
            said.send(args).expect("the test listens");
            while let Some(message) = ctx.recv().await.message() {
                said.send(message.to_vec()).expect("the test listens");
            }
        };
        rt.spawn(body).pid()
    });
    heard
}

#[test]
fn a_remote_child_gets_its_arguments_and_can_be_sent_to() {
    run(async {
        let (a, b) = pair().await;
        let mut heard = teach_parrot(&b);
        let child = a.spawn_remote("b", "parrot", b"arguments".to_vec()).await.expect("it starts");
        assert_eq!(child.incarnation(), b.runtime().incarnation());
        assert_eq!(heard.recv().await.as_deref(), Some(&b"arguments"[..]));
        a.runtime().send(child, "hello").await.expect("accepted");
        assert_eq!(heard.recv().await.as_deref(), Some(&b"hello"[..]));
        assert!(b.runtime().is_alive(child));
    });
}

#[test]
fn killing_a_remote_child_fires_a_monitor_on_it_exactly_once() {
    run(async {
        let (a, b) = pair().await;
        b.register_spawnable("idle", |rt, _| rt.spawn(|_| park()).pid());
        let child = a.spawn_remote("b", "idle", vec![]).await.expect("it starts");
        let mut probe = Probe::start(&a);
        let watch_and_kill = move |ctx: &Context| {
            let reference = ctx.monitor(child);
            assert!(ctx.exit(child, ExitReason::Killed), "the request is on its way");
            reference
        };
        let reference = probe.act(watch_and_kill).await;
        let down = Received::Down { reference, pid: child, reason: ExitReason::Killed };
        assert_eq!(probe.next().await, down);
        // The loss of the connection would fire whatever is left of the monitor.
        b.shutdown();
        a.settled(|a| a.peers().is_empty()).await;
        a.runtime().send(probe.pid(), "last").await.expect("the probe lives");
        assert_eq!(probe.message().await, "last", "one Down, and nothing after it");
    });
}

/// Spawns from inside a process, with a link and a monitor, and passes on what the process then receives.
fn spawn_watched(
    node: &ClusterNode,
    factory: &'static str,
    options: SpawnRemote,
) -> mpsc::UnboundedReceiver<Result<Received, SpawnError>> {
    let (seen, inbox) = mpsc::unbounded_channel();
    let spawner = node.clone();
    node.runtime().spawn(|mut ctx| async move {
        ctx.trap_exit(true);
        let child = spawner.spawn_remote_with("b", factory, vec![], options).await;
        drop(spawner);
        let told = match child {
            Ok(child) => {
                let reference = child.monitor.expect("a monitor was asked for");
                // Not a Down yet: only tells the test which monitor to expect it from.
                Ok(Received::Down { reference, pid: child.pid, reason: ExitReason::Normal })
            }
            Err(error) => Err(error),
        };
        seen.send(told).expect("the test listens");
        while seen.send(Ok(ctx.recv().await)).is_ok() {}
    });
    inbox
}

fn watched(register: Option<&str>) -> SpawnRemote {
    SpawnRemote {
        link: true,
        monitor: true,
        register: register.map(str::to_owned),
        deadline: Some(Duration::from_secs(20)),
    }
}

#[test]
fn a_child_is_linked_monitored_and_named_before_it_starts() {
    run(async {
        let (a, b) = pair().await;
        // Ends at its very first poll: whoever is not linked by then misses it.
        b.register_spawnable("brief", |rt, _| {
            let node = rt.clone();
            let body = move |ctx: Context| async move {
                let info = node.info(ctx.pid()).expect("it is alive");
                let names: Vec<String> = info.names.iter().map(ToString::to_string).collect();
                assert_eq!(names, ["worker"]);
                assert_eq!((info.links.len(), info.monitored_by.len()), (1, 1));
                ExitReason::custom("at its first poll")
            };
            rt.spawn(body).pid()
        });
        let mut inbox = spawn_watched(&a, "brief", watched(Some("worker")));
        let told = inbox.recv().await.expect("a result").expect("it starts");
        let (reference, pid, _) = told.down().expect("the child and its monitor");
        let mut seen = Vec::new();
        for _ in 0..2 {
            seen.push(inbox.recv().await.expect("the process lives").expect("received"));
        }
        seen.sort_by_key(|received| matches!(received, Received::Down { .. }));
        let reason = ExitReason::custom("at its first poll");
        assert_eq!(seen[0], Received::Exit { from: pid, reason: reason.clone() });
        assert_eq!(seen[1], Received::Down { reference, pid, reason });
    });
}

#[test]
fn a_name_for_a_child_is_seen_by_the_cluster_and_refused_when_it_is_taken() {
    run(async {
        let (a, b) = pair().await;
        b.register_spawnable("idle", |rt, _| rt.spawn(|_| park()).pid());
        let options = || SpawnRemote { register: Some("worker".to_owned()), ..SpawnRemote::default() };
        let child = a.spawn_remote_with("b", "idle", vec![], options()).await.expect("it starts");
        a.settled(|a| a.whereis_global_pid("worker") == Some(child.pid)).await;
        let second = a.spawn_remote_with("b", "idle", vec![], options()).await;
        let Err(error @ SpawnError::Refused { refusal: SpawnRefusal::NameTaken, .. }) = second else {
            panic!("the name is taken: {second:?}");
        };
        assert!(!error.may_have_happened());
        b.runtime().kill(child.pid);
        b.settled(|b| b.whereis_global("worker").is_none()).await;
        let mut inbox = spawn_watched(&a, "idle", watched(Some("worker")));
        inbox.recv().await.expect("a result").expect("the name is free again");
    });
}

#[test]
fn the_end_of_the_caller_ends_a_linked_child() {
    run(async {
        let (a, b) = pair().await;
        let (started, mut children) = mpsc::unbounded_channel();
        b.register_spawnable("idle", move |rt, _| {
            let child = rt.spawn(|_| park());
            started.send(child.clone()).expect("the test listens");
            child.pid()
        });
        let spawner = a.clone();
        let caller = a.runtime().spawn(|_| async move {
            let options = SpawnRemote { link: true, ..SpawnRemote::default() };
            spawner.spawn_remote_with("b", "idle", vec![], options).await.expect("it starts");
            ExitReason::custom("the caller fails")
        });
        let child = children.recv().await.expect("a child");
        assert_eq!(child.join().await, ExitReason::custom("the caller fails"));
        caller.join().await;
    });
}

#[test]
fn a_linked_child_that_starts_after_its_callers_deadline_is_told_that_the_caller_is_out_of_reach() {
    run(async {
        let identity = shared();
        let a = bind("a", &identity);
        let apart = Apart::bind("b", &identity);
        let b = &apart.node;
        link(&a, b).await;
        let (started, mut children) = mpsc::unbounded_channel();
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        // Holds up its whole node until the test says so: the caller's deadline passes meanwhile.
        b.register_spawnable("slow", move |rt, _| {
            wait.lock().expect("one call at a time").recv().expect("the test goes on");
            let child = rt.spawn(|_| park());
            started.send(child.clone()).expect("the test listens");
            child.pid()
        });
        let options = SpawnRemote { deadline: Some(Duration::from_millis(1)), ..watched(None) };
        let mut inbox = spawn_watched(&a, "slow", options);
        let error = inbox.recv().await.expect("a result").expect_err("nobody answers");
        assert!(error.may_have_happened(), "{error}");
        go_on.send(()).expect("the factory waits");
        let child = children.recv().await.expect("a child");
        assert_eq!(child.join().await, ExitReason::NoConnection);
    });
}

#[test]
fn calls_without_a_deadline_of_their_own_end_by_the_nodes_call_timeout() {
    run(async {
        let identity = shared();
        let limits = Limits { call_timeout: Duration::from_millis(1), ..Limits::default() };
        let a = ClusterNode::builder("a", Runtime::new(), &identity).limits(limits).bind(anywhere());
        let a = a.expect("the node starts");
        let apart = Apart::bind("b", &identity);
        let b = &apart.node;
        link(&a, b).await;
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        // Holds up its whole node until the test is over.
        b.register_spawnable("slow", move |rt, _| {
            let _over = wait.lock().expect("one call at a time").recv();
            rt.spawn(|_| park()).pid()
        });
        // Below the default: a call that took the default instead would end after this one.
        let longer = SpawnRemote { deadline: Some(Duration::from_secs(4)), ..SpawnRemote::default() };
        let short = async {
            let spawned = a.spawn_remote("b", "slow", vec![]).await;
            (spawned, a.remote_pids("b").await)
        };
        let (spawned, listed) = tokio::select! {
            biased;
            short = short => short,
            long = a.spawn_remote_with("b", "slow", vec![], longer) => panic!("it waits longer: {long:?}"),
        };
        let timeout = CallError::Timeout;
        assert!(matches!(spawned, Err(SpawnError::Call { source, .. }) if source == timeout));
        assert!(matches!(listed, Err(AttachError::Call { source, .. }) if source == timeout));
        drop(go_on);
    });
}

#[test]
fn a_factory_that_panics_is_the_callers_error_and_leaves_nothing_behind() {
    run(async {
        let (a, b) = pair().await;
        let (started, mut children) = mpsc::unbounded_channel();
        b.register_spawnable("broken", move |rt, _| {
            started.send(rt.spawn(|_| park())).expect("the test listens");
            panic!("no parts")
        });
        let error = a.spawn_remote("b", "broken", vec![]).await.expect_err("it panics");
        let refusal = SpawnRefusal::Panicked("no parts".to_owned());
        let expected = SpawnError::Refused { node: "b".to_owned(), factory: "broken".to_owned(), refusal };
        assert_eq!(error, expected);
        assert!(!error.may_have_happened());
        let child = children.recv().await.expect("it was spawned before the panic");
        assert_eq!(child.join().await, ExitReason::Killed, "what the factory had spawned is killed");
        b.register_spawnable("broken", |rt, _| rt.spawn(|_| park()).pid());
        a.spawn_remote("b", "broken", vec![]).await.expect("the node and the link live on");
    });
}

#[test]
fn what_cannot_be_spawned_is_an_error_that_says_why() {
    run(async {
        let (a, _b) = pair().await;
        let unknown = a.spawn_remote("b", "unknown", vec![]).await;
        let none = SpawnError::NoFactory { node: "b".to_owned(), factory: "unknown".to_owned() };
        assert_eq!(unknown, Err(none));
        let nowhere = a.spawn_remote("nowhere", "parrot", vec![]).await;
        assert_eq!(nowhere, Err(SpawnError::NoConnection { node: "nowhere".to_owned() }));
        let large = a.spawn_remote("b", "parrot", vec![0; 1 << 20]).await;
        assert!(matches!(large, Err(SpawnError::TooLarge { .. })), "{large:?}");
        assert!(matches!(a.spawn_remote("b", "", vec![]).await, Err(SpawnError::BadName(_))));
    });
}

#[test]
fn a_process_of_another_runtime_spawns_like_nobody_and_links_no_stranger() {
    run(async {
        let (a, b) = pair().await;
        b.register_spawnable("idle", |rt, _| rt.spawn(|_| park()).pid());
        // The first process of each runtime: the serials are the same, the processes are not.
        let stranger = a.runtime().spawn(|_| park());
        let elsewhere = Runtime::new();
        let (done, spawned) = tokio::sync::oneshot::channel();
        let asks = a.clone();
        let caller = elsewhere.spawn(move |_| async move {
            let options = SpawnRemote { link: true, monitor: true, ..SpawnRemote::default() };
            let child = asks.spawn_remote_with("b", "idle", vec![], options).await;
            done.send(child.expect("it starts")).expect("the test waits");
        });
        assert_eq!(stranger.pid().serial(), caller.pid().serial());
        let child = spawned.await.expect("it is spawned");
        assert_eq!(child.monitor, None, "nobody of this node asked");
        let links = |node: &ClusterNode, pid| node.runtime().info(pid).expect("it lives").links;
        assert!(links(&a, stranger.pid()).is_empty());
        assert!(links(&b, child.pid).is_empty());
    });
}
