//! Where the two nodes live: one runtime for both, a runtime each, or a process each.
//!
//! What must stay true: a layout looks the same to the workload. The near node's processes are started on the near
//! node's runtime, the far node is only asked and answers, and the measuring thread is none of the runtimes' workers.

use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::child::{ANSWER_TIMEOUT, Answer, Ask, FarProcess, Mark, rss_peak_kib};
use crate::workload::{self, FAR, Failure, NEAR, System, Tally};

/// How the two nodes share, or do not share, threads and processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Layout {
    /// Both nodes in one process on one tokio runtime of two workers.
    #[value(name = "one-process-2w")]
    #[serde(rename = "one-process-2w")]
    OneProcess2w,
    /// Both nodes in one process, each on a single-threaded tokio runtime with a thread of its own.
    #[value(name = "runtime-per-node")]
    #[serde(rename = "runtime-per-node")]
    RuntimePerNode,
    /// Each node in a process of its own, on a tokio runtime of two workers.
    #[value(name = "two-processes")]
    #[serde(rename = "two-processes")]
    TwoProcesses,
}

impl Layout {
    /// The layout's name in every result.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::OneProcess2w => "one-process-2w",
            Self::RuntimePerNode => "runtime-per-node",
            Self::TwoProcesses => "two-processes",
        }
    }
}

/// Two linked nodes of one system.
pub(crate) struct Pair<S: System> {
    /// The near node.
    pub(crate) near: S,
    /// The runtime of the near node.
    pub(crate) near_runtime: Handle,
    /// Who issued the nodes' certificates.
    pub(crate) authority: Arc<S::Authority>,
    far: FarSide<S>,
    _runtimes: Vec<Runtime>,
}

enum FarSide<S: System> {
    Here { runtime: Handle, node: Arc<Mutex<FarNode<S>>> },
    There(FarProcess),
}

impl<S: System> Pair<S> {
    /// Starts both nodes, links them, and waits until each holds the link.
    pub(crate) fn start(layout: Layout) -> Result<Self, Failure> {
        let authority = S::authority()?;
        let (near_identity, far_identity) = (S::issue(&authority, NEAR)?, S::issue(&authority, FAR)?);
        let (near_runtime, far, runtimes) = match layout {
            Layout::OneProcess2w => {
                let runtime = workers()?;
                let handle = runtime.handle().clone();
                let far = FarSide::here(handle.clone(), far_identity)?;
                (handle, far, vec![runtime])
            }
            Layout::RuntimePerNode => {
                let far = FarSide::here(single_threaded(FAR)?, far_identity)?;
                (single_threaded(NEAR)?, far, Vec::new())
            }
            Layout::TwoProcesses => {
                let far = FarProcess::fork(|| {
                    let runtime = workers()?;
                    let mut far = FarSide::<S>::here(runtime.handle().clone(), far_identity)?;
                    Ok(move |ask| {
                        let _kept = &runtime;
                        far.ask(ask).unwrap_or_else(|failure| Answer::Failed(failure.to_string()))
                    })
                })?;
                let runtime = workers()?;
                (runtime.handle().clone(), FarSide::There(far), vec![runtime])
            }
        };
        let near = run_on(&near_runtime, async move { S::start(NEAR, &near_identity) })??;
        let mut pair = Self { near, near_runtime, authority: Arc::new(authority), far, _runtimes: runtimes };
        pair.link()?;
        Ok(pair)
    }

    fn link(&mut self) -> Result<(), Failure> {
        let address = self.far_address()?;
        let near = self.near.clone();
        run_on(&self.near_runtime, async move { near.connect(address).await })??;
        // The accepting side may learn of the link a moment later, and the seed has no event for it.
        let begin = Instant::now();
        while !matches!(self.ask(Ask::Sees(NEAR.into()))?, Answer::Sees(true)) {
            if begin.elapsed() > ANSWER_TIMEOUT {
                return Err(Failure::Late("the far node's half of the link"));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Asks the far node. An answer that it failed is an error here.
    pub(crate) fn ask(&mut self, ask: Ask) -> Result<Answer, Failure> {
        match self.far.ask(ask)? {
            Answer::Failed(words) => Err(Failure::Far(words)),
            answer => Ok(answer),
        }
    }

    /// Where the far node listens.
    pub(crate) fn far_address(&mut self) -> Result<std::net::SocketAddr, Failure> {
        match self.ask(Ask::Address)? {
            Answer::Address(address) => Ok(address),
            other => Err(Failure::Far(format!("unexpected answer {other:?}"))),
        }
    }

    /// What the far node's sinks have counted by now.
    pub(crate) fn mark(&mut self) -> Result<Mark, Failure> {
        match self.ask(Ask::Mark)? {
            Answer::Mark(mark) => Ok(mark),
            other => Err(Failure::Far(format!("unexpected answer {other:?}"))),
        }
    }

    /// Runs `start` on the near node's runtime, for processes to be started there.
    pub(crate) fn on_near<T: Send + 'static>(
        &self,
        start: impl FnOnce(S) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let near = self.near.clone();
        run_on(&self.near_runtime, async move { start(near) })?
    }
}

impl<S: System> FarSide<S> {
    fn here(runtime: Handle, identity: S::Identity) -> Result<Self, Failure> {
        let node = run_on(&runtime, async move { FarNode::start(&identity) })??;
        Ok(Self::Here { runtime, node: Arc::new(Mutex::new(node)) })
    }

    fn ask(&mut self, ask: Ask) -> Result<Answer, Failure> {
        match self {
            Self::Here { runtime, node } => {
                let node = node.clone();
                run_on(runtime, async move { node.lock().expect("no answer panics half-way").answer(ask) })?
            }
            Self::There(process) => process.ask(&ask),
        }
    }
}

/// The far node itself.
struct FarNode<S: System> {
    node: S,
    tallies: Vec<Arc<Tally>>,
    began: Instant,
}

impl<S: System> FarNode<S> {
    fn start(identity: &S::Identity) -> Result<Self, Failure> {
        Ok(Self { node: S::start(FAR, identity)?, tallies: Vec::new(), began: Instant::now() })
    }

    fn answer(&mut self, ask: Ask) -> Result<Answer, Failure> {
        match ask {
            Ask::Address => return self.node.address().map(Answer::Address),
            Ask::Sees(peer) => return Ok(Answer::Sees(self.node.sees(&peer))),
            Ask::Mark => return Ok(Answer::Mark(self.mark())),
            Ask::OfferSpawn => self.node.offer_spawn()?,
            Ask::Echo(count) => (0..count).try_for_each(|index| workload::echo(&self.node, index))?,
            Ask::Sink(count) => {
                for index in 0..count {
                    let tally = Arc::new(Tally::default());
                    workload::sink(&self.node, index, tally.clone())?;
                    self.tallies.push(tally);
                }
            }
        }
        Ok(Answer::Done)
    }

    fn mark(&self) -> Mark {
        Mark {
            at_ns: workload::elapsed_ns(self.began),
            received: self.tallies.iter().map(|tally| tally.received.count()).sum(),
            out_of_order: self.tallies.iter().map(|tally| tally.out_of_order.count()).sum(),
            rss_peak_kib: rss_peak_kib(),
        }
    }
}

/// Runs `future` as a task of `runtime` and waits for it on this thread, which is none of the runtime's.
pub(crate) fn run_on<T: Send + 'static>(
    runtime: &Handle,
    future: impl Future<Output = T> + Send + 'static,
) -> Result<T, Failure> {
    let (sender, receiver) = mpsc::sync_channel(1);
    runtime.spawn(async move {
        let _ = sender.send(future.await);
    });
    receiver.recv_timeout(ANSWER_TIMEOUT).map_err(|_| Failure::Late("an act on a node"))
}

fn workers() -> Result<Runtime, Failure> {
    Ok(Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// A single-threaded runtime that runs on a thread of its own until the process ends.
fn single_threaded(name: &str) -> Result<Handle, Failure> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let drive = move || runtime.block_on(std::future::pending::<()>());
    thread::Builder::new().name(name.into()).spawn(drive)?;
    Ok(handle)
}
