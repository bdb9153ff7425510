//! Where the nodes live: one runtime for all, a runtime each, or a process for each side.
//!
//! What must stay true: a layout looks the same to the workload. The near node's processes are started on the near
//! node's runtime, the far nodes are only asked and answer, and the measuring thread is none of the runtimes' workers.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::child::{ANSWER_TIMEOUT, Answer, Ask, FarProcess, Mark, rss_peak_kib};
use crate::relay;
use crate::workload::{self, Failure, NEAR, System, Tally};

/// How the nodes share, or do not share, threads and processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Layout {
    /// All nodes in one process on one tokio runtime of two workers.
    #[value(name = "one-process-2w")]
    #[serde(rename = "one-process-2w")]
    OneProcess2w,
    /// All nodes in one process, each on a single-threaded tokio runtime with a thread of its own.
    #[value(name = "runtime-per-node")]
    #[serde(rename = "runtime-per-node")]
    RuntimePerNode,
    /// The near node in one process and the far ones in another, each process with a tokio runtime of two workers.
    #[value(name = "two-processes")]
    #[serde(rename = "two-processes")]
    TwoProcesses,
    /// As `two-processes`, each process with a single-threaded tokio runtime.
    #[value(name = "two-processes-1w")]
    #[serde(rename = "two-processes-1w")]
    TwoProcesses1w,
}

impl Layout {
    /// The layout's name in every result.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::OneProcess2w => "one-process-2w",
            Self::RuntimePerNode => "runtime-per-node",
            Self::TwoProcesses => "two-processes",
            Self::TwoProcesses1w => "two-processes-1w",
        }
    }

    /// The layout's name with the number of links, unless that is one.
    pub(crate) fn with_links(self, links: u32) -> String {
        let name = self.name();
        if links == 1 { name.into() } else { format!("{name}, {links} links") }
    }
}

/// A near node and the far nodes that it is linked to, all of one system.
pub(crate) struct Nodes<S: System> {
    /// The near node.
    pub(crate) near: S,
    /// The runtime of the near node.
    pub(crate) near_runtime: Handle,
    /// Who issued the nodes' certificates.
    pub(crate) authority: Arc<S::Authority>,
    /// How many far nodes there are.
    pub(crate) links: u32,
    far: Far<S>,
    _runtimes: Vec<Runtime>,
}

enum Far<S: System> {
    Here(FarSide<S>),
    There(FarProcess),
}

impl<S: System> Nodes<S> {
    /// Starts the near node and `links` far ones, links them, and waits until each holds its link.
    pub(crate) fn start(layout: Layout, links: u32, loss_per_mille: u32) -> Result<Self, Failure> {
        let authority = S::authority()?;
        let near_identity = S::issue(&authority, NEAR)?;
        let identities = (0..links).map(|link| S::issue(&authority, &workload::far(link)));
        let identities = identities.collect::<Result<Vec<_>, _>>()?;
        let (near_runtime, far, runtimes) = match layout {
            Layout::OneProcess2w => {
                let runtime = workers()?;
                let handle = runtime.handle().clone();
                let far = FarSide::start(identities, |_| Ok(handle.clone()))?;
                (handle, Far::Here(far), vec![runtime])
            }
            Layout::RuntimePerNode => {
                let far = FarSide::start(identities, single_threaded)?;
                (single_threaded(NEAR)?, Far::Here(far), Vec::new())
            }
            Layout::TwoProcesses => {
                let far = FarProcess::fork(|| {
                    let runtime = workers()?;
                    let mut far = FarSide::<S>::start(identities, |_| Ok(runtime.handle().clone()))?;
                    Ok(move |ask| {
                        let _kept = &runtime;
                        far.answer(ask).unwrap_or_else(|failure| Answer::Failed(failure.to_string()))
                    })
                })?;
                let runtime = workers()?;
                (runtime.handle().clone(), Far::There(far), vec![runtime])
            }
            Layout::TwoProcesses1w => {
                let far = FarProcess::fork(|| {
                    let handle = single_threaded("far")?;
                    let mut far = FarSide::<S>::start(identities, |_| Ok(handle.clone()))?;
                    Ok(move |ask| {
                        far.answer(ask).unwrap_or_else(|failure| Answer::Failed(failure.to_string()))
                    })
                })?;
                (single_threaded(NEAR)?, Far::There(far), Vec::new())
            }
        };
        let near = run_on(&near_runtime, async move { S::start(NEAR, &near_identity) })??;
        let authority = Arc::new(authority);
        let mut nodes = Self { near, near_runtime, authority, links, far, _runtimes: runtimes };
        nodes.link(loss_per_mille)?;
        Ok(nodes)
    }

    fn link(&mut self, loss_per_mille: u32) -> Result<(), Failure> {
        for (seed, mut address) in (0..).zip(self.far_addresses()?) {
            if loss_per_mille > 0 {
                address = relay::start(address, loss_per_mille, seed)?;
            }
            let near = self.near.clone();
            run_on(&self.near_runtime, async move { near.connect(address).await })??;
        }
        // The accepting side may learn of the link a moment later, and the seed has no event for it.
        self.seen(NEAR.into())?;
        Ok(())
    }

    /// Waits until all far nodes, but that one itself, are linked to `peer`.
    fn seen(&mut self, peer: String) -> Result<(), Failure> {
        let begin = Instant::now();
        while !matches!(self.ask(Ask::See(peer.clone()))?, Answer::See(true)) {
            if begin.elapsed() > ANSWER_TIMEOUT {
                return Err(Failure::Late("a far node's half of a link"));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Asks the far nodes. An answer that one of them failed is an error here.
    pub(crate) fn ask(&mut self, ask: Ask) -> Result<Answer, Failure> {
        let answer = match &mut self.far {
            Far::Here(far) => far.answer(ask)?,
            Far::There(process) => process.ask(&ask)?,
        };
        match answer {
            Answer::Failed(words) => Err(Failure::Far(words)),
            answer => Ok(answer),
        }
    }

    /// Where the far nodes listen, in the order of the links.
    pub(crate) fn far_addresses(&mut self) -> Result<Vec<std::net::SocketAddr>, Failure> {
        match self.ask(Ask::Addresses)? {
            Answer::Addresses(addresses) => Ok(addresses),
            other => Err(Failure::Far(format!("unexpected answer {other:?}"))),
        }
    }

    /// What the far nodes' sinks have counted by now.
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

/// The far nodes themselves, each with its runtime.
struct FarSide<S: System> {
    nodes: Vec<(Handle, S)>,
    tallies: Vec<Arc<Tally>>,
    began: Instant,
}

impl<S: System> FarSide<S> {
    /// Starts a node with each of the identities, on the runtime that `runtime` gives for its name.
    fn start(
        identities: Vec<S::Identity>,
        runtime: impl Fn(&str) -> Result<Handle, Failure>,
    ) -> Result<Self, Failure> {
        let nodes = (0..).zip(identities).map(|(link, identity)| {
            let name = workload::far(link);
            let runtime = runtime(&name)?;
            let node = run_on(&runtime, async move { S::start(&name, &identity) })??;
            Ok((runtime, node))
        });
        let nodes = nodes.collect::<Result<Vec<_>, Failure>>()?;
        Ok(Self { nodes, tallies: Vec::new(), began: Instant::now() })
    }

    fn answer(&mut self, ask: Ask) -> Result<Answer, Failure> {
        let links = u32::try_from(self.nodes.len()).expect("links are counted in 32 bits");
        match ask {
            Ask::Addresses => {
                let addresses = self.nodes.iter().map(|(_, node)| node.address());
                return addresses.collect::<Result<_, _>>().map(Answer::Addresses);
            }
            Ask::See(peer) => {
                let mut others = (0..).zip(&self.nodes).filter(|(link, _)| workload::far(*link) != peer);
                return Ok(Answer::See(others.all(|(_, (_, node))| node.sees(&peer))));
            }
            Ask::Mark => return Ok(Answer::Mark(self.mark())),
            Ask::OfferSpawn => self.in_turn(links, |_, node| node.offer_spawn())?,
            Ask::ProbeEcho => self.in_turn(links, |link, node| workload::probe_echo(node, link))?,
            Ask::Echo(count) => self.in_turn(count, |index, node| workload::echo(node, index))?,
            Ask::Sink(count) => {
                let tallies: Vec<_> = (0..count).map(|_| Arc::<Tally>::default()).collect();
                self.tallies.extend(tallies.iter().cloned());
                self.in_turn(count, move |index, node| {
                    workload::sink(node, index, tallies[index as usize].clone())
                })?;
            }
        }
        Ok(Answer::Done)
    }

    /// Starts `count` things, the one of each index on the node of the link with the index modulo the number of links.
    fn in_turn(
        &self,
        count: u32,
        start: impl Fn(u32, &S) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Result<(), Failure> {
        let start = Arc::new(start);
        let links = self.nodes.len();
        for (link, (runtime, node)) in (0u32..).zip(&self.nodes) {
            let (node, start) = (node.clone(), start.clone());
            let mut indexes = (link..count).step_by(links);
            run_on(runtime, async move { indexes.try_for_each(|index| start(index, &node)) })??;
        }
        Ok(())
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
