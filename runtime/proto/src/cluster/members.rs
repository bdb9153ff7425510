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
//!   [`DIALS_MAX`] dials.
//! - How long ago anybody was linked with a node goes with the word of it: hearsay alone keeps nobody known.
//! - Time alone never makes a minority a majority: a lost node that votes is forgotten only while most voters are linked,
//!   or when it is told to be.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::cluster::evidence::Evidence;
use crate::cluster::redial::Redial;
use crate::id::{Incarnation, NodeId, NodeName};
use crate::wire::address;
use crate::wire::control;

/// Dials of this node's own that are under way at the same time.
const DIALS_MAX: usize = 64;
/// Addresses that are kept of one node.
const ADDRS_MAX: usize = 8;
/// How long a node that somebody wants a link with is dialled, one dial after the other.
const WANTED_FOR: Duration = Duration::from_secs(2);
/// Where another has found a node that is linked here is of use for so long: a dead link is given up well before.
const SIGHTED_FOR: Duration = Duration::from_secs(10);
/// News wait this long for others, to leave in one message.
const TELL_DELAY: Duration = Duration::from_millis(10);
/// A link that lived for less does not count as success: dials after it go on where they were.
const STEADY_AFTER: Duration = Duration::from_secs(10);
/// Between the end of a link whose path had lost many packets and the next dial, by how many such links there were in a row: the
/// pair would go on to link and part every few seconds, and all others to hear of it.
const LOSSY_PAUSES: [Duration; 3] =
    [Duration::from_secs(5), Duration::from_secs(10), Duration::from_secs(20)];
/// A link that lived for so long has a path that may be tried at once.
const LOSSY_UNTIL: Duration = Duration::from_secs(120);
/// Until a node is looked at again that can be dialled nowhere, and is not to be forgotten yet.
const NOWHERE_PAUSE: Duration = Duration::from_secs(60);
/// Members in one control message: with the longest names and all addresses it stays below the bound of a frame.
const MEMBERS_PER_MESSAGE: usize = 200;

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

/// What a peer's word of members comes to beyond dials.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Hearsay {
    /// The peer has introduced itself as one that is not hidden.
    pub(crate) is_open: bool,
    /// Nodes that were unreachable, and have said goodbye to others.
    pub(crate) left: Vec<NodeId>,
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

#[derive(Debug)]
struct Entry {
    id: NodeId,
    /// Of what it says of itself; 0 until it, or somebody, said it.
    version: u64,
    addrs: Vec<SocketAddr>,
    hidden: bool,
    sparse: bool,
    /// Where it was when it was last linked.
    observed: Option<SocketAddr>,
    /// Where another member said last that it is linked with it.
    sighted: Option<(SocketAddr, Instant)>,
    standing: Standing,
    since: Instant,
    /// The generation of its link, while it is up.
    link: Option<u64>,
    /// While it is unreachable: until when that is not taken for its loss, though nobody sees it.
    grace: Instant,
    /// What spoke for its loss, or its link's, the last time.
    evidence: Option<Box<Evidence>>,
    /// A later start that others speak of while this one is linked, and where it is.
    rumour: Option<(Incarnation, Vec<SocketAddr>)>,
    redial: Redial,
    /// Links in a row that ended because their path lost a third of the packets or more.
    lossy: usize,
    /// After such a link: until when it is not dialled.
    held_back: Option<Instant>,
    /// Somebody here waits for a link with it: until when it is dialled for that.
    wanted: Option<Instant>,
    /// It was wanted in vain: until when it is not dialled for that again.
    rests: Option<Instant>,
    /// When to dial it, or to forget it.
    due: Option<Instant>,
}

impl Entry {
    fn new(id: NodeId, standing: Standing, now: Instant) -> Self {
        Self {
            id,
            version: 0,
            addrs: Vec::new(),
            hidden: false,
            sparse: false,
            observed: None,
            sighted: None,
            standing,
            since: now,
            link: None,
            grace: now,
            evidence: None,
            rumour: None,
            redial: Redial::new(now),
            lossy: 0,
            held_back: None,
            wanted: None,
            rests: None,
            due: None,
        }
    }

    /// Everywhere that it may be, the likeliest first.
    fn everywhere(&self) -> Vec<SocketAddr> {
        let rumoured = self.rumour.iter().flat_map(|(_, addrs)| addrs);
        let mut all: Vec<SocketAddr> = Vec::new();
        let sighted = self.sighted.iter().map(|(addr, _)| addr);
        for addr in rumoured.chain(sighted).chain(&self.addrs).chain(&self.observed) {
            if !all.contains(addr) {
                all.push(*addr);
            }
        }
        all
    }

    /// Whether it votes on names.
    fn votes(&self) -> bool {
        !self.hidden && !self.sparse
    }

    fn takes(&mut self, row: &Row, now: Instant) {
        self.version = row.version;
        self.addrs.clone_from(&row.addrs);
        self.hidden = row.hidden;
        self.sparse = row.sparse;
        self.sights(row, now);
    }

    fn sights(&mut self, row: &Row, now: Instant) {
        self.sighted = row.seen.map(|addr| (addr, now)).or(self.sighted);
    }
}

/// What a node says of itself, as it was read.
struct Row {
    id: NodeId,
    version: u64,
    addrs: Vec<SocketAddr>,
    hidden: bool,
    sparse: bool,
    left: bool,
    seen: Option<SocketAddr>,
    unlinked: Duration,
}

impl Row {
    /// When somebody was linked with it last, as far as whoever speaks of it knows.
    fn since(&self, now: Instant) -> Instant {
        now.checked_sub(self.unlinked).unwrap_or(now)
    }

    /// `None` if its name is none: a later version may allow it, and this one cannot dial it.
    fn read(member: &control::Member) -> Option<Self> {
        let name = NodeName::new(&member.node).ok()?;
        let addrs = member.addrs.iter().filter_map(|bytes| address::read(bytes)).filter(dialable);
        Some(Self {
            id: NodeId { name, incarnation: Incarnation::from_raw(member.incarnation) },
            version: member.version,
            addrs: addrs.take(ADDRS_MAX).collect(),
            hidden: member.hidden,
            sparse: member.sparse,
            left: member.left,
            seen: address::read(&member.seen).filter(dialable),
            unlinked: Duration::from_secs(member.unlinked_s),
        })
    }
}

/// Whether a datagram can be sent there, to one node.
fn dialable(addr: &SocketAddr) -> bool {
    addr.port() != 0 && !addr.ip().is_unspecified() && !addr.ip().is_multicast()
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

    fn remove(&mut self, name: &NodeName) {
        self.set_due(name, None);
        if let Some(mut entry) = self.entries.remove(name) {
            self.given_up.extend(entry.wanted.take().map(|_| name.clone()));
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
    fn reaches_majority(&self) -> bool {
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

    /// Whether this is the latest start of a node that is known.
    pub(crate) fn knows(&self, incarnation: Incarnation) -> bool {
        self.entries.values().any(|entry| entry.id.incarnation == incarnation)
    }

    // ---------------------------------------------------------------------------------------------------- hearsay

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

    fn tell(&mut self, name: &NodeName, from: &NodeName, now: Instant) {
        let hidden = self.entries.get(name).is_none_or(|entry| entry.hidden || entry.version == 0);
        if hidden || self.membership.hidden {
            return;
        }
        self.news.insert(name.clone(), from.clone());
        self.tell_at.get_or_insert(now + TELL_DELAY);
    }

    // ------------------------------------------------------------------------------------------------------ dials

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

    /// Whether a node that is not linked has been away for so long that it is known no more.
    fn is_forgotten(&self, entry: &Entry, now: Instant) -> bool {
        let is_long = now.saturating_duration_since(entry.since) >= self.forget_after;
        match entry.standing {
            Standing::Left => true,
            Standing::Heard | Standing::Down => {
                is_long && (!entry.votes() || !self.votes() || self.reaches_majority())
            }
            Standing::Up | Standing::Suspect | Standing::Unreachable => false,
        }
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
    fn dial_soon(&mut self, name: &NodeName, now: Instant) {
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

    fn set_due(&mut self, name: &NodeName, due: Option<Instant>) {
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

#[cfg(test)]
#[path = "members_tests.rs"]
mod tests;
