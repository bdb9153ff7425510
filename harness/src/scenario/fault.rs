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
        /// The sides, nodes written out; no node is on two.
        sides: Vec<Vec<String>>,
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
    /// The n-th packet (from 1) of each handshake is dropped.
    DropNth(u64, Path),
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
            Self::DropNth(..) => "drop-nth",
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
