//! The frames of a lane: one signal each, with a fixed little-endian header.
//!
//! ```text
//! length  u32      bytes that follow
//! kind    u8       bit 7: may be skipped if unknown; bit 6: the target is a name; bit 5: and that a group's; bits 0 to 4:
//!                  what it is
//! from    varint   serial of the sending process, 0 for the node itself
//! target  varint   serial of the receiver, or u8 length and the bytes of its name
//! rest             by kind; a message's body is what is left
//! ```
//!
//! The nodes are not in a frame: the link it travels by says who they are, so a peer cannot speak for another.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

use super::codec::LENGTH_BYTES;
use super::varint;
use crate::host::Delivery;
use crate::id::{Name, Reference};
use crate::reason::ExitReason;
use crate::signal::{Signal, Unanswered};

const OPTIONAL: u8 = 0x80;
const NAMED: u8 = 0x40;
const GROUP: u8 = 0x20;

mod kind {
    pub(super) const MESSAGE: u8 = 1;
    pub(super) const BULK: u8 = 2;
    pub(super) const LINK: u8 = 3;
    pub(super) const UNLINK: u8 = 4;
    pub(super) const UNLINK_ACK: u8 = 5;
    pub(super) const MONITOR: u8 = 6;
    pub(super) const DEMONITOR: u8 = 7;
    pub(super) const LINK_EXIT: u8 = 8;
    pub(super) const EXIT: u8 = 9;
    pub(super) const DOWN: u8 = 10;
    pub(super) const SPAWN: u8 = 11;
    pub(super) const SPAWNED: u8 = 12;
    pub(super) const REQUEST: u8 = 13;
    pub(super) const REPLY: u8 = 14;
    pub(super) const ACK_WANTED: u8 = 15;
    pub(super) const ACKED: u8 = 16;
    pub(super) const FENCE: u8 = 17;
}

/// Why bytes are no frame. The link that carried them ends; nothing was delivered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The frame ends before its last field.
    #[error("a frame is cut short in its {0}")]
    Short(&'static str),
    /// The frame has bytes behind its last field.
    #[error("a frame has {0} bytes too many")]
    Long(usize),
    /// The frame's kind is unknown and it may not be skipped.
    #[error("frame kind {0:#04x} is unknown and required")]
    Unknown(u8),
    /// A name in the frame is none.
    #[error("a frame carries no valid name")]
    Name,
    /// An exit reason in the frame is none.
    #[error("exit reason {0} is unknown")]
    Reason(u8),
    /// The status of an answer, to a spawn, a call or a message, is none.
    #[error("status {0} of an answer is unknown")]
    Status(u8),
    /// What a large body is is unknown.
    #[error("a large body of kind {0} is unknown")]
    Carried(u8),
    /// A fence with a sender, a receiver or something else in it, or on a stream that has none.
    #[error("a fence that says something, or has no place here")]
    Fence,
}

/// Whom a frame is for, as it stands in the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To<'a> {
    /// The process with this serial.
    Serial(u64),
    /// The process with this local name. Any text: an unknown name reaches nobody.
    Name(&'a str),
    /// Every process of the node that is a member of this group when the message arrives. Any text, as with a name.
    Group(&'a str),
}

impl To<'_> {
    /// What it adds to the kind of a frame.
    fn flags(self) -> u8 {
        match self {
            Self::Serial(_) => 0,
            Self::Name(_) => NAMED,
            Self::Group(_) => NAMED | GROUP,
        }
    }

    /// The bytes of the name that stand in the frame, if it is one.
    fn name(&self) -> &[u8] {
        match self {
            Self::Serial(_) => &[],
            Self::Name(name) | Self::Group(name) => name.as_bytes(),
        }
    }
}

/// A request to run a factory that the peer was taught.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpawnRequest {
    /// The caller's number for this request.
    pub call: u64,
    /// The factory's name.
    pub factory: Name,
    /// A global name that the child takes before it starts.
    pub register: Option<Name>,
    /// Whether the child starts linked to the caller.
    pub link: bool,
    /// The caller's monitor on the child, set before it starts.
    pub monitor: Option<Reference>,
    /// How long the caller waits, from when the request was queued.
    pub deadline: Duration,
    /// Bytes for the factory.
    pub args: Bytes,
}

/// Why a remote spawn started nothing. Definite: no process was left behind.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SpawnRefusal {
    /// No factory of this name, or the caller may not use it: the answer does not tell which.
    #[error("no such factory, or no grant for it")]
    NoFactory,
    /// The node runs as many of these as it may.
    #[error("the node runs as many of these as it may")]
    Busy,
    /// The factory refused its arguments.
    #[error("the factory refused its arguments: {0}")]
    BadArgs(String),
    /// The factory panicked.
    #[error("the factory panicked: {0}")]
    Panicked(String),
    /// The global name that the child was to take is taken.
    #[error("the name that the process was to take is taken")]
    NameTaken,
}

/// What a body that travels on a stream of its own is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// A message.
    Message,
    /// A typed request.
    Request(Option<Reference>),
    /// The answer to one.
    Reply(Reference),
}

impl Carried {
    /// The signal that it is, once its body is there.
    pub(crate) fn with(self, body: Bytes) -> Signal {
        match self {
            Self::Message => Signal::Message(body),
            Self::Request(reference) => Signal::Request { reference, body },
            Self::Reply(reference) => Signal::Reply { reference, result: Ok(body) },
        }
    }
}

/// What one frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body<'a> {
    /// A signal for a process.
    Signal {
        /// The receiver.
        to: To<'a>,
        /// What is done to it.
        signal: Signal,
    },
    /// A message whose body travels on a stream of its own. Later signals of the sender wait for it.
    Bulk {
        /// The receiver.
        to: To<'a>,
        /// The number of the body's stream.
        bulk: u64,
        /// The body's length in bytes.
        len: u64,
        /// What the body is.
        carried: Carried,
    },
    /// A remote spawn.
    Spawn(SpawnRequest),
    /// The answer to a remote spawn: the first frame of the child itself, if there is one.
    Spawned {
        /// The caller's number for the request.
        call: u64,
        /// Whether a child was started.
        result: Result<(), SpawnRefusal>,
    },
    /// The sender wants to know what becomes of its next message.
    AckWanted {
        /// The sender's number for the message.
        call: u64,
    },
    /// What became of a message whose sender wanted to know.
    Acked {
        /// The sender's number for the message.
        call: u64,
        /// What became of it.
        delivery: Delivery,
    },
    /// A kind of a later version that may be skipped.
    Skipped,
}

/// A frame that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Serial of the sender on the peer; 0 is the peer itself.
    pub from: u64,
    /// What it says.
    pub body: Body<'a>,
}

/// Whether frames of this kind are messages, and may be read in any order.
pub(crate) fn is_message(kind: u8) -> bool {
    kind & !(NAMED | GROUP) == kind::MESSAGE
}

/// Whether a frame of this kind is the stub of a message whose body travels apart.
pub(crate) fn is_bulk(kind: u8) -> bool {
    kind & !(OPTIONAL | NAMED | GROUP) == kind::BULK
}

/// Whether it is a fence: what follows in its lane waits for the fences of all other lanes.
pub(crate) fn is_fence(frame: &[u8]) -> bool {
    matches!(frame, [kind, 0, 0] if kind & !OPTIONAL == kind::FENCE)
}

/// Appends a message. A name was checked by the caller.
pub fn put_message(out: &mut BytesMut, from: u64, to: To<'_>, body: &[u8]) {
    let name = to.name();
    let mut head = Head::new(kind::MESSAGE, from, to);
    head.set_length(name.len() + body.len());
    out.reserve(head.bytes.len() + name.len() + body.len());
    // All of the head's room, of a length that the compiler knows, less what it does not use.
    let end = out.len() + head.len;
    out.put_slice(&head.bytes);
    out.truncate(end);
    out.put_slice(name);
    out.put_slice(body);
}

/// Appends the stub of a body that travels on stream `bulk`.
pub(crate) fn put_bulk(out: &mut BytesMut, from: u64, to: To<'_>, bulk: u64, len: u64, carried: Carried) {
    let start = begin(out, kind::BULK, from, to);
    varint::put(out, bulk);
    varint::put(out, len);
    let (what, reference) = match carried {
        Carried::Message => (0, 0),
        Carried::Request(reference) => (1, reference.map_or(0, Reference::raw)),
        Carried::Reply(reference) => (2, reference.raw()),
    };
    if what != 0 {
        out.put_u8(what);
        varint::put(out, reference);
    }
    end(out, start);
}

/// Appends a typed request; without a reference nobody waits for its answer.
pub(crate) fn put_request(
    out: &mut BytesMut,
    from: u64,
    to: To<'_>,
    reference: Option<Reference>,
    body: &[u8],
) {
    out.reserve(LENGTH_BYTES + 32 + to.name().len() + body.len());
    let start = put_number(out, kind::REQUEST, from, to, reference.map_or(0, Reference::raw));
    out.put_slice(body);
    end(out, start);
}

/// Appends any signal.
pub(crate) fn put_signal(out: &mut BytesMut, from: u64, to: u64, signal: &Signal) {
    let to = To::Serial(to);
    let start = match signal {
        Signal::Message(body) => return put_message(out, from, to, body),
        Signal::Request { reference, body } => return put_request(out, from, to, *reference, body),
        Signal::Reply { reference, result } => {
            let start = put_number(out, kind::REPLY, from, to, reference.raw());
            out.put_u8(match result {
                Ok(_) => 0,
                Err(Unanswered::NoReply) => 1,
                Err(Unanswered::NoServer) => 2,
                Err(Unanswered::MailboxFull) => 3,
                Err(Unanswered::BadRequest) => 4,
                Err(Unanswered::BadReply) => 5,
                Err(Unanswered::NoProc) => 6,
            });
            out.put_slice(result.as_deref().unwrap_or_default());
            start
        }
        Signal::Link => begin(out, kind::LINK, from, to),
        Signal::Unlink { id } => put_number(out, kind::UNLINK, from, to, *id),
        Signal::UnlinkAck { id } => put_number(out, kind::UNLINK_ACK, from, to, *id),
        Signal::Monitor { reference } => put_number(out, kind::MONITOR, from, to, reference.raw()),
        Signal::Demonitor { reference } => put_number(out, kind::DEMONITOR, from, to, reference.raw()),
        Signal::LinkExit(reason) => {
            let start = begin(out, kind::LINK_EXIT, from, to);
            put_reason(out, reason);
            start
        }
        Signal::Exit(reason) => {
            let start = begin(out, kind::EXIT, from, to);
            put_reason(out, reason);
            start
        }
        Signal::Down { reference, reason } => {
            let start = put_number(out, kind::DOWN, from, to, reference.raw());
            put_reason(out, reason);
            start
        }
    };
    end(out, start);
}

/// Appends a spawn request of process `from`.
pub(crate) fn put_spawn(out: &mut BytesMut, from: u64, request: &SpawnRequest) {
    let start = put_number(out, kind::SPAWN, from, To::Serial(0), request.call);
    let flags = u8::from(request.link)
        | u8::from(request.monitor.is_some()) << 1
        | u8::from(request.register.is_some()) << 2;
    out.put_u8(flags);
    varint::put(out, u64::try_from(request.deadline.as_millis()).unwrap_or(varint::MAX).min(varint::MAX));
    if let Some(reference) = request.monitor {
        varint::put(out, reference.raw());
    }
    if let Some(name) = &request.register {
        put_text(out, name.as_str());
    }
    put_text(out, request.factory.as_str());
    out.put_slice(&request.args);
    end(out, start);
}

/// Appends the answer to a spawn request; `from` is the child, or 0 if there is none.
pub(crate) fn put_spawned(out: &mut BytesMut, from: u64, call: u64, result: &Result<(), SpawnRefusal>) {
    let start = put_number(out, kind::SPAWNED, from, To::Serial(0), call);
    let (status, text) = match result {
        Ok(()) => (0, ""),
        Err(SpawnRefusal::NoFactory) => (1, ""),
        Err(SpawnRefusal::Busy) => (2, ""),
        Err(SpawnRefusal::BadArgs(text)) => (3, text.as_str()),
        Err(SpawnRefusal::Panicked(text)) => (4, text.as_str()),
        Err(SpawnRefusal::NameTaken) => (5, ""),
    };
    out.put_u8(status);
    out.put_slice(cut(text, ExitReason::PAYLOAD_BYTES_MAX).as_bytes());
    end(out, start);
}

/// Appends the wish to know what becomes of the next message of process `from`.
pub(crate) fn put_ack_wanted(out: &mut BytesMut, from: u64, call: u64) {
    let start = put_number(out, kind::ACK_WANTED, from, To::Serial(0), call);
    end(out, start);
}

/// Appends what became of a message.
pub(crate) fn put_acked(out: &mut BytesMut, call: u64, delivery: Delivery) {
    let start = put_number(out, kind::ACKED, 0, To::Serial(0), call);
    out.put_u8(match delivery {
        Delivery::Delivered => 0,
        Delivery::NoProc => 1,
        Delivery::MailboxFull => 2,
    });
    end(out, start);
}

/// Appends a fence.
pub(crate) fn put_fence(out: &mut BytesMut) {
    let start = begin(out, kind::FENCE, 0, To::Serial(0));
    end(out, start);
}

/// Reads one frame, as [`Deframer`](super::codec::Deframer) gives it.
///
/// # Errors
/// [`FrameError`] when the bytes are no frame of this version.
pub fn read(frame: &Bytes) -> Result<Frame<'_>, FrameError> {
    read_from(frame, 0)
}

/// From whom and to whom a message is, and where in its frame its body begins; `None` for any other frame, and for what is none.
#[inline]
pub(crate) fn read_message(frame: &[u8]) -> Option<(u64, To<'_>, usize)> {
    let mut data = frame;
    let (kind, from, to) = take_head(&mut data).ok()?;
    let is_message = kind & !(OPTIONAL | to.flags()) == kind::MESSAGE;
    is_message.then_some((from, to, frame.len() - data.len()))
}

/// Kind, sender and target.
#[inline]
fn take_head<'a>(data: &mut &'a [u8]) -> Result<(u8, u64, To<'a>), FrameError> {
    let kind = take_u8(data, "kind")?;
    let from = take_number(data, "sender")?;
    if kind & NAMED == 0 {
        return Ok((kind, from, To::Serial(take_number(data, "target")?)));
    }
    let len = take_u8(data, "target")? as usize;
    let (name, rest) = data.split_at_checked(len).ok_or(FrameError::Short("target"))?;
    *data = rest;
    let name = std::str::from_utf8(name).map_err(|_| FrameError::Name)?;
    Ok((kind, from, if kind & GROUP == 0 { To::Name(name) } else { To::Group(name) }))
}

/// [`read`] for a frame that begins after `start` bytes of something else.
pub(crate) fn read_from(frame: &Bytes, start: usize) -> Result<Frame<'_>, FrameError> {
    let mut data = &frame[start..];
    let (kind, from, to) = take_head(&mut data)?;
    let signal = |signal| Body::Signal { to, signal };
    let body = match kind & !(OPTIONAL | to.flags()) {
        kind::MESSAGE => {
            let body = frame.slice(frame.len() - data.len()..);
            data = &[];
            signal(Signal::Message(body))
        }
        kind::BULK => {
            let (bulk, len) = (take_number(&mut data, "stream")?, take_number(&mut data, "length")?);
            Body::Bulk { to, bulk, len, carried: take_carried(&mut data)? }
        }
        kind::REQUEST => {
            let reference = take_reference(&mut data)?;
            let body = frame.slice(frame.len() - data.len()..);
            data = &[];
            signal(Signal::Request { reference: some(reference), body })
        }
        kind::REPLY => {
            let reference = take_reference(&mut data)?;
            let result = match take_u8(&mut data, "status")? {
                0 => Ok(frame.slice(frame.len() - std::mem::take(&mut data).len()..)),
                1 => Err(Unanswered::NoReply),
                2 => Err(Unanswered::NoServer),
                3 => Err(Unanswered::MailboxFull),
                4 => Err(Unanswered::BadRequest),
                5 => Err(Unanswered::BadReply),
                6 => Err(Unanswered::NoProc),
                other => return Err(FrameError::Status(other)),
            };
            signal(Signal::Reply { reference, result })
        }
        kind::LINK => signal(Signal::Link),
        kind::UNLINK => signal(Signal::Unlink { id: take_number(&mut data, "number")? }),
        kind::UNLINK_ACK => signal(Signal::UnlinkAck { id: take_number(&mut data, "number")? }),
        kind::MONITOR => signal(Signal::Monitor { reference: take_reference(&mut data)? }),
        kind::DEMONITOR => signal(Signal::Demonitor { reference: take_reference(&mut data)? }),
        kind::LINK_EXIT => signal(Signal::LinkExit(take_reason(&mut data)?)),
        kind::EXIT => signal(Signal::Exit(take_reason(&mut data)?)),
        kind::DOWN => {
            let reference = take_reference(&mut data)?;
            signal(Signal::Down { reference, reason: take_reason(&mut data)? })
        }
        kind::SPAWN => {
            let request = take_spawn(&mut data, frame)?;
            data = &[];
            Body::Spawn(request)
        }
        kind::SPAWNED => {
            let call = take_number(&mut data, "call")?;
            let status = take_u8(&mut data, "status")?;
            let text = || String::from_utf8_lossy(data).into_owned();
            let result = match status {
                0 => Ok(()),
                1 => Err(SpawnRefusal::NoFactory),
                2 => Err(SpawnRefusal::Busy),
                3 => Err(SpawnRefusal::BadArgs(text())),
                4 => Err(SpawnRefusal::Panicked(text())),
                5 => Err(SpawnRefusal::NameTaken),
                other => return Err(FrameError::Status(other)),
            };
            data = &[];
            Body::Spawned { call, result }
        }
        kind::ACK_WANTED => Body::AckWanted { call: take_number(&mut data, "call")? },
        kind::ACKED => {
            let call = take_number(&mut data, "call")?;
            let delivery = match take_u8(&mut data, "status")? {
                0 => Delivery::Delivered,
                1 => Delivery::NoProc,
                2 => Delivery::MailboxFull,
                other => return Err(FrameError::Status(other)),
            };
            Body::Acked { call, delivery }
        }
        // Whole, it is met before it is read; nobody may skip one.
        kind::FENCE => return Err(FrameError::Fence),
        _ if kind & OPTIONAL != 0 => {
            data = &[];
            Body::Skipped
        }
        _ => return Err(FrameError::Unknown(kind)),
    };
    if let (Body::Signal { signal, .. }, To::Group(_)) = (&body, to)
        && !matches!(signal, Signal::Message(_))
    {
        return Err(FrameError::Unknown(kind));
    }
    if data.is_empty() { Ok(Frame { from, body }) } else { Err(FrameError::Long(data.len())) }
}

fn begin(out: &mut BytesMut, kind: u8, from: u64, to: To<'_>) -> usize {
    let start = out.len();
    out.put_slice(Head::new(kind, from, to).as_slice());
    out.put_slice(to.name());
    start
}

/// What stands in front of each frame, up to a target's name.
struct Head {
    bytes: [u8; LENGTH_BYTES + 1 + 8 + 8],
    len: usize,
}

impl Head {
    #[inline]
    fn new(kind: u8, from: u64, to: To<'_>) -> Self {
        let mut head = Self { bytes: [0; LENGTH_BYTES + 1 + 8 + 8], len: LENGTH_BYTES + 1 };
        head.bytes[LENGTH_BYTES] = kind | to.flags();
        head.number(from);
        match to {
            To::Serial(serial) => head.number(serial),
            To::Name(name) | To::Group(name) => {
                debug_assert!(name.len() <= crate::id::NAME_BYTES_MAX, "names are bounded");
                head.bytes[head.len] = name.len() as u8;
                head.len += 1;
            }
        }
        head
    }

    #[inline]
    fn number(&mut self, value: u64) {
        let (bytes, len) = varint::encode(value);
        self.bytes[self.len..self.len + 8].copy_from_slice(&bytes);
        self.len += len;
    }

    /// Says the length of the frame, of which so many bytes follow this head.
    #[inline]
    fn set_length(&mut self, behind: usize) {
        let len = u32::try_from(self.len - LENGTH_BYTES + behind).expect("bodies are bounded");
        self.bytes[..LENGTH_BYTES].copy_from_slice(&len.to_le_bytes());
    }

    #[inline]
    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

fn end(out: &mut BytesMut, start: usize) {
    let len = u32::try_from(out.len() - start - LENGTH_BYTES).expect("bodies are bounded");
    out[start..start + LENGTH_BYTES].copy_from_slice(&len.to_le_bytes());
}

fn put_number(out: &mut BytesMut, kind: u8, from: u64, to: To<'_>, number: u64) -> usize {
    let start = begin(out, kind, from, to);
    varint::put(out, number);
    start
}

fn put_text(out: &mut BytesMut, text: &str) {
    debug_assert!(text.len() <= crate::id::NAME_BYTES_MAX, "names are bounded");
    out.put_u8(text.len() as u8);
    out.put_slice(text.as_bytes());
}

fn put_reason(out: &mut BytesMut, reason: &ExitReason) {
    let payload: &[u8] = match reason {
        ExitReason::Panic(text) => cut(text, ExitReason::PAYLOAD_BYTES_MAX).as_bytes(),
        ExitReason::Custom(payload) => &payload[..payload.len().min(ExitReason::PAYLOAD_BYTES_MAX)],
        _ => &[],
    };
    out.put_u8(match reason {
        ExitReason::Normal => 0,
        ExitReason::Killed => 1,
        ExitReason::Shutdown => 2,
        ExitReason::NoConnection => 3,
        ExitReason::NoProc => 4,
        ExitReason::Panic(_) => 5,
        ExitReason::Custom(_) => 6,
    });
    out.put_u16_le(payload.len() as u16);
    out.put_slice(payload);
}

/// The longest front of `text` that has at most `max` bytes.
fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

fn take_u8(data: &mut &[u8], what: &'static str) -> Result<u8, FrameError> {
    let (first, rest) = data.split_first().ok_or(FrameError::Short(what))?;
    *data = rest;
    Ok(*first)
}

fn take_number(data: &mut &[u8], what: &'static str) -> Result<u64, FrameError> {
    varint::take(data).ok_or(FrameError::Short(what))
}

fn take_reference(data: &mut &[u8]) -> Result<Reference, FrameError> {
    take_number(data, "reference").map(Reference::from_raw)
}

/// 0 stands for no reference.
fn some(reference: Reference) -> Option<Reference> {
    (reference.raw() != 0).then_some(reference)
}

fn take_carried(data: &mut &[u8]) -> Result<Carried, FrameError> {
    if data.is_empty() {
        return Ok(Carried::Message);
    }
    match take_u8(data, "kind of body")? {
        1 => Ok(Carried::Request(some(take_reference(data)?))),
        2 => Ok(Carried::Reply(take_reference(data)?)),
        other => Err(FrameError::Carried(other)),
    }
}

fn take_name(data: &mut &[u8]) -> Result<Name, FrameError> {
    let len = take_u8(data, "name")? as usize;
    let (name, rest) = data.split_at_checked(len).ok_or(FrameError::Short("name"))?;
    *data = rest;
    std::str::from_utf8(name).ok().and_then(|name| Name::new(name).ok()).ok_or(FrameError::Name)
}

fn take_reason(data: &mut &[u8]) -> Result<ExitReason, FrameError> {
    let tag = take_u8(data, "reason")?;
    if data.len() < 2 {
        return Err(FrameError::Short("reason"));
    }
    let len = data.get_u16_le() as usize;
    let (payload, rest) = data.split_at_checked(len).ok_or(FrameError::Short("reason"))?;
    *data = rest;
    Ok(match tag {
        0 => ExitReason::Normal,
        1 => ExitReason::Killed,
        2 => ExitReason::Shutdown,
        3 => ExitReason::NoConnection,
        4 => ExitReason::NoProc,
        5 => ExitReason::Panic(String::from_utf8_lossy(payload).into()),
        6 => ExitReason::Custom(payload.into()),
        other => return Err(FrameError::Reason(other)),
    })
}

fn take_spawn(data: &mut &[u8], frame: &Bytes) -> Result<SpawnRequest, FrameError> {
    let call = take_number(data, "call")?;
    let flags = take_u8(data, "flags")?;
    let deadline = Duration::from_millis(take_number(data, "deadline")?);
    let monitor = if flags & 2 != 0 { Some(take_reference(data)?) } else { None };
    let register = if flags & 4 != 0 { Some(take_name(data)?) } else { None };
    let factory = take_name(data)?;
    let args = frame.slice(frame.len() - data.len()..);
    Ok(SpawnRequest { call, factory, register, link: flags & 1 != 0, monitor, deadline, args })
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
