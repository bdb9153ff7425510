//! The receiving half of a link: cuts lanes into frames, collects large bodies, and holds a sender's later frames until
//! its large body is whole.
//!
//! Frames of one sender come out in the order in which it sent them, whatever streams they came by. What is held is
//! bounded; a peer that keeps the protocol stays well below (see [`sender`](super::sender)).

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use rustc_hash::FxHashMap;
use thiserror::Error;

use super::sender::{STREAM_BULK, STREAM_LANE, STREAM_UNORDERED};
use crate::limits::{FRAME_OVERHEAD_BYTES_MAX, LANES};
use crate::wire::codec::{self, Deframer, TooLong};
use crate::wire::frame::{self, Body, Frame, FrameError, To};

const BULK_PREFACE_BYTES: usize = 17;

/// Why a peer's stream ends the link. Nothing of the offending stream was delivered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum ReceiveError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    TooLong(#[from] TooLong),
    #[error("a stream of unknown kind {0}")]
    Kind(u8),
    #[error("lane {0} does not exist or was opened twice")]
    Lane(u8),
    #[error("large body {0} was announced twice")]
    Twice(u64),
    #[error("large body {id} has {got} of {announced} bytes")]
    Length { id: u64, announced: u64, got: u64 },
    #[error("a message of {len} bytes is above the bound of {max}")]
    Message { len: u64, max: usize },
    #[error("bodies and frames held for the peer are above the bound of {max} bytes")]
    Held { max: usize },
    #[error("a frame of kind {0:#04x} on a stream without order")]
    Order(u8),
    #[error("an acknowledgement is wanted of a message, and of another one before that has come")]
    NoMessage,
    #[error("acknowledgements are wanted of more than {max} messages that have not come")]
    AcksWanted { max: usize },
    #[error("a stream was cut in the middle of a frame")]
    Cut,
}

impl ReceiveError {
    /// Whether a limit was broken, rather than the format.
    pub(crate) fn is_limit(&self) -> bool {
        matches!(self, Self::TooLong(_) | Self::Message { .. } | Self::Held { .. } | Self::AcksWanted { .. })
    }
}

/// One uni-stream of the peer.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Its first bytes have not all arrived.
    Preface(BytesMut),
    Lane {
        lane: u8,
        deframer: Deframer,
    },
    Bulk {
        id: u64,
        len: u64,
        body: BytesMut,
    },
    /// Messages that wait for nothing and nobody.
    Unordered(Deframer),
}

impl Default for Stream {
    fn default() -> Self {
        Self::Preface(BytesMut::new())
    }
}

/// What can be handled now.
#[derive(Debug)]
pub(crate) enum Ready<'a> {
    /// A message: its sender, its receiver, and its body.
    Message {
        from: u64,
        to: To<'a>,
        body: Bytes,
        /// It keeps its sender's order.
        ordered: bool,
    },
    /// Any other frame, and messages that waited; a large message comes with its body. It keeps its sender's order.
    Frame { frame: Bytes, body: Option<Bytes> },
}

/// The receiving half.
#[derive(Debug)]
pub(crate) struct Receiver {
    lanes_seen: [bool; LANES],
    /// Bit per lane that is read up to its fence, and waits for those of the others.
    fenced: u32,
    /// Bodies that are whole, and whose stub has not come.
    whole: FxHashMap<u64, Bytes>,
    /// The sender that waits for a body.
    expected: FxHashMap<u64, u64>,
    /// Frames of senders that wait, each queue led by the stub of the body that it waits for.
    held: FxHashMap<u64, VecDeque<Bytes>>,
    /// Bytes of unfinished and whole bodies and of held frames.
    held_bytes: usize,
    held_bytes_max: usize,
    message_bytes_max: usize,
}

impl Receiver {
    pub(crate) fn new(message_bytes_max: usize, held_bytes_max: usize) -> Self {
        Self {
            lanes_seen: [false; LANES],
            fenced: 0,
            whole: FxHashMap::default(),
            expected: FxHashMap::default(),
            held: FxHashMap::default(),
            held_bytes: 0,
            held_bytes_max,
            message_bytes_max,
        }
    }

    /// Takes a chunk of a stream and hands every frame that is ready to `ready`.
    pub(crate) fn chunk(
        &mut self,
        stream: &mut Stream,
        chunk: Bytes,
        ready: &mut impl FnMut(Ready<'_>) -> Result<(), ReceiveError>,
    ) -> Result<(), ReceiveError> {
        let mut chunk = chunk;
        if let Stream::Preface(start) = stream {
            start.extend_from_slice(&chunk);
            let Some((kind, used)) = self.preface(start)? else { return Ok(()) };
            chunk = std::mem::take(start).freeze().split_off(used);
            *stream = kind;
        }
        match stream {
            Stream::Preface(_) => unreachable!("replaced above"),
            Stream::Lane { lane, deframer } => {
                let max = self.message_bytes_max + FRAME_OVERHEAD_BYTES_MAX;
                let mut at = 0;
                // Most chunks hold whole frames of messages, behind no large body: those need one slice each, of their body.
                while self.held.is_empty()
                    && deframer.is_empty()
                    && let Some(frame) = codec::whole(&chunk, &mut at, max)?
                {
                    let bytes = &chunk[frame.clone()];
                    match frame::read_message(bytes) {
                        Some((from, to, start)) => {
                            let body = chunk.slice(frame.start + start..frame.end);
                            ready(Ready::Message { from, to, body, ordered: true })?;
                        }
                        None if frame::is_fence(bytes) => {
                            deframer.push(chunk.split_off(at));
                            self.fence(*lane);
                            return Ok(());
                        }
                        None => self.frame(chunk.slice(frame), ready)?,
                    }
                }
                chunk.advance(at);
                if chunk.is_empty() {
                    return Ok(());
                }
                deframer.push(chunk);
                self.frames(*lane, deframer, ready)
            }
            Stream::Unordered(deframer) => {
                let max = self.message_bytes_max + FRAME_OVERHEAD_BYTES_MAX;
                // Lanes are few; of these there may be many, and each may be cut in the middle of a large frame.
                self.held_bytes -= deframer.held_bytes();
                deframer.push(chunk);
                while let Some(frame) = deframer.next(max)? {
                    match frame.first() {
                        Some(kind) if frame::is_message(*kind) => {
                            let (from, to, start) = frame::read_message(&frame).ok_or_else(|| {
                                frame::read(&frame).err().unwrap_or(FrameError::Short("target"))
                            })?;
                            ready(Ready::Message { from, to, body: frame.slice(start..), ordered: false })?;
                        }
                        kind => return Err(ReceiveError::Order(kind.copied().unwrap_or(0))),
                    }
                }
                self.hold(deframer.held_bytes())
            }
            Stream::Bulk { id, len, body } => {
                body.extend_from_slice(&chunk);
                if body.len() as u64 > *len {
                    return Err(ReceiveError::Length { id: *id, announced: *len, got: body.len() as u64 });
                }
                Ok(())
            }
        }
    }

    /// Whether no more of this stream may be read for now: it is a lane, read up to its fence.
    pub(crate) fn holds(&self, stream: &Stream) -> bool {
        matches!(stream, Stream::Lane { lane, .. } if self.fenced & (1 << lane) != 0)
    }

    /// Whether the fences of all lanes have come, so that all are to be read on: [`resume_lane`](Self::resume_lane) first.
    pub(crate) fn passes_fences(&mut self) -> bool {
        let all = self.fenced == u32::MAX >> (u32::BITS as usize - LANES);
        if all {
            self.fenced = 0;
        }
        all
    }

    /// Hands out what was received behind a fence.
    pub(crate) fn resume_lane(
        &mut self,
        stream: &mut Stream,
        ready: &mut impl FnMut(Ready<'_>) -> Result<(), ReceiveError>,
    ) -> Result<(), ReceiveError> {
        match stream {
            Stream::Lane { lane, deframer } => self.frames(*lane, deframer, ready),
            _ => Ok(()),
        }
    }

    /// The stream has ended.
    pub(crate) fn end(
        &mut self,
        stream: Stream,
        ready: &mut impl FnMut(Ready<'_>) -> Result<(), ReceiveError>,
    ) -> Result<(), ReceiveError> {
        match stream {
            Stream::Preface(start) if start.is_empty() => Ok(()),
            Stream::Preface(_) => Err(ReceiveError::Cut),
            Stream::Lane { deframer, .. } | Stream::Unordered(deframer) if deframer.is_empty() => Ok(()),
            Stream::Lane { .. } | Stream::Unordered(_) => Err(ReceiveError::Cut),
            Stream::Bulk { id, len, body } if body.len() as u64 == len => {
                if self.whole.insert(id, body.freeze()).is_some() {
                    return Err(ReceiveError::Twice(id));
                }
                if let Some(from) = self.expected.remove(&id) { self.resume(from, ready) } else { Ok(()) }
            }
            Stream::Bulk { id, len, body } => {
                Err(ReceiveError::Length { id, announced: len, got: body.len() as u64 })
            }
        }
    }

    fn preface(&mut self, start: &[u8]) -> Result<Option<(Stream, usize)>, ReceiveError> {
        match start {
            [STREAM_LANE, lane, ..] => {
                let seen = self.lanes_seen.get_mut(*lane as usize).filter(|seen| !**seen);
                *seen.ok_or(ReceiveError::Lane(*lane))? = true;
                Ok(Some((Stream::Lane { lane: *lane, deframer: Deframer::default() }, 2)))
            }
            [STREAM_BULK, rest @ ..] if start.len() >= BULK_PREFACE_BYTES => {
                let number = |at: usize| u64::from_le_bytes(rest[at..at + 8].try_into().expect("8 bytes"));
                let (id, len) = (number(0), number(8));
                let max = self.message_bytes_max;
                let fits = usize::try_from(len).ok().filter(|len| *len <= max);
                let bytes = fits.ok_or(ReceiveError::Message { len, max })?;
                self.hold(bytes)?;
                Ok(Some((Stream::Bulk { id, len, body: BytesMut::with_capacity(bytes) }, BULK_PREFACE_BYTES)))
            }
            [STREAM_UNORDERED, ..] => Ok(Some((Stream::Unordered(Deframer::default()), 1))),
            [] | [STREAM_LANE | STREAM_BULK, ..] => Ok(None),
            [kind, ..] => Err(ReceiveError::Kind(*kind)),
        }
    }

    /// Hands out the frames of a lane up to its next fence.
    fn frames(
        &mut self,
        lane: u8,
        deframer: &mut Deframer,
        ready: &mut impl FnMut(Ready<'_>) -> Result<(), ReceiveError>,
    ) -> Result<(), ReceiveError> {
        let max = self.message_bytes_max + FRAME_OVERHEAD_BYTES_MAX;
        while let Some(frame) = deframer.next(max)? {
            if frame::is_fence(&frame) {
                self.fence(lane);
                break;
            }
            self.frame(frame, ready)?;
        }
        Ok(())
    }

    fn fence(&mut self, lane: u8) {
        self.fenced |= 1 << lane;
    }

    fn frame(
        &mut self,
        frame: Bytes,
        ready: &mut impl FnMut(Ready<'_>) -> Result<(), ReceiveError>,
    ) -> Result<(), ReceiveError> {
        if self.held.is_empty() && !is_bulk(&frame) {
            return ready(Ready::Frame { frame, body: None });
        }
        let Frame { from, body } = frame::read(&frame)?;
        if let Some(queue) = self.held.get_mut(&from) {
            let bytes = frame.len();
            queue.push_back(frame);
            return self.hold(bytes);
        }
        let Body::Bulk { bulk, .. } = body else { return ready(Ready::Frame { frame, body: None }) };
        if self.whole.contains_key(&bulk) {
            return self.bulk_ready(frame, bulk, ready);
        }
        self.wait(frame, from, bulk)
    }

    /// Starts to hold the sender's frames until body `bulk` is whole.
    fn wait(&mut self, stub: Bytes, from: u64, bulk: u64) -> Result<(), ReceiveError> {
        if self.expected.insert(bulk, from).is_some() {
            return Err(ReceiveError::Twice(bulk));
        }
        let bytes = stub.len();
        self.held.entry(from).or_default().push_front(stub);
        self.hold(bytes)
    }

    fn bulk_ready(
        &mut self,
        stub: Bytes,
        bulk: u64,
        ready: &mut impl FnMut(Ready<'_>) -> Result<(), ReceiveError>,
    ) -> Result<(), ReceiveError> {
        let body = self.whole.remove(&bulk).expect("the caller saw it");
        self.held_bytes -= body.len();
        if let Body::Bulk { len, .. } = frame::read(&stub)?.body
            && len != body.len() as u64
        {
            return Err(ReceiveError::Length { id: bulk, announced: len, got: body.len() as u64 });
        }
        ready(Ready::Frame { frame: stub, body: Some(body) })
    }

    /// Hands out the held frames of a sender until the next body that is not whole.
    fn resume(
        &mut self,
        from: u64,
        ready: &mut impl FnMut(Ready<'_>) -> Result<(), ReceiveError>,
    ) -> Result<(), ReceiveError> {
        let mut queue = self.held.remove(&from).expect("a sender that is expected holds frames");
        while let Some(frame) = queue.pop_front() {
            self.held_bytes -= frame.len();
            let Body::Bulk { bulk, .. } = frame::read(&frame)?.body else {
                ready(Ready::Frame { frame, body: None })?;
                continue;
            };
            if self.whole.contains_key(&bulk) {
                self.bulk_ready(frame, bulk, ready)?;
            } else {
                self.held.insert(from, queue);
                return self.wait(frame, from, bulk);
            }
        }
        Ok(())
    }

    fn hold(&mut self, bytes: usize) -> Result<(), ReceiveError> {
        self.held_bytes += bytes;
        let max = self.held_bytes_max;
        if self.held_bytes > max { Err(ReceiveError::Held { max }) } else { Ok(()) }
    }
}

/// Whether the frame is a stub, by its kind alone.
fn is_bulk(frame: &[u8]) -> bool {
    frame.first().is_some_and(|kind| frame::is_bulk(*kind))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::link::outgoing::Outgoing;
    use crate::signal::Signal;

    /// The lane and the bodies that `outgoing` would put on the wire.
    fn wire(outgoing: &mut Outgoing, lane: usize) -> (Bytes, Vec<(Bytes, Bytes)>) {
        let mut bytes = BytesMut::from(&[STREAM_LANE, lane as u8][..]);
        bytes.unsplit(outgoing.lanes[lane].split());
        let bodies = outgoing.bulk.drain(..).map(|bulk| {
            let mut preface = vec![STREAM_BULK];
            preface.extend_from_slice(&bulk.id.to_le_bytes());
            preface.extend_from_slice(&(bulk.body.len() as u64).to_le_bytes());
            (Bytes::from(preface), bulk.body)
        });
        (bytes.freeze(), bodies.collect())
    }

    fn describe(ready: &Ready<'_>) -> (u64, usize) {
        let (frame, whole) = match ready {
            Ready::Message { from, body, .. } => return (*from, body.len()),
            Ready::Frame { frame, body } => (frame, body),
        };
        let Frame { from, body } = frame::read(frame).expect("a frame");
        let len = match (body, whole) {
            (Body::Signal { signal: crate::signal::Signal::Message(body), .. }, None) => body.len(),
            (Body::Bulk { .. }, Some(body)) => body.len(),
            other => panic!("{other:?}"),
        };
        (from, len)
    }

    #[test]
    fn a_large_body_holds_back_its_own_sender_and_nobody_else() {
        let mut out = Outgoing::new(1 << 20);
        for (from, len) in [(16, 10), (16, 100_000), (16, 11), (32, 12), (16, 200_000), (16, 13)] {
            out.message(from, To::Serial(1), &vec![0; len]).expect("fits");
        }
        let (lane, bodies) = wire(&mut out, 0);
        let mut receiver = Receiver::new(1 << 20, 1 << 22);
        let mut seen = Vec::new();
        let mut ready = |r: Ready<'_>| {
            seen.push(describe(&r));
            Ok(())
        };
        receiver.chunk(&mut Stream::default(), lane, &mut ready).expect("keeps the protocol");
        // The second body arrives first: still nothing of sender 16 may pass.
        for (preface, body) in bodies.into_iter().rev() {
            let mut stream = Stream::default();
            receiver.chunk(&mut stream, preface, &mut ready).expect("keeps the protocol");
            receiver.chunk(&mut stream, body, &mut ready).expect("keeps the protocol");
            receiver.end(stream, &mut ready).expect("keeps the protocol");
        }
        assert_eq!(seen, [(16, 10), (32, 12), (16, 100_000), (16, 11), (16, 200_000), (16, 13)]);
        assert_eq!(receiver.held_bytes, 0);
    }

    #[test]
    fn a_body_that_is_there_before_its_stub_waits_for_it() {
        let mut out = Outgoing::new(1 << 20);
        out.message(3, To::Serial(1), &vec![7; 100_000]).expect("fits");
        let (lane, bodies) = wire(&mut out, 3);
        let mut receiver = Receiver::new(1 << 20, 1 << 22);
        let mut seen = Vec::new();
        let mut ready = |r: Ready<'_>| {
            seen.push(describe(&r));
            Ok(())
        };
        let mut stream = Stream::default();
        for part in [bodies[0].0.slice(..5), bodies[0].0.slice(5..), bodies[0].1.clone()] {
            receiver.chunk(&mut stream, part, &mut ready).expect("keeps the protocol");
        }
        receiver.end(stream, &mut ready).expect("keeps the protocol");
        receiver.chunk(&mut Stream::default(), lane, &mut ready).expect("keeps the protocol");
        assert_eq!(seen, [(3, 100_000)]);
    }

    #[test]
    fn what_a_peer_makes_us_hold_is_bounded_before_it_is_allocated() {
        let mut receiver = Receiver::new(1 << 20, 1 << 20);
        let mut none = |_: Ready<'_>| Ok(());
        let preface = |len: u64| {
            let mut bytes = vec![STREAM_BULK];
            bytes.extend_from_slice(&1u64.to_le_bytes());
            bytes.extend_from_slice(&len.to_le_bytes());
            Bytes::from(bytes)
        };
        let huge = receiver.chunk(&mut Stream::default(), preface(4 << 30), &mut none);
        assert_eq!(huge, Err(ReceiveError::Message { len: 4 << 30, max: 1 << 20 }));
        assert!(receiver.chunk(&mut Stream::default(), preface(1 << 20), &mut none).is_ok());
        let more = receiver.chunk(&mut Stream::default(), preface(1), &mut none);
        assert_eq!(more, Err(ReceiveError::Held { max: 1 << 20 }));
        assert!(more.unwrap_err().is_limit());
        // The beginning of a frame of 512 KiB, on as many streams as it takes.
        let mut receiver = Receiver::new(1 << 20, 1 << 20);
        let start = Bytes::from_static(&[STREAM_UNORDERED, 0, 0, 8, 0, 1]);
        let mut streams = [(); 3].map(|()| Stream::default());
        let results = streams.each_mut().map(|stream| receiver.chunk(stream, start.clone(), &mut none));
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
        assert_eq!(results[2], Err(ReceiveError::Held { max: 1 << 20 }));
    }

    /// The lanes of a link as they are received: each in its order, in pieces, and one however late behind another.
    struct Lanes {
        receiver: Receiver,
        streams: Vec<Stream>,
        waiting: Vec<BytesMut>,
        seen: Vec<(u64, u64)>,
    }

    impl Lanes {
        fn new() -> Self {
            let preface = |lane: usize| BytesMut::from(&[STREAM_LANE, lane as u8][..]);
            Self {
                receiver: Receiver::new(1 << 20, 1 << 22),
                streams: (0..LANES).map(|_| Stream::default()).collect(),
                waiting: (0..LANES).map(preface).collect(),
                seen: Vec::new(),
            }
        }

        fn sent(&mut self, out: &mut Outgoing) {
            for (waiting, sent) in self.waiting.iter_mut().zip(&mut out.lanes) {
                waiting.extend_from_slice(&sent.split());
            }
        }

        /// At most so many bytes of a lane arrive.
        fn arrive(&mut self, lane: usize, bytes: usize) {
            let Self { receiver, streams, waiting, seen } = self;
            let mut ready = |ready: Ready<'_>| {
                let Ready::Message { from, body, .. } = ready else {
                    let Ready::Frame { frame, .. } = ready else { unreachable!() };
                    let Frame { from, body: Body::Signal { signal: Signal::Message(body), .. } } =
                        frame::read(&frame).expect("a frame")
                    else {
                        panic!("only messages were sent")
                    };
                    seen.push((from, u64::from_le_bytes(body[..].try_into().expect("8 bytes"))));
                    return Ok(());
                };
                seen.push((from, u64::from_le_bytes(body[..].try_into().expect("8 bytes"))));
                Ok(())
            };
            if receiver.holds(&streams[lane]) {
                return;
            }
            let bytes = bytes.min(waiting[lane].len());
            let chunk = waiting[lane].split_to(bytes).freeze();
            receiver.chunk(&mut streams[lane], chunk, &mut ready).expect("keeps the protocol");
            while receiver.passes_fences() {
                for stream in streams.iter_mut() {
                    receiver.resume_lane(stream, &mut ready).expect("keeps the protocol");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn a_senders_order_holds_however_its_lanes_change_and_arrive(
            acts in prop::collection::vec((0u8..10, 0u64..40, 1usize..200), 1..400),
        ) {
            let (mut out, mut lanes, mut sent) = (Outgoing::new(1 << 20), Lanes::new(), [0_u64; 40]);
            let mut spread = [LANES, 4, 1, 2, 8].into_iter().cycle();
            for (act, sender, bytes) in acts {
                match act {
                    0 => {
                        out.spread(spread.next().expect("cycle"));
                        lanes.sent(&mut out);
                    }
                    1..=5 => {
                        let number = &mut sent[sender as usize];
                        out.message(sender, To::Serial(1), &number.to_le_bytes()).expect("fits");
                        *number += 1;
                        lanes.sent(&mut out);
                    }
                    _ => lanes.arrive(sender as usize % LANES, bytes),
                }
            }
            // Each time around, the lanes come to their next fence at least.
            for _ in 0..400 {
                (0..LANES).for_each(|lane| lanes.arrive(lane, usize::MAX));
            }
            prop_assert!(lanes.waiting.iter().all(BytesMut::is_empty), "held for ever");
            let mut next = [0_u64; 40];
            for (sender, number) in &lanes.seen {
                prop_assert_eq!(*number, next[*sender as usize], "sender {}", sender);
                next[*sender as usize] += 1;
            }
            prop_assert_eq!(next, sent);
        }
    }

    #[test]
    fn a_stream_that_is_cut_or_of_no_kind_is_an_error() {
        let mut receiver = Receiver::new(1 << 20, 1 << 20);
        let mut none = |_: Ready<'_>| Ok(());
        let mut push = |bytes: &'static [u8]| {
            let mut stream = Stream::default();
            receiver.chunk(&mut stream, Bytes::from_static(bytes), &mut none)?;
            receiver.end(stream, &mut none)
        };
        assert_eq!(push(&[9]), Err(ReceiveError::Kind(9)));
        assert_eq!(push(&[STREAM_LANE, 99]), Err(ReceiveError::Lane(99)));
        assert_eq!(push(&[STREAM_LANE, 0, 5, 0, 0]), Err(ReceiveError::Cut));
        assert_eq!(push(&[STREAM_LANE, 0]), Err(ReceiveError::Lane(0)), "opened a second time");
        assert_eq!(push(&[STREAM_BULK, 1]), Err(ReceiveError::Cut));
        assert_eq!(push(&[STREAM_UNORDERED, 5, 0, 0]), Err(ReceiveError::Cut));
        let link = &[STREAM_UNORDERED, 3, 0, 0, 0, 3, 1, 1];
        assert_eq!(
            push(link),
            Err(ReceiveError::Order(3)),
            "a link has its place in the order of its sender"
        );
    }
}
