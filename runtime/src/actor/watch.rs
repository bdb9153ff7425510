//! Making and taking back monitors.
//!
//! The watcher's own entry is made first and is what a down needs to fire ([`exit`]), so each monitor fires at most
//! once, and never after it was taken back.

use std::sync::Arc;

use regatta_proto::id::{Pid, Reference};
use regatta_proto::reason::ExitReason;
use regatta_proto::signal::Signal;

use super::cell::Cell;
use super::exit;
use super::remote::reason_of;

/// `cell` watches `target` under `reference`. A dead target fires at once with `NoProc`, an unreachable one with
/// `NoConnection`. Returns whether `cell` was alive.
pub(crate) fn monitor(cell: &Arc<Cell>, target: Pid, reference: Reference) -> bool {
    if !expect_down(cell, target, reference) {
        return false;
    }
    let rt = cell.runtime();
    let failed = if target.incarnation() != rt.incarnation() {
        let signal = Signal::Monitor { reference };
        rt.try_signal(cell.serial(), target, signal).err().map(|error| reason_of(&error))
    } else {
        let watched = rt.table().find(target.serial());
        let taken = watched.is_some_and(|watched| take_monitor(&watched, cell.pid(), reference));
        (!taken).then_some(ExitReason::NoProc)
    };
    if let Some(reason) = failed {
        exit::take_down(cell, target, reference, reason);
    }
    true
}

/// Makes the watcher's entry alone: the target knows already, or will. Returns whether `cell` was alive.
pub(crate) fn expect_down(cell: &Arc<Cell>, target: Pid, reference: Reference) -> bool {
    cell.lock().cold_mut().map(|my| my.monitors.insert(reference, target)).is_some()
}

/// Makes the target's entry. Returns whether `cell` was alive.
pub(crate) fn take_monitor(cell: &Arc<Cell>, watcher: Pid, reference: Reference) -> bool {
    cell.lock().cold_mut().map(|my| my.watchers.insert((watcher, reference))).is_some()
}

/// Removes the target's entry.
pub(crate) fn take_demonitor(cell: &Arc<Cell>, watcher: Pid, reference: Reference) {
    if let Some(my) = cell.lock().cold_if_any() {
        my.watchers.remove(&(watcher, reference));
    }
}

/// Takes the monitor back. Returns whether it was there; if not, it has fired or never was.
pub(crate) fn demonitor(cell: &Arc<Cell>, reference: Reference) -> bool {
    let removed = cell.lock().cold_if_any().and_then(|my| my.monitors.remove(&reference));
    let Some(target) = removed else { return false };
    let rt = cell.runtime();
    if target.incarnation() != rt.incarnation() {
        rt.signal(cell.serial(), target, Signal::Demonitor { reference });
    } else if let Some(watched) = rt.table().find(target.serial()) {
        take_demonitor(&watched, cell.pid(), reference);
    }
    true
}
