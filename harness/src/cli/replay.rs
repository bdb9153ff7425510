//! `regatta replay`: plays a run that did not pass again, as it was.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::Terminal;
use crate::exit;
use crate::report::folder::{self, Kept, KeptError};
use crate::report::json;
use crate::report::terminal::Reporter;
use crate::run::many::{Job, Progress, run_all};
use crate::run::{RunOptions, RunReport};
use crate::scenario::World;

/// Play a run again that did not pass: the same scenario, cell, world and seed.
///
/// What is played is the scenario's text as it was, which the run's folder keeps. In `sim` the digest says whether it was the
/// same run to the last datagram. The exit code is that of the run.
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// The folder of the run, its name below results/runs or target/regatta, or `last`.
    #[arg(value_name = "RUN", default_value = folder::LAST)]
    run: String,
    /// Write a folder that explains the run below this one, also when it passes.
    #[arg(long, value_name = "FOLDER")]
    report: Option<PathBuf>,
}

impl Replay {
    pub(super) fn run(&self, terminal: &mut Terminal<'_>) -> io::Result<u8> {
        let behaviours = terminal.behaviours.clone();
        let kept = match folder::read(&self.run, &behaviours.vocabulary()) {
            Ok(kept) => kept,
            Err(error) => {
                writeln!(terminal.err, "error: {error}")?;
                return Ok(code(&error));
            }
        };
        let Ok(world) = kept.manifest.world.parse::<World>() else {
            writeln!(terminal.err, "error: it ran in a world `{}`, which there is not", kept.manifest.world)?;
            return Ok(exit::USAGE);
        };
        let mut options = RunOptions {
            explain: self.report.is_some(),
            behaviours,
            time_factor: kept.manifest.time_factor,
            stop: Some(super::outside::interruption()),
            command: Some(terminal.command.clone()),
            ..RunOptions::default()
        };
        if let Some(Err(reason)) = kept.manifest.planted.as_deref().map(|bug| options.plant(bug)) {
            writeln!(terminal.err, "error: {reason}")?;
            return Ok(exit::USAGE);
        }
        self.introduce(&kept, terminal)?;
        let Kept { manifest, scenario, .. } = kept;
        let mut report = play(Arc::new(scenario), world, manifest.seed, &options, terminal)?;
        if let Some(root) = &self.report {
            match folder::write(root, &report) {
                Ok(written) => report.folder = written,
                Err(error) => {
                    writeln!(terminal.err, "error: cannot write below `{}`: {error}", root.display())?;
                    return Ok(exit::INTERNAL);
                }
            }
            if let Some(folder) = &report.folder {
                writeln!(terminal.out, "explained in  {}/", folder.display())?;
            }
        }
        let digest = report.digest.map(|digest| format!("{digest:016x}"));
        match (&manifest.digest, &digest) {
            (Some(then), Some(now)) if then == now => {
                writeln!(terminal.out, "digest {now}, as recorded: the same run")?;
            }
            (Some(then), Some(now)) => {
                writeln!(terminal.out, "digest {now}, recorded was {then}: not the same run")?;
            }
            _ if world == World::Sim => {
                writeln!(terminal.out, "no digest: one of the two runs did not come to its end")?;
            }
            _ => writeln!(terminal.out, "no digest: in `{world}` no two runs are the same")?,
        }
        let now = report.outcome.name();
        if now != manifest.outcome {
            writeln!(terminal.out, "it came out as `{}` then, and as `{now}` now", manifest.outcome)?;
        }
        Ok(report.outcome.code())
    }

    /// Says what will be played, and what is not as it was.
    fn introduce(&self, kept: &Kept, terminal: &mut Terminal<'_>) -> io::Result<()> {
        let manifest = &kept.manifest;
        writeln!(
            terminal.out,
            "{}{}, world {}, seed {}{}: {} then, by {}",
            manifest.file,
            manifest.cell,
            manifest.world,
            manifest.seed,
            manifest
                .planted
                .as_deref()
                .map_or_else(String::new, |bug| format!(", with the planted bug `{bug}`")),
            manifest.outcome,
            manifest.finding.as_deref().unwrap_or("nothing"),
        )?;
        if let Some(changed) = kept.changed {
            let copy = kept.folder.join(folder::SCENARIO);
            writeln!(
                terminal.err,
                "note: {} {changed}; what is played is {}",
                manifest.file,
                copy.display()
            )?;
        }
        let revision = json::revision();
        if revision != manifest.revision {
            writeln!(terminal.err, "note: it ran at revision {}, and this is {revision}", manifest.revision)?;
        }
        Ok(())
    }
}

/// One run, told as `regatta run` tells it.
fn play(
    scenario: Arc<crate::scenario::Scenario>,
    world: World,
    seed: u64,
    options: &RunOptions,
    terminal: &mut Terminal<'_>,
) -> io::Result<RunReport> {
    let width = scenario.full_title().chars().count();
    let mut reporter = Reporter::new(terminal.out, terminal.out_colour, terminal.out_live, width);
    let job = Job { scenario, world, seed, twice: false };
    let (mut wrote, mut ended) = (Ok(()), None);
    let (_go_on, stopping) = tokio::sync::watch::channel(false);
    run_all(std::slice::from_ref(&job), 1, &stopping, options, |progress| {
        let write = match progress {
            Progress::Begun(_) => reporter.begin(&job.scenario.full_title(), world.name(), 1),
            Progress::Ended(_, report) => {
                let write = reporter.end(&report);
                ended = Some(*report);
                write
            }
        };
        if wrote.is_ok() {
            wrote = write;
        }
    });
    wrote?;
    ended.ok_or_else(|| io::Error::other("the run has not ended"))
}

/// The exit code for a run that cannot be played again.
pub(super) const fn code(error: &KeptError) -> u8 {
    match error {
        KeptError::Scenario(_) => exit::BAD_SCENARIO,
        _ => exit::USAGE,
    }
}
