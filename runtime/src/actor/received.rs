//! What a process finds in its mailbox.

use bytes::Bytes;
use regatta_proto::host::FencingToken;
use regatta_proto::id::{Name, Pid, Reference};
use regatta_proto::reason::ExitReason;

/// One thing that a process received.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Received {
    /// A message: opaque bytes.
    Message(Bytes),
    /// An exit signal, for a process that traps exits ([`Context::trap_exit`](super::Context::trap_exit)).
    Exit {
        /// The linked process that ended, or whoever asked this process to end. Serial 0 is the node itself.
        from: Pid,
        /// Why.
        reason: ExitReason,
    },
    /// A monitored process ended, or its node was lost. The monitor has fired and is gone.
    Down {
        /// The monitor.
        reference: Reference,
        /// The process that was watched.
        pid: Pid,
        /// Why it ended.
        reason: ExitReason,
    },
    /// A process of another node claims a global name that this process held, and the two nodes have heard of each
    /// other.
    NameConflict {
        /// The name.
        name: Name,
        /// The other process.
        other: Pid,
        /// Whether this process goes on to hold the name. If not, it no longer answers to it, and is told only once.
        kept: bool,
    },
    /// Processes joined a group that this process watches.
    GroupJoined {
        /// The watch.
        reference: Reference,
        /// The group.
        group: Name,
        /// Who joined, as often as it did.
        pids: Vec<Pid>,
    },
    /// Processes left a group that this process watches, by themselves, with their end, or with their node.
    GroupLeft {
        /// The watch.
        reference: Reference,
        /// The group.
        group: Name,
        /// Who left, as often as it did.
        pids: Vec<Pid>,
    },
    /// This process held a confirmed global name, and its node does not reach a majority any more: it no longer holds
    /// it.
    NameLost {
        /// The name.
        name: Name,
        /// The token under which it held the name.
        token: FencingToken,
    },
}

impl Received {
    /// The message, if it is one.
    #[must_use]
    pub fn message(self) -> Option<Bytes> {
        match self {
            Self::Message(payload) => Some(payload),
            _ => None,
        }
    }

    /// The trapped exit, if it is one: from whom, and why.
    #[must_use]
    pub fn exit(self) -> Option<(Pid, ExitReason)> {
        match self {
            Self::Exit { from, reason } => Some((from, reason)),
            _ => None,
        }
    }

    /// The monitor that fired, if it is one: which, on whom, and why.
    #[must_use]
    pub fn down(self) -> Option<(Reference, Pid, ExitReason)> {
        match self {
            Self::Down { reference, pid, reason } => Some((reference, pid, reason)),
            _ => None,
        }
    }
}
