//! The decision over counts: instructions and system calls of one message, of a base, a second copy of it, and a head.
//!
//! Counts hardly scatter, so there are no blocks and no ranks: the copy says how much they do, and a head that is beyond
//! the threshold in each of its measurements is worse.

use schemars::JsonSchema;
use serde::Serialize;

use super::rule::{Level, Metric, Verdict};

/// The share of a threshold by which two counts of the same build may differ before nothing can be told.
pub const COPY_SHARE: f64 = 0.5;

/// How a count came out.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Counted {
    /// The metric.
    pub metric: Metric,
    /// The verdict.
    pub verdict: Verdict,
    /// The base, and its second copy.
    pub base: [f64; 2],
    /// The head, and a second measurement of it.
    pub head: [f64; 2],
    /// How much worse the head is at least, over all pairs, as a share.
    pub worse: f64,
    /// How far the two counts of the base are apart, as a share.
    pub copy: f64,
    /// What grew most: functions, or system calls.
    pub grew: Vec<Growth>,
}

/// A part of a message's cost that grew.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Growth {
    /// The function, or the system call.
    pub name: String,
    /// Its count per message in the base.
    pub base: f64,
    /// The same in the head.
    pub head: f64,
}

/// Judges a count.
#[must_use]
pub fn judge(metric: &Metric, base: [f64; 2], head: [f64; 2], grew: Vec<Growth>) -> Counted {
    let ratio = |of: f64, by: f64| if by > 0.0 { of / by - 1.0 } else { 0.0 };
    let (least, most) = (base[0].min(base[1]), base[0].max(base[1]));
    let copy = ratio(most, least);
    let worse = ratio(head[0].min(head[1]), most);
    let better = ratio(least, head[0].max(head[1]));
    let verdict = if least <= 0.0 || head.iter().any(|count| *count <= 0.0) {
        Verdict::Inconclusive(vec!["nothing was counted".to_owned()])
    } else if copy > metric.threshold * COPY_SHARE {
        let why = format!("two counts of the base differ by {:.2} %", copy * 100.0);
        Verdict::Inconclusive(vec![why])
    } else if worse > metric.threshold {
        if metric.level == Level::Block { Verdict::Regression } else { Verdict::Warn }
    } else if better > metric.threshold {
        Verdict::Improved
    } else {
        Verdict::Pass
    };
    let estimate = if worse < 0.0 && better > 0.0 { -better } else { worse.max(0.0) };
    Counted { metric: metric.clone(), verdict, base, head, worse: estimate, copy, grew }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn metric() -> Metric {
        Metric {
            name: "busy.instructions_per_message".to_owned(),
            higher_is_better: false,
            threshold: 0.02,
            level: Level::Block,
        }
    }

    fn verdict(base: [f64; 2], head: [f64; 2]) -> Verdict {
        judge(&metric(), base, head, Vec::new()).verdict
    }

    #[test]
    fn three_per_cent_more_is_a_regression_and_one_is_not() {
        assert_eq!(verdict([1_000.0, 1_001.0], [1_030.0, 1_031.0]), Verdict::Regression);
        assert_eq!(verdict([1_000.0, 1_001.0], [1_010.0, 1_011.0]), Verdict::Pass);
        assert_eq!(verdict([1_000.0, 1_001.0], [970.0, 971.0]), Verdict::Improved);
    }

    #[test]
    fn both_measurements_of_the_head_must_be_worse() {
        assert_eq!(verdict([1_000.0, 1_000.0], [1_050.0, 1_001.0]), Verdict::Pass);
    }

    #[test]
    fn counts_of_the_base_that_scatter_say_nothing() {
        assert!(matches!(verdict([1_000.0, 1_015.0], [1_200.0, 1_200.0]), Verdict::Inconclusive(_)));
        assert!(matches!(verdict([0.0, 0.0], [1.0, 1.0]), Verdict::Inconclusive(_)));
    }

    proptest! {
        #[test]
        fn what_scatters_by_less_than_half_the_threshold_raises_no_alarm(
            scatter in prop::collection::vec(0f64..0.009, 4)
        ) {
            let of = |index: usize| 1_000.0 * (1.0 + scatter[index]);
            prop_assert_eq!(verdict([of(0), of(1)], [of(2), of(3)]), Verdict::Pass);
        }
    }
}
