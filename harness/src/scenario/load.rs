//! Measured traffic, and bounds on what is measured.

use std::time::Duration;

use super::action::Address;
use crate::gate::Level;

/// How much a load measures when its file does not say.
pub const AMOUNT_DEFAULT: Amount = Amount::Duration(Duration::from_secs(2));

/// The size of a load's bodies when its file does not say, in bytes.
pub const PAYLOAD_BYTES_DEFAULT: u64 = 64;

/// Instructions of one message: a figure of gates, which valgrind counts.
pub const INSTRUCTIONS: &str = "instructions_per_message";
/// System calls of one message: a figure of gates, which strace counts.
pub const SYSCALLS: &str = "syscalls_per_message";

/// Traffic that is measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// Its id; also the point at which it has ended, and the first part of its figures' names.
    pub id: String,
    /// Its line in the file, from 1.
    pub line: usize,
    /// The point after which it starts; `None` when a `load` step starts it.
    pub after: Option<String>,
    /// The node that sends.
    pub from: String,
    /// What one of its messages, or round trips, is.
    pub round: Round,
    /// How the traffic is made.
    pub model: LoadModel,
    /// The size of each body, in bytes.
    pub payload: u64,
    /// Sizes with weights, instead of one size; empty for one size.
    pub mix: Vec<(u64, u64)>,
    /// How many processes send at the same time, at least 1.
    pub senders: u64,
    /// Traffic before the measurement.
    pub warmup: Duration,
    /// When it ends; each slice of it, if it has several.
    pub amount: Amount,
    /// In how many slices it is measured, one after the other, each with a warm-up of its own; at least 1.
    pub slices: u64,
    /// How long each sender burns the processor before each request, as a client that is not idle would.
    pub work: Duration,
}

/// What is done once, and measured.
#[derive(Debug, Clone, PartialEq)]
pub enum Round {
    /// A message to one process; a round trip ends with its reply.
    One(Address),
    /// The same message to each of several processes; ends with the last reply.
    Each(Vec<Address>),
    /// A message to a group; ends with the last reply of those who were in it when the load began.
    Group(String),
    /// A remote spawn, until the pid is here; the process is killed then.
    Spawn {
        /// The node that spawns.
        on: String,
        /// What it was taught.
        factory: String,
    },
    /// A global name that nobody had, from the wish to register it until another node has found it and said so.
    Register {
        /// The other node.
        on: String,
    },
}

impl Round {
    /// The processes that it names.
    #[must_use]
    pub const fn receivers(&self) -> &[Address] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Each(each) => each.as_slice(),
            Self::Group(_) | Self::Spawn { .. } | Self::Register { .. } => &[],
        }
    }

    /// Whether it is a message to one process: all that a flood, and a load at given times, can do.
    #[must_use]
    pub const fn is_one(&self) -> bool {
        matches!(self, Self::One(_))
    }
}

/// When a load ends. A load that tries several numbers in flight spends this on each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// After this time, warm-up not counted.
    Duration(Duration),
    /// After this many messages of each sender, warm-up not counted.
    Messages(u64),
}

impl Amount {
    /// About how long it measures; zero when it is told by a number of messages.
    #[must_use]
    pub const fn length(&self) -> Duration {
        match self {
            Self::Duration(length) => *length,
            Self::Messages(_) => Duration::ZERO,
        }
    }
}

/// How traffic is made.
#[derive(Debug, Clone, PartialEq)]
pub enum LoadModel {
    /// Round trips; each sender keeps so many in flight, and sends the next when one returns. With several numbers,
    /// each is measured in turn.
    Closed {
        /// Numbers in flight, each at least 1.
        in_flight: Vec<u64>,
    },
    /// One way, as fast as the link takes it.
    Flood,
    /// Finds the highest rate that holds.
    Search {
        /// Numbers in flight to try. When empty, rates are tried instead, by an open load.
        in_flight: Vec<u64>,
        /// What must hold at a rate; no bound when absent.
        goal: Option<Goal>,
        /// How the times of a search over rates are spread.
        arrivals: Arrivals,
    },
    /// Latency over rate: finds saturation, then measures at 10 to 100 % of it.
    Curve {
        /// What must hold at saturation.
        goal: Option<Goal>,
        /// How the times are spread.
        arrivals: Arrivals,
    },
    /// As open, with a rate that changes evenly.
    Ramp {
        /// Messages a second at the start, and all through the warm-up.
        rate: f64,
        /// Messages a second at the end.
        rate_end: f64,
        /// How the times are spread.
        arrivals: Arrivals,
    },
    /// Sends at given times, whatever returns; response time counts from the time that was meant.
    Open {
        /// Messages a second, over all senders.
        rate: f64,
        /// How the times are spread.
        arrivals: Arrivals,
    },
}

impl LoadModel {
    /// The models as files name them.
    pub const NAMES: [&'static str; 6] = ["closed", "flood", "search", "open", "ramp", "curve"];

    /// Whether requests leave at given times.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        match self {
            Self::Closed { .. } | Self::Flood => false,
            Self::Search { in_flight, .. } => in_flight.is_empty(),
            Self::Open { .. } | Self::Ramp { .. } | Self::Curve { .. } => true,
        }
    }

    /// Whether a round follows when one ends, so that it may be any [`Round`].
    #[must_use]
    pub const fn has_rounds(&self) -> bool {
        !self.is_open() && !matches!(self, Self::Flood)
    }

    /// The word that the file uses for it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Closed { .. } => "closed",
            Self::Flood => "flood",
            Self::Search { .. } => "search",
            Self::Open { .. } => "open",
            Self::Ramp { .. } => "ramp",
            Self::Curve { .. } => "curve",
        }
    }
}

/// What must hold for a rate to count.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Goal {
    /// The largest share of messages that may be lost, from 0 to 1.
    pub loss: Option<f64>,
    /// The longest response time of 99 in 100.
    pub response_p99: Option<Duration>,
}

/// How the times of an open load are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrivals {
    /// Evenly.
    Constant,
    /// A Poisson process.
    Poisson,
}

impl Arrivals {
    /// Every way, as files name it.
    pub const ALL: [(&'static str, Self); 2] = [("constant", Self::Constant), ("poisson", Self::Poisson)];
}

/// A bound on a figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// The load that gives the figure.
    pub load: String,
    /// The figure, such as `rate` or `datagrams_per_message`.
    pub figure: String,
    /// The bound.
    pub rule: GateRule,
    /// Whether a figure beyond it fails the gate, or is only told.
    pub level: Level,
}

impl Gate {
    /// The figures that a gate can bound: those of `loads.<id>` in conditions, and costs per message.
    #[must_use]
    pub fn figures() -> Vec<&'static str> {
        let not_figures = ["done", "in_flight"];
        let mut figures = crate::condition::fields("loads");
        figures.retain(|figure| !not_figures.contains(figure));
        // Counted by tools around a run, and not by the run itself.
        figures.extend([INSTRUCTIONS, SYSCALLS]);
        figures
    }
}

/// What is asked of a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum GateRule {
    /// Against another build in the same run: the largest share by which it may fall or rise.
    Paired {
        /// How far it may fall, as a share.
        max_decrease: Option<f64>,
        /// How far it may rise, as a share.
        max_increase: Option<f64>,
    },
    /// The same as recorded, to the last digit; evaluated in `sim`.
    Exact,
}
