//! The cell of a process: what others touch.
//!
//! # Who may touch what
//! - The process's [`Task`], which has its body, is in one place at a time: **parked** in its cell, in one run queue, or in
//!   the hands of the scheduler that polls it. Whoever wakes a process takes the task out of the cell, under the lock, and
//!   queues it; if the task is away, it is noted that it must run **again**, and its scheduler sees that when it wants to
//!   park it.
//! - `Cell::flags` are read by the scheduler before each poll. `STOP` is set under the lock, together with the reason,
//!   and never cleared: the body is not polled again and is dropped at the await point where it stands.
//! - `State` is under the cell's lock. Its phase is `Live` until `exit::finish` makes it `Ended`, once.
//! - `Cell::own` is written by whoever polls the process alone.
//!
//! Whoever changes the state in a way that the process must see gets an [`After`] for it, and does that after unlocking.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use futures_task::ArcWake;
use regatta_proto::id::{Name, Pid, Reference};
use regatta_proto::reason::ExitReason;
use regatta_proto::signal::Unanswered;

use super::error::SendError;
use super::groups::Grouped;
use super::letter::Posted;
use super::mailbox::{Envelope, Handled, Mailbox, MailboxLimits, Other, OverflowPolicy};
use super::poll::Task;
use super::received::Received;
use super::runtime::Runtime;
use super::scheduler::{Ready, Schedulers};
use super::timers::Alarm;
use crate::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use crate::sync::{Mutex, MutexGuard};

/// What others touch of a process.
pub(crate) struct Cell {
    serial: u64,
    /// The serial of the local process that spawned it; 0 if there is none.
    parent: u64,
    runtime: Runtime,
    /// When it was made, in nanoseconds of its runtime's life.
    born: u64,
    /// The name of the type of its body.
    initial_call: fn() -> &'static str,
    flags: AtomicU16,
    pub(crate) alarm: Alarm,
    pub(crate) own: Own,
    pub(crate) shared: Shared,
}

/// What is written by whoever polls the process alone. On a cache line of its own, so that a receiver and a sender on two cores do
/// not meet at each message.
#[repr(align(64))]
#[derive(Default)]
pub(crate) struct Own {
    /// A scheduler polls it at this moment.
    pub(crate) running: AtomicBool,
    /// Its last poll waits for a message.
    pub(crate) wants: AtomicBool,
    pub(crate) handled: Handled,
}

/// What others write. On cache lines of its own.
#[repr(align(64))]
pub(crate) struct Shared {
    /// Entries that have arrived; written under the lock.
    pub(crate) arrived: AtomicU64,
    state: Mutex<State>,
}

/// What is under a cell's lock.
pub(crate) struct State {
    pub(crate) mailbox: Mailbox,
    place: Place,
    /// A receive inside a sub-executor of the body, which the next push is to wake.
    pub(crate) receiver: Option<Waker>,
    phase: Phase,
    /// Who waits for the end.
    joiners: Joiners,
}

/// What a process has from its first moment to its end.
pub(crate) struct Birth {
    pub(crate) serial: u64,
    pub(crate) parent: u64,
    pub(crate) born: u64,
    pub(crate) flags: u16,
    pub(crate) initial_call: fn() -> &'static str,
}

/// Where a process's task is.
enum Place {
    /// Here, and so the cell keeps itself alive. A message makes it run if it `wants` one.
    Parked { task: Task, wants: bool },
    /// In a queue, or with whoever makes or polls it. It must run again if something happened meanwhile.
    Away { again: bool },
}

/// What must follow once the lock is let go.
#[must_use]
pub(crate) enum After {
    Nothing,
    /// Queue the process.
    Run(Task, Ready),
    /// Wake whoever receives for the process.
    Wake(Waker),
}

impl After {
    /// Does it.
    #[inline]
    pub(crate) fn settle(self) {
        match self {
            Self::Nothing => {}
            Self::Run(task, why) => Schedulers::schedule(task, why),
            Self::Wake(waker) => waker.wake(),
        }
    }
}

/// Where a process is in its life.
enum Phase {
    /// Alive; the box is made when the first relation is.
    Live(Option<Box<Cold>>),
    /// Ended, with this reason.
    Ended(ExitReason),
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
    /// Its other pids.
    pub(crate) aliases: BTreeSet<u64>,
    /// The groups that it is in, and those that it watches.
    pub(crate) grouped: Option<Box<Grouped>>,
    /// What the program calls it.
    pub(crate) label: Option<Arc<str>>,
    /// A spawner on another node.
    pub(crate) parent: Option<Pid>,
    /// Why it must end, once `STOP` is set.
    exit: Option<ExitReason>,
}

impl Cold {
    /// What may be set from the start.
    pub(crate) fn new(label: Option<Arc<str>>, parent: Option<Pid>) -> Self {
        Self { label, parent, ..Self::default() }
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

/// Tasks that wait in [`ProcessHandle::join`](super::ProcessHandle::join), each under a key of its own.
#[derive(Default)]
struct Joiners(Vec<(u64, Waker)>);

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
        birth: Birth,
        limits: MailboxLimits,
        cold: Option<Box<Cold>>,
    ) -> Self {
        let Birth { serial, parent, born, flags, initial_call } = birth;
        let phase = Phase::Live(cold);
        let state = State {
            mailbox: Mailbox::new(limits),
            place: Place::Away { again: false },
            receiver: None,
            phase,
            joiners: Joiners::default(),
        };
        Self {
            serial,
            parent,
            runtime,
            born,
            initial_call,
            flags: AtomicU16::new(flags),
            alarm: Alarm::default(),
            own: Own::default(),
            shared: Shared { arrived: AtomicU64::new(0), state: Mutex::new(state) },
        }
    }

    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    pub(crate) fn parent(&self) -> u64 {
        self.parent
    }

    pub(crate) fn born(&self) -> u64 {
        self.born
    }

    pub(crate) fn initial_call(&self) -> &'static str {
        (self.initial_call)()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::new(self.runtime.incarnation(), self.serial)
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock()
    }

    /// Whether the waker is the process's own, and not that of a sub-executor of its body.
    #[inline]
    pub(crate) fn is_woken_by(self: &Arc<Self>, waker: &Waker) -> bool {
        std::ptr::addr_eq(waker.data(), Arc::as_ptr(self))
    }

    #[inline]
    pub(crate) fn has(&self, flag: u16) -> bool {
        self.flags.load(Ordering::Acquire) & flag != 0
    }

    pub(crate) fn set(&self, flag: u16) {
        self.flags.fetch_or(flag, Ordering::AcqRel);
    }

    /// Clears the flag and says whether it was set.
    pub(crate) fn clear(&self, flag: u16) -> bool {
        self.flags.fetch_and(!flag, Ordering::AcqRel) & flag != 0
    }

    /// Makes the process run, if it lives.
    pub(crate) fn notify(self: &Arc<Self>) {
        let after = self.lock().rouse(Ready::Waits);
        after.settle();
    }

    /// Parks the process's task, which the caller has, unless it must run again: then it comes back, to be queued.
    #[inline]
    pub(crate) fn park(&self, task: Task) -> Option<Task> {
        debug_assert!(std::ptr::eq(self, &raw const **task.cell()), "a task is parked in its own cell");
        let mut state = self.lock();
        let wants = self.own.wants.load(Ordering::Relaxed);
        // What the last receive did not see yet counts too.
        let again = matches!(state.place, Place::Away { again: true }) || wants && !state.mailbox.is_empty();
        if again {
            state.place = Place::Away { again: false };
            Some(task)
        } else {
            state.place = Place::Parked { task, wants };
            None
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.lock().cold().is_ok()
    }

    /// Puts a message into the mailbox and wakes the receiver.
    #[inline]
    pub(crate) fn send(self: &Arc<Self>, payload: Bytes) -> Result<(), SendError> {
        self.put(Envelope::Message(payload)).map_err(|(error, message)| {
            drop(message);
            error
        })
    }

    /// Puts a typed message into the mailbox and wakes the receiver. A refused one comes back, to be told why.
    pub(crate) fn post(self: &Arc<Self>, letter: Posted) -> Result<(), (SendError, Posted)> {
        self.put(Envelope::Other(Other::Letter(letter))).map_err(|(error, message)| {
            (error, message.received().expect_err("it is the letter that was put"))
        })
    }

    #[inline]
    fn put(self: &Arc<Self>, message: Envelope) -> Result<(), (SendError, Envelope)> {
        let mut state = self.lock();
        if let Phase::Ended(_) = state.phase {
            return Err((SendError::NoProc, message));
        }
        if let Err(message) = state.mailbox.push(message, &self.own.handled) {
            return self.overflow(state, message);
        }
        let after = state.tell(self);
        drop(state);
        after.settle();
        Ok(())
    }

    /// There is no room for a message.
    #[cold]
    fn overflow(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        message: Envelope,
    ) -> Result<(), (SendError, Envelope)> {
        let refused = |message| Err((SendError::MailboxFull, message));
        let dropped = &self.runtime.drops().overflow;
        match state.mailbox.policy() {
            OverflowPolicy::Reject => refused(message),
            OverflowPolicy::ExitReceiver => {
                let after = state.stop(self, ExitReason::custom(OVERFLOW));
                drop(state);
                after.settle();
                refused(message)
            }
            OverflowPolicy::DropNewest => {
                drop(state);
                dropped.fetch_add(1, Ordering::Relaxed);
                if message.is_letter() { refused(message) } else { Ok(()) }
            }
            OverflowPolicy::DropOldest => {
                let evicted = state.mailbox.evict(message.bytes());
                let pushed = state.mailbox.push(message, &self.own.handled);
                let after = state.tell(self);
                drop(state);
                after.settle();
                dropped.fetch_add(evicted.len() as u64 + u64::from(pushed.is_err()), Ordering::Relaxed);
                for old in evicted {
                    if let Err(letter) = old.received() {
                        letter.refuse(Unanswered::MailboxFull);
                    }
                }
                pushed.or_else(|message| if message.is_letter() { refused(message) } else { Ok(()) })
            }
        }
    }

    /// Makes the process look at its flags, and a receive that waits.
    pub(crate) fn wake_all(self: &Arc<Self>) {
        let mut state = self.lock();
        let receiver = state.receiver.take();
        let after = state.rouse(Ready::Waits);
        drop(state);
        receiver.into_iter().for_each(Waker::wake);
        after.settle();
    }

    /// Makes the process `Ended`: what it left, or `None` if it had ended before.
    pub(crate) fn end(&self, outcome: ExitReason) -> Option<Remains> {
        let mut state = self.lock();
        let Phase::Live(cold) = &mut state.phase else { return None };
        let mut cold = cold.take();
        // An exit signal that arrived before the body returned counts first.
        let reason = cold.as_mut().and_then(|cold| cold.exit.take()).unwrap_or(outcome);
        state.phase = Phase::Ended(reason.clone());
        self.set(STOP);
        let (unread, _bytes) = state.mailbox.depth(&self.own.handled);
        let left = (state.mailbox.clear(), state.receiver.take());
        let tracked = self.has(TRACKED);
        drop(state);
        drop(left);
        Some(Remains { reason, cold, unread, tracked })
    }

    /// The fan-out is over: lets the joiners go.
    pub(crate) fn done(&self) {
        let mut state = self.lock();
        self.set(DONE);
        let joiners = std::mem::take(&mut state.joiners);
        drop(state);
        joiners.0.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// The reason of the end, once everybody has been told; until then `waker` waits for it under `key`.
    pub(crate) fn join(&self, key: &mut Option<u64>, waker: &Waker) -> Option<ExitReason> {
        let waker = waker.clone();
        let mut state = self.lock();
        if let Phase::Ended(reason) = &state.phase
            && self.has(DONE)
        {
            return Some(reason.clone());
        }
        let joiners = &mut state.joiners.0;
        let key = *key.get_or_insert_with(|| joiners.last().map_or(0, |(last, _)| last + 1));
        let before = match joiners.binary_search_by_key(&key, |(key, _)| *key) {
            Ok(at) => Some(std::mem::replace(&mut joiners[at].1, waker)),
            Err(at) => {
                joiners.insert(at, (key, waker));
                None
            }
        };
        drop(state);
        drop(before);
        None
    }

    /// Whoever waited under `key` does no longer.
    pub(crate) fn leave(&self, key: u64) {
        let mut state = self.lock();
        let joiners = &mut state.joiners.0;
        let at = joiners.binary_search_by_key(&key, |(key, _)| *key);
        let waker = at.ok().map(|at| joiners.remove(at));
        drop(state);
        drop(waker);
    }
}

impl State {
    /// The relations of a live process, made now if there were none; `None` if it has ended.
    pub(crate) fn cold_mut(&mut self) -> Option<&mut Cold> {
        match &mut self.phase {
            Phase::Live(cold) => Some(cold.get_or_insert_default()),
            Phase::Ended(_) => None,
        }
    }

    /// The relations, if the process lives and has any.
    pub(crate) fn cold_if_any(&mut self) -> Option<&mut Cold> {
        match &mut self.phase {
            Phase::Live(cold) => cold.as_deref_mut(),
            Phase::Ended(_) => None,
        }
    }

    /// The relations of a live process, or the reason why it ended.
    pub(crate) fn cold(&self) -> Result<Option<&Cold>, &ExitReason> {
        match &self.phase {
            Phase::Live(cold) => Ok(cold.as_deref()),
            Phase::Ended(reason) => Err(reason),
        }
    }

    /// Puts an exit or a down into the mailbox.
    pub(crate) fn push_signal(&mut self, cell: &Arc<Cell>, signal: Received) -> After {
        if let Phase::Ended(_) = self.phase {
            return After::Nothing;
        }
        self.mailbox.push_signal(signal);
        self.tell(cell)
    }

    /// Makes the process end with `reason` before its next poll; the first reason counts.
    pub(crate) fn stop(&mut self, cell: &Arc<Cell>, reason: ExitReason) -> After {
        let Some(cold) = self.cold_mut() else { return After::Nothing };
        cold.exit.get_or_insert(reason);
        cell.set(STOP);
        self.rouse(Ready::Waits)
    }

    /// A receive inside a sub-executor of the body waits for the next push. Returns what to drop after unlocking.
    pub(crate) fn wait(&mut self, waker: &Waker) -> Option<Waker> {
        match &self.receiver {
            Some(receiver) if receiver.will_wake(waker) => None,
            _ => self.receiver.replace(waker.clone()),
        }
    }

    /// Something is in the mailbox.
    #[inline]
    fn tell(&mut self, cell: &Arc<Cell>) -> After {
        cell.shared.arrived.store(self.mailbox.pushed(), Ordering::Relaxed);
        match (&self.place, self.receiver.take()) {
            (_, Some(receiver)) => After::Wake(receiver),
            (Place::Parked { wants: true, .. }, None) => self.rouse(Ready::Spoken),
            _ => After::Nothing,
        }
    }

    /// The process must run.
    #[inline]
    fn rouse(&mut self, why: Ready) -> After {
        match std::mem::replace(&mut self.place, Place::Away { again: false }) {
            Place::Parked { task, .. } => After::Run(task, why),
            Place::Away { .. } => {
                self.place = Place::Away { again: true };
                After::Nothing
            }
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

impl ArcWake for Cell {
    fn wake_by_ref(cell: &Arc<Self>) {
        cell.notify();
    }
}

/// Why a process ends whose mailbox is full, if that is its policy.
pub(crate) const OVERFLOW: &str = "mailbox overflow";

/// The process must end: the body is not polled again.
pub(crate) const STOP: u16 = 1;
/// Spawned held: the body is not polled before it is released.
pub(crate) const HELD: u16 = 1 << 1;
/// Its receives wait until it is resumed.
pub(crate) const SUSPENDED: u16 = 1 << 2;
/// Exits become messages.
pub(crate) const TRAPS: u16 = 1 << 3;
/// The network side wants to hear of its end.
pub(crate) const TRACKED: u16 = 1 << 4;
/// It has ended and everybody has been told.
pub(crate) const DONE: u16 = 1 << 5;
/// It is a server: it takes typed messages.
pub(crate) const SERVES: u16 = 1 << 6;
/// Its body is over, and about to be dropped: what that lets go is let go by the process's end.
pub(crate) const ENDING: u16 = 1 << 7;
/// It is a supervisor: at the end of the runtime it is asked to end before others, and ends its children itself.
pub(crate) const SUPERVISES: u16 = 1 << 8;
