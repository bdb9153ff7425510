//! What the harness and a node's process say to each other: JSON, one value a line.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::behaviour::exchange::{Counted, Shared};
use crate::fault::network::{Key, Network, NodeIndex};
use crate::fault::wire::Counts;
use crate::record::Event;
use crate::world::order::{Answered, Order, PidText};
use crate::world::view::NodeView;
use crate::world::wanted::Wanted;

/// The first line to a node: what it is to be.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Birth {
    /// The scenario's file, as the harness names it.
    pub(super) file: String,
    /// Its text.
    pub(super) source: String,
    /// Which of its cells is run.
    pub(super) cell: usize,
    /// What the scenario calls the node.
    pub(super) name: String,
    /// Its place in the scenario.
    pub(super) index: NodeIndex,
    /// How often the node has been launched before.
    pub(super) before: u64,
    /// Where its identity is; it is read at once.
    pub(super) identity: PathBuf,
    /// Another name that it announces.
    pub(super) announce: Option<String>,
    /// Where it binds.
    pub(super) addr: SocketAddr,
    /// The run's seed.
    pub(super) seed: u64,
    /// When the run began, on the monotonic clock that all processes of the machine share.
    pub(super) started_ns: u64,
    /// Whether its socket is such that faults can happen to it.
    pub(super) taps: bool,
    /// Whether its last datagrams and its connections' secrets are kept.
    pub(super) captures: bool,
    /// What is looked at.
    pub(super) wanted: Wanted,
    /// Whether single messages are noted.
    pub(super) notes_messages: bool,
    /// What the network is like.
    pub(super) network: Network,
}

/// A line to a node.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToNode {
    /// Carry this out, and answer with its number.
    Order { number: u64, order: Order },
    /// These are processes of other nodes.
    Others(Shared),
    /// A process elsewhere has received so much.
    Counted { label: String, counted: Counted },
    /// Give out the last datagrams.
    Captured { number: u64 },
    /// Tell all that happened so far, answer with this number, and do nothing more until you may go on.
    Hold { number: u64 },
    /// Go on: the last `Hold` is over.
    Go,
}

/// A line from a node.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromNode {
    /// It is up.
    Up { control: PidText, addr: SocketAddr },
    /// It did not start.
    Failed(String),
    /// What came of an order.
    Answer { number: u64, answer: Answered },
    /// What the node shows now.
    View(NodeView),
    /// What its scene knows now.
    Scene(Shared),
    /// What the network's rules did at its socket.
    Counts(Vec<(Key, Counts)>),
    /// What happened.
    Events(Vec<Event>),
    /// Secrets of its connections.
    Keys(Vec<String>),
    /// Its last datagrams, and how many older ones there were.
    Captured { number: u64, datagrams: Vec<Datagram>, forgotten: u64 },
    /// It has ended in an orderly way; what was left.
    Left(Vec<String>),
}

/// A datagram that was kept.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Datagram {
    pub(super) at_ns: u64,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    /// In hexadecimal digits.
    pub(super) data: String,
    pub(super) dropped: Option<Key>,
}
