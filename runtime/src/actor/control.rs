//! What an operator does to processes and to the runtime as a whole: hold and release, suspend and resume, count, shut
//! down.

use std::sync::atomic::Ordering;
use std::time::Duration;

use regatta_proto::id::Pid;
use regatta_proto::reason::ExitReason;

use super::cell::{HELD, SUSPENDED};
use super::exit;
use super::runtime::Runtime;

/// What a runtime has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RuntimeStats {
    /// Processes spawned.
    pub spawned: u64,
    /// Processes that have ended.
    pub finished: u64,
    /// Entries that were in the mailbox of a process that ended.
    pub dropped_unread: u64,
    /// Messages that a full mailbox refused; their senders were told.
    pub refused_full: u64,
    /// Messages that a full mailbox dropped, new or old, by its policy; nobody was told.
    pub dropped_overflow: u64,
    /// Messages to processes or names that were not there; their senders were told.
    pub refused_no_proc: u64,
}

/// How a shutdown went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShutdownReport {
    /// Processes that ended when they were asked to.
    pub orderly: u64,
    /// Processes that had to be killed.
    pub killed: u64,
    /// Entries that were dropped unread in the mailboxes of both.
    pub dropped_unread: u64,
    /// Processes whose body would not come to an await point and so could not be ended; empty unless a body blocks its
    /// thread.
    pub left: Vec<Pid>,
}

impl Runtime {
    /// Lets a process go that was spawned held. Returns whether it was held.
    pub fn release(&self, pid: Pid) -> bool {
        self.lift(pid, HELD)
    }

    /// Makes the process's receives wait, from its next one on; messages queue up meanwhile. It goes on with anything
    /// else that it awaits, and still ends when it must. Returns whether it is alive here.
    pub fn suspend(&self, pid: Pid) -> bool {
        let Some(cell) = self.local(pid) else { return false };
        cell.set(SUSPENDED);
        cell.is_alive()
    }

    /// Ends a suspension. Returns whether there was one.
    pub fn resume(&self, pid: Pid) -> bool {
        self.lift(pid, SUSPENDED)
    }

    fn lift(&self, pid: Pid, flag: u8) -> bool {
        let Some(cell) = self.local(pid) else { return false };
        let was = cell.clear(flag);
        if was {
            cell.wake_all();
        }
        was
    }

    /// What the runtime has done so far. Each number is read at its own instant.
    #[must_use]
    pub fn stats(&self) -> RuntimeStats {
        let live = self.table().len() as u64;
        let spawned = self.table().reserved();
        RuntimeStats {
            spawned,
            finished: spawned.saturating_sub(live),
            dropped_unread: self.drops().unread.load(Ordering::Relaxed),
            refused_full: self.drops().full.load(Ordering::Relaxed),
            dropped_overflow: self.drops().overflow.load(Ordering::Relaxed),
            refused_no_proc: self.drops().no_proc.load(Ordering::Relaxed),
        }
    }

    /// [`Runtime::shutdown_within`] five seconds.
    pub async fn shutdown(&self) -> ShutdownReport {
        self.shutdown_within(SHUTDOWN_GRACE).await
    }

    /// Ends every process: asks all of them with [`ExitReason::Shutdown`], kills what is left after `grace`, and waits
    /// until nothing is left. What is spawned from now on ends with `Shutdown` before its first poll.
    ///
    /// A body that blocks its thread cannot be ended; after `grace` once more it is reported in
    /// [`ShutdownReport::left`]. Call this from outside of the runtime's processes, with tokio's timer at hand.
    pub async fn shutdown_within(&self, grace: Duration) -> ShutdownReport {
        let before = self.drops().unread.load(Ordering::Relaxed);
        self.close();
        let all = self.table().page(0, usize::MAX);
        let asked = all.len() as u64;
        for cell in &all {
            exit::take_exit(cell, self.node_pid(), ExitReason::Shutdown);
        }
        drop(all);
        let mut killed = 0;
        if tokio::time::timeout(grace, self.emptied()).await.is_err() {
            let stubborn = self.table().page(0, usize::MAX);
            killed = stubborn.iter().filter(|cell| exit::kill(cell)).count() as u64;
            drop(stubborn);
            let _late = tokio::time::timeout(grace, self.emptied()).await;
        }
        ShutdownReport {
            orderly: asked.saturating_sub(killed),
            killed,
            dropped_unread: self.drops().unread.load(Ordering::Relaxed) - before,
            left: self.list(),
        }
    }
}

/// How long a process may take to end when it is asked to.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
