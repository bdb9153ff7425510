//! Rounds until there is a verdict: a regression must come out of two rounds of independent blocks.

use schemars::JsonSchema;
use serde::Serialize;

use super::arm::TrialError;
use super::calibration::Calibration;
use super::health::Health;
use super::round::{self, Pair, Plan, Round};
use crate::gate::rule::agree;
use crate::gate::shift::median;
use crate::gate::{Evidence, Verdict, judge};

/// What came of a comparison.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Comparison {
    /// Each metric, with the verdict over all rounds and the evidence of the first.
    pub evidence: Vec<Evidence>,
    /// The evidence of the second round, where there was one.
    pub second: Option<Vec<Evidence>>,
    /// The machine over each round.
    pub health: Vec<Health>,
    /// Medians of raw quinn and raw UDP over the blocks of the first round.
    pub calibration: Option<Calibration>,
    /// The rounds themselves: what a report draws.
    #[serde(skip)]
    pub rounds: Vec<Round>,
}

/// The answer to whether the head may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// Nothing that blocks is worse.
    Pass,
    /// Something that blocks is worse.
    Regression,
    /// Something that blocks cannot be told.
    Inconclusive,
}

impl Answer {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Regression => "regression",
            Self::Inconclusive => "inconclusive",
        }
    }

    /// The exit code for it.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Pass => crate::exit::PASS,
            Self::Regression => crate::exit::REGRESSION,
            Self::Inconclusive => crate::exit::INVALID,
        }
    }
}

impl Comparison {
    /// The answer over all metrics that block: a regression speaks louder than what cannot be told.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let blocking = || self.evidence.iter().filter(|one| one.metric.level == crate::gate::Level::Block);
        if blocking().any(|one| one.verdict == Verdict::Regression) {
            Answer::Regression
        } else if blocking().any(|one| matches!(one.verdict, Verdict::Inconclusive(_))) {
            Answer::Inconclusive
        } else {
            Answer::Pass
        }
    }
}

/// Compares two builds. `tick` is told the round, from 1, and how many of its blocks are done.
///
/// # Errors
/// [`TrialError`] when a build cannot run the scenario at all.
pub fn compare(
    pair: &Pair,
    plan: Plan,
    mut tick: impl FnMut(usize, usize),
) -> Result<Comparison, TrialError> {
    let first = round::run(pair, plan, |done| tick(1, done))?;
    let mut evidence = judge(&first.series(&pair.metrics), &first.disturbed());
    let mut comparison = Comparison {
        evidence: Vec::new(),
        second: None,
        health: vec![first.health],
        calibration: calibration(&first),
        rounds: vec![first],
    };
    if evidence.iter().any(|one| matches!(one.verdict, Verdict::Regression | Verdict::Warn)) {
        let again = Plan { seed: plan.seed ^ SECOND, ..plan };
        let second = round::run(pair, again, |done| tick(2, done))?;
        let of_second = judge(&second.series(&pair.metrics), &second.disturbed());
        for (one, other) in evidence.iter_mut().zip(&of_second) {
            one.verdict = agree(one, other);
        }
        comparison.health.push(second.health);
        comparison.second = Some(of_second);
        comparison.rounds.push(second);
    }
    comparison.evidence = evidence;
    Ok(comparison)
}

fn calibration(round: &Round) -> Option<Calibration> {
    let all: Vec<Calibration> = round.blocks.iter().filter_map(|block| block.calibration).collect();
    let middle = |of: fn(&Calibration) -> f64| median(&all.iter().map(of).collect::<Vec<_>>());
    Some(Calibration {
        quinn_p50_us: middle(|one| one.quinn_p50_us)?,
        udp_p50_us: middle(|one| one.udp_p50_us)?,
    })
}

/// Makes the second round's order another one.
const SECOND: u64 = 0x5ec0_4d00;
