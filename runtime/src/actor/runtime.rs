//! The value that owns processes: built once, cloned freely, spawns and sends.

use std::any::type_name;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use regatta_proto::id::{Incarnation, Pid, Reference};
use regatta_proto::reason::ExitReason;
use regatta_proto::signal::Signal;
use tokio::sync::Notify;

use super::alias::Aliases;
use super::cell::{Birth, Cell, Cold, HELD};
use super::context::Context;
use super::error::SendError;
use super::executor::{Executor, Spawner};
use super::groups::Groups;
use super::info::cut;
use super::mailbox::MailboxLimits;
use super::pending::Pending;
use super::poll::Task;
use super::process::{IntoExit, ProcessHandle};
use super::registry::Registry;
use super::remote::Remote;
use super::scheduler::{Ready, Schedulers, Visit};
use super::staff::Staff;
use super::table::Table;
use super::timers::Timers;
use super::{current, exit, hold, links, poll, watch};
use crate::clock::{Clock, SystemClock};
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// A world of processes: one node's local half. Cloning gives another handle to the same one.
///
/// ```
/// use regatta::{ExitReason, Runtime};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let rt = Runtime::new();
/// let echo = rt.spawn(|mut ctx| async move {
///     let message = ctx.recv().await.message().expect("a message");
///     assert_eq!(message, "hello");
/// });
/// rt.send(echo.pid(), "hello").await.expect("it is alive");
/// assert_eq!(echo.join().await, ExitReason::Normal);
/// assert!(!rt.is_alive(echo.pid()));
/// # }
/// ```
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
}

/// What all handles of a runtime share.
pub(crate) struct Inner {
    incarnation: Incarnation,
    clock: Arc<dyn Clock>,
    executor: Executor,
    schedulers: Schedulers,
    timers: Timers,
    pending: Pending,
    limits: MailboxLimits,
    table: Table,
    registry: Registry,
    aliases: Aliases,
    groups: Groups,
    remote: OnceLock<Arc<dyn Remote>>,
    next_reference: AtomicU64,
    next_unlink: AtomicU64,
    drops: Drops,
    /// Processes that were seen to hold their worker for too long.
    held: AtomicU64,
    /// Blocking work that is under way or waits its turn.
    blocking: AtomicUsize,
    staff: Staff,
    began: Instant,
    closing: AtomicBool,
    ended: Notify,
}

/// Messages that were not handled, by reason.
#[derive(Default)]
pub(crate) struct Drops {
    pub(crate) unread: AtomicU64,
    pub(crate) full: AtomicU64,
    pub(crate) overflow: AtomicU64,
    pub(crate) no_proc: AtomicU64,
}

/// How a process starts. All of it holds before the body's first poll.
#[derive(Debug, Clone, Default)]
pub struct SpawnOptions {
    /// What the process is, for people who look at it; cut to 255 bytes.
    pub label: Option<String>,
    /// Bounds of its mailbox other than the runtime's.
    pub mailbox: Option<MailboxLimits>,
    /// A process to link it to. A remote one knows of the link already or is told by whoever spawns for it: no signal
    /// is sent.
    pub link: Option<Pid>,
    /// A process that watches it, and the watcher's name for the monitor ([`Runtime::reference`] for a local watcher). A
    /// remote one knows already, as with `link`.
    pub monitor: Option<(Pid, Reference)>,
    /// Whether the body waits for [`Runtime::release`] before its first poll.
    pub held: bool,
    /// Who spawns it; by default the process whose body runs on this thread, if there is one.
    pub parent: Option<Pid>,
}

impl Runtime {
    /// A runtime on the ambient tokio runtime; without one, on whichever is current at each spawn.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A runtime with choices.
    #[must_use]
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder::default()
    }

    /// Which start of its node this runtime is. All its pids carry it.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.inner.incarnation
    }

    /// The clock that the runtime was built with.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// The pid that stands for the node itself: serial 0.
    #[must_use]
    pub fn node_pid(&self) -> Pid {
        Pid::new(self.inner.incarnation, 0)
    }

    /// A reference that this runtime has not given out before.
    #[must_use]
    pub fn reference(&self) -> Reference {
        Reference::from_raw(self.inner.next_reference.fetch_add(1, Ordering::Relaxed))
    }

    /// Starts a process.
    ///
    /// `body` is called at once, on this thread, and the future that it gives is polled as a task. A panic in either
    /// ends the process with [`ExitReason::Panic`].
    ///
    /// # Panics
    /// If the runtime was built outside of tokio without a spawner, and is outside of tokio now.
    pub fn spawn<B, F>(&self, body: B) -> ProcessHandle
    where
        B: FnOnce(Context) -> F,
        F: Future<Output: IntoExit> + Send + 'static,
    {
        self.spawn_with(SpawnOptions::default(), body)
    }

    /// Starts a process with its label, bounds, link and monitor as one act: nobody sees it without them.
    ///
    /// # Panics
    /// As [`Runtime::spawn`].
    pub fn spawn_with<B, F>(&self, options: SpawnOptions, body: B) -> ProcessHandle
    where
        B: FnOnce(Context) -> F,
        F: Future<Output: IntoExit> + Send + 'static,
    {
        self.launch(options, 0, type_name::<B>, body)
    }

    /// [`Runtime::spawn_with`] with flags of the cell that are set from the start, and the name of what runs.
    pub(crate) fn launch<B, F>(
        &self,
        options: SpawnOptions,
        flags: u16,
        initial_call: fn() -> &'static str,
        body: B,
    ) -> ProcessHandle
    where
        B: FnOnce(Context) -> F,
        F: Future<Output: IntoExit> + Send + 'static,
    {
        let executor = self.inner.executor.resolve();
        let cell = self.create(options, flags, initial_call);
        let built = {
            let _current = current::enter(cell.pid());
            let context = Context::new(Arc::clone(&cell));
            catch_unwind(AssertUnwindSafe(|| body(context)))
        };
        match built {
            // The schedulers may be gone. Its reason is in its cell.
            Ok(body) if self.is_closing() => Task::new(Arc::clone(&cell), body).end(ExitReason::Shutdown),
            Ok(body) => {
                Schedulers::schedule(Task::new(Arc::clone(&cell), body), Ready::Waits);
                self.inner.schedulers.start(&self.inner, &self.inner.staff, |task| executor.start(task));
            }
            Err(panic) => exit::finish(&cell, poll::panic_reason(panic)),
        }
        ProcessHandle { cell }
    }

    /// Sends `payload` to a process, here or on another node. A local send is immediate; a remote one waits while the
    /// link is above its high-water mark. Called inside a body, the message keeps its place in that process's order.
    ///
    /// # Errors
    /// [`SendError`]; the message was then not sent.
    pub fn send(
        &self,
        to: Pid,
        payload: impl Into<Bytes>,
    ) -> impl Future<Output = Result<(), SendError>> + Send {
        let payload = payload.into();
        async move { self.send_from(self.sender(), to, payload).await }
    }

    /// [`Runtime::send`] that never waits.
    ///
    /// # Errors
    /// [`SendError`]; the message was then not sent.
    pub fn try_send(&self, to: Pid, payload: impl Into<Bytes>) -> Result<(), SendError> {
        self.try_send_from(self.sender(), to, payload.into())
    }

    /// Sends `payload` to whoever holds the local name now. Never waits.
    ///
    /// # Errors
    /// [`SendError::NoProc`] if nobody holds it, [`SendError::MailboxFull`].
    pub fn send_named(&self, name: impl AsRef<str>, payload: impl Into<Bytes>) -> Result<(), SendError> {
        let cell = self.inner.registry.find(name.as_ref());
        self.push(cell.as_ref(), payload.into())
    }

    /// Links the local process `process` to `other`, here or on another node, as
    /// [`Context::link`](super::Context::link) does. Returns whether `process` was alive here.
    pub fn link(&self, process: Pid, other: Pid) -> bool {
        self.local(process).is_some_and(|cell| links::link(&cell, other))
    }

    /// Takes a link of the local process `process` back, as [`Context::unlink`](super::Context::unlink) does.
    pub fn unlink(&self, process: Pid, other: Pid) {
        if let Some(cell) = self.local(process) {
            links::unlink(&cell, other);
        }
    }

    /// Makes the local process `watcher` watch `target`, as [`Context::monitor`](super::Context::monitor) does. `None` if
    /// `watcher` is not alive here.
    pub fn monitor(&self, watcher: Pid, target: Pid) -> Option<Reference> {
        let reference = self.reference();
        watch::monitor(&self.local(watcher)?, target, reference).then_some(reference)
    }

    /// Takes a monitor of the local process `watcher` back; a `Down` that is in its mailbox already stays. Returns
    /// whether the monitor had not fired.
    pub fn demonitor(&self, watcher: Pid, reference: Reference) -> bool {
        self.local(watcher).is_some_and(|cell| watch::demonitor(&cell, reference))
    }

    /// Asks a process, here or on another node, to end with `reason` (Erlang's `exit/2`). The signal comes from the
    /// process whose body runs on this thread, or else from the node. Returns whether the process was alive here, or the
    /// request is on its way there.
    pub fn exit(&self, pid: Pid, reason: ExitReason) -> bool {
        self.exit_from(Pid::new(self.incarnation(), self.sender()), pid, reason)
    }

    /// [`Runtime::exit`] with [`ExitReason::Killed`], which cannot be trapped.
    pub fn kill(&self, pid: Pid) -> bool {
        self.exit(pid, ExitReason::Killed)
    }

    /// Whether the process is alive in this runtime; `false` for every pid of another incarnation.
    #[must_use]
    pub fn is_alive(&self, pid: Pid) -> bool {
        self.local(pid).is_some_and(|cell| cell.is_alive())
    }

    /// How many processes there are. Those that end or start meanwhile may count or not.
    #[must_use]
    pub fn process_count(&self) -> usize {
        self.inner.table.len()
    }

    fn create(&self, options: SpawnOptions, flags: u16, initial_call: fn() -> &'static str) -> Arc<Cell> {
        let SpawnOptions { label, mailbox, link, monitor, held, parent } = options;
        let serial = self.inner.table.reserve();
        let parent = parent.or_else(|| current::current().filter(|pid| self.is_here(*pid)));
        let (near, far) = match parent {
            Some(pid) if self.is_here(pid) => (pid.serial(), None),
            far => (0, far),
        };
        let cold =
            (label.is_some() || far.is_some()).then(|| Box::new(Cold::new(label.as_deref().map(cut), far)));
        let limits = mailbox.unwrap_or(self.inner.limits);
        let caught = hold::is_on(self.incarnation());
        let flags = flags | if held || caught { HELD } else { 0 };
        let birth = Birth { serial, parent: near, born: self.age(), flags, initial_call };
        let cell = Arc::new(Cell::new(self.clone(), birth, limits, cold));
        self.inner.table.insert(Arc::clone(&cell));
        if caught {
            hold::note(cell.pid());
        }
        match link {
            Some(other) if self.is_here(other) => {
                links::link(&cell, other);
            }
            Some(other) => {
                links::take_link(&cell, other);
            }
            None => {}
        }
        match monitor {
            Some((watcher, reference)) if self.is_here(watcher) => {
                if let Some(watcher) = self.local(watcher) {
                    watch::monitor(&watcher, cell.pid(), reference);
                }
            }
            Some((watcher, reference)) => {
                watch::take_monitor(&cell, watcher, reference);
            }
            None => {}
        }
        // After the insertion: either the shutdown finds the cell in the table, or we see that it has begun.
        if self.is_closing() {
            exit::take_exit(&cell, self.node_pid(), ExitReason::Shutdown);
        }
        cell
    }

    /// Whether processes run on tokio, and not where a spawner of the user's puts them.
    pub(crate) fn is_on_tokio(&self) -> bool {
        self.inner.executor.is_tokio()
    }

    /// Runs a task that is no process's where processes run.
    ///
    /// # Panics
    /// As [`Runtime::spawn`].
    pub(crate) fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.inner.executor.resolve().run(task);
    }

    /// The serial of the process of this runtime whose body runs on this thread; 0 if there is none.
    pub(crate) fn sender(&self) -> u64 {
        current::current().filter(|pid| self.is_here(*pid)).map_or(0, Pid::serial)
    }

    #[inline]
    pub(crate) fn is_here(&self, pid: Pid) -> bool {
        pid.incarnation() == self.inner.incarnation
    }

    /// The cell of a pid of this incarnation.
    pub(crate) fn local(&self, pid: Pid) -> Option<Arc<Cell>> {
        if self.is_here(pid) { self.inner.table.find(pid.serial()) } else { None }
    }

    pub(crate) async fn send_from(&self, from: u64, to: Pid, payload: Bytes) -> Result<(), SendError> {
        loop {
            match self.try_send_from(from, to, payload.clone()) {
                Err(SendError::Busy) => {}
                sent => return sent,
            }
            let Some(remote) = self.remote() else { return Err(SendError::NoConnection) };
            remote.ready(to).await;
        }
    }

    #[inline]
    pub(crate) fn try_send_from(&self, from: u64, to: Pid, payload: Bytes) -> Result<(), SendError> {
        if !self.is_here(to) {
            return self.try_signal(from, to, Signal::Message(payload));
        }
        self.send_to(to.serial(), payload)
    }

    /// Puts a message into the mailbox of the process of this runtime with this serial.
    #[inline]
    pub(crate) fn send_to(&self, serial: u64, payload: Bytes) -> Result<(), SendError> {
        let sent = if Aliases::is_one(serial) {
            self.inner.aliases.receiver(serial).map(|cell| cell.send(payload))
        } else {
            self.reach(serial, |cell| cell.send(payload))
        };
        let sent = sent.unwrap_or(Err(SendError::NoProc));
        if sent.is_ok() { sent } else { self.count(sent) }
    }

    /// Does something with the cell that has this serial: fast if this thread has lately done so before.
    #[inline]
    pub(crate) fn reach<T>(&self, serial: u64, act: impl FnOnce(&Arc<Cell>) -> T) -> Option<T> {
        self.inner.schedulers.reach(serial, || self.inner.table.find(serial), act)
    }

    /// Puts a message into the mailbox of a process of this runtime.
    pub(crate) fn push(&self, cell: Option<&Arc<Cell>>, payload: Bytes) -> Result<(), SendError> {
        self.count(cell.map_or(Err(SendError::NoProc), |cell| cell.send(payload)))
    }

    pub(crate) fn exit_from(&self, from: Pid, pid: Pid, reason: ExitReason) -> bool {
        if self.is_here(pid) {
            self.local(pid).is_some_and(|cell| exit::take_exit(&cell, from, reason))
        } else {
            self.try_signal(from.serial(), pid, Signal::Exit(reason)).is_ok()
        }
    }

    /// Counts a local message that was refused.
    pub(crate) fn count(&self, sent: Result<(), SendError>) -> Result<(), SendError> {
        match &sent {
            Err(SendError::NoProc) => self.inner.drops.no_proc.fetch_add(1, Ordering::Relaxed),
            Err(SendError::MailboxFull) => self.inner.drops.full.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
        sent
    }

    pub(crate) fn of(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    /// Who spawned a process of this runtime, if a process did.
    pub(crate) fn parent(&self, cell: &Cell) -> Option<Pid> {
        let here = cell.parent();
        if here != 0 {
            return Some(Pid::new(self.incarnation(), here));
        }
        cell.lock().cold().ok().flatten().and_then(|cold| cold.parent)
    }

    pub(crate) fn downgrade(&self) -> Weak<Inner> {
        Arc::downgrade(&self.inner)
    }

    pub(crate) fn schedulers(&self) -> &Schedulers {
        &self.inner.schedulers
    }

    /// Calls to other nodes.
    pub(crate) fn pending(&self) -> &Pending {
        &self.inner.pending
    }

    pub(crate) fn timers(&self) -> &Timers {
        &self.inner.timers
    }

    /// Lets this thread, in the middle of a task that is no process, run what it wakes: see [`Visit::run`].
    pub(crate) fn visit(&self) -> Visit<'_> {
        self.inner.schedulers.visit()
    }

    /// The executor has dropped a scheduler: nobody polls the processes any more, so they end.
    pub(crate) fn abandoned(&self) {
        self.inner.schedulers.stopped();
        for cell in self.inner.table.page(0, usize::MAX) {
            poll::abandon(&cell);
        }
        self.inner.schedulers.clear();
    }

    pub(crate) fn table(&self) -> &Table {
        &self.inner.table
    }

    pub(crate) fn groups(&self) -> &Groups {
        &self.inner.groups
    }

    pub(crate) fn aliases(&self) -> &Aliases {
        &self.inner.aliases
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    pub(crate) fn staff(&self) -> &Staff {
        &self.inner.staff
    }

    pub(crate) fn blocking(&self) -> &AtomicUsize {
        &self.inner.blocking
    }

    pub(crate) fn held(&self) -> &AtomicU64 {
        &self.inner.held
    }

    /// Does work on a thread that nobody waits for.
    pub(crate) fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        self.inner.executor.resolve().run_blocking(work);
    }

    /// How long the runtime has been there, in nanoseconds.
    pub(crate) fn age(&self) -> u64 {
        self.age_at(self.inner.clock.now())
    }

    /// How long the runtime will have been there at `at`, in nanoseconds.
    pub(crate) fn age_at(&self, at: Instant) -> u64 {
        let age = at.saturating_duration_since(self.inner.began);
        u64::try_from(age.as_nanos()).unwrap_or(u64::MAX)
    }

    /// When the runtime has been there for `ns` nanoseconds.
    pub(crate) fn moment(&self, ns: u64) -> Instant {
        self.inner.began + Duration::from_nanos(ns)
    }

    fn is_closing(&self) -> bool {
        self.inner.closing.load(Ordering::SeqCst)
    }

    pub(crate) fn drops(&self) -> &Drops {
        &self.inner.drops
    }

    pub(crate) fn next_unlink(&self) -> u64 {
        self.inner.next_unlink.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn remote(&self) -> Option<&Arc<dyn Remote>> {
        self.inner.remote.get()
    }

    pub(crate) fn set_remote(&self, remote: Arc<dyn Remote>) -> bool {
        self.inner.remote.set(remote).is_ok()
    }

    /// From now on whatever is spawned ends at once.
    pub(crate) fn close(&self) {
        self.inner.closing.store(true, Ordering::SeqCst);
    }

    /// A process ended and is out of the table.
    pub(crate) fn ended(&self) {
        if self.is_closing() {
            self.inner.ended.notify_waiters();
        }
    }

    /// Waits, once the runtime is closed, until no process is left.
    pub(crate) async fn emptied(&self) {
        loop {
            let mut ended = std::pin::pin!(self.inner.ended.notified());
            ended.as_mut().enable();
            if self.inner.table.len() == 0 {
                return;
            }
            ended.await;
        }
    }
}

impl Default for Runtime {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("incarnation", &self.incarnation()).finish_non_exhaustive()
    }
}

/// The choices that a [`Runtime`] is made with.
#[derive(Default)]
pub struct RuntimeBuilder {
    spawner: Option<Arc<dyn Spawner>>,
    clock: Option<Arc<dyn Clock>>,
    incarnation: Option<Incarnation>,
    limits: MailboxLimits,
}

impl RuntimeBuilder {
    /// Where processes and the node's loop run; by default on tokio.
    #[must_use]
    pub fn spawner(mut self, spawner: Arc<dyn Spawner>) -> Self {
        self.spawner = Some(spawner);
        self
    }

    /// The node's clock; by default the system's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Which start of its node this is; by default made from the clock and 12 random bits.
    #[must_use]
    pub fn incarnation(mut self, incarnation: Incarnation) -> Self {
        self.incarnation = Some(incarnation);
        self
    }

    /// The bounds of each mailbox that has none of its own.
    #[must_use]
    pub fn mailbox(mut self, limits: MailboxLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The runtime.
    #[must_use]
    pub fn build(self) -> Runtime {
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock));
        // std seeds each hasher's keys from the system's random source.
        let entropy = || RandomState::new().hash_one(0_u8);
        let incarnation = self.incarnation.unwrap_or_else(|| Incarnation::at(clock.unix_us(), entropy()));
        let executor = Executor::new(self.spawner);
        let schedulers = Schedulers::new(executor.workers());
        let began = clock.now();
        let inner = Inner {
            incarnation,
            clock,
            executor,
            schedulers,
            timers: Timers::default(),
            pending: Pending::default(),
            limits: self.limits,
            table: Table::new(),
            registry: Registry::default(),
            aliases: Aliases::default(),
            groups: Groups::default(),
            remote: OnceLock::new(),
            next_reference: AtomicU64::new(1),
            next_unlink: AtomicU64::new(1),
            drops: Drops::default(),
            held: AtomicU64::new(0),
            blocking: AtomicUsize::new(0),
            staff: Staff::default(),
            began,
            closing: AtomicBool::new(false),
            ended: Notify::new(),
        };
        Runtime { inner: Arc::new(inner) }
    }
}

impl fmt::Debug for RuntimeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeBuilder").field("incarnation", &self.incarnation).finish_non_exhaustive()
    }
}
