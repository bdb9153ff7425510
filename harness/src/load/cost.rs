//! What a load cost: processor time, context switches, memory, datagrams and allocations, per one-way message.
//!
//! The process is measured as a whole: with all nodes in one process that is both ends, with a process for each node the
//! sending end alone. Datagrams, their bytes and socket calls are those of the sending node, both ways.

use std::fmt;
use std::mem::MaybeUninit;
use std::ops::Deref;

use regatta::ClusterNode;
use serde::{Deserialize, Serialize};

use super::allocation::allocations;

/// Costs per one-way message; a round trip is two.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// Processor time of the process, user and system, in microseconds.
    pub cpu_us: f64,
    /// Context switches of the process.
    pub context_switches: f64,
    /// UDP datagrams of the sending node, both ways.
    pub datagrams: f64,
    /// Bytes of those datagrams; `None` where the world's socket does not count.
    pub bytes: Option<f64>,
    /// Calls of the sending node's `Socket`, both ways; `None` where it does not count.
    pub socket_calls: Option<f64>,
    /// Allocations of the process; `None` where nobody counts them.
    pub allocations: Option<f64>,
    /// The greatest resident memory of the process so far, in MiB: not per message.
    pub rss_peak_mib: f64,
}

/// What went through a node's socket so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SocketCounts {
    /// Calls that sent, and calls that brought something.
    pub calls: u64,
    /// Bytes of the datagrams, both ways.
    pub bytes: u64,
}

/// The node that sends, and what its socket counts.
pub struct Source {
    node: ClusterNode,
    socket: Box<dyn Fn() -> Option<SocketCounts> + Send + Sync>,
}

impl Source {
    /// A node whose socket counts, or says that it does not.
    #[must_use]
    pub fn new(node: ClusterNode, socket: impl Fn() -> Option<SocketCounts> + Send + Sync + 'static) -> Self {
        Self { node, socket: Box::new(socket) }
    }
}

impl Deref for Source {
    type Target = ClusterNode;

    fn deref(&self) -> &ClusterNode {
        &self.node
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.node).finish()
    }
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    cpu_us: u64,
    context_switches: u64,
    datagrams: u64,
    socket: Option<SocketCounts>,
    allocations: Option<u64>,
}

impl Reading {
    pub(super) fn now(node: &Source) -> Self {
        let (usage, stats) = (usage(), node.stats());
        Self {
            cpu_us: micros(usage.ru_utime) + micros(usage.ru_stime),
            context_switches: positive(usage.ru_nvcsw) + positive(usage.ru_nivcsw),
            datagrams: stats.datagrams_sent + stats.datagrams_received,
            socket: (node.socket)(),
            allocations: allocations(),
        }
    }

    /// What was spent since, on so many messages.
    pub(super) fn since(&self, node: &Source, messages: u64) -> Costs {
        let (now, messages) = (Self::now(node), messages.max(1) as f64);
        let each = |now: u64, then: u64| now.saturating_sub(then) as f64 / messages;
        let socket = now.socket.zip(self.socket);
        Costs {
            cpu_us: each(now.cpu_us, self.cpu_us),
            context_switches: each(now.context_switches, self.context_switches),
            datagrams: each(now.datagrams, self.datagrams),
            bytes: socket.map(|(now, then)| each(now.bytes, then.bytes)),
            socket_calls: socket.map(|(now, then)| each(now.calls, then.calls)),
            allocations: now.allocations.zip(self.allocations).map(|(now, then)| each(now, then)),
            rss_peak_mib: positive(usage().ru_maxrss) as f64 / 1024.0,
        }
    }
}

fn usage() -> libc::rusage {
    let mut usage = MaybeUninit::zeroed();
    // SAFETY: all-zero is a valid rusage, and the call writes only within it; it cannot fail for this process.
    unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    }
}

fn micros(time: libc::timeval) -> u64 {
    positive(time.tv_sec) * 1_000_000 + positive(time.tv_usec)
}

fn positive(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
