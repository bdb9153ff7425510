//! Why an act across nodes failed. One enum per operation; each variant says whether it may have happened.

use std::io;
use std::net::SocketAddr;

use regatta_proto::host::CallError;
use regatta_proto::id::ParseIdError;
use regatta_proto::wire::frame::SpawnRefusal;
use thiserror::Error;

pub use regatta_proto::host::ConnectError;

use crate::actor::SendError;

/// Why a node was not started. Nothing is left behind.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindError {
    /// The text is no node name.
    #[error(transparent)]
    Name(#[from] ParseIdError),
    /// The identity was issued to another name. Bind under that name, or have one issued for this.
    #[error("the identity was issued to \"{issued}\" and cannot be used by \"{name}\"")]
    Identity {
        /// The name that was asked for.
        name: String,
        /// The name in the certificate.
        issued: String,
    },
    /// TLS does not take the identity.
    #[error("the identity cannot be used: {0}")]
    Tls(String),
    /// The runtime serves another node already.
    #[error("the runtime belongs to a node already; a node needs a runtime of its own")]
    RuntimeInUse,
    /// The address cannot be bound.
    #[error("cannot bind {addr}: {source}")]
    Address {
        /// The address.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The system gives no thread for the guard of the node's loop. Free some, or do without:
    /// [`guard(false)`](crate::cluster::ClusterNodeBuilder::guard).
    #[error("no thread for the node's guard: {0}")]
    Thread(#[source] io::Error),
    /// A wildcard is no address that others could dial. Say which one they can with
    /// [`ClusterNodeBuilder::advertise`](crate::cluster::ClusterNodeBuilder::advertise), or keep out of the full mesh with
    /// [`connect_all(false)`](crate::cluster::ClusterNodeBuilder::connect_all).
    #[error("other nodes cannot dial {addr}: say with `advertise` where they can")]
    Advertised {
        /// The address that is none.
        addr: SocketAddr,
    },
    /// [`Limits::message_bytes_max`](crate::Limits::message_bytes_max) is above what any node may take. Lower it, and send
    /// larger things in pieces.
    #[error("messages of {asked} bytes are above the {max} bytes that a node may take at most")]
    MessageBytes {
        /// The bound that was asked for.
        asked: usize,
        /// The largest that there may be.
        max: usize,
    },
    /// There is no tokio runtime around the call, or it has no I/O.
    #[error("a node must be bound inside a tokio runtime with I/O and time enabled")]
    NoTokio,
}

/// Why a message to another node was not sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NodeSendError {
    /// There is no link to the node. Not sent.
    #[error("no connection to node \"{node}\"")]
    NoConnection {
        /// The node.
        node: String,
    },
    /// Nobody is known to hold the global name. Not sent.
    #[error("no process is registered globally as \"{name}\"")]
    NoName {
        /// The name.
        name: String,
    },
    /// The process is on this node and did not take the message. Not sent.
    #[error("the message to \"{name}\" was not taken: {source}")]
    Local {
        /// The name.
        name: String,
        /// Why.
        source: SendError,
    },
    /// The queue of the link is above its high-water mark, or the node is being dialled. Not sent. Only what never waits, or not
    /// for long enough, ends so.
    #[error("the link to node \"{node}\" is above its high-water mark, or being dialled")]
    Busy {
        /// The node.
        node: String,
    },
    /// The body is above what the link takes. Not sent.
    #[error("a body of {len} bytes is above the bound of {max} bytes of the link to \"{node}\"")]
    TooLarge {
        /// The node.
        node: String,
        /// The body's length.
        len: usize,
        /// The bound.
        max: usize,
    },
    /// The text is no process name.
    #[error(transparent)]
    BadName(#[from] ParseIdError),
}

/// Why there was no word that a message has reached its receiver's mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NodeAckError {
    /// It was not sent.
    #[error(transparent)]
    NotSent(#[from] NodeSendError),
    /// Nobody holds the name on that node. Not delivered.
    #[error("no process is registered as \"{name}\" on node \"{node}\"")]
    NoProc {
        /// The node.
        node: String,
        /// The name.
        name: String,
    },
    /// The receiver's mailbox is at its bound and rejects. Not delivered; it may have room again later.
    #[error("the mailbox of \"{name}\" on node \"{node}\" is full")]
    MailboxFull {
        /// The node.
        node: String,
        /// The name.
        name: String,
    },
    /// No answer came: it may have been delivered, or may still be. Send it again only if it may come twice.
    #[error("it is unknown whether the message was delivered on node \"{node}\": {source}")]
    Unknown {
        /// The node.
        node: String,
        /// Why there was no answer.
        source: CallError,
    },
}

impl NodeAckError {
    pub(crate) fn no_proc((node, name): (String, String)) -> Self {
        Self::NoProc { node, name }
    }

    pub(crate) fn mailbox_full((node, name): (String, String)) -> Self {
        Self::MailboxFull { node, name }
    }

    /// Whether the message may have been delivered all the same.
    #[must_use]
    pub const fn may_have_happened(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }
}

/// Why a global name was not registered. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RegisterGlobalError {
    /// A process holds the name, here or on another node.
    #[error("the name is taken by a process of \"{node}\"")]
    Taken {
        /// The node of the process that holds it.
        node: String,
    },
    /// The process is not alive, or not of this node.
    #[error("no such process on this node")]
    NoProc,
    /// This node has as many global names, and memberships of groups, as others take of one node.
    #[error(
        "this node has {max} global names and memberships already, as many as others take of one \
        (Limits::names_per_peer_max, the same on all nodes)"
    )]
    TooMany {
        /// The bound: [`Limits::names_per_peer_max`](crate::Limits::names_per_peer_max).
        max: usize,
    },
    /// The text is no process name.
    #[error(transparent)]
    BadName(#[from] ParseIdError),
}

/// Why a node was not forgotten. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ForgetError {
    /// It is linked, with this node or with another one that is: it runs.
    #[error("\"{node}\" is linked, with this node or with one that this node hears: shut it down there")]
    Linked {
        /// The node.
        node: String,
    },
    /// This node has not heard of it.
    #[error("no node \"{node}\" is known here")]
    Unknown {
        /// The node.
        node: String,
    },
}

/// Why a remote spawn gave no process.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// There is no link to the node. No process was started.
    #[error("no connection to node \"{node}\"")]
    NoConnection {
        /// The node.
        node: String,
    },
    /// The node was not taught the factory, or the caller may not use it. No process was started.
    #[error("node \"{node}\" has no factory \"{factory}\", or no grant for it")]
    NoFactory {
        /// The node.
        node: String,
        /// The factory.
        factory: String,
    },
    /// The node turned the request down. No process was started.
    #[error("node \"{node}\" did not start \"{factory}\": {refusal}")]
    Refused {
        /// The node.
        node: String,
        /// The factory.
        factory: String,
        /// Why.
        refusal: SpawnRefusal,
    },
    /// The arguments are above what a request takes. No process was started.
    #[error("arguments of {len} bytes are above the bound of {max}")]
    TooLarge {
        /// The arguments' length.
        len: usize,
        /// The bound.
        max: usize,
    },
    /// The call ended without an answer; see [`CallError`] for whether a process may have been started.
    #[error("remote spawn of \"{factory}\" on \"{node}\": {source}")]
    Call {
        /// The node.
        node: String,
        /// The factory.
        factory: String,
        /// How the call ended.
        source: CallError,
    },
    /// The text is no factory name or no process name.
    #[error(transparent)]
    BadName(#[from] ParseIdError),
}

impl SpawnError {
    /// Whether a process may have been started all the same.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        matches!(self, Self::Call { source: CallError::LinkLost | CallError::Timeout, .. })
    }
}

/// Why a node could not be looked at. Looking changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AttachError {
    /// There is no link to the node.
    #[error("no connection to node \"{node}\"")]
    NoConnection {
        /// The node.
        node: String,
    },
    /// The call ended without an answer.
    #[error("attaching to \"{node}\": {source}")]
    Call {
        /// The node.
        node: String,
        /// How the call ended.
        source: CallError,
    },
    /// The node answered something else than what was asked.
    #[error("node \"{node}\" gave an answer that is none")]
    BadAnswer {
        /// The node.
        node: String,
    },
}
