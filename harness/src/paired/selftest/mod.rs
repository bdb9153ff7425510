//! The gate's own proof: how often it cries over equal builds, and how small a slowdown it catches.
//!
//! Every decision is made by the same code as a real one, from blocks of its own. Base and head are this very build; where
//! a slowdown is injected, the head's scenario burns the processor for the given share of what a message takes now: in the
//! echo for the latency, half at each end of the busy link; of counts, so many instructions in the echo. That is the same
//! as a change that makes each message so much dearer, and what the gate then measures is shown beside what was injected.

mod inject;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::arm::{Arm, gates};
use super::compare::{Comparison, compare};
use super::counts;
use super::round::{Pair, Plan};
use crate::gate::count::Counted;
use crate::gate::power::{Count, resolution};
use crate::gate::shift::median;
use crate::gate::{Level, Metric};
use crate::results::machine::Machine;
use crate::scenario::load::INSTRUCTIONS;
use inject::Dearer;

/// What a self-test is: how many decisions of which kind.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Extent {
    /// Decisions over equal builds.
    pub equal: u64,
    /// Decisions over the counts of equal builds. Fewer, as counts hardly vary.
    pub equal_counted: u64,
    /// Decisions for each slowdown.
    pub each: u64,
    /// Slowdowns, as shares.
    pub slowdowns: Vec<f64>,
    /// Slowdowns of counts, as shares.
    pub counted_slowdowns: Vec<f64>,
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
        equal_counted: 5,
        each: 10,
        slowdowns: vec![0.05, 0.10, 0.20, 0.30],
        counted_slowdowns: vec![0.03],
        blocks: super::round::BLOCKS_DEFAULT,
        within: Duration::from_secs(44 * 60),
    }
}

/// What the gate is worth.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Proof {
    /// What the document is: [`SCHEMA`].
    pub schema: String,
    /// The revision of the working tree.
    pub revision: String,
    /// The machine: another one's gate has another resolution.
    pub machine: Machine,
    /// When it ended, in seconds since 1970.
    pub unix_s: u64,
    /// What was asked for.
    pub extent: Extent,
    /// Decisions over equal builds: of the gate as a whole.
    pub equal: Count,
    /// The same of decisions over counts.
    pub equal_counts: Count,
    /// The bound of the paired gate's false alarm rate, with 95 %.
    pub false_alarms_at_most: f64,
    /// For each metric that blocks, how it did.
    pub metrics: Vec<MetricProof>,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Whether the time ended before all decisions were made.
    pub cut: bool,
    /// Decisions that failed, in words.
    pub failures: Vec<String>,
    /// What could not be proved here, and why.
    pub unsupported: Vec<String>,
}

/// What the gate is worth for one metric.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
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

/// What is proved.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The `regatta` command: base and head at once.
    pub program: &'a Path,
    /// The scenario of the paired tier.
    pub paired: &'a Path,
    /// The scenario of the counts.
    pub counted: &'a Path,
}

/// One decision that is to be made.
#[derive(Debug, Clone, Copy)]
enum Task {
    /// Over blocks; slowed by this share, or equal builds.
    Paired(Option<f64>),
    /// Over counts.
    Counted(Option<f64>),
}

/// Every decision that was made, with the share that was injected.
#[derive(Debug, Default)]
struct Made {
    paired: Vec<(Option<f64>, Comparison)>,
    counted: Vec<(Option<f64>, Counted)>,
}

/// Runs a self-test. `tick` is told what is done and how much is left.
///
/// # Errors
/// What is wrong with the scenarios, or why the build cannot run them.
pub fn prove(
    subject: Subject<'_>,
    extent: Extent,
    seed: u64,
    mut tick: impl FnMut(&str, u64, u64),
) -> Result<Proof, String> {
    let begun = Instant::now();
    let (_, metrics) = gates(subject.paired)?;
    let (_, counted) = gates(subject.counted)?;
    // System calls depend on time; they are told, and gate nothing.
    let counted = counted.into_iter().find(|metric| metric.name.ends_with(INSTRUCTIONS));
    let text = fs::read_to_string(subject.paired)
        .map_err(|error| format!("{}: {error}", subject.paired.display()))?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let base = Arm { program: subject.program.to_owned(), scenario: subject.paired.to_owned(), world: None };
    let now = inject::baseline(&base).map_err(|error| error.to_string())?;
    let mut unsupported = Vec::new();
    let dearer = match (&counted, counts::missing(INSTRUCTIONS)) {
        (None, _) => None,
        (Some(metric), Some(why)) => {
            unsupported.push(format!("{}: {why}", metric.name));
            None
        }
        (Some(_), None) => Some(Dearer::measure(subject.program, subject.counted, folder.path())?),
    };

    let agenda = agenda(&extent, dearer.is_some(), seed);
    let (mut made, mut failures, mut cut) = (Made::default(), Vec::new(), false);
    let all = agenda.len() as u64;
    for (index, task) in agenda.into_iter().enumerate() {
        if begun.elapsed() > extent.within {
            cut = true;
            break;
        }
        tick(&task.describe(), index as u64, all);
        let done = match task {
            Task::Paired(share) => {
                let head = match share {
                    None => Ok(base.clone()),
                    Some(share) => {
                        let path = folder.path().join(format!("slower-{:.0}.toml", share * 1_000.0));
                        let written = inject::slower(&text, share, now).and_then(|slower| {
                            fs::write(&path, slower).map_err(|error| format!("{}: {error}", path.display()))
                        });
                        written.map(|()| Arm { scenario: path, ..base.clone() })
                    }
                };
                head.and_then(|head| {
                    let pair = Pair { base: base.clone(), head, metrics: metrics.clone() };
                    let plan =
                        Plan { blocks: extent.blocks, seed: seed ^ (index as u64) << 20, calibrates: false };
                    compare(&pair, plan, |_, _| {}).map_err(|error| error.to_string())
                })
                .map(|comparison| made.paired.push((share, comparison)))
            }
            Task::Counted(share) => match (&counted, &dearer) {
                (Some(metric), Some(dearer)) => share
                    .map_or_else(|| Ok(dearer.plain.clone()), |share| dearer.by(share))
                    .and_then(|head| {
                        counts::decide(metric, subject.program, subject.program, (&dearer.plain, &head))
                    })
                    .map(|decided| made.counted.push((share, decided))),
                _ => Ok(()),
            },
        };
        failures.extend(done.err());
    }
    let mut proof = summary(&extent, &made, &metrics);
    proof
        .metrics
        .extend(counted.filter(|_| dearer.is_some()).map(|metric| of_counts(&extent, &made, &metric)));
    (proof.seconds, proof.cut, proof.failures) = (begun.elapsed().as_secs_f64(), cut, failures);
    proof.unsupported = unsupported;
    Ok(proof)
}

/// Equal builds and slowdowns in turn, so that a restless quarter of an hour meets all of them.
fn agenda(extent: &Extent, counts: bool, seed: u64) -> Vec<Task> {
    let shares = |equal: u64, slowdowns: &[f64]| -> Vec<Option<f64>> {
        let equal = (0..equal).map(|_| None);
        equal.chain(slowdowns.iter().flat_map(|share| (0..extent.each).map(|_| Some(*share)))).collect()
    };
    let mut agenda: Vec<Task> =
        shares(extent.equal, &extent.slowdowns).into_iter().map(Task::Paired).collect();
    if counts {
        agenda.extend(shares(extent.equal_counted, &extent.counted_slowdowns).into_iter().map(Task::Counted));
    }
    crate::random::Random::apart(seed, "agenda").shuffle(&mut agenda);
    agenda
}

impl Task {
    fn describe(self) -> String {
        let (Self::Paired(share) | Self::Counted(share)) = self;
        let what = share.map_or("equal builds".to_owned(), |share| format!("{:.0} % slower", share * 100.0));
        match self {
            Self::Paired(_) => what,
            Self::Counted(_) => format!("{what}, instructions"),
        }
    }
}

fn summary(extent: &Extent, made: &Made, metrics: &[Metric]) -> Proof {
    let (made, counted) = (&made.paired, &made.counted);
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
    // A decision over counts is one of the gate's as well.
    let mut of_counts = Count::default();
    counted.iter().filter(|(share, _)| share.is_none()).for_each(|(_, one)| of_counts.add(&one.verdict));
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
        schema: SCHEMA.to_owned(),
        revision: crate::report::json::revision(),
        machine: Machine::this(),
        unix_s: crate::results::unix_s(),
        extent: extent.clone(),
        equal: whole,
        equal_counts: of_counts,
        false_alarms_at_most: whole.rate_at_most(),
        metrics: metrics.collect(),
        seconds: 0.0,
        cut: false,
        failures: Vec::new(),
        unsupported: Vec::new(),
    }
}

/// What the gate is worth for a count.
fn of_counts(extent: &Extent, made: &Made, metric: &Metric) -> MetricProof {
    let of = |share: Option<f64>| {
        let (mut count, mut measured) = (Count::default(), Vec::new());
        for (_, one) in made.counted.iter().filter(|(injected, _)| *injected == share) {
            count.add(&one.verdict);
            measured.push(one.worse);
        }
        (count, median(&measured))
    };
    let levels: Vec<LevelProof> = extent
        .counted_slowdowns
        .iter()
        .map(|injected| {
            let (count, measured) = of(Some(*injected));
            LevelProof { injected: *injected, measured, count }
        })
        .collect();
    let caught: Vec<(f64, Count)> = levels.iter().map(|level| (level.injected, level.count)).collect();
    MetricProof {
        name: metric.name.clone(),
        threshold: metric.threshold,
        equal: of(None).0,
        resolution: resolution(&caught),
        levels,
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
        count.add(&evidence.verdict);
        measured.extend(evidence.worse.map(|worse| worse.estimate));
    }
    (count, median(&measured))
}
