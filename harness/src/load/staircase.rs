//! Which rate a search tries next, when it ends, and what its trials together say.
//!
//! The up-and-down method of Dixon and Mood (Journal of the American Statistical Association 43, 1948): a step up after a trial that held, a
//! step down after one that did not. So the rates stay about the one that half of the trials hold, and their mean is that rate.
//! Every trial counts for it, so a few bad ones move it little, and the means of consecutive parts say how well it is
//! known.

use std::time::Duration;

/// The first rate, in requests a second: what any system holds, or one that is found quickly from there.
const BEGIN: f64 = 1_000.0;
/// The lowest that is tried.
const RATE_MIN: f64 = 1.0;
/// The first step, in logarithms, is fourfold; it halves each time the direction changes.
const STEP_FIRST: f64 = 2.0 * std::f64::consts::LN_2;
/// The last. From then on trials count.
const STEP_LAST: f64 = 0.04;
/// Parts of the trials whose means are compared: long enough each that a slow drift of the machine shows between them.
const PARTS: usize = 8;
/// Two-sided 95 % quantile of Student's t with one degree of freedom less than there are parts.
const T_95: f64 = 2.365;
/// When enough is known. Margins are shares, each way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Enough {
    /// It is looked for an end each time so many trials count, from the second time on: looking more often would end at a lucky
    /// moment. Not fewer than there are parts.
    look: usize,
    /// At the latest after this.
    within: Duration,
    /// What is told as a multiple: how well it is to be known to end before that, and at the end to be told.
    multiple: Option<(f64, f64)>,
    /// The same of the rate. With a multiple: at the end this well, as the rate of a system that keeps still while the machine does not.
    rate: (f64, f64),
}

impl Enough {
    /// For an answer of its own. The rate alone will do when it keeps stiller than that of what follows the machine would.
    pub(super) const ANSWER: Self =
        Self { look: 32, within: Duration::from_secs(46), multiple: Some((0.025, 0.05)), rate: (0.0, 0.025) };
    /// For the end of a curve.
    pub(super) const CURVE: Self = Self { multiple: None, rate: (0.05, 0.15), ..Self::ANSWER };
    /// For a test: after the first trials, whatever they say.
    #[cfg(test)]
    pub(super) const ANY: Self =
        Self { look: PARTS, multiple: None, rate: (f64::INFINITY, f64::INFINITY), ..Self::ANSWER };
}

/// One search.
#[derive(Debug)]
pub(super) struct Staircase {
    enough: Enough,
    rate: f64,
    step: f64,
    held: Option<bool>,
    levels: Vec<Level>,
}

/// A trial that counts.
#[derive(Debug, Clone, Copy)]
struct Level {
    /// The logarithm of its rate.
    rate: f64,
    /// And of the same as a multiple of the reference.
    multiple: f64,
}

/// A figure and how well it is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Estimate {
    pub(super) value: f64,
    /// Half of its 95 % interval, as a share of it.
    pub(super) margin: f64,
}

/// What the trials say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Estimates {
    /// The rate, in requests a second.
    pub(super) rate: Estimate,
    /// The rate as a multiple of the reference; absent where it is not known.
    pub(super) multiple: Option<Estimate>,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Next {
    /// A trial at this rate.
    Try(f64),
    /// The answer.
    Found(Estimates),
    /// It cannot be told, for this reason.
    Inconclusive(String),
}

impl Staircase {
    pub(super) fn new(enough: Enough) -> Self {
        Self { enough, rate: BEGIN, step: STEP_FIRST, held: None, levels: Vec::new() }
    }

    /// What comes next, so long after the beginning.
    pub(super) fn next(&self, elapsed: Duration) -> Next {
        let Enough { look, within, .. } = self.enough;
        let (counted, needed) = (self.levels.len(), 2 * look);
        let out_of_time = elapsed >= within;
        if self.rate < RATE_MIN {
            return Next::Inconclusive("no rate at all held the goal".to_owned());
        }
        if !out_of_time && (counted < needed || !counted.is_multiple_of(look)) {
            return Next::Try(self.rate);
        }
        if counted < needed {
            let (rate, seconds) = (self.rate, within.as_secs());
            return Next::Inconclusive(format!(
                "{counted} trials counted in {seconds} s, and {needed} are needed; the next would be at {rate:.0} requests a second"
            ));
        }
        let of = |figure: fn(&Level) -> f64| estimate(&self.levels.iter().map(figure).collect::<Vec<_>>());
        let (rate, multiple) = (of(|level| level.rate), of(|level| level.multiple));
        let is_known =
            |of: Estimate, (early, late): (f64, f64)| of.margin <= if out_of_time { late } else { early };
        let multiple_is_known = self.enough.multiple.is_some_and(|margins| is_known(multiple, margins));
        if multiple_is_known || is_known(rate, self.enough.rate) {
            Next::Found(Estimates { rate, multiple: multiple_is_known.then_some(multiple) })
        } else if out_of_time {
            Next::Inconclusive(format!(
                "after {counted} trials the rate is {:.0} requests a second ± {:.1} %, {:.3} times sealed UDP ± {:.1} %",
                rate.value,
                rate.margin * 100.0,
                multiple.value,
                multiple.margin * 100.0
            ))
        } else {
            Next::Try(self.rate)
        }
    }

    /// The rate was tried, at this speed of the machine.
    pub(super) fn tried(&mut self, held: bool, reference: f64) {
        if self.step <= STEP_LAST {
            let rate = self.rate.ln();
            self.levels.push(Level { rate, multiple: rate - reference.ln() });
        }
        if self.held.is_some_and(|before| before != held) {
            self.step = (self.step / 2.0).max(STEP_LAST);
        }
        self.held = Some(held);
        self.rate = match held {
            true => self.rate * self.step.exp(),
            // Not below one a second, unless that is what does not hold.
            false if self.rate > RATE_MIN => (self.rate * (-self.step).exp()).max(RATE_MIN),
            false => 0.0,
        };
    }

    /// Whether `a` is nearer than `b` to the middle of the trials so far.
    pub(super) fn is_nearer(&self, a: f64, b: f64) -> bool {
        let count = self.levels.len();
        let middle = self.levels.iter().map(|level| level.rate).sum::<f64>() / count as f64;
        // Before any counts there is no middle yet: later is nearer.
        count == 0 || (a.ln() - middle).abs() <= (b.ln() - middle).abs()
    }
}

/// Of logarithms.
fn estimate(levels: &[f64]) -> Estimate {
    let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
    let parts: Vec<f64> = (0..PARTS)
        .map(|part| mean(&levels[part * levels.len() / PARTS..(part + 1) * levels.len() / PARTS]))
        .collect();
    let middle = mean(&parts);
    let variance = parts.iter().map(|part| (part - middle).powi(2)).sum::<f64>() / (PARTS - 1) as f64;
    // On a quiet machine two neighbouring rates take turns: what is sought is anywhere between them.
    let margin = (T_95 * (variance / PARTS as f64).sqrt()).max(STEP_LAST / 2.0);
    Estimate { value: mean(levels).exp(), margin: margin.exp_m1() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// How long a trial takes, with its reading.
    const TRIAL: Duration = Duration::from_millis(300);

    /// A system that holds `holds` requests a second at a reference of 1.
    struct System<F> {
        holds: f64,
        /// By how much single trials are off.
        noise: f64,
        /// And single readings.
        reading: f64,
        /// The speed of the machine by the place of the trial.
        machine: F,
    }

    impl<F: Fn(u64) -> f64> System<F> {
        /// What a search says of it.
        fn searched(&self, enough: Enough, seed: u64) -> Next {
            let mut random = Random::apart(seed, "staircase");
            // Twelve evenly spread numbers make a normal one.
            let mut normal =
                || (0..12).map(|_| (random.next() >> 11) as f64 / (1_u64 << 53) as f64).sum::<f64>() - 6.0;
            let mut staircase = Staircase::new(enough);
            for trial in 0_u32.. {
                let rate = match staircase.next(TRIAL * trial) {
                    Next::Try(rate) => rate,
                    end => return end,
                };
                let machine = (self.machine)(u64::from(trial));
                let held = rate <= self.holds * machine * (self.noise * normal()).exp();
                staircase.tried(held, machine * (self.reading * normal()).exp());
            }
            unreachable!("a search has an end")
        }
    }

    fn found(of: Next) -> Estimates {
        match of {
            Next::Found(estimates) => estimates,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn it_finds_the_rate_of_a_quiet_system_within_its_margin_however_fast_it_is() {
        for (seed, holds) in
            [3.0, 870.0, 1_010.0, 77_777.0, 1_234_567.0, 40_000_000.0].into_iter().enumerate()
        {
            let system = System { holds, noise: 0.0, reading: 0.0, machine: |_| 1.0 };
            let Estimates { rate, multiple } = found(system.searched(Enough::ANSWER, seed as u64));
            assert!(
                (rate.value / holds).ln().abs() <= rate.margin.ln_1p() && rate.margin < 0.025,
                "{rate:?}"
            );
            assert!(multiple.is_some_and(|multiple| (multiple.value - rate.value).abs() < 1e-6 * holds));
        }
    }

    #[test]
    fn on_a_noisy_machine_the_rate_is_within_the_margin_about_as_often_as_that_says() {
        let system = System { holds: 500_000.0, noise: 0.15, reading: 0.1, machine: |_| 1.0 };
        let (mut told, mut within) = (0, 0);
        for seed in 0..300 {
            let Next::Found(Estimates { multiple: Some(multiple), .. }) =
                system.searched(Enough::ANSWER, seed)
            else {
                continue;
            };
            told += 1;
            within += u32::from((multiple.value / system.holds).ln().abs() <= multiple.margin.ln_1p());
        }
        assert!(told >= 200 && within >= told * 85 / 100, "{within} of {told}");
    }

    #[test]
    fn of_a_machine_that_becomes_slower_the_multiple_is_known_and_the_rate_is_not() {
        let machine = |trial| if trial < 60 { 1.0 } else { 0.67 };
        let system = System { holds: 500_000.0, noise: 0.02, reading: 0.0, machine };
        let Estimates { rate, multiple } = found(system.searched(Enough::ANSWER, 1));
        let multiple = multiple.expect("the reference follows the machine");
        assert!((480_000.0..520_000.0).contains(&multiple.value), "{multiple:?}");
        assert!(rate.margin > 0.05, "{rate:?}");
    }

    #[test]
    fn of_a_system_that_does_not_follow_the_machine_the_rate_is_known_and_the_multiple_is_not() {
        let system = System { holds: 200.0, noise: 0.0, reading: 0.6, machine: |_| 1.0 };
        let Estimates { rate, multiple } = found(system.searched(Enough::ANSWER, 1));
        assert!((195.0..205.0).contains(&rate.value) && multiple.is_none(), "{rate:?} {multiple:?}");
    }

    #[test]
    fn what_wanders_too_much_is_not_told() {
        let machine = |trial| if trial % 60 < 30 { 1.0 } else { 0.5 };
        let system = System { holds: 500_000.0, noise: 0.3, reading: 0.6, machine };
        let Next::Inconclusive(why) = system.searched(Enough::ANSWER, 1) else { panic!("it was told") };
        assert!(why.contains("requests a second ±") && why.contains("times sealed UDP ±"), "{why}");
    }

    #[test]
    fn a_rate_that_wanders_little_is_no_answer_where_its_multiple_is_not_known() {
        // Slower by a tenth for a while: known to some 3 %, and the next search may meet another speed.
        let machine = |trial| if trial % 80 < 40 { 1.0 } else { 0.92 };
        let system = System { holds: 500_000.0, noise: 0.05, reading: 0.6, machine };
        let Next::Inconclusive(why) = system.searched(Enough::ANSWER, 1) else { panic!("it was told") };
        let Estimates { rate, multiple } = found(system.searched(Enough::CURVE, 1));
        assert!((0.025..0.05).contains(&rate.margin) && multiple.is_none(), "{rate:?}; {why}");
    }

    #[test]
    fn where_nothing_holds_and_where_there_is_no_time_it_says_so() {
        let mut staircase = Staircase::new(Enough::ANSWER);
        for _ in 0..30 {
            staircase.tried(false, 1.0);
        }
        assert_eq!(
            staircase.next(Duration::ZERO),
            Next::Inconclusive("no rate at all held the goal".to_owned())
        );
        let Next::Inconclusive(why) = Staircase::new(Enough::ANSWER).next(Enough::ANSWER.within) else {
            panic!("there was no time")
        };
        assert!(why.starts_with("0 trials counted in 46 s"), "{why}");
    }

    #[test]
    fn the_trial_that_is_kept_is_the_one_nearest_to_the_middle() {
        let mut staircase = Staircase::new(Enough::ANSWER);
        assert!(staircase.is_nearer(1.0, 1_000.0), "the later, as nothing is known yet");
        (staircase.step, staircase.rate) = (STEP_LAST, 100.0);
        staircase.tried(true, 1.0);
        assert!(staircase.is_nearer(99.0, 120.0) && !staircase.is_nearer(120.0, 99.0));
    }
}
