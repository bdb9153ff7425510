//! The schedulers of one runtime: their run queues, what comes from outside, and who is woken.
//!
//! There is one run queue for each scheduler, and one more where there are many, for a thread that visits: so whoever is
//! polled by a worker finds one.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::task::Waker;

use regatta_proto::reason::ExitReason;

use super::super::cell::Cell;
use super::super::poll::Task as Process;
use super::super::runtime::Inner;
use super::super::staff::Staff;
use super::known;
use super::local::{self, Local, Pushed, Ready};
use super::lookout::{self, Lookout};
use super::queue::{OtherEnd, ROW};
use super::sleepers::{SCHEDULERS_MAX, Sleepers};
use super::turn::{Nudge, Scheduler};
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Mutex, spin_loop};

/// All schedulers of one runtime. Dropped with it; the schedulers then end.
pub(crate) struct Schedulers {
    pool: Arc<Pool>,
    /// Whether an executor has them.
    started: AtomicBool,
}

/// What the schedulers of one runtime share.
pub(super) struct Pool {
    slots: Box<[Slot]>,
    /// What wakes each scheduler.
    wakers: Box<[Mutex<Option<Waker>>]>,
    pub(super) sleepers: Sleepers,
    outside: Outside,
    nudge: Mutex<Option<Waker>>,
    pub(super) lookout: Lookout,
    closed: AtomicBool,
}

/// One run queue, on cache lines of its own. Any scheduler may use any of them.
#[repr(align(128))]
pub(super) struct Slot {
    /// While no thread has it.
    local: Mutex<Option<Box<Local>>>,
    queue: OtherEnd<Process>,
    /// Polls so far; written by the thread that has it.
    polls: AtomicU64,
    /// The serial of the process that is polled, or was last; 0 between turns.
    process: AtomicU64,
}

/// Processes that were woken by whoever is not polled by a scheduler.
#[derive(Default)]
struct Outside {
    /// How many there are, for a look without the lock.
    len: AtomicUsize,
    /// How often somebody took from it.
    takes: AtomicU64,
    queue: Mutex<VecDeque<Process>>,
}

impl Schedulers {
    /// As many as there are workers, within reason.
    pub(crate) fn new(workers: usize) -> Self {
        let pool = Arc::new_cyclic(|pool: &Weak<Pool>| {
            let id = pool.as_ptr().addr();
            let schedulers = workers.clamp(1, SCHEDULERS_MAX);
            // One alone reads no clock, and could not tell short polls from long ones.
            let (slots, row_max) = if schedulers > 1 { (schedulers + 1, ROW) } else { (1, 0) };
            let slot = |index| {
                let local = Local::new(id, index, row_max);
                let queue = local.queue.other_end();
                let (polls, process) = (AtomicU64::new(0), AtomicU64::new(0));
                Slot { local: Mutex::new(Some(local)), queue, polls, process }
            };
            Pool {
                slots: (0..slots).map(slot).collect(),
                wakers: (0..schedulers).map(|_| Mutex::new(None)).collect(),
                sleepers: Sleepers::new(),
                outside: Outside::default(),
                nudge: Mutex::new(None),
                lookout: Lookout::default(),
                closed: AtomicBool::new(false),
            }
        });
        Self { pool, started: AtomicBool::new(false) }
    }

    /// Puts a process into a queue.
    #[inline]
    pub(crate) fn schedule(task: Process, why: Ready) {
        let pool = task.cell().runtime().schedulers().id();
        // The pool lives in the runtime, which lives in the cell: where the cell goes, a handle of its own keeps it. Not
        // otherwise: all cores would meet at its count.
        match local::push(pool, task, why) {
            Pushed::Done => {}
            Pushed::Help(cell) => cell.runtime().schedulers().pool.call_for_help(),
            Pushed::NoQueue(task) => {
                let runtime = task.cell().runtime().clone();
                runtime.schedulers().pool.schedule_outside(task);
            }
        }
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Takes the thread that looks after those who hold their worker, to wait for its end; whoever does wakes it.
    pub(crate) fn lookout(&self) -> Option<std::thread::JoinHandle<()>> {
        self.pool.lookout.take()
    }

    /// Which ones they are, among all that live.
    #[inline]
    pub(crate) fn id(&self) -> usize {
        self.pool.id()
    }

    /// Sends something to the process that has this serial, if this thread knows it or `find` does.
    #[inline]
    pub(crate) fn reach<T>(
        &self,
        serial: u64,
        find: impl FnOnce() -> Option<Arc<Cell>>,
        send: impl FnOnce(&Arc<Cell>) -> T,
    ) -> Option<T> {
        let reached = known::reach(self, serial, find, send)?;
        if reached.look && self.pool.backlog() > 0 && !local::is_visiting(self.pool.id()) {
            self.pool.call_for_help();
        }
        Some(reached.result)
    }

    /// Gives the schedulers to an executor, if none has them. To be called after a process was scheduled.
    pub(crate) fn start(&self, runtime: &Arc<Inner>, staff: &Staff, mut spawn: impl FnMut(Task)) {
        if self.started.load(Ordering::SeqCst) || self.started.swap(true, Ordering::SeqCst) {
            return;
        }
        for index in 0..self.pool.wakers.len() {
            let (pool, runtime) = (self.pool.clone(), Arc::downgrade(runtime));
            spawn(Task::Scheduler(Scheduler::new(pool, runtime, index, staff.member())));
        }
        if self.pool.has_many() {
            spawn(Task::Nudge(Nudge::new(self.pool.clone(), staff.member())));
            lookout::start(&self.pool, Arc::downgrade(runtime), staff.member());
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
            if let Some(mut local) = local {
                while let Some(task) = local.queue.pop() {
                    task.end(ExitReason::Killed);
                }
                *slot.local.lock() = Some(local);
            }
        }
    }
}

impl Schedulers {
    /// How often bodies were polled.
    pub(crate) fn polls(&self) -> u64 {
        self.pool.slots.iter().map(|slot| slot.progress().0).sum()
    }

    /// Ends the schedulers. To be called when no process is left, and none will be scheduled.
    pub(crate) fn close(&self) {
        self.pool.closed.store(true, Ordering::SeqCst);
        for waker in self.pool.wakers.iter().chain([&self.pool.nudge]) {
            let waker = waker.lock().take();
            waker.into_iter().for_each(Waker::wake);
        }
        self.pool.lookout.wake();
    }
}

impl Drop for Schedulers {
    fn drop(&mut self) {
        self.close();
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
        self.wakers.len() > 1
    }

    /// How the scheduler `index` is woken from now on.
    pub(super) fn register(&self, index: usize, waker: &Waker) {
        let mut mine = self.wakers[index].lock();
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
        loop {
            // There are more than schedulers, and each has one at most: one is free, though not always where we look.
            if let Some(local) = self.try_take_local() {
                return local;
            }
            spin_loop();
        }
    }

    /// A run queue for this thread, if there is one at the first look.
    pub(super) fn try_take_local(&self) -> Option<Box<Local>> {
        let home = local::home(self.id()).unwrap_or(0);
        let mut near = self.slots[home..].iter().chain(&self.slots[..home]);
        near.find_map(|slot| slot.local.lock().take())
    }

    pub(super) fn slot(&self, index: usize) -> &Slot {
        &self.slots[index]
    }

    pub(super) fn put_local(&self, local: Box<Local>) {
        let slot = &self.slots[local.index];
        slot.process.store(0, Ordering::Relaxed);
        *slot.local.lock() = Some(local);
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
            let mut others = (1..many).map(|offset| &self.slots[(local.index + offset) % many].queue);
            others.find_map(|other| local.queue.steal(other))
        })
        .flatten()
    }

    /// Puts a process into the queue from outside.
    pub(super) fn schedule_outside(&self, task: Process) {
        self.outside.push(task);
        self.wake_one();
    }

    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// How often somebody took from outside, if anything waits there.
    pub(super) fn waits_outside(&self) -> Option<u64> {
        (!self.outside.is_empty()).then(|| self.outside.takes.load(Ordering::Relaxed))
    }

    /// Whether anything is queued anywhere.
    pub(super) fn has_work(&self) -> bool {
        !self.outside.is_empty() || self.slots.iter().any(|slot| !slot.queue.is_empty())
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
        let waker = self.wakers[index].lock().clone();
        waker.into_iter().for_each(Waker::wake);
    }

    /// Moves the processes of a run queue to where all schedulers look, and wakes one that sleeps, even if another is on
    /// its way.
    pub(super) fn rescue(&self, slot: &Slot) {
        slot.queue.rescue(|task| self.outside.push(task));
        self.wake_another();
    }

    /// Wakes a scheduler that sleeps, even if another is on its way.
    pub(super) fn wake_another(&self) {
        self.sleepers.found();
        self.wake_one();
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
            self.wake_nudge();
        }
    }

    /// Lets the executor share what was woken on this thread.
    pub(super) fn wake_nudge(&self) {
        let nudge = self.nudge.lock().clone();
        nudge.into_iter().for_each(Waker::wake);
    }
}

impl Slot {
    /// The thread that has it polls this process next.
    #[inline]
    pub(super) fn polls(&self, serial: u64) {
        self.polls.store(self.polls.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.process.store(serial, Ordering::Relaxed);
    }

    /// Polls so far, and the serial of the process that is polled; 0 between turns.
    pub(super) fn progress(&self) -> (u64, u64) {
        (self.polls.load(Ordering::Relaxed), self.process.load(Ordering::Relaxed))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_bare()
    }

    /// Whether a thread has it.
    pub(super) fn is_taken(&self) -> bool {
        self.local.lock().is_none()
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
        self.takes.store(self.takes.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        let taken =
            if queue.len() <= max { std::mem::take(&mut *queue) } else { queue.drain(..max).collect() };
        self.len.store(queue.len(), Ordering::SeqCst);
        taken
    }
}

/// How many processes a scheduler takes over from outside at once.
const OUTSIDE_AT_ONCE: usize = 128;
