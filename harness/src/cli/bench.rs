//! `regatta bench`: runs load scenarios in rounds, reports latency and throughput apart, and keeps the run.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;

use super::Terminal;
use super::output::{Forms, Outputs, absolute, command};
use crate::bench::runner::{self, Plan, Runs};
use crate::bench::{Bench as Document, SCHEMA, merge, store};
use crate::exit;
use crate::report::{bench as shown, html, json::revision};
use crate::results::machine::Machine;
use crate::results::runs::RunFolder;
use crate::results::{self, history};
use crate::scenario::{self, Scenario, Vocabulary, World};

/// Time that a file's process takes beside its scenarios.
const BESIDES: Duration = Duration::from_secs(30);

/// Measure load scenarios: response times, throughput and costs, over several rounds in fresh processes.
#[derive(Debug, Args)]
pub(super) struct Bench {
    /// Scenario files, and folders to search for *.toml; those without a load are passed over.
    #[arg(value_name = "PATH", default_value = "scenarios/load")]
    paths: Vec<PathBuf>,
    /// How often each scenario is run.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    rounds: u64,
    /// Keep the run under this name, for `regatta compare`; it replaces an earlier one of that name.
    #[arg(long, value_name = "NAME")]
    save: Option<String>,
    /// Add the run to the history in results/history; for commits of the main branch.
    #[arg(long)]
    record: bool,
    /// Where to run; by default the first world that each file names.
    #[arg(long, value_name = "WORLD")]
    world: Option<World>,
    /// Only scenarios whose name, cell or one of whose tags holds this text.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Also run scenarios that are tagged `long`.
    #[arg(long)]
    long: bool,
    /// The seed of the order and of the scenarios; by default the time.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    #[command(flatten)]
    outputs: Outputs,
    /// What `cargo bench` says to every benchmark.
    #[arg(long = "bench", hide = true)]
    cargo: bool,
}

impl Bench {
    pub(super) fn run(&self, terminal: &mut Terminal<'_>) -> io::Result<u8> {
        let files = match scenario::discover(&self.paths) {
            Ok(files) => files,
            Err(error) => {
                writeln!(terminal.err, "error: {error}")?;
                return Ok(exit::USAGE);
            }
        };
        let mut chosen = Vec::new();
        for file in files {
            match scenario::load(&file, &Vocabulary::default()) {
                Ok(cells) => {
                    let within: Duration =
                        cells.iter().filter(|cell| self.takes(cell)).map(|cell| cell.timeout).sum();
                    if !within.is_zero() {
                        chosen.push((absolute(&file)?, within + BESIDES));
                    }
                }
                Err(wrong) => {
                    writeln!(terminal.err, "{}", wrong.render(terminal.err_colour))?;
                    return Ok(exit::BAD_SCENARIO);
                }
            }
        }
        if chosen.is_empty() {
            writeln!(terminal.err, "error: no scenario with a load is left to run")?;
            return Ok(exit::USAGE);
        }
        let results = results::folder();
        // Told now, and not after everything was measured.
        let folder = match RunFolder::create(&results, &revision(), self.save.as_deref()) {
            Ok(folder) => folder,
            Err(error) => {
                writeln!(terminal.err, "error: the run cannot be kept: {error}")?;
                return Ok(exit::USAGE);
            }
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let plan = Plan {
            program: std::env::current_exe()?,
            files: chosen,
            world: self.world,
            rounds: self.rounds,
            // Seeds of scenarios are small numbers that a person can type again.
            seed: self.seed.unwrap_or(now.as_secs() % 1_000_000),
            filter: self.filter.clone(),
            long: self.long,
        };
        let runs = match measure(&plan, terminal)? {
            Ok(runs) => runs,
            Err(error) => {
                writeln!(terminal.err, "error: {error}")?;
                return Ok(exit::INTERNAL);
            }
        };
        let document = document(&plan, &runs, &folder);
        let paths: Vec<&Path> = plan.files.iter().map(|(file, _)| file.as_path()).collect();
        store::write(&folder, &document, &runs, &paths)?;
        folder.write("summary.md", &shown::markdown(&document))?;
        folder.write("report.html", &html::bench(&document))?;
        let forms = Forms {
            text: &|colour| shown::text(&document, colour),
            markdown: &|| shown::markdown(&document),
            html: &|| html::bench(&document),
            junit: None,
        };
        self.outputs.tell(&document, &forms, terminal)?;
        let (out, _) = self.outputs.people(terminal);
        writeln!(out, "report in {}/report.html", folder.path.display())?;
        if self.record {
            match history::append(&results, &document) {
                Ok(path) => writeln!(out, "recorded in {}", path.display())?,
                Err(error) => {
                    writeln!(terminal.err, "error: not recorded: {error}")?;
                    return Ok(exit::USAGE);
                }
            }
        }
        Ok(if document.failures.is_empty() { exit::PASS } else { exit::INVALID })
    }

    /// Whether a cell is one that is measured.
    fn takes(&self, cell: &Scenario) -> bool {
        let world = self.world.unwrap_or(cell.worlds[0]);
        let asked = self.filter.as_ref().is_none_or(|filter| {
            cell.full_title().contains(filter.as_str())
                || cell.tags.iter().any(|tag| tag.contains(filter.as_str()))
        });
        let possible = cell.worlds.contains(&world) && (self.long || !cell.is_long(world));
        !cell.loads.is_empty() && asked && possible
    }
}

/// Runs the plan, and shows how far it has come.
fn measure(
    plan: &Plan,
    terminal: &mut Terminal<'_>,
) -> io::Result<Result<Runs, crate::paired::arm::TrialError>> {
    let live = terminal.err_live;
    let err = &mut *terminal.err;
    let runs = runner::run(plan, |round, file| {
        if live {
            let name = file.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            // A terminal that cannot be written to shows nothing; the measuring goes on.
            let _ =
                write!(err, "\r\x1b[2Kround {round} of {}: {name}", plan.rounds).and_then(|()| err.flush());
        }
    });
    if live {
        write!(terminal.err, "\r\x1b[2K")?;
    }
    Ok(runs)
}

fn document(plan: &Plan, runs: &Runs, folder: &RunFolder) -> Document {
    let results: Vec<_> = runs.results.iter().map(|(_, result)| result).collect();
    Document {
        schema: SCHEMA.to_owned(),
        id: folder.id.clone(),
        revision: revision(),
        command: command(),
        unix_s: results::unix_s(),
        machine: Machine::this(),
        health: runs.health,
        rounds: plan.rounds,
        seed: plan.seed,
        measured: merge::merge(&results),
        failures: runs.failures.clone(),
    }
}
