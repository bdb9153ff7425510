//! What a load cost: processor time, context switches, memory, datagrams and allocations, per one-way message.
//!
//! The process is measured as a whole: with all nodes in one process that is both ends, with a process for each node the
//! sending end alone. Datagrams are those that the sending node sent and received.

use std::mem::MaybeUninit;

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
    /// Allocations of the process; `None` where nobody counts them.
    pub allocations: Option<f64>,
    /// The greatest resident memory of the process so far, in MiB: not per message.
    pub rss_peak_mib: f64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    cpu_us: u64,
    context_switches: u64,
    datagrams: u64,
    allocations: Option<u64>,
}

impl Reading {
    pub(super) fn now(node: &ClusterNode) -> Self {
        let (usage, stats) = (usage(), node.stats());
        Self {
            cpu_us: micros(usage.ru_utime) + micros(usage.ru_stime),
            context_switches: positive(usage.ru_nvcsw) + positive(usage.ru_nivcsw),
            datagrams: stats.datagrams_sent + stats.datagrams_received,
            allocations: allocations(),
        }
    }

    /// What was spent since, on so many messages.
    pub(super) fn since(&self, node: &ClusterNode, messages: u64) -> Costs {
        let (now, messages) = (Self::now(node), messages.max(1) as f64);
        let each = |now: u64, then: u64| now.saturating_sub(then) as f64 / messages;
        Costs {
            cpu_us: each(now.cpu_us, self.cpu_us),
            context_switches: each(now.context_switches, self.context_switches),
            datagrams: each(now.datagrams, self.datagrams),
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
