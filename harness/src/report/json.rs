//! The JSON document of a `regatta run`.

use std::collections::BTreeMap;
use std::process::Command;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::load::Figures;
use crate::results::machine::Machine;
use crate::run::detection::Detection;
use crate::run::timeline::Timeline;
use crate::run::{Finding, RunReport};

/// What the document is; changes when a reader would have to.
pub const SCHEMA: &str = "regatta.run/1";

/// The whole document.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Document {
    /// [`SCHEMA`].
    pub schema: String,
    /// The revision of the working tree that was run in: a commit, with `-dirty` behind it when files differ.
    pub revision: String,
    /// The machine.
    pub machine: Machine,
    /// What was run, in order.
    pub scenarios: Vec<ScenarioResult>,
    /// What was left out.
    pub deselected: Vec<Deselected>,
    /// Files that are no scenarios.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wrong: Vec<WrongFile>,
}

/// One run.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct ScenarioResult {
    /// Area and name: `order/eight-senders`.
    pub name: String,
    /// The scenario's file, as the command line named it.
    #[serde(default)]
    pub file: String,
    /// The matrix cell: `[payload=32B]`, or nothing.
    pub cell: String,
    /// Where it ran.
    pub world: String,
    /// The seed.
    pub seed: u64,
    /// `pass`, `fail`, `invalid`, `unsupported`, `internal`.
    pub outcome: String,
    /// How long it took.
    pub duration_ms: u64,
    /// How much time passed in the run, in `sim`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_ms: Option<u64>,
    /// Equal for equal runs, in `sim`: over time, way and size of each datagram, and what was delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What loads measured, by id.
    pub figures: BTreeMap<String, Figures>,
    /// How well nodes told which others were gone.
    #[serde(default)]
    pub detection: Detection,
    /// When loads ran and faults were in force.
    pub timeline: Timeline,
    /// What went wrong.
    pub findings: Vec<Finding>,
}

/// A file that is no scenario: nothing in it was run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct WrongFile {
    /// The file.
    pub file: String,
    /// Every mistake in it, as people read it.
    pub mistakes: String,
}

/// A cell that was not run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Deselected {
    /// Area, name and cell.
    pub name: String,
    /// Why.
    pub reason: String,
}

impl Document {
    /// The document over these runs.
    #[must_use]
    pub fn new(reports: &[RunReport], deselected: Vec<Deselected>) -> Self {
        let scenarios = reports.iter().map(|report| ScenarioResult {
            name: area_and_name(report),
            file: report.scenario.file.clone(),
            cell: report.scenario.cell.to_string(),
            world: report.world.name().to_owned(),
            seed: report.seed,
            outcome: report.outcome.name().to_owned(),
            duration_ms: u64::try_from(report.duration.as_millis()).unwrap_or(u64::MAX),
            virtual_ms: report.virtual_time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            digest: report.digest.map(|digest| format!("{digest:016x}")),
            figures: report.figures.iter().cloned().collect(),
            detection: report.detection.clone(),
            timeline: report.timeline.clone(),
            findings: report.findings.clone(),
        });
        Self {
            schema: SCHEMA.to_owned(),
            revision: revision(),
            machine: Machine::this(),
            scenarios: scenarios.collect(),
            deselected,
            wrong: Vec::new(),
        }
    }
}

/// The folder and the name of a scenario: `order/eight-senders`.
#[must_use]
pub fn area_and_name(report: &RunReport) -> String {
    report.scenario.area_and_name()
}

/// `area/name` for a scenario file.
pub(crate) fn qualified(file: &str, name: &str) -> String {
    let area = std::path::Path::new(file).parent().and_then(std::path::Path::file_name);
    match area.map(|area| area.to_string_lossy()) {
        Some(area) if !area.is_empty() && area != "." => format!("{area}/{name}"),
        _ => name.to_owned(),
    }
}

/// The commit of the working tree, or `unknown` where there is none.
pub(crate) fn revision() -> String {
    let output =
        Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12", "--match="]).output();
    let text = output.ok().filter(|output| output.status.success());
    text.map_or_else(
        || "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
