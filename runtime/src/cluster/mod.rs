//! A runtime as a member of a cluster: nodes that link over QUIC, and what works across them.
//!
//! | File | Its one job |
//! |---|---|
//! | `node` | [`ClusterNode`]: the methods that users call |
//! | `builder` | choices before a node starts, and its start |
//! | `core` | what the parts share: the engine behind its lock, and the loop's side of it |
//! | `host` | what the engine's deliveries and events do to the node |
//! | `remote` | signals of this runtime's processes on their way out |
//! | `outbox`, `peers` | the queue towards one peer; all live links |
//! | `discovery` | where the other nodes may be, and looking for them |
//! | `events` | nodes that come and go, as users hear of them |
//! | `conflict` | two nodes have claimed one name: who hears of it, and who decides |
//! | `confirmed` | global names that a majority confirms |
//! | `unique` | a process of which there is one in the cluster |
//! | `metrics` | counters and gauges, as exporters take them |
//! | `name_table` | global names as the node sees them, with their digest |
//! | `send`, `names`, `spawn`, `attach` | one capability each |
//! | `identity`, `certificate`, `tls`, `quic` | who a node is, and how QUIC learns of it |
//! | `error` | why an act failed |
//! | `log_limit` | how often a stranger can make the node write to its log |

pub mod attach;
pub mod builder;
pub mod certificate;
pub mod confirmed;
pub mod conflict;
pub(crate) mod core;
mod delivery;
pub mod discovery;
pub mod error;
pub mod events;
pub(crate) mod host;
pub mod identity;
pub(crate) mod log_limit;
pub mod metrics;
mod name_table;
pub(crate) mod names;
pub mod node;
pub(crate) mod outbox;
pub(crate) mod peers;
pub mod quic;
pub(crate) mod remote;
mod remote_child;
pub(crate) mod send;
pub mod spawn;
pub mod tls;
mod unique;

pub use attach::RemoteProcess;
pub use builder::ClusterNodeBuilder;
pub use certificate::{CertificateError, PeerCertificate};
pub use confirmed::{ConfirmName, ConfirmNameError, FencingToken, OnLoss, Quorum};
pub use conflict::{Keep, NameConflict, OnConflict, Resolver};
pub use discovery::{Discovery, DnsSeeds, SeedFile, StaticSeeds};
pub use error::{
    AttachError, BindError, ConnectError, ForgetError, NodeAckError, NodeSendError, RegisterGlobalError,
    SpawnError,
};
pub use events::{DownCause, EventsError, Evidence, LinkEnd, NodeChange, NodeEvent, NodeEvents, Testimony};
pub use identity::{ClusterCa, Identity};
pub use node::{ClusterNode, ClusterView, LinkInfo, MemberInfo, NodeStats, RemoteNode, Standing};
pub use regatta_proto::host::CallError;
pub use spawn::{RemoteChild, SpawnRemote};
