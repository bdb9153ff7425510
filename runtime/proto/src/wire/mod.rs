//! What goes over the wire: frames of the lanes by hand, messages of the control stream and pulses with protobuf.

pub(crate) mod address;
pub mod codec;
pub mod control;
pub(crate) mod datagram;
pub mod frame;
pub mod pulse;
mod varint;
