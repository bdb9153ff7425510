//! Why a call has no answer, and why a server did not start.

use regatta_proto::id::Pid;
use regatta_proto::reason::ExitReason;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::codec::CodecError;
use crate::actor::SendError;

/// Why a call has no answer. [`may_have_happened`](Self::may_have_happened) tells whether the server may have seen it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CallError {
    /// It was not sent, or did not get into the mailbox. The server did not see it.
    #[error("not sent: {0}")]
    NotSent(#[from] SendError),
    /// The process is no server, or one of another type. The server did not see it.
    #[error("the process is no such server")]
    NoServer,
    /// A server that waits for its own answer would wait for ever. Not sent.
    #[error("a server cannot call itself")]
    CallsItself,
    /// As many calls to other nodes as there may be are under way. Not sent.
    #[error("too many calls to other nodes are under way")]
    TooMany,
    /// The request cannot be encoded. Not sent.
    #[error("the request cannot be encoded: {0}")]
    Encode(CodecError),
    /// The other node could not decode the request: the two do not agree about its type. The server did not see it.
    #[error("the server's node could not decode the request")]
    BadRequest,
    /// The server let go of the call without an answer. It may have acted.
    #[error("the server gave no answer")]
    NoReply,
    /// The answer could not be encoded or decoded, or was too large. The server has acted.
    #[error("the answer could not be encoded or decoded, or was too large")]
    BadReply,
    /// The server ended before it answered. It may have acted.
    #[error("the server ended: {0}")]
    Down(ExitReason),
    /// The link to the server's node was lost before the answer came. The server may have acted, and may still live.
    #[error("the connection to the server's node was lost")]
    NoConnection,
    /// The deadline has passed. The server may have acted, or may yet. An answer that comes later is dropped.
    #[error("no answer in time")]
    Timeout,
}

impl CallError {
    /// Whether the server may have acted on the request.
    #[must_use]
    pub const fn may_have_happened(&self) -> bool {
        match self {
            Self::NotSent(error) => error.may_have_happened(),
            Self::NoServer | Self::CallsItself | Self::TooMany | Self::Encode(_) | Self::BadRequest => false,
            Self::NoReply | Self::BadReply | Self::Down(_) | Self::NoConnection | Self::Timeout => true,
        }
    }
}

/// Why a server did not start. Its process has ended.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StartError {
    /// The name that it was to have is held by a live process.
    #[error("the name is held by {by}")]
    Taken {
        /// Who holds it.
        by: Pid,
    },
    /// The text is no name.
    #[error("not a name: use 1 to 255 bytes without control characters")]
    BadName,
    /// Its `init` gave this reason, or panicked, or the process was told to end meanwhile.
    #[error("the server did not start: {0}")]
    Init(ExitReason),
}
