//! One process: the cell that others touch, and the task that polls the body to its end.
//!
//! # Who may touch what
//! - `Cell::flags` are read by the task before each poll. `STOP` is set under the lock, together with the reason, and
//!   never cleared: the body is not polled again and is dropped at the await point where it stands.
//! - `State` is under the cell's lock. Its phase is `Live` until `exit::finish` makes it `Ended`, once.
//! - `Cell::handled` is written by the process's own [`Context`](super::Context) alone.
//!
//! Whoever changes the state in a way that the process must see takes a waker out of it and wakes after unlocking.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin as Pinned;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context as Poller, Poll, Waker};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use pin_project_lite::pin_project;
use regatta_proto::id::{Name, Pid, Reference};
use regatta_proto::reason::ExitReason;

use super::error::SendError;
use super::mailbox::{Handled, Mailbox, MailboxLimits};
use super::received::Received;
use super::runtime::Runtime;
use super::{current, exit};

/// What a body may return, and the exit reason that it means.
pub trait IntoExit {
    /// The exit reason.
    fn into_exit(self) -> ExitReason;
}

impl IntoExit for () {
    fn into_exit(self) -> ExitReason {
        ExitReason::Normal
    }
}

impl IntoExit for ExitReason {
    fn into_exit(self) -> ExitReason {
        self
    }
}

/// A body that only ends from outside, as a server's loop does, returns nothing.
#[expect(private_interfaces, reason = "nobody can name the type, and nobody needs to")]
impl IntoExit for Never {
    fn into_exit(self) -> ExitReason {
        self
    }
}

impl<E: Display> IntoExit for Result<(), E> {
    /// `Ok` is a normal exit; an error's text becomes a custom reason.
    fn into_exit(self) -> ExitReason {
        match self {
            Ok(()) => ExitReason::Normal,
            Err(error) => ExitReason::custom(error.to_string()),
        }
    }
}

/// The type `!`, which stable Rust lets nobody write in this place.
type Never = <fn() -> ! as Returns>::Value;

/// What a function returns.
trait Returns {
    type Value;
}

impl<T> Returns for fn() -> T {
    type Value = T;
}

/// A process as its spawner sees it. Dropping it changes nothing for the process.
#[derive(Clone)]
pub struct ProcessHandle {
    pub(crate) cell: Arc<Cell>,
}

impl ProcessHandle {
    /// The process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.cell.pid()
    }

    /// Ends the process with [`ExitReason::Killed`], which cannot be trapped: its body is dropped at the await point
    /// where it stands. Nothing happens if it has ended already.
    pub fn kill(&self) {
        exit::kill(&self.cell);
    }

    /// Waits until the process has ended and gives its reason. By then its names are free, its links and monitors
    /// have been told, and its body is dropped. Any number of tasks may wait.
    pub async fn join(&self) -> ExitReason {
        Join { cell: &self.cell, key: None }.await
    }
}

impl fmt::Debug for ProcessHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProcessHandle").field(&self.pid()).finish()
    }
}

/// What others touch of a process.
pub(crate) struct Cell {
    serial: u64,
    /// The serial of the local process that spawned it; 0 if there is none.
    parent: u64,
    runtime: Runtime,
    pub(crate) flags: AtomicU8,
    /// The body is being polled at this moment.
    running: AtomicBool,
    pub(crate) handled: Handled,
    state: Mutex<State>,
}

/// What is under a cell's lock.
pub(crate) struct State {
    pub(crate) mailbox: Mailbox,
    /// Wakes the task; `None` before its first poll, which comes by itself.
    task: Option<Waker>,
    phase: Phase,
}

/// Where a process is in its life.
enum Phase {
    /// Alive; the box is made when the first relation is.
    Live(Option<Box<Cold>>),
    /// Ended. Whoever joins between the end and the end of the fan-out is kept here.
    Ended { reason: ExitReason, joiners: Option<Box<Joiners>> },
}

/// What most processes do not have.
#[derive(Default)]
pub(crate) struct Cold {
    /// Linked processes.
    pub(crate) links: BTreeMap<Pid, Link>,
    /// Monitors that this process holds, and on whom. Whatever is not in here cannot fire.
    pub(crate) monitors: BTreeMap<Reference, Pid>,
    /// Who watches this process.
    pub(crate) watchers: BTreeSet<(Pid, Reference)>,
    /// Names that this process holds. The registry says the same.
    pub(crate) names: BTreeSet<Name>,
    /// What the program calls it.
    pub(crate) label: Option<Arc<str>>,
    /// Bounds other than the runtime's.
    pub(crate) limits: Option<MailboxLimits>,
    /// A spawner on another node.
    pub(crate) parent: Option<Pid>,
    /// Why it must end, once `STOP` is set.
    exit: Option<ExitReason>,
    joiners: Option<Box<Joiners>>,
}

impl Cold {
    /// What may be set from the start.
    pub(crate) fn new(label: Option<Arc<str>>, limits: Option<MailboxLimits>, parent: Option<Pid>) -> Self {
        Self { label, limits, parent, ..Self::default() }
    }
}

/// One end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// An exit of the other process counts.
    Active,
    /// Taken back under this number; exits are ignored until the other node has acknowledged.
    Unlinking(u64),
}

/// Tasks that wait in [`ProcessHandle::join`].
#[derive(Default)]
pub(crate) struct Joiners {
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl Joiners {
    /// Wakes all.
    pub(crate) fn wake(self) {
        self.wakers.into_values().for_each(Waker::wake);
    }
}

/// What a process leaves behind at its end.
pub(crate) struct Remains {
    pub(crate) reason: ExitReason,
    pub(crate) cold: Option<Box<Cold>>,
    pub(crate) unread: u64,
    pub(crate) tracked: bool,
}

impl Cell {
    /// The cell of a new process. `cold` holds what is set from the start.
    pub(crate) fn new(
        runtime: Runtime,
        serial: u64,
        parent: u64,
        flags: u8,
        cold: Option<Box<Cold>>,
    ) -> Self {
        let state = State { mailbox: Mailbox::default(), task: None, phase: Phase::Live(cold) };
        Self {
            serial,
            parent,
            runtime,
            flags: AtomicU8::new(flags),
            running: AtomicBool::new(false),
            handled: Handled::default(),
            state: Mutex::new(state),
        }
    }

    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    pub(crate) fn parent(&self) -> u64 {
        self.parent
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::new(self.runtime.incarnation(), self.serial)
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags.load(Ordering::Acquire) & flag != 0
    }

    pub(crate) fn set(&self, flag: u8) {
        self.flags.fetch_or(flag, Ordering::AcqRel);
    }

    /// Clears the flag and says whether it was set.
    pub(crate) fn clear(&self, flag: u8) -> bool {
        self.flags.fetch_and(!flag, Ordering::AcqRel) & flag != 0
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.lock().cold().is_ok()
    }

    /// Puts a message into the mailbox and wakes the receiver.
    pub(crate) fn send(&self, payload: Bytes) -> Result<(), SendError> {
        let mut state = self.lock();
        let limits = match &state.phase {
            Phase::Live(cold) => cold.as_ref().and_then(|cold| cold.limits),
            Phase::Ended { .. } => {
                drop(state);
                return Err(SendError::NoProc);
            }
        };
        let limits = limits.as_ref().unwrap_or(self.runtime.limits());
        let refused = state.mailbox.push(payload, limits, &self.handled);
        let waker = state.end_wait();
        drop(state);
        wake(waker);
        refused.map_err(|(error, _payload)| error)
    }

    /// Wakes the task, so that it looks at its flags, and a receive that waits.
    pub(crate) fn wake_all(&self) {
        let mut state = self.lock();
        let (task, receiver) = (state.task.clone(), state.end_wait());
        drop(state);
        wake(receiver);
        wake(task);
    }

    /// Makes the process `Ended`: what it left, or `None` if it had ended before.
    pub(crate) fn end(&self, outcome: ExitReason) -> Option<Remains> {
        let mut state = self.lock();
        let Phase::Live(cold) = &mut state.phase else { return None };
        let mut cold = cold.take();
        // An exit signal that arrived before the body returned counts first.
        let reason = cold.as_mut().and_then(|cold| cold.exit.take()).unwrap_or(outcome);
        let joiners = cold.as_mut().and_then(|cold| cold.joiners.take());
        state.phase = Phase::Ended { reason: reason.clone(), joiners };
        self.set(STOP);
        let (unread, _bytes) = state.mailbox.depth(&self.handled);
        let inbox = state.mailbox.clear();
        let task = state.task.take();
        let tracked = self.has(TRACKED);
        drop(state);
        drop((inbox, task));
        Some(Remains { reason, cold, unread, tracked })
    }

    /// The fan-out is over: lets the joiners go.
    pub(crate) fn done(&self) {
        let mut state = self.lock();
        self.set(DONE);
        let joiners = match &mut state.phase {
            Phase::Ended { joiners, .. } => joiners.take(),
            Phase::Live(_) => None,
        };
        drop(state);
        if let Some(joiners) = joiners {
            joiners.wake();
        }
    }
}

impl State {
    /// The relations of a live process, made now if there were none; `None` if it has ended.
    pub(crate) fn cold_mut(&mut self) -> Option<&mut Cold> {
        match &mut self.phase {
            Phase::Live(cold) => Some(cold.get_or_insert_default()),
            Phase::Ended { .. } => None,
        }
    }

    /// The relations, if the process lives and has any.
    pub(crate) fn cold_if_any(&mut self) -> Option<&mut Cold> {
        match &mut self.phase {
            Phase::Live(cold) => cold.as_deref_mut(),
            Phase::Ended { .. } => None,
        }
    }

    /// The relations of a live process, or the reason why it ended.
    pub(crate) fn cold(&self) -> Result<Option<&Cold>, &ExitReason> {
        match &self.phase {
            Phase::Live(cold) => Ok(cold.as_deref()),
            Phase::Ended { reason, .. } => Err(reason),
        }
    }

    /// Puts an exit or a down into the mailbox: whom to wake after unlocking.
    pub(crate) fn push_signal(&mut self, signal: Received) -> Option<Waker> {
        if let Phase::Ended { .. } = self.phase {
            return None;
        }
        self.mailbox.push_signal(signal);
        self.end_wait()
    }

    /// Makes the process end with `reason` before its next poll; the first reason counts. Whom to wake after unlocking.
    pub(crate) fn stop(&mut self, cell: &Cell, reason: ExitReason) -> Option<Waker> {
        self.cold_mut()?.exit.get_or_insert(reason);
        cell.set(STOP);
        self.task.clone()
    }

    /// The receiver waits for the next push. Returns a waker to drop after unlocking.
    pub(crate) fn wait(&mut self, waker: &Waker) -> Option<Waker> {
        self.mailbox.wait(waker, self.task.as_ref())
    }

    fn end_wait(&mut self) -> Option<Waker> {
        self.mailbox.end_wait(self.task.as_ref())
    }

    fn joiners(&mut self) -> &mut Joiners {
        match &mut self.phase {
            Phase::Live(cold) => cold.get_or_insert_default().joiners.get_or_insert_default(),
            Phase::Ended { joiners, .. } => joiners.get_or_insert_default(),
        }
    }
}

/// Locks two different cells, the lower serial first.
pub(crate) fn lock_both<'a>(a: &'a Cell, b: &'a Cell) -> (MutexGuard<'a, State>, MutexGuard<'a, State>) {
    debug_assert_ne!(a.serial, b.serial, "a cell is locked once");
    if a.serial < b.serial {
        let first = a.lock();
        (first, b.lock())
    } else {
        let first = b.lock();
        (a.lock(), first)
    }
}

/// Wakes, if there is anyone to wake.
pub(crate) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

pin_project! {
    /// The future of a process: polls the body until it returns, panics or must stop, and then ends the process.
    ///
    /// Dropped early (the executor shut down), it ends the process as killed.
    pub(crate) struct Task<F> {
        cell: Arc<Cell>,
        // The waker that the cell has, by its data; an executor may change it between polls.
        waker: usize,
        #[pin]
        body: Option<F>,
    }

    impl<F> PinnedDrop for Task<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.body.is_some() {
                drop_body(this.cell, this.body.as_mut());
                exit::finish(this.cell, ExitReason::Killed);
            }
        }
    }
}

impl<F> Task<F> {
    /// The task of `cell`.
    pub(crate) fn new(cell: Arc<Cell>, body: F) -> Self {
        Self { cell, waker: usize::MAX, body: Some(body) }
    }
}

impl<F: Future<Output: IntoExit>> Future for Task<F> {
    type Output = ();

    fn poll(self: Pinned<&mut Self>, poller: &mut Poller<'_>) -> Poll<()> {
        let mut this = self.project();
        let cell: &Cell = this.cell;
        let waker = poller.waker().data() as usize;
        if *this.waker != waker {
            // Before the flags are read, so that whoever sets one afterwards wakes us.
            *this.waker = waker;
            let waker = poller.waker().clone();
            let before = cell.lock().task.replace(waker);
            drop(before);
        }
        let mut outcome = ExitReason::Killed;
        if !cell.has(STOP) {
            if cell.has(HELD) {
                return Poll::Pending;
            }
            let Some(body) = this.body.as_mut().as_pin_mut() else { return Poll::Ready(()) };
            outcome = match poll_body(cell, body, poller) {
                Poll::Pending if !cell.has(STOP) => return Poll::Pending,
                Poll::Pending => ExitReason::Killed,
                Poll::Ready(outcome) => outcome,
            };
        }
        drop_body(cell, this.body.as_mut());
        exit::finish(cell, outcome);
        Poll::Ready(())
    }
}

fn poll_body<F: Future<Output: IntoExit>>(
    cell: &Cell,
    body: Pinned<&mut F>,
    poller: &mut Poller<'_>,
) -> Poll<ExitReason> {
    let _current = current::enter(cell.pid());
    cell.running.store(true, Ordering::Relaxed);
    let polled = catch_unwind(AssertUnwindSafe(|| body.poll(poller).map(IntoExit::into_exit)));
    cell.running.store(false, Ordering::Relaxed);
    polled.unwrap_or_else(|panic| Poll::Ready(panic_reason(panic)))
}

/// Drops the body in its place. A panic in a destructor ends there: the process ends anyway.
fn drop_body<F>(cell: &Cell, mut body: Pinned<&mut Option<F>>) {
    let _current = current::enter(cell.pid());
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body.set(None))) {
        drop_payload(panic);
    }
}

/// The reason that a caught panic means.
pub(crate) fn panic_reason(panic: Box<dyn Any + Send>) -> ExitReason {
    let text = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).into(),
        (None, Some(text)) => text.as_str().into(),
        (None, None) => "a panic whose payload is no text".into(),
    };
    drop_payload(panic);
    ExitReason::Panic(text)
}

/// A payload's own destructor may panic too; then what is left of it leaks.
fn drop_payload(panic: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(second);
    }
}

/// Waits for `DONE`.
struct Join<'a> {
    cell: &'a Cell,
    key: Option<u64>,
}

impl Future for Join<'_> {
    type Output = ExitReason;

    fn poll(mut self: Pinned<&mut Self>, poller: &mut Poller<'_>) -> Poll<ExitReason> {
        let waker = poller.waker().clone();
        let mut state = self.cell.lock();
        if let Phase::Ended { reason, .. } = &state.phase
            && self.cell.has(DONE)
        {
            return Poll::Ready(reason.clone());
        }
        let joiners = state.joiners();
        let key = self.key.unwrap_or_else(|| {
            joiners.next += 1;
            joiners.next
        });
        let before = joiners.wakers.insert(key, waker);
        drop(state);
        drop(before);
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Join<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key
            && !self.cell.has(DONE)
        {
            let waker = self.cell.lock().joiners().wakers.remove(&key);
            drop(waker);
        }
    }
}

/// The process must end: the body is not polled again.
pub(crate) const STOP: u8 = 1;
/// Spawned held: the body is not polled before it is released.
pub(crate) const HELD: u8 = 1 << 1;
/// Its receives wait until it is resumed.
pub(crate) const SUSPENDED: u8 = 1 << 2;
/// Exits become messages.
pub(crate) const TRAPS: u8 = 1 << 3;
/// The network side wants to hear of its end.
pub(crate) const TRACKED: u8 = 1 << 4;
/// It has ended and everybody has been told.
pub(crate) const DONE: u8 = 1 << 5;
