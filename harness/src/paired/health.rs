//! Whether the machine was quiet: time stolen by the host, time of other programs, and datagrams that the kernel lost.

use std::fs;
use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The share of all processor time that may be stolen before a round is not trusted.
pub const STEAL_MAX: f64 = 0.05;
/// Kernel receive errors in a round before it is not trusted.
const UDP_ERRORS_MAX: u64 = 1_000;

/// What happened on the machine over a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// Share of processor time that the host gave to other machines.
    pub steal: f64,
    /// Share of processor time that was used, by whomever.
    pub busy: f64,
    /// Datagrams that the kernel dropped for want of buffers.
    pub udp_receive_errors: u64,
    /// How long it was watched, in seconds.
    pub seconds: f64,
}

impl Health {
    /// Why figures of this time cannot be trusted; nothing if they can.
    #[must_use]
    pub fn disturbed(&self) -> Vec<String> {
        let mut why = Vec::new();
        if self.steal > STEAL_MAX {
            why.push(format!("{:.1} % of the processor time was stolen by the host", self.steal * 100.0));
        }
        if self.udp_receive_errors > UDP_ERRORS_MAX {
            why.push(format!("the kernel dropped {} datagrams", self.udp_receive_errors));
        }
        why
    }
}

/// A watch over the machine.
#[derive(Debug)]
pub struct Watch {
    begun: Instant,
    ticks: Ticks,
    errors: u64,
}

#[derive(Debug, Default)]
struct Ticks {
    all: u64,
    idle: u64,
    steal: u64,
}

impl Watch {
    /// Begins to watch.
    #[must_use]
    pub fn begin() -> Self {
        Self { begun: Instant::now(), ticks: ticks(), errors: udp_errors() }
    }

    /// What happened since.
    #[must_use]
    pub fn health(&self) -> Health {
        let now = ticks();
        let all = now.all.saturating_sub(self.ticks.all).max(1) as f64;
        Health {
            steal: now.steal.saturating_sub(self.ticks.steal) as f64 / all,
            busy: 1.0 - now.idle.saturating_sub(self.ticks.idle) as f64 / all,
            udp_receive_errors: udp_errors().saturating_sub(self.errors),
            seconds: self.begun.elapsed().as_secs_f64(),
        }
    }
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal.
fn ticks() -> Ticks {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = first.split_whitespace().skip(1).filter_map(|tick| tick.parse().ok()).collect();
    let at = |column: usize| ticks.get(column).copied().unwrap_or(0);
    Ticks { all: (0..8).map(at).sum(), idle: at(3) + at(4), steal: at(7) }
}

/// `RcvbufErrors` of `/proc/net/snmp`.
fn udp_errors() -> u64 {
    let snmp = fs::read_to_string("/proc/net/snmp").unwrap_or_default();
    let mut lines = snmp.lines().filter(|line| line.starts_with("Udp:"));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else { return 0 };
    let column = names.split_whitespace().position(|name| name == "RcvbufErrors");
    column.and_then(|column| values.split_whitespace().nth(column)?.parse().ok()).unwrap_or(0)
}
