//! All nodes in this process: each with a tokio runtime of its own and real UDP on a loopback address of its own.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use regatta::net::{Socket, UdpSocket};
use regatta::{Clock, ClusterNode, Runtime, SystemClock};
use tokio::sync::oneshot;

use super::Means;
use super::agent::{Agent, Underlay};
use super::clock::NodeClock;
use super::cluster::{Boxed, Ground, Hand, Launch, Seat, WorldError};
use super::order::{Answered, Order, Refused};
use super::pin;
use super::view::NodeView;
use crate::fault::capture::{Capture, Captured};
use crate::fault::network::{Key, Network, NodeIndex};
use crate::fault::socket::{FaultSocket, Tap};
use crate::fault::wire::Counts;
use crate::logs;
use crate::random::Random;

/// Bytes of a node's last datagrams that are kept for a report.
pub(crate) const CAPTURE_BYTES: usize = 8 << 20;

/// The world.
pub(crate) struct Inproc {
    means: Arc<Means>,
    hands: Arc<Mutex<BTreeMap<String, Arc<HereHand>>>>,
    /// Third byte of the run's loopback addresses, so that two runs side by side do not share one.
    network: u8,
}

/// Counts runs.
static RUNS: AtomicU32 = AtomicU32::new(0);

impl Inproc {
    /// An empty world.
    pub(crate) fn new(means: Arc<Means>) -> Self {
        Self { means, hands: Arc::default(), network: network() }
    }
}

/// A number for a run's loopback addresses: another one for each run of this process, and most likely another one than
/// those of other processes.
pub(crate) fn network() -> u8 {
    let run = RUNS.fetch_add(1, Relaxed).wrapping_add(std::process::id().wrapping_mul(7));
    (run % 250) as u8 + 1
}

/// The address that a node of this place binds to.
pub(crate) fn address(network: u8, index: NodeIndex) -> SocketAddr {
    let host = u8::try_from(index % 250 + 1).unwrap_or(1);
    SocketAddr::from((Ipv4Addr::new(127, 77, network, host), 0))
}

impl Ground for Inproc {
    fn launch(&self, launch: Launch) -> Boxed<Result<Seat, WorldError>> {
        let fresh = address(self.network, launch.index);
        let started = match launch.addr {
            // Somebody else may have the port by now.
            Some(addr) => start(&self.means, &launch, addr).or_else(|_| start(&self.means, &launch, fresh)),
            None => start(&self.means, &launch, fresh),
        };
        let started = started.map(|(seat, hand)| {
            self.hands().insert(launch.name, hand);
            seat
        });
        Box::pin(std::future::ready(started))
    }

    fn ended(&self, seat: Seat) -> Boxed<Vec<String>> {
        let body = self.take(&seat.name);
        Box::pin(async move {
            let Some(Body { tokio, agent, .. }) = body else { return Vec::new() };
            drop(agent);
            let tasks = settled_tasks(&tokio).await;
            tokio.shutdown_background();
            if tasks > 0 { vec![format!("{tasks} tasks")] } else { Vec::new() }
        })
    }

    fn kill(&self, seat: Seat) -> Boxed<Result<(), WorldError>> {
        let (body, scene) = (self.take(&seat.name), self.means.scene.clone());
        Box::pin(async move {
            let Some(body) = body else { return Ok(()) };
            if let Some(tap) = &body.tap {
                // Whatever it still does until its threads are gone, nobody hears of it.
                tap.pause(true);
            }
            body.gate.open();
            let Body { tokio, agent, .. } = body;
            // Dropping a tokio runtime waits for its threads, which must not happen on a thread of ours that others need.
            let dropped = tokio::task::spawn_blocking(move || drop(tokio)).await;
            scene.node_gone(&seat.name);
            drop(agent);
            dropped.map_err(|error| WorldError::Left { node: seat.name, what: error.to_string() })
        })
    }

    fn time(&self) -> Arc<dyn Clock> {
        Arc::new(SystemClock)
    }

    fn logs(&self) -> BTreeMap<String, String> {
        self.means.logs.as_ref().map(|(logs, _)| logs.texts()).unwrap_or_default()
    }
}

impl Inproc {
    fn hands(&self) -> MutexGuard<'_, BTreeMap<String, Arc<HereHand>>> {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, name: &str) -> Option<Body> {
        let hand = self.hands().remove(name);
        hand.and_then(|hand| hand.take())
    }
}

fn start(means: &Means, launch: &Launch, addr: SocketAddr) -> Result<(Seat, Arc<HereHand>), WorldError> {
    let failed = |detail: String| WorldError::Launch { node: launch.name.clone(), detail };
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).thread_name(format!("node {}", launch.name)).enable_all();
    let logs =
        means.logs.as_ref().map(|(_, dispatch)| (Arc::<str>::from(launch.name.as_str()), dispatch.clone()));
    let place = means.scenario.pinned(&launch.name);
    if let Some(place) = place {
        let tried = std::thread::spawn(move || pin::to_core_of(place)).join();
        let tried = tried.unwrap_or_else(|_| Err(io::Error::other("it panicked")));
        tried.map_err(|error| failed(format!("its threads cannot be kept on one core: {error}")))?;
    }
    builder.on_thread_start(move || {
        if let Some((node, dispatch)) = &logs {
            logs::adopt_thread(node, dispatch);
        }
        // That it can be done has just been seen.
        let _ = place.map(pin::to_core_of);
    });
    let tokio = builder.build().map_err(|error| failed(format!("no threads: {error}")))?;
    let clock = NodeClock::new(Arc::new(SystemClock));
    let bound = {
        let _inside = tokio.enter();
        bind(means, launch, addr, clock.clone())
    };
    let (node, tap) = match bound {
        Ok(bound) => bound,
        Err(detail) => {
            tokio.shutdown_background();
            return Err(failed(detail));
        }
    };
    let addr = node.local_addr().map_err(|error| failed(error.to_string()))?;
    let agent = {
        let _inside = tokio.enter();
        let underlay = Arc::new(RealUnderlay { tap: tap.clone(), tokio: tokio.handle().clone() });
        Agent::new(&launch.name, node, means, clock, underlay)
    };
    let control = agent.control;
    let body = Body { agent, tap, gate: Gate::default(), tokio };
    let hand = Arc::new(HereHand { body: Mutex::new(Some(body)), last: Mutex::default() });
    let seat = Seat { name: launch.name.clone(), index: launch.index, control, addr, hand: hand.clone() };
    Ok((seat, hand))
}

/// Binds a real socket and starts the node on it, inside the node's tokio runtime. A scenario that asks for no fault gets
/// the plain socket.
pub(crate) fn bind(
    means: &Means,
    launch: &Launch,
    addr: SocketAddr,
    clock: Arc<NodeClock>,
) -> Result<(ClusterNode, Option<Arc<Tap>>), String> {
    let runtime = Runtime::builder().clock(clock).build();
    // A kill is one without a word.
    let mut builder = ClusterNode::builder(&launch.name, runtime, &launch.identity).goodbye(false);
    if let Some(spin) = means.scenario.spin(&launch.name) {
        builder = builder.spin(spin);
    }
    if let Some(node) = means.scenario.node(&launch.name) {
        builder = builder.connect_all(node.connect_all).hidden(node.hidden);
    }
    if let Some(claims) = &launch.announce {
        builder = builder.announce(claims);
    }
    if let Some(keys) = &means.keys {
        builder = builder.key_log(keys.clone());
    }
    if !means.taps {
        return builder.bind(addr).map(|node| (node, None)).map_err(|error| error.to_string());
    }
    let socket = UdpSocket::bind(addr).map_err(|error| format!("{addr}: {error}"))?;
    let bound = socket.local_addr().map_err(|error| error.to_string())?;
    let random = Random::apart(means.seed, &format!("wire {} {}", launch.name, launch.before));
    let capture = means.captures.then(|| Capture::new(CAPTURE_BYTES));
    let tap = Tap::new(launch.index, bound, random, means.started, capture);
    let node = builder.start(FaultSocket::new(socket, tap.clone())).map_err(|error| error.to_string())?;
    Ok((node, Some(tap)))
}

/// What a node of this process has below it.
pub(crate) struct RealUnderlay {
    pub(crate) tap: Option<Arc<Tap>>,
    pub(crate) tokio: tokio::runtime::Handle,
}

impl Underlay for RealUnderlay {
    fn network(&self, network: Network) {
        if let Some(tap) = &self.tap {
            tap.network(network);
        }
    }

    fn rebind(&self) -> io::Result<SocketAddr> {
        let _inside = self.tokio.enter();
        self.tap.as_ref().ok_or(io::ErrorKind::Unsupported)?.rebind()
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.tokio.spawn(task);
    }
}

/// A running node.
struct Body {
    agent: Arc<Agent>,
    tap: Option<Arc<Tap>>,
    gate: Gate,
    tokio: tokio::runtime::Runtime,
}

/// The harness's hand on a node of this process.
struct HereHand {
    /// `None` once the node has ended.
    body: Mutex<Option<Body>>,
    /// What it showed last.
    last: Mutex<Arc<NodeView>>,
}

impl HereHand {
    fn with<T>(&self, look: impl FnOnce(&Body) -> T) -> Option<T> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(look)
    }

    fn take(&self) -> Option<Body> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Hand for HereHand {
    fn ask(&self, order: Order) -> Boxed<Answered> {
        let asked = self.with(|body| {
            if let (Order::Network(network), Some(tap)) = (&order, &body.tap) {
                // Nothing of the node has to run for that.
                tap.network(network.clone());
            }
            body.tokio.spawn(body.agent.clone().perform(order))
        });
        Box::pin(async move {
            let asked = asked.ok_or(Refused::Gone)?;
            asked.await.unwrap_or(Err(Refused::Gone))
        })
    }

    fn view(&self) -> Arc<NodeView> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = self.with(|body| body.agent.clone()) {
            *last = agent.view();
        }
        last.clone()
    }

    fn counts(&self) -> BTreeMap<Key, Counts> {
        self.with(|body| body.tap.as_ref().map(|tap| tap.counts())).flatten().unwrap_or_default()
    }

    fn captured(&self) -> Boxed<(Vec<Captured>, u64)> {
        let captured = self.with(|body| body.tap.as_ref().map(|tap| tap.captured()));
        Box::pin(async move { captured.flatten().unwrap_or_default() })
    }

    fn pause(&self, paused: bool) -> Boxed<Result<(), Refused>> {
        let held = self.with(|body| {
            if let Some(tap) = &body.tap {
                tap.pause(paused);
            }
            if paused {
                return Some(body.gate.close(body.tokio.handle()));
            }
            body.gate.open();
            None
        });
        Box::pin(async move {
            if let Some(held) = held.ok_or(Refused::Gone)? {
                // The worker comes by as soon as the process that it runs lets it.
                let _ = held.await;
            }
            Ok(())
        })
    }

    fn abandon(&self) {
        if let Some(body) = self.take() {
            body.gate.open();
            body.tokio.shutdown_background();
        }
    }
}

/// Holds a node's only worker: while it is held, nothing of the node runs.
#[derive(Default)]
struct Gate {
    held: Mutex<Option<Arc<Held>>>,
}

#[derive(Default)]
struct Held {
    go_on: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    /// Closes it; resolves once the worker is held.
    fn close(&self, tokio: &tokio::runtime::Handle) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        let held = Arc::new(Held::default());
        let before = self.held.lock().unwrap_or_else(PoisonError::into_inner).replace(held.clone());
        if let Some(before) = before {
            before.release();
        }
        tokio.spawn(async move {
            // Whoever closed the gate may have stopped waiting.
            let _ = tell.send(());
            held.wait();
        });
        told
    }

    /// Opens it, if it is closed.
    fn open(&self) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(held) = held {
            held.release();
        }
    }
}

impl Held {
    /// Blocks this thread, which is the node's worker.
    fn wait(&self) {
        let mut go_on = self.go_on.lock().unwrap_or_else(PoisonError::into_inner);
        while !*go_on {
            go_on = self.changed.wait(go_on).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn release(&self) {
        *self.go_on.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
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
