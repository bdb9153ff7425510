//! What nodes say of themselves and of each other.

use std::time::{Duration, Instant};

use super::entry::{Entry, Row};
use super::{Members, Standing};
use crate::id::{NodeId, NodeName};
use crate::wire::address;
use crate::wire::control;

/// News wait this long for others, to leave in one message.
pub(super) const TELL_DELAY: Duration = Duration::from_millis(10);
/// Members in one control message: with the longest names and all addresses it stays below the bound of a frame.
const MEMBERS_PER_MESSAGE: usize = 200;

/// What a peer's word of members comes to beyond dials.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Hearsay {
    /// The peer has introduced itself as one that is not hidden.
    pub(crate) is_open: bool,
    /// Nodes that were unreachable, and have said goodbye to others.
    pub(crate) left: Vec<NodeId>,
}

impl Members {
    /// A peer says who belongs to the cluster.
    pub(crate) fn heard(&mut self, from: &NodeId, message: &control::Members, now: Instant) -> Hearsay {
        let mut hearsay = Hearsay::default();
        for row in message.members.iter().filter_map(Row::read) {
            if row.id.name == self.me.name {
                continue;
            }
            if row.id == *from {
                hearsay.is_open = !row.hidden;
                self.introduced(&row, now);
            } else if !row.hidden {
                self.is_sparse |= row.sparse;
                if self.rumoured(from, &row, now) {
                    hearsay.left.push(row.id);
                }
            }
        }
        hearsay
    }

    /// A peer speaks of itself.
    fn introduced(&mut self, row: &Row, now: Instant) {
        let name = &row.id.name;
        let Some(entry) = self.entries.get_mut(name).filter(|entry| entry.link.is_some()) else { return };
        if entry.id == row.id && row.version > entry.version {
            entry.takes(row, now);
            self.tell(name, name, now);
        }
    }

    /// A peer speaks of somebody else; whether that one was unreachable and has left.
    fn rumoured(&mut self, from: &NodeId, row: &Row, now: Instant) -> bool {
        let name = &row.id.name;
        let Some(entry) = self.entries.get_mut(name) else {
            let is_recent = row.unlinked < self.forget_after;
            if !row.left && is_recent && self.entries.len() < self.members_max {
                let mut entry = Entry::new(row.id.clone(), Standing::Heard, now);
                entry.since = row.since(now);
                entry.takes(row, now);
                self.entries.insert(name.clone(), entry);
                self.dial_soon(name, now);
                self.tell(name, &from.name, now);
            }
            return false;
        };
        if row.id.incarnation < entry.id.incarnation {
            return false;
        }
        let later = row.id.incarnation > entry.id.incarnation;
        let was_unreachable = entry.standing == Standing::Unreachable;
        if entry.link.is_some() || was_unreachable && later {
            // It speaks for itself. Only that it was started again is worth a look.
            if later && !row.left {
                entry.rumour = Some((row.id.incarnation, row.addrs.clone()));
                self.dial_soon(name, now);
            } else if !later {
                // Where it will be looked for if this link turns out to be dead: who has found it there says so only once.
                entry.sights(row, now);
            }
            return false;
        }
        if !later && (entry.standing == Standing::Left || row.version < entry.version) {
            return false;
        }
        let news = later || row.left || row.version > entry.version;
        if later || row.left {
            // Whoever waits for a link with it waits for one that is over.
            self.given_up.extend(entry.wanted.take().map(|_| name.clone()));
            (entry.rests, entry.sighted) = (None, None);
        }
        entry.id = row.id.clone();
        entry.takes(row, now);
        if row.left {
            entry.standing = Standing::Left;
            entry.since = now;
            let due = now + self.forget_after;
            self.set_due(name, Some(due));
        } else if later {
            entry.standing = Standing::Heard;
            entry.since = row.since(now);
            entry.held_back = None;
            self.dial_soon(name, now);
        } else if entry.due.is_some_and(|due| due > now + Duration::from_secs(1)) {
            // Somebody has it again: worth an early look.
            self.dial_soon(name, now);
        }
        if news {
            self.tell(name, &from.name, now);
        }
        was_unreachable && row.left
    }

    /// What to tell a peer when its link comes up: this node, and whom else it knows.
    pub(crate) fn introduction(&self, to: &NodeName, now: Instant) -> Vec<control::Members> {
        let me = control::Member {
            node: self.me.name.to_string(),
            incarnation: self.me.incarnation.raw(),
            version: 1,
            addrs: self.membership.addrs.iter().map(address::bytes).collect(),
            hidden: self.membership.hidden,
            sparse: !self.membership.connect_all,
            left: false,
            seen: Vec::new(),
            unlinked_s: 0,
        };
        let known = self.entries.values().filter(|entry| {
            let is_lost = matches!(entry.standing, Standing::Down | Standing::Left);
            !is_lost && entry.version > 0 && !entry.hidden && !self.membership.hidden && entry.id.name != *to
        });
        in_messages(std::iter::once(me).chain(known.map(|entry| to_wire(entry, now))).collect())
    }

    /// The news that are due: each member, and who need not be told of it.
    pub(crate) fn take_news(&mut self, now: Instant) -> Vec<(NodeName, control::Member)> {
        if self.tell_at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        self.tell_at = None;
        let news = std::mem::take(&mut self.news);
        news.into_iter()
            .filter_map(|(name, from)| Some((from, to_wire(self.entries.get(&name)?, now))))
            .collect()
    }

    pub(super) fn tell(&mut self, name: &NodeName, from: &NodeName, now: Instant) {
        let hidden = self.entries.get(name).is_none_or(|entry| entry.hidden || entry.version == 0);
        if hidden || self.membership.hidden {
            return;
        }
        self.news.insert(name.clone(), from.clone());
        self.tell_at.get_or_insert(now + TELL_DELAY);
    }
}

/// Members in messages that fit into frames.
pub(crate) fn in_messages(members: Vec<control::Member>) -> Vec<control::Members> {
    let chunks = members.chunks(MEMBERS_PER_MESSAGE);
    chunks.map(|members| control::Members { members: members.to_vec() }).collect()
}

/// What others are told of a member: where it says that it is, and where this node has it.
fn to_wire(entry: &Entry, now: Instant) -> control::Member {
    let observed = entry.observed.filter(|addr| entry.link.is_some() && !entry.addrs.contains(addr));
    control::Member {
        node: entry.id.name.to_string(),
        incarnation: entry.id.incarnation.raw(),
        version: entry.version,
        addrs: entry.addrs.iter().map(address::bytes).collect(),
        hidden: entry.hidden,
        sparse: entry.sparse,
        left: entry.standing == Standing::Left,
        seen: observed.as_ref().map(address::bytes).unwrap_or_default(),
        unlinked_s: match entry.link {
            Some(_) => 0,
            None => now.saturating_duration_since(entry.since).as_secs(),
        },
    }
}
