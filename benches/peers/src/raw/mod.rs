//! What the transports do without a cluster runtime on top: the limits that the others are held against.
//!
//! Both have only what the workload needs of processes, a mailbox under a name, and neither pids, links, monitors nor
//! any check of what arrives. What must stay true: nothing here is slower than it has to be, or the limit is no limit.

pub(crate) mod certificates;
pub(crate) mod names;
pub(crate) mod quinn;
pub(crate) mod udp;
