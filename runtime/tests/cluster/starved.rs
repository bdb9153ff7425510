//! Processes that hold every worker do not cut their node off.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use regatta::{ClusterNode, Runtime};

use super::world::{Apart, anywhere, bind, link, run, shared};

/// Holds a worker of the node until the sender is dropped; resolves when it does.
async fn hold(node: &ClusterNode) -> mpsc::Sender<()> {
    let (release, held) = mpsc::channel::<()>();
    let (begun, holds) = tokio::sync::oneshot::channel();
    let held = Arc::new(Mutex::new(held));
    node.runtime().spawn(move |_| async move {
        begun.send(()).expect("the test waits");
        // As a computation would: no await, and no word from it until it is over.
        let _over = held.lock().expect("one process has it").recv();
    });
    holds.await.expect("the process runs");
    release
}

#[test]
fn a_node_whose_only_worker_is_held_answers_and_receives() {
    run(async {
        let identity = shared();
        let a = bind("a", &identity);
        let apart = Apart::bind("b", &identity);
        let b = &apart.node;
        link(&a, b).await;
        let reader = b.runtime().spawn(|mut context| async move {
            assert_eq!(context.recv().await.message().expect("a message"), "from afar");
        });
        let release = hold(b).await;
        a.runtime().send(reader.pid(), "from afar").await.expect("accepted");
        let listed = a.remote_processes("b").await.expect("the node answers");
        let reader_there = listed.iter().find(|process| process.pid == reader.pid()).expect("it lives");
        assert_eq!(reader_there.mailbox, 1, "the message has arrived, and nobody has read it");
        // The guard is sure of itself only when the loop has had time to run.
        while b.stats().takeovers == 0 {
            a.remote_processes("b").await.expect("the node answers");
        }
        drop(release);
        reader.join().await;
        assert!(a.peers().contains(&"b".to_owned()));
    });
}

#[test]
fn a_node_that_does_not_want_a_guard_has_none() {
    run(async {
        let identity = shared();
        let a = ClusterNode::builder("a", Runtime::new(), &identity).guard(false).bind(anywhere());
        let a = a.expect("the node starts");
        let b = bind("b", &identity);
        link(&a, &b).await;
        assert_eq!((a.stats().takeovers, b.stats().takeovers), (0, 0));
    });
}
