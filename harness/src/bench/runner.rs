//! Runs load scenarios in rounds: each file in a process of its own, in another order each round.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::paired::arm::{Arm, TrialError};
use crate::paired::health::{Health, Watch};
use crate::random::Random;
use crate::report::json::{Document, ScenarioResult};
use crate::scenario::World;

/// What is run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The `regatta` command.
    pub program: PathBuf,
    /// The scenario files, each with the longest time that all its cells may take together.
    pub files: Vec<(PathBuf, Duration)>,
    /// Where; each file's first world when absent.
    pub world: Option<World>,
    /// How often each file.
    pub rounds: u64,
    /// The seed of the order, and of the scenarios.
    pub seed: u64,
    /// Only scenarios that hold this text.
    pub filter: Option<String>,
    /// Also those that are tagged `long`.
    pub long: bool,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Runs {
    /// Every run that passed, with its round, in the order of the files.
    pub results: Vec<(u64, ScenarioResult)>,
    /// What gave no figures, in words.
    pub failures: Vec<String>,
    /// The machine meanwhile.
    pub health: Health,
}

/// Runs the plan. `tick` is told the round, from 1, and the file.
///
/// # Errors
/// [`TrialError`] when the command cannot be started.
pub fn run(plan: &Plan, mut tick: impl FnMut(u64, &Path)) -> Result<Runs, TrialError> {
    let watch = Watch::begin();
    let mut random = Random::apart(plan.seed, "bench");
    let (mut results, mut failures) = (Vec::new(), Vec::new());
    for round in 1..=plan.rounds {
        let mut order: Vec<usize> = (0..plan.files.len()).collect();
        random.shuffle(&mut order);
        for place in order {
            let (file, within) = &plan.files[place];
            tick(round, file);
            match one(plan, file, *within, round) {
                Ok(of_file) => {
                    for result in of_file {
                        failures.extend(failure(&result, round));
                        if result.outcome == "pass" {
                            results.push((place, round, result));
                        }
                    }
                }
                Err(error @ TrialError::Start { .. }) => return Err(error),
                Err(error) => failures.push(format!("{} in round {round}: {error}", file.display())),
            }
        }
    }
    results.sort_by_key(|(place, round, _)| (*place, *round));
    let results = results.into_iter().map(|(_, round, result)| (round, result)).collect();
    Ok(Runs { results, failures, health: watch.health() })
}

fn one(plan: &Plan, file: &Path, within: Duration, round: u64) -> Result<Vec<ScenarioResult>, TrialError> {
    let arm = Arm { program: plan.program.clone(), scenario: file.to_owned(), world: plan.world };
    let mut more = Vec::new();
    if plan.long {
        more.push("--long".to_owned());
    }
    if let Some(filter) = &plan.filter {
        more.extend(["--filter".to_owned(), filter.clone()]);
    }
    let (text, said, code) = arm.document(plan.seed.wrapping_add(round), &more, within)?;
    let document: Result<Document, _> = serde_json::from_str(&text);
    document.map(|document| document.scenarios).map_err(|error| TrialError::Unreadable {
        code,
        detail: said.trim().lines().next_back().map_or_else(|| error.to_string(), str::to_owned),
    })
}

fn failure(result: &ScenarioResult, round: u64) -> Option<String> {
    if result.outcome == "pass" {
        return None;
    }
    let why = result.findings.first().map_or("", |finding| &finding.message);
    Some(format!("{}{} in round {round} was `{}`: {why}", result.name, result.cell, result.outcome))
}
