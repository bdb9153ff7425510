//! What one process can do to another, wherever it runs.
//!
//! Every signal of one process to one node travels by one lane, and by another one only behind a fence, so two signals of A to B are never swapped, whatever
//! they are (the signal ordering guarantee of the Erlang reference manual, chapter "Processes").

use bytes::Bytes;

use crate::id::{Name, Reference};
use crate::reason::ExitReason;

/// Whom a signal is for, on the node that it is sent to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// The process with this serial.
    Serial(u64),
    /// The process that holds this name there when the signal arrives.
    Name(Name),
    /// Every process that is a member of this group there when the message arrives.
    Group(Name),
}

/// What is done to the process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Signal {
    /// A message: opaque bytes.
    Message(Bytes),
    /// A typed request to a server, encoded by its own codec.
    Request {
        /// Whom the answer is for: the sender's name for this call, `None` if it wants no answer.
        reference: Option<Reference>,
        /// The encoded request.
        body: Bytes,
    },
    /// The answer to the [`Request`](Signal::Request) with this reference. It ends the call, as a
    /// [`Down`](Signal::Down) with its reference does, and never reaches a mailbox.
    Reply {
        /// The call that ends.
        reference: Reference,
        /// The encoded answer, or why there is none.
        result: Result<Bytes, Unanswered>,
    },
    /// The sender links itself to the receiver.
    Link,
    /// The sender takes its link back; `id` names this very act, so that a link made again meanwhile survives.
    Unlink {
        /// The act's number, unique for the sender.
        id: u64,
    },
    /// The receiver has seen the unlink with this number.
    UnlinkAck {
        /// The number that the [`Unlink`](Signal::Unlink) carried.
        id: u64,
    },
    /// The sender wants to be told when the receiver ends.
    Monitor {
        /// The sender's name for this monitor.
        reference: Reference,
    },
    /// The sender no longer wants to be told.
    Demonitor {
        /// The monitor that ends.
        reference: Reference,
    },
    /// A linked process ended: takes the receiver with it unless it traps exits or the reason is normal.
    LinkExit(ExitReason),
    /// Somebody asks the receiver to end (`exit/2`). `Killed` cannot be trapped.
    Exit(ExitReason),
    /// A monitored process ended.
    Down {
        /// The monitor that fires, and with that ends.
        reference: Reference,
        /// Why the process ended.
        reason: ExitReason,
    },
}

/// Why a request that reached its node has no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unanswered {
    /// The server let go of the call without an answer.
    NoReply,
    /// The process is no server. It did not see the request.
    NoServer,
    /// The server's mailbox refused the request. It did not see it.
    MailboxFull,
    /// The request was none of the server's. Its code did not see it.
    BadRequest,
    /// There is no such process.
    NoProc,
    /// The server's answer could not be encoded, or was too large.
    BadReply,
}
