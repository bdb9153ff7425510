//! Children that were asked to end, and the wait for their ends.
//!
//! A supervisor may have a great many, and its mailbox may be full: each end is found among what came after they were asked, and
//! looked at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use regatta_proto::id::{Pid, Reference};
use regatta_proto::reason::ExitReason;

use crate::actor::{Context, Mark, Received};

/// One of them.
pub(super) struct Child {
    pub(super) pid: Pid,
    pub(super) monitor: Reference,
    /// It had ended already, or taken its link back: its exit may be in the mailbox.
    pub(super) has_exited: bool,
    /// When it is killed; `None`: it may take as long as it likes.
    pub(super) until: Option<Instant>,
}

/// All that are waited for.
pub(super) struct Leaving {
    /// From before the first one was asked.
    mark: Mark,
    children: BTreeMap<Reference, Child>,
    /// The same, by when they are late.
    until: BTreeSet<(Instant, Reference)>,
}

impl Leaving {
    /// Nobody yet.
    pub(super) fn new(ctx: &mut Context) -> Self {
        Self { mark: ctx.mark(), children: BTreeMap::new(), until: BTreeSet::new() }
    }

    pub(super) fn add(&mut self, child: Child) {
        self.until.extend(child.until.map(|until| (until, child.monitor)));
        self.children.insert(child.monitor, child);
    }

    /// Waits for the ends of all, and kills those that are late. Whatever else arrives stays in the mailbox.
    pub(super) async fn wait(mut self, ctx: &mut Context) {
        let mut exited = BTreeSet::new();
        while !self.children.is_empty() {
            let Some(child) = self.next(ctx).await else {
                self.kill_late(ctx);
                continue;
            };
            if child.has_exited {
                exited.insert(child.pid);
            }
        }
        // The exits that came before their links were taken back.
        while !exited.is_empty() {
            let theirs = |received: &Received| matches!(received, Received::Exit { from, .. } if exited.contains(from));
            let Some(Received::Exit { from, .. }) = ctx.recv_match_timeout(Duration::ZERO, theirs).await
            else {
                return;
            };
            exited.remove(&from);
        }
    }

    /// The next one that has ended, or `None` if one is late.
    async fn next(&mut self, ctx: &mut Context) -> Option<Child> {
        let children = &self.children;
        let theirs = |received: &Received| matches!(received, Received::Down { reference, .. } if children.contains_key(reference));
        let down = match self.until.first() {
            None => ctx.recv_match_after(self.mark, theirs).await,
            Some((until, _)) => {
                let left = until.saturating_duration_since(ctx.runtime().clock().now());
                ctx.recv_match_after_timeout(self.mark, left, theirs).await?
            }
        };
        let (reference, ..) = down.down()?;
        let child = self.children.remove(&reference)?;
        if let Some(until) = child.until {
            self.until.remove(&(until, reference));
        }
        Some(child)
    }

    fn kill_late(&mut self, ctx: &Context) {
        let now = ctx.runtime().clock().now();
        while let Some((until, reference)) = self.until.first().copied()
            && until <= now
        {
            self.until.pop_first();
            if let Some(Child { pid, .. }) = self.children.get(&reference) {
                tracing::warn!(supervisor = %ctx.pid(), child = %pid, "a child did not end in time: killed");
                ctx.exit(*pid, ExitReason::Killed);
            }
        }
    }
}
