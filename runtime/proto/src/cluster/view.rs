//! Who is linked with whom: the cluster as one graph, on which all nodes that hear each other agree.
//!
//! Each node says with whom it is linked, and counts its words; every change goes to all its peers. From these rows every
//! node computes the same thing: the **members** are the nodes that it reaches over links, directly or through others, and
//! a pair of members is **cut** if there should be a link between the two and there is none. A link is one that both ends
//! speak of.
//!
//! Rows come from their owners. Where an owner is not linked with somebody who needs its row, others pass it on: a pulse
//! carries the digest of its sender's view, and whoever goes on to differ with a peer sends it the rows that it cannot have
//! from their owners ([`View::rows_for`]).
//!
//! # What must stay true
//! - The view is a function of the rows alone, so equal rows give equal views.
//! - A row that came from its owner is not replaced by one that was passed on while the owner is linked.
//! - Hidden nodes are in nobody's row; there are at most
//!   [`Limits::members_max`](crate::limits::Limits::members_max) rows, each with as many entries.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::detector::Graph;
use crate::id::{Incarnation, NodeId, NodeName};
use crate::wire::control;

/// The cluster as one node sees it: equal on all nodes that hear each other, once news have travelled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterView {
    /// The nodes that are reached over links, directly or through others, and the node itself. In the order of their
    /// names.
    pub members: Vec<NodeId>,
    /// Pairs of members that should be linked and are not. The smaller name is first.
    pub cuts: Vec<(NodeId, NodeId)>,
}

/// With whom one node says that it is linked.
#[derive(Debug)]
struct Row {
    name: NodeName,
    version: u64,
    sparse: bool,
    linked: BTreeSet<Incarnation>,
}

/// All rows that a node holds, its own among them.
#[derive(Debug)]
pub(crate) struct View {
    me: NodeId,
    hidden: bool,
    rows: BTreeMap<Incarnation, Row>,
    /// The nodes that this one is linked with now, without hidden ones.
    peers: BTreeMap<Incarnation, NodeName>,
    /// What the peers were told of this node's row.
    told: BTreeSet<Incarnation>,
    told_version: u64,
    rows_max: usize,
    /// Digest of the view, until something changes.
    digest: Option<u64>,
    /// Whether a row has changed since the host was told.
    touched: bool,
}

impl View {
    pub(crate) fn new(me: NodeId, sparse: bool, hidden: bool, rows_max: usize) -> Self {
        let own = Row { name: me.name.clone(), version: 1, sparse, linked: BTreeSet::new() };
        Self {
            rows: BTreeMap::from([(me.incarnation, own)]),
            me,
            hidden,
            peers: BTreeMap::new(),
            told: BTreeSet::new(),
            told_version: 1,
            rows_max,
            digest: None,
            touched: false,
        }
    }

    // ------------------------------------------------------------------------------------------------ own row

    /// A peer has introduced itself as one that is not hidden.
    pub(crate) fn link_up(&mut self, peer: &NodeId) {
        if self.peers.insert(peer.incarnation, peer.name.clone()).is_none() {
            self.own_changed(|linked| linked.insert(peer.incarnation));
        }
    }

    pub(crate) fn link_down(&mut self, peer: &NodeId) {
        if self.peers.remove(&peer.incarnation).is_some() {
            self.own_changed(|linked| linked.remove(&peer.incarnation));
        }
    }

    fn own_changed(&mut self, change: impl FnOnce(&mut BTreeSet<Incarnation>) -> bool) {
        let own = self.rows.get_mut(&self.me.incarnation).expect("the own row stays");
        change(&mut own.linked);
        own.version += 1;
        self.touch();
    }

    fn touch(&mut self) {
        self.digest = None;
        self.touched = true;
    }

    /// Whether the view may have changed since this was asked last.
    pub(crate) const fn take_touched(&mut self) -> bool {
        std::mem::replace(&mut self.touched, false)
    }

    /// What has changed in this node's row since peers were told last. A hidden node tells nobody.
    pub(crate) fn take_news(&mut self) -> Option<control::Links> {
        let own = &self.rows[&self.me.incarnation];
        if own.version == self.told_version || self.hidden {
            return None;
        }
        let raw = |nodes: &BTreeSet<Incarnation>, others: &BTreeSet<Incarnation>| -> Vec<u64> {
            nodes.difference(others).map(|node| node.raw()).collect()
        };
        let (linked, lost) = (raw(&own.linked, &self.told), raw(&self.told, &own.linked));
        let news = control::Links { base: self.told_version, linked, lost, ..self.row(self.me.incarnation) };
        self.told.clone_from(&own.linked);
        self.told_version = own.version;
        // A link that came and went meanwhile is no news.
        (!news.linked.is_empty() || !news.lost.is_empty()).then_some(news)
    }

    /// This node's row as its peers know it, for one that is new. News follow.
    pub(crate) fn introduction(&self) -> Option<control::Links> {
        let linked = self.told.iter().map(|node| node.raw()).collect();
        let version = self.told_version;
        let row = control::Links { version, linked, ..self.row(self.me.incarnation) };
        (!self.hidden).then_some(row)
    }

    // ------------------------------------------------------------------------------------------- others' rows

    /// A peer says with whom it is linked, or passes on what another said.
    pub(crate) fn heard(&mut self, from: &NodeId, links: &control::Links) {
        let Ok(name) = NodeName::new(&links.node) else { return };
        let owner = Incarnation::from_raw(links.incarnation);
        let is_own = owner == from.incarnation;
        let passed_on = links.base == 0 && !self.peers.contains_key(&owner);
        let known = self.rows.get(&owner).map(|row| row.version);
        let is_later = links.version > known.unwrap_or(0);
        if owner == self.me.incarnation
            || is_own && name != from.name
            || !(is_own || passed_on && is_later)
            || known.is_none() && self.rows.len() > self.rows_max
            || links.linked.len() > self.rows_max
        {
            return;
        }
        let row = self.rows.entry(owner).or_insert_with(|| Row {
            name,
            version: 0,
            sparse: links.sparse,
            linked: BTreeSet::new(),
        });
        let linked = links.linked.iter().copied().map(Incarnation::from_raw);
        if links.base == 0 {
            row.linked = linked.collect();
        } else {
            // A change that builds on what is not held: the rest is passed on by those who have it.
            for lost in &links.lost {
                row.linked.remove(&Incarnation::from_raw(*lost));
            }
            row.linked.extend(linked);
            while row.linked.len() > self.rows_max {
                row.linked.pop_last();
            }
        }
        row.sparse = links.sparse;
        row.version = links.version;
        self.touch();
    }

    /// This start of a node will not come back.
    pub(crate) fn forget(&mut self, node: &NodeId) {
        if node.incarnation != self.me.incarnation && self.rows.remove(&node.incarnation).is_some() {
            self.touch();
        }
    }

    /// Forgets the rows of nodes that are neither known nor reached, if there are many.
    pub(crate) fn prune(&mut self, is_known: impl Fn(Incarnation) -> bool) {
        if self.rows.len() <= 2 * (1 + self.peers.len()) + 16 {
            return;
        }
        let side = self.side();
        self.rows.retain(|node, _| side.contains(node) || *node == self.me.incarnation || is_known(*node));
    }

    /// Rows for a peer that does not see what this node sees: those that it cannot have from their owners.
    pub(crate) fn rows_for(&self, peer: &NodeId) -> Vec<control::Links> {
        let far = self.rows.iter().filter(|(owner, row)| {
            **owner != peer.incarnation && !row.linked.contains(&peer.incarnation) && row.version > 0
        });
        far.filter(|(owner, _)| **owner != self.me.incarnation).map(|(owner, _)| self.row(*owner)).collect()
    }

    fn row(&self, owner: Incarnation) -> control::Links {
        let row = &self.rows[&owner];
        control::Links {
            node: row.name.to_string(),
            incarnation: owner.raw(),
            version: row.version,
            base: 0,
            sparse: row.sparse,
            linked: row.linked.iter().map(|node| node.raw()).collect(),
            lost: Vec::new(),
        }
    }

    // ------------------------------------------------------------------------------------------------ the graph

    /// Whether a node says that it is linked with another.
    fn says(&self, node: Incarnation, other: Incarnation) -> bool {
        self.rows.get(&node).is_some_and(|row| row.linked.contains(&other))
    }

    /// The nodes that this one reaches over links, and itself unless it is hidden.
    fn side(&self) -> BTreeSet<Incarnation> {
        let start =
            if self.hidden { self.peers.keys().copied().collect() } else { vec![self.me.incarnation] };
        self.reached(start, BTreeSet::new(), &|_, _| false)
    }

    /// The nodes that are reached from these over links, with those that were `seen` before.
    fn reached(
        &self,
        start: Vec<Incarnation>,
        mut seen: BTreeSet<Incarnation>,
        denied: &dyn Fn(Incarnation, Incarnation) -> bool,
    ) -> BTreeSet<Incarnation> {
        let mut next: Vec<Incarnation> = start.into_iter().filter(|node| seen.insert(*node)).collect();
        // Only who has a row can be reached. In a full mesh the first look finds them all: then the links among the others
        // need not be looked at.
        let mut unseen = self.rows.keys().filter(|node| !seen.contains(node)).count();
        while unseen > 0
            && let Some(node) = next.pop()
        {
            let Some(row) = self.rows.get(&node) else { continue };
            for other in row.linked.iter().copied() {
                if !seen.contains(&other) && self.says(other, node) && !denied(node, other) {
                    seen.insert(other);
                    next.push(other);
                    unseen -= 1;
                }
            }
        }
        seen
    }

    /// Who, of those that this node reaches, says that it is linked with this start of a node. In the order of their
    /// incarnations.
    pub(crate) fn seen_by(&self, node: Incarnation) -> Vec<NodeName> {
        let side = self.side();
        let seers = side
            .into_iter()
            .filter(|other| *other != self.me.incarnation && *other != node && self.says(*other, node));
        seers.filter_map(|other| Some(self.rows.get(&other)?.name.clone())).collect()
    }

    /// The cluster as this node sees it.
    pub(crate) fn compute(&self) -> ClusterView {
        let side = self.side();
        let id = |node: Incarnation| NodeId { name: self.rows[&node].name.clone(), incarnation: node };
        let mut members: Vec<NodeId> =
            side.iter().filter(|node| self.rows.contains_key(node)).map(|node| id(*node)).collect();
        members.sort();
        let cuts: BTreeSet<(NodeId, NodeId)> = self
            .cut_pairs(&side)
            .into_iter()
            .map(|(one, other)| {
                let (one, other) = (id(one), id(other));
                if one.name <= other.name { (one, other) } else { (other, one) }
            })
            .collect();
        ClusterView { members, cuts: cuts.into_iter().collect() }
    }

    /// Pairs of a side that should be linked and are not, the lower incarnation first.
    fn cut_pairs(&self, side: &BTreeSet<Incarnation>) -> BTreeSet<(Incarnation, Incarnation)> {
        let full: BTreeSet<Incarnation> =
            side.iter().copied().filter(|node| self.rows.get(node).is_some_and(|row| !row.sparse)).collect();
        let mut cuts = BTreeSet::new();
        for node in &full {
            for other in full.difference(&self.rows[node].linked).filter(|other| *other != node) {
                cuts.insert((*node.min(other), *node.max(other)));
            }
        }
        cuts
    }

    /// Equal for equal views. Never 0.
    pub(crate) fn digest(&mut self) -> u64 {
        if let Some(digest) = self.digest {
            return digest;
        }
        let side = self.side();
        let mut digest = 1u64;
        for node in side.iter().filter(|node| self.rows.contains_key(node)) {
            digest = mix(digest ^ node.raw());
        }
        for (one, other) in self.cut_pairs(&side) {
            digest = mix(mix(digest ^ one.raw()) ^ other.raw());
        }
        let digest = digest.max(1);
        self.digest = Some(digest);
        digest
    }
}

impl Graph for View {
    fn is_linked_with(&self, peer: &NodeId, node: &NodeId) -> bool {
        self.says(peer.incarnation, node.incarnation)
    }

    fn reached_through(
        &self,
        peers: &[NodeId],
        denied: &dyn Fn(Incarnation, Incarnation) -> bool,
    ) -> BTreeSet<Incarnation> {
        // What this node itself says of a suspect proves nothing.
        let me = BTreeSet::from([self.me.incarnation]);
        self.reached(peers.iter().map(|peer| peer.incarnation).collect(), me, denied)
    }
}

/// The finaliser of splitmix64.
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
