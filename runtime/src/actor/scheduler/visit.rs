//! A task that is no scheduler runs what it has woken: the network's loop delivers many messages in one go, and the
//! processes that these wake run on the same thread at once, so that their answers leave together.

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use super::known;
use super::local::{self, Entered};
use super::pool::{Pool, Schedulers};
use super::turn::{self, LONG_POLL};

/// A thread that has a run queue for a while, without being a scheduler. What is woken meanwhile goes there. Whatever is
/// left at the end is the schedulers'.
///
/// It belongs to one poll of one task: it must be dropped on the thread that made it, before the poll ends.
pub(crate) struct Visit<'a> {
    pool: &'a Pool,
    /// `None`: the thread is in a turn or a visit already, or there was no queue for it. Then the others run what it wakes.
    entered: Option<Entered>,
    index: usize,
    here: PhantomData<*const ()>,
}

/// What [`Visit::run`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ran {
    /// Processes polled.
    pub(crate) polls: u32,
    /// Whether more are waiting in this thread's queue, or may be in others'.
    pub(crate) more: bool,
}

impl Schedulers {
    /// Lets this thread have a run queue until the visit is dropped.
    pub(crate) fn visit(&self) -> Visit<'_> {
        let pool = self.pool();
        let local = if local::has(pool.id()) { None } else { pool.try_take_local() };
        let Some(mut local) = local else {
            return Visit { pool, entered: None, index: 0, here: PhantomData };
        };
        local.visiting = true;
        let index = local.index;
        Visit { pool, entered: Some(local::enter(local)), index, here: PhantomData }
    }
}

impl Visit<'_> {
    /// Runs what waits in this thread's queue, the longest waiting first: at most `polls_max` polls, and no further one
    /// once `time_max` is over. Where polls have just been long, nothing is run: whoever has other things to do must not
    /// wait for them, and sharing them pays. With one scheduler alone the clock is not read, and what runs follows from
    /// the inputs alone.
    pub(crate) fn run(&mut self, polls_max: u32, time_max: Duration) -> Ran {
        let id = self.pool.id();
        let mut ran = Ran { polls: 0, more: false };
        if self.entered.is_none() {
            // Whatever was woken, others run it.
            ran.more = true;
            return ran;
        }
        self.pool.lookout.attend();
        let began = self.pool.has_many().then(Instant::now);
        // Known until the next visit alone: it tries again.
        let mut long = local::with(id, |local| std::mem::take(&mut local.long)) == Some(true);
        while !long
            && ran.polls < polls_max
            && (!ran.polls.is_multiple_of(CLOCK_EACH) || tokio::task::coop::has_budget_remaining())
        {
            let Some(task) = local::with(id, |local| local.queue.pop()).flatten() else { break };
            turn::poll(self.pool, self.index, task, known::park_once);
            ran.polls += 1;
            // To read the clock costs as much as a short poll.
            let looks = ran.polls <= POLLS_JUDGED || ran.polls.is_multiple_of(CLOCK_EACH);
            if let Some(elapsed) = began.filter(|_| looks).map(|began| began.elapsed()) {
                long = elapsed > LONG_POLL * ran.polls.max(POLLS_JUDGED);
                if elapsed > time_max {
                    break;
                }
            }
        }
        let left = local::with(id, |local| {
            local.long = long && ran.polls > 0;
            !local.queue.is_empty()
        });
        ran.more = left.unwrap_or(false);
        ran
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let Some(entered) = self.entered.take() else { return };
        let mut local = entered.leave();
        local.visiting = false;
        let (left, long) = (!local.queue.is_empty(), local.long);
        self.pool.put_local(local);
        if left {
            self.pool.wake_one();
            if long {
                self.pool.wake_nudge();
            }
        }
    }
}

/// Polls from which a mean is one: the first ones find cold caches.
const POLLS_JUDGED: u32 = 8;
/// Polls from one look at tokio's budget, and after those at the clock, to the next.
const CLOCK_EACH: u32 = 4;
