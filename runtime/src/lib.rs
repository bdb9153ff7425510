//! Processes, links, monitors and clusters as on the BEAM, over QUIC with mutual TLS.
//!
//! A [`Runtime`] runs processes: async bodies with a mailbox, a pid, links and monitors. A [`ClusterNode`] makes a
//! runtime a member of a cluster. A process sends to a pid the same way wherever that pid lives.

pub mod actor;
pub mod clock;
pub mod cluster;
pub mod net;

pub use actor::{Context, ProcessHandle, Received, Runtime, RuntimeBuilder, SendError};
pub use bytes::Bytes;
pub use clock::{Clock, SystemClock, Timer};
pub use cluster::{ClusterCa, ClusterNode, Identity, RemoteNode, SpawnRemote};
pub use regatta_proto::id::{Incarnation, Name, NodeId, NodeName, Pid, Reference};
pub use regatta_proto::limits::Limits;
pub use regatta_proto::reason::ExitReason;
