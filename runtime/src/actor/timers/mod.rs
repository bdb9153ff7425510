//! Everything that processes wait for by time: one queue and one task per runtime, on the runtime's [`Clock`].
//!
//! - A process that waits with deadlines has one entry, its alarm; a message to be sent later is one that sends it. Neither
//!   costs a task of its own.
//! - **Time comes from the clock alone**, so that a simulated world drives all of it. The one task sleeps on the clock's timer,
//!   set to the first entry; whoever puts in an earlier one wakes it.
//! - What is due at the same time happens in the order in which it was put in, messages before alarms.
//! - **No foreign code under the lock**: what is due is taken out under the lock, and done after.
//!
//! The task is started with the first entry and lives as long as the runtime; if its executor drops it, the next entry
//! starts another.
//!
//! [`Clock`]: crate::clock::Clock

mod alarm;
mod api;
mod deadline;
mod queue;
mod task;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

pub(crate) use alarm::Alarm;
pub use api::TimerRef;
pub(crate) use deadline::Deadline;
use queue::{Key, Queue};

use super::cell::Cell;
use super::runtime::Runtime;
use crate::sync::{Mutex, MutexGuard};

/// The timers of one runtime.
#[derive(Default)]
pub(crate) struct Timers {
    shared: Arc<Shared>,
}

/// What the runtime and the task share.
#[derive(Default)]
struct Shared(Mutex<State>);

struct State {
    queue: Queue<Due>,
    /// When each interval is due next, by the number of its entry.
    intervals: BTreeMap<u64, Instant>,
    /// How to wake the task while it sleeps.
    sleeper: Option<Waker>,
    /// When it will wake up by itself.
    wakes_at: Option<Instant>,
    /// There is a task.
    started: bool,
    /// The task ends when the queue is empty, as if it had never been started.
    leaves: bool,
    /// The runtime is gone.
    closed: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            queue: Queue::new(),
            intervals: BTreeMap::new(),
            sleeper: None,
            wakes_at: None,
            started: false,
            leaves: false,
            closed: false,
        }
    }
}

/// What is done when an entry is due.
enum Due {
    /// A task that waits is woken.
    Wake(Waker),
    /// A process is woken, for the earliest of its deadlines.
    Alarm(Arc<Cell>),
    /// Done once.
    Once(Box<dyn FnOnce(&Runtime) + Send>),
    /// Done again and again, until it says that it is over.
    Every(Duration, Box<dyn FnMut(&Runtime) -> bool + Send>),
    /// An [`Every`](Self::Every) that is being done at this moment. It lies where it is due next.
    Busy,
}

impl Due {
    /// An alarm that has been taken out before its time is not set any more.
    fn silence(&self) {
        if let Self::Alarm(cell) = self {
            cell.alarm.silence();
        }
    }
}

impl Timers {
    /// Puts an entry in, and sees to it that somebody looks at it in time.
    fn insert(&self, rt: &Runtime, at: Instant, due: Due) -> Key {
        let mut state = self.shared.0.lock();
        let is_interval = matches!(due, Due::Every(..));
        let key = state.queue.insert(at, due);
        if is_interval {
            state.intervals.insert(key.number, at);
        }
        self.put(rt, state, at);
        key
    }

    /// Something was put in, due at `at`: sees to it that somebody looks at it in time.
    fn put(&self, rt: &Runtime, mut state: MutexGuard<'_, State>, at: Instant) {
        let start = !std::mem::replace(&mut state.started, true);
        let sleeper = if state.wakes_at.is_none_or(|wakes| at < wakes) { state.sleeper.take() } else { None };
        drop(state);
        if start {
            let (shared, timer) = (Arc::clone(&self.shared), rt.clock().timer());
            rt.run(task::TimerTask::new(shared, rt.downgrade(), timer, rt.staff().member()));
        }
        sleeper.into_iter().for_each(Waker::wake);
    }

    /// Takes an entry out. Returns when it was due, if it was there.
    fn remove(&self, key: Key) -> Option<Instant> {
        let mut state = self.shared.0.lock();
        // An interval has moved on since it was named.
        let at = state.intervals.remove(&key.number).unwrap_or(key.at);
        let removed = state.queue.remove(Key { at, ..key });
        drop(state);
        removed.map(|_entry| at)
    }

    /// Drops what would be sent later, once or again and again, and lets the task go as soon as nobody waits for it. Returns how
    /// many there were.
    pub(crate) fn retire(&self) -> u64 {
        let mut state = self.shared.0.lock();
        let dropped = state.queue.take_if(|due| !matches!(due, Due::Wake(_) | Due::Alarm(_)));
        state.intervals.clear();
        state.leaves = true;
        let sleeper = state.sleeper.take();
        drop(state);
        sleeper.into_iter().for_each(Waker::wake);
        dropped.len() as u64
    }

    /// How many entries wait.
    pub(crate) fn len(&self) -> usize {
        self.shared.0.lock().queue.len()
    }
}

impl Drop for Timers {
    fn drop(&mut self) {
        let mut state = self.shared.0.lock();
        state.closed = true;
        let left = (std::mem::replace(&mut state.queue, Queue::new()), state.sleeper.take());
        drop(state);
        let (queue, sleeper) = left;
        sleeper.into_iter().for_each(Waker::wake);
        drop(queue);
    }
}
