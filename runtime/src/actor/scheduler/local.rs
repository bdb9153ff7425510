//! What a thread has while it polls a scheduler: the run queue, and the cells that were lately sent to from here.
//!
//! It is moved in when a turn begins and back to its pool when the turn ends; in between it belongs to the thread, so that
//! nothing here is locked. Whoever uses it takes it out of its place for a moment, and runs no other code meanwhile.

use std::cell::Cell as Place;
use std::ptr;
use std::sync::Arc;

use crossbeam_deque::Worker;

use super::super::cell::Cell;
use super::super::poll::Task;
use super::super::sync::thread_local;
use super::pool::Schedulers;

/// The run queue of one slot of a pool, and what goes with it.
pub(crate) struct Local {
    /// Which pool it belongs to.
    pub(crate) pool: usize,
    /// Which slot of it.
    pub(crate) index: usize,
    pub(crate) queue: Worker<Task>,
    /// Whether polls have lately been long, so that help is worth its price at once.
    pub(crate) long: bool,
    /// The thread has it for a visit: help is called at its end, if it must.
    pub(crate) visiting: bool,
}

impl Local {
    pub(crate) fn new(pool: usize, index: usize) -> Box<Self> {
        Box::new(Self { pool, index, queue: Worker::new_fifo(), long: false, visiting: false })
    }
}

/// Gives the thread `local` until the guard is dropped.
pub(crate) fn enter(local: Box<Local>) -> Entered {
    HOME.with(|home| home.set((local.pool, local.index)));
    POOL.with(|pool| pool.set(local.pool));
    Entered { before: LOCAL.with(|place| place.replace(Some(local))) }
}

/// The slot of `pool` that this thread had last.
pub(crate) fn home(pool: usize) -> Option<usize> {
    Some(HOME.with(Place::get)).filter(|(of, _)| *of == pool).map(|(_, index)| index)
}

/// Gives the thread what it had before.
#[must_use]
pub(crate) struct Entered {
    before: Option<Box<Local>>,
}

impl Entered {
    /// Ends the guard, and gives back what it put in. The thread forgets the cells that it knew.
    pub(crate) fn leave(self) -> Box<Local> {
        POOL.with(|pool| pool.set(self.before.as_ref().map_or(0, |before| before.pool)));
        let local =
            LOCAL.with(|place| place.replace(self.before)).expect("whoever takes it out puts it back");
        forget();
        local
    }
}

/// Whether this thread only visits `pool`.
pub(crate) fn is_visiting(pool: usize) -> bool {
    with(pool, |local| local.visiting).unwrap_or(false)
}

/// Whether this thread has a run queue of `pool`.
pub(crate) fn has(pool: usize) -> bool {
    POOL.with(Place::get) == pool
}

/// Does something with the thread's own run queue of `pool`; `None` if it has none of it now.
pub(crate) fn with<T>(pool: usize, act: impl FnOnce(&mut Local) -> T) -> Option<T> {
    let mut local = take(pool)?;
    let result = act(&mut local);
    put(local);
    Some(result)
}

/// Takes the thread's own out, if it is of `pool`. A thread that ends has none.
#[inline]
fn take(pool: usize) -> Option<Box<Local>> {
    if POOL.with(Place::get) == pool { LOCAL.try_with(Place::take).ok().flatten() } else { None }
}

#[inline]
fn put(local: Box<Local>) {
    LOCAL.with(|place| place.set(Some(local)));
}

/// Puts a process into the thread's own run queue of `pool`.
#[inline]
pub(crate) fn push(pool: usize, task: Task) -> Pushed {
    let Some(local) = take(pool) else { return Pushed::NoQueue(task) };
    let help = (local.long && !local.visiting).then(|| Arc::clone(task.cell()));
    local.queue.push(task);
    put(local);
    help.map_or(Pushed::Done, Pushed::Help)
}

/// What became of a process that was to be queued.
#[must_use]
pub(crate) enum Pushed {
    /// It is queued.
    Done,
    /// It is queued, and another scheduler is to help.
    Help(Arc<Cell>),
    /// The thread has no run queue of that pool now.
    NoQueue(Task),
}

/// The cells that a thread has lately sent to or run, by the lower bits of their serials: sending to them again needs no
/// look into the table and no count of references. Forgotten at the end of each turn, so that nothing ended stays for long.
struct Known {
    cells: [Place<Option<Arc<Cell>>>; KNOWN],
    /// Which places were filled.
    filled: [Place<u64>; KNOWN / 64],
    /// Sends to known cells in this poll, for [`SENDS_PER_LOOK`].
    sends: Place<u32>,
}

impl Known {
    const fn new() -> Self {
        let cells = [const { Place::new(None) }; KNOWN];
        Self { cells, filled: [const { Place::new(0) }; KNOWN / 64], sends: Place::new(0) }
    }
}

/// Takes the cell with this serial out of what the thread knows. If it does not know it, `find` is asked; what that finds
/// is known from then on if the thread has a run queue of these schedulers.
#[inline]
pub(crate) fn borrow(of: &Schedulers, serial: u64, find: impl FnOnce() -> Option<Arc<Cell>>) -> Borrowed {
    if POOL.with(Place::get) != of.id() {
        return Borrowed { cell: find(), known: false };
    }
    let place = serial as usize % KNOWN;
    // Of another runtime, or another process: that one is forgotten.
    let known = KNOWN_CELLS.with(|known| known.cells[place].take());
    let known = known.filter(|cell| cell.serial() == serial && ptr::eq(cell.runtime().schedulers(), of));
    Borrowed { cell: known.or_else(find), known: true }
}

/// A cell that somebody sends to.
pub(crate) struct Borrowed {
    pub(crate) cell: Option<Arc<Cell>>,
    known: bool,
}

impl Borrowed {
    /// Lets the thread know the cell. Returns whether it is time to look after those whom the sender keeps waiting.
    #[inline]
    pub(crate) fn give_back(self) -> bool {
        let (true, Some(cell)) = (self.known, self.cell) else { return false };
        give_back(cell);
        KNOWN_CELLS.with(|known| {
            let sends = known.sends.get().wrapping_add(1);
            known.sends.set(sends);
            sends.is_multiple_of(SENDS_PER_LOOK)
        })
    }
}

/// A poll of a process begins on this thread.
#[inline]
pub(crate) fn begin_poll() {
    KNOWN_CELLS.with(|known| known.sends.set(0));
}

/// A reference to the cell of a process that this thread runs, for [`give_back`]: the thread's own if it knows the cell, so
/// that nothing is counted.
#[inline]
pub(crate) fn keep(cell: &Arc<Cell>) -> Arc<Cell> {
    let place = cell.serial() as usize % KNOWN;
    let known = KNOWN_CELLS.with(|known| known.cells[place].take());
    known.filter(|known| Arc::ptr_eq(known, cell)).unwrap_or_else(|| Arc::clone(cell))
}

/// Lets the thread, which has a run queue, know the cell.
#[inline]
pub(crate) fn give_back(cell: Arc<Cell>) {
    let place = cell.serial() as usize % KNOWN;
    KNOWN_CELLS.with(|known| {
        let filled = &known.filled[place / 64];
        filled.set(filled.get() | 1 << (place % 64));
        let before = known.cells[place].replace(Some(cell));
        drop(before);
    });
}

/// Forgets all known cells.
fn forget() {
    KNOWN_CELLS.with(|known| {
        for (word, filled) in known.filled.iter().enumerate() {
            let mut bits = filled.take();
            while bits != 0 {
                drop(known.cells[word * 64 + bits.trailing_zeros() as usize].take());
                bits &= bits - 1;
            }
        }
    });
}

thread_local! {
    /// The pool of what is in `LOCAL`, for a look that needs nothing taken out; 0: nothing is.
    static POOL: Place<usize> = const { Place::new(0) };
    static LOCAL: Place<Option<Box<Local>>> = const { Place::new(None) };
    static HOME: Place<(usize, usize)> = const { Place::new((0, 0)) };
    static KNOWN_CELLS: Known = const { Known::new() };
}

/// Cells that a thread remembers.
const KNOWN: usize = 256;
/// How many sends a body may do in one poll until others are asked to run those that it keeps waiting.
const SENDS_PER_LOOK: u32 = 512;
