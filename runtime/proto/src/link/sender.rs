//! The sending half of a link: lanes, large bodies beside them, and the control stream.
//!
//! A large body leaves a stub in its sender's lane and travels on a stream of its own with a lower priority. The peer
//! holds that sender's later signals until the body is whole, so a lane that has an unfinished body carries at most
//! [`BEHIND_BULK_BYTES_MAX`] more: that bounds what the peer must hold, without a word from it.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use quinn_proto::{Connection, Dir, StreamId};
use rustc_hash::FxHashMap;

use super::budget::LinkBudget;
use super::outgoing::{BulkBody, Outgoing};
use super::unordered::Unordered;
use super::writer::Writer;
use crate::limits::{BEHIND_BULK_BYTES_MAX, BULK_IN_FLIGHT_BYTES_MAX, LANES};

/// First byte of a uni-stream that is a lane; the lane's number follows.
pub(crate) const STREAM_LANE: u8 = 1;
/// First byte of a uni-stream that carries one large body; its number and length follow, 8 bytes each.
pub(crate) const STREAM_BULK: u8 = 2;
/// First byte of a uni-stream that carries whole frames of messages without order, and then ends.
pub(crate) const STREAM_UNORDERED: u8 = 3;

/// Room that messages in datagrams leave for pulses, of what QUIC keeps to be sent.
const PULSE_ROOM_BYTES: usize = 16 * 1024;

const PRIORITY_CONTROL: i32 = 2;
const PRIORITY_LANE: i32 = 1;
pub(crate) const PRIORITY_BULK: i32 = 0;

#[derive(Debug, Default)]
struct Lane {
    writer: Writer,
    /// Large bodies of this lane's senders that have not arrived yet.
    unfinished: usize,
    /// Bytes written to the lane since the first of them.
    behind: usize,
    /// Its end is announced.
    ended: bool,
}

#[derive(Debug)]
struct BulkStream {
    lane: usize,
    len: usize,
    writer: Writer,
    /// All bytes are written and the stream's end is announced.
    finished: bool,
}

/// The sending half.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) budget: Arc<LinkBudget>,
    control: Writer,
    lanes: [Lane; LANES],
    /// Fences are being written. What comes behind them must not, until all are: it would use up the link's flow control,
    /// and the peer, who waits for the last fence, would never give any back.
    fencing: bool,
    behind_fences: Vec<(usize, Bytes)>,
    /// Bodies that wait for a stream or for the others to finish.
    waiting: VecDeque<BulkBody>,
    streams: FxHashMap<StreamId, BulkStream>,
    in_flight_bytes: usize,
    unordered: Unordered,
    datagrams: Vec<Bytes>,
    /// Messages in datagrams that QUIC had no room for, since they were last counted.
    pub(crate) datagrams_dropped: u64,
    /// QUIC gave no stream and owes us an event.
    streams_exhausted: bool,
}

impl Sender {
    pub(crate) fn new(budget: Arc<LinkBudget>) -> Self {
        Self {
            budget,
            control: Writer::default(),
            lanes: std::array::from_fn(|_| Lane::default()),
            fencing: false,
            behind_fences: Vec::new(),
            waiting: VecDeque::new(),
            streams: FxHashMap::default(),
            in_flight_bytes: 0,
            unordered: Unordered::default(),
            datagrams: Vec::new(),
            datagrams_dropped: 0,
            streams_exhausted: false,
        }
    }

    /// Sets the control stream.
    pub(crate) fn control_opened(&mut self, connection: &mut Connection, stream: StreamId) {
        // A stream of this link cannot be closed yet; without it nothing else would work either.
        let _ = connection.send_stream(stream).set_priority(PRIORITY_CONTROL);
        self.control.opened(stream);
    }

    pub(crate) fn control_stream(&self) -> Option<StreamId> {
        self.control.stream()
    }

    /// Whether QUIC has taken all that waited for a lane, and no large body is under way.
    pub(crate) fn is_clear(&self) -> bool {
        let lanes = !self.fencing && self.lanes.iter().all(|lane| lane.writer.is_empty());
        lanes && self.waiting.is_empty() && self.streams.is_empty()
    }

    /// Queues a control message.
    pub(crate) fn control(&mut self, message: Bytes) {
        self.control.push(message);
    }

    pub(crate) fn control_waiting_bytes(&self) -> usize {
        self.control.waiting_bytes()
    }

    /// Takes all frames and bodies that wait in `outgoing`; their bytes stay in the budget until they are written.
    pub(crate) fn take(&mut self, outgoing: &mut Outgoing) {
        let mut occupied = std::mem::take(&mut outgoing.occupied);
        while occupied != 0 {
            let index = occupied.trailing_zeros() as usize;
            occupied &= occupied - 1;
            let frames = outgoing.lanes[index].split().freeze();
            if self.fencing {
                self.behind_fences.push((index, frames));
            } else {
                self.lanes[index].writer.push(frames);
            }
        }
        self.fencing |= std::mem::take(&mut outgoing.fenced);
        for body in outgoing.bulk.drain(..) {
            self.lanes[body.lane].unfinished += 1;
            self.waiting.push_back(body);
        }
        self.unordered.take(&mut outgoing.unordered);
        self.datagrams.append(&mut outgoing.datagrams);
    }

    /// Writes what flow control allows; whether waiting senders must be told that there is room.
    pub(crate) fn write(&mut self, connection: &mut Connection) -> bool {
        self.control.write(connection, usize::MAX);
        let mut released = self.write_lanes(connection);
        if self.fencing && self.lanes.iter().all(|lane| lane.writer.is_empty()) {
            self.fencing = false;
            for (index, frames) in self.behind_fences.drain(..) {
                self.lanes[index].writer.push(frames);
            }
            released += self.write_lanes(connection);
        }
        released += self.write_bulk(connection);
        let (written, exhausted) = self.unordered.write(connection, !self.streams_exhausted);
        self.streams_exhausted |= exhausted;
        released += written;
        released += self.write_datagrams(connection);
        released > 0 && self.budget.release(released)
    }

    fn write_lanes(&mut self, connection: &mut Connection) -> usize {
        let mut released = 0;
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            if lane.writer.is_empty() || lane.writer.is_blocked() {
                continue;
            }
            if lane.writer.stream().is_none() {
                let Some(stream) = connection.streams().open(Dir::Uni) else {
                    self.streams_exhausted = true;
                    continue;
                };
                let _ = connection.send_stream(stream).set_priority(PRIORITY_LANE);
                lane.writer.opened_with(stream, Bytes::copy_from_slice(&[STREAM_LANE, index as u8]));
            }
            let max = if lane.unfinished == 0 {
                usize::MAX
            } else {
                BEHIND_BULK_BYTES_MAX.saturating_sub(lane.behind)
            };
            let written = lane.writer.write(connection, max);
            if lane.unfinished > 0 {
                lane.behind += written;
            }
            released += written;
        }
        released
    }

    fn write_datagrams(&mut self, connection: &mut Connection) -> usize {
        let mut released = 0;
        for datagram in self.datagrams.drain(..) {
            released += datagram.len();
            let mut datagrams = connection.datagrams();
            // What does not fit is lost, as a datagram may be; room is left for pulses.
            if datagrams.send_buffer_space() < datagram.len() + PULSE_ROOM_BYTES
                || datagrams.send(datagram, false).is_err()
            {
                self.datagrams_dropped += 1;
            }
        }
        released
    }

    fn write_bulk(&mut self, connection: &mut Connection) -> usize {
        while !self.streams_exhausted
            && let Some(next) = self.waiting.front()
            && (self.in_flight_bytes == 0
                || self.in_flight_bytes + next.body.len() <= BULK_IN_FLIGHT_BYTES_MAX)
        {
            let Some(stream) = connection.streams().open(Dir::Uni) else {
                self.streams_exhausted = true;
                break;
            };
            let _ = connection.send_stream(stream).set_priority(PRIORITY_BULK);
            let BulkBody { lane, id, body } = self.waiting.pop_front().expect("front was there");
            let len = body.len();
            let mut preface = BytesMut::with_capacity(17);
            preface.put_u8(STREAM_BULK);
            preface.put_u64_le(id);
            preface.put_u64_le(len as u64);
            let mut writer = Writer::default();
            writer.push(body);
            writer.opened_with(stream, preface.freeze());
            self.in_flight_bytes += len;
            self.streams.insert(stream, BulkStream { lane, len, writer, finished: false });
        }
        let mut released = 0;
        // The order in which bodies are written follows the stream numbers, not the map.
        let mut pending: Vec<StreamId> = self
            .streams
            .iter()
            .filter(|(_, bulk)| !bulk.finished && !bulk.writer.is_blocked())
            .map(|(id, _)| *id)
            .collect();
        pending.sort_unstable();
        for stream in pending {
            let bulk = self.streams.get_mut(&stream).expect("listed above");
            released += bulk.writer.write(connection, usize::MAX);
            if bulk.writer.is_empty() {
                bulk.finished = true;
                let _ = connection.send_stream(stream).finish();
            }
        }
        released
    }

    /// Nothing more will be queued: ends the lanes behind what is. Whether all of it is written, with its ends.
    pub(crate) fn end(&mut self, connection: &mut Connection) -> bool {
        if self.fencing {
            return false;
        }
        for lane in self.lanes.iter_mut().filter(|lane| !lane.ended && lane.writer.is_empty()) {
            lane.ended = true;
            if let Some(stream) = lane.writer.stream() {
                let _ = connection.send_stream(stream).finish();
            }
        }
        let bulk = self.waiting.is_empty() && self.streams.values().all(|bulk| bulk.finished);
        bulk && self.unordered.is_written() && self.lanes.iter().all(|lane| lane.ended)
    }

    /// QUIC takes more on this stream again.
    pub(crate) fn writable(&mut self, stream: StreamId) {
        if self.control.stream() == Some(stream) {
            self.control.unblocked();
        } else if let Some(bulk) = self.streams.get_mut(&stream) {
            bulk.writer.unblocked();
        } else if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.writer.stream() == Some(stream)) {
            lane.writer.unblocked();
        } else {
            self.unordered.writable(stream);
        }
    }

    /// The peer allows more streams.
    pub(crate) fn streams_available(&mut self) {
        self.streams_exhausted = false;
    }

    /// The peer has all of this stream, or wants no more of it.
    pub(crate) fn finished(&mut self, stream: StreamId) {
        if let Some(bulk) = self.streams.remove(&stream) {
            self.in_flight_bytes -= bulk.len;
            let lane = &mut self.lanes[bulk.lane];
            lane.unfinished -= 1;
            if lane.unfinished == 0 {
                lane.behind = 0;
            }
        }
    }
}
