//! What goes over the wire: frames of the lanes by hand, messages of the control stream with protobuf.

pub mod codec;
pub mod control;
pub mod frame;
mod varint;
