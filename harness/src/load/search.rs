//! Saturation: the highest rate that holds a goal, found by many short trials.
//!
//! A rate holds when half of the trials at it hold, in the spirit of MLRsearch and RFC 9411: one bad trial does not decide.
//! Which rates are tried, and when enough is known, is for the [`staircase`](super::staircase) to say. Beside each
//! trial the machine's own speed is read ([`reference`](super::reference)), and the rate told as a multiple of it, too.

use std::time::{Duration, Instant};

use regatta::Pid;

use super::figures::{Figures, Rung};
use super::open::{self, Offer};
use super::reference;
use super::staircase::{Enough, Estimates, Next, Staircase};
use super::{LoadError, Source};
use crate::scenario::load::{Amount, Arrivals, Goal, Load};

/// The longest trial, unless that is too short for so many requests; and then.
const TRIAL_MAX: Duration = Duration::from_millis(200);
const REQUESTS_MIN: f64 = 30.0;
const TRIAL_SLOW_MAX: Duration = Duration::from_secs(1);
/// The longest warm-up of a trial.
const WARMUP_MAX: Duration = Duration::from_millis(50);
/// What must hold when the file asks for nothing.
const GOAL: Goal = Goal { loss: Some(0.0), response_p99: Some(Duration::from_millis(20)) };
/// A backlog is stable when it grows by less than this share of a trial.
const BACKLOG_MAX: f64 = 0.03;

/// What a search found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) estimates: Estimates,
    /// The trial nearest to that rate that held.
    pub(super) near: Rung,
    /// All trials, in order.
    pub(super) tried: Vec<Figures>,
}

/// Finds the highest rate that holds the goal, as well as is `enough`.
pub(super) async fn run(
    load: &Load,
    from: &Source,
    to: Pid,
    goal: Option<&Goal>,
    arrivals: Arrivals,
    mut seed: u64,
    enough: Enough,
) -> Result<Found, LoadError> {
    let goal = goal.unwrap_or(&GOAL);
    let (begun, mut staircase, mut tried) = (Instant::now(), Staircase::new(enough), Vec::new());
    let mut near: Option<(f64, Rung)> = None;
    loop {
        let rate = match staircase.next(begun.elapsed()) {
            Next::Try(rate) => rate,
            Next::Found(estimates) => {
                let (_, near) = near.ok_or(LoadError::Nothing)?;
                return Ok(Found { estimates, near, tried });
            }
            Next::Inconclusive(why) => return Err(LoadError::Inconclusive(why)),
        };
        let machine = reference::read().await.map_err(LoadError::Reference)?;
        seed = seed.wrapping_add(1);
        let offer = trial(load, rate, arrivals, seed);
        let rung = open::run(load, from, to, offer, |_| {}).await?;
        let held = holds(&rung, offer.length, goal);
        tried.push(Figures::of_trial(load, &rung));
        staircase.tried(held, machine);
        if held && near.as_ref().is_none_or(|(before, _)| staircase.is_nearer(rate, *before)) {
            near = Some((rate, rung));
        }
    }
}

/// One trial at this rate.
fn trial(load: &Load, rate: f64, arrivals: Arrivals, seed: u64) -> Offer {
    let length = match load.amount {
        Amount::Duration(length) => length.min(TRIAL_MAX),
        Amount::Messages(_) => TRIAL_MAX,
    };
    let for_requests = Duration::from_secs_f64(REQUESTS_MIN / rate.max(REQUESTS_MIN));
    let length = length.max(for_requests).min(TRIAL_SLOW_MAX);
    Offer { from: rate, to: rate, arrivals, warmup: load.warmup.min(WARMUP_MAX), length, seed }
}

/// Whether a trial of this length held the goal, and its backlog did not grow.
///
/// Response times count from when a request was meant to leave, so a generator that was late can only make them worse: the
/// rate found is one that system and generator hold together.
fn holds(rung: &Rung, length: Duration, goal: &Goal) -> bool {
    // What every response takes is no backlog.
    let least = Duration::from_nanos(rung.histogram.min());
    let backlog = rung.elapsed.saturating_sub(length).saturating_sub(least);
    backlog <= length.mul_f64(BACKLOG_MAX) && rung.holds(Some(goal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tests::load;
    use crate::scenario::load::LoadModel;

    const LENGTH: Duration = Duration::from_millis(200);

    /// A trial with these response times in milliseconds, the last of which came so long after its end.
    fn rung(responses: &[u64], after: Duration) -> Rung {
        let mut rung = Rung::empty(0);
        for response in responses {
            rung.histogram.record(response * 1_000_000).expect("in bounds");
        }
        (rung.requests, rung.replies) = (responses.len() as u64, responses.len() as u64);
        rung.elapsed = LENGTH + after;
        rung
    }

    #[test]
    fn a_trial_holds_when_nothing_is_lost_or_slow_and_its_backlog_does_not_grow() {
        let held = |rung: &Rung| holds(rung, LENGTH, &GOAL);
        assert!(held(&rung(&[1, 2, 3], Duration::from_millis(3))));
        assert!(!held(&rung(&[1, 2, 3, 25], Duration::from_millis(3))), "a response is slow");
        assert!(!held(&rung(&[1, 2, 3], Duration::from_millis(9))), "the backlog grows");
        // A link of 15 ms has no backlog for that.
        assert!(held(&rung(&[15, 16, 17], Duration::from_millis(17))));
        let lost = Rung { errors: 1, ..rung(&[1, 2, 3], Duration::ZERO) };
        assert!(!held(&lost));
    }

    #[test]
    fn a_trial_is_long_enough_for_some_requests_and_no_longer_than_needed() {
        let arrivals = Arrivals::Poisson;
        let model = || LoadModel::Search { in_flight: Vec::new(), goal: None, arrivals };
        let load = |amount| Load { amount, ..load(model(), LENGTH) };
        let length = |amount, rate| trial(&load(amount), rate, arrivals, 1).length;
        let second = Amount::Duration(Duration::from_secs(1));
        assert_eq!(length(second, 1e6), TRIAL_MAX);
        assert_eq!(length(Amount::Duration(Duration::from_millis(100)), 1e6), Duration::from_millis(100));
        assert_eq!(length(Amount::Messages(3), 1e6), TRIAL_MAX);
        assert_eq!(length(second, 50.0), Duration::from_millis(600));
        assert_eq!(length(second, 3.0), TRIAL_SLOW_MAX);
    }
}
