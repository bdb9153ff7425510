//! Saturation: the highest rate that holds a goal, found by many short trials.
//!
//! A rate holds when half of the trials at it hold, in the spirit of MLRsearch and RFC 9411: one bad trial does not decide. The
//! rates go up and down about that one ([`staircase`](super::staircase)), and beside each trial the machine's own speed is read
//! ([`reference`](super::reference)). The search ends when the rate as a multiple of that speed is known well; when it is not
//! in time, the answer is that it cannot be told.

use std::time::{Duration, Instant};

use regatta::Pid;

use super::figures::{Figures, Rung};
use super::open::{self, Offer};
use super::reference::Reference;
use super::staircase::{Estimate, Estimates, Staircase};
use super::{LoadError, Receivers, Source, closed};
use crate::scenario::load::{Amount, Arrivals, Goal, Load};

/// The search begins at this share of what a closed load reaches, with so many in flight.
const BEGIN: f64 = 0.5;
const BEGIN_IN_FLIGHT: u64 = 256;
/// It ends after so many trials, when the multiple is known this well; as a share, each way.
const TRIALS_MIN: usize = 64;
const MARGIN_SOUGHT: f64 = 0.025;
/// And at the latest after this, when what is known less well than this is not told.
const WITHIN: Duration = Duration::from_secs(48);
const MARGIN_MAX: f64 = 0.075;
/// The longest trial, and its warm-up.
const TRIAL_MAX: Duration = Duration::from_millis(200);
const WARMUP_MAX: Duration = Duration::from_millis(50);
/// Trials one after another that may say nothing.
const VOID_MAX: usize = 2;
/// What must hold when the file asks for nothing.
const GOAL: Goal = Goal { loss: Some(0.0), response_p99: Some(Duration::from_millis(20)) };
/// A backlog is stable when so much of what was offered in the time was answered in it.
const STABLE: f64 = 0.97;

/// What a search found.
#[derive(Debug)]
pub(super) struct Found {
    /// The highest rate that holds the goal, in requests a second.
    pub(super) rate: Estimate,
    /// The same as a multiple of the reference.
    pub(super) multiple: Estimate,
    /// The trial nearest to it that held.
    pub(super) near: Rung,
    /// All trials, in order.
    pub(super) tried: Vec<Figures>,
}

/// Finds the highest rate that holds the goal.
pub(super) async fn run(
    load: &Load,
    from: &Source,
    to: Pid,
    goal: Option<&Goal>,
    arrivals: Arrivals,
    seed: u64,
) -> Result<Found, LoadError> {
    let begun = Instant::now();
    let mut trials = Trials { from, to, goal: *goal.unwrap_or(&GOAL), arrivals, seed, tried: Vec::new() };
    let load = &Load { warmup: load.warmup.min(WARMUP_MAX), ..load.clone() };
    let mut staircase = Staircase::from(BEGIN * closed_rate(load, from, to).await?);
    let mut reference = Reference::default();
    let mut near: Option<Rung> = None;
    while staircase.rate() >= 1.0 {
        reference.read().await?;
        let (rung, held) = trials.at(staircase.rate(), load).await?;
        staircase.tried(held, reference.rate());
        let estimates = staircase.estimates();
        // Of those before the search has come near any is as good as another.
        let distance = |of: &Rung| estimates.map_or(0.0, |it| (of.offered_rate / it.rate.value).ln().abs());
        if held && near.as_ref().is_none_or(|before| distance(&rung) <= distance(before)) {
            near = Some(rung);
        }
        let Some(estimates) = estimates else { continue };
        let known = staircase.counted() >= TRIALS_MIN && estimates.multiple.margin <= MARGIN_SOUGHT;
        if known || begun.elapsed() > WITHIN {
            return conclude(estimates, near, trials.tried);
        }
    }
    Err(LoadError::Inconclusive("no rate at all held the goal".to_owned()))
}

fn conclude(estimates: Estimates, near: Option<Rung>, tried: Vec<Figures>) -> Result<Found, LoadError> {
    let Estimates { rate, multiple } = estimates;
    match near {
        Some(near) if multiple.margin <= MARGIN_MAX => Ok(Found { rate, multiple, near, tried }),
        _ => Err(LoadError::Inconclusive(format!(
            "after {} trials the rate is {:.0} requests a second ± {:.1} %, {:.3} times raw UDP ± {:.1} %",
            tried.len(),
            rate.value,
            rate.margin * 100.0,
            multiple.value,
            multiple.margin * 100.0
        ))),
    }
}

/// What a closed load reaches.
async fn closed_rate(load: &Load, from: &Source, to: Pid) -> Result<f64, LoadError> {
    let load = Load { amount: Amount::Duration(TRIAL_MAX), ..load.clone() };
    let rung = closed::run(&load, from, Receivers::one(to), BEGIN_IN_FLIGHT).await?;
    let rate = rung.rate();
    if rate > 0.0 { Ok(rate) } else { Err(LoadError::Nothing) }
}

struct Trials<'a> {
    from: &'a Source,
    to: Pid,
    goal: Goal,
    arrivals: Arrivals,
    seed: u64,
    tried: Vec<Figures>,
}

impl Trials<'_> {
    /// A trial at this rate, and whether it held the goal.
    ///
    /// Response times count from when a request was meant to leave, so a late generator can only make them worse: a trial
    /// that holds although it was late holds all the more. One that does not hold and was late says nothing, and is made
    /// again a few times.
    async fn at(&mut self, rate: f64, load: &Load) -> Result<(Rung, bool), LoadError> {
        let mut void = 0;
        loop {
            self.seed = self.seed.wrapping_add(1);
            let offer = Offer::at(rate, load, self.arrivals, self.seed, TRIAL_MAX);
            let rung = open::run(load, self.from, self.to, offer, |_| {}).await?;
            self.tried.push(Figures::of_trial(load, &rung));
            let stable = rung.rate() >= rung.offered_rate * STABLE;
            let held = stable && rung.holds(Some(&self.goal));
            if held || void == VOID_MAX || open::punctual(&rung).is_ok() {
                return Ok((rung, held));
            }
            void += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn concluded(rate: f64, multiple: f64) -> Result<Found, LoadError> {
        let known = |margin| Estimate { value: 1_000.0, margin };
        let estimates = Estimates { rate: known(rate), multiple: known(multiple) };
        conclude(estimates, Some(Rung::empty(0)), Vec::new())
    }

    #[test]
    fn what_is_not_known_well_is_not_told() {
        concluded(0.04, 0.02).expect("both are known");
        concluded(0.2, 0.02).expect("the machine's speed changed, and the rate with it");
        let error = concluded(0.06, 0.08).expect_err("the multiple is not known").to_string();
        assert!(error.starts_with("inconclusive") && error.contains("± 6.0 %, 1000.000"), "{error}");
    }
}
