//! One link to one peer: its opening, its two halves, and its end.

pub mod budget;
pub mod close;
pub mod handshake;
pub mod outgoing;
pub(crate) mod receiver;
pub(crate) mod sender;
pub(crate) mod spread;
pub(crate) mod tail;
pub(crate) mod unordered;
pub(crate) mod writer;
