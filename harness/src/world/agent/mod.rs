//! The harness's half beside one node: carries orders out in the node's own process, and by its own executor.
//!
//! Nothing here knows which world it is in.

mod names;
mod spawn;
mod traffic;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use regatta::cluster::ConnectError;
use regatta::{ClusterNode, ExitReason, Pid, Reference};
use tokio::sync::oneshot;

use super::Means;
use super::clock::NodeClock;
use super::order::{Answer, Answered, DialFailure, Order, PidText, Refused, because};
use super::view::NodeView;
use super::wanted::Wanted;
use crate::behaviour::{Behaviours, Scene, Setup, start_control};
use crate::fault::network::Network;
use crate::load::{self, SocketCounts, Source};
use crate::record::What;
use crate::scenario::Scenario;
use crate::scenario::action::AttachList;

/// How long a hog keeps a worker before it lets others have it, as any process that computes would.
const HOG_TURN: Duration = Duration::from_millis(20);

/// What only the world around the node can do for it.
pub(crate) trait Underlay: Send + Sync {
    /// From now on the network is like this.
    fn network(&self, network: Network);

    /// Takes another address, and tells it.
    ///
    /// # Errors
    /// What the operating system says.
    fn rebind(&self) -> std::io::Result<std::net::SocketAddr>;

    /// What went through the node's socket so far, where that is counted.
    fn socket(&self) -> Option<SocketCounts> {
        None
    }

    /// Runs a task where the node's run.
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>);
}

/// What the harness has beside a running node.
pub(crate) struct Agent {
    /// What the scenario calls the node.
    pub(crate) name: String,
    /// The node.
    pub(crate) node: ClusterNode,
    /// The process by which the harness acts on it.
    pub(crate) control: Pid,
    pub(crate) scene: Arc<Scene>,
    pub(crate) behaviours: Behaviours,
    pub(crate) scenario: Arc<Scenario>,
    pub(crate) seed: u64,
    pub(crate) clock: Arc<NodeClock>,
    pub(crate) underlay: Arc<dyn Underlay>,
    hog: Arc<AtomicBool>,
    /// What the scenario looks at.
    wanted: Wanted,
    /// What was shown last, and the node's count of changes just before that.
    shown: Mutex<Option<(u64, Arc<NodeView>)>>,
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Agent {
    /// Takes its place beside a node that has just started. Runs inside the node's executor.
    pub(crate) fn new(
        name: &str,
        node: ClusterNode,
        means: &Means,
        clock: Arc<NodeClock>,
        underlay: Arc<dyn Underlay>,
    ) -> Arc<Self> {
        let scene = means.scene.clone();
        means.behaviours.teach(name, &node, means.seed, &scene);
        let control = start_control(node.runtime(), name, &scene);
        scene.node_up(name, node.clone());
        let (mut changes, told) = (node.changes(), scene.clone());
        underlay.spawn(Box::pin(async move {
            while changes.changed().await.is_ok() {
                told.touch();
            }
        }));
        Arc::new(Self {
            name: name.to_owned(),
            node,
            control,
            scene,
            behaviours: means.behaviours.clone(),
            scenario: means.scenario.clone(),
            seed: means.seed,
            clock,
            underlay,
            hog: Arc::default(),
            wanted: means.wanted,
            shown: Mutex::default(),
        })
    }

    /// What the node shows now: the same view as before if nothing has changed.
    pub(crate) fn view(&self) -> Arc<NodeView> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        // First: what changes meanwhile is seen the next time.
        let changes = *self.node.changes().borrow();
        let (node, wanted) = (&self.node, self.wanted);
        let view = match shown.take() {
            Some((before, view)) if before == changes && view.still_counts(node, wanted) => view,
            Some((before, view)) if before == changes => {
                Arc::new(NodeView::clone(&view).counted(node, wanted))
            }
            _ => Arc::new(NodeView::of(node, wanted)),
        };
        shown.insert((changes, view)).1.clone()
    }

    /// Carries an order out.
    pub(crate) async fn perform(self: Arc<Self>, order: Order) -> Answered {
        match order {
            Order::Start { process } => self.start(process),
            Order::Dial { addr } => Ok(Answer::Dialed(dialed(self.node.connect(addr).await.map(drop)))),
            Order::Whereis(name) => Ok(Answer::Pid(self.whereis(&name).map(PidText))),
            Order::Spawn(order) => self.spawn(order).await,
            Order::Register { pid, name } => self.register(pid.0, &name),
            Order::Unregister { pid, name } => self.unregister(pid.0, &name),
            Order::Confirm { pid, name, deadline } => self.confirm(pid.0, &name, deadline).await,
            Order::Join { pid, group } => self.join(pid.0, &group),
            Order::Leave { pid, group } => self.leave(pid.0, &group),
            Order::Send(order) => self.send(order).await,
            Order::Call(order) => self.call(order).await,
            Order::Link { pid, target } => {
                let linked = self.node.runtime().link(pid.0, target.0);
                done_if(linked, "the process that links is gone")
            }
            Order::Monitor { pid, target } => {
                let monitor = self.node.runtime().monitor(pid.0, target.0);
                if let Some(monitor) = monitor {
                    self.watched(pid, target, monitor);
                }
                done_if(monitor.is_some(), "the process that watches is gone")
            }
            Order::Exit { from, target, reason } => self.exit(from.0, target.0, &reason).await,
            Order::List { node, list } => self.list(&node, list).await,
            Order::Load { load, to, label } => self.load(load, &to, &label).await,
            Order::Still => Ok(Answer::Yes(self.is_still())),
            Order::Network(network) => {
                self.underlay.network(network);
                Ok(Answer::Done)
            }
            Order::Rebind => self.underlay.rebind().map(Answer::Addr).map_err(because),
            Order::Hog { on } => {
                self.hog(on);
                Ok(Answer::Done)
            }
            Order::Clock { offset_ms, drift } => {
                self.clock.set(offset_ms, drift);
                Ok(Answer::Done)
            }
            Order::Stop => Ok(Answer::Left(self.stop().await)),
        }
    }

    /// Notes that a process watches another from now on.
    fn watched(&self, watcher: PidText, process: PidText, monitor: Reference) {
        self.scene.recorder().note(What::Watched { watcher, process, monitor: monitor.raw() });
    }

    /// Starts a process of the scenario, with its names.
    fn start(&self, process: usize) -> Answered {
        let process = &self.scenario.processes[process];
        let failed =
            |detail: String| Refused::Because(format!("process `{}` did not start: {detail}", process.label));
        let setup = Setup {
            label: process.label.clone(),
            args: process.args.clone().unwrap_or_default(),
            node: self.name.clone(),
            seed: self.seed,
            scene: self.scene.clone(),
        };
        let pid = self
            .behaviours
            .start(&process.behaviour, self.node.runtime(), setup)
            .ok_or_else(|| failed(format!("nobody added a behaviour `{}`", process.behaviour)))?;
        if let Some(name) = &process.name {
            self.node.runtime().register(name, pid).map_err(|error| failed(error.to_string()))?;
            self.scene.name_local(name, &self.name, pid);
        }
        if let Some(name) = &process.global {
            self.node.try_register_global(name, pid).map_err(|error| failed(error.to_string()))?;
        }
        if let Some(group) = &process.group {
            self.node.runtime().join_group(group, pid).map_err(|error| failed(error.to_string()))?;
        }
        Ok(Answer::Pid(Some(PidText(pid))))
    }

    async fn exit(&self, from: Pid, target: Pid, reason: &str) -> Answered {
        let reason = match reason {
            "normal" => ExitReason::Normal,
            "kill" => ExitReason::Killed,
            "shutdown" => ExitReason::Shutdown,
            other => ExitReason::custom(other),
        };
        let runtime = self.node.runtime().clone();
        let sent = self.in_name_of(from, async move { runtime.exit(target, reason) }).await?;
        Ok(Answer::Yes(sent))
    }

    async fn list(&self, node: &str, list: AttachList) -> Answered {
        match list {
            AttachList::Processes => {
                let processes = self.node.remote_processes(node).await.map_err(because)?;
                let texts = processes
                    .into_iter()
                    .flat_map(|process| process.names.into_iter().chain([process.label]))
                    .collect();
                Ok(Answer::Texts(texts))
            }
            AttachList::Names | AttachList::Peers => {
                Err(Refused::Because("only processes can be listed yet".to_owned()))
            }
        }
    }

    async fn load(&self, load: usize, to: &[PidText], label: &str) -> Answered {
        let load = &self.scenario.loads[load];
        let tally = self.scene.tally(label);
        let underlay = self.underlay.clone();
        let source = Source::new(self.node.clone(), move || underlay.socket());
        let to: Vec<_> = to.iter().map(|pid| pid.0).collect();
        let figures = load::run(load, &source, &to, tally).await.map_err(because)?;
        Ok(Answer::Figures(Box::new(figures)))
    }

    /// Whether nothing waits in a mailbox or for a link.
    fn is_still(&self) -> bool {
        let mailboxes = self.node.runtime().infos(0, usize::MAX).iter().all(|info| info.mailbox_depth == 0);
        mailboxes && self.node.links().iter().all(|link| link.queued_bytes == 0)
    }

    /// Burns every worker of the node's executor until it is told to stop.
    fn hog(&self, on: bool) {
        if self.hog.swap(on, Relaxed) == on || !on {
            return;
        }
        let workers = tokio::runtime::Handle::current().metrics().num_workers();
        for _ in 0..workers {
            let hog = self.hog.clone();
            self.underlay.spawn(Box::pin(async move {
                while hog.load(Relaxed) {
                    let begun = std::time::Instant::now();
                    while begun.elapsed() < HOG_TURN {
                        std::hint::spin_loop();
                    }
                    tokio::task::yield_now().await;
                }
            }));
        }
    }

    /// Ends the node and its processes in an orderly way; what was left then.
    async fn stop(&self) -> Vec<String> {
        self.hog.store(false, Relaxed);
        self.scene.node_gone(&self.name);
        self.node.shutdown();
        self.node.ended().await;
        let report = self.node.runtime().shutdown().await;
        if report.left.is_empty() {
            Vec::new()
        } else {
            vec![format!("{} processes that block their thread", report.left.len())]
        }
    }

    /// Does something as the process `pid` of this node, so that it has that process's place in order, links and
    /// monitors.
    async fn in_name_of<T: Send + 'static>(
        &self,
        pid: Pid,
        act: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Refused> {
        let (done, result) = oneshot::channel();
        let job = Box::pin(async move {
            // The harness may have given the run up.
            let _ = done.send(act.await);
        });
        let gone = || Refused::Because(format!("process `{}` is gone", self.scene.label(pid)));
        if !self.scene.ask(self.node.runtime(), pid, job) {
            return Err(gone());
        }
        result.await.map_err(|_| gone())
    }
}

fn done_if(done: bool, otherwise: &str) -> Answered {
    if done { Ok(Answer::Done) } else { Err(Refused::Because(otherwise.to_owned())) }
}

fn dialed(result: Result<(), ConnectError>) -> Result<(), DialFailure> {
    result.map_err(|error| DialFailure {
        refused: !matches!(error, ConnectError::Timeout(_) | ConnectError::Shutdown),
        message: error.to_string(),
    })
}
