//! Why a process ended.

use std::fmt;
use std::sync::Arc;

/// Why a process ended, as links and monitors see it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ExitReason {
    /// The body returned. A link that dies so takes nobody with it.
    Normal,
    /// Ended from outside and without a word, whether it trapped exits or not.
    Killed,
    /// Asked to end in an orderly way, as a supervisor does.
    Shutdown,
    /// The link to its node was lost: the process may still run there.
    NoConnection,
    /// There is no such process (any more).
    NoProc,
    /// The body panicked; the text of the panic.
    Panic(Arc<str>),
    /// The program's own reason: bytes that only the program reads.
    Custom(Arc<[u8]>),
}

impl ExitReason {
    /// Longest text or payload that a reason may carry across nodes, in bytes; a longer one is cut.
    pub const PAYLOAD_BYTES_MAX: usize = 4096;

    /// A reason of the program's own, from text or bytes.
    #[must_use]
    pub fn custom(payload: impl AsRef<[u8]>) -> Self {
        Self::Custom(payload.as_ref().into())
    }

    /// Whether the process ended as it should: [`Normal`](Self::Normal) or [`Shutdown`](Self::Shutdown).
    #[must_use]
    pub fn is_orderly(&self) -> bool {
        matches!(self, Self::Normal | Self::Shutdown)
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("normal"),
            Self::Killed => f.write_str("killed"),
            Self::Shutdown => f.write_str("shutdown"),
            Self::NoConnection => f.write_str("no connection"),
            Self::NoProc => f.write_str("no process"),
            Self::Panic(text) => write!(f, "panic: {}", text.escape_debug()),
            Self::Custom(payload) => write!(f, "custom: {}", payload.escape_ascii()),
        }
    }
}
