//! What an operator does to processes and to the runtime as a whole: hold and release, suspend and resume, count, shut
//! down.

use std::sync::Arc;
use std::time::Duration;

use regatta_proto::id::Pid;
use regatta_proto::reason::ExitReason;

use super::cell::{Cell, HELD, SUPERVISES, SUSPENDED};
use super::exit;
use super::process::ProcessHandle;
use super::runtime::Runtime;
use crate::sync::atomic::Ordering;

/// What a runtime has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
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
    /// Processes that there are now.
    pub live: u64,
    /// Local names that are held now.
    pub names: u64,
    /// Groups that have members now, here or on other nodes.
    pub groups: u64,
    /// Aliases that there are now.
    pub aliases: u64,
    /// Timers that wait now: messages to be sent later, and deadlines of receives and calls. A process that has waited with
    /// a deadline counts as one until it ends or that time is over.
    pub timers: u64,
    /// Calls to other nodes that wait for their answers now.
    pub calls_away: u64,
    /// Blocking work ([`Context::spawn_blocking`](super::Context::spawn_blocking)) that is under way now, or waits its turn.
    pub blocking: u64,
    /// Times that bodies were polled. Grows by as many as processes were woken, and starts at 0.
    pub polls: u64,
    /// Times that a body was seen to hold its worker for more than half a second; each is in the log, with the process's label.
    /// Always 0 with one worker: nobody could wait.
    pub held_worker: u64,
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
    /// Messages to be sent later, once or again and again, that were dropped with their timers.
    pub dropped_timers: u64,
    /// Processes whose body would not come to an await point and so could not be ended; empty unless a body blocks its
    /// thread.
    pub left: Vec<Pid>,
    /// Tasks and threads of the runtime that have not ended: blocking work that goes on, and schedulers that what is `left`
    /// holds.
    pub busy: usize,
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

    fn lift(&self, pid: Pid, flag: u16) -> bool {
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
            live,
            names: self.registry().len() as u64,
            groups: self.groups().len() as u64,
            aliases: self.aliases().len() as u64,
            timers: self.timers().len() as u64,
            calls_away: self.pending().len() as u64,
            blocking: self.blocking().load(Ordering::Relaxed) as u64,
            polls: self.schedulers().polls(),
            held_worker: self.held().load(Ordering::Acquire),
        }
    }

    /// [`Runtime::shutdown_within`] five seconds.
    pub async fn shutdown(&self) -> ShutdownReport {
        self.shutdown_within(SHUTDOWN_GRACE).await
    }

    /// Ends everything, in order:
    ///
    /// 1. The supervisors that no supervisor has started are asked to end with [`ExitReason::Shutdown`], the one that was
    ///    started last first, each after the one before has ended. Each ends its children in its own order.
    /// 2. All processes that are left are asked.
    /// 3. When `grace` is over, counted from the call, what is left is killed: unasked, if supervisors took all of it.
    /// 4. Timers are dropped, and the runtime's own tasks and threads end. Blocking work is waited for.
    ///
    /// What is spawned from now on ends with `Shutdown` before its first poll. When this returns, nothing is left, unless the
    /// report says so: a body that blocks its thread cannot be ended, nor can blocking work; after `grace` once more each is
    /// reported and left alone. Call this from outside of the runtime's processes, with tokio's timer at hand.
    pub async fn shutdown_within(&self, grace: Duration) -> ShutdownReport {
        let before = self.drops().unread.load(Ordering::Relaxed);
        self.close();
        let asked = self.table().len() as u64;
        let in_order = async {
            for top in self.top_supervisors().into_iter().rev() {
                exit::take_exit(&top, self.node_pid(), ExitReason::Shutdown);
                ProcessHandle { cell: top }.join().await;
            }
            self.each(|cell| exit::take_exit(cell, self.node_pid(), ExitReason::Shutdown));
            self.emptied().await;
        };
        let mut killed = 0;
        if tokio::time::timeout(grace, in_order).await.is_err() {
            killed = self.each(exit::kill);
            let _late = tokio::time::timeout(grace, self.emptied()).await;
        }
        let dropped_timers = self.timers().retire();
        let left = self.list();
        if left.is_empty() {
            self.schedulers().close();
            let _late = tokio::time::timeout(grace, self.staff().gone()).await;
        }
        let busy = self.staff().len();
        if busy == 0
            && let Some(thread) = self.schedulers().lookout()
        {
            // It has nothing left to do.
            let _ended = thread.join();
        }
        let dropped_unread = self.drops().unread.load(Ordering::Relaxed) - before;
        ShutdownReport {
            orderly: asked.saturating_sub(killed),
            killed,
            dropped_unread,
            dropped_timers,
            left,
            busy,
        }
    }

    /// The supervisors that no supervisor of this runtime has started, in the order of their start.
    pub(crate) fn top_supervisors(&self) -> Vec<Arc<Cell>> {
        let mut top = Vec::new();
        self.each(|cell| {
            let supervised = || self.table().find(cell.parent()).is_some_and(|parent| parent.has(SUPERVISES));
            if cell.has(SUPERVISES) && !supervised() {
                top.push(Arc::clone(cell));
            }
            true
        });
        top
    }

    /// Does something to each process, page by page. Returns how often it was done.
    fn each(&self, mut act: impl FnMut(&Arc<Cell>) -> bool) -> u64 {
        let (mut after, mut done) = (0, 0);
        loop {
            let page = self.table().page(after, PAGE);
            let Some(last) = page.last() else { return done };
            after = last.serial();
            done += page.iter().filter(|cell| act(cell)).count() as u64;
        }
    }
}

/// Processes that are taken out of the table at once.
const PAGE: usize = 4_096;
/// How long a process may take to end when it is asked to.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
