//! Whom this node dials, and when.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::entry::Entry;
use super::{Members, Membership, Standing};
use crate::cluster::redial::Redial;
use crate::id::{NodeId, NodeName};

/// Dials of this node's own that are under way at the same time.
pub(super) const DIALS_MAX: usize = 64;
/// How long a node that somebody wants a link with is dialled, one dial after the other.
pub(super) const WANTED_FOR: Duration = Duration::from_secs(2);
/// Until a node is looked at again that can be dialled nowhere, and is not to be forgotten yet.
const NOWHERE_PAUSE: Duration = Duration::from_secs(60);

impl Members {
    /// The next node to dial, and where; the dial ends with [`dial_ended`](Self::dial_ended).
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<(NodeName, SocketAddr)> {
        while self.dialing.len() < DIALS_MAX {
            let (due, name) = self.due.first()?.clone();
            if due > now {
                return None;
            }
            self.set_due(&name, None);
            if self.is_forgotten(&self.entries[&name], now) {
                self.remove(&name);
                continue;
            }
            let entry = self.entries.get_mut(&name).expect("what is due is known");
            let mut everywhere = entry.everywhere();
            everywhere.retain(|addr| self.families.has(addr));
            if everywhere.is_empty() {
                self.given_up.extend(entry.wanted.take().map(|_| name.clone()));
                // There may be more to hear of it until it is forgotten.
                let due = (entry.since + self.forget_after).max(now + NOWHERE_PAUSE);
                self.set_due(&name, Some(due));
                continue;
            }
            let addr = everywhere[entry.redial.attempts() as usize % everywhere.len()];
            entry.redial.dialed();
            self.dialing.insert(name.clone());
            return Some((name, addr));
        }
        None
    }

    /// Whether there may be members that are dialled when somebody wants that, and not before.
    pub(crate) fn is_sparse(&self) -> bool {
        self.is_sparse
    }

    /// Somebody here wants a link with a node that has been heard of and is none that this node links with unasked: it is
    /// dialled. Whether that is under way; a node that did not answer a moment ago, or was linked and is lost, is not dialled
    /// for that.
    pub(crate) fn want(&mut self, which: impl Fn(&NodeId) -> bool, now: Instant) -> bool {
        let Some(entry) = self.entries.values_mut().find(|entry| which(&entry.id)) else { return false };
        if entry.standing != Standing::Heard
            || links_unasked(&self.membership, entry)
            || entry.rests.is_some_and(|until| until > now)
            || !entry.everywhere().iter().any(|addr| self.families.has(addr))
        {
            return false;
        }
        if entry.wanted.is_none() {
            entry.wanted = Some(now + WANTED_FOR);
            entry.redial = Redial::new(now);
            let name = entry.id.name.clone();
            if !self.dialing.contains(&name) {
                self.set_due(&name, Some(now));
            }
        }
        true
    }

    /// The members that somebody wanted a link with since the last call, and waits in vain.
    pub(crate) fn take_given_up(&mut self) -> Vec<NodeName> {
        std::mem::take(&mut self.given_up)
    }

    /// A dial for a node ended, with a link or without; `refused` if the answer was no.
    pub(crate) fn dial_ended(&mut self, name: &NodeName, refused: bool, now: Instant) {
        self.dialing.remove(name);
        let Some(entry) = self.entries.get_mut(name) else { return };
        match entry.standing {
            // Whatever was rumoured, nobody is there.
            Standing::Up | Standing::Suspect => entry.rumour = None,
            Standing::Left => {}
            Standing::Heard | Standing::Unreachable | Standing::Down => {
                let due = entry.redial.next(now, refused, &mut self.random);
                if entry.wanted.take_if(|until| refused || *until <= now).is_some() {
                    entry.rests = Some(due);
                    self.given_up.push(name.clone());
                }
                let goes_on = entry.standing != Standing::Heard
                    || entry.wanted.is_some()
                    || links_unasked(&self.membership, entry);
                let due = if goes_on { due } else { entry.since + self.forget_after };
                self.set_due(name, Some(due));
            }
        }
    }

    /// When [`take_due`](Self::take_due) or [`take_news`](Self::take_news) has something.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let dial = self.due.first().map(|(due, _)| *due).filter(|_| self.dialing.len() < DIALS_MAX);
        dial.into_iter().chain(self.tell_at).min()
    }

    /// A first dial to a node that is heard of, was lost, or was started again.
    pub(super) fn dial_soon(&mut self, name: &NodeName, now: Instant) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        let wanted = match entry.standing {
            Standing::Heard => entry.wanted.is_some() || links_unasked(&self.membership, entry),
            Standing::Up | Standing::Suspect | Standing::Unreachable | Standing::Down => true,
            Standing::Left => false,
        };
        if self.dialing.contains(name) {
            return;
        }
        entry.redial = Redial::new(now);
        // Who is not to be dialled is forgotten in time.
        let due = if wanted {
            let first = entry.redial.first(self.me.name > *name, &mut self.random);
            entry.held_back.map_or(first, |until| first.max(until))
        } else {
            entry.since + self.forget_after
        };
        self.set_due(name, Some(due));
    }

    pub(super) fn set_due(&mut self, name: &NodeName, due: Option<Instant>) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        if let Some(before) = std::mem::replace(&mut entry.due, due) {
            self.due.remove(&(before, name.clone()));
        }
        if let Some(due) = due {
            self.due.insert((due, name.clone()));
        }
    }
}

/// Whether a node links with another that it has heard of, for the mesh alone.
fn links_unasked(me: &Membership, other: &Entry) -> bool {
    me.connect_all && !me.hidden && !other.sparse && !other.hidden
}
