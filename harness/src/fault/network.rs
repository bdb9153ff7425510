//! What the network is like at one moment, as data: which rules look at which datagrams.
//!
//! The harness makes one of these whenever a fault begins or ends, and every place that carries datagrams is given it:
//! a node's socket, wherever it is, or the virtual network. What a rule does to a datagram is told in
//! [`wire`](super::wire).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::scenario::fault::{LinkShape, NetworkShape, PacketKind, PartitionShape, Path};

/// A node, as its place in the scenario.
pub(crate) type NodeIndex = usize;

/// Which fault a rule belongs to. Never used again within a run.
pub(crate) type Key = u32;

/// The key of what the file's `[network]` asks for: it is no fault.
pub(crate) const OWN: Key = 0;

/// The network at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Network {
    /// Where nodes are, those of the past included: what is under way may still come from there.
    pub(crate) addresses: Vec<(SocketAddr, NodeIndex)>,
    /// What looks at each datagram, in order.
    pub(crate) rules: Vec<Rule>,
}

/// One rule: it looks at a datagram and answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rule {
    /// The fault that it belongs to.
    pub(crate) key: Key,
    /// Which datagrams it looks at.
    pub(crate) pairs: Pairs,
    /// What it does to them.
    pub(crate) effect: Effect,
}

/// Which ordered pairs of nodes a rule is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Pairs {
    /// Senders and receivers; `None` is every node.
    Path { from: Option<BTreeSet<NodeIndex>>, to: Option<BTreeSet<NodeIndex>> },
    /// Every pair in which one of these nodes is.
    Touching(BTreeSet<NodeIndex>),
    /// The pairs that a partition cuts.
    Across { sides: Vec<BTreeSet<NodeIndex>>, shape: Shape },
    /// Every pair but these, which have rules of their own.
    Besides(BTreeSet<(NodeIndex, NodeIndex)>),
}

/// [`PartitionShape`] as data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Shape {
    Symmetric,
    OneWay,
    Bridge,
    Ring,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Effect {
    /// Drops all.
    Cut,
    /// Drops a share.
    Loss(f64),
    /// Drops a share, in bursts of a mean length.
    Burst { share: f64, mean: f64 },
    /// Makes all late.
    Latency(Duration),
    /// Makes each late by a random time up to this.
    Jitter(Duration),
    /// Lets a share be overtaken.
    Reorder(f64),
    /// Sends a share twice.
    Duplicate(f64),
    /// Flips a bit in a share.
    Corrupt(f64),
    /// Lets so many bits pass a second, with a queue in front.
    Bandwidth(u64),
    /// Drops what is larger, in bytes.
    Mtu(u64),
    /// Drops the n-th of a kind.
    Nth { nth: u64, kind: Packet },
}

/// [`PacketKind`] as data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Packet {
    /// With a long header: whatever belongs to a handshake.
    Opening,
    Initial,
    Handshake,
    Retry,
    /// With a short header: whatever comes after a handshake.
    Data,
}

impl From<PacketKind> for Packet {
    fn from(kind: PacketKind) -> Self {
        match kind {
            PacketKind::Opening => Self::Opening,
            PacketKind::Initial => Self::Initial,
            PacketKind::Handshake => Self::Handshake,
            PacketKind::Retry => Self::Retry,
            PacketKind::Data => Self::Data,
        }
    }
}

impl From<PartitionShape> for Shape {
    fn from(shape: PartitionShape) -> Self {
        match shape {
            PartitionShape::Symmetric => Self::Symmetric,
            PartitionShape::OneWay => Self::OneWay,
            PartitionShape::Bridge => Self::Bridge,
            PartitionShape::Ring => Self::Ring,
        }
    }
}

impl Pairs {
    /// The pairs of a path.
    pub(crate) fn path(path: &Path, index: impl Fn(&String) -> NodeIndex) -> Self {
        let nodes = |names: &Option<Vec<String>>| Some(names.as_ref()?.iter().map(&index).collect());
        Self::Path { from: nodes(&path.from), to: nodes(&path.to) }
    }

    /// Whether the rule looks at datagrams from one node to another.
    pub(crate) fn hold(&self, from: NodeIndex, to: NodeIndex) -> bool {
        match self {
            Self::Path { from: senders, to: receivers } => {
                senders.as_ref().is_none_or(|senders| senders.contains(&from))
                    && receivers.as_ref().is_none_or(|receivers| receivers.contains(&to))
            }
            Self::Touching(nodes) => nodes.contains(&from) || nodes.contains(&to),
            Self::Across { sides, shape } => {
                let side = |node| sides.iter().position(|side| side.contains(&node));
                match (side(from), side(to)) {
                    (Some(from), Some(to)) => shape.cuts(from, to, sides.len()),
                    // A node on no side hears everybody, and is heard.
                    _ => false,
                }
            }
            Self::Besides(pairs) => !pairs.contains(&(from, to)),
        }
    }
}

impl Shape {
    /// Whether a partition with so many sides cuts the way from one side to another.
    const fn cuts(self, from: usize, to: usize, sides: usize) -> bool {
        match self {
            Self::Symmetric => from != to,
            Self::OneWay => from == 0 && to != 0,
            Self::Bridge => from != to && from != sides - 1 && to != sides - 1,
            Self::Ring => {
                let apart = from.abs_diff(to);
                apart > 1 && apart != sides - 1
            }
        }
    }
}

/// The rules of a file's `[network]`.
pub(crate) fn own_rules(shape: &NetworkShape, index: impl Fn(&String) -> NodeIndex) -> Vec<Rule> {
    let one = |node| Some(BTreeSet::from([node]));
    let apart: BTreeSet<_> = shape.links.iter().map(|(from, to, _)| (index(from), index(to))).collect();
    let mut rules = Vec::new();
    for effect in effects(&shape.default) {
        rules.push(Rule { key: OWN, pairs: Pairs::Besides(apart.clone()), effect });
    }
    for (from, to, link) in &shape.links {
        for effect in effects(&link.over(&shape.default)) {
            let pairs = Pairs::Path { from: one(index(from)), to: one(index(to)) };
            rules.push(Rule { key: OWN, pairs, effect });
        }
    }
    rules
}

/// What one direction is like, as rules, in the order in which a datagram meets them.
fn effects(link: &LinkShape) -> Vec<Effect> {
    let some = |share: Option<f64>| share.filter(|share| *share > 0.0);
    let time = |time: Option<Duration>| time.filter(|time| !time.is_zero());
    let all = [
        link.mtu.map(Effect::Mtu),
        some(link.loss).map(Effect::Loss),
        some(link.duplicate).map(Effect::Duplicate),
        link.bandwidth.map(Effect::Bandwidth),
        time(link.latency).map(Effect::Latency),
        time(link.jitter).map(Effect::Jitter),
        some(link.reorder).map(Effect::Reorder),
    ];
    all.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn across(shape: Shape, sides: usize) -> Vec<(usize, usize)> {
        let pairs = Pairs::Across { sides: (0..sides).map(|side| BTreeSet::from([side])).collect(), shape };
        let all = (0..=sides).flat_map(|from| (0..=sides).map(move |to| (from, to)));
        all.filter(|(from, to)| pairs.hold(*from, *to)).collect()
    }

    #[test]
    fn each_shape_of_a_partition_cuts_what_its_name_says() {
        assert_eq!(across(Shape::Symmetric, 2), [(0, 1), (1, 0)]);
        assert_eq!(across(Shape::OneWay, 3), [(0, 1), (0, 2)]);
        assert_eq!(across(Shape::Bridge, 3), [(0, 1), (1, 0)], "the last side hears all");
        assert_eq!(across(Shape::Ring, 4), [(0, 2), (1, 3), (2, 0), (3, 1)], "neighbours hear each other");
    }

    #[test]
    fn a_link_of_its_own_is_not_looked_at_by_the_default() {
        let shape = NetworkShape {
            default: LinkShape { latency: Some(Duration::from_millis(5)), ..LinkShape::default() },
            links: vec![(
                "a".to_owned(),
                "b".to_owned(),
                LinkShape { loss: Some(0.5), ..LinkShape::default() },
            )],
        };
        let rules = own_rules(&shape, |name| usize::from(name == "b"));
        let of = |from, to| {
            rules
                .iter()
                .filter(|rule| rule.pairs.hold(from, to))
                .map(|rule| rule.effect.clone())
                .collect::<Vec<_>>()
        };
        let latency = Effect::Latency(Duration::from_millis(5));
        assert_eq!(of(1, 0), vec![latency.clone()]);
        assert_eq!(of(0, 1), [Effect::Loss(0.5), latency], "what it leaves out is as in the default");
    }
}
