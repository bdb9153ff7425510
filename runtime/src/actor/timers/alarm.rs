//! The alarm of a process: one entry of the queue, for all its deadlines.

use std::sync::Arc;
use std::time::Instant;

use super::super::cell::Cell;
use super::super::runtime::Runtime;
use super::queue::Key;
use super::{Due, Timers};
use crate::sync::atomic::{AtomicU64, Ordering};

/// What a cell knows of its alarm. Set by whoever polls the process, under the lock of the timers; rung by their task.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    /// When it will ring, in nanoseconds of the runtime's life. 0: it is not set.
    at: AtomicU64,
    /// When it should have rung last.
    rung: AtomicU64,
}

impl Alarm {
    /// When it should have rung last, in nanoseconds of the runtime's life; 0 if it never did.
    pub(super) fn rung(&self) -> u64 {
        self.rung.load(Ordering::Relaxed)
    }

    /// It will not ring.
    pub(super) fn silence(&self) {
        self.at.store(0, Ordering::Relaxed);
    }

    /// Its time has come. The process is woken after that, and so it sees this.
    pub(super) fn ring(&self) {
        self.rung.store(self.at.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }
}

impl Timers {
    /// Sees to it that the process is woken at `at`, or before. To be called by whoever polls it.
    pub(super) fn set_alarm(&self, rt: &Runtime, cell: &Arc<Cell>, at: Instant) {
        let at = rt.age_at(at).max(1);
        // If it rings at this moment, the process is polled again, and whoever waits comes here again.
        let is_early_enough = |set: u64| set != 0 && set <= at;
        if is_early_enough(cell.alarm.at.load(Ordering::Relaxed)) {
            return;
        }
        let mut state = self.shared.0.lock();
        let before = match cell.alarm.at.swap(at, Ordering::Relaxed) {
            0 => None,
            set => state.queue.remove(key(rt, cell, set)),
        };
        let key = key(rt, cell, at);
        state.queue.put(key, Due::Alarm(Arc::clone(cell)));
        self.put(rt, state, key.at);
        drop(before);
    }

    /// The process has ended.
    pub(crate) fn clear_alarm(&self, rt: &Runtime, cell: &Cell) {
        let set = cell.alarm.at.load(Ordering::Relaxed);
        if set != 0 {
            let entry = self.shared.0.lock().queue.remove(key(rt, cell, set));
            drop(entry);
        }
    }
}

/// The one entry that a process may have.
fn key(rt: &Runtime, cell: &Cell, at: u64) -> Key {
    Key { at: rt.moment(at), number: ALARMS | cell.serial() }
}

/// Numbers of entries from here on are those of alarms.
const ALARMS: u64 = 1 << 63;
