//! Why an act on a process failed. One enum per operation; each variant says what state is left.

use regatta_proto::id::Pid;
use thiserror::Error;

/// Why a message was not sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no such process here, or nobody holds the name. Not sent.
    #[error("no such process")]
    NoProc,
    /// The receiver's mailbox is at its bound and rejects. Not sent; it may have room again later.
    #[error("the receiver's mailbox is full")]
    MailboxFull,
    /// There is no link to the process's node. Not sent.
    #[error("no connection to the process's node")]
    NoConnection,
    /// The pid is of an earlier start of its node; that process is gone for good. Not sent.
    #[error("the pid is of an earlier start of its node")]
    StaleIncarnation,
    /// The queue of the link to that node is above its high-water mark, or the node is being dialled
    /// ([`connect_all(false)`](crate::cluster::ClusterNodeBuilder::connect_all)). Not sent; a sender that can wait does.
    #[error("the link to the process's node is above its high-water mark, or being dialled")]
    Busy,
    /// The body is above what the link takes. Not sent.
    #[error("a body of {len} bytes is above the bound of {max}")]
    TooLarge {
        /// The body's length in bytes.
        len: usize,
        /// The bound in bytes.
        max: usize,
    },
}

impl SendError {
    /// Whether the message may have reached its receiver all the same. Every cause there is today is definite: it was
    /// not sent, so this is `false`.
    #[must_use]
    pub const fn may_have_happened(&self) -> bool {
        match self {
            Self::NoProc
            | Self::MailboxFull
            | Self::NoConnection
            | Self::StaleIncarnation
            | Self::Busy
            | Self::TooLarge { .. } => false,
        }
    }
}

/// Why there was no word that a message has reached its receiver's mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AckError {
    /// It was not sent.
    #[error("not sent: {0}")]
    NotSent(#[from] SendError),
    /// There is no such process. Not delivered.
    #[error("no such process")]
    NoProc,
    /// The receiver's mailbox is at its bound and rejects. Not delivered; it may have room again later.
    #[error("the receiver's mailbox is full")]
    MailboxFull,
    /// No answer came in time: it may have been delivered, or may still be. Send it again only if it may come twice.
    #[error("no answer in time: the message may have been delivered")]
    Timeout,
    /// The link was lost before the answer came: it may have been delivered. Send it again only if it may come twice.
    #[error("the link was lost: the message may have been delivered")]
    ConnectionLost,
}

impl AckError {
    /// Whether the message may have been delivered all the same.
    #[must_use]
    pub const fn may_have_happened(&self) -> bool {
        matches!(self, Self::Timeout | Self::ConnectionLost)
    }
}

/// Why a name was not registered. The registry is as it was.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// A live process holds the name.
    #[error("the name is held by {by}")]
    Taken {
        /// Who holds it.
        by: Pid,
    },
    /// The process is not alive, or not of this runtime.
    #[error("no such process in this runtime")]
    NoProc,
    /// The text is no name: 1 to 255 bytes without control characters.
    #[error("not a name: use 1 to 255 bytes without control characters")]
    BadName,
}
