//! A thread that looks for more in the place of a node's loop, on a runtime of several workers.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use regatta::cluster::{NodeChange, NodeEvents};
use regatta::server::ServerOptions;
use regatta::{ClusterNode, Context, ExitReason, Identity, Next, Pid, ReplyTo, Runtime, Server, ServerRef};
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

/// With its first message it blocks the thread that runs it, until the sender is dropped, and says so before.
fn blocker(node: &ClusterNode) -> (Pid, oneshot::Receiver<()>, mpsc::Sender<()>) {
    let (release, held) = mpsc::channel::<()>();
    let (begins, begun) = oneshot::channel();
    let held = Mutex::new(held);
    let blocker = node.runtime().spawn(move |mut ctx| async move {
        ctx.recv().await;
        // An error means that the test is over.
        let _ = begins.send(());
        let _over = held.into_inner().expect("nobody has panicked with it").recv();
    });
    (blocker.pid(), begun, release)
}

#[test]
fn processes_that_block_the_thread_do_not_cut_the_node_off() {
    run(async {
        let identity = shared();
        let a = bind("a", &identity);
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let tokio = tokio.expect("a tokio runtime");
        let b = {
            let _inside = tokio.enter();
            spinning("b", &identity)
        };
        link(&a, &b).await;
        let doubler = b.runtime().start_with(ServerOptions::named("doubler"), ()).await.expect("it starts");
        while b.stats().spins == 0 {
            ask(&a, &doubler, 1).await;
        }
        // The first is run by who received for it, the thread most likely, the other by a worker: the one that is left does not receive.
        let blockers = [(); 2].map(|()| blocker(&b));
        let mut releases = Vec::new();
        for (pid, begun, release) in blockers {
            a.runtime().send(pid, "block").await.expect("they are linked");
            begun.await.expect("it has the message");
            releases.push(release);
        }
        // The guard does, unless it was the workers that ran both.
        for _ in 0..50 {
            a.remote_processes("b").await.expect("the node answers");
        }
        drop(releases);
        ask(&a, &doubler, 1).await;
        assert_eq!(a.stats().nodes_down, 0);
        tokio.shutdown_background();
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
