//! What a thread has while it polls a scheduler: the run queue.
//!
//! It is moved in when a turn begins and back to its pool when the turn ends; in between it belongs to the thread, so that
//! nothing here is locked. Whoever uses it borrows it for a moment, and runs no other code meanwhile.

use std::cell::{Cell as Place, RefCell};
use std::sync::Arc;

use super::super::cell::Cell;
use super::super::poll::Task;
use super::known;
use super::queue::RunQueue;
use crate::sync::thread_local;

/// The run queue of one slot of a pool, and what goes with it.
pub(crate) struct Local {
    /// Which pool it belongs to.
    pub(crate) pool: usize,
    /// Which slot of it.
    pub(crate) index: usize,
    pub(super) queue: RunQueue<Task>,
    /// Whether polls have lately been long, so that help is worth its price at once.
    pub(crate) long: bool,
    /// The thread has it for a visit: help is called at its end, if it must.
    pub(crate) visiting: bool,
}

impl Local {
    /// `row_max`: how many that were just woken may go in a row before those that wait.
    pub(super) fn new(pool: usize, index: usize, row_max: u32) -> Box<Self> {
        Box::new(Self { pool, index, queue: RunQueue::new(row_max), long: false, visiting: false })
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
        let mut local =
            LOCAL.with(|place| place.replace(self.before)).expect("whoever takes it out puts it back");
        local.queue.settle();
        known::forget();
        local
    }
}

/// Whether this thread only visits `pool`.
pub(crate) fn is_visiting(pool: usize) -> bool {
    with(pool, |local| local.visiting).unwrap_or(false)
}

/// Whether this thread has a run queue of `pool`.
#[inline]
pub(crate) fn has(pool: usize) -> bool {
    POOL.with(Place::get) == pool
}

/// Does something with the thread's own run queue of `pool`; `None` if it has none of it now.
#[inline]
pub(crate) fn with<T>(pool: usize, act: impl FnOnce(&mut Local) -> T) -> Option<T> {
    if !has(pool) {
        return None;
    }
    // A thread that ends has none.
    LOCAL.try_with(|place| place.try_borrow_mut().ok()?.as_deref_mut().map(act)).ok().flatten()
}

/// Puts a process into the thread's own run queue of `pool`.
#[inline]
pub(crate) fn push(pool: usize, task: Task, why: Ready) -> Pushed {
    let mut task = Some(task);
    let help = with(pool, |local| {
        let task = task.take()?;
        let help = (local.long && !local.visiting).then(|| Arc::clone(task.cell()));
        match why {
            // What a visit wakes runs in the order of arrival, as the messages that woke it.
            Ready::Spoken if !local.long && !local.visiting => local.queue.push_next(task),
            _ => local.queue.push(task),
        }
        help
    });
    match (task, help.flatten()) {
        (Some(task), _) => Pushed::NoQueue(task),
        (None, help) => help.map_or(Pushed::Done, Pushed::Help),
    }
}

/// Why a process is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ready {
    /// A message came that it has waited for: whoever sent it may be waiting for the answer.
    Spoken,
    /// Anything else: it is new, lets others run first, or somebody's end wakes it, and others may end soon too.
    Waits,
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

thread_local! {
    /// The pool of what is in `LOCAL`, for a look that needs nothing taken out; 0: nothing is.
    static POOL: Place<usize> = const { Place::new(0) };
    static LOCAL: RefCell<Option<Box<Local>>> = const { RefCell::new(None) };
    static HOME: Place<(usize, usize)> = const { Place::new((0, 0)) };
}

#[cfg(test)]
#[cfg(not(feature = "model"))]
mod tests {
    use std::future::Future;
    use std::pin::Pin;

    use regatta_proto::reason::ExitReason;

    use super::*;
    use crate::actor::{Runtime, Spawner};

    /// Two workers that never do anything.
    struct Idle;

    impl Spawner for Idle {
        fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
            // Dropped, it would end the processes.
            std::mem::forget(task);
        }

        fn workers(&self) -> usize {
            2
        }
    }

    #[test]
    fn whoever_is_next_when_a_turn_ends_is_found_by_those_who_search() {
        let rt = Runtime::builder().spawner(Arc::new(Idle)).build();
        let processes = [(); 3].map(|()| rt.spawn(|_| async {}));
        let pool = rt.schedulers().pool();
        let local = Local::new(pool.id(), 0, 1);
        let end = local.queue.other_end();
        let entered = enter(local);
        pool.take_outside();
        with(pool.id(), |local| {
            let next = local.queue.pop().expect("three were spawned");
            local.queue.push_next(next);
        });
        let left = entered.leave();
        let mut searcher = RunQueue::new(0);
        let mut found = Vec::new();
        while let Some(task) = searcher.pop().or_else(|| searcher.steal(&end)) {
            found.push(task);
        }
        assert_eq!((found.len(), left.queue.len()), (3, 0));
        found.into_iter().for_each(|task| task.end(ExitReason::Killed));
        assert!(processes.iter().all(|process| !rt.is_alive(process.pid())));
    }
}
