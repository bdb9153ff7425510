//! Who belongs to the cluster, as this node knows it, and whom it dials.
//!
//! Each node says of itself where it can be dialled; others pass that on. When a link comes up, each end tells the other
//! of everybody it knows, and a newcomer is told to all peers, once. So whoever joins through one node soon knows all,
//! and dials those that have not dialled it. A node that was linked and is lost is dialled again until it is linked, has
//! left, or is forgotten.
//!
//! # What must stay true
//! - Hearsay never says that a node is up, and changes nothing about a node that is, but where it is looked for once its link
//!   is lost: it only gives reasons to dial. Up is
//!   who is linked, after a handshake of its own.
//! - An incarnation that has left, or that a later one has replaced, is never dialled for again.
//! - What belongs to a link carries its generation: an old link's end takes nobody down.
//! - There are at most [`Limits::members_max`](crate::limits::Limits::members_max) members, or as many as are linked, and
//!   [`DIALS_MAX`](dials::DIALS_MAX) dials.
//! - How long ago anybody was linked with a node goes with the word of it: hearsay alone keeps nobody known.
//! - Time alone never makes a minority a majority: a lost node that votes is forgotten only while most voters are linked,
//!   or when it is told to be.

mod dials;
mod entry;
mod forgetting;
mod hearsay;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use entry::{Entry, dialable};
pub(crate) use hearsay::in_messages;

use crate::cluster::evidence::Evidence;
use crate::cluster::redial::Redial;
use crate::id::{Incarnation, NodeId, NodeName};

/// Where another has found a node that is linked here is of use for so long: a dead link is given up well before.
const SIGHTED_FOR: Duration = Duration::from_secs(10);
/// A link that lived for less does not count as success: dials after it go on where they were.
const STEADY_AFTER: Duration = Duration::from_secs(10);
/// Between the end of a link whose path had lost many packets and the next dial, by how many such links there were in a row: the
/// pair would go on to link and part every few seconds, and all others to hear of it.
const LOSSY_PAUSES: [Duration; 3] =
    [Duration::from_secs(5), Duration::from_secs(10), Duration::from_secs(20)];
/// A link that lived for so long has a path that may be tried at once.
const LOSSY_UNTIL: Duration = Duration::from_secs(120);

/// How a node takes part in its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Where others can dial this node, the best first. Empty: they only have the address that they see.
    pub addrs: Vec<SocketAddr>,
    /// Whether to link with every member that this node hears of. Default true.
    pub connect_all: bool,
    /// Whether the node keeps to itself: it is not told to others, nor does it tell them of others, and it links only
    /// with whom it dials and who dials it. Default false.
    pub hidden: bool,
}

/// The addresses that a node's socket can send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Families {
    /// Those of IPv4.
    pub v4: bool,
    /// Those of IPv6.
    pub v6: bool,
}

impl Families {
    /// Those of a socket that is bound to `addr`; a wildcard of IPv6 takes both.
    #[must_use]
    pub fn of(addr: SocketAddr) -> Self {
        Self { v4: addr.is_ipv4() || addr.ip().is_unspecified(), v6: addr.is_ipv6() }
    }

    fn has(self, addr: &SocketAddr) -> bool {
        if addr.is_ipv4() { self.v4 } else { self.v6 }
    }
}

impl Default for Membership {
    fn default() -> Self {
        Self { addrs: Vec::new(), connect_all: true, hidden: false }
    }
}

/// How this node stands with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Others know it; it was not linked so far.
    Heard,
    /// It is linked.
    Up,
    /// It is linked, and has been silent for long.
    Suspect,
    /// Its link is dead. Others may have one.
    Unreachable,
    /// It was linked and is lost to all members of this side.
    Down,
    /// It has said goodbye.
    Left,
}

/// How a node's link ended, as far as the node is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// With its goodbye.
    Left,
    /// Alone: the node may live. Until then it is not lost, though nobody sees it.
    Unreachable(Instant),
    /// With the node.
    Down,
}

/// One other node, for people and for conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberInfo {
    /// The node, with the latest start of it that is known.
    pub id: NodeId,
    /// How this node stands with it.
    pub standing: Standing,
    /// Where it says that it can be dialled.
    pub addrs: Vec<SocketAddr>,
    /// Whether it keeps to itself.
    pub hidden: bool,
}

/// All other nodes that this one knows.
#[derive(Debug)]
pub(crate) struct Members {
    me: NodeId,
    membership: Membership,
    families: Families,
    members_max: usize,
    forget_after: Duration,
    entries: BTreeMap<NodeName, Entry>,
    due: BTreeSet<(Instant, NodeName)>,
    dialing: BTreeSet<NodeName>,
    /// Members to tell the peers of, with who told this node.
    news: BTreeMap<NodeName, NodeName>,
    tell_at: Option<Instant>,
    /// Members that somebody wanted a link with, in vain.
    given_up: Vec<NodeName>,
    /// Whether there may be members that nobody dials unasked.
    is_sparse: bool,
    random: fastrand::Rng,
}

impl Members {
    pub(crate) fn new(
        me: NodeId,
        membership: Membership,
        families: Families,
        members_max: usize,
        forget_after: Duration,
    ) -> Self {
        let seed = me.seed();
        let is_sparse = !membership.connect_all || membership.hidden;
        Self {
            me,
            membership,
            families,
            members_max,
            forget_after,
            entries: BTreeMap::new(),
            due: BTreeSet::new(),
            dialing: BTreeSet::new(),
            news: BTreeMap::new(),
            tell_at: None,
            given_up: Vec::new(),
            is_sparse,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> impl Iterator<Item = MemberInfo> {
        self.entries.values().map(|entry| MemberInfo {
            id: entry.id.clone(),
            standing: entry.standing,
            addrs: entry.addrs.clone(),
            hidden: entry.hidden,
        })
    }

    /// Whether this node's socket can send there.
    pub(crate) fn reaches(&self, addr: &SocketAddr) -> bool {
        self.families.has(addr)
    }

    // ------------------------------------------------------------------------------------------- links come and go

    /// A link to a node is live.
    pub(crate) fn link_up(&mut self, id: &NodeId, generation: u64, addr: SocketAddr, now: Instant) {
        let entry = self.entries.entry(id.name.clone());
        let entry = entry.or_insert_with(|| Entry::new(id.clone(), Standing::Up, now));
        if entry.id != *id {
            let rumoured = entry.rumour.take().filter(|(incarnation, _)| *incarnation == id.incarnation);
            entry.id = id.clone();
            entry.version = 0;
            entry.addrs = rumoured.map(|(_, addrs)| addrs).unwrap_or_default();
        }
        entry.standing = Standing::Up;
        entry.since = now;
        entry.link = Some(generation);
        let before = std::mem::replace(&mut entry.observed, Some(addr).filter(dialable));
        (entry.rumour, entry.sighted) = (None, None);
        (entry.wanted, entry.rests, entry.held_back) = (None, None, None);
        let has_moved = before.is_some() && before != entry.observed;
        self.set_due(&id.name, None);
        if has_moved {
            // Others that have lost it may not find it where it says that it is.
            self.tell(&id.name, &id.name, now);
        }
    }

    /// The link to a node has ended; `lossy` if its path had lost a third of the packets or more.
    pub(crate) fn link_down(&mut self, id: &NodeId, generation: u64, loss: Loss, lossy: bool, now: Instant) {
        let Some(entry) = self.entries.get_mut(&id.name).filter(|entry| entry.link == Some(generation))
        else {
            return;
        };
        let lived = now.saturating_duration_since(entry.since);
        let steady = lived >= STEADY_AFTER;
        if lived >= LOSSY_UNTIL {
            entry.lossy = 0;
        }
        entry.link = None;
        entry.since = now;
        entry.sighted = entry.sighted.filter(|(_, at)| now.saturating_duration_since(*at) <= SIGHTED_FOR);
        match loss {
            Loss::Left => {
                entry.standing = Standing::Left;
                let due = now + self.forget_after;
                self.set_due(&id.name, Some(due));
                return self.tell(&id.name, &id.name.clone(), now);
            }
            Loss::Unreachable(grace) => {
                entry.standing = Standing::Unreachable;
                entry.grace = grace;
            }
            Loss::Down => entry.standing = Standing::Down,
        }
        entry.lossy += usize::from(lossy);
        // Also when the other end has closed it, before this one knew why.
        if entry.lossy > 0 {
            let pause = LOSSY_PAUSES[entry.lossy.min(LOSSY_PAUSES.len()) - 1];
            // The two ends do not come back at the same moment.
            let due = now + pause.mul_f64(0.8 + 0.4 * self.random.f64());
            (entry.redial, entry.held_back) = (Redial::new(due), Some(due));
            return self.set_due(&id.name, Some(due));
        }
        if steady || entry.redial.attempts() == 0 {
            self.dial_soon(&id.name, now);
        } else {
            let due = entry.redial.next(now, false, &mut self.random);
            self.set_due(&id.name, Some(due));
        }
    }

    /// A linked node is suspected, or trusted again.
    pub(crate) fn suspected(&mut self, id: &NodeId, is_suspect: bool) {
        if let Some(entry) =
            self.entries.get_mut(&id.name).filter(|entry| entry.id == *id && entry.link.is_some())
        {
            entry.standing = if is_suspect { Standing::Suspect } else { Standing::Up };
        }
    }

    /// The nodes that are unreachable, each with the end of its grace.
    pub(crate) fn unreachable(&self) -> impl Iterator<Item = (&NodeId, Instant)> {
        let unreachable = self.entries.values().filter(|entry| entry.standing == Standing::Unreachable);
        unreachable.map(|entry| (&entry.id, entry.grace))
    }

    /// This node stood still: nobody is lost before this.
    pub(crate) fn forgive(&mut self, until: Instant) {
        for entry in self.entries.values_mut() {
            entry.grace = entry.grace.max(until);
        }
    }

    /// An unreachable node is lost.
    pub(crate) fn down(&mut self, name: &NodeName) {
        if let Some(entry) =
            self.entries.get_mut(name).filter(|entry| entry.standing == Standing::Unreachable)
        {
            entry.standing = Standing::Down;
        }
    }

    pub(crate) fn set_evidence(&mut self, name: &NodeName, evidence: Box<Evidence>) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.evidence = Some(evidence);
        }
    }

    /// What spoke for a node's loss, or its link's, the last time.
    pub(crate) fn evidence(&self, name: &str) -> Option<&Evidence> {
        self.entries.get(name)?.evidence.as_deref()
    }

    /// How this node stands with another, and with which start of it.
    pub(crate) fn standing(&self, name: &NodeName) -> Option<(&NodeId, Standing)> {
        self.entries.get(name).map(|entry| (&entry.id, entry.standing))
    }

    /// Whether this is the latest start of a node that is known.
    pub(crate) fn knows(&self, incarnation: Incarnation) -> bool {
        self.entries.values().any(|entry| entry.id.incarnation == incarnation)
    }
}
