//! The history of main: `results/history/<yyyy-mm>.jsonl`, a line for each load of a benchmark run.
//!
//! What must stay true: only whole revisions are recorded, lines are only ever added, and no series crosses machines.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::macros::format_description;

use super::machine::Machine;
use crate::bench::Bench;
use crate::gate::change::{Change, changes};
use crate::paired::health::Health;

/// The version of a line.
pub const SCHEMA: &str = "regatta.history/1";

/// One load of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: String,
    /// The run's id.
    pub run: String,
    /// The commit.
    pub revision: String,
    /// When, in seconds since 1970.
    pub unix_s: u64,
    /// Area and name of the scenario.
    pub scenario: String,
    /// The matrix cell, or nothing.
    pub cell: String,
    /// The load.
    pub phase: String,
    /// Where it ran.
    pub world: String,
    /// The seed.
    pub seed: u64,
    /// The machine.
    pub machine: Machine,
    /// Its state meanwhile.
    pub health: Health,
    /// Each figure: the median of the rounds.
    pub figures: BTreeMap<String, f64>,
}

/// The records of a run.
#[must_use]
pub fn records(bench: &Bench) -> Vec<Record> {
    let all = bench.measured.iter().map(|one| Record {
        schema: SCHEMA.to_owned(),
        run: bench.id.clone(),
        revision: bench.revision.clone(),
        unix_s: bench.unix_s,
        scenario: one.scenario.clone(),
        cell: one.cell.clone(),
        phase: one.load.clone(),
        world: one.world.clone(),
        seed: bench.seed,
        machine: bench.machine.clone(),
        health: bench.health,
        figures: one.figures.iter().map(|(name, spread)| (name.clone(), spread.median)).collect(),
    });
    all.collect()
}

/// Adds a run to the history; the file that it is in.
///
/// # Errors
/// What the file system says; or that the revision is none that others could build again.
pub fn append(results: &Path, bench: &Bench) -> io::Result<PathBuf> {
    if bench.revision.ends_with("-dirty") || bench.revision == "unknown" {
        let message = format!("the history is of commits, and this tree is `{}`", bench.revision);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let at = OffsetDateTime::from_unix_timestamp(i64::try_from(bench.unix_s).unwrap_or(0));
    let at = at.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let month = at.format(format_description!("[year]-[month]")).map_err(io::Error::other)?;
    let path = results.join("history").join(format!("{month}.jsonl"));
    fs::create_dir_all(results.join("history"))?;
    let mut file = fs::OpenOptions::new().append(true).create(true).open(&path)?;
    let mut lines = String::new();
    for record in records(bench) {
        lines.push_str(&serde_json::to_string(&record).map_err(io::Error::other)?);
        lines.push('\n');
    }
    file.write_all(lines.as_bytes())?;
    Ok(path)
}

/// Every record, in the order of time.
///
/// # Errors
/// What the file system says, or the line that cannot be read.
pub fn read(results: &Path) -> io::Result<Vec<Record>> {
    let folder = results.join("history");
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|of| of == "jsonl") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut records = Vec::new();
    for path in paths {
        for (number, line) in (1..).zip(fs::read_to_string(&path)?.lines()) {
            let record: Record = serde_json::from_str(line).map_err(|error| {
                let message = format!("{}:{number}: {error}", path.display());
                io::Error::new(io::ErrorKind::InvalidData, message)
            })?;
            records.push(record);
        }
    }
    records.sort_by_key(|record| record.unix_s);
    Ok(records)
}

/// One figure of one load on machines of one kind, over time.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Series {
    /// The load: `load/latency latency`.
    pub load: String,
    /// The figure.
    pub figure: String,
    /// The machine's id.
    pub machine: String,
    /// Commit and value, the oldest first.
    pub points: Vec<Point>,
    /// Where the level changed.
    pub steps: Vec<Step>,
}

/// A value of a commit.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Point {
    /// The commit.
    pub revision: String,
    /// When it was measured, in seconds since 1970.
    pub unix_s: u64,
    /// The value.
    pub value: f64,
}

/// A change of level.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Step {
    /// The place of the first point of the new level.
    pub at: usize,
    /// The first commit that was measured at the new level.
    pub revision: String,
    /// The last one at the old level: the change is after it.
    pub after: String,
    /// The level before: a median.
    pub before: f64,
    /// The level from then on.
    pub now: f64,
    /// By how much it became worse, as a share; below zero is better.
    pub worse: f64,
    /// How likely such a change is by chance.
    pub p: f64,
}

/// Figures whose history is looked at, and whether more of it is better.
pub const FIGURES: [(&str, bool); 9] = [
    ("p50_us", false),
    ("p99_us", false),
    ("rate", true),
    ("times_sealed_udp", true),
    ("cpu_us_per_message", false),
    ("allocations_per_message", false),
    ("datagrams_per_message", false),
    ("socket_calls_per_message", false),
    ("rss_peak_mib", false),
];

/// The series of a history, with their changes. Those that are zero throughout do not apply and are left out.
#[must_use]
pub fn series(records: &[Record]) -> Vec<Series> {
    let mut all: BTreeMap<(String, usize, String), Vec<Point>> = BTreeMap::new();
    for record in records {
        let load = format!("{}{} {} @{}", record.scenario, record.cell, record.phase, record.world);
        for (place, (figure, _)) in FIGURES.iter().enumerate() {
            let Some(value) = record.figures.get(*figure) else { continue };
            let key = (load.clone(), place, record.machine.id.clone());
            let point = Point { revision: record.revision.clone(), unix_s: record.unix_s, value: *value };
            all.entry(key).or_default().push(point);
        }
    }
    let kept = all.into_iter().filter(|(_, points)| points.iter().any(|point| point.value > 0.0));
    let series = kept.map(|((load, place, machine), points)| {
        let values: Vec<f64> = points.iter().map(|point| point.value).collect();
        let (figure, higher_is_better) = FIGURES[place];
        let steps = changes(&values).iter().map(|change| step(&points, change, higher_is_better)).collect();
        Series { load, figure: figure.to_owned(), machine, points, steps }
    });
    series.collect()
}

fn step(points: &[Point], change: &Change, higher_is_better: bool) -> Step {
    let ratio = match higher_is_better {
        true => change.before / change.after,
        false => change.after / change.before,
    };
    Step {
        at: change.at,
        revision: points[change.at].revision.clone(),
        after: points[change.at - 1].revision.clone(),
        before: change.before,
        now: change.after,
        worse: ratio - 1.0,
        p: change.p,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(revision: usize, machine: &str, rate: f64) -> Record {
        let mut of = Machine::this();
        of.id = machine.to_owned();
        Record {
            schema: SCHEMA.to_owned(),
            run: format!("run-{revision}"),
            revision: format!("{revision:012x}"),
            unix_s: revision as u64,
            scenario: "load/flood".to_owned(),
            cell: String::new(),
            phase: "flood".to_owned(),
            world: "inproc".to_owned(),
            seed: 1,
            machine: of,
            health: Health::default(),
            figures: [("rate".to_owned(), rate), ("p50_us".to_owned(), 0.0)].into(),
        }
    }

    #[test]
    fn a_change_of_level_names_the_commits_around_it_and_no_series_crosses_machines() {
        let noise = |index: usize| 1.0 + 0.001 * (index % 5) as f64;
        let level = |index: usize| if index < 12 { 100.0 } else { 80.0 };
        let here = (0..24).map(|index| record(index, "here", level(index) * noise(index)));
        let there = (0..24).map(|index| record(index, "there", 7.0 * noise(index)));
        let all = series(&here.chain(there).collect::<Vec<_>>());
        let names: Vec<_> = all.iter().map(|one| (one.figure.as_str(), one.machine.as_str())).collect();
        assert_eq!(names, [("rate", "here"), ("rate", "there")]);
        let [step] = &all[0].steps[..] else { panic!("one change: {:?}", all[0].steps) };
        assert_eq!(
            (step.at, step.after.as_str(), step.revision.as_str()),
            (12, "00000000000b", "00000000000c")
        );
        assert!((step.worse - 0.25).abs() < 0.01, "{step:?}");
        assert!(all[1].steps.is_empty(), "{:?}", all[1].steps);
    }

    #[test]
    fn lines_are_added_by_month_and_read_back_and_a_tree_with_changes_is_refused() {
        let results = tempfile::tempdir().expect("a folder");
        let mut bench = Bench {
            schema: crate::bench::SCHEMA.to_owned(),
            id: "run".to_owned(),
            revision: "abc-dirty".to_owned(),
            command: String::new(),
            unix_s: 1_700_000_000,
            machine: Machine::this(),
            health: Health::default(),
            rounds: 1,
            seed: 1,
            measured: Vec::new(),
            failures: Vec::new(),
        };
        assert!(append(results.path(), &bench).is_err());
        bench.revision = "abc".to_owned();
        bench.measured = crate::bench::merge::merge(&[&crate::report::json::ScenarioResult {
            name: "load/latency".to_owned(),
            figures: [("latency".to_owned(), crate::load::Figures { rate: 3.0, ..Default::default() })]
                .into(),
            ..Default::default()
        }]);
        let path = append(results.path(), &bench).expect("written");
        append(results.path(), &bench).expect("written");
        assert!(path.ends_with("history/2023-11.jsonl"), "{path:?}");
        let records = read(results.path()).expect("readable");
        assert_eq!(records.len(), 2);
        assert_eq!(records[0].figures.get("rate"), Some(&3.0));
    }
}
