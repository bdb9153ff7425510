//! The nodes of one run, whatever the world: who runs, under which identity, reached how, on what network.
//!
//! A world only knows how to launch a node and how to end one ([`Ground`]); what it hands back is a [`Seat`], by which the
//! harness reaches the node from then on.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use futures_util::future::join_all;
use regatta::cluster::identity::{CA_VALID_FOR, IdentityError, IssueOptions, SHARED_VALID_FOR};
use regatta::{Clock, ClusterCa, Identity, Pid};
use thiserror::Error;

use super::order::{Answer, Answered, Order, Refused};
use super::view::NodeView;
use crate::fault::capture::Captured;
use crate::fault::network::{Key, Network, NodeIndex, OWN, Rule, own_rules};
use crate::fault::wire::Counts;
use crate::random::Random;
use crate::scenario::Scenario;
use crate::scenario::model::{Connect, Node, Trust};

/// A future as trait objects give it.
pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Why a world could not do what a step asks of it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WorldError {
    /// The node runs already, or does not, or is held still.
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
    /// The node did not do what it was asked.
    #[error("node `{node}`: {detail}")]
    Refused {
        /// The node.
        node: String,
        /// Why.
        detail: String,
    },
    /// The node was not started.
    #[error("node `{node}` did not start: {detail}")]
    Launch {
        /// The node.
        node: String,
        /// Why.
        detail: String,
    },
    /// A process of the scenario could not be started.
    #[error("{0}")]
    Process(String),
    /// Something of a node was left after its end.
    #[error("node `{node}` left something behind: {what}")]
    Left {
        /// The node.
        node: String,
        /// What.
        what: String,
    },
}

/// A node that is to be launched.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    /// What the scenario calls it.
    pub(crate) name: String,
    /// Its place in the scenario.
    pub(crate) index: NodeIndex,
    /// Who it is.
    pub(crate) identity: Identity,
    /// Another name that it announces.
    pub(crate) announce: Option<String>,
    /// How often the node has been launched before.
    pub(crate) before: u64,
    /// Where it was then: a node that starts again is where its peers look for it.
    pub(crate) addr: Option<SocketAddr>,
}

/// What a world can do. Everything else goes through a [`Seat`].
pub(crate) trait Ground: Send + Sync {
    /// Starts a node. Its processes come later.
    fn launch(&self, launch: Launch) -> Boxed<Result<Seat, WorldError>>;

    /// Cleans up after a node that has ended in an orderly way; what was left.
    fn ended(&self, seat: Seat) -> Boxed<Vec<String>>;

    /// Ends a node without a word.
    fn kill(&self, seat: Seat) -> Boxed<Result<(), WorldError>>;

    /// The world's time.
    fn time(&self) -> Arc<dyn Clock>;

    /// From now on the network is like this. Whether the world has one network for all nodes, and has been told; else each
    /// node is.
    fn network(&self, _network: &Network) -> bool {
        false
    }

    /// What the rules did in a network for all nodes.
    fn counts(&self) -> BTreeMap<Key, Counts> {
        BTreeMap::new()
    }

    /// The last datagrams in a network for all nodes, and how many older ones there were.
    fn captured(&self) -> (Vec<Captured>, u64) {
        (Vec::new(), 0)
    }

    /// What each node has logged, by name.
    fn logs(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}

/// How the harness reaches one running node.
pub(crate) trait Hand: Send + Sync {
    /// Has an order carried out by the node's agent.
    fn ask(&self, order: Order) -> Boxed<Answered>;

    /// What the node showed last.
    fn view(&self) -> Arc<NodeView>;

    /// Whether the node has ended by itself.
    fn is_gone(&self) -> bool {
        false
    }

    /// What the network's rules did to what the node sent.
    fn counts(&self) -> BTreeMap<Key, Counts> {
        BTreeMap::new()
    }

    /// The last datagrams that the node sent, and how many older ones there were.
    fn captured(&self) -> Boxed<(Vec<Captured>, u64)> {
        Box::pin(std::future::ready((Vec::new(), 0)))
    }

    /// Holds the node still, or lets it go on.
    fn pause(&self, paused: bool) -> Boxed<Result<(), Refused>>;

    /// Gives the node up without waiting for anything: the run is over.
    fn abandon(&self);
}

/// A running node.
#[derive(Clone)]
pub(crate) struct Seat {
    pub(crate) name: String,
    pub(crate) index: NodeIndex,
    /// The process by which the harness acts on it. Its incarnation is the node's.
    pub(crate) control: Pid,
    pub(crate) addr: SocketAddr,
    pub(crate) hand: Arc<dyn Hand>,
}

impl Seat {
    /// Has an order carried out.
    pub(crate) fn ask(&self, order: Order) -> Boxed<Answered> {
        self.hand.ask(order)
    }
}

/// The nodes of a run.
pub(crate) struct Cluster {
    scenario: Arc<Scenario>,
    ground: Arc<dyn Ground>,
    /// What the keys of certificates come from: they serve this run alone.
    seed: u64,
    inner: Mutex<Inner>,
    /// One act on a node's life at a time.
    lives: BTreeMap<String, tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct Inner {
    authorities: BTreeMap<String, ClusterCa>,
    shared: BTreeMap<String, Identity>,
    /// Each node's own: it outlives the node's restarts, as files on a disk do.
    issued: BTreeMap<String, Identity>,
    seats: BTreeMap<String, Seat>,
    /// The nodes in the order of their first start: a node dials those that were started before it.
    started: Vec<String>,
    launches: BTreeMap<String, u64>,
    /// Where each node was last.
    last: BTreeMap<String, SocketAddr>,
    network: Network,
    /// What rules did at nodes that have ended.
    past_counts: BTreeMap<Key, Counts>,
    past_captured: Vec<(Vec<Captured>, u64)>,
    paused: Vec<String>,
    /// Nodes that have ended.
    ended: u64,
}

impl Cluster {
    /// No node runs yet.
    pub(crate) fn new(scenario: Arc<Scenario>, ground: Arc<dyn Ground>, seed: u64) -> Self {
        let index = |name: &String| index_of(&scenario, name);
        let network = Network { addresses: Vec::new(), rules: own_rules(&scenario.network, index) };
        let lives = scenario.nodes.iter().map(|node| (node.name.clone(), tokio::sync::Mutex::default()));
        Self {
            lives: lives.collect(),
            inner: Mutex::new(Inner { network, ..Inner::default() }),
            scenario,
            ground,
            seed,
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The scenario.
    pub(crate) const fn scenario(&self) -> &Arc<Scenario> {
        &self.scenario
    }

    /// How many rules of faults there are.
    pub(crate) fn rules_left(&self) -> usize {
        self.inner().network.rules.iter().filter(|rule| rule.key != OWN).count()
    }

    /// The running node of this name.
    pub(crate) fn seat(&self, name: &str) -> Option<Seat> {
        self.inner().seats.get(name).cloned()
    }

    /// All running nodes, by name.
    pub(crate) fn seats(&self) -> Vec<Seat> {
        self.inner().seats.values().cloned().collect()
    }

    /// Whether the node runs.
    pub(crate) fn is_running(&self, name: &str) -> bool {
        self.inner().seats.contains_key(name)
    }

    /// The running node that a process belongs to.
    pub(crate) fn seat_of(&self, pid: Pid) -> Option<Seat> {
        self.seats().into_iter().find(|seat| seat.control.incarnation() == pid.incarnation())
    }

    /// Starts a node, its processes, and its dials, whose answers are awaited, whatever they are.
    ///
    /// # Errors
    /// [`WorldError`]; the node does not run then.
    pub(crate) async fn start(&self, name: &str) -> Result<(), WorldError> {
        let started = self.launch(name).await?;
        self.dial_all(started).await;
        Ok(())
    }

    /// Starts several nodes, in order; then all dial at the same moment.
    ///
    /// # Errors
    /// As [`start`](Self::start); nodes that were started before stay so.
    pub(crate) async fn start_all(&self, names: impl Iterator<Item = &str>) -> Result<(), WorldError> {
        let mut started = Vec::new();
        for name in names {
            started.push(self.launch(name).await?);
        }
        join_all(started.into_iter().map(|started| self.dial_all(started))).await;
        Ok(())
    }

    /// Starts a node and its processes; it has yet to dial.
    async fn launch(&self, name: &str) -> Result<Started<'_>, WorldError> {
        let life = self.life(name).await?;
        if self.is_running(name) {
            return Err(WorldError::State(name.to_owned(), "runs already"));
        }
        let scenario = self.scenario.clone();
        let node = scenario
            .node(name)
            .ok_or_else(|| WorldError::State(name.to_owned(), "is not in the scenario"))?;
        let launch = self.prepare(node)?;
        let seat = self.ground.launch(launch).await?;
        let targets = {
            let mut inner = self.inner();
            let before = inner.started.clone();
            if !before.iter().any(|other| other == name) {
                inner.started.push(name.to_owned());
            }
            inner.network.addresses.push((seat.addr, seat.index));
            inner.last.insert(name.to_owned(), seat.addr);
            inner.seats.insert(name.to_owned(), seat.clone());
            match &node.connect {
                Connect::Nobody => Vec::new(),
                Connect::First => before.into_iter().filter(|other| other != name).collect(),
                Connect::To(nodes) => nodes.clone(),
            }
        };
        self.tell_network().await;
        let processes = scenario.processes.iter().enumerate().filter(|(_, process)| process.on == name);
        for (process, _) in processes {
            seat.ask(Order::Start { process })
                .await
                .map_err(|refused| WorldError::Process(refused.to_string()))?;
        }
        let one_is_enough = node.connect == Connect::First;
        Ok(Started { _life: life, seat, targets, one_is_enough })
    }

    async fn dial_all(&self, started: Started<'_>) {
        for target in started.targets {
            if let Some(addr) = self.seat(&target).map(|target| target.addr) {
                // Whatever the answer: a node that is refused is up as well.
                let answer = started.seat.ask(Order::Dial { addr }).await;
                if started.one_is_enough && matches!(answer, Ok(Answer::Dialed(Ok(())))) {
                    // The others are met through it.
                    break;
                }
            }
        }
    }

    /// Ends a node in an orderly way and looks at what is left.
    ///
    /// # Errors
    /// [`WorldError::State`] when it does not run, [`WorldError::Left`] when something is left after it.
    pub(crate) async fn stop(&self, name: &str) -> Result<(), WorldError> {
        let _life = self.life(name).await?;
        if self.not_held(name).is_err()
            && let Some(seat) = self.seat(name)
        {
            // It has to hear of it. It ends the harder way below if it cannot go on.
            let _ = seat.hand.pause(false).await;
        }
        let seat = self.taken(name)?;
        let mut left = match seat.ask(Order::Stop).await {
            Ok(Answer::Left(left)) => left,
            Ok(_) => Vec::new(),
            Err(refused) => vec![format!("what it was doing, for it ended before it was told to: {refused}")],
        };
        self.remember(&seat).await;
        left.extend(self.ground.ended(seat).await);
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
    pub(crate) async fn kill(&self, name: &str) -> Result<(), WorldError> {
        let _life = self.life(name).await?;
        let seat = self.taken(name)?;
        self.remember(&seat).await;
        self.ground.kill(seat).await
    }

    /// Ends every node in an orderly way, all at the same time; what each of them left behind.
    pub(crate) async fn end(&self) -> Vec<WorldError> {
        let seats = self.seats();
        let stopped = join_all(seats.iter().map(|seat| self.stop(&seat.name))).await;
        stopped.into_iter().filter_map(Result::err).collect()
    }

    /// Gives every node up.
    pub(crate) fn abandon(&self) {
        for seat in std::mem::take(&mut self.inner().seats).into_values() {
            seat.hand.abandon();
        }
    }

    /// Holds a node still, or lets it go on.
    ///
    /// # Errors
    /// When it does not run, or cannot be held.
    pub(crate) async fn pause(&self, name: &str, paused: bool) -> Result<(), WorldError> {
        let _life = self.life(name).await?;
        let seat = self.seat(name).ok_or_else(|| does_not_run(name))?;
        seat.hand.pause(paused).await.map_err(|refused| refused_by(name, &refused))?;
        let mut inner = self.inner();
        inner.paused.retain(|other| other != name);
        if paused {
            inner.paused.push(name.to_owned());
        }
        Ok(())
    }

    /// Has a node carry out the beginning of a fault.
    ///
    /// # Errors
    /// When it does not run, is held still, or refuses.
    pub(crate) async fn order(&self, name: &str, order: Order) -> Result<(), WorldError> {
        // Nobody holds it still meanwhile.
        let _life = self.life(name).await?;
        let seat = self.seat(name).ok_or_else(|| does_not_run(name))?;
        self.not_held(name)?;
        seat.ask(order).await.map(drop).map_err(|refused| refused_by(name, &refused))
    }

    /// Has a node carry out the end of a fault. One that is held still does so first thing when it goes on, and nobody waits for
    /// that. One that ends takes the fault with it: its next start has none.
    ///
    /// # Errors
    /// When it refuses.
    pub(crate) async fn lift(&self, name: &str, order: Order) -> Result<(), WorldError> {
        let _life = self.life(name).await?;
        let Some(seat) = self.seat(name) else { return Ok(()) };
        let answer = seat.ask(order);
        if self.not_held(name).is_err() {
            return Ok(());
        }
        match answer.await {
            Ok(_) | Err(Refused::Gone) => Ok(()),
            Err(refused) => Err(refused_by(name, &refused)),
        }
    }

    /// Says that a node is not held still: it carries out what it is asked.
    ///
    /// # Errors
    /// When it is.
    pub(crate) fn not_held(&self, name: &str) -> Result<(), WorldError> {
        if self.inner().paused.iter().any(|paused| paused == name) {
            return Err(WorldError::State(name.to_owned(), "is held still"));
        }
        Ok(())
    }

    /// How many nodes have ended so far.
    pub(crate) fn ended(&self) -> u64 {
        self.inner().ended
    }

    /// The nodes that are held still.
    pub(crate) fn paused(&self) -> Vec<String> {
        self.inner().paused.clone()
    }

    /// Makes one node dial another.
    pub(crate) fn dial(&self, from: &Seat, to: &Seat) -> Boxed<Answered> {
        from.ask(Order::Dial { addr: to.addr })
    }

    /// Gives a node another address.
    ///
    /// # Errors
    /// When it does not run, is held still, or gets none.
    pub(crate) async fn rebind(&self, name: &str) -> Result<(), WorldError> {
        let _life = self.life(name).await?;
        let seat = self.seat(name).ok_or_else(|| does_not_run(name))?;
        self.not_held(name)?;
        let answer = seat.ask(Order::Rebind).await.map_err(|refused| refused_by(name, &refused))?;
        let Answer::Addr(addr) = answer else {
            return Err(refused_by(name, &Refused::Because("no address".to_owned())));
        };
        {
            let mut inner = self.inner();
            inner.network.addresses.push((addr, seat.index));
            inner.last.insert(name.to_owned(), addr);
            if let Some(seat) = inner.seats.get_mut(name) {
                seat.addr = addr;
            }
        }
        self.tell_network().await;
        Ok(())
    }

    /// Changes the rules of the network. In force everywhere when it returns, except at nodes that stand still.
    pub(crate) async fn rules(&self, change: impl FnOnce(&mut Vec<Rule>)) {
        change(&mut self.inner().network.rules);
        self.tell_network().await;
    }

    /// What the rules of each fault have done so far.
    pub(crate) fn counts(&self) -> BTreeMap<Key, Counts> {
        let (mut all, seats) = {
            let inner = self.inner();
            (inner.past_counts.clone(), inner.seats.values().cloned().collect::<Vec<_>>())
        };
        let of_seats = seats.into_iter().map(|seat| seat.hand.counts());
        for (key, counts) in of_seats.chain([self.ground.counts()]).flatten() {
            all.entry(key).or_default().add(&counts);
        }
        all
    }

    /// The last datagrams of all nodes, in the order of time, and how many older ones there were.
    pub(crate) async fn captured(&self) -> (Vec<Captured>, u64) {
        let mut parts = std::mem::take(&mut self.inner().past_captured);
        parts.push(self.ground.captured());
        for seat in self.seats() {
            parts.push(seat.hand.captured().await);
        }
        let forgotten = parts.iter().map(|(_, forgotten)| forgotten).sum();
        let mut all: Vec<Captured> = parts.into_iter().flat_map(|(kept, _)| kept).collect();
        all.sort_by_key(|datagram| datagram.at_ns);
        (all, forgotten)
    }

    /// What the running nodes show.
    pub(crate) fn views(&self) -> BTreeMap<String, Arc<NodeView>> {
        let there = self.seats().into_iter().filter(|seat| !seat.hand.is_gone());
        there.map(|seat| (seat.name.clone(), seat.hand.view())).collect()
    }

    async fn life(&self, name: &str) -> Result<tokio::sync::MutexGuard<'_, ()>, WorldError> {
        let life = self.lives.get(name);
        let life = life.ok_or_else(|| WorldError::State(name.to_owned(), "is not in the scenario"))?;
        Ok(life.lock().await)
    }

    fn taken(&self, name: &str) -> Result<Seat, WorldError> {
        let mut inner = self.inner();
        inner.paused.retain(|other| other != name);
        let seat = inner.seats.remove(name).ok_or_else(|| does_not_run(name))?;
        inner.ended += 1;
        Ok(seat)
    }

    /// Keeps what a node that ends has counted.
    async fn remember(&self, seat: &Seat) {
        let (counts, captured) = (seat.hand.counts(), seat.hand.captured().await);
        let mut inner = self.inner();
        for (key, of_seat) in counts {
            inner.past_counts.entry(key).or_default().add(&of_seat);
        }
        inner.past_captured.push(captured);
    }

    /// Tells every node what the network is like, if it is like anything.
    async fn tell_network(&self) {
        let (network, seats, paused) = {
            let inner = self.inner();
            (inner.network.clone(), inner.seats.values().cloned().collect::<Vec<_>>(), inner.paused.clone())
        };
        if self.ground.network(&network) {
            return;
        }
        let mut waiting = Vec::new();
        for seat in seats {
            let answer = seat.ask(Order::Network(network.clone()));
            if paused.contains(&seat.name) {
                // It hears of it first thing when it goes on.
                continue;
            }
            waiting.push(answer);
        }
        for answer in waiting {
            // A node that ends meanwhile has no network to be told of.
            let _ = answer.await;
        }
    }

    fn prepare(&self, node: &Node) -> Result<Launch, WorldError> {
        let (name, mut inner) = (node.name.clone(), self.inner());
        let identity = self.identity(&mut inner, node)?;
        let announce = match self.scenario.trust.get(&node.trust) {
            Some(Trust::Issued { claims, .. }) => claims.clone(),
            _ => None,
        };
        let launches = inner.launches.entry(name.clone()).or_default();
        let before = *launches;
        *launches += 1;
        let addr = inner.last.get(&name).copied();
        Ok(Launch { index: index_of(&self.scenario, &name), name, identity, announce, before, addr })
    }

    fn identity(&self, inner: &mut Inner, node: &Node) -> Result<Identity, WorldError> {
        let failed = |source| WorldError::Identity { node: node.name.clone(), source };
        let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_micros(self.ground.time().unix_us());
        let entropy = |whose: &str| Some(Random::apart(self.seed, whose).seed());
        let own = entropy(&format!("certificate {}", node.name));
        let ordinary = IssueOptions { at, entropy: own, ..IssueOptions::default() };
        let cluster = || regatta::cluster::identity::DEFAULT_CLUSTER.parse().expect("a cluster's name");
        match self.scenario.trust.get(&node.trust) {
            Some(Trust::Shared { name }) => {
                if !inner.shared.contains_key(name) {
                    let options = IssueOptions {
                        valid_for: SHARED_VALID_FOR,
                        entropy: entropy(&format!("shared {name}")),
                        ..ordinary
                    };
                    let identity = Identity::generate_with(cluster(), &options).map_err(failed)?;
                    inner.shared.insert(name.clone(), identity);
                }
                Ok(inner.shared[name].clone())
            }
            Some(Trust::Issued { ca, valid_for, .. }) => {
                if let Some(issued) = inner.issued.get(&node.name) {
                    return Ok(issued.clone());
                }
                if !inner.authorities.contains_key(ca) {
                    let options = IssueOptions {
                        valid_for: CA_VALID_FOR,
                        entropy: entropy(&format!("authority {ca}")),
                        ..ordinary
                    };
                    let made = ClusterCa::generate_with(cluster(), &options).map_err(failed)?;
                    inner.authorities.insert(ca.clone(), made);
                }
                let mut options = ordinary;
                if let Some(valid_for) = valid_for {
                    options.valid_for = *valid_for;
                }
                let issued = inner.authorities[ca].issue_with(&node.name, &options).map_err(failed)?;
                inner.issued.insert(node.name.clone(), issued.clone());
                Ok(issued)
            }
            None => Err(WorldError::State(node.name.clone(), "has a trust that is not there")),
        }
    }
}

/// A node that runs and has yet to dial.
struct Started<'a> {
    /// Nobody else starts or ends it meanwhile.
    _life: tokio::sync::MutexGuard<'a, ()>,
    seat: Seat,
    targets: Vec<String>,
    /// Whether it is done with the first target that it is linked with.
    one_is_enough: bool,
}

/// A node's place in the scenario.
pub(crate) fn index_of(scenario: &Scenario, name: &str) -> NodeIndex {
    scenario.nodes.iter().position(|node| node.name == name).unwrap_or(usize::MAX)
}

fn refused_by(name: &str, refused: &Refused) -> WorldError {
    WorldError::Refused { node: name.to_owned(), detail: refused.to_string() }
}

fn does_not_run(name: &str) -> WorldError {
    WorldError::State(name.to_owned(), "does not run")
}
