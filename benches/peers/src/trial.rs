//! One trial: one system in one layout, brought up afresh, measured once.
//!
//! Latency and throughput are trials of their own. A trial warms up with the load that it then measures.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::child::{self, Ask, Mark};
use crate::layout::{Layout, Nodes};
use crate::workload::{self, BULK_BYTES, Counter, Course, Failure, PAYLOAD_BYTES, System, Times};

/// Least number of flood senders on the near node, each with a sink of its own on a far node; no link is without one.
const FLOOD_SENDERS_MIN: u32 = 4;
/// Datagrams in a thousand that the lossy path loses, in each direction.
const LOSS_PER_MILLE: u32 = 5;
/// Pairs with one round trip in flight each, over the lossy path.
const LOSS_IN_FLIGHT: u32 = 32;
/// How long a flood may take to arrive once its senders stopped, before the rest counts as lost.
const DRAIN: Duration = Duration::from_secs(2);
/// Most handshakes in one trial; each brings up a node.
const HANDSHAKES_MAX: u32 = 300;

/// What one trial measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Probe {
    /// The round trip to a named echo, one in flight.
    RoundTrip,
    /// Round trips per second with so many client and echo pairs, one in flight each.
    Saturation(u32),
    /// Round trips with [`LOSS_IN_FLIGHT`] pairs over a path that loses [`LOSS_PER_MILLE`].
    Loss,
    /// One-way messages per second, as counted by the receivers.
    Flood,
    /// One-way messages of 1 MiB, in bytes per second as counted by the receivers.
    Bulk,
    /// The time to start a process on the other node.
    Spawn,
    /// The time to link to another node.
    Handshake,
}

/// One trial.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Trial {
    /// The name of the system under test.
    pub(crate) system: String,
    /// Where its nodes live.
    pub(crate) layout: Layout,
    /// Far nodes, each linked to the near one.
    pub(crate) links: u32,
    /// What is measured.
    pub(crate) probe: Probe,
    /// How long the load runs before it is measured.
    pub(crate) warm_up: Duration,
    /// How long it is measured.
    pub(crate) window: Duration,
}

/// A trial's figures by name; the unit is the end of the name or, for rates and shares, said in the report.
pub(crate) type Outcome = BTreeMap<String, f64>;

/// Runs the trial on system `S`, in this process.
pub(crate) fn run<S: System>(trial: &Trial) -> Result<Outcome, Failure> {
    let loss_per_mille = if trial.probe == Probe::Loss { LOSS_PER_MILLE } else { 0 };
    let nodes = Nodes::<S>::start(trial.layout, trial.links, loss_per_mille)?;
    // Only now: the far node is forked while there is one thread.
    child::end_with_stdin();
    match trial.probe {
        Probe::RoundTrip => round_trip(nodes, trial),
        Probe::Saturation(in_flight) => saturation(nodes, trial, in_flight),
        Probe::Loss => lossy(nodes, trial),
        Probe::Flood => flood(nodes, trial, PAYLOAD_BYTES),
        Probe::Bulk => flood(nodes, trial, BULK_BYTES),
        Probe::Spawn => spawn(nodes, trial),
        Probe::Handshake => handshake(nodes, trial),
    }
}

fn round_trip<S: System>(mut nodes: Nodes<S>, trial: &Trial) -> Result<Outcome, Failure> {
    nodes.ask(Ask::ProbeEcho)?;
    let (sender, receiver) = mpsc::channel();
    let (links, warm_up, window) = (nodes.links, trial.warm_up, trial.window);
    let (cpu, begin) = (child::own_cpu(), Instant::now());
    nodes.on_near(move |near| workload::probe(&near, links, warm_up, window, sender))?;
    let histogram = receiver.recv().map_err(|_| Failure::Late("the end of the probe"))??;
    let cores = (child::own_cpu() - cpu).as_secs_f64() / begin.elapsed().as_secs_f64();
    let mut outcome = quantiles("rtt", &histogram)?;
    outcome.insert("rtt_near_cpu_cores".into(), cores);
    Ok(outcome)
}

fn saturation<S: System>(mut nodes: Nodes<S>, trial: &Trial, in_flight: u32) -> Result<Outcome, Failure> {
    nodes.ask(Ask::Echo(in_flight))?;
    let (course, counters) = (Arc::new(Course::default()), counters(in_flight));
    let (links, for_clients, done) = (nodes.links, course.clone(), counters.clone());
    nodes.on_near(move |near| {
        let mut clients = (0..).zip(done);
        clients.try_for_each(|(index, done)| workload::client(&near, index, links, for_clients.clone(), done))
    })?;
    thread::sleep(trial.warm_up);
    let (before, begin) = (sum(&counters), Instant::now());
    thread::sleep(trial.window);
    let (round_trips, seconds) = (sum(&counters) - before, begin.elapsed().as_secs_f64());
    course.check()?;
    course.stop();
    match round_trips {
        0 => Err(Failure::Late("a single round trip")),
        n => Ok([("saturation_rt_per_s".into(), n as f64 / seconds)].into()),
    }
}

fn lossy<S: System>(mut nodes: Nodes<S>, trial: &Trial) -> Result<Outcome, Failure> {
    nodes.ask(Ask::Echo(LOSS_IN_FLIGHT))?;
    let (course, counters) = (Arc::new(Course::default()), counters(LOSS_IN_FLIGHT));
    let times: Vec<_> = (0..LOSS_IN_FLIGHT).map(|_| Arc::<Times>::default()).collect();
    let (links, for_clients, done, noted) = (nodes.links, course.clone(), counters.clone(), times.clone());
    nodes.on_near(move |near| {
        let mut clients = (0..).zip(done).zip(noted);
        clients.try_for_each(|((index, done), times)| {
            workload::timed_client(&near, index, links, for_clients.clone(), done, times)
        })
    })?;
    thread::sleep(trial.warm_up);
    for times in &times {
        // Until then they were warming up.
        times.take();
    }
    let (before, begin) = (sum(&counters), Instant::now());
    thread::sleep(trial.window);
    let (round_trips, seconds) = (sum(&counters) - before, begin.elapsed().as_secs_f64());
    course.check()?;
    course.stop();
    let mut all = workload::nanoseconds();
    for times in &times {
        all.add(times.take()).expect("all have the same bounds");
    }
    let mut outcome = quantiles("loss", &all)?;
    outcome.insert("loss_rt_per_s".into(), round_trips as f64 / seconds);
    Ok(outcome)
}

fn flood<S: System>(mut nodes: Nodes<S>, trial: &Trial, payload: usize) -> Result<Outcome, Failure> {
    let senders = FLOOD_SENDERS_MIN.max(nodes.links);
    nodes.ask(Ask::Sink(senders))?;
    let (course, counters) = (Arc::new(Course::default()), counters(senders));
    let (links, for_senders, sent) = (nodes.links, course.clone(), counters.clone());
    nodes.on_near(move |near| {
        let mut senders = (0..).zip(sent);
        senders.try_for_each(|(index, sent)| {
            workload::flood_sender(&near, index, links, payload, for_senders.clone(), sent)
        })
    })?;
    thread::sleep(trial.warm_up);
    let begin = nodes.mark()?;
    thread::sleep(trial.window);
    let end = nodes.mark()?;
    let backlog = sum(&counters).saturating_sub(end.received);
    course.check()?;
    course.stop();
    let last = drained(&mut nodes, &counters)?;
    let received = end.received - begin.received;
    if received == 0 {
        return Err(Failure::Late("a single message"));
    }
    let sent = sum(&counters);
    let seconds = (end.at_ns - begin.at_ns) as f64 / 1e9;
    if payload == BULK_BYTES {
        let mib = received as f64 * BULK_BYTES as f64 / f64::from(1 << 20);
        return Ok([("bulk_mib_per_s".into(), mib / seconds)].into());
    }
    Ok([
        ("flood_msgs_per_s".into(), received as f64 / seconds),
        ("out_of_order".into(), (end.out_of_order - begin.out_of_order) as f64 / received as f64),
        ("flood_backlog_msgs".into(), backlog as f64),
        ("flood_lost".into(), (sent - last.received.min(sent)) as f64 / sent as f64),
        ("flood_rss_peak_mib".into(), last.rss_peak_kib.max(child::rss_peak_kib()) as f64 / 1024.0),
    ]
    .into())
}

/// Waits until the sinks have counted all that the senders sent, or no more comes.
fn drained<S: System>(nodes: &mut Nodes<S>, sent: &[Arc<Counter>]) -> Result<Mark, Failure> {
    let mut mark = nodes.mark()?;
    let mut progress = Instant::now();
    while mark.received < sum(sent) && progress.elapsed() < DRAIN {
        thread::sleep(Duration::from_millis(10));
        let next = nodes.mark()?;
        if next.received > mark.received {
            progress = Instant::now();
        }
        mark = next;
    }
    Ok(mark)
}

fn spawn<S: System>(mut nodes: Nodes<S>, trial: &Trial) -> Result<Outcome, Failure> {
    nodes.ask(Ask::OfferSpawn)?;
    let (near, far) = (nodes.near.clone(), workload::far(0));
    let (warm_up, window) = (trial.warm_up, trial.window);
    measured("spawn", &nodes.near_runtime, async move {
        let mut histogram = workload::nanoseconds();
        let begin = Instant::now();
        while begin.elapsed() < warm_up + window {
            let asked = Instant::now();
            near.spawn_remote(&far).await?;
            if asked - begin >= warm_up {
                histogram.saturating_record(workload::elapsed_ns(asked));
            }
        }
        Ok(histogram)
    })
}

fn handshake<S: System>(mut nodes: Nodes<S>, trial: &Trial) -> Result<Outcome, Failure> {
    let address = nodes.far_addresses()?.first().copied().ok_or(Failure::Late("a far node"))?;
    let (warm_up, window) = (trial.warm_up, trial.window);
    let authority = nodes.authority.clone();
    measured("handshake", &nodes.near_runtime, async move {
        let mut histogram = workload::nanoseconds();
        let begin = Instant::now();
        for index in 0..HANDSHAKES_MAX {
            let name = format!("guest-{index}");
            let node = S::start(&name, &S::issue(&authority, &name)?)?;
            let asked = Instant::now();
            node.connect(address).await?;
            if asked - begin >= warm_up {
                histogram.saturating_record(workload::elapsed_ns(asked));
            }
            node.shutdown().await;
            if begin.elapsed() > warm_up + window {
                break;
            }
        }
        Ok(histogram)
    })
}

/// Runs `act` on `runtime` and turns its histogram into figures called `name`.
fn measured(
    name: &str,
    runtime: &Handle,
    act: impl Future<Output = Result<Histogram<u64>, Failure>> + Send + 'static,
) -> Result<Outcome, Failure> {
    let (sender, receiver) = mpsc::sync_channel(1);
    runtime.spawn(async move {
        let _ = sender.send(act.await);
    });
    let histogram = receiver.recv().map_err(|_| Failure::Late("the end of the act"))??;
    quantiles(name, &histogram)
}

/// The quantiles of a histogram of nanoseconds, as figures called `name`.
pub(crate) fn quantiles(name: &str, histogram: &Histogram<u64>) -> Result<Outcome, Failure> {
    if histogram.is_empty() {
        return Err(Failure::Late("a single sample"));
    }
    let us = |ns: u64| ns as f64 / 1e3;
    let named = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)];
    let mut outcome: Outcome = named
        .into_iter()
        .map(|(label, quantile)| (format!("{name}_{label}_us"), us(histogram.value_at_quantile(quantile))))
        .collect();
    outcome.insert(format!("{name}_max_us"), us(histogram.max()));
    outcome.insert(format!("{name}_samples"), histogram.len() as f64);
    Ok(outcome)
}

fn counters(count: u32) -> Vec<Arc<Counter>> {
    (0..count).map(|_| Arc::default()).collect()
}

fn sum(counters: &[Arc<Counter>]) -> u64 {
    counters.iter().map(|counter| counter.count()).sum()
}
