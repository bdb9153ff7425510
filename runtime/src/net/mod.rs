//! Bytes and addresses: the socket, and the loop that drives the engine with it. Nothing here knows of processes.

mod baton;
pub mod driver;
mod guard;
mod share;
pub mod socket;
mod spin;
mod spinner;
mod turn;
pub mod udp;

pub use quinn_proto::EcnCodepoint;
pub use socket::{Received, Socket, Transmit};
pub use turn::Driven;
pub use udp::UdpSocket;
