//! A thread that looks for more in the place of a node's loop, on a runtime of several workers.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::Poll;
use std::time::Duration;

use regatta::cluster::{NodeChange, NodeEvents};
use regatta::server::ServerOptions;
use regatta::{ClusterNode, Context, ExitReason, Identity, Next, ReplyTo, Runtime, Server, ServerRef};
use tokio::sync::oneshot;

use super::world::{anywhere, bind, link, run, shared};

/// Long enough for a busy machine: what is tested is that it spins and that it stops.
const SPIN: Duration = Duration::from_millis(5);

fn spinning(name: &str, identity: &Identity) -> ClusterNode {
    let builder = ClusterNode::builder(name, Runtime::new(), identity).spin(SPIN);
    builder.bind(anywhere()).expect("the node starts")
}

/// Doubles numbers.
struct Doubler;

impl Server for Doubler {
    type Args = ();
    type Call = u32;
    type Reply = u32;
    type Cast = ();

    async fn init((): (), _: &mut Context) -> Result<Self, ExitReason> {
        Ok(Self)
    }

    async fn call(&mut self, number: u32, caller: ReplyTo<Self>, _: &mut Context) -> Next {
        caller.reply(2 * number);
        Next::Continue
    }
}

/// Two that may spin and are linked. On the second there is a doubler.
async fn two() -> (ClusterNode, ClusterNode, ServerRef<Doubler>) {
    let identity = shared();
    let (a, b) = (spinning("a", &identity), spinning("b", &identity));
    link(&a, &b).await;
    let doubler = b.runtime().start_with(ServerOptions::named("doubler"), ()).await.expect("it starts");
    (a, b, doubler)
}

/// So many processes of `a` ask at the same time.
async fn ask(a: &ClusterNode, doubler: &ServerRef<Doubler>, times: u32) {
    let asking = (0..times).map(|number| {
        let doubler = doubler.clone();
        let (tell, told) = oneshot::channel();
        a.runtime().spawn(move |ctx| async move {
            // An error means that the test is over.
            let _ = tell.send(ctx.call(&doubler, number).await);
        });
        (number, told)
    });
    for (number, told) in asking.collect::<Vec<_>>() {
        assert_eq!(told.await.expect("it asks").expect("an answer"), 2 * number);
    }
}

/// Asks one question after the other until both nodes have spun so often.
async fn until_both_have_spun(a: &ClusterNode, b: &ClusterNode, doubler: &ServerRef<Doubler>, times: u64) {
    while a.stats().spins < times || b.stats().spins < times {
        ask(a, doubler, 1).await;
    }
}

async fn has_left(events: &mut NodeEvents) {
    loop {
        match events.next().await.expect("the node runs").change {
            NodeChange::Up => {}
            NodeChange::Left => return,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn it_begins_while_messages_follow_each_other_closely_and_ends_when_they_do_not() {
    run(async {
        let (a, b, doubler) = two().await;
        for times in 1..=20 {
            until_both_have_spun(&a, &b, &doubler, times).await;
            // The silence itself: nobody looks any more, and the socket wakes the loop as it did.
            tokio::time::sleep(2 * SPIN).await;
            ask(&a, &doubler, 1).await;
        }
    });
}

#[test]
fn many_at_once_are_answered_while_it_comes_and_goes() {
    run(async {
        let (a, b, doubler) = two().await;
        until_both_have_spun(&a, &b, &doubler, 1).await;
        for _ in 0..20 {
            // As many as it takes to begin again.
            for _ in 0..20 {
                ask(&a, &doubler, 1).await;
            }
            ask(&a, &doubler, 500).await;
        }
    });
}

#[test]
fn a_node_whose_loop_is_away_is_shut_down_as_any_other() {
    run(async {
        let (a, b, doubler) = two().await;
        let mut events = b.node_events();
        until_both_have_spun(&a, &b, &doubler, 1).await;
        a.shutdown();
        a.ended().await;
        has_left(&mut events).await;
    });
}

/// Whether this is the thread that spins, and no worker.
fn is_spinning_thread() -> bool {
    std::thread::current().name() == Some("regatta-spin")
}

/// A node on a tokio runtime of its own with two workers, and a process on it that blocks the thread that spins: it is asked by
/// `a` until that is who runs it. With the sender it is released; then it sets the flag.
async fn blocked(
    a: &ClusterNode,
    identity: &Identity,
) -> (tokio::runtime::Runtime, ClusterNode, mpsc::Sender<()>, Arc<AtomicBool>) {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let tokio = tokio.expect("a tokio runtime");
    let b = {
        let _inside = tokio.enter();
        spinning("b", identity)
    };
    link(a, &b).await;
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let over = Arc::new(AtomicBool::new(false));
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let ended = over.clone();
    let blocker = b.runtime().spawn(move |mut ctx| async move {
        loop {
            ctx.recv().await;
            let blocks = is_spinning_thread();
            tell.send(blocks).expect("the test waits");
            if blocks {
                let _over = held.into_inner().expect("nobody has panicked with it").recv();
                return ended.store(true, Ordering::SeqCst);
            }
        }
    });
    loop {
        a.runtime().send(blocker.pid(), "on which thread?").await.expect("they are linked");
        if told.recv().await.expect("it runs") {
            return (tokio, b, release, over);
        }
    }
}

#[test]
fn a_process_that_blocks_the_thread_does_not_cut_the_node_off() {
    run(async {
        let identity = shared();
        let a = bind("a", &identity);
        let (tokio, b, release, over) = blocked(&a, &identity).await;
        // Both workers are idle; but the loop's work is with the thread, and only the guard is left to do it.
        while b.stats().takeovers == 0 {
            a.remote_processes("b").await.expect("the node answers");
        }
        drop(release);
        while !over.load(Ordering::SeqCst) {
            a.remote_processes("b").await.expect("the node answers");
        }
        assert_eq!(a.stats().nodes_down, 0);
        tokio.shutdown_background();
    });
}

#[test]
fn the_end_of_the_tokio_runtime_waits_for_the_process_that_the_thread_runs() {
    run(async {
        let identity = shared();
        let a = bind("a", &identity);
        let (tokio, b, release, over) = blocked(&a, &identity).await;
        let mut ends = tokio::task::spawn_blocking(move || {
            drop(tokio);
            over.load(Ordering::SeqCst)
        });
        // The node has ended; the process that its thread runs has not.
        b.ended().await;
        // That it does not end is what is tested: there is no event to wait for.
        let early = tokio::time::timeout(Duration::from_millis(50), &mut ends).await;
        assert!(early.is_err(), "the runtime was gone before the process was");
        drop(release);
        assert!(ends.await.expect("no panic"), "the runtime was gone before the process was");
    });
}

/// Says how often it can do something that costs tokio's budget in one poll, up to a thousand times.
struct Spender;

impl Server for Spender {
    type Args = ();
    type Call = ();
    type Reply = (bool, u32);
    type Cast = ();

    async fn init((): (), _: &mut Context) -> Result<Self, ExitReason> {
        Ok(Self)
    }

    async fn call(&mut self, (): (), caller: ReplyTo<Self>, _: &mut Context) -> Next {
        let spent = std::future::poll_fn(|cx| {
            let goes_on = |_: &u32| pin!(tokio::task::coop::consume_budget()).poll(cx).is_ready();
            Poll::Ready((0..1_000).take_while(goes_on).count() as u32)
        });
        caller.reply((is_spinning_thread(), spent.await));
        Next::Continue
    }
}

#[test]
fn what_runs_on_the_thread_has_tokios_budget() {
    run(async {
        let identity = shared();
        let (a, b) = (spinning("a", &identity), spinning("b", &identity));
        link(&a, &b).await;
        let spender: ServerRef<Spender> =
            b.runtime().start_with(ServerOptions::named("spender"), ()).await.expect("it starts");
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        a.runtime().spawn(move |ctx| async move {
            while tell.send(ctx.call(&spender, ()).await.expect("an answer")).is_ok() {}
        });
        loop {
            let (spins, spent) = told.recv().await.expect("it asks");
            assert!(spent < 1_000, "it would never give way to others");
            if spins {
                return;
            }
        }
    });
}

#[test]
fn without_a_word_a_node_on_several_workers_does_not_spin() {
    run(async {
        let identity = shared();
        let (a, b) = (bind("a", &identity), bind("b", &identity));
        link(&a, &b).await;
        let doubler = b.runtime().start_with(ServerOptions::named("doubler"), ()).await.expect("it starts");
        for _ in 0..200 {
            ask(&a, &doubler, 1).await;
        }
        assert_eq!((a.stats().spins, b.stats().spins), (0, 0));
    });
}

#[test]
fn a_node_whose_loop_is_away_says_goodbye_when_its_tokio_runtime_ends() {
    run(async {
        let identity = shared();
        let b = bind("b", &identity);
        let doubler: ServerRef<Doubler> =
            b.runtime().start_with(ServerOptions::named("doubler"), ()).await.expect("it starts");
        for _ in 0..10 {
            let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            let tokio = tokio.expect("a tokio runtime");
            let a = {
                let _inside = tokio.enter();
                spinning("a", &identity)
            };
            let mut events = b.node_events();
            link(&b, &a).await;
            while a.stats().spins == 0 {
                ask(&a, &doubler, 1).await;
            }
            tokio.shutdown_background();
            has_left(&mut events).await;
        }
    });
}
