//! Saturation: the highest rate that holds a goal, found by short trials, and the curve of latency over rate below it.
//!
//! In the spirit of MLRsearch and RFC 9411: a rate holds when most of a few short trials at it hold, so one bad trial
//! does not decide; rates are halved towards each other until they are close. The upper end comes from a closed load, which
//! no open load of the same messages can beat. Where trials at the same rate contradict each other all the way, or the
//! generator was late below the rate, the answer is that it cannot be told.

use std::time::{Duration, Instant};

use regatta::{ClusterNode, Pid};

use super::figures::Rung;
use super::open::{self, Offer};
use super::{LoadError, closed};
use crate::scenario::load::{Amount, Arrivals, Goal, Load};

/// Messages in flight of the closed load that bounds the search.
const BOUND_IN_FLIGHT: u64 = 256;
/// Trials at one rate: the majority decides.
const TRIALS: usize = 3;
/// Two rates that are this close are one.
const CLOSE: f64 = 0.04;
/// Where the search begins, as a share of the bound.
const BEGIN: f64 = 0.05;
/// The search is given up after this.
const SEARCH_WITHIN: Duration = Duration::from_secs(50);
/// The longest trial of a search.
const TRIAL_MAX: Duration = Duration::from_millis(500);
/// What must hold when the file asks for nothing.
const GOAL: Goal = Goal { loss: Some(0.0), response_p99: Some(Duration::from_millis(20)) };
/// A backlog is stable when so much of what was offered in the time was answered in it.
const STABLE: f64 = 0.97;
/// Steps of a curve.
const CURVE_STEPS: u32 = 10;

/// Finds the highest rate that holds the goal. The last of the rungs is a trial at that rate; the others are what was
/// tried, in order.
pub(super) async fn run(
    load: &Load,
    from: &ClusterNode,
    to: Pid,
    goal: Option<&Goal>,
    arrivals: Arrivals,
    seed: u64,
) -> Result<Vec<Rung>, LoadError> {
    let begun = Instant::now();
    let mut search =
        Search { load, from, to, goal: *goal.unwrap_or(&GOAL), arrivals, seed, tried: Vec::new() };
    let bound = search.bound().await?;
    let (mut low, mut high) = (0.0, bound);
    let mut best: Option<Rung> = None;
    // First whether anything holds at all, then halving.
    let mut rate = bound * BEGIN;
    while high / f64::max(low, 1.0) > 1.0 + CLOSE {
        if begun.elapsed() > SEARCH_WITHIN {
            return Err(LoadError::Inconclusive(format!(
                "the search had not ended after {} s: between {low:.0} and {high:.0} requests a second",
                SEARCH_WITHIN.as_secs()
            )));
        }
        match search.holds(rate).await? {
            Some(rung) => {
                low = rate;
                best = Some(rung);
            }
            None => high = rate,
        }
        // Quickly up while all is well, by the geometric mean when both ends are known.
        rate = match low > 0.0 {
            true if high >= bound => {
                f64::min(low * 2.0, (low * bound).sqrt().max(low * (1.0 + CLOSE))).min(bound)
            }
            true => (low * high).sqrt(),
            false => high / 4.0,
        };
        if rate < 1.0 {
            break;
        }
        if low >= bound * (1.0 - CLOSE) {
            break;
        }
    }
    let best = best.ok_or_else(|| {
        LoadError::Inconclusive(format!(
            "not even {:.0} requests a second held the goal",
            bound * BEGIN / 4.0
        ))
    })?;
    let mut tried = search.tried;
    tried.push(best);
    Ok(tried)
}

/// Latency at 10 to 100 % of `saturation`: a trial at each.
pub(super) async fn curve(
    load: &Load,
    from: &ClusterNode,
    to: Pid,
    saturation: f64,
    arrivals: Arrivals,
    seed: u64,
) -> Result<Vec<Rung>, LoadError> {
    let mut rungs = Vec::new();
    for step in 1..=CURVE_STEPS {
        let rate = saturation * f64::from(step) / f64::from(CURVE_STEPS);
        let offer = offer(load, rate, arrivals, seed, Duration::MAX);
        match open::run(load, from, to, offer, |_| {}).await {
            Ok(rung) => rungs.push(rung),
            // What the generator cannot offer is not on the curve.
            Err(LoadError::Late { .. }) if !rungs.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(rungs)
}

/// The knee of a curve: the point with the greatest power, which is throughput over response time (Kleinrock 1979). Points
/// are rate and mean response time.
#[must_use]
pub fn knee(points: &[(f64, f64)]) -> Option<usize> {
    let power = |(rate, response): &(f64, f64)| if *response > 0.0 { rate / response } else { 0.0 };
    (0..points.len()).max_by(|a, b| power(&points[*a]).total_cmp(&power(&points[*b])))
}

fn offer(load: &Load, rate: f64, arrivals: Arrivals, seed: u64, longest: Duration) -> Offer {
    let length = match load.amount {
        Amount::Duration(length) => length,
        Amount::Messages(messages) => Duration::from_secs_f64(messages as f64 / rate.max(1.0)),
    };
    Offer {
        from: rate,
        to: rate,
        arrivals,
        warmup: load.warmup.min(longest),
        length: length.min(longest),
        seed,
    }
}

struct Search<'a> {
    load: &'a Load,
    from: &'a ClusterNode,
    to: Pid,
    goal: Goal,
    arrivals: Arrivals,
    seed: u64,
    tried: Vec<Rung>,
}

impl Search<'_> {
    /// What a closed load reaches.
    async fn bound(&mut self) -> Result<f64, LoadError> {
        let mut load = self.load.clone();
        load.amount = Amount::Duration(TRIAL_MAX);
        let rung = closed::run(&load, self.from, self.to, BOUND_IN_FLIGHT).await?;
        let rate = rung.rate();
        if rate > 0.0 { Ok(rate) } else { Err(LoadError::Nothing) }
    }

    /// Whether most trials at this rate hold the goal; the last that did.
    async fn holds(&mut self, rate: f64) -> Result<Option<Rung>, LoadError> {
        let (mut good, mut bad, mut last) = (0, 0, None);
        while good <= TRIALS / 2 && bad <= TRIALS / 2 {
            self.seed = self.seed.wrapping_add(1);
            let offer = offer(self.load, rate, self.arrivals, self.seed, TRIAL_MAX);
            match open::run(self.load, self.from, self.to, offer, |_| {}).await {
                Ok(rung) => {
                    let stable = rung.rate() >= rung.offered_rate * STABLE;
                    self.tried.push(rung.clone());
                    if stable && rung.holds(Some(&self.goal)) {
                        good += 1;
                        last = Some(rung);
                    } else {
                        bad += 1;
                    }
                }
                // A rate that cannot be offered in time does not hold.
                Err(LoadError::Late { .. }) => bad += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(last.filter(|_| good > bad))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_knee_is_where_throughput_over_response_time_is_greatest() {
        // Of one server with Poisson arrivals, the response time is 1 / (1 - load): the power is greatest at one half.
        let points: Vec<(f64, f64)> =
            (1..10).map(|tenth| f64::from(tenth) / 10.0).map(|l| (l, 1.0 / (1.0 - l))).collect();
        assert_eq!(knee(&points), Some(4));
        assert_eq!(knee(&[]), None);
    }
}
