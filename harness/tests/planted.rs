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
use regatta_harness::behaviour::Behaviours;
use regatta_harness::run::{self, Outcome, RunOptions};
use regatta_harness::scenario::{self, World};

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

fn outcome(file: &str, seed: u64, planted: Option<Bug>) -> Outcome {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios").join(format!("{file}.toml"));
    let behaviours = Behaviours::default();
    let cells = scenario::load(&path, &behaviours.vocabulary());
    let cells = cells.unwrap_or_else(|wrong| panic!("{}", wrong.render(false)));
    let options = RunOptions { seed, behaviours, planted, ..RunOptions::default() };
    run::run(Arc::new(cells.into_iter().next().expect("a cell")), World::Sim, &options).outcome
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
