//! The world of processes: launch, kill, pause.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use regatta::{Clock, SystemClock};
use rustix::process::Signal;

use super::ASKED;
use super::child::Child;
use super::speech::{Birth, FromNode, ToNode};
use crate::behaviour::exchange::Shared;
use crate::fault::capture::Captured;
use crate::fault::network::{Key, Network};
use crate::fault::wire::Counts;
use crate::world::Means;
use crate::world::cluster::{Boxed, Ground, Hand, Launch, Seat, WorldError};
use crate::world::inproc::{address, network};
use crate::world::order::{Answer, Answered, Order, Refused};
use crate::world::view::NodeView;

/// How long a process may take to be up, and to be gone.
const UP_WITHIN: Duration = Duration::from_secs(20);
const GONE_WITHIN: Duration = Duration::from_secs(5);
/// How long a node may take to give out its last datagrams.
const CAPTURED_WITHIN: Duration = Duration::from_secs(2);

/// The world.
pub(crate) struct ProcessGround {
    means: Arc<Means>,
    /// The program that becomes a node when it is asked to.
    program: PathBuf,
    /// Third byte of the run's loopback addresses.
    network: u8,
    shared: Arc<Mutex<Nodes>>,
}

#[derive(Default)]
struct Nodes {
    children: BTreeMap<String, Arc<Child>>,
    /// Of nodes that have ended too.
    logs: BTreeMap<String, String>,
    starts: u64,
    /// What the network is like now: a node that starts must know before its first datagram.
    network: Network,
    /// The label whose count a load of this node waits for.
    awaited: BTreeMap<String, String>,
}

impl ProcessGround {
    /// An empty world, whose nodes are this program.
    pub(crate) fn new(means: Arc<Means>, program: Option<PathBuf>) -> Self {
        // The link stays right when the program's file is replaced while it runs.
        let this = || PathBuf::from("/proc/self/exe");
        Self { means, program: program.unwrap_or_else(this), network: network(), shared: Arc::default() }
    }

    async fn start(
        means: Arc<Means>,
        shared: Arc<Mutex<Nodes>>,
        program: PathBuf,
        addr: SocketAddr,
        launch: Launch,
    ) -> Result<Seat, String> {
        let said = |error: &dyn std::fmt::Display| error.to_string();
        let identity = tempfile::Builder::new().prefix("regatta-").tempdir().map_err(|error| said(&error))?;
        launch.identity.save(identity.path()).map_err(|error| said(&error))?;
        let mut command = Command::new(program);
        command
            .env(ASKED, std::process::id().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let process = super::nursery::start(command).await.map_err(|error| said(&error))?;
        let (start, network) = {
            let mut nodes = locked(&shared);
            nodes.starts += 1;
            (nodes.starts, nodes.network.clone())
        };
        let told = tell_others(&shared, &launch.name);
        let (child, up) = Child::hold(process, means.clone(), start, told).map_err(|error| said(&error))?;
        let doomed = Doomed(Some(child.clone()));
        let birth = Birth {
            file: means.scenario.file.clone(),
            source: means.scenario.source.to_string(),
            cell: means.scenario.cell_index,
            name: launch.name.clone(),
            index: launch.index,
            before: launch.before,
            identity: identity.path().to_owned(),
            announce: launch.announce.clone(),
            addr,
            seed: means.seed,
            started_ns: super::node::monotonic_ns(means.started),
            taps: means.taps,
            captures: means.captures,
            wanted: means.wanted,
            notes_messages: means.scene.recorder().notes_messages(),
            network,
        };
        child.say_line(serde_json::to_string(&birth).map_err(|error| said(&error))?);
        let up = tokio::time::timeout(UP_WITHIN, up).await;
        let (control, addr) = match up {
            Ok(Ok(FromNode::Up { control, addr })) => (control.0, addr),
            Ok(Ok(FromNode::Failed(detail))) => return Err(detail),
            Ok(_) => {
                let status = child.exited().await;
                return Err(format!("its process ended at once ({status}): {}", child.log().trim()));
            }
            Err(_) => return Err(format!("its process was not up after {} s", UP_WITHIN.as_secs())),
        };
        doomed.spare();
        child.say(&ToNode::Others(means.scene.everybody()));
        locked(&shared).children.insert(launch.name.clone(), child.clone());
        let hand = Arc::new(ThereHand { child, name: launch.name.clone(), shared, means });
        Ok(Seat { name: launch.name, index: launch.index, control, addr, hand })
    }
}

/// A process that is killed unless it is spared.
struct Doomed(Option<Arc<Child>>);

impl Doomed {
    fn spare(mut self) {
        self.0 = None;
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        if let Some(child) = &self.0 {
            child.signal(Signal::KILL);
        }
    }
}

fn locked(nodes: &Mutex<Nodes>) -> MutexGuard<'_, Nodes> {
    nodes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a node's word changes for the other nodes' processes.
fn tell_others(nodes: &Arc<Mutex<Nodes>>, me: &str) -> Box<dyn Fn(&FromNode) + Send + Sync> {
    let (nodes, me): (Weak<Mutex<Nodes>>, _) = (Arc::downgrade(nodes), me.to_owned());
    let known: Mutex<Shared> = Mutex::default();
    Box::new(move |heard| {
        let (FromNode::Scene(shared), Some(nodes)) = (heard, nodes.upgrade()) else { return };
        let names =
            Shared { labels: shared.labels.clone(), locals: shared.locals.clone(), ..Shared::default() };
        let nodes = locked(&nodes);
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != names {
            let others = nodes.children.iter().filter(|(name, _)| **name != me);
            for (_, child) in others {
                child.say(&ToNode::Others(names.clone()));
            }
            *known = names;
        }
        drop(known);
        for (node, label) in &nodes.awaited {
            let counted = shared.tallies.iter().find(|(of, _)| of == label);
            if let (Some((label, counted)), Some(child)) = (counted, nodes.children.get(node))
                && *node != me
            {
                child.say(&ToNode::Counted { label: label.clone(), counted: *counted });
            }
        }
    })
}

impl Ground for ProcessGround {
    fn launch(&self, launch: Launch) -> Boxed<Result<Seat, WorldError>> {
        let addr = launch.addr.unwrap_or_else(|| address(self.network, launch.index));
        let (node, means, shared) = (launch.name.clone(), self.means.clone(), self.shared.clone());
        let started = Self::start(means, shared, self.program.clone(), addr, launch);
        Box::pin(async move { started.await.map_err(|detail| WorldError::Launch { node, detail }) })
    }

    fn ended(&self, seat: Seat) -> Boxed<Vec<String>> {
        let shared = self.shared.clone();
        let child = locked(&shared).children.remove(&seat.name);
        Box::pin(async move {
            let Some(child) = child else { return Vec::new() };
            child.hush();
            let mut left = Vec::new();
            match tokio::time::timeout(GONE_WITHIN, child.exited()).await {
                Ok(status) if status.success() => {}
                Ok(status) => left.push(format!("a process that ended with {status}")),
                Err(_) => {
                    child.signal(Signal::KILL);
                    child.exited().await;
                    left.push("a process that had to be killed".to_owned());
                }
            }
            if child.leaves_somebody() {
                child.signal(Signal::KILL);
                left.push("processes that it had started".to_owned());
            }
            keep_log(&shared, &seat.name, &child);
            left
        })
    }

    fn kill(&self, seat: Seat) -> Boxed<Result<(), WorldError>> {
        let shared = self.shared.clone();
        let child = locked(&shared).children.remove(&seat.name);
        Box::pin(async move {
            // The hand ends its node when it is let go: not before it is killed.
            let seat = seat;
            if let Some(child) = child {
                // What it has done is to be known; one that is stopped has told it already.
                if !child.is_stopped() {
                    child.stand_still().await;
                }
                child.signal(Signal::KILL);
                child.exited().await;
                keep_log(&shared, &seat.name, &child);
            }
            Ok(())
        })
    }

    fn time(&self) -> Arc<dyn Clock> {
        Arc::new(SystemClock)
    }

    fn network(&self, network: &Network) -> bool {
        locked(&self.shared).network = network.clone();
        false
    }

    fn logs(&self) -> BTreeMap<String, String> {
        let nodes = locked(&self.shared);
        let mut logs = nodes.logs.clone();
        for (name, child) in &nodes.children {
            logs.entry(name.clone()).or_default().push_str(&child.log());
        }
        logs
    }
}

fn keep_log(nodes: &Mutex<Nodes>, name: &str, child: &Child) {
    locked(nodes).logs.entry(name.to_owned()).or_default().push_str(&child.log());
}

/// The harness's hand on a node's process.
struct ThereHand {
    child: Arc<Child>,
    name: String,
    shared: Arc<Mutex<Nodes>>,
    means: Arc<Means>,
}

impl Drop for ThereHand {
    fn drop(&mut self) {
        if !self.child.is_over() {
            // Whoever dropped it without ending it has given the run up.
            self.child.hush();
        }
    }
}

impl Hand for ThereHand {
    fn ask(&self, order: Order) -> Boxed<Answered> {
        if let Order::Stop = order {
            let left = self.child.terminate();
            return Box::pin(async move { left.await.map(Answer::Left).map_err(|_| Refused::Gone) });
        }
        let waits = if let Order::Load { label, .. } = &order {
            // The receiver counts in another process: its count is brought here while the load runs.
            let counted = self.means.scene.count_of(label);
            self.child.say(&ToNode::Counted { label: label.clone(), counted });
            locked(&self.shared).awaited.insert(self.name.clone(), label.clone());
            Some((self.shared.clone(), self.name.clone()))
        } else {
            None
        };
        let answer = self.child.ask(order);
        Box::pin(async move {
            let answer = answer.await.unwrap_or(Err(Refused::Gone));
            if let Some((nodes, name)) = waits {
                locked(&nodes).awaited.remove(&name);
            }
            answer
        })
    }

    fn view(&self) -> Arc<NodeView> {
        self.child.view()
    }

    fn is_gone(&self) -> bool {
        self.child.is_over()
    }

    fn counts(&self) -> BTreeMap<Key, Counts> {
        self.child.counts()
    }

    fn captured(&self) -> Boxed<(Vec<Captured>, u64)> {
        let captured = self.child.captured();
        Box::pin(async move {
            let captured = tokio::time::timeout(CAPTURED_WITHIN, captured).await;
            captured.ok().and_then(Result::ok).unwrap_or_default()
        })
    }

    fn pause(&self, paused: bool) -> Boxed<Result<(), Refused>> {
        let child = self.child.clone();
        Box::pin(async move {
            if paused {
                child.stop().await;
            } else {
                child.go_on();
            }
            Ok(())
        })
    }

    fn abandon(&self) {
        self.child.signal(Signal::KILL);
    }
}
