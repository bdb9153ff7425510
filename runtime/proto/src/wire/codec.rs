//! Cuts a byte stream into length-prefixed frames: a `u32` (little-endian) that counts the bytes behind it.
//!
//! A frame that lies whole in one received chunk is a slice of that chunk, without a copy. A length above the bound is
//! refused before anything is allocated for it.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

/// Bytes of the length in front of every frame.
pub const LENGTH_BYTES: usize = 4;

/// A frame announced more bytes than the stream may carry. Nothing was allocated; the stream is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a frame of {len} bytes is above the bound of {max}")]
pub struct TooLong {
    /// What the frame announced.
    pub len: usize,
    /// What is allowed.
    pub max: usize,
}

/// The reading side of one stream.
#[derive(Debug, Default)]
pub struct Deframer {
    /// The beginning of a frame whose end has not arrived.
    partial: BytesMut,
    chunk: Bytes,
}

impl Deframer {
    /// Takes the next bytes of the stream. Read all frames with [`next`](Self::next) before the next chunk.
    pub fn push(&mut self, chunk: Bytes) {
        debug_assert!(self.chunk.is_empty(), "frames of the previous chunk were left");
        self.chunk = chunk;
    }

    /// The next whole frame, without its length; `None` until more bytes arrive.
    ///
    /// # Errors
    /// [`TooLong`] when a frame announces more than `max` bytes.
    pub fn next(&mut self, max: usize) -> Result<Option<Bytes>, TooLong> {
        if self.partial.is_empty() {
            if self.chunk.len() >= LENGTH_BYTES {
                let len = length(&self.chunk, max)?;
                if self.chunk.len() >= LENGTH_BYTES + len {
                    let frame = self.chunk.slice(LENGTH_BYTES..LENGTH_BYTES + len);
                    self.chunk.advance(LENGTH_BYTES + len);
                    return Ok(Some(frame));
                }
                // The bound is checked: room for the whole frame saves growing it chunk by chunk.
                self.partial.reserve(LENGTH_BYTES + len);
            }
            self.partial.extend_from_slice(&self.chunk);
            self.chunk = Bytes::new();
            return Ok(None);
        }
        self.fill(LENGTH_BYTES);
        if self.partial.len() < LENGTH_BYTES {
            return Ok(None);
        }
        let len = length(&self.partial, max)?;
        self.fill(LENGTH_BYTES + len);
        if self.partial.len() < LENGTH_BYTES + len {
            return Ok(None);
        }
        let mut frame = std::mem::take(&mut self.partial).freeze();
        frame.advance(LENGTH_BYTES);
        Ok(Some(frame))
    }

    /// Bytes that are kept for a frame whose end has not arrived.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.partial.capacity()
    }

    /// Whether the stream stands between two frames. A stream that ends elsewhere was cut.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.partial.is_empty() && self.chunk.is_empty()
    }

    fn fill(&mut self, want: usize) {
        let missing = want.saturating_sub(self.partial.len()).min(self.chunk.len());
        self.partial.extend_from_slice(&self.chunk[..missing]);
        self.chunk.advance(missing);
    }
}

/// Where the frame that begins at `*at` lies in `chunk`, without its length; moves `*at` behind it. `None` if it does not lie whole in it.
///
/// # Errors
/// [`TooLong`] when it announces more than `max` bytes.
#[inline]
pub(crate) fn whole(chunk: &[u8], at: &mut usize, max: usize) -> Result<Option<Range<usize>>, TooLong> {
    let Some((head, behind)) = chunk[*at..].split_at_checked(LENGTH_BYTES) else { return Ok(None) };
    let len = length(head, max)?;
    if behind.len() < len {
        return Ok(None);
    }
    let start = *at + LENGTH_BYTES;
    *at = start + len;
    Ok(Some(start..*at))
}

#[inline]
fn length(data: &[u8], max: usize) -> Result<usize, TooLong> {
    let len = u32::from_le_bytes(data[..LENGTH_BYTES].try_into().expect("four bytes")) as usize;
    if len > max { Err(TooLong { len, max }) } else { Ok(len) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for frame in frames {
            out.extend_from_slice(&(frame.len() as u32).to_le_bytes());
            out.extend_from_slice(frame);
        }
        out
    }

    proptest! {
        #[test]
        fn frames_come_out_whole_and_in_order_however_the_stream_is_cut(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
            cuts in prop::collection::vec(1usize..64, 1..200),
        ) {
            let bytes = stream(&frames);
            let (mut rest, mut cuts) = (&bytes[..], cuts.iter().cycle());
            let (mut deframer, mut seen) = (Deframer::default(), Vec::new());
            while !rest.is_empty() {
                let (chunk, tail) = rest.split_at((*cuts.next().expect("cycle")).min(rest.len()));
                rest = tail;
                deframer.push(Bytes::copy_from_slice(chunk));
                while let Some(frame) = deframer.next(200).expect("within the bound") {
                    seen.push(frame.to_vec());
                }
            }
            prop_assert_eq!(seen, frames);
            prop_assert!(deframer.is_empty());
        }
    }

    #[test]
    fn a_length_above_the_bound_is_refused_before_its_bytes_arrive() {
        let mut deframer = Deframer::default();
        deframer.push(Bytes::from_static(&[0xff, 0xff, 0xff, 0xff]));
        assert_eq!(deframer.next(1024), Err(TooLong { len: 0xffff_ffff, max: 1024 }));
    }

    #[test]
    fn a_frame_inside_one_chunk_is_not_copied() {
        let chunk = Bytes::from(stream(&[vec![1, 2, 3], vec![4]]));
        let mut deframer = Deframer::default();
        deframer.push(chunk.clone());
        let frame = deframer.next(16).expect("within the bound").expect("whole");
        assert_eq!(frame.as_ptr(), chunk[LENGTH_BYTES..].as_ptr());
    }
}
