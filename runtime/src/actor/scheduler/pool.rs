//! The schedulers of one runtime: their run queues, what comes from outside, and who is woken.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::task::Waker;

use bytes::Bytes;
use crossbeam_deque::{Steal, Stealer};
use regatta_proto::reason::ExitReason;

use super::super::cell::Cell;
use super::super::error::SendError;
use super::super::poll::Task as Process;
use super::super::runtime::Inner;
use super::super::sync::Mutex;
use super::super::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use super::local::{self, Local, Pushed};
use super::sleepers::{SCHEDULERS_MAX, Sleepers};
use super::turn::{Nudge, Scheduler};

/// All schedulers of one runtime. Dropped with it; the schedulers then end.
pub(crate) struct Schedulers {
    pool: Arc<Pool>,
    /// Whether an executor has them.
    started: AtomicBool,
}

/// What the schedulers of one runtime share.
pub(super) struct Pool {
    slots: Box<[Slot]>,
    pub(super) sleepers: Sleepers,
    outside: Outside,
    nudge: Mutex<Option<Waker>>,
    closed: AtomicBool,
}

/// One run queue, on cache lines of its own. Scheduler and slot of one index have nothing to do with each other.
#[repr(align(128))]
struct Slot {
    /// While no thread has it.
    local: Mutex<Option<Box<Local>>>,
    stealer: Stealer<Process>,
    /// Wakes the scheduler of this index.
    waker: Mutex<Option<Waker>>,
}

/// Processes that were woken by whoever is not polled by a scheduler.
#[derive(Default)]
struct Outside {
    /// How many there are, for a look without the lock.
    len: AtomicUsize,
    queue: Mutex<VecDeque<Process>>,
}

impl Schedulers {
    /// As many as there are workers, within reason.
    pub(crate) fn new(workers: usize) -> Self {
        let pool = Arc::new_cyclic(|pool: &Weak<Pool>| {
            let id = pool.as_ptr().addr();
            let slot = |index| {
                let local = Local::new(id, index);
                let stealer = local.queue.stealer();
                Slot { local: Mutex::new(Some(local)), stealer, waker: Mutex::new(None) }
            };
            Pool {
                slots: (0..workers.clamp(1, SCHEDULERS_MAX)).map(slot).collect(),
                sleepers: Sleepers::new(),
                outside: Outside::default(),
                nudge: Mutex::new(None),
                closed: AtomicBool::new(false),
            }
        });
        Self { pool, started: AtomicBool::new(false) }
    }

    /// Puts a process into a queue.
    pub(crate) fn schedule(task: Process) {
        let pool = task.cell().runtime().schedulers().id();
        // The pool lives in the runtime, which lives in the cell: where the cell goes, a handle of its own keeps it. Not
        // otherwise: all cores would meet at its count.
        match local::push(pool, task) {
            Pushed::Done => {}
            Pushed::Help(cell) => cell.runtime().schedulers().pool.call_for_help(),
            Pushed::NoQueue(task) => {
                let runtime = task.cell().runtime().clone();
                runtime.schedulers().pool.schedule_outside(task);
            }
        }
    }

    /// Which ones they are, among all that live.
    pub(crate) fn id(&self) -> usize {
        self.pool.id()
    }

    /// Sends a message to the process that has this serial, if this thread knows it or `find` does.
    pub(crate) fn send(
        &self,
        serial: u64,
        payload: Bytes,
        find: impl FnOnce() -> Option<Arc<Cell>>,
    ) -> Result<(), SendError> {
        let pool = self.pool.id();
        let borrowed = local::borrow(pool, serial, find);
        let Some(cell) = &borrowed.cell else { return Err(SendError::NoProc) };
        let sent = cell.send(payload);
        if borrowed.give_back() && self.pool.backlog() > 0 {
            self.pool.call_for_help();
        }
        sent
    }

    /// Gives the schedulers to an executor, if none has them. To be called after a process was scheduled.
    pub(crate) fn start(&self, runtime: &Arc<Inner>, mut spawn: impl FnMut(Task)) {
        if self.started.load(Ordering::SeqCst) || self.started.swap(true, Ordering::SeqCst) {
            return;
        }
        for index in 0..self.pool.slots.len() {
            spawn(Task::Scheduler(Scheduler::new(self.pool.clone(), Arc::downgrade(runtime), index)));
        }
        if self.pool.slots.len() > 1 {
            spawn(Task::Nudge(Nudge::new(self.pool.clone())));
        }
    }

    /// The executor has dropped a scheduler: from now on another may have them.
    pub(crate) fn stopped(&self) {
        self.started.store(false, Ordering::SeqCst);
    }

    /// Ends all processes in queues that no thread has.
    pub(crate) fn clear(&self) {
        let outside = self.pool.outside.take(usize::MAX);
        outside.into_iter().for_each(|task| task.end(ExitReason::Killed));
        for slot in &self.pool.slots {
            let local = slot.local.lock().take();
            if let Some(local) = local {
                while let Some(task) = local.queue.pop() {
                    task.end(ExitReason::Killed);
                }
                *slot.local.lock() = Some(local);
            }
        }
    }
}

impl Drop for Schedulers {
    fn drop(&mut self) {
        self.pool.closed.store(true, Ordering::SeqCst);
        for slot in &self.pool.slots {
            let waker = slot.waker.lock().take();
            waker.into_iter().for_each(Waker::wake);
        }
        let waker = self.pool.nudge.lock().take();
        waker.into_iter().for_each(Waker::wake);
    }
}

/// What an executor is given.
pub(crate) enum Task {
    Scheduler(Scheduler),
    Nudge(Nudge),
}

impl Pool {
    pub(super) fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    pub(super) fn has_many(&self) -> bool {
        self.slots.len() > 1
    }

    /// How the scheduler `index` is woken from now on.
    pub(super) fn register(&self, index: usize, waker: &Waker) {
        let mut mine = self.slots[index].waker.lock();
        if !mine.as_ref().is_some_and(|mine| mine.will_wake(waker)) {
            let before = mine.replace(waker.clone());
            drop(mine);
            drop(before);
        }
    }

    pub(super) fn register_nudge(&self, waker: &Waker) {
        let before = self.nudge.lock().replace(waker.clone());
        drop(before);
    }

    /// A run queue for this thread: the one that it had before, if nobody else has it.
    pub(super) fn take_local(&self) -> Box<Local> {
        let home = local::home(self.id()).unwrap_or(0);
        loop {
            // There are as many as schedulers, and each has one at most: one is free, though not always where we look.
            for offset in 0..self.slots.len() {
                let slot = &self.slots[(home + offset) % self.slots.len()];
                if let Some(local) = slot.local.lock().take() {
                    return local;
                }
            }
            std::hint::spin_loop();
        }
    }

    pub(super) fn put_local(&self, local: Box<Local>) {
        let index = local.index;
        *self.slots[index].local.lock() = Some(local);
    }

    /// Moves some of what came from outside to this thread's queue.
    pub(super) fn take_outside(&self) {
        if self.outside.is_empty() {
            return;
        }
        let taken = self.outside.take(OUTSIDE_AT_ONCE);
        local::with(self.id(), |local| taken.into_iter().for_each(|task| local.queue.push(task)));
    }

    /// Takes from the other queues: one to run now, and some for this thread's own queue.
    pub(super) fn steal(&self) -> Option<Process> {
        local::with(self.id(), |local| {
            let many = self.slots.len();
            let others = (1..many).map(|offset| &self.slots[(local.index + offset) % many].stealer);
            for other in others {
                loop {
                    match other.steal_batch_and_pop(&local.queue) {
                        Steal::Success(task) => return Some(task),
                        Steal::Empty => break,
                        Steal::Retry => {}
                    }
                }
            }
            None
        })
        .flatten()
    }

    /// Puts a process into the queue from outside.
    pub(super) fn schedule_outside(&self, task: Process) {
        self.outside.push(task);
        self.wake_one();
    }

    /// Whether anything is queued anywhere.
    pub(super) fn has_work(&self) -> bool {
        !self.outside.is_empty() || self.slots.iter().any(|slot| !slot.stealer.is_empty())
    }

    /// How many wait in this thread's queue and outside, up to a few.
    pub(super) fn backlog(&self) -> usize {
        let own = local::with(self.id(), |local| local.queue.len()).unwrap_or(0);
        own + self.outside.len.load(Ordering::Relaxed)
    }

    /// Wakes a scheduler that sleeps, if none is on its way already.
    pub(super) fn wake_one(&self) {
        if let Some(index) = self.sleepers.pick() {
            self.wake(index);
        }
    }

    fn wake(&self, index: usize) {
        let waker = self.slots[index].waker.lock().clone();
        waker.into_iter().for_each(Waker::wake);
    }

    /// Wakes another scheduler on another thread, while this one goes on.
    ///
    /// A task that is woken from a worker of tokio runs on that worker after the current one, and no other can have it,
    /// until a second one is woken: hence the nudge.
    pub(super) fn call_for_help(&self) {
        if self.sleepers.might_wake()
            && let Some(index) = self.sleepers.pick()
        {
            self.wake(index);
            let nudge = self.nudge.lock().clone();
            nudge.into_iter().for_each(Waker::wake);
        }
    }
}

impl Outside {
    fn is_empty(&self) -> bool {
        self.len.load(Ordering::SeqCst) == 0
    }

    fn push(&self, task: Process) {
        let mut queue = self.queue.lock();
        queue.push_back(task);
        self.len.store(queue.len(), Ordering::SeqCst);
    }

    fn take(&self, max: usize) -> VecDeque<Process> {
        let mut queue = self.queue.lock();
        let taken =
            if queue.len() <= max { std::mem::take(&mut *queue) } else { queue.drain(..max).collect() };
        self.len.store(queue.len(), Ordering::SeqCst);
        taken
    }
}

/// How many processes a scheduler takes over from outside at once.
const OUTSIDE_AT_ONCE: usize = 128;
