//! All nodes in this process: each with a tokio runtime of its own and real UDP on a loopback address of its own.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use regatta::cluster::identity::{IdentityError, IssueOptions};
use regatta::cluster::{BindError, ConnectError};
use regatta::{ClusterCa, ClusterNode, Identity, Pid, Runtime};
use serde_json::Value;
use thiserror::Error;

use crate::behaviour::{Behaviours, Scene, Setup, start_control};
use crate::scenario::Scenario;
use crate::scenario::model::{Connect, Node, Process, Trust};

/// Why a world could not do what a step asks of it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WorldError {
    /// The node runs already, or does not.
    #[error("node `{0}` {1}")]
    State(String, &'static str),
    /// No identity could be made.
    #[error("no identity for node `{node}`: {source}")]
    Identity {
        /// The node.
        node: String,
        /// Why.
        source: IdentityError,
    },
    /// The runtime did not start the node.
    #[error("node `{node}` did not start: {source}")]
    Bind {
        /// The node.
        node: String,
        /// Why.
        source: BindError,
    },
    /// The operating system gave no thread.
    #[error("no threads for node `{node}`: {source}")]
    Threads {
        /// The node.
        node: String,
        /// Why.
        source: std::io::Error,
    },
    /// A process of the scenario could not be started.
    #[error("process `{label}` did not start: {detail}")]
    Process {
        /// The process.
        label: String,
        /// Why.
        detail: String,
    },
    /// Something of a node was left after its end.
    #[error("node `{node}` left something behind: {what}")]
    Left {
        /// The node.
        node: String,
        /// What.
        what: String,
    },
}

/// A running node.
struct Running {
    node: ClusterNode,
    control: Pid,
    tokio: tokio::runtime::Runtime,
}

/// The world.
pub struct Inproc {
    scenario: Arc<Scenario>,
    behaviours: Behaviours,
    scene: Arc<Scene>,
    authorities: BTreeMap<String, ClusterCa>,
    shared: BTreeMap<String, Identity>,
    running: BTreeMap<String, Running>,
    /// The nodes in the order of their first start: a node dials the first of them that runs.
    started: Vec<String>,
    /// Third byte of the run's loopback addresses, so that two runs side by side do not share one.
    network: u8,
}

/// Counts runs.
static RUNS: AtomicU32 = AtomicU32::new(0);

impl Inproc {
    /// An empty world for a scenario.
    #[must_use]
    pub fn new(scenario: Arc<Scenario>, behaviours: Behaviours, scene: Arc<Scene>) -> Self {
        let network = (RUNS.fetch_add(1, Relaxed) % 250) as u8 + 1;
        Self {
            scenario,
            behaviours,
            scene,
            authorities: BTreeMap::new(),
            shared: BTreeMap::new(),
            running: BTreeMap::new(),
            started: Vec::new(),
            network,
        }
    }

    /// Whether the node runs.
    #[must_use]
    pub fn is_running(&self, name: &str) -> bool {
        self.running.contains_key(name)
    }

    /// The control process of a running node.
    #[must_use]
    pub fn control(&self, name: &str) -> Option<Pid> {
        self.running.get(name).map(|running| running.control)
    }

    /// The tokio runtime of a running node.
    #[must_use]
    pub fn tokio(&self, name: &str) -> Option<tokio::runtime::Handle> {
        self.running.get(name).map(|running| running.tokio.handle().clone())
    }

    fn identity(&mut self, node: &Node) -> Result<Identity, WorldError> {
        let failed = |source| WorldError::Identity { node: node.name.clone(), source };
        match self.scenario.trust.get(&node.trust) {
            Some(Trust::Shared { name }) => {
                if !self.shared.contains_key(name) {
                    self.shared.insert(name.clone(), Identity::generate().map_err(failed)?);
                }
                Ok(self.shared[name].clone())
            }
            Some(Trust::Issued { ca, valid_for, .. }) => {
                if !self.authorities.contains_key(ca) {
                    self.authorities.insert(ca.clone(), ClusterCa::generate().map_err(failed)?);
                }
                let mut options = IssueOptions::default();
                if let Some(valid_for) = valid_for {
                    options.valid_for = *valid_for;
                }
                self.authorities[ca].issue_with(&node.name, &options).map_err(failed)
            }
            None => Err(WorldError::State(node.name.clone(), "has a trust that is not there")),
        }
    }

    /// Starts a node, its processes, and its dials, whose answers are awaited, whatever they are.
    ///
    /// # Errors
    /// [`WorldError`]; the node does not run then.
    pub async fn start(&mut self, name: &str) -> Result<(), WorldError> {
        if self.is_running(name) {
            return Err(WorldError::State(name.to_owned(), "runs already"));
        }
        let scenario = self.scenario.clone();
        let Some(node) = scenario.node(name) else {
            return Err(WorldError::State(name.to_owned(), "is not in the scenario"));
        };
        let identity = self.identity(node)?;
        let tokio = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(format!("node {name}"))
            .enable_all()
            .build()
            .map_err(|source| WorldError::Threads { node: name.to_owned(), source })?;
        let index = scenario.nodes.iter().position(|other| other.name == name).unwrap_or_default();
        let host = u8::try_from(index % 250 + 1).unwrap_or(1);
        let addr = SocketAddr::from((Ipv4Addr::new(127, 77, self.network, host), 0));
        let bound = {
            let _inside = tokio.enter();
            let runtime = Runtime::new();
            let builder = ClusterNode::builder(name, runtime, &identity);
            let builder = match scenario.trust.get(&node.trust) {
                Some(Trust::Issued { claims: Some(claims), .. }) => builder.announce(claims),
                _ => builder,
            };
            builder.bind(addr)
        };
        let cluster = match bound {
            Ok(cluster) => cluster,
            Err(source) => {
                tokio.shutdown_background();
                return Err(WorldError::Bind { node: name.to_owned(), source });
            }
        };
        self.behaviours.teach(name, &cluster, &self.scene);
        let control = start_control(cluster.runtime(), name, &self.scene);
        self.scene.node_up(name, cluster.clone());
        self.running.insert(name.to_owned(), Running { node: cluster.clone(), control, tokio });
        if !self.started.iter().any(|other| other == name) {
            self.started.push(name.to_owned());
        }
        for process in scenario.processes.iter().filter(|process| process.on == name) {
            self.start_process(&cluster, process)?;
        }
        let targets: Vec<String> = match &node.connect {
            Connect::Nobody => Vec::new(),
            // The runtime links whom it dials, and does not learn of others through them yet: the world dials them all.
            Connect::First => self.started.iter().filter(|other| *other != name).cloned().collect(),
            Connect::To(nodes) => nodes.clone(),
        };
        let targets: Vec<String> = targets.into_iter().filter(|other| self.is_running(other)).collect();
        for target in targets {
            // Whatever the answer: a node that is refused is up as well.
            let _ = self.connect(name, &target).await;
        }
        Ok(())
    }

    fn start_process(&self, cluster: &ClusterNode, process: &Process) -> Result<(), WorldError> {
        let failed = |detail: String| WorldError::Process { label: process.label.clone(), detail };
        let setup = Setup {
            label: process.label.clone(),
            args: process.args.clone().unwrap_or(Value::Null),
            node: process.on.clone(),
            scene: self.scene.clone(),
        };
        let pid = self
            .behaviours
            .start(&process.behaviour, cluster.runtime(), setup)
            .ok_or_else(|| failed(format!("nobody added a behaviour `{}`", process.behaviour)))?;
        if let Some(name) = &process.name {
            cluster.runtime().register(name, pid).map_err(|error| failed(error.to_string()))?;
        }
        if let Some(name) = &process.global {
            cluster.try_register_global(name, pid).map_err(|error| failed(error.to_string()))?;
        }
        Ok(())
    }

    /// Makes one node dial another.
    ///
    /// # Errors
    /// The runtime's own answer; a node that does not run is nobody to dial from or to.
    pub async fn connect(&self, from: &str, to: &str) -> Result<(), ConnectError> {
        let lost = |name: &str| ConnectError::Lost(format!("node `{name}` does not run"));
        let from = &self.running.get(from).ok_or_else(|| lost(from))?.node;
        let target = &self.running.get(to).ok_or_else(|| lost(to))?.node;
        let addr = target.local_addr().map_err(|error| ConnectError::Lost(error.to_string()))?;
        from.connect(addr).await.map(drop)
    }

    /// Ends a node in an orderly way and looks at what is left.
    ///
    /// # Errors
    /// [`WorldError::State`] when it does not run, [`WorldError::Left`] when something is left after it.
    pub async fn stop(&mut self, name: &str) -> Result<(), WorldError> {
        let Running { node, tokio, .. } = self.take(name)?;
        node.shutdown();
        node.ended().await;
        // The runtime's shutdown needs a timer, which is the node's own.
        let runtime = node.runtime().clone();
        drop(node);
        let report = tokio.spawn(async move { runtime.shutdown().await }).await;
        let mut left = Vec::new();
        match report {
            Ok(report) if report.left.is_empty() => {}
            Ok(report) => left.push(format!("{} processes that block their thread", report.left.len())),
            Err(error) => left.push(format!("a shutdown that failed: {error}")),
        }
        let tasks = settled_tasks(&tokio).await;
        if tasks > 0 {
            left.push(format!("{tasks} tasks"));
        }
        tokio.shutdown_background();
        if left.is_empty() {
            Ok(())
        } else {
            Err(WorldError::Left { node: name.to_owned(), what: left.join(", ") })
        }
    }

    /// Ends a node without a word: its tasks are dropped where they stand, and its socket with them.
    ///
    /// # Errors
    /// [`WorldError::State`] when it does not run.
    pub async fn kill(&mut self, name: &str) -> Result<(), WorldError> {
        let Running { node, tokio, .. } = self.take(name)?;
        // Dropping a tokio runtime waits for its threads, which must not happen on a thread of ours that others need.
        let dropped = tokio::task::spawn_blocking(move || drop(tokio)).await;
        drop(node);
        dropped.map_err(|error| WorldError::Left { node: name.to_owned(), what: error.to_string() })
    }

    fn take(&mut self, name: &str) -> Result<Running, WorldError> {
        let running = self.running.remove(name);
        let running = running.ok_or_else(|| WorldError::State(name.to_owned(), "does not run"))?;
        self.scene.node_gone(name);
        Ok(running)
    }

    /// Ends every node in an orderly way.
    ///
    /// # Errors
    /// What each of them left behind.
    pub async fn end(&mut self) -> Vec<WorldError> {
        let mut errors = Vec::new();
        let names: Vec<String> = self.running.keys().cloned().collect();
        for name in names {
            errors.extend(self.stop(&name).await.err());
        }
        errors
    }
}

impl Drop for Inproc {
    fn drop(&mut self) {
        // A run that was given up: its nodes end without a word, and nobody waits for their threads.
        for (name, running) in std::mem::take(&mut self.running) {
            self.scene.node_gone(&name);
            running.tokio.shutdown_background();
        }
    }
}

/// Tasks that are left once those that are ending have ended.
async fn settled_tasks(tokio: &tokio::runtime::Runtime) -> usize {
    let metrics = tokio.metrics();
    let mut turns = 0;
    while metrics.num_alive_tasks() > 0 && turns < LEFT_TURNS {
        // There is no event for the end of a task that nobody joins.
        tokio::time::sleep(LEFT_PAUSE).await;
        turns += 1;
    }
    metrics.num_alive_tasks()
}

/// How often, and with which pause, a node's tasks are counted before what is left counts as left.
const LEFT_TURNS: u32 = 400;
const LEFT_PAUSE: Duration = Duration::from_millis(5);
