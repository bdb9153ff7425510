//! `regatta run`: runs scenario files and reports.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::Terminal;
use super::prompt::Prompt;
use crate::exit;
use crate::report::folder;
use crate::report::json::{Deselected, Document, WrongFile};
use crate::report::terminal::Reporter;
use crate::run::hold::{self, Hold};
use crate::run::many::{Job, Progress, run_all};
use crate::run::turns::Lines;
use crate::run::{RunOptions, RunReport};
use crate::scenario::{self, Scenario, World};

/// Runs that one command may ask for: each report is kept until the end.
const RUNS_MAX: usize = 1_000_000;
/// Bad runs of one scenario whose folders are written.
const EXPLAINED_MAX: usize = 3;
/// Where results are kept, in a folder that has it.
const RUNS: &str = "results/runs";

/// Run scenarios and report what held.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// Scenario files, and folders to search for *.toml.
    #[arg(value_name = "PATH", default_value = "scenarios")]
    paths: Vec<PathBuf>,
    /// Where to run; by default the first world that each file names.
    #[arg(long, value_name = "WORLD")]
    world: Option<World>,
    /// The seed of what is chosen at random; by default each file's, or else 1.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    seed: Option<u64>,
    /// Only scenarios whose name, cell or one of whose tags holds this text.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Write the results as one JSON document; `-` is the standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Accept what snapshots show now.
    #[arg(long)]
    accept: bool,
    /// Also run scenarios that are tagged `long`; in `sim`, where time is virtual, they run anyway, unless it is their only world.
    #[arg(long)]
    long: bool,
    /// Run each scenario with every seed from the first up to, but not including, the second.
    #[arg(long, value_name = "A..B", value_parser = seeds, conflicts_with = "seed")]
    seeds: Option<Range<u64>>,
    /// Run each scenario so many times.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// In `inproc` and `process`, let everything that must happen within some time take so many times as long.
    #[arg(long, value_name = "N")]
    time_factor: Option<NonZeroU32>,
    /// Run each passing seed again in `sim`, and see that it repeats.
    #[arg(long)]
    twice: bool,
    /// Hold before this step (its id, its number from 1, or `end`) and ask what to do; `help` at the prompt tells the commands.
    #[arg(long, value_name = "STEP", conflicts_with_all = ["seeds", "repeat", "twice"])]
    break_at: Option<String>,
    /// Before each slice of a load, and after the last, print the line `ready` and wait for the line `go` on the standard input: for
    /// whoever lets several builds take turns on one machine.
    #[arg(long, conflicts_with_all = ["seeds", "repeat", "twice", "break_at"])]
    in_turns: bool,
    /// Where the folders of runs that did not pass are written; by default results/runs, or target/regatta.
    #[arg(long, value_name = "FOLDER")]
    report: Option<PathBuf>,
    /// Put a planted bug in force, in the world `sim`.
    #[cfg(feature = "planted")]
    #[arg(long, value_name = "BUG")]
    plant: Option<String>,
    /// How many places there are for runs at the same time; a load takes all of them. By default one per core.
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
}

impl Run {
    pub(super) fn run(&self, terminal: &mut Terminal<'_>) -> io::Result<u8> {
        let files = match scenario::discover(&self.paths) {
            Ok(files) => files,
            Err(error) => {
                writeln!(terminal.err, "error: {error}")?;
                return Ok(exit::USAGE);
            }
        };
        if let Some(path) = self.json.as_deref().filter(|path| *path != Path::new("-")) {
            // Told now, and not after all scenarios have run.
            if let Err(error) = fs::OpenOptions::new().append(true).create(true).open(path) {
                writeln!(terminal.err, "error: cannot write `{}`: {error}", path.display())?;
                return Ok(exit::USAGE);
            }
        }
        let mut options = RunOptions {
            accept: self.accept,
            time_factor: self.time_factor,
            behaviours: terminal.behaviours.clone(),
            command: Some(terminal.command.clone()),
            ..RunOptions::default()
        };
        #[cfg(feature = "planted")]
        if let Some(Err(reason)) = self.plant.as_deref().map(|bug| options.plant(bug)) {
            writeln!(terminal.err, "error: {reason}")?;
            return Ok(exit::USAGE);
        }
        options.stop = Some(super::outside::interruption());
        let vocabulary = terminal.behaviours.vocabulary();
        let mut wrong = Vec::new();
        let (mut all, mut codes) = (Vec::new(), Vec::new());
        for file in &files {
            match scenario::load(file, &vocabulary) {
                Ok(scenarios) => all.extend(scenarios),
                Err(diagnostics) => {
                    codes.push(exit::BAD_SCENARIO);
                    let (file, mistakes) = (file.display().to_string(), diagnostics.render(false));
                    wrong.push(WrongFile { file, mistakes });
                    writeln!(terminal.err, "{}\n", diagnostics.render(terminal.err_colour))?;
                }
            }
        }
        let (mut selected, mut deselected) = (Vec::new(), Vec::new());
        for scenario in all {
            match self.select(&scenario) {
                Ok(world) => selected.push((Arc::new(scenario), world)),
                Err(Some(reason)) => deselected.push(Deselected { name: scenario.full_title(), reason }),
                // What the filter leaves out is what was not asked for.
                Err(None) => {}
            }
        }
        if selected.is_empty() && codes.is_empty() {
            writeln!(terminal.err, "error: no scenario is left to run{}", self.why_none(&deselected))?;
            self.keep(&Document::new(&[], deselected), terminal)?;
            return Ok(exit::USAGE);
        }
        if self.times().saturating_mul(selected.len().max(1)) > RUNS_MAX {
            writeln!(
                terminal.err,
                "error: at most {RUNS_MAX} runs at a time; choose fewer seeds or repeats"
            )?;
            return Ok(exit::USAGE);
        }
        if self.in_turns {
            if let Some((scenario, _)) = selected.iter().find(|(_, world)| *world == World::Sim) {
                let title = scenario.full_title();
                writeln!(terminal.err, "error: --in-turns is for real time, and `{title}` would run in sim")?;
                return Ok(exit::USAGE);
            }
            options.turns = Some(Lines::new(io::BufReader::new(io::stdin()), io::stdout()));
        }
        match self.hold(&selected) {
            Ok(hold) => options.hold = hold,
            Err(message) => {
                writeln!(terminal.err, "error: {message}")?;
                return Ok(exit::USAGE);
            }
        }
        let reports = self.play(&selected, &mut deselected, &options, terminal)?;
        let bad = wrong.len();
        if bad > 0 {
            let (are, they) = if bad == 1 { ("file is", "it was") } else { ("files are", "they were") };
            writeln!(terminal.err, "error: {bad} scenario {are} wrong, as told above; {they} not run")?;
        }
        if reports.len() < selected.len() * self.times() {
            codes.push(exit::INTERRUPTED);
        }
        codes.extend(reports.iter().map(|report| report.outcome.code()));
        let document = Document { wrong, ..Document::new(&reports, deselected) };
        if let Err(error) = self.keep(&document, terminal) {
            writeln!(terminal.err, "error: the results could not be written: {error}")?;
            codes.push(exit::INTERNAL);
        }
        Ok(exit::combine(codes))
    }

    /// Where to hold, if that is wanted.
    fn hold(&self, selected: &[(Arc<Scenario>, World)]) -> Result<Option<Hold>, String> {
        let Some(wanted) = &self.break_at else { return Ok(None) };
        let [(scenario, _)] = selected else {
            let titles: Vec<_> = selected.iter().map(|(scenario, _)| scenario.full_title()).collect();
            return Err(format!(
                "--break-at holds one run, and these are {}; choose one with --filter: {}",
                titles.len(),
                titles.join(", ")
            ));
        };
        let before = hold::find_step(scenario, wanted)?;
        Ok(Some(Hold { before, console: Arc::new(Prompt::new()) }))
    }

    fn why_none(&self, deselected: &[Deselected]) -> String {
        let mut reasons: Vec<_> = deselected.iter().map(|left| left.reason.as_str()).collect();
        reasons.sort_unstable();
        reasons.dedup();
        match &self.filter {
            Some(filter) if reasons.is_empty() => format!("; no name, cell or tag holds `{filter}`"),
            _ => format!(": {}", reasons.join("; ")),
        }
    }

    /// The world to run in, or why not.
    fn select(&self, scenario: &Scenario) -> Result<World, Option<String>> {
        if let Some(filter) = &self.filter
            && !scenario.full_title().contains(filter.as_str())
            && !scenario.tags.iter().any(|tag| tag.contains(filter.as_str()))
        {
            return Err(None);
        }
        let world = self.world.unwrap_or(scenario.worlds[0]);
        if scenario.is_long(world) && !self.long {
            return Err(Some("tagged `long`; run it with --long".to_owned()));
        }
        if scenario.worlds.contains(&world) {
            Ok(world)
        } else {
            Err(Some(format!("its file does not list the `{world}` world in `worlds`")))
        }
    }

    /// How often each scenario runs.
    fn times(&self) -> usize {
        let seeds = self.seeds.as_ref().map_or(1, |seeds| seeds.end - seeds.start);
        usize::try_from(seeds.saturating_mul(u64::from(self.repeat))).unwrap_or(usize::MAX)
    }

    /// Every run that is asked for, one scenario after another.
    fn jobs(&self, selected: &[(Arc<Scenario>, World)]) -> Vec<Job> {
        let mut jobs = Vec::new();
        for (scenario, world) in selected {
            let seed = self.seed.or(scenario.seed).unwrap_or(1);
            for seed in self.seeds.clone().unwrap_or(seed..seed.saturating_add(1)) {
                let job = Job { scenario: scenario.clone(), world: *world, seed, twice: self.twice };
                jobs.extend(std::iter::repeat_n(job, self.repeat as usize));
            }
        }
        jobs
    }

    fn play(
        &self,
        selected: &[(Arc<Scenario>, World)],
        deselected: &mut Vec<Deselected>,
        options: &RunOptions,
        terminal: &mut Terminal<'_>,
    ) -> io::Result<Vec<RunReport>> {
        let names = selected.iter().map(|(scenario, _)| scenario.full_title().chars().count());
        let width = names.chain(deselected.iter().map(|left| left.name.chars().count())).max().unwrap_or(0);
        // With the document on the standard output, people read the other one.
        let to_err = self.json.as_deref() == Some(Path::new("-"));
        let (out, colour, live) = if to_err {
            (&mut *terminal.err, terminal.err_colour, terminal.err_live)
        } else {
            (&mut *terminal.out, terminal.out_colour, terminal.out_live)
        };
        // Where somebody is asked, no line is written over.
        let mut reporter = Reporter::new(out, colour, live && self.break_at.is_none(), width);
        let jobs = self.jobs(selected);
        let mut reports: Vec<Option<RunReport>> = jobs.iter().map(|_| None).collect();
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let places = self.jobs.map_or(cores, NonZeroUsize::get);
        let many = self.times() > 1;
        let gone = terminal.out_gone;
        let stopped = || options.stop.as_ref().is_some_and(|stop| *stop.borrow());
        let (told, stopping) = tokio::sync::watch::channel(false);
        let (mut wrote, mut explained) = (Ok(()), BTreeMap::new());
        run_all(&jobs, places, &stopping, options, |progress| {
            if stopped() || (!to_err && gone.get()) || wrote.is_err() {
                told.send_replace(true);
            }
            let write = match progress {
                Progress::Begun(index) => {
                    reporter.begin(&jobs[index].scenario.full_title(), jobs[index].world.name(), jobs.len())
                }
                Progress::Ended(index, mut report) => {
                    self.explain(&mut report, &mut explained);
                    let write = if many { reporter.end_of_many(&report) } else { reporter.end(&report) };
                    reports[index] = Some(*report);
                    write
                }
            };
            if wrote.is_ok() {
                wrote = write;
            }
        });
        wrote?;
        let begun = reports.iter().filter(|report| report.is_some()).count();
        if begun < jobs.len() {
            let gone = !to_err && terminal.out_gone.get();
            let reason = if gone { "not run: nobody reads the output" } else { "not run: interrupted" };
            for (job, _) in jobs.iter().zip(&reports).filter(|(_, report)| report.is_none()) {
                let name = job.scenario.full_title();
                if deselected.last().is_none_or(|last| last.name != name) {
                    deselected.push(Deselected { name, reason: reason.to_owned() });
                }
            }
        }
        let reports: Vec<RunReport> = reports.into_iter().flatten().collect();
        if many {
            reporter.close_many(&reports, deselected)?;
        } else {
            reporter.close(&reports, deselected)?;
        }
        Ok(reports)
    }

    /// Writes the folder that explains a run, for the first bad runs of each scenario.
    fn explain(&self, report: &mut RunReport, explained: &mut BTreeMap<String, usize>) {
        let Some(_) = &report.remains else { return };
        let of_scenario = explained.entry(report.scenario.full_title()).or_default();
        *of_scenario += 1;
        if *of_scenario <= EXPLAINED_MAX {
            let root = self.report.clone().unwrap_or_else(folder::root);
            match folder::write(&root, report) {
                Ok(folder) => report.folder = folder,
                Err(error) => {
                    let message = format!("cannot write below `{}`: {error}", root.display());
                    // The run came out as it did, whatever becomes of its folder.
                    let outcome = report.outcome;
                    report.add(outcome, "report", message);
                }
            }
        } else {
            // Of many, the first ones are enough; this one can be run again.
            report.remains = None;
        }
    }

    /// Writes the document where it was asked for, and into `results/runs/` where there is such a folder.
    fn keep(&self, document: &Document, terminal: &mut Terminal<'_>) -> io::Result<()> {
        let json = serde_json::to_string_pretty(document).map_err(io::Error::other)?;
        match self.json.as_deref() {
            Some(path) if path == Path::new("-") => writeln!(terminal.out, "{json}")?,
            Some(path) => fs::write(path, format!("{json}\n"))
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?,
            None => {}
        }
        if Path::new("results").is_dir() {
            fs::create_dir_all(RUNS)?;
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            fs::write(format!("{RUNS}/{}.json", now.as_millis()), format!("{json}\n"))?;
        }
        Ok(())
    }
}

/// Reads `0..1000`.
fn seeds(text: &str) -> Result<Range<u64>, String> {
    let wrong = || format!("`{text}` is not a range of seeds; write for example 0..1000");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let number = |text: &str| match text.trim().parse::<u64>() {
        Ok(number) if i64::try_from(number).is_ok() => Ok(number),
        Ok(_) => Err(format!("`{text}` holds a seed above {}", i64::MAX)),
        Err(_) => Err(wrong()),
    };
    let seeds = number(from)?..number(to)?;
    if seeds.is_empty() {
        Err(format!("`{text}` holds no seed: the second number is not in it"))
    } else {
        Ok(seeds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_seeds_has_its_first_and_not_its_last() {
        assert_eq!(seeds("0..1000"), Ok(0..1000));
        assert_eq!(seeds("7..8"), Ok(7..8));
        assert!(seeds("9223372036854775807..9223372036854775809").is_err());
        for wrong in ["", "7", "7..", "..7", "8..8", "9..8", "a..b", "0..=3"] {
            assert!(seeds(wrong).is_err(), "{wrong:?}");
        }
    }
}
