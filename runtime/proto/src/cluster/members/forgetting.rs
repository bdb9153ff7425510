//! Who counts, who is known no more, and in whose place another is taken.

use std::time::{Duration, Instant};

use super::{Entry, Members, Standing};
use crate::id::{NodeId, NodeName};

impl Members {
    /// Makes room for a node that is about to be linked, in the place of one that is lost: of one that has left first, and of one
    /// that votes only where that makes no minority a majority. Where there is none, there are more than may be: whoever proves
    /// itself is not refused for that.
    pub(crate) fn make_room(&mut self, name: &NodeName) {
        if self.entries.len() < self.members_max || self.entries.contains_key(name) {
            return;
        }
        let may_forget_voters = !self.votes() || self.reaches_majority();
        let order = |entry: &Entry| match entry.standing {
            Standing::Left => Some(0),
            Standing::Heard | Standing::Down if !entry.votes() => Some(1),
            Standing::Heard | Standing::Down if may_forget_voters => Some(2),
            _ => None,
        };
        let over = self.entries.iter().filter_map(|(name, entry)| Some((order(entry)?, entry.since, name)));
        if let Some(over) = over.min().map(|(_, _, name)| name.clone()) {
            self.remove(&over);
        }
    }

    /// A node that is not linked is over, on somebody's word: it is neither dialled nor counted any more, and others are told.
    /// The start of it that was known; `None` if it is not known.
    ///
    /// # Errors
    /// It is linked.
    pub(crate) fn forget(&mut self, name: &str, now: Instant) -> Result<Option<NodeId>, NodeId> {
        let Some(entry) = self.entries.get_mut(name) else { return Ok(None) };
        let id = entry.id.clone();
        if entry.link.is_some() {
            return Err(id);
        }
        if entry.standing != Standing::Left {
            entry.standing = Standing::Left;
            entry.since = now;
            self.given_up.extend(entry.wanted.take().map(|_| id.name.clone()));
            let due = now + self.forget_after;
            self.set_due(&id.name, Some(due));
            self.tell(&id.name, &id.name.clone(), now);
        }
        Ok(Some(id))
    }

    /// Whether a node that is not linked has been away for so long that it is known no more.
    pub(super) fn is_forgotten(&self, entry: &Entry, now: Instant) -> bool {
        let is_long = now.saturating_duration_since(entry.since) >= self.forget_after;
        match entry.standing {
            Standing::Left => true,
            Standing::Heard | Standing::Down => {
                is_long && (!entry.votes() || !self.votes() || self.reaches_majority())
            }
            Standing::Up | Standing::Suspect | Standing::Unreachable => false,
        }
    }

    pub(super) fn remove(&mut self, name: &NodeName) {
        self.set_due(name, None);
        if let Some(mut entry) = self.entries.remove(name) {
            self.given_up.extend(entry.wanted.take().map(|_| name.clone()));
        }
    }

    /// How many nodes vote on names, this one among them: those that are neither hidden nor sparse. One that has left
    /// counts for `remember` still, because votes that it gave do.
    pub(crate) fn voters(&self, now: Instant, remember: Duration) -> usize {
        let others = self.entries.values().filter(|entry| {
            let is_over =
                entry.standing == Standing::Left && now.saturating_duration_since(entry.since) >= remember;
            entry.votes() && !is_over
        });
        others.count() + usize::from(self.votes())
    }

    /// Whether this node is linked with more than half of the voters.
    pub(super) fn reaches_majority(&self) -> bool {
        let others = self.entries.values().filter(|entry| entry.votes() && entry.standing != Standing::Left);
        let (mut voters, mut linked) = (1, 1);
        for other in others {
            voters += 1;
            linked += usize::from(other.link.is_some());
        }
        2 * linked > voters
    }

    /// Whether this node votes on names.
    pub(crate) fn votes(&self) -> bool {
        self.membership.connect_all && !self.membership.hidden
    }

    /// Whether a linked node votes on names.
    pub(crate) fn is_voter(&self, name: &NodeName) -> bool {
        self.entries.get(name).is_some_and(Entry::votes)
    }
}
