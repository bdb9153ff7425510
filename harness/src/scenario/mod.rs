//! Scenario files: what a cluster consists of, what happens to it, and what must hold.
//!
//! A file goes through passes, each with a type of its own: text, the raw TOML tree with the place of every value,
//! one tree per matrix [cell](Cell) with the values put in, and the checked [`Scenario`]. Nothing here runs anything.
//! The format is told in `docs/SCENARIOS.md`.

pub mod action;
pub mod fault;
pub mod load;
pub mod model;

mod build;
mod dilate;
mod discover;
pub(crate) mod draft;
mod fields;
mod matrix;
mod needs;
mod parse;
mod problem;
mod raw;
pub mod schema;
mod units;
mod vocabulary;

use std::path::Path;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use problem::{Problem, Problems};

pub use discover::{DiscoverError, discover};
pub use matrix::{CELLS_MAX, Cell, MatrixValue};
pub use model::{Scenario, World};
pub use needs::Capability;
pub use vocabulary::Vocabulary;

/// The largest scenario file, in bytes; above that it is surely something else.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads and checks the scenario file at `path`: one [`Scenario`] for each cell of its matrix, in order.
///
/// # Errors
/// Every mistake that was found, in the order of the file; also when the file cannot be read.
pub fn load(path: &Path, vocabulary: &Vocabulary) -> Result<Vec<Scenario>, Diagnostics> {
    let file = path.display().to_string();
    let whole_file = |message: String| Diagnostics::from(Diagnostic::whole_file(file.clone(), message));
    let found = std::fs::metadata(path).map_err(|error| whole_file(format!("cannot be read: {error}")))?;
    if !found.is_file() {
        return Err(whole_file("is no regular file".to_owned()));
    }
    let size = found.len();
    if size > FILE_BYTES_MAX {
        return Err(whole_file(format!(
            "{size} bytes are too many for a scenario: at most {FILE_BYTES_MAX}"
        )));
    }
    let bytes = std::fs::read(path).map_err(|error| whole_file(format!("cannot be read: {error}")))?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => load_str(&file, text, vocabulary),
        Err(error) => {
            let at = error.valid_up_to();
            let text = String::from_utf8_lossy(&bytes);
            Err(Diagnostics::from(Diagnostic {
                place: Some(Place::in_text(&text, at..at + 1)),
                label: Some("this is no character".to_owned()),
                help: Some("TOML files are UTF-8; save it again in that encoding".to_owned()),
                ..Diagnostic::whole_file(file, "the file is not UTF-8")
            }))
        }
    }
}

/// Checks the scenario `text`; `file` is its name in messages, and the stem of it names the scenario.
///
/// # Errors
/// Every mistake that was found, in the order of the file. With a matrix, those of the first cell that has any.
pub fn load_str(file: &str, text: &str, vocabulary: &Vocabulary) -> Result<Vec<Scenario>, Diagnostics> {
    let problems = Problems::default();
    if text.trim().is_empty() {
        let problem = Problem::new(0..0, "the scenario file is empty");
        problems.report(problem.help("a scenario has at least `about`, a [[node]] and a [[step]]"));
        return Err(problems.into_diagnostics(file, text).into());
    }
    let document = parse::parse(text, &problems);
    let mut scenarios = Vec::new();
    // After a syntax error the tree is a guess, and its other mistakes would be too.
    if problems.is_empty() {
        let source: Arc<str> = text.into();
        for (index, cell) in matrix::cells(&document, &problems).into_iter().enumerate() {
            let tree = matrix::substitute(&document, &cell, &problems);
            let from = build::Source { file, text: &source, cell, cell_index: index };
            scenarios.extend(build::scenario(from, &tree, vocabulary, &problems));
            if !problems.is_empty() {
                break;
            }
        }
    }
    if problems.is_empty() { Ok(scenarios) } else { Err(problems.into_diagnostics(file, text).into()) }
}

/// Reads a fault as it stands behind `fault =` in a step, for the nodes of `scenario`.
///
/// # Errors
/// Every mistake that was found.
pub(crate) fn load_fault(text: &str, scenario: &Scenario) -> Result<fault::Fault, Diagnostics> {
    let problems = Problems::default();
    let line = format!("fault = {text}");
    let document = parse::parse(&line, &problems);
    let found = if problems.is_empty() { build::fault(&document, &line, scenario, &problems) } else { None };
    found.filter(|_| problems.is_empty()).ok_or_else(|| problems.into_diagnostics("prompt", &line).into())
}

#[cfg(test)]
mod tests;
