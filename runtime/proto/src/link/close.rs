//! Why a link ends: the application close codes of QUIC that both ends understand.

use std::fmt;

/// A close code and what it means. The numbers are part of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum CloseCode {
    /// The node shuts down in an orderly way.
    Shutdown = 0x01,
    /// The hello was no hello, or of another version or cluster.
    BadHello = 0x10,
    /// The node announced a name that is not its own.
    IdentityMismatch = 0x11,
    /// The two nodes have a link already.
    DuplicateLink = 0x12,
    /// The peer broke the protocol.
    Protocol = 0x14,
    /// The peer went over a limit.
    Limit = 0x15,
    /// The hello did not arrive in time.
    HandshakeTimeout = 0x16,
    /// The peer's certificate was revoked.
    Revoked = 0x17,
    /// The peer's certificate expired.
    Expired = 0x18,
    /// The node dialled itself.
    SelfDial = 0x19,
    /// Nothing was heard of the peer for too long: this end of the link has given it up.
    NotHeard = 0x1a,
}

impl CloseCode {
    const ALL: [Self; 11] = [
        Self::Shutdown,
        Self::BadHello,
        Self::IdentityMismatch,
        Self::DuplicateLink,
        Self::Protocol,
        Self::Limit,
        Self::HandshakeTimeout,
        Self::Revoked,
        Self::Expired,
        Self::SelfDial,
        Self::NotHeard,
    ];

    /// The code with this number, if there is one.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|code| *code as u64 == number)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Shutdown => "shutdown",
            Self::BadHello => "bad hello",
            Self::IdentityMismatch => "identity mismatch",
            Self::DuplicateLink => "duplicate link",
            Self::Protocol => "protocol error",
            Self::Limit => "limit exceeded",
            Self::HandshakeTimeout => "handshake timeout",
            Self::Revoked => "certificate revoked",
            Self::Expired => "certificate expired",
            Self::SelfDial => "self-dial",
            Self::NotHeard => "not heard",
        };
        write!(f, "{text} ({:#04x})", *self as u32)
    }
}
