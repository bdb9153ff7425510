//! The task that polls processes.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::{Context as Poller, Poll};
use std::time::{Duration, Instant};

use super::super::poll::Task;
use super::super::runtime::{Inner, Runtime};
use super::super::staff::Member;
use super::known;
use super::local::{self, Ready};
use super::pool::{Pool, Schedulers};

/// One scheduler, as a task of the executor.
pub(crate) struct Scheduler {
    pool: Arc<Pool>,
    runtime: Weak<Inner>,
    index: usize,
    asleep: bool,
    /// It was woken to search for work and has not found any yet.
    searching: bool,
    /// Turns since the executor last had a chance to look at its I/O.
    turns: u32,
    /// Turns in a row that left a few processes waiting.
    crowded: u32,
    _member: Member,
}

/// How a turn ended.
enum Ended {
    /// There was nothing left.
    Idle,
    /// There is more.
    Busy,
}

impl Scheduler {
    pub(super) fn new(pool: Arc<Pool>, runtime: Weak<Inner>, index: usize, member: Member) -> Self {
        Self { pool, runtime, index, asleep: false, searching: false, turns: 0, crowded: 0, _member: member }
    }

    /// Polls processes until nothing is left or it is the turn of others. `index` is the run queue that this thread has.
    fn turn(&mut self, index: usize) -> Ended {
        // A model has no time.
        let timed = self.pool.has_many() && !cfg!(feature = "model");
        let begun = timed.then(Instant::now);
        let mut long = local::with(self.pool.id(), |local| local.long).unwrap_or(false);
        let mut polls = 0;
        let ended = loop {
            if polls % OUTSIDE_EVERY == 0 {
                self.pool.take_outside();
            }
            let Some(task) = self.next() else { break Ended::Idle };
            if std::mem::take(&mut self.searching) {
                self.pool.sleepers.found();
            }
            poll(&self.pool, index, task, known::park);
            polls += 1;
            if !timed && polls >= POLLS_PER_TURN {
                break Ended::Busy;
            }
            if !long && polls % CLOCK_EVERY != 0 {
                continue;
            }
            if !tokio::task::coop::has_budget_remaining() {
                break Ended::Busy;
            }
            if let Some(begun) = begun {
                let elapsed = begun.elapsed();
                long = elapsed > SHARED_POLL * polls;
                if elapsed > TURN {
                    break Ended::Busy;
                }
            }
        };
        if timed {
            local::with(self.pool.id(), |local| local.long = long);
        }
        ended
    }

    fn next(&self) -> Option<Task> {
        let own = || local::with(self.pool.id(), |local| local.queue.pop()).flatten();
        own().or_else(|| {
            self.pool.take_outside();
            own().or_else(|| self.pool.steal())
        })
    }
}

impl Future for Scheduler {
    type Output = ();

    fn poll(self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.pool.is_closed() {
            return Poll::Ready(());
        }
        this.pool.register(this.index, poller.waker());
        if std::mem::take(&mut this.asleep) {
            this.searching = this.pool.sleepers.rise(this.index);
        }
        loop {
            let local = this.pool.take_local();
            this.pool.lookout.attend();
            let index = local.index;
            let entered = local::enter(local);
            let ended = this.turn(index);
            let backlog = if let Ended::Busy = ended { this.pool.backlog() } else { 0 };
            let local = entered.leave();
            match ended {
                Ended::Busy => {
                    this.pool.put_local(local);
                    this.turns += 1;
                    if backlog <= 1 {
                        this.crowded = 0;
                    }
                    if backlog > 1 && !this.turns.is_multiple_of(IO_EVERY) {
                        this.crowded += 1;
                        if (backlog > FEW || this.crowded >= PATIENCE) && this.pool.sleepers.might_wake() {
                            this.crowded = 0;
                            this.pool.wake_one();
                        }
                        poller.waker().wake_by_ref();
                    } else {
                        // Resumed once the executor has looked at its I/O; nobody is woken to take it over.
                        let resumed = pin!(tokio::task::yield_now()).poll(poller);
                        debug_assert!(resumed.is_pending(), "a yield is pending once");
                    }
                    return Poll::Pending;
                }
                Ended::Idle => {
                    this.pool.put_local(local);
                    (this.turns, this.crowded) = (0, 0);
                    this.pool.sleepers.sleep(this.index, std::mem::take(&mut this.searching));
                    if this.pool.is_closed() {
                        return Poll::Ready(());
                    }
                    if !this.pool.has_work() {
                        this.asleep = true;
                        return Poll::Pending;
                    }
                    this.searching = this.pool.sleepers.rise(this.index);
                }
            }
        }
    }
}

/// Polls a process with the run queue `index` of this thread.
#[inline]
pub(super) fn poll(pool: &Pool, index: usize, task: Task, park: impl FnOnce(Task) -> Option<Task>) {
    pool.slot(index).polls(task.cell().serial());
    known::begin_poll();
    if let Some(task) = task.run(park) {
        // It was woken while it ran: behind all others.
        Schedulers::schedule(task, Ready::Waits);
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        if let Some(inner) = self.runtime.upgrade()
            && !self.pool.is_closed()
        {
            Runtime::of(inner).abandoned();
        }
    }
}

/// A task that does nothing: waking it makes a worker of tokio share what was woken before.
pub(crate) struct Nudge {
    pool: Arc<Pool>,
    _member: Member,
}

impl Nudge {
    pub(super) fn new(pool: Arc<Pool>, member: Member) -> Self {
        Self { pool, _member: member }
    }
}

impl Future for Nudge {
    type Output = ();

    fn poll(self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<()> {
        if self.pool.is_closed() {
            return Poll::Ready(());
        }
        self.pool.register_nudge(poller.waker());
        if self.pool.is_closed() { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Polls after which others have their turn, where there is one scheduler alone: the clock is not read there, so that
/// processes run in the same order each time.
const POLLS_PER_TURN: u32 = 64;
/// Polls after which what came from outside is taken in.
const OUTSIDE_EVERY: u32 = 16;
/// Polls after which the clock is read, and tokio's budget looked at, as long as polls are short.
const CLOCK_EVERY: u32 = 8;
/// How long a turn may take, as far as short polls can keep to it. The executor's other tasks wait no longer; going back
/// to the executor costs a few microseconds, because tokio then wakes another of its workers.
const TURN: Duration = Duration::from_micros(100);
/// A mean above this makes polls long, so that a visitor leaves them to the schedulers.
pub(super) const LONG_POLL: Duration = Duration::from_micros(4);
/// A mean above this makes it worth its price that another core helps at once. A sender and a receiver of many small messages
/// stay below: on one core they hand over each message in its caches, on two from one to the other.
const SHARED_POLL: Duration = Duration::from_micros(16);
/// With more waiting processes than this after a busy turn, another scheduler helps; with fewer, only if that goes on for so
/// many turns.
const FEW: usize = 4;
const PATIENCE: u32 = 64;
/// Busy turns after which the executor looks at its I/O.
const IO_EVERY: u32 = 8;
