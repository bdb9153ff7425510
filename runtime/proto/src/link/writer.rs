//! Writes queued chunks to one QUIC stream, as far as its flow control goes.

use std::collections::VecDeque;

use bytes::Bytes;
use quinn_proto::{Connection, StreamId, WriteError};

/// The writing side of one stream and what waits for it.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    stream: Option<StreamId>,
    chunks: VecDeque<Bytes>,
    waiting_bytes: usize,
    /// Bytes of the preface that are still in front of the chunks. They are nobody's, so nothing counts them.
    preface_bytes: usize,
    /// QUIC took no more and owes us an event.
    blocked: bool,
}

impl Writer {
    pub(crate) fn new(stream: StreamId) -> Self {
        Self { stream: Some(stream), ..Self::default() }
    }

    pub(crate) fn stream(&self) -> Option<StreamId> {
        self.stream
    }

    /// Sets the stream; what was queued before goes out on it first.
    pub(crate) fn opened(&mut self, stream: StreamId) {
        self.stream = Some(stream);
    }

    /// Sets the stream, on which `preface` goes out before all else. It must wait like the rest: even a fresh stream takes
    /// nothing when the others have used up the link's flow control.
    pub(crate) fn opened_with(&mut self, stream: StreamId, preface: Bytes) {
        self.stream = Some(stream);
        self.preface_bytes = preface.len();
        self.chunks.push_front(preface);
    }

    pub(crate) fn push(&mut self, chunk: Bytes) {
        self.waiting_bytes += chunk.len();
        self.chunks.push_back(chunk);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// The stream may take more again.
    pub(crate) fn unblocked(&mut self) {
        self.blocked = false;
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Writes at most about `max` bytes; returns how many left the queue, without those of the preface.
    pub(crate) fn write(&mut self, connection: &mut Connection, max: usize) -> usize {
        let Some(stream) = self.stream else { return 0 };
        let mut written = 0;
        while written < max && !self.blocked && !self.chunks.is_empty() {
            let (chunks, _) = self.chunks.as_mut_slices();
            match connection.send_stream(stream).write_chunks(chunks) {
                Ok(progress) => {
                    written += self.without_preface(progress.bytes);
                    (0..progress.chunks).for_each(|_| drop(self.chunks.pop_front()));
                }
                Err(WriteError::Blocked) => self.blocked = true,
                // The peer stopped or reset the stream: what waits will reach nobody. The link's owner decides.
                Err(WriteError::Stopped(_) | WriteError::ClosedStream) => {
                    let left = self.chunks.drain(..).map(|chunk| chunk.len()).sum();
                    written += self.without_preface(left);
                }
            }
        }
        self.waiting_bytes = self.waiting_bytes.saturating_sub(written);
        written
    }

    fn without_preface(&mut self, bytes: usize) -> usize {
        let preface = bytes.min(self.preface_bytes);
        self.preface_bytes -= preface;
        bytes - preface
    }
}
