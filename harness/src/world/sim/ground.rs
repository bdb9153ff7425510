//! Nodes of the simulation: launched, held still, ended.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use regatta::{Clock, ClusterNode, Incarnation, Runtime};
use tokio::sync::oneshot;

use super::executor::{Body, Kind, NodeSpawner, OwnerId};
use super::net::SocketId;
use super::time::SimClock;
use super::{Sim, chance};
use crate::fault::capture::{Capture, Captured};
use crate::fault::network::{Key, Network};
use crate::fault::wire::Counts;
use crate::load::SocketCounts;
use crate::logs;
use crate::random::Random;
use crate::world::Means;
use crate::world::agent::{Agent, Underlay};
use crate::world::clock::NodeClock;
use crate::world::cluster::{Boxed, Ground, Hand, Launch, Seat, WorldError};
use crate::world::order::{Answered, Order, Refused};
use crate::world::view::NodeView;

/// The world.
pub(crate) struct SimGround {
    sim: Arc<Sim>,
    means: Arc<Means>,
    hands: Mutex<BTreeMap<String, Arc<SimHand>>>,
}

impl SimGround {
    /// An empty world.
    pub(crate) fn new(sim: Arc<Sim>, means: Arc<Means>) -> Self {
        Self { sim, means, hands: Mutex::default() }
    }

    fn hands(&self) -> MutexGuard<'_, BTreeMap<String, Arc<SimHand>>> {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, launch: &Launch) -> Result<Seat, String> {
        let (sim, means) = (&self.sim, &self.means);
        let (owner, socket) = (sim.add_owner(&launch.name), sim.open(launch.index, launch.addr));
        let (id, purpose) = (socket.id, format!("node {} {}", launch.name, launch.before));
        let mut random = Random::apart(means.seed, &purpose);
        let clock = NodeClock::new(Arc::new(SimClock(sim.clone())));
        let spawner = Arc::new(NodeSpawner { sim: sim.clone(), owner, starting: AtomicBool::new(false) });
        let runtime = Runtime::builder()
            .clock(clock.clone())
            .spawner(spawner.clone())
            .incarnation(Incarnation::at(sim.starts_at(clock.unix_us()), random.next()))
            .build();
        let mut builder = ClusterNode::builder(&launch.name, runtime, &launch.identity)
            .spin(Duration::ZERO)
            .entropy(random.seed())
            // A kill is one without a word.
            .goodbye(false)
            .cryptography(chance::seeded);
        if let Some(node) = means.scenario.node(&launch.name) {
            builder = builder.connect_all(node.connect_all).hidden(node.hidden);
        }
        if let Some(claims) = &launch.announce {
            builder = builder.announce(claims);
        }
        if let Some(keys) = &means.keys {
            builder = builder.key_log(keys.clone());
        }
        spawner.starting.store(true, Relaxed);
        let entered = logs::enter(Some(launch.name.as_str().into()));
        let node = builder.start(socket);
        drop(entered);
        spawner.starting.store(false, Relaxed);
        let node = node.map_err(|error| {
            sim.end_owner(owner);
            error.to_string()
        })?;
        let addr = node.local_addr().map_err(|error| error.to_string())?;
        let underlay = Arc::new(SimUnderlay { sim: sim.clone(), owner, socket: id });
        let agent = Agent::new(&launch.name, node, means, clock, underlay);
        let control = agent.control;
        let body = Mutex::new(Some(agent));
        let hand = Arc::new(SimHand { sim: sim.clone(), owner, socket: id, agent: body });
        self.hands().insert(launch.name.clone(), hand.clone());
        Ok(Seat { name: launch.name.clone(), index: launch.index, control, addr, hand })
    }
}

impl Ground for SimGround {
    fn launch(&self, launch: Launch) -> Boxed<Result<Seat, WorldError>> {
        let started = self.start(&launch);
        let started = started.map_err(|detail| WorldError::Launch { node: launch.name, detail });
        Box::pin(std::future::ready(started))
    }

    fn ended(&self, seat: Seat) -> Boxed<Vec<String>> {
        let hand = self.hands().remove(&seat.name);
        Box::pin(async move {
            let Some(hand) = hand else { return Vec::new() };
            hand.take();
            let mut turns = 0;
            while hand.sim.tasks_of(hand.owner) > 0 && turns < LEFT_TURNS {
                // There is no event for the end of a task that nobody joins.
                tokio::time::sleep(LEFT_PAUSE).await;
                turns += 1;
            }
            let tasks = hand.sim.tasks_of(hand.owner);
            hand.sim.end_owner(hand.owner);
            if tasks > 0 { vec![format!("{tasks} tasks")] } else { Vec::new() }
        })
    }

    fn kill(&self, seat: Seat) -> Boxed<Result<(), WorldError>> {
        if let Some(hand) = self.hands().remove(&seat.name) {
            // First the socket: nothing of the end is heard.
            hand.sim.close(hand.socket);
            hand.sim.end_owner(hand.owner);
            hand.take();
        }
        self.means.scene.node_gone(&seat.name);
        Box::pin(std::future::ready(Ok(())))
    }

    fn time(&self) -> Arc<dyn Clock> {
        Arc::new(SimClock(self.sim.clone()))
    }

    fn network(&self, network: &Network) -> bool {
        self.sim.state().wire.set(network.clone());
        true
    }

    fn counts(&self) -> BTreeMap<Key, Counts> {
        self.sim.state().wire.counts().clone()
    }

    fn logs(&self) -> BTreeMap<String, String> {
        self.means.logs.as_ref().map(|(logs, _)| logs.texts()).unwrap_or_default()
    }

    fn captured(&self) -> (Vec<Captured>, u64) {
        self.sim.state().capture.as_mut().map(Capture::take).unwrap_or_default()
    }
}

/// What a node of the simulation has below it.
struct SimUnderlay {
    sim: Arc<Sim>,
    owner: OwnerId,
    socket: SocketId,
}

impl Underlay for SimUnderlay {
    fn network(&self, _network: Network) {
        // There is one network, and it knows already.
    }

    fn rebind(&self) -> io::Result<SocketAddr> {
        self.sim.rebind(self.socket)
    }

    fn socket(&self) -> Option<SocketCounts> {
        self.sim.counts(self.socket)
    }

    fn spawn(&self, task: Body) {
        self.sim.spawn(self.owner, Kind::Process, task);
    }
}

/// The harness's hand on a node of the simulation.
struct SimHand {
    sim: Arc<Sim>,
    owner: OwnerId,
    socket: SocketId,
    /// `None` once the node has ended.
    agent: Mutex<Option<Arc<Agent>>>,
}

impl SimHand {
    fn agent(&self) -> Option<Arc<Agent>> {
        self.agent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn take(&self) {
        self.agent.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Hand for SimHand {
    fn ask(&self, order: Order) -> Boxed<Answered> {
        let (tell, told) = oneshot::channel();
        if let Some(agent) = self.agent() {
            let act = async move {
                // The harness may have given the run up.
                let _ = tell.send(agent.perform(order).await);
            };
            self.sim.spawn(self.owner, Kind::Process, Box::pin(act));
        }
        Box::pin(async move { told.await.unwrap_or(Err(Refused::Gone)) })
    }

    fn view(&self) -> Arc<NodeView> {
        self.agent().map(|agent| agent.view()).unwrap_or_default()
    }

    fn pause(&self, paused: bool) -> Boxed<Result<(), Refused>> {
        self.sim.hold(self.owner, paused);
        Box::pin(std::future::ready(Ok(())))
    }

    fn abandon(&self) {
        self.sim.close(self.socket);
        self.sim.end_owner(self.owner);
        self.take();
    }
}

/// How often, and with which pause, a node's tasks are counted before what is left counts as left.
const LEFT_TURNS: u32 = 400;
const LEFT_PAUSE: Duration = Duration::from_millis(5);
