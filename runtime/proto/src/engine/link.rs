//! One link as the engine keeps it: a QUIC connection, its phase, and its two halves.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use quinn_proto::{Connection, StreamId};
use rustc_hash::FxHashMap;

use crate::cluster::names::Key;
use crate::cluster::watch::Watches;
use crate::host::{LinkEnd, LinkId};
use crate::id::NodeName;
use crate::limits::{CONTROL_QUEUE_BYTES_MAX, Limits};
use crate::link::budget::LinkBudget;
use crate::link::close::CloseCode;
use crate::link::handshake::{Greeted, Refusal};
use crate::link::receiver::{Receiver, Stream};
use crate::link::sender::Sender;
use crate::link::spread::Spread;
use crate::link::tail::{Tail, Witness};
use crate::link::writer::Writer;
use crate::wire::codec::Deframer;
use crate::wire::control;

/// How far a link has come. It only ever goes down this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// QUIC and TLS are at work.
    Handshaking,
    /// The dialer has sent its hello and awaits the welcome; the acceptor awaits the hello.
    Greeting,
    /// The acceptor has answered and awaits the confirmation.
    Answered,
    /// It carries signals.
    Live,
    /// It is over; QUIC still says goodbye.
    Ended,
}

/// Who wanted a dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dial {
    /// The host, which gets the outcome under this number.
    Host(u64),
    /// The engine itself, for the member in [`Link::wanted`].
    Member,
}

/// Which end we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Dialer { dial: Dial },
    Acceptor,
}

/// A question of ours on its stream, or the peer's.
#[derive(Debug)]
pub(crate) enum Exchange {
    /// We asked, for this call.
    Asked { call: u64, question: Writer, answer: Deframer },
    /// The peer asks.
    Hearing(Deframer),
    /// We are to answer, or have.
    Answering(Writer),
}

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) connection: Connection,
    pub(crate) addr: SocketAddr,
    pub(crate) side: Side,
    pub(crate) phase: Phase,
    /// Whom a dial of the engine's own is for.
    pub(crate) wanted: Option<NodeName>,
    /// Who the peer is, once it has introduced itself.
    pub(crate) peer: Option<Greeted>,
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
    pub(crate) control: Deframer,
    pub(crate) streams: FxHashMap<StreamId, Stream>,
    pub(crate) exchanges: FxHashMap<StreamId, Exchange>,
    /// Exchanges that have something to write.
    pub(crate) writing: BTreeSet<StreamId>,
    /// Questions that wait for a stream: the call and the encoded question.
    pub(crate) questions: VecDeque<(u64, Bytes)>,
    pub(crate) watches: Watches,
    /// What the peer held of our names when it opened the link.
    pub(crate) held: control::Held,
    /// The peer is being sent all our names and memberships: what the last page ended with, if there was one.
    pub(crate) paging: Option<Option<Key>>,
    /// Over how many lanes its senders are spread.
    pub(crate) spread: Spread,
    /// Senders who want to know what becomes of their next message, with the number of their call.
    pub(crate) acks_wanted: FxHashMap<u64, u64>,
    /// When the last datagram came, authentic or not.
    pub(crate) arrived: Option<Instant>,
    /// When the peer was last heard, as of the last look.
    pub(crate) heard_at: Option<Instant>,
    /// Frames that had been received when the link was last looked at for signs of life.
    pub(crate) frames_seen: u64,
    /// Pulses in a row in which the peer saw another cluster than this node.
    pub(crate) views_differ: u32,
    /// When the opening must be over.
    pub(crate) open_by: Option<Instant>,
    /// What was written last and may be lost.
    pub(crate) tail: Tail,
    /// QUIC's next timer, as it last said.
    pub(crate) timeout: Option<Instant>,
    /// In the engine's list of links to be looked at.
    pub(crate) dirty: bool,
    /// In the engine's list of links that may have datagrams.
    pub(crate) sending: bool,
}

impl Link {
    pub(crate) fn new(
        id: LinkId,
        (connection, witness): (Connection, Arc<Witness>),
        addr: SocketAddr,
        side: Side,
        limits: &Limits,
        now: Instant,
    ) -> Self {
        let budget = Arc::new(LinkBudget::new(limits.queue_bytes_high, limits.queue_bytes_low));
        Self {
            id,
            connection,
            addr,
            side,
            phase: Phase::Handshaking,
            wanted: None,
            peer: None,
            sender: Sender::new(budget),
            receiver: Receiver::new(limits.message_bytes_max, limits.reassembly_bytes_max),
            control: Deframer::default(),
            streams: FxHashMap::default(),
            exchanges: FxHashMap::default(),
            writing: BTreeSet::new(),
            questions: VecDeque::new(),
            watches: Watches::default(),
            held: control::Held::default(),
            paging: None,
            spread: Spread::new(limits.near_rtt),
            acks_wanted: FxHashMap::default(),
            arrived: None,
            heard_at: None,
            frames_seen: 0,
            views_differ: 0,
            open_by: Some(now + limits.handshake_timeout),
            tail: Tail::new(witness),
            timeout: None,
            dirty: false,
            sending: false,
        }
    }

    /// Queues a message on the control stream.
    ///
    /// # Errors
    /// A refusal that ends the link: the peer reads its control stream too slowly.
    pub(crate) fn say(&mut self, body: control::Body) -> Result<(), Refusal> {
        self.say_encoded(encode(body))
    }

    /// Queues a message of [`encode`] on the control stream.
    ///
    /// # Errors
    /// As [`say`](Self::say).
    pub(crate) fn say_encoded(&mut self, message: Bytes) -> Result<(), Refusal> {
        self.sender.control(message);
        if self.sender.control_waiting_bytes() > CONTROL_QUEUE_BYTES_MAX {
            let detail = format!("more than {CONTROL_QUEUE_BYTES_MAX} bytes wait on the control stream");
            return Err(Refusal::new(CloseCode::Limit, detail));
        }
        Ok(())
    }

    /// Says goodbye. The engine deals with what the end means.
    pub(crate) fn close(&mut self, now: Instant, code: CloseCode, detail: &str) {
        let reason = Bytes::copy_from_slice(&detail.as_bytes()[..detail.floor_char_boundary(200)]);
        self.tail.closed();
        self.connection.close(now, (code as u32).into(), reason);
    }
}

/// A message of the control stream as it is sent: once for any number of links.
pub(crate) fn encode(body: control::Body) -> Bytes {
    let required =
        matches!(body, control::Body::Hello(_) | control::Body::Welcome(_) | control::Body::Confirm(_));
    let mut out = BytesMut::new();
    control::put(&mut out, &control::Control { body: Some(body), required });
    out.freeze()
}

/// A peer's fault as the reason for a link's end.
pub(crate) fn closed(refusal: &Refusal) -> LinkEnd {
    LinkEnd::Closed { code: refusal.code, detail: refusal.detail.clone() }
}
