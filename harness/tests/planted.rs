//! A runtime with a bug in it is caught: each planted bug by the scenario that the table names, within the seeds that it
//! names.
//!
//! The table is that of `docs/PLANTED.md`; this test keeps it true. Runs take place in the world `sim`:
//!
//! ```text
//! cargo nextest run -p regatta-harness --features planted --test planted
//! ```

use std::path::Path;
use std::sync::Arc;

use regatta::planted::Bug;
use regatta_harness::run::{self, Outcome, RunOptions};
use regatta_harness::scenario::{self, Scenario, Vocabulary, World};
use regatta_harness::shrink;

const TABLE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/PLANTED.md"));

/// A row of the table: the bug, the scenario, and the seed that finds it first.
fn rows() -> Vec<(String, String, u64)> {
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows = TABLE.lines().filter(|line| line.starts_with("| `")).map(cells);
    rows.map(|row| {
        (row[1].replace('`', ""), row[3].replace('`', ""), row[4].parse().expect("a number of seeds"))
    })
    .collect()
}

/// The first cell of a scenario.
fn load(file: &str) -> Scenario {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios").join(format!("{file}.toml"));
    let cells = scenario::load(&path, &Vocabulary::default());
    let cells = cells.unwrap_or_else(|wrong| panic!("{}", wrong.render(false)));
    cells.into_iter().next().expect("a cell")
}

fn outcome(file: &str, seed: u64, planted: Option<Bug>) -> Outcome {
    let options = RunOptions { seed, planted, ..RunOptions::default() };
    run::run(Arc::new(load(file)), World::Sim, &options).outcome
}

#[test]
fn every_planted_bug_is_in_the_table() {
    let rows = rows();
    let missing: Vec<_> = Bug::ALL
        .iter()
        .map(|(name, ..)| *name)
        .filter(|name| rows.iter().all(|(of, ..)| of != name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(rows.len(), Bug::ALL.len());
}

#[test]
fn each_planted_bug_is_found_within_the_seeds_of_the_table_and_nothing_is_found_without_it() {
    let mut wrong = Vec::new();
    for (name, file, seeds) in rows() {
        let bug =
            Bug::ALL.iter().find(|(of, ..)| *of == name).map(|(_, bug, _)| *bug).expect("a bug of the table");
        let found = (1..=seeds).find(|seed| outcome(&file, *seed, Some(bug)) == Outcome::Fail);
        if found != Some(seeds) {
            wrong.push(format!("{name}: {file} finds it with seed {found:?}, not {seeds}"));
        }
        if outcome(&file, seeds, None) != Outcome::Pass {
            wrong.push(format!("{file} fails with seed {seeds} without a bug"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Runs that making a failure small may take here.
const RUNS: usize = 120;
/// Twenty random faults and more: five nodes, and what goes wrong with them for a minute.
const STORM: (&str, u64, Bug) = ("nemesis/five-nodes", 1, Bug::UnlinkRace);

#[test]
fn a_failure_under_twenty_random_faults_becomes_a_file_with_at_most_three() {
    let (file, seed, bug) = STORM;
    let scenario = Arc::new(load(file));
    let options = RunOptions { seed, planted: Some(bug), ..RunOptions::default() };
    let mut told = 0;
    let shrunk = shrink::shrink(&scenario, &options, RUNS, &mut |progress| {
        assert_eq!(progress.runs, told + 2, "each run is told, the first one with the second");
        told += 1;
    })
    .expect("it fails");
    assert!(shrunk.before.strikes >= 20, "{:?}", shrunk.before);
    assert!(shrunk.after.strikes <= 3, "{:?} after {} runs", shrunk.after, shrunk.runs);
    assert!(shrunk.explicit && shrunk.after.steps < shrunk.before.steps, "{:?}", shrunk.after);

    // What comes out is a file like any other, and fails by itself with the same finding, and only with the bug.
    let text = shrunk.text("Made small.");
    let small = scenario::load_str("small.toml", &text, &Vocabulary::default()).expect("no mistake in it");
    let small = Arc::new(small.into_iter().next().expect("a cell"));
    let options = RunOptions { seed: small.seed.expect("the seed is in it"), ..options };
    let report = run::run(small.clone(), World::Sim, &options);
    assert_eq!(report.findings[0].what, shrunk.finding.what, "{:?}\n{text}", report.findings);
    let report = run::run(small, World::Sim, &RunOptions { planted: None, ..options });
    assert_ne!(report.outcome, Outcome::Fail, "{:?}\n{text}", report.findings);
}
