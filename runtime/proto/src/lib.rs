//! The protocol engine of Regatta: one node's whole network side as a value without I/O.
//!
//! # Architecture invariants
//! - **Nothing here reads a clock, a socket or a random source that was not passed in.** Same inputs, same outputs, in
//!   order, up to ciphertext.

pub mod id;
pub mod reason;
pub mod signal;
