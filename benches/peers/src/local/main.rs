//! Processes of one runtime: the same work on Regatta, rusm-otp, ractor and kameo, in one run.
//!
//! In each round every probe comes up, and the systems run it one right after the other in random order, each in a
//! fresh process, so that a slow minute of the machine meets them all and no memory is inherited. A ratio is the median of
//! the ratios of single rounds.

#[cfg(feature = "remote-actors")]
compile_error!("the feature `remote-actors` changes what is measured here: build this binary without it");

mod kameo;
mod ractor;
mod report;
mod rusm;

use std::io;
use std::process::{Command, ExitCode, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use regatta_benches::local::{self, Probe, Regatta, System};

use crate::report::Results;

/// Compares the processes of Regatta with those of its peers, and prints medians and ratios.
#[derive(Debug, Parser)]
struct Options {
    /// Fewer and shorter rounds: under two minutes.
    #[arg(long)]
    quick: bool,
    /// Systems to run, separated by commas.
    #[arg(long, value_delimiter = ',', default_values = SYSTEMS, value_parser = PossibleValuesParser::new(SYSTEMS))]
    systems: Vec<String>,
    /// What to measure, separated by commas.
    #[arg(long, value_delimiter = ',', default_values = Probe::ALL.map(Probe::name), value_parser = probes())]
    probes: Vec<Probe>,
    /// Rounds, instead of 3 with --quick and 7 without.
    #[arg(long)]
    rounds: Option<usize>,
    /// How much work one trial does, instead of 10 with --quick and 50 without.
    #[arg(long)]
    scale: Option<u64>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    /// Run one trial of this system in this process, and print its figure.
    #[arg(long, hide = true, value_name = "SYSTEM")]
    trial: Option<String>,
}

/// The systems, the base of all ratios first.
const SYSTEMS: &[&str] = &["rusm-otp", "regatta", "ractor", "kameo"];
/// Worker threads of a trial's runtime.
const WORKERS: usize = 2;

fn probes() -> impl TypedValueParser<Value = Probe> {
    PossibleValuesParser::new(Probe::ALL.map(Probe::name))
        .map(|name| Probe::named(&name).expect("it is one of the possible values"))
}

fn main() -> ExitCode {
    let options = Options::parse();
    let scale = options.scale.unwrap_or(if options.quick { 10 } else { 50 });
    if let Some(system) = &options.trial {
        return match run_here(system, options.probes[0], scale) {
            Some(figure) => {
                println!("{figure}");
                ExitCode::SUCCESS
            }
            None => ExitCode::from(NONE),
        };
    }
    let rounds = options.rounds.unwrap_or(if options.quick { 3 } else { 7 });
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut random = Random(u64::from(now.subsec_nanos()) ^ now.as_secs());
    let mut results = Results::default();
    for round in 1..=rounds {
        for probe in random.shuffled(&options.probes) {
            eprint!("\rround {round} of {rounds}: {:<12}", probe.name());
            for system in random.shuffled(&options.systems) {
                match run_apart(&system, probe, scale) {
                    Ok(figure) => results.add(probe, &system, figure),
                    Err(error) => {
                        eprintln!("\n{system}, {}: {error}", probe.name());
                        return ExitCode::FAILURE;
                    }
                }
            }
        }
    }
    eprint!("\r{:<40}\r", "");
    if options.json {
        println!("{}", results.json(rounds, scale));
    } else {
        print!("{}", results.table(rounds, scale));
    }
    ExitCode::SUCCESS
}

/// Runs one trial in this process.
fn run_here(system: &str, probe: Probe, scale: u64) -> Option<f64> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(WORKERS).enable_all().build().expect("a runtime");
    let figure = runtime.block_on(async {
        match system {
            rusm::Rusm::NAME => local::run::<rusm::Rusm>(probe, scale).await,
            Regatta::NAME => local::run::<Regatta>(probe, scale).await,
            ractor::Ractor::NAME => local::run::<ractor::Ractor>(probe, scale).await,
            kameo::Kameo::NAME => local::run::<kameo::Kameo>(probe, scale).await,
            other => unreachable!("{other} is not among the possible values"),
        }
    });
    // A million parked processes are the system's own affair, not the trial's.
    runtime.shutdown_background();
    figure
}

/// Runs one trial in a process of its own. `None`: the system does not do this.
fn run_apart(system: &str, probe: Probe, scale: u64) -> io::Result<Option<f64>> {
    let mut command = Command::new("/proc/self/exe");
    command.args(["--trial", system, "--probes", probe.name(), "--scale", &scale.to_string()]);
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    match output.status.code() {
        Some(0) => text.trim().parse().map(Some).map_err(io::Error::other),
        Some(code) if code == i32::from(NONE) => Ok(None),
        _ => Err(io::Error::other(format!("the trial died: {}", output.status))),
    }
}

/// The exit code of a trial that its system does not offer.
const NONE: u8 = 3;

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
