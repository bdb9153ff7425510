//! Processes, links, monitors and clusters as on the BEAM, over QUIC with mutual TLS.
//!
//! A [`Runtime`] runs processes: async bodies with a mailbox, a pid, links and monitors. A [`Server`] is a process with typed
//! calls and casts. A [`ClusterNode`] makes a runtime a member of a cluster. A process sends to a pid, and calls a server, the
//! same way wherever it lives.

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

pub mod actor;
pub mod clock;
pub mod cluster;
pub mod net;
pub mod server;
pub mod supervisor;
mod sync;

pub use actor::{Context, ProcessHandle, Received, Runtime, RuntimeBuilder, SendError};
pub use bytes::Bytes;
pub use clock::{Clock, SystemClock, Timer};
pub use cluster::{ClusterCa, ClusterNode, Identity, RemoteNode, SpawnRemote};
pub use regatta_proto::id::{Incarnation, Name, NodeId, NodeName, Pid, Reference};
pub use regatta_proto::limits::Limits;
#[cfg(feature = "planted")]
#[doc(hidden)]
pub use regatta_proto::planted;
pub use regatta_proto::reason::ExitReason;
pub use server::{CallError, Next, ReplyTo, Server, ServerRef};
