//! `regatta shrink`: makes a failing run as small as it can, and writes it as a scenario file of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::Terminal;
use crate::exit;
use crate::report::folder;
use crate::report::terminal::quoted;
use crate::run::RunOptions;
use crate::scenario::{self, Scenario, Vocabulary};
use crate::shrink::{self, Ended, Progress, RUNS_DEFAULT, ShrinkError, Shrunk, Size};

/// Where what was made small is kept.
const REPORTED: &str = "scenarios/reported";

/// Make a run that fails in `sim` small, and write it as a scenario file.
///
/// What the seed chose is written out: each random fault with its time and its nodes. Then faults, steps, processes and
/// nodes are taken out, and values made simpler, for as long as the run fails with the same finding and no other.
/// An interruption (Ctrl-C) keeps the smallest so far.
#[derive(Debug, Args)]
pub(super) struct Shrink {
    /// A scenario file; or the folder of a run, its name, or `last`.
    #[arg(value_name = "FILE|RUN", default_value = folder::LAST)]
    what: String,
    /// The seed that fails; by default the file's, or else 1.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    seed: Option<u64>,
    /// Of a file with several cells, the one whose name holds this text.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// The most runs that are made.
    #[arg(long, value_name = "N", default_value_t = RUNS_DEFAULT)]
    runs: usize,
    /// The file to write; by default scenarios/reported/AREA-NAME-SEED.toml.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Put a planted bug in force.
    #[cfg(feature = "planted")]
    #[arg(long, value_name = "BUG")]
    plant: Option<String>,
}

impl Shrink {
    pub(super) fn run(&self, terminal: &mut Terminal<'_>) -> io::Result<u8> {
        let behaviours = terminal.behaviours.clone();
        let (scenario, seed, planted) = match self.case(&behaviours.vocabulary()) {
            Ok(found) => found,
            Err((code, message)) => {
                writeln!(terminal.err, "{message}")?;
                return Ok(code);
            }
        };
        let out = self.out.clone().unwrap_or_else(|| {
            let name = scenario.area_and_name().replace('/', "-");
            Path::new(REPORTED).join(format!("{name}-{seed}.toml"))
        });
        if out.exists() {
            writeln!(
                terminal.err,
                "error: `{}` is there already; name another one with --out",
                out.display()
            )?;
            return Ok(exit::USAGE);
        }
        let mut options = RunOptions {
            seed,
            behaviours,
            stop: Some(super::outside::interruption()),
            command: Some(terminal.command.clone()),
            ..RunOptions::default()
        };
        if let Some(Err(reason)) = planted.as_deref().map(|bug| options.plant(bug)) {
            writeln!(terminal.err, "error: {reason}")?;
            return Ok(exit::USAGE);
        }
        let scenario = Arc::new(scenario);
        let found = {
            let mut teller = Teller { live: terminal.err_live, told: None, out: &mut *terminal.err };
            let found =
                shrink::shrink(&scenario, &options, self.runs.max(2), &mut |progress| teller.tell(progress));
            teller.close();
            found
        };
        let shrunk = match found {
            Ok(shrunk) => shrunk,
            Err(error) => {
                writeln!(terminal.err, "error: {error}")?;
                return Ok(match error {
                    ShrinkError::Interrupted => exit::INTERRUPTED,
                    _ => exit::INVALID,
                });
            }
        };
        let text =
            shrunk.text(&about(&shrunk, &scenario, seed, &again(terminal.command, &out, planted.as_deref())));
        if let Err(error) = write(&out, &text) {
            writeln!(terminal.err, "error: cannot write `{}`: {error}", out.display())?;
            return Ok(exit::INTERNAL);
        }
        tell(&shrunk, &out, planted.as_deref(), terminal)?;
        Ok(if shrunk.ended == Ended::Interrupted { exit::INTERRUPTED } else { exit::PASS })
    }

    /// What is to be made small: a scenario, its seed, and the bug that is planted.
    fn case(&self, vocabulary: &Vocabulary) -> Result<(Scenario, u64, Option<String>), (u8, String)> {
        #[cfg(feature = "planted")]
        let planted = self.plant.clone();
        #[cfg(not(feature = "planted"))]
        let planted = None;
        if !Path::new(&self.what).is_file() || self.what.ends_with(folder::MANIFEST) {
            let kept = folder::read(&self.what, vocabulary)
                .map_err(|error| (super::replay::code(&error), format!("error: {error}")))?;
            let seed = self.seed.unwrap_or(kept.manifest.seed);
            return Ok((kept.scenario, seed, planted.or(kept.manifest.planted)));
        }
        let cells = scenario::load(Path::new(&self.what), vocabulary)
            .map_err(|wrong| (exit::BAD_SCENARIO, wrong.render(false)))?;
        let all: Vec<String> = cells.iter().map(Scenario::full_title).collect();
        let mut chosen: Vec<Scenario> = cells
            .into_iter()
            .filter(|cell| self.filter.as_ref().is_none_or(|text| cell.full_title().contains(text.as_str())))
            .collect();
        if chosen.len() != 1 {
            let message = format!(
                "error: one cell can be made small at a time; choose with --filter one of {}",
                all.join(", ")
            );
            return Err((exit::USAGE, message));
        }
        let scenario = chosen.swap_remove(0);
        let seed = self.seed.or(scenario.seed).unwrap_or(1);
        Ok((scenario, seed, planted))
    }
}

/// Why the file exists, with the line that runs it.
fn about(shrunk: &Shrunk, scenario: &Scenario, seed: u64, again: &str) -> String {
    let message = shrunk.finding.message.lines().next().unwrap_or_default();
    let what = match shrunk.ended {
        Ended::Minimal => "This is what is needed for it".to_owned(),
        Ended::Runs | Ended::Interrupted => format!("This is as small as it got in {} runs", shrunk.runs),
    };
    let mut about = format!(
        "{} with seed {seed} failed by {}: {message}. {what}. Again with:\n{again}",
        scenario.full_title(),
        shrunk.finding.what,
    );
    if shrunk.passes_without_faults == Some(true) {
        about.push_str("\nWithout its faults it passes.");
    }
    about
}

fn again(command: &str, out: &Path, planted: Option<&str>) -> String {
    let plant = planted.map_or_else(String::new, |bug| format!(" --plant {bug}"));
    format!("{command} run {} --world sim{plant}", quoted(&out.display().to_string()))
}

fn write(out: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = out.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(out, text)
}

/// Says what came of it.
fn tell(shrunk: &Shrunk, out: &Path, planted: Option<&str>, terminal: &mut Terminal<'_>) -> io::Result<()> {
    writeln!(terminal.out, "fails by {}: {}", shrunk.finding.what, shrunk.finding.message)?;
    writeln!(terminal.out, "from  {}", sizes(&shrunk.before))?;
    writeln!(terminal.out, "to    {}", sizes(&shrunk.after))?;
    let why = match shrunk.ended {
        Ended::Minimal => "nothing that was tried makes it smaller",
        Ended::Runs => "no more runs were allowed; --runs N allows more",
        Ended::Interrupted => "interrupted",
    };
    writeln!(terminal.out, "in    {} runs: {why}", shrunk.runs)?;
    if !shrunk.explicit {
        writeln!(
            terminal.err,
            "note: with its random faults written out it does not fail, so they stay random"
        )?;
    }
    if shrunk.passes_without_faults == Some(false) {
        let message = "it fails without its faults too, and its finding could come from a part that is missing: \
                       steps, processes and nodes were left as they are";
        writeln!(terminal.err, "note: {message}")?;
    }
    writeln!(terminal.out, "again {}", again(terminal.command, out, planted))
}

fn sizes(size: &Size) -> String {
    let count =
        |count: u64, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    [
        count(size.strikes as u64, "strike", "strikes"),
        count(size.steps as u64, "step", "steps"),
        count(size.processes as u64, "process", "processes"),
        count(size.nodes, "node", "nodes"),
        count(size.expectations as u64, "expectation", "expectations"),
    ]
    .join(", ")
}

/// Tells of progress: one line that is written over, or a line whenever it has become smaller.
struct Teller<'a> {
    out: &'a mut dyn io::Write,
    live: bool,
    told: Option<Size>,
}

impl Teller<'_> {
    fn tell(&mut self, progress: &Progress) {
        let line = format!("{} of {} runs: {}", progress.runs, progress.runs_max, sizes(&progress.best));
        // Progress that cannot be shown stops nothing.
        if self.live {
            let _ = write!(self.out, "\r\x1b[2K\x1b[?7l{line}\x1b[?7h");
            let _ = self.out.flush();
        } else if self.told != Some(progress.best) {
            let _ = writeln!(self.out, "{line}");
        }
        self.told = Some(progress.best);
    }

    fn close(&mut self) {
        if self.live {
            let _ = write!(self.out, "\r\x1b[2K");
        }
    }
}
