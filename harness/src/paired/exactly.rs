//! Tier 0: values that repeat to the last digit, measured twice in `sim` and compared with the accepted ones.
//!
//! Each measurement is a process of its own, so that nothing which is done only once in a process (a table that is filled,
//! a thread's first look at its locals) can make the second differ from the first. Values that differ between the two
//! are not exact, and prove nothing either way.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use super::arm::{Arm, TrialError};
use crate::gate::exact::{Difference, differences};
use crate::results::accepted;
use crate::scenario::load::GateRule;
use crate::scenario::{Scenario, World};

/// What came of one scenario's exact gates.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Exactness {
    /// The scenario: `exact/path`.
    pub scenario: String,
    /// The values of the first measurement.
    pub values: BTreeMap<String, f64>,
    /// How they stand.
    pub standing: Standing,
}

/// How values stand to those of a second measurement, and to the accepted ones.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "word", content = "detail")]
pub enum Standing {
    /// As accepted.
    Equal,
    /// Otherwise than accepted.
    Changed {
        /// What differs.
        differences: Vec<Difference>,
        /// The compiler of the accepted values, where it is another one.
        other_compiler: Option<String>,
    },
    /// None were ever accepted.
    NeverAccepted,
    /// Two measurements of the same build differ.
    NotExact(Vec<Difference>),
    /// There are no values.
    Failed(String),
}

/// The figures that a scenario's exact gates name.
#[must_use]
pub fn figures(scenario: &Scenario) -> Vec<String> {
    let exact = scenario.gates.iter().filter(|gate| gate.rule == GateRule::Exact);
    exact.map(|gate| format!("{}.{}", gate.load, gate.figure)).collect()
}

/// Measures the exact values of a file's cells twice.
///
/// # Errors
/// Why there are none, in words.
pub fn measure(
    program: &Path,
    file: &Path,
    cells: &[Scenario],
) -> Result<(BTreeMap<String, f64>, Vec<Difference>), String> {
    let first = once(program, file, cells)?;
    let second = once(program, file, cells)?;
    let unequal = differences(&first, &second);
    Ok((first, unequal))
}

fn once(program: &Path, file: &Path, cells: &[Scenario]) -> Result<BTreeMap<String, f64>, String> {
    let arm = Arm { program: program.to_owned(), scenario: file.to_owned(), world: Some(World::Sim) };
    let seed = cells.first().and_then(|cell| cell.seed).unwrap_or(1);
    let runs = arm.runs(seed).map_err(|error: TrialError| error.to_string())?;
    let mut values = BTreeMap::new();
    for cell in cells {
        let title = cell.cell.to_string();
        let run = runs.iter().find(|run| run.cell == title);
        let run = run.ok_or_else(|| format!("the cell {title} was not run"))?;
        for figure in figures(cell) {
            let value = run.figures.get(&figure);
            let value = value.ok_or_else(|| format!("`{figure}` was not measured"))?;
            values.insert(format!("{title}{figure}"), rounded(*value));
        }
    }
    Ok(values)
}

/// Counts divided by counts, to as many digits as a single more of either shows in.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

/// Measures and compares with what was accepted.
#[must_use]
pub fn judge(program: &Path, results: &Path, file: &Path, cells: &[Scenario]) -> Exactness {
    let scenario = cells.first().map(Scenario::area_and_name).unwrap_or_default();
    let measured = measure(program, file, cells);
    let (values, unequal) = match measured {
        Ok(measured) => measured,
        Err(why) => return Exactness { scenario, values: BTreeMap::new(), standing: Standing::Failed(why) },
    };
    let standing = if unequal.is_empty() {
        match accepted::read(results, &scenario) {
            Err(error) => Standing::Failed(error.to_string()),
            Ok(None) => Standing::NeverAccepted,
            Ok(Some(accepted)) => {
                let differences = differences(&accepted.values, &values);
                let other = Some(accepted.rustc).filter(|rustc| rustc != env!("REGATTA_RUSTC"));
                match differences.is_empty() {
                    true => Standing::Equal,
                    false => Standing::Changed { differences, other_compiler: other },
                }
            }
        }
    } else {
        Standing::NotExact(unequal)
    };
    Exactness { scenario, values, standing }
}
