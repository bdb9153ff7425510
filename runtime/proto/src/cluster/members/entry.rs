//! What is kept of one other node, and what is read about it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Standing;
use crate::cluster::evidence::Evidence;
use crate::cluster::redial::Redial;
use crate::id::{Incarnation, NodeId, NodeName};
use crate::wire::address;
use crate::wire::control;

/// Addresses that are kept of one node.
pub(super) const ADDRS_MAX: usize = 8;

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: NodeId,
    /// Of what it says of itself; 0 until it, or somebody, said it.
    pub(super) version: u64,
    pub(super) addrs: Vec<SocketAddr>,
    pub(super) hidden: bool,
    pub(super) sparse: bool,
    /// Where it was when it was last linked.
    pub(super) observed: Option<SocketAddr>,
    /// Where another member said last that it is linked with it.
    pub(super) sighted: Option<(SocketAddr, Instant)>,
    pub(super) standing: Standing,
    pub(super) since: Instant,
    /// The generation of its link, while it is up.
    pub(super) link: Option<u64>,
    /// While it is unreachable: until when that is not taken for its loss, though nobody sees it.
    pub(super) grace: Instant,
    /// What spoke for its loss, or its link's, the last time.
    pub(super) evidence: Option<Box<Evidence>>,
    /// A later start that others speak of while this one is linked, and where it is.
    pub(super) rumour: Option<(Incarnation, Vec<SocketAddr>)>,
    pub(super) redial: Redial,
    /// Links in a row that ended because their path lost a third of the packets or more.
    pub(super) lossy: usize,
    /// After such a link: until when it is not dialled.
    pub(super) held_back: Option<Instant>,
    /// Somebody here waits for a link with it: until when it is dialled for that.
    pub(super) wanted: Option<Instant>,
    /// It was wanted in vain: until when it is not dialled for that again.
    pub(super) rests: Option<Instant>,
    /// When to dial it, or to forget it.
    pub(super) due: Option<Instant>,
}

impl Entry {
    pub(super) fn new(id: NodeId, standing: Standing, now: Instant) -> Self {
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
    pub(super) fn everywhere(&self) -> Vec<SocketAddr> {
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
    pub(super) fn votes(&self) -> bool {
        !self.hidden && !self.sparse
    }

    pub(super) fn takes(&mut self, row: &Row, now: Instant) {
        self.version = row.version;
        self.addrs.clone_from(&row.addrs);
        self.hidden = row.hidden;
        self.sparse = row.sparse;
        self.sights(row, now);
    }

    pub(super) fn sights(&mut self, row: &Row, now: Instant) {
        self.sighted = row.seen.map(|addr| (addr, now)).or(self.sighted);
    }
}

/// What a node says of itself, as it was read.
pub(super) struct Row {
    pub(super) id: NodeId,
    pub(super) version: u64,
    pub(super) addrs: Vec<SocketAddr>,
    pub(super) hidden: bool,
    pub(super) sparse: bool,
    pub(super) left: bool,
    pub(super) seen: Option<SocketAddr>,
    pub(super) unlinked: Duration,
}

impl Row {
    /// When somebody was linked with it last, as far as whoever speaks of it knows.
    pub(super) fn since(&self, now: Instant) -> Instant {
        now.checked_sub(self.unlinked).unwrap_or(now)
    }

    /// `None` if its name is none: a later version may allow it, and this one cannot dial it.
    pub(super) fn read(member: &control::Member) -> Option<Self> {
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
pub(super) fn dialable(addr: &SocketAddr) -> bool {
    addr.port() != 0 && !addr.ip().is_unspecified() && !addr.ip().is_multicast()
}
