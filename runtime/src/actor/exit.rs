//! Exit signals: how a process takes one, and, in one place, what a process's end tells the others.
//!
//! The rules are those of the Erlang reference manual, chapter "Processes":
//! - A normal exit of a linked process changes nothing, unless the receiver traps exits.
//! - A process that traps gets [`Received::Exit`]; any other one ends with the same reason.
//! - [`ExitReason::Killed`] sent to a process cannot be trapped; its own links then see `Killed`, and may trap that.
//! - A link's exit and a monitor's down count only while the receiver's own entry exists: the entry is the gate, so
//!   each fires at most once, and nothing fires after an unlink or a demonitor.

use std::sync::Arc;

use regatta_proto::id::{Pid, Reference};
use regatta_proto::reason::ExitReason;
use regatta_proto::signal::Signal;

use super::cell::{After, Cell, Cold, Link, Remains, TRAPS};
use super::received::Received;
use super::runtime::Runtime;
use crate::sync::atomic::Ordering;

/// A linked process ended, or was none.
pub(crate) fn take_link_exit(cell: &Arc<Cell>, from: Pid, reason: ExitReason) {
    let mut state = cell.lock();
    let entry = state.cold_if_any().and_then(|cold| cold.links.remove(&from));
    let entry = if planted!(UnlinkRace) { entry.map(|_| Link::Active) } else { entry };
    let after = match entry {
        Some(Link::Active) if cell.has(TRAPS) => state.push_signal(cell, Received::Exit { from, reason }),
        Some(Link::Active) if reason != ExitReason::Normal => state.stop(cell, reason),
        // A normal exit, or a link that was taken back: nothing happens.
        _ => After::Nothing,
    };
    drop(state);
    after.settle();
}

/// Somebody asks the process to end. Returns whether it was alive.
pub(crate) fn take_exit(cell: &Arc<Cell>, from: Pid, reason: ExitReason) -> bool {
    let mut state = cell.lock();
    let alive = state.cold().is_ok();
    let after = match reason {
        ExitReason::Killed => state.stop(cell, ExitReason::Killed),
        reason if cell.has(TRAPS) => state.push_signal(cell, Received::Exit { from, reason }),
        ExitReason::Normal if from != cell.pid() => After::Nothing,
        reason => state.stop(cell, reason),
    };
    drop(state);
    after.settle();
    alive
}

/// Ends the process, whether it traps or not. Returns whether it was alive.
pub(crate) fn kill(cell: &Arc<Cell>) -> bool {
    take_exit(cell, cell.runtime().node_pid(), ExitReason::Killed)
}

/// A monitored process ended, or was none.
pub(crate) fn take_down(cell: &Arc<Cell>, pid: Pid, reference: Reference, reason: ExitReason) {
    let mut state = cell.lock();
    let gate = state.cold_if_any().is_some_and(|cold| {
        let mine = cold.monitors.get(&reference) == Some(&pid);
        if mine && !planted!(DownTwice) {
            cold.monitors.remove(&reference);
        }
        mine
    });
    let after = if gate {
        state.push_signal(cell, Received::Down { reference, pid, reason })
    } else {
        After::Nothing
    };
    drop(state);
    after.settle();
}

/// The process learns something that is no message, whatever its mailbox's bounds say.
pub(crate) fn tell(cell: &Arc<Cell>, what: Received) {
    let after = cell.lock().push_signal(cell, what);
    after.settle();
}

/// The process has ended, its body is dropped: tells everybody, once.
///
/// Names and groups go first, so that whoever hears of the end finds them free; then links, watchers and the monitors that it
/// held, in the order of their pids; the joiners last.
pub(crate) fn finish(cell: &Arc<Cell>, outcome: ExitReason) {
    let Some(Remains { reason, cold, unread, tracked }) = cell.end(outcome) else { return };
    let rt = cell.runtime();
    rt.timers().clear_alarm(rt, cell);
    if unread > 0 {
        rt.drops().unread.fetch_add(unread, Ordering::Relaxed);
    }
    if let Some(cold) = cold {
        rt.registry().release(cell, &cold.names);
        rt.aliases().release(&cold.aliases);
        if let Some(grouped) = &cold.grouped {
            rt.groups().release(rt, cell, grouped);
        }
        fan_out(rt, cell, *cold, &reason);
    }
    if tracked && let Some(remote) = rt.remote() {
        remote.ended(cell.serial());
    }
    let entry = rt.table().remove(cell.serial());
    drop(entry);
    cell.done();
    rt.ended();
}

fn fan_out(rt: &Runtime, cell: &Arc<Cell>, cold: Cold, reason: &ExitReason) {
    let (me, here) = (cell.pid(), rt.incarnation());
    for (pid, link) in cold.links {
        if pid.incarnation() != here {
            if link == Link::Active {
                rt.signal(me.serial(), pid, Signal::LinkExit(reason.clone()));
            }
        } else if let Some(peer) = rt.table().find(pid.serial()) {
            take_link_exit(&peer, me, reason.clone());
        }
    }
    for (pid, reference) in cold.watchers {
        if pid.incarnation() != here {
            rt.signal(me.serial(), pid, Signal::Down { reference, reason: reason.clone() });
        } else if let Some(watcher) = rt.table().find(pid.serial()) {
            take_down(&watcher, me, reference, reason.clone());
        }
    }
    for (reference, pid) in cold.monitors {
        if pid.incarnation() != here {
            rt.signal(me.serial(), pid, Signal::Demonitor { reference });
        } else if let Some(watched) = rt.table().find(pid.serial())
            && let Some(cold) = watched.lock().cold_if_any()
        {
            cold.watchers.remove(&(me, reference));
        }
    }
}
