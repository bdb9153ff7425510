//! What a gate is worth: how often it cries without need, and how small a slowdown it catches.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Verdict;

/// Decisions of one kind, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Count {
    /// Decisions that were made.
    pub decisions: u64,
    /// Those that said `regression`.
    pub alarms: u64,
    /// Those that could not tell.
    pub inconclusive: u64,
}

impl Count {
    /// Counts one more decision.
    pub fn add(&mut self, verdict: &Verdict) {
        self.decisions += 1;
        match verdict {
            Verdict::Regression => self.alarms += 1,
            Verdict::Inconclusive(_) => self.inconclusive += 1,
            _ => {}
        }
    }

    /// The share of alarms; 0 without decisions.
    #[must_use]
    pub fn rate(&self) -> f64 {
        if self.decisions == 0 { 0.0 } else { self.alarms as f64 / self.decisions as f64 }
    }

    /// The bound below which the true rate of alarms lies with 95 % (Clopper and Pearson 1934, one-sided). 0 of 300 give
    /// 1 %; 1 without decisions.
    #[must_use]
    pub fn rate_at_most(&self) -> f64 {
        if self.alarms >= self.decisions {
            return 1.0;
        }
        // The rate at which so few alarms have a chance of 5 %: by halving, the chance falls with the rate.
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..60 {
            let rate = f64::midpoint(low, high);
            if at_most(self.alarms, self.decisions, rate) > 0.05 { low = rate } else { high = rate }
        }
        high
    }
}

/// The chance of at most `k` in `n` at this rate.
fn at_most(k: u64, n: u64, rate: f64) -> f64 {
    let mut term = (1.0 - rate).powf(n as f64);
    let mut sum = term;
    for i in 1..=k {
        term *= (n - i + 1) as f64 / i as f64 * rate / (1.0 - rate);
        sum += term;
    }
    sum
}

/// The smallest slowdown that is caught at least 9 times in 10, as are all greater ones that were tried: the gate's
/// resolution. `levels` are pairs of slowdown and decisions. Fewer than 10 of these can speak against a smaller slowdown, and not for
/// their own.
#[must_use]
pub fn resolution(levels: &[(f64, Count)]) -> Option<f64> {
    let mut levels = levels.to_vec();
    levels.sort_by(|a, b| b.0.total_cmp(&a.0));
    let caught = levels.iter().take_while(|(_, count)| count.alarms * 10 >= count.decisions * 9);
    caught.filter(|(_, count)| count.decisions >= 10).last().map(|(slowdown, _)| *slowdown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn count(decisions: u64, alarms: u64) -> Count {
        Count { decisions, alarms, inconclusive: 0 }
    }

    #[test]
    fn no_alarm_in_three_hundred_bounds_the_rate_below_one_per_cent() {
        assert!(count(300, 0).rate_at_most() < 0.01);
        assert!(count(100, 0).rate_at_most() < 0.03);
        assert!((count(0, 0).rate_at_most() - 1.0).abs() < 1e-9);
        assert!((count(5, 5).rate_at_most() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_resolution_is_the_smallest_slowdown_from_which_on_all_are_caught() {
        let levels =
            [(0.05, count(10, 9)), (0.10, count(10, 8)), (0.20, count(10, 9)), (0.30, count(10, 10))];
        assert_eq!(resolution(&levels), Some(0.20));
        assert_eq!(resolution(&[(0.30, count(10, 8))]), None);
        assert_eq!(resolution(&[(0.30, count(0, 0))]), None);
        assert_eq!(resolution(&[(0.30, count(9, 9))]), None, "too few to say 9 in 10");
        let cut = |of_the_greatest| [(0.10, count(10, 8)), (0.20, count(10, 10)), (0.30, of_the_greatest)];
        assert_eq!(resolution(&cut(count(8, 8))), Some(0.20), "the greatest was cut short");
        assert_eq!(
            resolution(&cut(count(8, 7))),
            None,
            "what misses a greater one does not resolve a smaller one"
        );
    }

    proptest! {
        #[test]
        fn the_bound_lies_above_the_rate_and_falls_with_more_decisions(n in 1u64..400, k in 0u64..20) {
            prop_assume!(k < n);
            prop_assert!(count(n, k).rate_at_most() > count(n, k).rate());
            prop_assert!(count(2 * n, 2 * k).rate_at_most() <= count(n, k).rate_at_most() + 1e-9);
        }
    }
}
