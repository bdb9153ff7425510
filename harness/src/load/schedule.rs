//! When requests are meant to leave: pure, from the rate, the way of arrival and chance.

use std::time::Duration;

use crate::random::Random;
use crate::scenario::load::Arrivals;

/// The most requests of one load: what its times take stays below 160 MB.
pub(super) const REQUESTS_MAX: usize = 20_000_000;

/// Intended times in nanoseconds from the start, in order: `from` requests a second at the start, `to` at the end, evenly
/// changing in between. At most [`REQUESTS_MAX`].
///
/// A Poisson process with a changing rate is one of rate 1 whose time is bent (Cinlar's method): the n-th event comes when
/// the integral of the rate has reached the n-th sum of exponential gaps.
pub(super) fn times(
    from: f64,
    to: f64,
    arrivals: Arrivals,
    length: Duration,
    random: &mut Random,
) -> Vec<u64> {
    let seconds = length.as_secs_f64();
    let slope = if seconds > 0.0 { (to - from) / seconds } else { 0.0 };
    // The time by which so many requests are due.
    let due = |count: f64| {
        if slope.abs() < 1e-9 {
            return count / from.max(f64::MIN_POSITIVE);
        }
        let under = from * from + 2.0 * slope * count;
        // A rate that has fallen to zero brings no more.
        if under < 0.0 { f64::INFINITY } else { (under.sqrt() - from) / slope }
    };
    let mut times = Vec::new();
    let mut count = 0.0;
    while times.len() < REQUESTS_MAX {
        let at = due(count);
        if at >= seconds {
            break;
        }
        times.push((at * 1e9) as u64);
        count += match arrivals {
            Arrivals::Constant => 1.0,
            Arrivals::Poisson => -(1.0 - random.share()).ln(),
        };
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(from: f64, to: f64, arrivals: Arrivals, seconds: f64) -> Vec<u64> {
        times(from, to, arrivals, Duration::from_secs_f64(seconds), &mut Random::new(7))
    }

    #[test]
    fn constant_arrivals_are_evenly_apart() {
        assert_eq!(of(1_000.0, 1_000.0, Arrivals::Constant, 0.004), [0, 1_000_000, 2_000_000, 3_000_000]);
    }

    #[test]
    fn a_ramp_brings_its_mean_rate_and_more_of_it_late() {
        let times = of(0.0, 2_000.0, Arrivals::Constant, 1.0);
        assert!((998..=1_001).contains(&times.len()), "{}", times.len());
        let early = times.iter().filter(|at| **at < 500_000_000).count();
        assert!((248..=252).contains(&early), "a quarter of them in the first half: {early}");
    }

    #[test]
    fn poisson_gaps_have_the_spread_of_an_exponential() {
        let times = of(10_000.0, 10_000.0, Arrivals::Poisson, 10.0);
        let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e9).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        // Of an exponential the standard deviation is the mean.
        assert!((mean * 1e4 - 1.0).abs() < 0.02, "{mean}");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.03, "{}", variance.sqrt() / mean);
    }

    proptest! {
        #[test]
        fn times_are_in_order_and_within_the_length(
            from in 0f64..50_000.0, to in 0f64..50_000.0, seconds in 0f64..0.5, poisson: bool, seed: u64
        ) {
            let arrivals = if poisson { Arrivals::Poisson } else { Arrivals::Constant };
            let times = times(from, to, arrivals, Duration::from_secs_f64(seconds), &mut Random::new(seed));
            prop_assert!(times.windows(2).all(|pair| pair[0] <= pair[1]));
            prop_assert!(times.last().is_none_or(|last| (*last as f64) < seconds * 1e9));
        }
    }
}
