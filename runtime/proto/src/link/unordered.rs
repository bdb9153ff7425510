//! Messages without order, on their way out: each on a stream of its own, small ones together up to a packet.
//!
//! A lost packet delays only the messages that were in it. The streams count against the peer's bound on streams and the
//! link's windows like those of large bodies; what finds none waits.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use quinn_proto::{Connection, Dir, StreamId};

use super::sender::{PRIORITY_BULK, STREAM_UNORDERED};
use super::writer::Writer;
use crate::limits::UNORDERED_BYTES_MAX;

/// Messages that senders have queued, already sorted into streams.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    whole: Vec<Bytes>,
    /// The last one, while another message may fit.
    open: BytesMut,
}

impl Batches {
    pub(crate) fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.open.is_empty()
    }

    /// Adds one frame; returns the bytes that it adds to the queue.
    pub(crate) fn put(&mut self, write: impl FnOnce(&mut BytesMut)) -> usize {
        let before = self.open.len();
        write(&mut self.open);
        let added = self.open.len() - before;
        if self.open.len() > UNORDERED_BYTES_MAX {
            // It does not fit behind the others: they go without it.
            let last = self.open.split_off(before);
            self.close();
            self.open = last;
            if self.open.len() > UNORDERED_BYTES_MAX {
                self.close();
            }
        }
        added
    }

    /// Bytes that wait.
    #[cfg(feature = "testing")]
    pub(crate) fn bytes(&self) -> usize {
        self.open.len() + self.whole.iter().map(Bytes::len).sum::<usize>()
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.whole.push(self.open.split().freeze());
        }
    }

    fn take(&mut self) -> impl Iterator<Item = Bytes> {
        self.close();
        self.whole.drain(..)
    }
}

/// The streams of one link's messages without order.
#[derive(Debug, Default)]
pub(crate) struct Unordered {
    waiting: VecDeque<Bytes>,
    /// Streams that QUIC has not taken all of, in the order in which they were opened.
    unfinished: VecDeque<Writer>,
}

impl Unordered {
    pub(crate) fn take(&mut self, batches: &mut Batches) {
        self.waiting.extend(batches.take());
    }

    /// Whether nothing waits to be written.
    pub(crate) fn is_written(&self) -> bool {
        self.waiting.is_empty() && self.unfinished.is_empty()
    }

    /// Writes what flow control allows; how many bytes left the queue, and whether a stream was wanted and not to be had.
    pub(crate) fn write(&mut self, connection: &mut Connection, may_open: bool) -> (usize, bool) {
        let mut released = 0;
        self.unfinished.retain_mut(|writer| {
            released += writer.write(connection, usize::MAX);
            !end(writer, connection)
        });
        if self.waiting.is_empty() || !may_open {
            return (released, false);
        }
        while let Some(batch) = self.waiting.pop_front() {
            let Some(stream) = connection.streams().open(Dir::Uni) else {
                self.waiting.push_front(batch);
                return (released, true);
            };
            // A fresh stream cannot be closed.
            let _ = connection.send_stream(stream).set_priority(PRIORITY_BULK);
            let mut writer = Writer::default();
            writer.push(batch);
            writer.opened_with(stream, Bytes::from_static(&[STREAM_UNORDERED]));
            released += writer.write(connection, usize::MAX);
            if !end(&writer, connection) {
                self.unfinished.push_back(writer);
            }
        }
        (released, false)
    }

    /// QUIC takes more on this stream again, if it is one of these.
    pub(crate) fn writable(&mut self, stream: StreamId) {
        if let Some(writer) = self.unfinished.iter_mut().find(|writer| writer.stream() == Some(stream)) {
            writer.unblocked();
        }
    }
}

/// Announces the end of a stream whose bytes are all written; whether it was.
fn end(writer: &Writer, connection: &mut Connection) -> bool {
    if !writer.is_empty() {
        return false;
    }
    if let Some(stream) = writer.stream() {
        // The peer may have stopped it: then nobody waits for its end.
        let _ = connection.send_stream(stream).finish();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(batches: &mut Batches) -> Vec<usize> {
        batches.take().map(|batch| batch.len()).collect()
    }

    fn put(batches: &mut Batches, len: usize) {
        assert_eq!(batches.put(|out| out.resize(out.len() + len, 0)), len);
    }

    #[test]
    fn small_messages_share_a_stream_up_to_a_packet_and_large_ones_do_not() {
        let mut batches = Batches::default();
        let half = UNORDERED_BYTES_MAX / 2;
        for len in [half, half, 1, UNORDERED_BYTES_MAX + 1, 5] {
            put(&mut batches, len);
        }
        assert_eq!(lengths(&mut batches), [2 * half, 1, UNORDERED_BYTES_MAX + 1, 5]);
        assert!(batches.is_empty());
        assert_eq!(lengths(&mut batches), [0; 0]);
    }
}
