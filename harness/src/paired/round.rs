//! A round: blocks in which base, copy and head take turns, with the machine watched.

use std::time::Duration;

use serde::Serialize;

use super::arm::{Arm, Figures, TrialError};
use super::calibration::{self, Calibration};
use super::health::{Health, Watch};
use super::turns;
use crate::gate::{Metric, Series};
use crate::random::Random;

/// Blocks of a round when nobody asks for another number.
pub const BLOCKS_DEFAULT: usize = 12;

/// What is compared.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The base; its second copy is the same.
    pub base: Arm,
    /// The build in question.
    pub head: Arm,
    /// What counts.
    pub metrics: Vec<Metric>,
}

/// One block: a trial of each arm, whose slices took turns.
#[derive(Debug, Clone, Serialize)]
pub struct Block {
    /// The base's figures.
    pub base: Figures,
    /// The copy's.
    pub copy: Figures,
    /// The head's.
    pub head: Figures,
    /// Raw quinn and raw UDP, where they were measured.
    pub calibration: Option<Calibration>,
    /// The machine meanwhile.
    pub health: Health,
}

/// A finished round.
#[derive(Debug, Clone, Serialize)]
pub struct Round {
    /// Its blocks.
    pub blocks: Vec<Block>,
    /// Trials without figures, in words; their blocks do not count.
    pub failures: Vec<String>,
    /// The machine over the whole round.
    pub health: Health,
}

impl Round {
    /// The values of the metrics, block by block. A block that lacks a figure in one arm has a 0 there, which no ratio
    /// takes in.
    #[must_use]
    pub fn series(&self, metrics: &[Metric]) -> Vec<(Metric, Series)> {
        let of = |metric: &Metric, arm: fn(&Block) -> &Figures| {
            self.blocks.iter().map(|block| arm(block).get(&metric.name).copied().unwrap_or(0.0)).collect()
        };
        let series = |metric: &Metric| Series {
            base: of(metric, |block| &block.base),
            copy: of(metric, |block| &block.copy),
            head: of(metric, |block| &block.head),
        };
        metrics.iter().map(|metric| (metric.clone(), series(metric))).collect()
    }

    /// Why the round as a whole cannot be trusted.
    #[must_use]
    pub fn disturbed(&self) -> Vec<String> {
        let mut why = self.health.disturbed();
        if self.failures.len() > self.blocks.len() / 4 {
            let first = self.failures.first().map_or("", String::as_str);
            why.push(format!("{} trials failed; the first: {first}", self.failures.len()));
        }
        why
    }
}

/// What is run, and how.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Blocks with figures of all arms.
    pub blocks: usize,
    /// The seed of the order of turns, and of the scenario.
    pub seed: u64,
    /// Whether raw quinn and raw UDP are measured in each block.
    pub calibrates: bool,
}

/// Runs one round. `tick` is told how many blocks are done.
///
/// # Errors
/// [`TrialError`] when the first block's trials cannot run at all: nothing can come of the others then.
pub fn run(pair: &Pair, plan: Plan, mut tick: impl FnMut(usize)) -> Result<Round, TrialError> {
    let mut random = Random::apart(plan.seed, "blocks");
    let watch = Watch::begin();
    let (mut blocks, mut failures): (Vec<Block>, Vec<String>) = (Vec::new(), Vec::new());
    while blocks.len() < plan.blocks && failures.len() <= plan.blocks {
        tick(blocks.len());
        match block(pair, plan, &mut random) {
            Ok(block) => blocks.push(block),
            // A build that cannot run the scenario at all will not do so later.
            Err(error @ (TrialError::Start { .. } | TrialError::Unreadable { .. })) if blocks.is_empty() => {
                return Err(error);
            }
            Err(error) if blocks.is_empty() && failures.len() == 2 => return Err(error),
            Err(error) => failures.push(error.to_string()),
        }
    }
    tick(blocks.len());
    Ok(Round { blocks, failures, health: watch.health() })
}

fn block(pair: &Pair, plan: Plan, random: &mut Random) -> Result<Block, TrialError> {
    let watch = Watch::begin();
    // Without it a block counts all the same.
    let calibration = plan.calibrates.then(|| calibration::calibrate(CALIBRATION).ok()).flatten();
    let [base, copy, head] = turns::run([&pair.base, &pair.base, &pair.head], plan.seed, random)?;
    Ok(Block { base, copy, head, calibration, health: watch.health() })
}

/// How long each half of a calibration measures.
const CALIBRATION: Duration = Duration::from_millis(50);
