//! Benchmark runs: load scenarios, each round in fresh processes, merged into one document.
//!
//! | File | Its one job |
//! |---|---|
//! | `runner` | runs the scenarios, round by round, in random order |
//! | `merge` | makes one measurement of the same load's runs: medians, ranges, merged response times |
//! | `hlog` | reads interval logs |
//! | `store` | writes and reads a run's folder |
//! | `stored` | compares two stored runs |
//!
//! What must stay true: response times of several rounds are merged as histograms, never averaged as quantiles; a figure
//! of several rounds always comes with its range.

pub mod merge;
pub mod runner;
pub mod store;
pub mod stored;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::paired::health::Health;
use crate::results::machine::Machine;
use crate::run::timeline::Stretch;

/// The version of the document.
pub const SCHEMA: &str = "regatta.bench/1";

/// A benchmark run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bench {
    /// [`SCHEMA`].
    pub schema: String,
    /// The run's id, and the name of its folder.
    pub id: String,
    /// The revision of the working tree: a commit, with `-dirty` behind it when files differ.
    pub revision: String,
    /// The command.
    pub command: String,
    /// When it ended, in seconds since 1970.
    pub unix_s: u64,
    /// The machine.
    pub machine: Machine,
    /// The machine's state meanwhile.
    pub health: Health,
    /// How often each scenario was run.
    pub rounds: u64,
    /// The seed of the order.
    pub seed: u64,
    /// What was measured, in the order of the files.
    pub measured: Vec<Measured>,
    /// Runs that gave no figures, in words.
    pub failures: Vec<String>,
}

/// One load of one cell, over all rounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Measured {
    /// Area and name of the scenario.
    pub scenario: String,
    /// The matrix cell: `[senders=8]`, or nothing.
    pub cell: String,
    /// Where it ran.
    pub world: String,
    /// The load's id.
    pub load: String,
    /// How it generated: `closed`, `open`, `search` and so on.
    pub model: String,
    /// Rounds that gave figures.
    pub rounds: u64,
    /// Each figure by its name, over the rounds.
    pub figures: BTreeMap<String, Spread>,
    /// Response times of all rounds together; absent of floods.
    pub times: Option<Times>,
    /// Response times over time, of the middle round by rate.
    pub moments: Vec<Moment>,
    /// Faults during that round, in seconds since its measurement began.
    pub faults: Vec<Stretch>,
    /// What a search or a curve tried, in that round.
    pub ladder: Vec<Rung>,
    /// The place of the knee in the ladder of a curve.
    pub knee: Option<usize>,
}

/// A figure over the rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    /// The median of the rounds.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

/// Response times of all rounds as one distribution, in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Times {
    /// How many were recorded.
    pub count: u64,
    /// Half are at most this.
    pub p50_us: f64,
    /// 90 in 100.
    pub p90_us: f64,
    /// 99 in 100.
    pub p99_us: f64,
    /// 999 in 1,000.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
    /// Quantile and time, along the distribution.
    pub curve: Vec<(f64, f64)>,
}

/// Response times of one interval, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Moment {
    /// The middle of the interval, in seconds since the measurement began.
    pub at_s: f64,
    /// Median.
    pub p50_us: f64,
    /// 99 in 100.
    pub p99_us: f64,
    /// The longest.
    pub max_us: f64,
    /// How many.
    pub count: u64,
}

/// One rate or number in flight that was tried.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rung {
    /// Messages in flight; 0 of open loads.
    pub in_flight: u64,
    /// Requests a second that were meant; 0 of closed loads.
    pub offered_rate: f64,
    /// Replies a second.
    pub rate: f64,
    /// Median of the response times.
    pub p50_us: f64,
    /// 99 in 100.
    pub p99_us: f64,
    /// Requests without a reply.
    pub errors: u64,
}

impl Measured {
    /// What it is, in one line: `load/flood[senders=8] flood`.
    #[must_use]
    pub fn title(&self) -> String {
        // A load that is called like its scenario would be told twice.
        let name = self.scenario.rsplit('/').next().unwrap_or_default();
        let load = if name == self.load { String::new() } else { format!(" {}", self.load) };
        format!("{}{}{load}", self.scenario, self.cell)
    }

    /// A figure over the rounds.
    #[must_use]
    pub fn figure(&self, name: &str) -> Option<Spread> {
        self.figures.get(name).copied()
    }
}
