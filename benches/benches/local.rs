//! Processes of one runtime, as a table: rates, and memory of parked ones. Each figure is of a fresh process, so that no memory
//! is inherited; with several rounds, the median, and the least and the most.
//!
//! `cargo bench --bench local -- --rounds 5 --scale 50 spawn parked`; without names, all probes.

use std::process::{Command, ExitCode, Stdio};

use regatta_benches::local::{self, Probe, Regatta};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` asks whether it runs, not how fast.
    if arguments.iter().any(|argument| argument == "--test" || argument == "--list") {
        return ExitCode::SUCCESS;
    }
    match Options::parse(&arguments) {
        Ok(Options { trial: Some(probe), scale, .. }) => trial(probe, scale),
        Ok(options) => report(&options),
        Err(problem) => {
            say(&format!("{problem}\nuse: local [--rounds N] [--scale N] [PROBE…]"));
            ExitCode::FAILURE
        }
    }
}

struct Options {
    rounds: usize,
    scale: u64,
    probes: Vec<Probe>,
    /// Run this one here, and print its figure.
    trial: Option<Probe>,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self { rounds: 3, scale: 50, probes: Vec::new(), trial: None };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            let probe = |name: &str| Probe::named(name).ok_or(format!("there is no probe {name}"));
            match argument.as_str() {
                // Cargo's own.
                "--bench" => {}
                "--rounds" => options.rounds = number(value()?)?,
                "--scale" => options.scale = number(value()?)?,
                "--trial" => options.trial = Some(probe(value()?)?),
                name => options.probes.push(probe(name)?),
            }
        }
        if options.probes.is_empty() {
            options.probes = Probe::ALL.to_vec();
        }
        Ok(options)
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

/// Runs one probe in this process.
fn trial(probe: Probe, scale: u64) -> ExitCode {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(WORKERS).enable_all().build().expect("a runtime");
    let figure = runtime.block_on(local::run::<Regatta>(probe, scale));
    runtime.shutdown_background();
    say(&figure.expect("Regatta does all").to_string());
    ExitCode::SUCCESS
}

fn report(options: &Options) -> ExitCode {
    let Options { rounds, scale, probes, .. } = options;
    say(&format!("processes of one runtime: {rounds} rounds, scale {scale}, {WORKERS} workers"));
    say(&format!("{:<12} {:>14} {:>14} {:>14}  unit", "probe", "median", "min", "max"));
    for probe in probes {
        let mut figures = Vec::new();
        for _ in 0..*rounds {
            match apart(*probe, *scale) {
                Ok(figure) => figures.push(figure),
                Err(error) => {
                    say(&format!("{}: {error}", probe.name()));
                    return ExitCode::FAILURE;
                }
            }
        }
        figures.sort_by(f64::total_cmp);
        let (Some(min), Some(max)) = (figures.first(), figures.last()) else { continue };
        let median = figures[figures.len() / 2];
        say(&format!("{:<12} {median:>14.0} {min:>14.0} {max:>14.0}  {}", probe.name(), probe.unit()));
    }
    ExitCode::SUCCESS
}

/// Runs one probe in a process of its own.
fn apart(probe: Probe, scale: u64) -> std::io::Result<f64> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--trial", probe.name(), "--scale", &scale.to_string()]);
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| std::io::Error::other(format!("the trial died: {}", output.status)))
}

#[expect(clippy::print_stdout, reason = "the table is what it is run for")]
fn say(line: &str) {
    println!("{line}");
}

/// Worker threads of a trial.
const WORKERS: usize = 2;
