//! What goes wrong on purpose, below QUIC: rules look at datagrams and say what becomes of them.
//!
//! A fault is data ([`network`]) that is given to whoever carries datagrams; [`wire`] says what becomes of each, and
//! counts; [`socket`] is where that happens to real ones. Nothing of it is in the path of a scenario that asks for no
//! fault.

pub(crate) mod capture;
pub(crate) mod network;
pub(crate) mod socket;
pub(crate) mod wire;
