//! The protocol engine of Regatta: one node's whole network side as a value without I/O.
//!
//! # Architecture invariants
//! - **Nothing here reads a clock, a socket or a random source that was not passed in.** Same inputs, same outputs, in
//!   order, up to ciphertext.
//! - **Whatever belongs to a link carries its generation**; nothing is removed by name alone.
//! - **Nothing grows without a bound that has a name** ([`limits`]).
//! - **Every wait ends**: by a reply, a link's end, or a deadline.

/// Whether one of these bugs is planted; never without the feature `planted`.
#[cfg(feature = "planted")]
macro_rules! planted {
    ($($bug:ident)|+) => {
        $($crate::planted::has($crate::planted::Bug::$bug))||+
    };
}
#[cfg(not(feature = "planted"))]
macro_rules! planted {
    ($($bug:ident)|+) => {
        false
    };
}

pub(crate) mod cluster;
pub mod engine;
pub mod host;
pub mod id;
mod id_serde;
pub mod limits;
pub mod link;
#[cfg(feature = "planted")]
#[doc(hidden)]
pub mod planted;
pub mod reason;
pub mod signal;
#[cfg(feature = "testing")]
pub mod testing;
mod transport;
pub mod wire;
