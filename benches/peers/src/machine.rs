//! What the figures were made on, and how much of it others used meanwhile.

use std::fs;
use std::process::Command;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::child::children_cpu;

/// Clock ticks per second in `/proc/stat`; the same on every Linux architecture that is in use.
const TICKS_PER_SECOND: u64 = 100;

/// The crates that decide the figures of this build.
const CRATES: &[&str] = &[
    "rusm-cluster",
    "rusm-otp",
    "hydra",
    #[cfg(feature = "remote-actors")]
    "ractor_cluster",
    #[cfg(feature = "remote-actors")]
    "kameo",
    #[cfg(feature = "remote-actors")]
    "libp2p",
    "quinn-proto",
    "quinn-udp",
    "rustls",
    "tokio",
];

/// The machine and the build.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// The processor's name.
    pub(crate) cpu: String,
    /// Processors that this program may use.
    pub(crate) cores: usize,
    /// The frequency governor of the first processor, where there is one.
    pub(crate) governor: Option<String>,
    /// Whether the processor says that it is virtual.
    pub(crate) virtual_machine: bool,
    /// Operating system and kernel release.
    pub(crate) kernel: String,
    /// The compiler.
    pub(crate) rustc: &'static str,
    /// Commit of the source tree, with `-dirty` for changes that are not committed; none outside of a checkout.
    pub(crate) revision: Option<String>,
    /// Versions of the crates that decide the figures, from the lock file.
    pub(crate) crates: Vec<String>,
}

impl Machine {
    /// Reads what there is to read. What is missing is said so, not guessed.
    pub(crate) fn read() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |key: &str| {
            let line = cpuinfo.lines().find(|line| line.starts_with(key))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let line = |path| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
        Self {
            cpu: field("model name").unwrap_or_else(|| "unknown processor".into()),
            cores: available_parallelism().map_or(0, usize::from),
            governor: line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            virtual_machine: field("flags").is_some_and(|f| f.split(' ').any(|flag| flag == "hypervisor")),
            kernel: format!("Linux {}", line("/proc/sys/kernel/osrelease").unwrap_or_default()),
            rustc: env!("PEERS_RUSTC"),
            revision: revision(),
            crates: CRATES.iter().filter_map(|name| locked(name)).collect(),
        }
    }
}

fn revision() -> Option<String> {
    let describe = ["describe", "--always", "--dirty", "--exclude=*"];
    let output = Command::new("git").args(["-C", env!("CARGO_MANIFEST_DIR")]).args(describe).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn locked(name: &str) -> Option<String> {
    let entry = include_str!("../Cargo.lock").split_once(&format!("name = \"{name}\"\nversion = \""))?.1;
    Some(format!("{name} {}", entry.split_once('"')?.0))
}

/// Watches what everything but this program's children does to the processors.
#[derive(Debug)]
pub(crate) struct Neighbours {
    began: Instant,
    busy: Duration,
    stolen: Duration,
    own: Duration,
}

/// How many processors' worth of time went elsewhere.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Interference {
    /// To other programs on this machine (the orchestrator's own idle waiting included, which is next to nothing).
    pub(crate) other_cores: f64,
    /// To other machines on the same host.
    pub(crate) stolen_cores: f64,
}

impl Neighbours {
    /// Begins to watch.
    pub(crate) fn watch() -> Self {
        let (busy, stolen) = processor_time();
        Self { began: Instant::now(), busy, stolen, own: children_cpu() }
    }

    /// What happened since.
    pub(crate) fn since(&self) -> Interference {
        let (busy, stolen) = processor_time();
        let others = (busy - self.busy).saturating_sub(children_cpu() - self.own);
        let cores = |time: Duration| time.as_secs_f64() / self.began.elapsed().as_secs_f64();
        Interference { other_cores: cores(others), stolen_cores: cores(stolen - self.stolen) }
    }
}

/// Time that all processors were busy, and time stolen from them, since the machine started.
fn processor_time() -> (Duration, Duration) {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = first.split_whitespace().skip(1).filter_map(|tick| tick.parse().ok()).collect();
    let time = |column: usize| {
        Duration::from_millis(ticks.get(column).copied().unwrap_or(0) * 1000 / TICKS_PER_SECOND)
    };
    // Columns: user, nice, system, idle, iowait, irq, softirq, steal.
    (time(0) + time(1) + time(2) + time(5) + time(6), time(7))
}
