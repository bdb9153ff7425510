//! The decision rule of a paired gate.
//!
//! In each block the base, a second copy of the base and the head take turns, in random order. A metric is a regression only if
//! all of this holds: the exact signed-rank test over the blocks' log ratios rejects after Holm's correction over all
//! metrics that may block; the lower bound of the Hodges-Lehmann shift is above zero, and its estimate above the
//! metric's threshold; the shift exceeds three times the spread of the copy against the base. If the copy itself differs
//! from the base significantly, or the machine was not quiet, the answer is *inconclusive*. The caller asks for a second
//! round of fresh blocks before it calls a regression one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::holm;
use super::shift::{Shift, hodges_lehmann, median, spread};
use super::wilcoxon::SignedRanks;

/// The chance of any false alarm among the metrics of one round.
pub const FAMILY_ALPHA: f64 = 0.005;
/// The chance with which each bound of a shown interval is wrong.
pub const BOUND_ALPHA: f64 = 0.005;
/// The chance with which a copy of the base is called different from it, over all metrics of a round.
pub const COPY_ALPHA: f64 = 0.01;
/// How many times the spread of the copy a shift must exceed.
pub const COPY_SPREADS: f64 = 3.0;
/// The fewest blocks from which anything is concluded: fewer cannot reach [`FAMILY_ALPHA`] with several metrics.
pub const BLOCKS_MIN: usize = 12;

/// What a worse value of a metric means for the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It fails the gate.
    Block,
    /// It is told.
    Warn,
}

/// A figure that is compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Metric {
    /// The load and the figure: `latency.p50_us`.
    pub name: String,
    /// Whether more is better, as of a rate.
    pub higher_is_better: bool,
    /// By which share it may become worse: 0.08 for 8 %.
    pub threshold: f64,
    /// What a worse value means.
    pub level: Level,
}

/// The values of one metric, a value of each for each block.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Series {
    /// The base.
    pub base: Vec<f64>,
    /// The second copy of the base.
    pub copy: Vec<f64>,
    /// The build in question.
    pub head: Vec<f64>,
}

/// How a metric came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", tag = "word", content = "why")]
pub enum Verdict {
    /// It is not worse by more than it may be.
    Pass,
    /// It is better, with the same certainty that a regression needs.
    Improved,
    /// It is worse, and may be told only.
    Warn,
    /// It is worse.
    Regression,
    /// It cannot be told, for these reasons.
    Inconclusive(Vec<String>),
}

/// Why a metric came out as it did. Shares are of the base: 0.1 is 10 % worse, -0.1 is better.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Evidence {
    /// The metric.
    pub metric: Metric,
    /// The verdict.
    pub verdict: Verdict,
    /// Blocks that count.
    pub blocks: usize,
    /// Medians over the blocks, for people: base, copy, head.
    pub medians: [f64; 3],
    /// How much worse the head is; the estimate and its bounds.
    pub worse: Option<Interval>,
    /// How much worse the copy of the base is.
    pub copy_worse: Option<Interval>,
    /// What the shift had to exceed because of the copy.
    pub copy_limit: f64,
    /// Wilcoxon's W and its greatest value.
    pub w: (f64, f64),
    /// How likely such a W is without a difference, corrected for the number of metrics.
    pub p: f64,
    /// The same of the copy, both sides.
    pub copy_p: f64,
}

/// An estimate with its bounds, as shares.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Interval {
    /// The estimate.
    pub estimate: f64,
    /// The lower bound; absent where there is none.
    pub lower: Option<f64>,
    /// The upper bound; absent where there is none.
    pub upper: Option<f64>,
}

impl From<Shift> for Interval {
    fn from(shift: Shift) -> Self {
        let share = |log: f64| Some(log.exp_m1()).filter(|share| share.is_finite());
        Self {
            estimate: shift.estimate.exp_m1(),
            lower: share(shift.lower).filter(|_| shift.lower.is_finite()),
            upper: share(shift.upper),
        }
    }
}

impl Metric {
    /// Log ratios of `values` to `base`, block by block, so that above zero is worse. Blocks without two values above zero
    /// have none.
    fn logs(&self, base: &[f64], values: &[f64]) -> Vec<f64> {
        let pairs = base.iter().zip(values).filter(|(base, value)| **base > 0.0 && **value > 0.0);
        let sign = if self.higher_is_better { -1.0 } else { 1.0 };
        pairs.map(|(base, value)| sign * (value / base).ln()).filter(|log| log.is_finite()).collect()
    }
}

/// Judges one round over all its metrics. `disturbed` are reasons why the round as a whole cannot be trusted.
#[must_use]
pub fn judge(metrics: &[(Metric, Series)], disturbed: &[String]) -> Vec<Evidence> {
    let head: Vec<Vec<f64>> =
        metrics.iter().map(|(metric, series)| metric.logs(&series.base, &series.head)).collect();
    let copy: Vec<Vec<f64>> =
        metrics.iter().map(|(metric, series)| metric.logs(&series.base, &series.copy)).collect();
    let worse: Vec<f64> = head.iter().map(|logs| SignedRanks::of(logs).p_greater()).collect();
    let better: Vec<f64> = head.iter().map(|logs| SignedRanks::of(logs).p_less()).collect();
    let copies: Vec<f64> = copy.iter().map(|logs| SignedRanks::of(logs).p_two_sided()).collect();
    let (worse, better, copies) =
        (within_level(metrics, &worse), holm::adjust(&better), holm::adjust(&copies));
    let each = metrics.iter().enumerate().map(|(index, (metric, series))| {
        let one = One {
            metric,
            head: &head[index],
            copy: &copy[index],
            worse_p: worse[index],
            better_p: better[index],
            copy_p: copies[index],
        };
        one.judge(series, disturbed)
    });
    each.collect()
}

/// Corrects within the metrics of the same level: what can only be told takes no power from what blocks.
fn within_level(metrics: &[(Metric, Series)], p: &[f64]) -> Vec<f64> {
    let mut adjusted = vec![1.0; p.len()];
    for level in [Level::Block, Level::Warn] {
        let of: Vec<usize> = (0..p.len()).filter(|index| metrics[*index].0.level == level).collect();
        let values: Vec<f64> = of.iter().map(|index| p[*index]).collect();
        for (index, value) in of.into_iter().zip(holm::adjust(&values)) {
            adjusted[index] = value;
        }
    }
    adjusted
}

struct One<'a> {
    metric: &'a Metric,
    head: &'a [f64],
    copy: &'a [f64],
    worse_p: f64,
    better_p: f64,
    copy_p: f64,
}

impl One<'_> {
    fn judge(&self, series: &Series, disturbed: &[String]) -> Evidence {
        let shift = hodges_lehmann(self.head, BOUND_ALPHA);
        let copy = hodges_lehmann(self.copy, BOUND_ALPHA);
        // How far apart two equal builds came out: their estimate, or its standard error if that is greater.
        let error = spread(self.copy) / (self.copy.len().max(1) as f64).sqrt();
        let limit = COPY_SPREADS * copy.map_or(0.0, |copy| copy.estimate.abs()).max(error);
        let mut why = disturbed.to_vec();
        if self.head.len() < BLOCKS_MIN || self.copy.len() < BLOCKS_MIN {
            let blocks = self.head.len().min(self.copy.len());
            why.push(format!("{blocks} blocks have both figures, and it takes {BLOCKS_MIN}"));
        }
        if self.copy_p <= COPY_ALPHA {
            let by = copy.map_or(0.0, |copy| copy.estimate.exp_m1()) * 100.0;
            why.push(format!(
                "a second copy of the base differs from it by {by:+.1} % (p {:.2e})",
                self.copy_p
            ));
        }
        let beyond =
            |by: f64, bound: f64| bound > 0.0 && by > (1.0 + self.metric.threshold).ln() && by > limit;
        let worse =
            self.worse_p <= FAMILY_ALPHA && shift.is_some_and(|shift| beyond(shift.estimate, shift.lower));
        let better =
            self.better_p <= FAMILY_ALPHA && shift.is_some_and(|shift| beyond(-shift.estimate, -shift.upper));
        let verdict = match (why.is_empty(), worse, better, self.metric.level) {
            (false, ..) => Verdict::Inconclusive(why),
            (true, true, _, Level::Block) => Verdict::Regression,
            (true, true, _, Level::Warn) => Verdict::Warn,
            (true, false, true, _) => Verdict::Improved,
            (true, false, false, _) => Verdict::Pass,
        };
        let ranks = SignedRanks::of(self.head);
        let middle = |values: &[f64]| median(values).unwrap_or(0.0);
        Evidence {
            metric: self.metric.clone(),
            verdict,
            blocks: self.head.len(),
            medians: [middle(&series.base), middle(&series.copy), middle(&series.head)],
            worse: shift.map(Interval::from),
            copy_worse: copy.map(Interval::from),
            copy_limit: limit.exp_m1(),
            w: (ranks.w(), ranks.w_max()),
            p: self.worse_p,
            copy_p: self.copy_p,
        }
    }
}

/// The verdict of two rounds of independent blocks: a regression, or a warning, must come out of both. What only one
/// round shows is a pass; what one cannot tell is not told.
#[must_use]
pub fn agree(first: &Evidence, second: &Evidence) -> Verdict {
    match (&first.verdict, &second.verdict) {
        (Verdict::Regression, Verdict::Regression) => Verdict::Regression,
        (Verdict::Warn, Verdict::Warn) => Verdict::Warn,
        (Verdict::Regression | Verdict::Warn, Verdict::Inconclusive(why)) => {
            Verdict::Inconclusive(why.clone())
        }
        (Verdict::Regression | Verdict::Warn, _) => Verdict::Pass,
        (other, _) => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn metric(threshold: f64) -> Metric {
        Metric { name: "latency.p50_us".to_owned(), higher_is_better: false, threshold, level: Level::Block }
    }

    /// Twenty blocks with a little noise, the head slower by this share.
    fn series(slower: f64) -> Series {
        let noise = |block: usize, arm: usize| 1.0 + 0.01 * (((block * 7 + arm * 5) % 11) as f64 - 5.0) / 5.0;
        let arm = |arm: usize, by: f64| (0..20).map(|block| 10.0 * by * noise(block, arm)).collect();
        Series { base: arm(0, 1.0), copy: arm(1, 1.0), head: arm(2, 1.0 + slower) }
    }

    fn verdict(metric: &Metric, series: &Series) -> Verdict {
        judge(&[(metric.clone(), series.clone())], &[]).remove(0).verdict
    }

    #[test]
    fn a_clear_slowdown_is_a_regression_and_the_same_faster_an_improvement() {
        assert_eq!(verdict(&metric(0.08), &series(0.15)), Verdict::Regression);
        assert_eq!(verdict(&metric(0.08), &series(-0.15)), Verdict::Improved);
        assert_eq!(verdict(&metric(0.08), &series(0.0)), Verdict::Pass);
        let rate = Metric { higher_is_better: true, ..metric(0.08) };
        assert_eq!(verdict(&rate, &series(-0.15)), Verdict::Regression);
        assert_eq!(verdict(&Metric { level: Level::Warn, ..metric(0.08) }, &series(0.15)), Verdict::Warn);
    }

    #[test]
    fn a_sure_slowdown_below_the_threshold_passes() {
        let evidence = judge(&[(metric(0.08), series(0.05))], &[]).remove(0);
        assert!(evidence.p <= FAMILY_ALPHA, "it is sure: {evidence:?}");
        assert_eq!(evidence.verdict, Verdict::Pass);
    }

    #[test]
    fn a_copy_of_the_base_that_differs_makes_it_inconclusive() {
        let mut series = series(0.30);
        series.copy.iter_mut().for_each(|value| *value *= 1.2);
        assert!(matches!(verdict(&metric(0.08), &series), Verdict::Inconclusive(_)));
    }

    #[test]
    fn a_shift_within_three_spreads_of_the_copy_is_no_regression() {
        let mut series = series(0.12);
        // The copy is 5 % off in two blocks of three, up and down: not significant, but wide.
        for (block, value) in series.copy.iter_mut().enumerate() {
            *value *= [1.25, 1.0 / 1.25, 1.0][block % 3];
        }
        assert_eq!(verdict(&metric(0.08), &series), Verdict::Pass);
    }

    #[test]
    fn few_blocks_and_disturbances_are_inconclusive() {
        let few = series(0.5);
        let few =
            Series { base: few.base[..11].into(), copy: few.copy[..11].into(), head: few.head[..11].into() };
        assert!(matches!(verdict(&metric(0.08), &few), Verdict::Inconclusive(_)));
        let disturbed = judge(&[(metric(0.08), series(0.5))], &["steal".to_owned()]).remove(0);
        assert_eq!(disturbed.verdict, Verdict::Inconclusive(vec!["steal".to_owned()]));
    }

    #[test]
    fn a_regression_needs_two_rounds_that_agree() {
        let of = |slower| judge(&[(metric(0.08), series(slower))], &[]).remove(0);
        assert_eq!(agree(&of(0.2), &of(0.2)), Verdict::Regression);
        assert_eq!(agree(&of(0.2), &of(0.0)), Verdict::Pass);
        assert_eq!(agree(&of(0.0), &of(0.2)), Verdict::Pass);
    }

    proptest! {
        #[test]
        fn what_is_slower_is_never_judged_better_than_what_is_faster(a in -0.3f64..0.5, more in 0f64..0.5) {
            let rank = |slower| match verdict(&metric(0.08), &series(slower)) {
                Verdict::Improved => 0,
                Verdict::Pass => 1,
                _ => 2,
            };
            prop_assert!(rank(a) <= rank(a + more));
        }

        #[test]
        fn equal_builds_with_symmetric_noise_raise_no_alarm(
            noise in prop::collection::vec((-0.07f64..0.07, -0.07f64..0.07, -0.07f64..0.07), 12..24)
        ) {
            // Noise below the threshold cannot look like a regression, whatever its signs.
            let value = |noise: f64| 10.0 * (noise / 2.0).exp();
            let series = Series {
                base: noise.iter().map(|(base, ..)| value(*base)).collect(),
                copy: noise.iter().map(|(_, copy, _)| value(*copy)).collect(),
                head: noise.iter().map(|(.., head)| value(*head)).collect(),
            };
            prop_assert!(verdict(&metric(0.08), &series) != Verdict::Regression);
        }
    }
}
