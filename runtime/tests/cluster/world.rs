//! Nodes on loopback, and a process that shows what it receives.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use regatta::{Bytes, ClusterNode, Context, Identity, Pid, ProcessHandle, Received, Runtime};
use tokio::sync::{mpsc, oneshot};

/// Runs a test on two worker threads. The deadline only guards against hanging.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let tokio = tokio.expect("a tokio runtime");
    let outcome = tokio.block_on(async { tokio::time::timeout(Duration::from_secs(150), test).await });
    outcome.expect("the test waits for something that does not happen");
}

pub(crate) fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(crate) fn bind(name: &str, identity: &Identity) -> ClusterNode {
    ClusterNode::bind(name, Runtime::new(), anywhere(), identity).expect("the node starts")
}

pub(crate) fn shared() -> Identity {
    Identity::generate().expect("an identity")
}

/// Dials, and waits until the other end has the link too.
pub(crate) async fn link(from: &ClusterNode, to: &ClusterNode) {
    let addr = to.local_addr().expect("the node runs");
    let remote = from.connect(addr).await.expect("the dial succeeds");
    assert_eq!(remote.id(), to.id());
    to.settled(|to| to.peers().iter().any(|peer| peer == from.name())).await;
}

/// Two nodes, `a` and `b`, that are linked.
pub(crate) async fn pair() -> (ClusterNode, ClusterNode) {
    let identity = shared();
    let (a, b) = (bind("a", &identity), bind("b", &identity));
    link(&a, &b).await;
    (a, b)
}

/// A node on a worker of its own, and a thread that a test may hold up with it: a held-up worker keeps whatever task
/// it was to run next, so nothing that the test waits for may share it.
pub(crate) struct Apart {
    pub(crate) node: ClusterNode,
    tokio: Option<tokio::runtime::Runtime>,
}

impl Apart {
    pub(crate) fn bind(name: &str, identity: &Identity) -> Self {
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let tokio = tokio.expect("a tokio runtime");
        let node = {
            let _inside = tokio.enter();
            let builder = ClusterNode::builder(name, Runtime::new(), identity).goodbye(false);
            builder.bind(anywhere()).expect("the node starts")
        };
        Self { node, tokio: Some(tokio) }
    }
}

impl Apart {
    /// Ends the node's loop and all its tasks without a word to anybody, as a kill of its process does, and waits until it answers
    /// nobody any more. The node is given back because the end of its last handle would say goodbye while the loop still ends.
    pub(crate) async fn kill(mut self) -> ClusterNode {
        self.tokio.take().expect("it is there until the end").shutdown_background();
        self.node.ended().await;
        self.node.clone()
    }
}

impl Drop for Apart {
    /// Waits for no worker: one that is still held up must not hang the test that failed meanwhile.
    fn drop(&mut self) {
        if let Some(tokio) = self.tokio.take() {
            tokio.shutdown_background();
        }
    }
}

/// What a probe is asked to do.
type Order = Box<dyn FnOnce(&Context) + Send>;

/// A process that traps exits, passes on whatever it receives, and does what it is asked to.
pub(crate) struct Probe {
    pub(crate) process: ProcessHandle,
    inbox: mpsc::UnboundedReceiver<Received>,
    orders: mpsc::UnboundedSender<Order>,
}

impl Probe {
    pub(crate) fn start(node: &ClusterNode) -> Self {
        let (seen, inbox) = mpsc::unbounded_channel();
        let (orders, mut ordered) = mpsc::unbounded_channel::<Order>();
        let process = node.runtime().spawn(|mut ctx| {
            ctx.trap_exit(true);
            async move {
                loop {
                    tokio::select! {
                        received = ctx.recv() => drop(seen.send(received)),
                        Some(order) = ordered.recv() => order(&ctx),
                    }
                }
            }
        });
        Self { process, inbox, orders }
    }

    /// Does something as the process: its signals to one node arrive in the order in which it sends them.
    pub(crate) async fn act<T: Send + 'static>(&self, act: impl FnOnce(&Context) -> T + Send + 'static) -> T {
        let (done, result) = oneshot::channel();
        // An error in telling it means that nobody waits any more.
        let order: Order = Box::new(move |ctx| drop(done.send(act(ctx))));
        assert!(self.orders.send(order).is_ok(), "the probe runs");
        result.await.expect("the probe runs")
    }

    pub(crate) fn pid(&self) -> Pid {
        self.process.pid()
    }

    pub(crate) async fn next(&mut self) -> Received {
        self.inbox.recv().await.expect("the probe runs")
    }

    pub(crate) async fn message(&mut self) -> Bytes {
        let next = self.next().await;
        next.clone().message().unwrap_or_else(|| panic!("a message, not {next:?}"))
    }
}

/// Waits for ever.
pub(crate) async fn park() {
    std::future::pending::<()>().await;
}
