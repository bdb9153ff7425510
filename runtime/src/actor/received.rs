//! What a process finds in its mailbox.

use bytes::Bytes;
use regatta_proto::id::{Pid, Reference};
use regatta_proto::reason::ExitReason;

/// One thing that a process received.
#[derive(Debug, Clone, PartialEq, Eq)]
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
}

impl Received {
    /// The message, if it is one.
    #[must_use]
    pub fn message(self) -> Option<Bytes> {
        match self {
            Self::Message(payload) => Some(payload),
            Self::Exit { .. } | Self::Down { .. } => None,
        }
    }

    /// The trapped exit, if it is one: from whom, and why.
    #[must_use]
    pub fn exit(self) -> Option<(Pid, ExitReason)> {
        match self {
            Self::Exit { from, reason } => Some((from, reason)),
            Self::Message(_) | Self::Down { .. } => None,
        }
    }

    /// The monitor that fired, if it is one: which, on whom, and why.
    #[must_use]
    pub fn down(self) -> Option<(Reference, Pid, ExitReason)> {
        match self {
            Self::Down { reference, pid, reason } => Some((reference, pid, reason)),
            Self::Message(_) | Self::Exit { .. } => None,
        }
    }
}
