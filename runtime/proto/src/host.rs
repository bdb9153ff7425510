//! What the engine asks of the node around it, and what it tells it.
//!
//! The node implements [`Host`] and is called while the engine works, so nothing is queued in between. A host must not
//! run a user's code from here: the engine is borrowed.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;

use crate::id::{Name, NodeId, NodeName, Pid, Reference};
use crate::link::budget::LinkBudget;
use crate::link::close::CloseCode;
use crate::signal::Signal;
use crate::wire::control::{Answer, Question};
use crate::wire::frame::{SpawnRefusal, SpawnRequest, To};

pub use crate::cluster::evidence::{DownCause, Evidence, Testimony};

/// One link, for as long as it lives: a later link to the same peer has another generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId {
    /// Where the engine keeps it; reused after the link's end.
    pub index: u32,
    /// Counts the links of this engine; never reused.
    pub generation: u64,
}

/// The node around the engine.
pub trait Host {
    /// A signal arrived for a local process, or the loss of a link made one. What became of it, if it is a message.
    fn deliver(&mut self, from: Pid, to: To<'_>, signal: Signal) -> Delivery;

    /// Something else happened.
    fn event(&mut self, event: Event);

    /// What the node's wall clock says, in milliseconds since 1970. It dates claims of names, and nothing else.
    fn wall_ms(&self) -> u64;
}

/// What became of a message on its receiver's node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It is in the receiver's mailbox.
    Delivered,
    /// There is no such process, or nobody holds the name.
    NoProc,
    /// The receiver's mailbox is at its bound and rejects.
    MailboxFull,
}

/// Why a dial made no link. In each case nothing that was to go over the link has been sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConnectError {
    /// The address is the node's own.
    #[error("{0} is this node's own address: a node does not link with itself")]
    SelfDial(SocketAddr),
    /// Nobody can be reached at such an address.
    #[error("{addr} cannot be dialled: {detail}")]
    Address {
        /// The address.
        addr: SocketAddr,
        /// What is wrong with it.
        detail: String,
    },
    /// One end does not trust the other's certificate. Both must hold certificates of one CA, or one shared identity.
    #[error("no trust between the nodes: {0}")]
    NotTrusted(String),
    /// The peer at the address is not who it says it is, or this node is not.
    #[error("wrong identity: {0}")]
    Identity(String),
    /// The peer speaks another protocol or version, or belongs to another cluster.
    #[error("the nodes do not understand each other: {0}")]
    Incompatible(String),
    /// The peer turned the link down.
    #[error("the peer refused the link: {0}")]
    Refused(String),
    /// The peer did not answer in time: it is down, unreachable, or not a node.
    #[error("no answer from {0} in time")]
    Timeout(SocketAddr),
    /// The link broke while it was being made.
    #[error("the link broke while it was being made: {0}")]
    Lost(String),
    /// This node was shut down meanwhile.
    #[error("this node was shut down")]
    Shutdown,
}

/// Why a link ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LinkEnd {
    /// This node was shut down.
    #[error("this node shut down")]
    Shutdown,
    /// The peer was shut down.
    #[error("the peer shut down")]
    PeerShutdown,
    /// Nothing was heard of the peer for too long: the failure detector gave it up, or QUIC's idle timeout passed.
    #[error("nothing was heard of the peer for too long")]
    Silence,
    /// The peer does not know the link any more: it was restarted, or has given the link up.
    #[error("the peer does not know the link any more")]
    Reset,
    /// A newer link to the same peer took its place.
    #[error("a newer link took its place")]
    Superseded,
    /// A later start of the peer took its place.
    #[error("the peer was started again")]
    Restarted,
    /// This node closed it because of what the peer did.
    #[error("closed here: {code}: {detail}")]
    Closed {
        /// The close code that was sent.
        code: CloseCode,
        /// What the peer did.
        detail: String,
    },
    /// The peer closed it, or the transport did.
    #[error("closed by the peer: {0}")]
    ClosedByPeer(String),
}

/// Why a call ended without an answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CallError {
    /// There is no link to the node. The request was not sent.
    #[error("no link to the node; the request was not sent")]
    NotSent,
    /// The link was lost with the request under way. It may have been carried out.
    #[error("the link was lost; the request may have been carried out")]
    LinkLost,
    /// The deadline passed. The request may have been carried out, or may still be.
    #[error("no answer by the deadline; the request may have been carried out")]
    Timeout,
    /// The peer does not do this. Nothing was carried out.
    #[error("the peer refused: {0}")]
    Refused(String),
    /// The node already waits for as many answers as it may. The request was not sent.
    #[error("too many calls wait for their answer; the request was not sent")]
    TooMany,
}

/// What a call brought.
#[derive(Debug, Clone, PartialEq)]
pub enum CallOutcome {
    /// A remote spawn: the child, or why there is none.
    Spawned(Result<Pid, SpawnRefusal>),
    /// A question: the answer.
    Answered(Answer),
    /// A message whose sender wants to know: what became of it.
    Delivery(Delivery),
}

/// Who holds a global name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The node.
    pub node: NodeName,
    /// The process.
    pub pid: Pid,
    /// Under which token a majority confirmed it; none if the name was only claimed.
    pub token: Option<FencingToken>,
}

/// Tells later holders of a confirmed name from earlier ones: a later one has a higher token, on whatever node. Hand it
/// to whatever the holder writes to, and have that refuse what comes with a lower token than it has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(u64);

impl FencingToken {
    /// The token with this number.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// Its number, to be compared by others.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// Whose word it takes to confirm a name. Voters are the members that are neither hidden nor without full mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quorum {
    /// More than half of the voters that this node knows, those that are down among them. A voter that left in good
    /// order counts no more after two leases, one that was lost when it is forgotten. Nodes that join while the cluster
    /// is split are known to one side only: see [`Quorum::Of`].
    #[default]
    Majority,
    /// More than half of so many voters, or of those that this node knows if they are more. Right if the cluster never
    /// has more than so many: then a split can do no harm while it grows, either.
    Of(usize),
}

/// Why a name was not confirmed. This node does not hold it, and has given back what votes it had.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfirmError {
    /// Another process holds the name, or is about to.
    #[error("the name is taken by a process of \"{}\"", .0.node)]
    Taken(Owner),
    /// By the deadline, fewer voters than it takes had granted the name: this node is in a minority, or most voters
    /// have started less than a lease ago.
    #[error("{granted} voters of the {needed} that it takes confirmed the name by the deadline")]
    NoQuorum {
        /// Voters that had granted it in the last round, this node among them.
        granted: usize,
        /// How many it takes.
        needed: usize,
    },
    /// This node claims as many names as its peers take of one node
    /// ([`names_per_peer_max`](crate::limits::Limits::names_per_peer_max)).
    #[error("this node claims {max} names and memberships already, as many as its peers take")]
    TooMany {
        /// The bound.
        max: usize,
    },
    /// The process ended, or the call was given up, before the name was confirmed.
    #[error("the process ended before the name was confirmed")]
    NoProc,
    /// This node was shut down meanwhile.
    #[error("this node was shut down")]
    Shutdown,
}

/// Why a name could not be claimed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ClaimError {
    /// Somebody holds the name, or is about to.
    #[error("the name is taken by a process of \"{}\"", .0.node)]
    Taken(Owner),
    /// This node claims as many names as its peers take of one node
    /// ([`names_per_peer_max`](crate::limits::Limits::names_per_peer_max)).
    #[error("this node claims {max} names and memberships already, as many as its peers take")]
    TooMany {
        /// The bound.
        max: usize,
    },
}

/// Who hears of it when two nodes have claimed one name. Each of the two claims has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConflictPolicy {
    /// The process that loses the name is ended.
    KillLoser,
    /// The process that loses the name is told.
    #[default]
    NotifyLoser,
    /// The process that loses the name is told, and so is the one that keeps it.
    NotifyBoth,
    /// The node whose claim is the earlier one asks the program which of the two stays, if both claims say so;
    /// otherwise the earlier one stays. The loser is told.
    Resolve,
}

/// What happened to another node, as this one sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeChange {
    /// It is linked, by a link that carries nothing over from an earlier one.
    Up,
    /// It has been silent for long. Others are asked about it.
    Suspect,
    /// It is heard again after it was suspected: the link goes on.
    Trusted,
    /// Its link is dead, which is about the two nodes: the other may well live. What went by the link has ended with
    /// it; the names that the node holds stay. It is dialled.
    Unreachable {
        /// The members that say that they are linked with it. Nobody: it was itself heard last, by word that it ended
        /// the link.
        seen_by: Vec<NodeName>,
    },
    /// It is lost to all members of this side, and its names with it. It is dialled until it is linked again or
    /// forgotten.
    Down {
        /// What speaks for it.
        evidence: Box<Evidence>,
    },
    /// It said goodbye. This start of it will not come back.
    Left,
}

impl fmt::Display for NodeChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up => f.write_str("up"),
            Self::Suspect => f.write_str("suspect"),
            Self::Trusted => f.write_str("trusted again"),
            Self::Unreachable { seen_by } if seen_by.is_empty() => f.write_str("unreachable"),
            Self::Unreachable { seen_by } => {
                let names: Vec<&str> = seen_by.iter().map(NodeName::as_str).collect();
                write!(f, "unreachable, seen by {}", names.join(", "))
            }
            Self::Down { evidence } => write!(f, "down: {evidence}"),
            Self::Left => f.write_str("left"),
        }
    }
}

/// What happened in the engine.
#[derive(Debug)]
pub enum Event {
    /// A dial ended, with the peer's identity or why there is no link.
    Dialed {
        /// The number that the dial was started with.
        token: u64,
        /// What came of it.
        result: Result<NodeId, ConnectError>,
    },
    /// A link to a peer is up.
    Up {
        /// The peer.
        peer: NodeId,
        /// The link.
        link: LinkId,
        /// Whether this node dialled.
        dialed: bool,
        /// Its queue.
        budget: Arc<LinkBudget>,
        /// The largest message that the peer takes.
        message_bytes_max: usize,
    },
    /// The link to a peer ended. Links, monitors and calls across it have been dealt with.
    Down {
        /// The peer.
        peer: NodeId,
        /// The link.
        link: LinkId,
        /// Why.
        cause: LinkEnd,
    },
    /// Another node came or went, as this one sees it.
    Node {
        /// Which start of which node.
        node: NodeId,
        /// What happened to it.
        change: NodeChange,
    },
    /// The cluster as this node sees it may have changed: its members, or the cut pairs among them.
    View,
    /// A node that somebody here wanted a link with ([`Engine::want`](crate::engine::Engine::want)) does not answer, or answers no.
    Unreached {
        /// The node.
        node: NodeName,
    },
    /// A peer that dialled was turned away before there was a link.
    Rejected {
        /// Where it came from.
        addr: SocketAddr,
        /// Why.
        detail: String,
    },
    /// A link whose queue was full has room again.
    Writable {
        /// The link.
        link: LinkId,
    },
    /// A global name has another owner, or none, as this node sees it.
    Name {
        /// The name.
        name: Name,
        /// Who holds it now.
        owner: Option<Owner>,
    },
    /// A process of another node joined or left a group.
    Member {
        /// The group.
        group: Name,
        /// The process.
        pid: Pid,
        /// How often it is a member now.
        count: u32,
    },
    /// A process of this node lost its global name to another claim. The claim here has been withdrawn.
    NameLost {
        /// The name.
        name: Name,
        /// The process that held it here.
        serial: u64,
        /// Who keeps it.
        winner: Owner,
        /// What the claim here said of this case.
        policy: ConflictPolicy,
    },
    /// Another node claims a name that a process of this node holds, and goes on to hold. Once for each such claim.
    NameKept {
        /// The name.
        name: Name,
        /// The process that holds it here.
        serial: u64,
        /// Who claims it.
        loser: Owner,
        /// What the claim here says of this case.
        policy: ConflictPolicy,
    },
    /// Another node claims a name that a process of this node holds, and this node is to decide. Answer with
    /// [`Engine::resolve`](crate::engine::Engine::resolve). Once for each such claim.
    NameClash {
        /// The name.
        name: Name,
        /// The process that holds it here.
        serial: u64,
        /// Who claims it too.
        other: Owner,
        /// Its claim, for the answer.
        claimed_at: u64,
    },
    /// An attempt to have a name confirmed ended.
    Confirmed {
        /// The number that the attempt was started with.
        call: u64,
        /// The token, or why there is none.
        result: Result<FencingToken, ConfirmError>,
    },
    /// No majority confirms a name of this node's any more: the claim here has been withdrawn.
    NameUnconfirmed {
        /// The name.
        name: Name,
        /// The process that held it here.
        serial: u64,
        /// Under which token.
        token: FencingToken,
        /// What the claim here said of this case.
        policy: ConflictPolicy,
    },
    /// A peer asks this node to run a factory. Answer with
    /// [`Outgoing::spawned`](crate::link::outgoing::Outgoing::spawned).
    SpawnRequested {
        /// The link to answer by.
        link: LinkId,
        /// The process that asks.
        caller: Pid,
        /// What it asks for.
        request: SpawnRequest,
    },
    /// A message has come whose sender wants to know what became of it. Answer with
    /// [`Outgoing::acked`](crate::link::outgoing::Outgoing::acked).
    AckWanted {
        /// The link to answer by.
        link: LinkId,
        /// The sender's number for the message.
        call: u64,
        /// What became of it.
        delivery: Delivery,
    },
    /// A peer asks this node a question. Answer with [`Engine::answer`](crate::engine::Engine::answer).
    Asked {
        /// The link to answer by.
        link: LinkId,
        /// The stream to answer by.
        stream: u64,
        /// What is asked.
        question: Question,
    },
    /// A call of this node ended.
    Called {
        /// The number that the call was started with.
        call: u64,
        /// What came of it.
        result: Result<CallOutcome, CallError>,
    },
    /// A remote spawn was answered with a child after its call had ended without one. The child is linked to its
    /// caller, or monitored by it, as was asked; the caller does not know it.
    SpawnedLate {
        /// Serial of the process that asked.
        caller: u64,
        /// The process that runs.
        child: Pid,
        /// Whether the child is linked to the caller.
        link: bool,
        /// The monitor that the caller has on the child.
        monitor: Option<Reference>,
    },
    /// The link to a remote watcher of a local process was lost: the monitor is gone.
    WatcherLost {
        /// Serial of the local process.
        target: u64,
        /// Who watched it.
        watcher: Pid,
        /// The monitor.
        reference: Reference,
    },
}
