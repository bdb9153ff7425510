//! The gate's own proof: how often it cries over equal builds, and how small a slowdown it catches.
//!
//! Every decision is made by the same code as a real one, from blocks of its own. Base and head are this very build; where
//! a slowdown is injected, the head's scenario burns the processor for the given share of what a message takes now: in the
//! echo for the latency, half at each end of the busy link. That is the same as a change that makes each message so much
//! dearer, and what the gate then measures is shown beside what was injected.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use toml::{Table, Value};

use super::arm::{Arm, TrialError, gates};
use super::compare::{Comparison, compare};
use super::round::{Pair, Plan};
use crate::gate::power::{Count, resolution};
use crate::gate::shift::median;
use crate::gate::{Level, Verdict};

/// What a self-test is: how many decisions of which kind.
#[derive(Debug, Clone, Serialize)]
pub struct Extent {
    /// Decisions over equal builds.
    pub equal: u64,
    /// Decisions for each slowdown.
    pub each: u64,
    /// Slowdowns, as shares.
    pub slowdowns: Vec<f64>,
    /// Blocks of a round.
    pub blocks: usize,
    /// When no further decision is begun.
    #[serde(skip)]
    pub within: Duration,
}

/// The form that fits into a pull request: at most 45 minutes.
#[must_use]
pub fn short_form() -> Extent {
    Extent {
        equal: 100,
        each: 10,
        slowdowns: vec![0.05, 0.10, 0.20, 0.30],
        blocks: super::round::BLOCKS_DEFAULT,
        within: Duration::from_secs(44 * 60),
    }
}

/// What the gate is worth.
#[derive(Debug, Clone, Serialize)]
pub struct Proof {
    /// What the document is.
    pub schema: &'static str,
    /// What was asked for.
    pub extent: Extent,
    /// Decisions over equal builds: of the gate as a whole.
    pub equal: Count,
    /// The bound of its false alarm rate, with 95 %.
    pub false_alarms_at_most: f64,
    /// For each metric that blocks, how it did.
    pub metrics: Vec<MetricProof>,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Whether the time ended before all decisions were made.
    pub cut: bool,
    /// Trials that failed, in words.
    pub failures: Vec<String>,
}

/// What the gate is worth for one metric.
#[derive(Debug, Clone, Serialize)]
pub struct MetricProof {
    /// The metric.
    pub name: String,
    /// Its threshold, as a share.
    pub threshold: f64,
    /// Over equal builds.
    pub equal: Count,
    /// For each slowdown; none of a metric that a slowdown does not move, such as memory.
    pub levels: Vec<LevelProof>,
    /// The smallest slowdown that is caught at least 9 times in 10; absent where none is.
    pub resolution: Option<f64>,
}

/// How one slowdown was caught.
#[derive(Debug, Clone, Serialize)]
pub struct LevelProof {
    /// What was injected, as a share.
    pub injected: f64,
    /// What the gate measured, the median over the decisions, as a share.
    pub measured: Option<f64>,
    /// The decisions.
    pub count: Count,
}

/// The version of the document.
pub const SCHEMA: &str = "regatta.self-test/1";

/// Runs a self-test of `program` on the gate's scenario. `tick` is told what is done and how much is left.
///
/// # Errors
/// What is wrong with the scenario, or why the build cannot run it.
pub fn prove(
    program: &Path,
    scenario: &Path,
    extent: Extent,
    seed: u64,
    mut tick: impl FnMut(&str, u64, u64),
) -> Result<Proof, String> {
    let begun = Instant::now();
    let (_, metrics) = gates(scenario)?;
    let text = fs::read_to_string(scenario).map_err(|error| format!("{}: {error}", scenario.display()))?;
    let folder = std::env::temp_dir().join(format!("regatta-self-test-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let _cleared = Cleared(folder.clone());
    let base = Arm { program: program.to_owned(), scenario: scenario.to_owned() };
    let now = baseline(&base).map_err(|error| error.to_string())?;

    // Equal builds and slowdowns in turn, so that a restless quarter of an hour meets all of them.
    let mut agenda: Vec<Option<f64>> = (0..extent.equal).map(|_| None).collect();
    agenda.extend(extent.slowdowns.iter().flat_map(|share| (0..extent.each).map(|_| Some(*share))));
    crate::random::Random::apart(seed, "agenda").shuffle(&mut agenda);
    let mut made: Vec<(Option<f64>, Comparison)> = Vec::new();
    let mut failures = Vec::new();
    let all = agenda.len() as u64;
    let mut cut = false;
    for (index, share) in agenda.into_iter().enumerate() {
        if begun.elapsed() > extent.within {
            cut = true;
            break;
        }
        let what = share.map_or("equal builds".to_owned(), |share| format!("{:.0} % slower", share * 100.0));
        tick(&what, index as u64, all);
        let head = match share {
            None => base.clone(),
            Some(share) => {
                let path = folder.join(format!("slower-{:.0}.toml", share * 1_000.0));
                let slower = slower(&text, share, now)?;
                fs::write(&path, slower).map_err(|error| format!("{}: {error}", path.display()))?;
                Arm { program: program.to_owned(), scenario: path }
            }
        };
        let pair = Pair { base: base.clone(), head, metrics: metrics.clone() };
        let plan = Plan { blocks: extent.blocks, seed: seed ^ (index as u64) << 20, calibrates: false };
        match compare(&pair, plan, |_, _| {}) {
            Ok(comparison) => made.push((share, comparison)),
            Err(error) => failures.push(error.to_string()),
        }
    }
    let mut proof = summary(&extent, &made, &metrics);
    (proof.seconds, proof.cut, proof.failures) = (begun.elapsed().as_secs_f64(), cut, failures);
    Ok(proof)
}

fn summary(extent: &Extent, made: &[(Option<f64>, Comparison)], metrics: &[crate::gate::Metric]) -> Proof {
    let equal: Vec<&Comparison> =
        made.iter().filter(|(share, _)| share.is_none()).map(|(_, one)| one).collect();
    let mut whole = Count::default();
    for one in &equal {
        whole.decisions += 1;
        match one.answer() {
            super::compare::Answer::Regression => whole.alarms += 1,
            super::compare::Answer::Inconclusive => whole.inconclusive += 1,
            super::compare::Answer::Pass => {}
        }
    }
    let blocking = metrics.iter().filter(|metric| metric.level == Level::Block);
    let metrics = blocking.map(|metric| {
        let levels: Vec<LevelProof> = extent
            .slowdowns
            .iter()
            .filter(|_| moves(&metric.name))
            .map(|injected| {
                let of: Vec<&Comparison> =
                    made.iter().filter(|(share, _)| *share == Some(*injected)).map(|(_, one)| one).collect();
                let (count, measured) = count(&of, &metric.name);
                LevelProof { injected: *injected, measured, count }
            })
            .collect();
        let caught: Vec<(f64, Count)> = levels.iter().map(|level| (level.injected, level.count)).collect();
        MetricProof {
            name: metric.name.clone(),
            threshold: metric.threshold,
            equal: count(&equal, &metric.name).0,
            resolution: resolution(&caught),
            levels,
        }
    });
    Proof {
        schema: SCHEMA,
        extent: extent.clone(),
        equal: whole,
        false_alarms_at_most: whole.rate_at_most(),
        metrics: metrics.collect(),
        seconds: 0.0,
        cut: false,
        failures: Vec::new(),
    }
}

/// Whether work for each message makes this metric worse.
fn moves(metric: &str) -> bool {
    metric.ends_with("_us") || metric.ends_with(".rate") || metric.contains("cpu_us")
}

/// How the decisions on one metric came out, and the median of what they measured.
fn count(of: &[&Comparison], metric: &str) -> (Count, Option<f64>) {
    let mut count = Count::default();
    let mut measured = Vec::new();
    for evidence in of.iter().filter_map(|one| one.evidence.iter().find(|one| one.metric.name == metric)) {
        count.decisions += 1;
        match evidence.verdict {
            Verdict::Regression => count.alarms += 1,
            Verdict::Inconclusive(_) => count.inconclusive += 1,
            _ => {}
        }
        measured.extend(evidence.worse.map(|worse| worse.estimate));
    }
    (count, median(&measured))
}

/// What a message takes now, in nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Now {
    round_trip: f64,
    period: f64,
}

fn baseline(base: &Arm) -> Result<Now, TrialError> {
    let (mut round_trips, mut periods) = (Vec::new(), Vec::new());
    for seed in 0..BASELINE_TRIALS {
        let figures = base.trial(seed)?;
        round_trips.extend(figures.get("latency.p50_us").map(|us| us * 1e3));
        periods.extend(figures.get("saturation.rate").map(|rate| 1e9 / rate));
    }
    let middle = |values: &[f64]| median(values).unwrap_or(0.0);
    Ok(Now { round_trip: middle(&round_trips), period: middle(&periods) })
}

/// The scenario with work on both ends.
fn slower(text: &str, share: f64, now: Now) -> Result<String, String> {
    let mut scenario: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let idle = (now.round_trip * share).round() as i64;
    let busy = (now.period * share / 2.0).round() as i64;
    let each = |scenario: &mut Table, list: &str, key: &str, of: &str, change: &dyn Fn(&mut Table)| {
        let tables = scenario.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        let tables = tables.filter_map(Value::as_table_mut);
        let found: Vec<&mut Table> =
            tables.filter(|table| table.get(key).and_then(Value::as_str) == Some(of)).collect();
        let count = found.len();
        found.into_iter().for_each(change);
        if count == 1 {
            Ok(())
        } else {
            Err(format!("the self-test needs one [[{list}]] with {key} = \"{of}\""))
        }
    };
    for (echo, work) in [("idle-echo", idle), ("busy-echo", busy)] {
        each(&mut scenario, "process", "label", echo, &|table| {
            let args: Table = [("work_ns".to_owned(), Value::Integer(work))].into_iter().collect();
            table.insert("args".to_owned(), Value::Table(args));
        })?;
    }
    each(&mut scenario, "load", "id", "saturation", &|table| {
        table.insert("work".to_owned(), Value::String(format!("{}us", busy as f64 / 1e3)));
    })?;
    toml::to_string(&scenario).map_err(|error| error.to_string())
}

/// A folder that is removed at the end.
struct Cleared(PathBuf);

impl Drop for Cleared {
    fn drop(&mut self) {
        // What cannot be removed is a temporary file that stays.
        let _ = fs::remove_dir_all(&self.0);
    }
}

const BASELINE_TRIALS: u64 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slowdown_is_the_same_scenario_with_work_on_both_ends() {
        let text = include_str!("../../../scenarios/load/gate.toml");
        let slower = slower(text, 0.10, Now { round_trip: 12_000.0, period: 1_500.0 }).expect("a scenario");
        let table: Table = slower.parse().expect("toml");
        let process = table["process"].as_array().expect("processes");
        assert_eq!(process[0]["args"]["work_ns"].as_integer(), Some(1_200));
        assert_eq!(process[1]["args"]["work_ns"].as_integer(), Some(75));
        assert_eq!(table["load"][1]["work"].as_str(), Some("0.075us"));
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("slower.toml");
        fs::write(&path, slower).expect("written");
        let (scenario, _) = gates(&path).expect("still a gate");
        assert_eq!(scenario.loads[1].work, Duration::from_nanos(75));
    }
}
