//! Variable-length integers as in QUIC (RFC 9000, section 16): 1, 2, 4 or 8 bytes, at most 2^62 - 1.

use bytes::{BufMut, BytesMut};

/// The largest number that fits.
pub(super) const MAX: u64 = (1 << 62) - 1;

/// The encoding of `value`, which is at most [`MAX`]: the first so many bytes.
#[inline]
pub(super) fn encode(value: u64) -> ([u8; 8], usize) {
    debug_assert!(value <= MAX, "{value} does not fit into a varint");
    let (tag, len) = match value {
        0..0x40 => (0, 1),
        0x40..0x4000 => (1, 2),
        0x4000..0x4000_0000 => (2, 4),
        _ => (3, 8),
    };
    ((value << (64 - 8 * len) | tag << 62).to_be_bytes(), len)
}

/// Appends `value`, which is at most [`MAX`].
pub(super) fn put(out: &mut BytesMut, value: u64) {
    let (bytes, len) = encode(value);
    out.put_slice(&bytes[..len]);
}

/// Reads a number from the front of `data` and moves past it; `None` if it is cut short.
pub(super) fn take(data: &mut &[u8]) -> Option<u64> {
    let first = *data.first()?;
    if first < 0x40 {
        *data = &data[1..];
        return Some(u64::from(first));
    }
    let len = 1usize << (first >> 6);
    let (bytes, rest) = data.split_at_checked(len)?;
    *data = rest;
    Some(bytes[1..].iter().fold(u64::from(first & 0x3f), |value, byte| value << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back_at_every_length_boundary() {
        for value in [0, 1, 63, 64, 16_383, 16_384, (1 << 30) - 1, 1 << 30, MAX] {
            let mut out = BytesMut::new();
            put(&mut out, value);
            let mut data = &out[..];
            assert_eq!(take(&mut data), Some(value));
            assert!(data.is_empty());
            assert_eq!(take(&mut &out[..out.len() - 1]), None, "{value} cut short");
        }
    }

    #[test]
    fn the_examples_of_rfc_9000_appendix_a1_hold() {
        assert_eq!(
            take(&mut &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c][..]),
            Some(151_288_809_941_952_652)
        );
        assert_eq!(take(&mut &[0x9d, 0x7f, 0x3e, 0x7d][..]), Some(494_878_333));
        assert_eq!(take(&mut &[0x7b, 0xbd][..]), Some(15_293));
        assert_eq!(take(&mut &[0x25][..]), Some(37));
    }
}
