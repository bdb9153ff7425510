//! The protocol engine of Regatta: one node's whole network side as a value without I/O.
//!
//! # Architecture invariants
//! - **Nothing here reads a clock, a socket or a random source that was not passed in.** Same inputs, same outputs, in
//!   order, up to ciphertext.
//! - **Whatever belongs to a link carries its generation**; nothing is removed by name alone.
//! - **Nothing grows without a bound that has a name** ([`limits`]).
//! - **Every wait ends**: by a reply, a link's end, or a deadline.

pub(crate) mod cluster;
pub mod engine;
pub mod host;
pub mod id;
mod id_serde;
pub mod limits;
pub mod link;
pub mod reason;
pub mod signal;
#[cfg(feature = "testing")]
pub mod testing;
mod transport;
pub mod wire;
