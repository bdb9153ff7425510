//! What can go wrong on purpose, and what the network is like.

use std::time::Duration;

/// A fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// Its id, under which it is healed and observed (`faults.<id>`).
    pub id: Option<String>,
    /// What goes wrong.
    pub kind: FaultKind,
    /// When it ends by itself; it stays until it is healed when absent.
    pub hold: Option<Duration>,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum FaultKind {
    /// Packets between different sides are dropped.
    Partition {
        /// The sides.
        sides: Sides,
        /// Which directions are cut.
        shape: PartitionShape,
    },
    /// Packets to and from these nodes are dropped.
    Isolate(Target),
    /// Each packet is dropped with this chance, from 0 to 1.
    Loss(f64, Path),
    /// Packets are dropped in bursts: a share of all, and the mean length of a burst in packets.
    BurstLoss {
        /// The share of packets that is lost, from 0 to 1.
        share: f64,
        /// The mean length of a burst, in packets.
        burst: u64,
        /// Which packets.
        path: Path,
    },
    /// Every packet is late by this much.
    Latency(Duration, Path),
    /// Every packet is late by a random time up to this.
    Jitter(Duration, Path),
    /// Each packet is overtaken with this chance, from 0 to 1.
    Reorder(f64, Path),
    /// Each packet arrives twice with this chance, from 0 to 1.
    Duplicate(f64, Path),
    /// Each packet has a bit flipped with this chance, from 0 to 1.
    Corrupt(f64, Path),
    /// Bits a second.
    Bandwidth(u64, Path),
    /// Packets with a body above this many bytes are dropped.
    Mtu(u64, Path),
    /// The n-th datagram (from 1) of a kind is dropped, in each direction; of a handshake's, in each handshake.
    DropNth {
        /// Which.
        nth: u64,
        /// Of what kind.
        packet: PacketKind,
        /// Which datagrams count.
        path: Path,
    },
    /// The nodes' addresses change, as behind a NAT that forgot them.
    Rebind(Target),
    /// The nodes stand still.
    Pause(Target),
    /// The nodes end without a word.
    Crash(Target),
    /// Processes burn every worker of the nodes.
    CpuHog(Target),
    /// The nodes' wall clocks are off.
    Clock {
        /// Which nodes.
        nodes: Target,
        /// By how much they are off, in milliseconds; negative is behind.
        offset_ms: i64,
        /// How much faster they run, as a share: 0.01 gains 10 ms a second.
        drift: f64,
    },
    /// The nodes' certificates have expired.
    Expire(Target),
    /// The nodes' certificates have been revoked.
    RevokeCertificate(Target),
}

impl FaultKind {
    /// Whether nodes do not hear of each other while it is in force.
    #[must_use]
    pub const fn keeps_apart(&self) -> bool {
        matches!(self, Self::Partition { .. } | Self::Isolate(_) | Self::Pause(_))
    }

    /// The nodes that something is done to, once they are chosen; empty for a fault of the network.
    #[must_use]
    pub fn nodes(&self) -> &[String] {
        match self {
            Self::Rebind(Target::Nodes(nodes))
            | Self::Pause(Target::Nodes(nodes))
            | Self::Crash(Target::Nodes(nodes))
            | Self::CpuHog(Target::Nodes(nodes))
            | Self::Clock { nodes: Target::Nodes(nodes), .. }
            | Self::Expire(Target::Nodes(nodes))
            | Self::RevokeCertificate(Target::Nodes(nodes)) => nodes,
            _ => &[],
        }
    }

    /// The nodes that the fault is about, for people: empty when it is about all.
    #[must_use]
    pub fn about(&self) -> Vec<String> {
        let path = |path: &Path| path.from.iter().chain(&path.to).flatten().cloned().collect();
        match self {
            Self::Partition { sides: Sides::Named(sides), .. } => sides.first().cloned().unwrap_or_default(),
            Self::Isolate(Target::Nodes(nodes)) => nodes.clone(),
            Self::Loss(_, along)
            | Self::BurstLoss { path: along, .. }
            | Self::Latency(_, along)
            | Self::Jitter(_, along)
            | Self::Reorder(_, along)
            | Self::Duplicate(_, along)
            | Self::Corrupt(_, along)
            | Self::Bandwidth(_, along)
            | Self::Mtu(_, along)
            | Self::DropNth { path: along, .. } => path(along),
            _ => self.nodes().to_vec(),
        }
    }

    /// The kinds as files name them.
    pub const NAMES: [&'static str; 19] = [
        "partition",
        "isolate",
        "loss",
        "burst-loss",
        "latency",
        "jitter",
        "reorder",
        "duplicate",
        "corrupt",
        "bandwidth",
        "mtu",
        "drop-nth",
        "rebind",
        "pause",
        "crash",
        "cpu-hog",
        "clock",
        "expire",
        "revoke",
    ];

    /// The key that the file uses for it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Partition { .. } => "partition",
            Self::Isolate(_) => "isolate",
            Self::Loss(..) => "loss",
            Self::BurstLoss { .. } => "burst-loss",
            Self::Latency(..) => "latency",
            Self::Jitter(..) => "jitter",
            Self::Reorder(..) => "reorder",
            Self::Duplicate(..) => "duplicate",
            Self::Corrupt(..) => "corrupt",
            Self::Bandwidth(..) => "bandwidth",
            Self::Mtu(..) => "mtu",
            Self::DropNth { .. } => "drop-nth",
            Self::Rebind(_) => "rebind",
            Self::Pause(_) => "pause",
            Self::Crash(_) => "crash",
            Self::CpuHog(_) => "cpu-hog",
            Self::Clock { .. } => "clock",
            Self::Expire(_) => "expire",
            Self::RevokeCertificate(_) => "revoke",
        }
    }
}

/// The sides of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sides {
    /// These, nodes written out; no node is on two.
    Named(Vec<Vec<String>>),
    /// Nodes chosen when the fault begins, against all others that run. In a ring, every node is a side of its own, and
    /// the seed chooses their order.
    Against(Target),
}

/// What a datagram is, by its first packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketKind {
    /// Part of a handshake, whichever.
    Opening,
    /// QUIC's Initial.
    Initial,
    /// QUIC's Handshake.
    Handshake,
    /// QUIC's Retry.
    Retry,
    /// Whatever comes after a handshake.
    Data,
}

impl PacketKind {
    /// Every kind, as files name it; the first is the default.
    pub const ALL: [(&'static str, Self); 5] = [
        ("opening", Self::Opening),
        ("initial", Self::Initial),
        ("handshake", Self::Handshake),
        ("retry", Self::Retry),
        ("data", Self::Data),
    ];
}

/// Which directions a partition cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionShape {
    /// Between any two sides, both ways.
    Symmetric,
    /// From the first side to every other, not back.
    OneWay,
    /// Between any two sides except the last, which hears and is heard by all.
    Bridge,
    /// Between sides that are not neighbours in a ring.
    Ring,
}

impl PartitionShape {
    /// Every shape, as files name it.
    pub const ALL: [(&'static str, Self); 4] = [
        ("symmetric", Self::Symmetric),
        ("one-way", Self::OneWay),
        ("bridge", Self::Bridge),
        ("ring", Self::Ring),
    ];
}

/// The nodes that something happens to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// One node, chosen by the seed.
    One,
    /// A minority, chosen by the seed: the most nodes that are less than half.
    Minority,
    /// A majority, chosen by the seed: the fewest nodes that are more than half.
    Majority,
    /// Every node.
    All,
    /// These nodes.
    Nodes(Vec<String>),
}

impl Target {
    /// The words that choose; no node may have such a name.
    pub const WORDS: [&'static str; 4] = ["one", "minority", "majority", "all"];

    /// Whether the seed chooses: the target is neither all nodes nor a list.
    #[must_use]
    pub const fn is_chosen(&self) -> bool {
        matches!(self, Self::One | Self::Minority | Self::Majority)
    }
}

/// Which packets: those from one set of nodes to another, in this direction only. Nothing means every node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Path {
    /// The senders; every node when absent.
    pub from: Option<Vec<String>>,
    /// The receivers; every node when absent.
    pub to: Option<Vec<String>>,
}

/// What the network is like from the first packet on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NetworkShape {
    /// Every ordered pair of nodes that has no entry in `links`.
    pub default: LinkShape,
    /// Single directions. What an entry leaves out is as in `default`.
    pub links: Vec<(String, String, LinkShape)>,
}

impl NetworkShape {
    /// Whether anything is asked of the network.
    #[must_use]
    pub fn is_shaped(&self) -> bool {
        !self.default.is_plain() || self.links.iter().any(|(.., link)| !link.is_plain())
    }
}

/// One direction between two nodes. What is absent is as good as the world can make it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LinkShape {
    /// How late every packet is.
    pub latency: Option<Duration>,
    /// Up to how much later it is by chance.
    pub jitter: Option<Duration>,
    /// The chance of a loss, from 0 to 1.
    pub loss: Option<f64>,
    /// The chance of a second copy, from 0 to 1.
    pub duplicate: Option<f64>,
    /// The chance of being overtaken, from 0 to 1.
    pub reorder: Option<f64>,
    /// Bits a second.
    pub bandwidth: Option<u64>,
    /// The largest body that passes, in bytes.
    pub mtu: Option<u64>,
}

impl LinkShape {
    /// This shape, with `default` for whatever it leaves out.
    #[must_use]
    pub fn over(&self, default: &Self) -> Self {
        Self {
            latency: self.latency.or(default.latency),
            jitter: self.jitter.or(default.jitter),
            loss: self.loss.or(default.loss),
            duplicate: self.duplicate.or(default.duplicate),
            reorder: self.reorder.or(default.reorder),
            bandwidth: self.bandwidth.or(default.bandwidth),
            mtu: self.mtu.or(default.mtu),
        }
    }

    /// Whether nothing is asked of the network: no entry, or only zeroes.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let none = |share: Option<f64>| share.is_none_or(|share| share == 0.0);
        self.latency.unwrap_or_default().is_zero()
            && self.jitter.unwrap_or_default().is_zero()
            && none(self.loss)
            && none(self.duplicate)
            && none(self.reorder)
            && self.bandwidth.is_none()
            && self.mtu.is_none()
    }
}
