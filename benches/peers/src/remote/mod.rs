//! The remote actors of two libraries that call a handler for each message: ractor's and kameo's.
//!
//! Both keep their node in statics, so a process of the operating system is one node, as with hydra. What lets a body of
//! the workload, which awaits its messages, run in a handler is in `body`.

mod body;
mod kameo;
mod ractor;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::OnceLock;
use std::time::Duration;

pub(crate) use self::kameo::{IN_FLIGHT_MAX, Kameo};
pub(crate) use self::ractor::Ractor;
use crate::layout::Layout;
use crate::workload::Failure;

/// Where each node is a process of the operating system.
pub(crate) const LAYOUTS: &[Layout] = &[Layout::TwoProcesses, Layout::TwoProcesses1w];

/// How long a node waits before it looks again for what is not there yet.
const AGAIN: Duration = Duration::from_millis(5);

/// A loopback address for a system that must be told a port; it is free again when this returns.
fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// The actor that a process sends to, kept from the first time on: each process of the workload sends to one. It is found
/// by name, and a system's send goes to what was found. A clone, which is for another process, knows none yet.
struct Known<A>(OnceLock<(String, A)>);

impl<A> Known<A> {
    /// None was looked up yet.
    fn none() -> Self {
        Self(OnceLock::new())
    }

    /// The actor `name`, if it is the one that is known.
    fn get(&self, name: &str) -> Option<&A> {
        self.0.get().filter(|(known, _)| known == name).map(|(_, actor)| actor)
    }

    /// Keeps `actor`, found under `name`, unless another is known.
    fn keep(&self, name: &str, actor: A) {
        let _ = self.0.set((name.to_owned(), actor));
    }
}

impl<A> Clone for Known<A> {
    fn clone(&self) -> Self {
        Self::none()
    }
}
