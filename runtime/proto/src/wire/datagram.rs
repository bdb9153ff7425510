//! Datagrams of a link: a byte that tells the kind, and then what the kind has. Each may be lost.
//!
//! ```text
//! 1  pulse     protobuf, see `pulse`
//! 2  message   one frame of a message, see `frame`
//! ```
//!
//! Other kinds are skipped, so that later versions may have more.

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use super::codec::LENGTH_BYTES;
use super::frame::{self, Body, Frame, FrameError, To};
use super::pulse::{DATAGRAM_PULSE, Pulse};
use crate::limits::DATAGRAM_BYTES_MAX;
use crate::link::outgoing::TooLarge;
use crate::signal::Signal;

/// First byte of a datagram that carries a message.
const DATAGRAM_MESSAGE: u8 = 2;

/// What one datagram says.
#[derive(Debug, PartialEq)]
pub(crate) enum Datagram<'a> {
    Pulse(Pulse),
    Message {
        from: u64,
        to: To<'a>,
        body: Bytes,
    },
    /// A kind of a later version.
    Skipped,
}

/// Why bytes are no datagram. The link that carried them ends.
#[derive(Debug, Error)]
pub(crate) enum DatagramError {
    #[error("a pulse is malformed: {0}")]
    Pulse(#[from] prost::DecodeError),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("a datagram carries a frame that is no message")]
    NoMessage,
}

/// The datagram of a message.
///
/// # Errors
/// [`TooLarge`] when it would be above what every path carries. The bound depends on the length of the name.
pub(crate) fn message(from: u64, to: To<'_>, body: &[u8]) -> Result<Bytes, TooLarge> {
    let mut out = BytesMut::with_capacity(body.len() + 64);
    frame::put_message(&mut out, from, to, body);
    // A datagram has its own length: one byte of the frame's becomes the kind, the others are left out.
    let mut out = out.split_off(LENGTH_BYTES - 1);
    out[0] = DATAGRAM_MESSAGE;
    if out.len() > DATAGRAM_BYTES_MAX {
        let around = out.len() - body.len();
        return Err(TooLarge { len: body.len(), max: DATAGRAM_BYTES_MAX - around });
    }
    Ok(out.freeze())
}

/// What a datagram carries.
///
/// # Errors
/// The datagram says that it is of a kind that is known here, and is none.
pub(crate) fn read(datagram: &Bytes) -> Result<Datagram<'_>, DatagramError> {
    match &datagram[..] {
        [DATAGRAM_PULSE, pulse @ ..] => Ok(Datagram::Pulse(Pulse::read(pulse)?)),
        [DATAGRAM_MESSAGE, ..] => {
            let Frame { from, body } = frame::read_from(datagram, 1)?;
            match body {
                Body::Signal { to, signal: Signal::Message(body) } => {
                    Ok(Datagram::Message { from, to, body })
                }
                _ => Err(DatagramError::NoMessage),
            }
        }
        _ => Ok(Datagram::Skipped),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bytes_of_a_message_stay_what_they_are() {
        let to_serial = message(300, To::Serial(7), b"hi").expect("fits");
        assert_eq!(&to_serial[..], &[2, 1, 0x41, 0x2c, 7, b'h', b'i'][..]);
        let to_name = message(1, To::Name("ab"), b"").expect("fits");
        assert_eq!(&to_name[..], &[2, 0x41, 1, 2, b'a', b'b'][..]);
        let read = read(&to_name).expect("a datagram");
        assert_eq!(read, Datagram::Message { from: 1, to: To::Name("ab"), body: Bytes::new() });
    }

    #[test]
    fn a_body_fits_or_the_error_says_what_would() {
        let name = "n".repeat(200);
        for to in [To::Serial(u64::from(u32::MAX)), To::Name(&name)] {
            let TooLarge { len, max } = message(9, to, &[0; 4_000]).expect_err("too large");
            assert_eq!(len, 4_000);
            assert_eq!(message(9, to, &vec![0; max]).expect("fits").len(), DATAGRAM_BYTES_MAX);
            assert!(message(9, to, &vec![0; max + 1]).is_err());
        }
    }

    #[test]
    fn a_frame_that_is_no_message_is_refused_and_an_unknown_kind_skipped() {
        let mut frame = BytesMut::new();
        frame::put_signal(&mut frame, 1, 2, &Signal::Link);
        frame[LENGTH_BYTES - 1] = DATAGRAM_MESSAGE;
        let datagram = frame.split_off(LENGTH_BYTES - 1).freeze();
        assert!(matches!(read(&datagram), Err(DatagramError::NoMessage)));
        assert_eq!(read(&Bytes::from_static(&[9, 1])).expect("skipped"), Datagram::Skipped);
        assert_eq!(read(&Bytes::new()).expect("skipped"), Datagram::Skipped);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_datagram_or_an_error(input in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&Bytes::from(input));
        }

        #[test]
        fn a_message_reads_back(
            from in 0_u64..1 << 60,
            to in 0_u64..1 << 60,
            body in prop::collection::vec(any::<u8>(), 0..900),
        ) {
            let datagram = message(from, To::Serial(to), &body).expect("fits");
            let read = read(&datagram).expect("a datagram");
            prop_assert_eq!(read, Datagram::Message { from, to: To::Serial(to), body: body.into() });
        }
    }
}
