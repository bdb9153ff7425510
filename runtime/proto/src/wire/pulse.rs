//! The pulse: the one datagram that nodes send each other unasked, and what they ask and say of third nodes with it.
//!
//! It is protobuf, so that later versions may add fields. It may be lost: whatever it says is said again with the next one.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

/// First byte of a datagram that carries a [`Pulse`].
pub(crate) const DATAGRAM_PULSE: u8 = 1;
/// Nodes that one pulse asks about, and answers about. With all of them it stays below the smallest datagram.
pub const ASKED_PER_PULSE_MAX: usize = 48;

/// A sign of life, with digests of what its sender knows. All fields may be missing.
#[derive(Clone, PartialEq, Message)]
pub struct Pulse {
    /// Digest of the cluster as the sender sees it: members and cut pairs. 0: it has none to compare.
    #[prost(fixed64, tag = "1")]
    pub view: u64,
    /// How often the sender's own global names have changed.
    #[prost(uint64, tag = "2")]
    pub names_version: u64,
    /// Digest of the sender's own global names.
    #[prost(fixed64, tag = "3")]
    pub names_digest: u64,
    /// Incarnations of nodes that the sender has not heard for a while: does the receiver hear them?
    #[prost(fixed64, repeated, tag = "8")]
    pub asks: Vec<u64>,
    /// What the sender knows of nodes that it was asked about.
    #[prost(message, repeated, tag = "9")]
    pub answers: Vec<Heard>,
}

/// How long ago a node was heard.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Heard {
    /// The node.
    #[prost(fixed64, tag = "1")]
    pub incarnation: u64,
    /// Milliseconds since its last packet; nothing if it is not linked.
    #[prost(uint64, optional, tag = "2")]
    pub ago_ms: Option<u64>,
}

impl Pulse {
    /// The datagram that carries it.
    #[must_use]
    pub fn datagram(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(1 + self.encoded_len());
        out.put_u8(DATAGRAM_PULSE);
        self.encode(&mut out).expect("the buffer grows");
        out.freeze()
    }

    /// Reads what follows the kind in its datagram.
    ///
    /// # Errors
    /// The bytes are no pulse.
    pub(crate) fn read(pulse: &[u8]) -> Result<Self, prost::DecodeError> {
        Self::decode(pulse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bytes_of_a_pulse_stay_what_they_are() {
        let pulse = Pulse {
            view: 0x0807_0605_0403_0201,
            names_version: 300,
            names_digest: 5,
            asks: vec![9],
            answers: vec![Heard { incarnation: 9, ago_ms: Some(0) }, Heard { incarnation: 10, ago_ms: None }],
        };
        #[rustfmt::skip]
        let bytes: &[u8] = &[
            1,
            0x09, 1, 2, 3, 4, 5, 6, 7, 8,
            0x10, 0xac, 0x02,
            0x19, 5, 0, 0, 0, 0, 0, 0, 0,
            0x42, 8, 9, 0, 0, 0, 0, 0, 0, 0,
            0x4a, 11, 0x09, 9, 0, 0, 0, 0, 0, 0, 0, 0x10, 0,
            0x4a, 9, 0x09, 10, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(pulse.datagram(), bytes);
        assert_eq!(Pulse::read(&bytes[1..]), Ok(pulse));
        assert_eq!(
            Pulse::default().datagram(),
            &[1][..],
            "an idle node without names or peers says just that it lives"
        );
    }

    #[test]
    fn a_pulse_that_asks_and_answers_as_much_as_it_may_fits_into_the_smallest_datagram() {
        let asks = vec![u64::MAX; ASKED_PER_PULSE_MAX];
        let heard = Heard { incarnation: u64::MAX, ago_ms: Some(u64::MAX) };
        let full =
            Pulse { view: u64::MAX, names_version: u64::MAX, names_digest: u64::MAX, ..Pulse::default() };
        let asking = Pulse { asks, ..full.clone() };
        let answering = Pulse { answers: vec![heard; ASKED_PER_PULSE_MAX], ..full };
        // 1,200 bytes less what QUIC puts around a datagram.
        assert!(asking.datagram().len() < 1_150 && answering.datagram().len() < 1_150);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_pulse_or_an_error(input in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(pulse) = Pulse::read(&input) {
                prop_assert_eq!(Pulse::read(&pulse.datagram()[1..]), Ok(pulse));
            }
        }
    }
}
