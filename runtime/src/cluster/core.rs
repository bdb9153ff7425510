//! What a node's parts share: the engine behind its lock, the queues in front of it, and the views that it keeps up.
//!
//! Two rules keep it free of deadlocks. The engine's lock is taken by the loop and by a node's own methods, never from a
//! process's end or send: those only queue and wake the loop. And nothing of the user runs while it is held: what needs
//! that is noted as [`Work`] and done when it has been let go.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::Context;
use std::time::{Duration, Instant};

use atomic_waker::AtomicWaker;
use parking_lot::{Mutex, RwLock};
use regatta_proto::engine::{Engine, Standing};
use regatta_proto::host::{
    CallError, CallOutcome, ConfirmError, ConflictPolicy, ConnectError, FencingToken, LinkId, Owner,
};
use regatta_proto::id::{Incarnation, Name, NodeId, NodeName, Pid};
use regatta_proto::link::outgoing::{Outgoing, TooLarge};
use regatta_proto::wire::control::Question;
use regatta_proto::wire::frame::SpawnRequest;
use rustc_hash::FxHashMap;
use tokio::sync::{oneshot, watch};

use super::conflict::Resolvers;
use super::events::Events;
use super::host::NodeHost;
use super::log_limit::LogLimit;
use super::name_table::NameTable;
use super::outbox::PeerLink;
use super::peers::Peers;
use super::spawn::Factories;
use crate::actor::{Runtime, SendError, current};
use crate::net::Driven;
use crate::net::socket::Received;

/// What must run without the engine's lock.
#[derive(Debug)]
pub(crate) enum Work {
    /// Run a factory for a peer.
    Spawn { link: LinkId, caller: Pid, request: SpawnRequest },
    /// Answer a peer's question.
    Answer { link: LinkId, stream: u64, question: Question },
    /// A local process lost a global name.
    NameLost { name: Name, serial: u64, winner: Owner, policy: ConflictPolicy },
    /// A local process keeps a global name that another one has claimed too.
    NameKept { name: Name, serial: u64, loser: Owner, policy: ConflictPolicy },
    /// No majority confirms a global name of a local process any more.
    NameUnconfirmed { name: Name, serial: u64, token: FencingToken, policy: ConflictPolicy },
    /// The program decides which of two claims to a name stays.
    NameClash { name: Name, serial: u64, other: Owner, claimed_at: u64 },
}

/// How far the node's life has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Life {
    Running,
    /// Links say goodbye.
    Closing,
    /// The socket is gone.
    Over,
}

pub(crate) type CallResult = Result<CallOutcome, CallError>;

/// One turn's share of what is queued.
#[derive(Default)]
struct Turn {
    links: Vec<Arc<PeerLink>>,
    ended: Vec<u64>,
    memberships: Vec<(Name, u64, u32)>,
}

/// The shared state of one node.
pub(crate) struct Core {
    pub(crate) id: NodeId,
    pub(crate) runtime: Runtime,
    pub(crate) peers: Peers,
    pub(crate) factories: Factories,
    /// Global names as this node sees them, for reads without the engine's lock.
    pub(crate) names: RwLock<NameTable>,
    /// Who decides about names that others claim too, by the process that holds them here.
    pub(crate) resolvers: Resolvers,
    pub(crate) dials: Mutex<FxHashMap<u64, oneshot::Sender<Result<NodeId, ConnectError>>>>,
    pub(crate) calls: Mutex<FxHashMap<u64, oneshot::Sender<CallResult>>>,
    /// Names whose confirmation is under way.
    pub(crate) confirms: Mutex<FxHashMap<u64, oneshot::Sender<Result<FencingToken, ConfirmError>>>>,
    pub(crate) life: watch::Sender<Life>,
    /// Whether `life` is past running: what the loop asks at every turn.
    closing: AtomicBool,
    /// Changes whenever a link or a global name comes or goes.
    pub(crate) changes: watch::Sender<u64>,
    /// Nodes that come and go.
    pub(crate) events: Events,
    /// Calls that may wait for their outcome at the same time.
    pub(crate) calls_max: usize,
    /// When a call without a deadline of its own ends; a page of an attach is one.
    pub(crate) call_timeout: Duration,
    /// Peers that were turned away, as the log has them.
    pub(crate) rejections: Mutex<LogLimit>,
    engine: Mutex<Engine>,
    /// Links that have something for the engine.
    scheduled: Mutex<Vec<Arc<PeerLink>>>,
    /// There may be members that are dialled when somebody sends to them, and not before.
    is_sparse: AtomicBool,
    /// The loop is polled, or a thread spins for it, and has yet to take what is scheduled: nobody need wake it for that.
    awake: AtomicBool,
    /// Tracked processes that ended.
    ended: Mutex<Vec<u64>>,
    /// Local memberships of groups that changed, in the order of the changes.
    memberships: Mutex<Vec<(Name, u64, u32)>>,
    /// What the loop takes of these in this turn; only it locks this.
    turn: Mutex<Turn>,
    /// What the loop has left to be done without any lock.
    todo: Mutex<Vec<Work>>,
    /// How often a guard did the loop's work.
    takeovers: AtomicU64,
    /// How often a thread began to spin in the loop's place.
    spins: AtomicU64,
    waker: AtomicWaker,
    numbers: AtomicU64,
    /// The address that the socket is bound to.
    pub(crate) addr: SocketAddr,
    /// Where others can dial it.
    pub(crate) advertised: Vec<SocketAddr>,
}

impl Core {
    pub(crate) fn new(
        id: NodeId,
        runtime: Runtime,
        engine: Engine,
        addr: SocketAddr,
        advertised: Vec<SocketAddr>,
    ) -> Arc<Self> {
        let engine_is_sparse = engine.is_sparse();
        Arc::new(Self {
            id,
            runtime,
            peers: Peers::default(),
            factories: Factories::default(),
            names: RwLock::default(),
            resolvers: Resolvers::default(),
            dials: Mutex::default(),
            calls: Mutex::default(),
            confirms: Mutex::default(),
            life: watch::Sender::new(Life::Running),
            closing: AtomicBool::new(false),
            changes: watch::Sender::new(0),
            events: Events::default(),
            calls_max: engine.limits().calls_max,
            call_timeout: engine.limits().call_timeout,
            rejections: Mutex::default(),
            engine: Mutex::new(engine),
            scheduled: Mutex::default(),
            is_sparse: AtomicBool::new(engine_is_sparse),
            awake: AtomicBool::new(false),
            ended: Mutex::default(),
            memberships: Mutex::default(),
            turn: Mutex::default(),
            todo: Mutex::default(),
            takeovers: AtomicU64::new(0),
            spins: AtomicU64::new(0),
            waker: AtomicWaker::new(),
            numbers: AtomicU64::new(1),
            addr,
            advertised,
        })
    }

    /// A number for a dial or a call; never used again.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// The serial of this node's process that this thread polls: in whose name something is done. 0, the node itself,
    /// outside of processes and in those of other runtimes.
    pub(crate) fn caller(&self) -> u64 {
        current().filter(|pid| pid.incarnation() == self.id.incarnation).map_or(0, Pid::serial)
    }

    /// Does something with the engine, then what follows from it, and lets the loop send what came of it.
    pub(crate) fn with_engine<T>(&self, act: impl FnOnce(Instant, &mut Engine, &mut NodeHost<'_>) -> T) -> T {
        let mut engine = self.engine.lock();
        let (result, work) = self.drive(self.runtime.clock().now(), &mut engine, act);
        drop(engine);
        self.perform(work);
        self.poke();
        result
    }

    /// Begins a dial at once; the future has its outcome, by the handshake's timeout. Dropped, nobody waits for it.
    pub(crate) fn dial(
        self: &Arc<Self>,
        addr: SocketAddr,
    ) -> impl Future<Output = Result<NodeId, ConnectError>> + Send + use<> {
        let core = self.clone();
        let token = core.number();
        let (done, outcome) = oneshot::channel();
        core.dials.lock().insert(token, done);
        let dial = Dialling { core, token };
        if *dial.core.life.borrow() == Life::Running {
            dial.core.with_engine(|now, engine, host| engine.connect(now, addr, token, host));
        } else {
            dial.core.dials.lock().remove(&token);
        }
        async move {
            let _until_the_end = dial;
            outcome.await.unwrap_or(Err(ConnectError::Shutdown))
        }
    }

    /// The link to the node that runs this incarnation. To a member that this node has heard of and is not linked with, one is
    /// dialled.
    ///
    /// # Errors
    /// [`SendError::Busy`] while that is under way, and those of [`Peers::find`].
    pub(crate) fn link_to(&self, incarnation: Incarnation) -> Result<Arc<PeerLink>, SendError> {
        match self.peers.find(incarnation) {
            Err(SendError::NoConnection) if self.wants(|id| id.incarnation == incarnation) => {
                Err(SendError::Busy)
            }
            // It may have come up meanwhile.
            Err(SendError::NoConnection) => self.peers.find(incarnation),
            found => found,
        }
    }

    /// The link to a node, dialled and waited for if need be; `None` if there is none.
    pub(crate) async fn reach(&self, node: &str) -> Option<Arc<PeerLink>> {
        if let Some(link) = self.peers.by_name(node) {
            return Some(link);
        }
        let mut changes = self.changes.subscribe();
        loop {
            if let Some(link) = self.peers.by_name(node) {
                return Some(link);
            }
            if !self.wants(|id| id.name.as_str() == node) {
                // It may have come up meanwhile.
                return self.peers.by_name(node);
            }
            changes.changed().await.ok()?;
        }
    }

    /// [`Self::reach`] for at most so long.
    pub(crate) async fn reach_within(&self, node: &str, timeout: Duration) -> Option<Arc<PeerLink>> {
        match self.peers.by_name(node) {
            None => tokio::time::timeout(timeout, self.reach(node)).await.ok().flatten(),
            link => link,
        }
    }

    /// Which start of a member, that is not linked, may be dialled when somebody sends to it.
    pub(crate) fn heard_of(&self, node: &NodeName) -> Option<Incarnation> {
        if !self.is_sparse.load(Ordering::Relaxed) || DRIVES.with(Cell::get) {
            return None;
        }
        let known = self.read_engine(|engine| engine.members().find(|member| member.id.name == *node));
        let known = known.filter(|member| matches!(member.standing, Standing::Heard | Standing::Up));
        known.map(|member| member.id.incarnation)
    }

    /// Waits until the dial that [`Self::link_to`] began has come to something. The node may end meanwhile.
    pub(crate) async fn dialled(this: Weak<Self>, incarnation: Incarnation) {
        let Some(mut changes) = this.upgrade().map(|core| core.changes.subscribe()) else { return };
        loop {
            let found = this.upgrade().map(|core| core.link_to(incarnation).map(|_| ()));
            if !matches!(found, Some(Err(SendError::Busy))) || changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Begins to dial a member that is not linked; whether that is under way.
    pub(crate) fn wants(&self, which: impl Fn(&NodeId) -> bool) -> bool {
        let may_be = self.is_sparse.load(Ordering::Relaxed) && !self.closing.load(Ordering::Acquire);
        // What a delivery lets go may send, under the engine's lock: it is told that there is no link.
        let wanted =
            may_be && !DRIVES.with(Cell::get) && self.engine.lock().want(self.runtime.clock().now(), which);
        if wanted {
            self.poke();
        }
        wanted
    }

    /// How often a guard did the loop's work.
    pub(crate) fn takeovers(&self) -> u64 {
        self.takeovers.load(Ordering::Relaxed)
    }

    pub(crate) fn spins(&self) -> u64 {
        self.spins.load(Ordering::Relaxed)
    }

    /// Reads the engine.
    pub(crate) fn read_engine<T>(&self, read: impl FnOnce(&Engine) -> T) -> T {
        read(&self.engine.lock())
    }

    /// Acts on the engine with a host around it; gives back what must run without the lock.
    fn drive<T>(
        &self,
        now: Instant,
        engine: &mut Engine,
        act: impl FnOnce(Instant, &mut Engine, &mut NodeHost<'_>) -> T,
    ) -> (T, Vec<Work>) {
        let driving = Driving::begin();
        let mut host = NodeHost::new(self, now);
        let result = act(now, engine, &mut host);
        engine.process(now, &mut host);
        // The end of a link gives back what was queued for it. Failing that can end no other link.
        for (link, mut outgoing) in host.take_abandoned() {
            engine.take(now, link, &mut outgoing, &mut host);
        }
        self.is_sparse.store(engine.is_sparse(), Ordering::Relaxed);
        drop(driving);
        (result, host.into_work())
    }

    fn perform(&self, work: Vec<Work>) {
        for item in work {
            match item {
                Work::Spawn { link, caller, request } => self.run_factory(link, caller, &request),
                Work::Answer { link, stream, question } => {
                    let answer = self.answer_to(&question);
                    self.with_engine(|_, engine, _| engine.answer(link, stream, &answer));
                }
                Work::NameLost { name, serial, winner, policy } => {
                    self.name_lost(&name, serial, &winner, policy);
                }
                Work::NameKept { name, serial, loser, policy } => {
                    self.name_kept(&name, serial, &loser, policy);
                }
                Work::NameUnconfirmed { name, serial, token, policy } => {
                    self.name_unconfirmed(&name, serial, token, policy);
                }
                Work::NameClash { name, serial, other, claimed_at } => {
                    self.name_clash(&name, serial, &other, claimed_at);
                }
            }
        }
    }

    /// Queues frames for a link and wakes the loop if it must.
    pub(crate) fn push(
        &self,
        link: &Arc<PeerLink>,
        put: impl FnOnce(&mut Outgoing) -> Result<usize, TooLarge>,
    ) -> Result<(), SendError> {
        if link.push(put)? {
            self.scheduled.lock().push(link.clone());
            // After the list: a loop that is seen awake has yet to take it.
            if !self.awake.load(Ordering::SeqCst) {
                self.waker.wake();
            }
        }
        Ok(())
    }

    /// A tracked process ended. Called from its end: only notes it.
    pub(crate) fn process_ended(&self, serial: u64) {
        self.ended.lock().push(serial);
        self.poke();
    }

    /// A local process is so often a member of a group now: only notes it.
    pub(crate) fn membership(&self, group: &Name, serial: u64, count: u32) {
        self.memberships.lock().push((group.clone(), serial, count));
        self.poke();
    }

    /// Wakes the loop.
    pub(crate) fn poke(&self) {
        self.waker.wake();
    }

    /// Begins the end: nothing more can be sent; every link delivers what was, and says goodbye.
    pub(crate) fn shutdown(&self) {
        let first = self.life.send_if_modified(|life| {
            let running = *life == Life::Running;
            if running {
                *life = Life::Closing;
            }
            running
        });
        if first {
            self.closing.store(true, Ordering::Release);
            self.with_engine(|now, engine, host| {
                for link in self.peers.all() {
                    if let Some(mut left) = link.close() {
                        engine.take(now, link.link, &mut left, host);
                    }
                }
                engine.shutdown(now, host);
            });
        }
    }

    /// Whether the loop is over: nothing is sent or received any more.
    pub(crate) fn is_over(&self) -> bool {
        *self.life.borrow() == Life::Over
    }

    /// The loop is over, by a shutdown or because the tokio runtime around it was: nobody is to wait any more.
    fn over(&self) {
        self.closing.store(true, Ordering::Release);
        self.life.send_replace(Life::Over);
        self.peers.clear();
        // Whoever waits for a link waits in vain.
        self.changes.send_modify(|count| *count += 1);
        self.runtime.forget_remote_members();
        self.dials.lock().drain().for_each(|(_, dial)| {
            // Whoever dialled may have stopped waiting.
            let _ = dial.send(Err(ConnectError::Shutdown));
        });
        self.calls.lock().drain().for_each(|(_, call)| {
            let _ = call.send(Err(CallError::LinkLost));
        });
        self.confirms.lock().drain().for_each(|(_, confirm)| {
            let _ = confirm.send(Err(ConfirmError::Shutdown));
        });
    }
}

thread_local! {
    /// This thread is inside of an engine.
    static DRIVES: Cell<bool> = const { Cell::new(false) };
}

/// From its beginning to its end, this thread is inside of an engine.
struct Driving {
    before: bool,
}

impl Driving {
    fn begin() -> Self {
        Self { before: DRIVES.with(|drives| drives.replace(true)) }
    }
}

impl Drop for Driving {
    fn drop(&mut self) {
        DRIVES.with(|drives| drives.set(self.before));
    }
}

/// A dial whose outcome somebody waits for.
struct Dialling {
    core: Arc<Core>,
    token: u64,
}

impl Drop for Dialling {
    fn drop(&mut self) {
        self.core.dials.lock().remove(&self.token);
    }
}

/// Polls of woken processes that one turn of the loop makes at most.
const WOKEN_POLLS: u32 = 256;
/// How long they may take.
const WOKEN_TIME: Duration = Duration::from_micros(100);

/// The loop's side of a node.
pub(crate) struct Loop(pub(crate) Arc<Core>);

impl Loop {
    fn later(&self, mut work: Vec<Work>) {
        if !work.is_empty() {
            self.0.todo.lock().append(&mut work);
        }
    }
}

impl Driven for Loop {
    fn register(&self, cx: &Context<'_>) {
        self.0.waker.register(cx.waker());
    }

    fn receive(&self, now: Instant, datagrams: &mut VecDeque<Received>, max_signals: usize) -> usize {
        let mut engine = self.0.engine.lock();
        let before = engine.stats().signals_received;
        let ((), work) = self.0.drive(now, &mut engine, |now, engine, host| {
            while let Some(Received { from, to, ecn, data }) = datagrams.pop_front() {
                engine.handle_datagram(now, from, to, ecn, data, host);
                engine.process(now, host);
                // A last datagram alone is not worth a turn, and its answers no datagram.
                let delivered = engine.stats().signals_received - before;
                if delivered >= max_signals as u64 && datagrams.len() > 1 {
                    break;
                }
            }
        });
        let signals = engine.stats().signals_received - before;
        drop(engine);
        self.later(work);
        signals as usize
    }

    fn queued(&self) -> usize {
        // Links, not frames: each has at least one, and the exact number does not matter here.
        self.0.scheduled.lock().len()
    }

    fn peers(&self) -> usize {
        self.0.peers.count()
    }

    fn prepare(&self, now: Instant) {
        let core = &*self.0;
        // Before the lists are taken: whoever is not seen in them wakes the loop.
        core.awake.store(false, Ordering::SeqCst);
        let mut engine = core.engine.lock();
        let due = engine.poll_timeout().is_some_and(|timeout| timeout <= now);
        let (resolvers, work) = core.drive(now, &mut engine, |_, engine, host| {
            if due {
                engine.handle_timeout(now, host);
            }
            // What is there now, and not what is added meanwhile: senders that never rest would keep the loop here. They
            // wake it again. The lists change places, so that both keep their memory.
            let mut turn = core.turn.lock();
            std::mem::swap(&mut turn.links, &mut *core.scheduled.lock());
            for link in turn.links.drain(..) {
                link.take(|outgoing| engine.take(now, link.link, outgoing, host));
            }
            std::mem::swap(&mut turn.memberships, &mut *core.memberships.lock());
            for (group, serial, count) in turn.memberships.drain(..) {
                engine.set_membership(now, group, serial, count);
            }
            std::mem::swap(&mut turn.ended, &mut *core.ended.lock());
            let mut resolvers = Vec::new();
            for serial in turn.ended.drain(..) {
                engine.process_ended(now, serial, host);
                resolvers.extend(core.resolvers.take(serial));
            }
            resolvers
        });
        drop(engine);
        drop(resolvers);
        self.later(work);
    }

    fn running<T>(&self, deliver: impl FnOnce() -> T) -> (T, bool) {
        self.0.awake.store(true, Ordering::SeqCst);
        let mut visit = self.0.runtime.visit();
        let delivered = deliver();
        let ran = visit.run(WOKEN_POLLS, WOKEN_TIME);
        (delivered, ran.more)
    }

    fn stays_awake(&self) {
        self.0.awake.store(true, Ordering::SeqCst);
    }

    fn perform(&self) {
        let work = std::mem::take(&mut *self.0.todo.lock());
        self.0.perform(work);
    }

    fn transmit(
        &self,
        now: Instant,
        max_segments: usize,
        buffer: &mut Vec<u8>,
    ) -> Option<quinn_proto::Transmit> {
        self.0.engine.lock().poll_transmit(now, max_segments, buffer)
    }

    fn timeout(&self) -> Option<Instant> {
        self.0.engine.lock().poll_timeout()
    }

    fn is_over(&self) -> bool {
        // Links say goodbye in `shutdown`, under the engine's lock: once there is none left, and nothing more to send, all
        // peers have been told.
        if !self.0.closing.load(Ordering::Acquire) {
            return false;
        }
        let engine = self.0.engine.lock();
        engine.links().next().is_none() && engine.is_quiet()
    }

    fn leave(&self) -> Instant {
        self.0.shutdown();
        // Whoever has not said by then that it has everything is not waited for.
        self.0.runtime.clock().now()
            + self.0.read_engine(|engine| engine.limits().leave_timeout)
            + Duration::from_millis(1)
    }

    fn over(&self) {
        self.0.over();
    }

    fn taken_over(&self) {
        self.0.takeovers.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(
            node = %self.0.id.name,
            "processes hold every worker: a guard does the network's work until one is free"
        );
    }

    fn spins(&self) {
        self.0.spins.fetch_add(1, Ordering::Relaxed);
    }

    fn failed(&self, error: &io::Error) {
        tracing::error!(node = %self.0.id, %error, "the socket failed: the node is cut off");
        self.0.shutdown();
    }
}
