//! The cells that a thread has lately sent to or run.
//!
//! Sending to them again needs no look into the table, and no count of references, at which cores would meet. They are
//! forgotten at the end of each turn, so that nothing that has ended stays for long.
//!
//! What is done with a known cell is done while all are borrowed. Should that come back here, on the same thread, it uses what
//! is known, and what it would add stays unknown.

use std::cell::{Cell as Place, RefCell};
use std::ptr;
use std::sync::Arc;

use super::super::cell::Cell;
use super::super::poll::Task;
use super::local;
use super::pool::Schedulers;
use crate::sync::thread_local;

/// Cells by the lower bits of their serials.
struct Known {
    cells: RefCell<[Option<Arc<Cell>>; KNOWN]>,
    /// Which places were filled.
    filled: [Place<u64>; KNOWN / 64],
    /// Sends in this poll, for [`SENDS_PER_LOOK`].
    sends: Place<u32>,
}

impl Known {
    const fn new() -> Self {
        let cells = RefCell::new([const { None }; KNOWN]);
        Self { cells, filled: [const { Place::new(0) }; KNOWN / 64], sends: Place::new(0) }
    }

    /// Lets the thread know the cell, in place of the one that has its place.
    fn add(&self, cell: Arc<Cell>) {
        let place = place(cell.serial());
        let Ok(mut cells) = self.cells.try_borrow_mut() else { return };
        let before = cells[place].replace(cell);
        drop(cells);
        drop(before);
        let filled = &self.filled[place / 64];
        filled.set(filled.get() | 1 << (place % 64));
    }

    /// A send is done. Returns whether it is time to look after those whom the sender keeps waiting.
    #[inline]
    fn count(&self) -> bool {
        let sends = self.sends.get().wrapping_add(1);
        self.sends.set(sends);
        sends.is_multiple_of(SENDS_PER_LOOK)
    }
}

/// What [`reach`] did.
pub(super) struct Reached<T> {
    pub(super) result: T,
    /// It is time to look after those whom the sender keeps waiting.
    pub(super) look: bool,
}

/// Does something with the cell of this serial: the thread's own if it knows it, or else the one that `find` finds. That is
/// known from then on if the thread has a run queue of these schedulers.
#[inline]
pub(super) fn reach<T>(
    of: &Schedulers,
    serial: u64,
    find: impl FnOnce() -> Option<Arc<Cell>>,
    act: impl FnOnce(&Arc<Cell>) -> T,
) -> Option<Reached<T>> {
    if !local::has(of.id()) {
        return find().map(|cell| Reached { result: act(&cell), look: false });
    }
    KNOWN_CELLS.with(|known| {
        if let Ok(cells) = known.cells.try_borrow()
            && let Some(cell) = &cells[place(serial)]
            // It may be of another runtime, or of another process.
            && cell.serial() == serial
            && ptr::eq(cell.runtime().schedulers(), of)
        {
            return Some(Reached { result: act(cell), look: known.count() });
        }
        let cell = find()?;
        let result = act(&cell);
        known.add(cell);
        Some(Reached { result, look: known.count() })
    })
}

/// Parks a task that this thread has just polled, unless it must run again: then it comes back, to be queued.
///
/// Once it is parked, others may run and end it. So something else must keep the cell until it is unlocked: what is known.
#[inline]
pub(crate) fn park(task: Task) -> Option<Task> {
    KNOWN_CELLS.with(|known| {
        let cell = task.cell();
        if let Ok(cells) = known.cells.try_borrow()
            && let Some(known) = &cells[place(cell.serial())]
            && Arc::ptr_eq(known, cell)
        {
            return known.park(task);
        }
        let kept = Arc::clone(cell);
        let again = kept.park(task);
        known.add(kept);
        again
    })
}

/// [`park`] of a task whose process this thread will hardly meet again before it forgets what it knows.
#[inline]
pub(crate) fn park_once(task: Task) -> Option<Task> {
    let kept = Arc::clone(task.cell());
    kept.park(task)
}

/// A poll of a process begins on this thread.
#[inline]
pub(super) fn begin_poll() {
    KNOWN_CELLS.with(|known| known.sends.set(0));
}

/// Forgets all known cells.
pub(super) fn forget() {
    KNOWN_CELLS.with(|known| {
        for (word, filled) in known.filled.iter().enumerate() {
            let mut bits = filled.get();
            while bits != 0 {
                // Whoever has them borrowed is within a turn, whose end comes here again.
                let Ok(mut cells) = known.cells.try_borrow_mut() else { return };
                let cell = cells[word * 64 + bits.trailing_zeros() as usize].take();
                drop(cells);
                drop(cell);
                bits &= bits - 1;
            }
            filled.set(0);
        }
    });
}

#[inline]
fn place(serial: u64) -> usize {
    serial as usize % KNOWN
}

thread_local! {
    static KNOWN_CELLS: Known = const { Known::new() };
}

/// Cells that a thread remembers.
const KNOWN: usize = 256;
/// How many sends a body may do in one poll until others are asked to run those that it keeps waiting.
const SENDS_PER_LOOK: u32 = 512;
