//! Holding what a call spawns: a factory's children wait at their first poll until their caller is linked to them.
//!
//! The hold belongs to the thread for the time of one call, and to one runtime: what the call spawns elsewhere runs as
//! usual. It nests: what was there before comes back.

use std::cell::RefCell;

use regatta_proto::id::{Incarnation, Pid};

use super::runtime::Runtime;
use crate::sync::thread_local;

thread_local! {
    static HOLD: RefCell<Option<Hold>> = const { RefCell::new(None) };
}

struct Hold {
    of: Incarnation,
    spawned: Vec<Pid>,
}

/// Ends the hold however the call ends.
struct Restore(Option<Hold>);

impl Drop for Restore {
    fn drop(&mut self) {
        HOLD.with(|place| place.replace(self.0.take()));
    }
}

impl Runtime {
    /// Calls `call` and gives back, with its result, every process of this runtime that it spawned on this thread, each
    /// waiting for [`Runtime::release`] before its first poll. If `call` panics, what it spawned is killed.
    pub(crate) fn hold_spawned<T>(&self, call: impl FnOnce(&Self) -> T) -> (T, Vec<Pid>) {
        let hold = Hold { of: self.incarnation(), spawned: Vec::new() };
        let restore = Restore(HOLD.with(|place| place.replace(Some(hold))));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call(self)));
        let held = HOLD.with(RefCell::take).map(|hold| hold.spawned).unwrap_or_default();
        drop(restore);
        match result {
            Ok(result) => (result, held),
            Err(panic) => {
                for pid in held {
                    self.kill(pid);
                    self.release(pid);
                }
                std::panic::resume_unwind(panic)
            }
        }
    }
}

/// Whether a process that `of` spawns now, on this thread, is to be held.
pub(crate) fn is_on(of: Incarnation) -> bool {
    HOLD.with(|place| place.borrow().as_ref().is_some_and(|hold| hold.of == of))
}

/// Notes a process that was spawned held because [`is_on`] said so.
pub(crate) fn note(pid: Pid) {
    HOLD.with(|place| {
        if let Some(hold) = &mut *place.borrow_mut() {
            hold.spawned.push(pid);
        }
    });
}
