//! `regatta run`: runs scenario files and reports.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::Terminal;
use crate::exit;
use crate::report::json::{Deselected, Document, qualified};
use crate::report::terminal::Reporter;
use crate::run::{self, RunOptions, RunReport};
use crate::scenario::model::LONG_TAG;
use crate::scenario::{self, Scenario, Vocabulary, World};

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
    #[arg(long, value_name = "N")]
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
    /// Also run scenarios that are tagged `long`.
    #[arg(long)]
    long: bool,
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
        let vocabulary = Vocabulary::default();
        let mut bad = 0;
        let (mut all, mut codes) = (Vec::new(), Vec::new());
        for file in &files {
            match scenario::load(file, &vocabulary) {
                Ok(scenarios) => all.extend(scenarios),
                Err(diagnostics) => {
                    codes.push(exit::BAD_SCENARIO);
                    bad += 1;
                    writeln!(terminal.err, "{}\n", diagnostics.render(terminal.err_colour))?;
                }
            }
        }
        let (mut selected, mut deselected) = (Vec::new(), Vec::new());
        for scenario in all {
            match self.select(&scenario) {
                Ok(world) => selected.push((Arc::new(scenario), world)),
                Err(Some(reason)) => deselected.push(Deselected { name: title(&scenario), reason }),
                // What the filter leaves out is what was not asked for.
                Err(None) => {}
            }
        }
        if selected.is_empty() && codes.is_empty() {
            writeln!(terminal.err, "error: no scenario is left to run{}", self.why_none(&deselected))?;
            return Ok(exit::USAGE);
        }
        let reports = self.play(&selected, &mut deselected, terminal)?;
        if bad > 0 {
            let (are, they) = if bad == 1 { ("file is", "it was") } else { ("files are", "they were") };
            writeln!(terminal.err, "error: {bad} scenario {are} wrong, as told above; {they} not run")?;
        }
        if reports.len() < selected.len() {
            codes.push(exit::INTERRUPTED);
        }
        codes.extend(reports.iter().map(|report| report.outcome.code()));
        let document = Document::new(&reports, deselected);
        let json = serde_json::to_string_pretty(&document).map_err(io::Error::other)?;
        if let Err(error) = self.keep(&json, terminal) {
            writeln!(terminal.err, "error: the results could not be written: {error}")?;
            codes.push(exit::INTERNAL);
        }
        Ok(exit::combine(codes))
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
            && !title(scenario).contains(filter.as_str())
            && !scenario.tags.iter().any(|tag| tag.contains(filter.as_str()))
        {
            return Err(None);
        }
        if scenario.has_tag(LONG_TAG) && !self.long {
            return Err(Some("tagged `long`; run it with --long".to_owned()));
        }
        let world = self.world.unwrap_or(scenario.worlds[0]);
        if scenario.worlds.contains(&world) {
            Ok(world)
        } else {
            Err(Some(format!("its file does not list the `{world}` world in `worlds`")))
        }
    }

    fn play(
        &self,
        selected: &[(Arc<Scenario>, World)],
        deselected: &mut Vec<Deselected>,
        terminal: &mut Terminal<'_>,
    ) -> io::Result<Vec<RunReport>> {
        let names = selected.iter().map(|(scenario, _)| title(scenario).chars().count());
        let width = names.chain(deselected.iter().map(|left| left.name.chars().count())).max().unwrap_or(0);
        // With the document on the standard output, people read the other one.
        let to_err = self.json.as_deref() == Some(Path::new("-"));
        let (out, colour, live) = if to_err {
            (&mut *terminal.err, terminal.err_colour, terminal.err_live)
        } else {
            (&mut *terminal.out, terminal.out_colour, terminal.out_live)
        };
        let mut reporter = Reporter::new(out, colour, live, width);
        let mut reports = Vec::new();
        let stop = super::outside::interruption();
        for (index, (scenario, world)) in selected.iter().enumerate() {
            let gone = !to_err && terminal.out_gone.get();
            if gone || *stop.borrow() {
                let reason = if gone { "not run: nobody reads the output" } else { "not run: interrupted" };
                deselected.push(Deselected { name: title(scenario), reason: reason.to_owned() });
                continue;
            }
            reporter.begin(&title(scenario), world.name(), index + 1, selected.len())?;
            let seed = self.seed.or(scenario.seed).unwrap_or(1);
            let stop = Some(stop.clone());
            let options = RunOptions { seed, accept: self.accept, stop, ..RunOptions::default() };
            let report = run::run(scenario.clone(), *world, &options);
            reporter.end(&report)?;
            reports.push(report);
        }
        reporter.close(&reports, deselected)?;
        Ok(reports)
    }

    /// Writes the document where it was asked for, and into `results/runs/` where there is such a folder.
    fn keep(&self, json: &str, terminal: &mut Terminal<'_>) -> io::Result<()> {
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

fn title(scenario: &Scenario) -> String {
    format!("{}{}", qualified(&scenario.file, &scenario.name), scenario.cell)
}
