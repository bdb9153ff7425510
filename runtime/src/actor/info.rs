//! What a process looks like from outside, and how all of them are listed.
//!
//! Each process is read under its own lock, at its own instant; a list is made page by page, so nothing stands still
//! while a node with a million processes is looked at.

use std::sync::Arc;
use std::time::Duration;

use regatta_proto::id::{Name, Pid, Reference};

use super::cell::{Cell, HELD, Link, SUSPENDED, TRAPS};
use super::runtime::Runtime;
use crate::sync::atomic::Ordering;

/// What a process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Its body waits: for a message, a timer, or whatever it awaits.
    Waiting,
    /// Its body is being polled at this moment.
    Running,
    /// It was spawned held and not released, or suspended and not resumed.
    Suspended,
}

/// One process at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessInfo {
    /// The process.
    pub pid: Pid,
    /// What the program calls it.
    pub label: Option<Arc<str>>,
    /// Its names, in order.
    pub names: Vec<Name>,
    /// What it is doing.
    pub status: Status,
    /// Entries that wait in its mailbox.
    pub mailbox_depth: u64,
    /// Bytes of message bodies that wait in its mailbox.
    pub mailbox_bytes: u64,
    /// Entries (messages, exits, downs) that it has received so far.
    pub messages_handled: u64,
    /// Processes that it is linked to, in order.
    pub links: Vec<Pid>,
    /// Monitors that it holds, and on whom, in order.
    pub monitors: Vec<(Reference, Pid)>,
    /// Who watches it, in order; a process with two monitors on it is named twice.
    pub monitored_by: Vec<Pid>,
    /// Who spawned it, if a process did.
    pub parent: Option<Pid>,
    /// Whether exits become messages.
    pub trap_exit: bool,
    /// The groups that it is in, in order.
    pub groups: Vec<Name>,
    /// What runs in it: the name of its body's type, or of its server's.
    pub initial_call: &'static str,
    /// How long it has been there, by the runtime's clock.
    pub age: Duration,
}

impl Runtime {
    /// All live processes, in the order of their serials.
    #[must_use]
    pub fn list(&self) -> Vec<Pid> {
        let cells = self.table().page(0, usize::MAX);
        cells.iter().filter(|cell| cell.is_alive()).map(|cell| cell.pid()).collect()
    }

    /// What the process looks like now; `None` if it is not alive in this runtime.
    #[must_use]
    pub fn info(&self, pid: Pid) -> Option<ProcessInfo> {
        look(&*self.local(pid)?)
    }

    /// Up to `max` live processes with serials above `after_serial`, in the order of their serials. Start with 0 and go
    /// on with the last one's serial; an empty page is the end.
    #[must_use]
    pub fn infos(&self, after_serial: u64, max: usize) -> Vec<ProcessInfo> {
        let mut after = after_serial;
        loop {
            let cells = self.table().page(after, max);
            let Some(last) = cells.last() else { return Vec::new() };
            let page: Vec<_> = cells.iter().filter_map(|cell| look(cell)).collect();
            if !page.is_empty() {
                return page;
            }
            // All of them ended while we looked: an empty page would be taken for the end.
            after = last.serial();
        }
    }

    /// Says what the process is for people who look at it; cut to 255 bytes. Returns whether it was alive.
    pub fn set_label(&self, pid: Pid, label: impl AsRef<str>) -> bool {
        let Some(cell) = self.local(pid) else { return false };
        cell.lock().cold_mut().map(|my| my.label = Some(cut(label.as_ref()))).is_some()
    }
}

/// The label as it is kept.
pub(crate) fn cut(label: &str) -> Arc<str> {
    label[..label.floor_char_boundary(LABEL_BYTES_MAX)].into()
}

fn look(cell: &Cell) -> Option<ProcessInfo> {
    let (here, serial) = (cell.pid().incarnation(), cell.parent());
    let status = match () {
        () if cell.has(HELD | SUSPENDED) => Status::Suspended,
        () if cell.own.running.load(Ordering::Relaxed) => Status::Running,
        () => Status::Waiting,
    };
    let state = cell.lock();
    let cold = state.cold().ok()?;
    let (mailbox_depth, mailbox_bytes) = state.mailbox.depth(&cell.own.handled);
    let mut info = ProcessInfo {
        pid: cell.pid(),
        label: None,
        names: Vec::new(),
        status,
        mailbox_depth,
        mailbox_bytes,
        messages_handled: cell.own.handled.count(),
        links: Vec::new(),
        monitors: Vec::new(),
        monitored_by: Vec::new(),
        parent: (serial != 0).then(|| Pid::new(here, serial)),
        trap_exit: cell.has(TRAPS),
        groups: Vec::new(),
        initial_call: cell.initial_call(),
        age: Duration::from_nanos(cell.runtime().age().saturating_sub(cell.born())),
    };
    if let Some(cold) = cold {
        info.label.clone_from(&cold.label);
        info.names = cold.names.iter().cloned().collect();
        let active = cold.links.iter().filter(|(_, link)| **link == Link::Active);
        info.links = active.map(|(pid, _)| *pid).collect();
        info.monitors = cold.monitors.iter().map(|(reference, pid)| (*reference, *pid)).collect();
        info.monitored_by = cold.watchers.iter().map(|(pid, _)| *pid).collect();
        info.parent = info.parent.or(cold.parent);
        info.groups = cold.grouped.as_ref().map(|grouped| grouped.names()).unwrap_or_default();
    }
    Some(info)
}

/// Longest label, in bytes.
const LABEL_BYTES_MAX: usize = 255;
