//! Processes of one runtime: what is measured, and what a system must offer to be measured.
//!
//! `cargo bench --bench local` runs it on Regatta; `peers/` runs the same on others, too.
//!
//! What must stay true: each system does the same work in its own natural words; what one would write by hand to win a
//! benchmark is not done for any. Bodies of messages are empty or made afresh, the same for all.

mod regatta;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub use regatta::Regatta;
use tokio::sync::Notify;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Probe {
    /// Processes started and ended per second: waves of 1,000 that one process starts, all of them joined.
    Spawn,
    /// Resident bytes per process that waits for its first message.
    Parked,
    /// Round trips per second between two processes, one message in flight.
    PingPong,
    /// Round trips per second of 64 such pairs together.
    Pairs,
    /// Messages per second from one process to one other, empty bodies.
    Flood,
    /// Messages per second from one process to one other, 64-byte bodies made afresh.
    FloodBody,
    /// Messages per second from 64 processes to one, empty bodies.
    FanIn,
    /// Typed calls per second of one caller to one server.
    Call,
    /// Typed calls per second of 64 callers to one server.
    Calls,
}

impl Probe {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 9] = [
        Self::Spawn,
        Self::Parked,
        Self::PingPong,
        Self::Pairs,
        Self::Flood,
        Self::FloodBody,
        Self::FanIn,
        Self::Call,
        Self::Calls,
    ];

    /// The probe with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|probe| probe.name() == name)
    }

    /// Its name, in lower case, with dashes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spawn => "spawn",
            Self::Parked => "parked",
            Self::PingPong => "ping-pong",
            Self::Pairs => "pairs",
            Self::Flood => "flood",
            Self::FloodBody => "flood-body",
            Self::FanIn => "fan-in",
            Self::Call => "call",
            Self::Calls => "calls",
        }
    }

    /// Of what its figure is.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Spawn => "processes/s",
            Self::Parked => "bytes",
            Self::PingPong | Self::Pairs => "round trips/s",
            Self::Flood | Self::FloodBody | Self::FanIn => "messages/s",
            Self::Call | Self::Calls => "calls/s",
        }
    }
}

/// One system under test.
pub trait System {
    /// Its name in every result.
    const NAME: &'static str;

    /// Starts `waves` times `wave` processes that end at once, one wave after the other, from inside a process.
    fn spawn(waves: u64, wave: u64) -> impl Future<Output = ()>;

    /// Starts `count` processes that wait for a message. The result keeps them.
    fn park(count: u64) -> impl Future<Output = Box<dyn Send>>;

    /// `pairs` pairs of processes exchange `rounds` round trips each.
    fn ping_pong(pairs: u64, rounds: u64) -> impl Future<Output = ()>;

    /// `senders` processes send `each` messages with `body` bytes to one receiver, which counts them down.
    fn fan_in(senders: u64, each: u64, body: usize) -> impl Future<Output = ()>;

    /// `clients` callers make `rounds` typed calls each to one server. `false` if the system has none.
    fn call(clients: u64, rounds: u64) -> impl Future<Output = bool>;
}

/// Runs one probe on the calling thread's runtime: the figure, in the probe's unit. More `scale` is more work, and a steadier
/// figure; at 50 a million processes are parked. `None`: the system does not do this.
pub async fn run<S: System>(probe: Probe, scale: u64) -> Option<f64> {
    let rate = |count: u64, time: Duration| Some(count as f64 / time.as_secs_f64());
    match probe {
        Probe::Spawn => {
            S::spawn(20, 1_000).await;
            let waves = 10 * scale;
            rate(waves * 1_000, timed(S::spawn(waves, 1_000)).await)
        }
        Probe::Parked => {
            let count = 20_000 * scale;
            let before = rss_bytes();
            let kept = S::park(count).await;
            let after = rss_bytes();
            drop(kept);
            Some((after.saturating_sub(before)) as f64 / count as f64)
        }
        Probe::PingPong => {
            S::ping_pong(1, 1_000).await;
            let rounds = 20_000 * scale;
            rate(rounds, timed(S::ping_pong(1, rounds)).await)
        }
        Probe::Pairs => {
            S::ping_pong(64, 100).await;
            let rounds = 500 * scale;
            rate(rounds * 64, timed(S::ping_pong(64, rounds)).await)
        }
        Probe::Flood => flood::<S>(1, 64_000 * scale, 0).await,
        Probe::FloodBody => flood::<S>(1, 64_000 * scale, 64).await,
        Probe::FanIn => flood::<S>(64, 1_000 * scale, 0).await,
        Probe::Call | Probe::Calls => {
            let clients = if probe == Probe::Call { 1 } else { 64 };
            let rounds = 16_000 * scale / clients;
            if !S::call(clients, 100).await {
                return None;
            }
            let begun = Instant::now();
            S::call(clients, rounds).await;
            rate(clients * rounds, begun.elapsed())
        }
    }
}

async fn flood<S: System>(senders: u64, each: u64, body: usize) -> Option<f64> {
    S::fan_in(senders, 100, body).await;
    let time = timed(S::fan_in(senders, each, body)).await;
    Some((senders * each) as f64 / time.as_secs_f64())
}

async fn timed(work: impl Future<Output = ()>) -> Duration {
    let begun = Instant::now();
    work.await;
    begun.elapsed()
}

/// Lets one task wait until many have reached a point.
#[derive(Clone)]
pub struct Countdown(Arc<(AtomicU64, Notify)>);

impl Countdown {
    /// Ready after `count` arrivals.
    #[must_use]
    pub fn new(count: u64) -> Self {
        Self(Arc::new((AtomicU64::new(count), Notify::new())))
    }

    /// One of them is there.
    pub fn arrive(&self) {
        if self.0.0.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.1.notify_one();
        }
    }

    /// Waits for the last one. One task may wait.
    pub async fn wait(&self) {
        self.0.1.notified().await;
    }
}

/// The body of a message, made afresh; an empty one costs nothing.
#[must_use]
pub fn made(bytes: usize) -> Vec<u8> {
    if bytes == 0 { Vec::new() } else { vec![7; bytes] }
}

/// Messages that a sender sends in one go, so that others run; not all systems would make it stop.
pub const TURN: u64 = 256;

/// Resident memory of this process.
fn rss_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * 4_096
}
