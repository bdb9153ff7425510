//! The same cluster workload on Regatta, on the crates it grew from, and on the bare transports, in one run.
//!
//! This file reads the arguments and decides the order: in each round every layout and every probe comes up, and the
//! systems run one right after the other in random order, so that a slow minute of the machine meets them all. Each
//! trial is a process of its own ([`child`]); what it does there is in [`trial`] and [`workload`].

mod child;
mod erlang;
mod hydra;
mod layout;
mod machine;
mod raw;
mod regatta;
mod relay;
#[cfg(feature = "remote-actors")]
mod remote;
mod report;
mod seed;
mod stats;
mod systems;
mod trial;
mod workload;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::{Parser, ValueEnum};

use crate::layout::Layout;
use crate::machine::{Interference, Machine, Neighbours};
use crate::report::{FailedTrial, Report, SCHEMA};
use crate::stats::{Cell, Results};
use crate::trial::{Outcome, Probe, Trial};

/// Compares Regatta with its peers on one workload, and prints medians and ratios.
#[derive(Debug, Parser)]
struct Options {
    /// Fewer and shorter rounds: under two minutes.
    #[arg(long)]
    quick: bool,
    /// Write the result as JSON to this file; `-` is standard output, and the table then goes to standard error.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Systems to run, separated by commas, or `all`: those that this machine has.
    #[arg(long, value_delimiter = ',', value_name = "A,B", default_values = ["seed", "regatta"], value_parser = system_names(&["all"]))]
    systems: Vec<String>,
    /// The system that the others are compared with, by default the first of `--systems`.
    #[arg(long, value_name = "NAME", value_parser = system_names(&[]))]
    base: Option<String>,
    /// Numbers of far nodes that the near one is linked to, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "N,M", default_values_t = [1], value_parser = clap::value_parser!(u32).range(1..=LINKS_MAX))]
    links: Vec<u32>,
    /// Layouts to run, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Layout::OneProcess2w, Layout::RuntimePerNode, Layout::TwoProcesses])]
    layouts: Vec<Layout>,
    /// What to measure, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Measure::Rtt, Measure::Saturation, Measure::Flood])]
    measures: Vec<Measure>,
    /// Rounds, instead of 3 with --quick and 7 without.
    #[arg(long)]
    rounds: Option<usize>,
    /// Measured milliseconds of each trial, instead of 500 with --quick and 1000 without.
    #[arg(long, value_name = "MS")]
    window_ms: Option<u64>,
    /// Seed of the random order, instead of the time.
    #[arg(long, value_name = "N")]
    order_seed: Option<u64>,
    /// Run one trial, given as JSON, and print its outcome.
    #[arg(long, hide = true, value_name = "JSON")]
    trial: Option<String>,
}

impl Options {
    fn systems(&self) -> Vec<systems::Entry> {
        let all = self.systems.iter().any(|name| name == "all");
        // In the order in which they were given: the first is compared with.
        let given = || self.systems.iter().filter_map(|name| systems::named(name)).collect();
        let here = || systems::SYSTEMS.iter().copied().filter(|entry| entry.installed());
        if all { here().collect() } else { given() }
    }

    /// Each layout with each number of links.
    fn cells(&self) -> Vec<(Layout, u32)> {
        self.layouts.iter().flat_map(|layout| self.links.iter().map(|links| (*layout, *links))).collect()
    }
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measure {
    /// Round trip, one in flight.
    Rtt,
    /// Round trips per second with 16, 64, 256 and 1024 in flight.
    Saturation,
    /// Round trips per second and their times with 32 in flight, over a path that loses 0.5 % of the datagrams.
    Loss,
    /// One-way messages per second, and their order.
    Flood,
    /// One-way messages of 1 MiB, in bytes per second.
    Bulk,
    /// Starting a process on the other node.
    Spawn,
    /// Linking to another node.
    Handshake,
}

impl Measure {
    fn probes(self) -> Vec<Probe> {
        match self {
            Self::Rtt => vec![Probe::RoundTrip],
            Self::Saturation => [16, 64, 256, 1024].map(Probe::Saturation).to_vec(),
            Self::Loss => vec![Probe::Loss],
            Self::Flood => vec![Probe::Flood],
            Self::Bulk => vec![Probe::Bulk],
            Self::Spawn => vec![Probe::Spawn],
            Self::Handshake => vec![Probe::Handshake],
        }
    }
}

/// Most far nodes in a trial.
const LINKS_MAX: i64 = 100;
/// How much longer than its warm-up and window a trial may take before it is cut.
const GRACE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let mut options = Options::parse();
    if let Some(trial) = options.trial.take() {
        let outcome =
            serde_json::from_str(&trial).map_err(|error| error.to_string()).and_then(|t| run_here(&t));
        child::hand_in(&outcome);
        return if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let report = run(&options);
    match print(&options, &report) {
        Ok(()) if report.failures.is_empty() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("regatta-peers: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What `--systems` and `--base` take.
fn system_names(more: &[&'static str]) -> clap::builder::PossibleValuesParser {
    let names = systems::SYSTEMS.iter().map(|entry| entry.name);
    clap::builder::PossibleValuesParser::new(names.chain(more.iter().copied()).collect::<Vec<_>>())
}

/// Runs one trial in this process.
fn run_here(trial: &Trial) -> Result<Outcome, String> {
    let system = systems::named(&trial.system).ok_or(format!("this build has no system {:?}", trial.system));
    system?.run(trial).map_err(|failure| failure.to_string())
}

/// Runs all rounds, each trial in a process of its own.
fn run(options: &Options) -> Report {
    let rounds = options.rounds.unwrap_or(if options.quick { 3 } else { 7 });
    let window = Duration::from_millis(options.window_ms.unwrap_or(if options.quick { 500 } else { 1000 }));
    let warm_up = window * 2 / 5;
    let order_seed = options.order_seed.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::from(now.subsec_nanos()) ^ now.as_secs()
    });
    let mut random = Random(order_seed);
    let (begin, neighbours) = (Instant::now(), Neighbours::watch());
    let mut worst = Interference { other_cores: 0.0, stolen_cores: 0.0 };
    let chosen = options.systems();
    let base = options.base.clone().unwrap_or_else(|| chosen[0].name.to_owned());
    let (mut results, mut failures) = (Results::new(base), Vec::new());
    let cells = options.cells();
    for round in 1..=rounds {
        for (layout, links) in random.shuffled(&cells) {
            eprint!("\rround {round} of {rounds}: {:<30}", layout.with_links(links));
            let probes: Vec<Probe> = options.measures.iter().flat_map(|measure| measure.probes()).collect();
            for probe in random.shuffled(&probes) {
                for system in
                    random.shuffled(&chosen).into_iter().filter(|system| system.can(layout, links, probe))
                {
                    let system = system.name.to_owned();
                    let trial = Trial { system: system.clone(), layout, links, probe, warm_up, window };
                    let watch = Neighbours::watch();
                    let outcome = child::run(&trial, warm_up + window + GRACE);
                    let now = watch.since();
                    worst.other_cores = worst.other_cores.max(now.other_cores);
                    worst.stolen_cores = worst.stolen_cores.max(now.stolen_cores);
                    if let Err(reason) = &outcome {
                        let (reason, probe) = (reason.clone(), format!("{probe:?}"));
                        let system = system.clone();
                        failures.push(FailedTrial { round, system, layout, links, probe, reason });
                    }
                    results.add(Cell { layout, links, probe }, &system, outcome.ok());
                }
            }
        }
    }
    eprintln!("\r{:<50}", "");
    let (rows, extra) = results.rows();
    let mut machine = Machine::read();
    machine.crates.extend(chosen.iter().find_map(|system| system.version()));
    Report {
        schema: SCHEMA,
        command: std::env::args().collect::<Vec<_>>().join(" "),
        order_seed,
        rounds,
        warm_up_ms: warm_up.as_millis(),
        window_ms: window.as_millis(),
        duration_s: begin.elapsed().as_secs_f64(),
        machine,
        interference: neighbours.since(),
        interference_worst: worst,
        base: results.base().to_owned(),
        rows,
        extra,
        failures,
    }
}

fn print(options: &Options, report: &Report) -> std::io::Result<()> {
    let json = || serde_json::to_string_pretty(report).map(|text| text + "\n");
    match options.json.as_deref() {
        Some(path) if path.as_os_str() == "-" => {
            write!(std::io::stderr(), "{report}")?;
            write!(std::io::stdout(), "{}", json()?)
        }
        Some(path) => {
            fs::write(path, json()?)?;
            write!(std::io::stdout(), "{report}")
        }
        None => write!(std::io::stdout(), "{report}"),
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough to put trials in an order that nobody chose.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn shuffled<T: Clone>(&mut self, items: &[T]) -> Vec<T> {
        let mut items = items.to_vec();
        for last in (1..items.len()).rev() {
            let other = usize::try_from(self.next() % (last as u64 + 1)).expect("below the length of a list");
            items.swap(last, other);
        }
        items
    }
}
