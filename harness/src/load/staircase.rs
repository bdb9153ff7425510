//! Which rate a search tries next, and what its trials together say: up and down about the rate at which half of the trials hold.
//!
//! The up-and-down method of Dixon and Mood (Journal of the American Statistical Association 43, 1948): a step up after a trial that held, a
//! step down after one that did not. The mean of the levels is the rate sought. Every trial counts for it, so a few bad
//! ones move it little, and the means of consecutive parts say how well it is known.

/// The first step, in logarithms; it halves each time the direction changes.
const STEP_FIRST: f64 = std::f64::consts::LN_2;
/// The last. From then on trials count.
const STEP_LAST: f64 = 0.06;
/// Parts of the trials whose means are compared: long enough each that a slow drift of the machine shows between them.
const PARTS: usize = 8;
/// Two-sided 95 % quantile of Student's t with one degree of freedom less than there are parts.
const T_95: f64 = 2.365;

/// The rates of one search.
#[derive(Debug)]
pub(super) struct Staircase {
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

/// What the trials so far say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Estimates {
    /// The rate, in requests a second.
    pub(super) rate: Estimate,
    /// The rate as a multiple of the reference.
    pub(super) multiple: Estimate,
}

impl Staircase {
    /// Begins at this rate.
    pub(super) fn from(rate: f64) -> Self {
        Self { rate, step: STEP_FIRST, held: None, levels: Vec::new() }
    }

    /// The rate to try next.
    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// The rate was tried, when the reference was this.
    pub(super) fn tried(&mut self, held: bool, reference: f64) {
        if self.step <= STEP_LAST {
            let rate = self.rate.ln();
            self.levels.push(Level { rate, multiple: rate - reference.ln() });
        }
        if self.held.is_some_and(|before| before != held) {
            self.step = (self.step / 2.0).max(STEP_LAST);
        }
        self.held = Some(held);
        self.rate *= if held { self.step.exp() } else { (-self.step).exp() };
    }

    /// How many trials count.
    pub(super) fn counted(&self) -> usize {
        self.levels.len()
    }

    /// What they say; nothing while they are fewer than two for each part.
    pub(super) fn estimates(&self) -> Option<Estimates> {
        if self.counted() < 2 * PARTS {
            return None;
        }
        let of = |figure: fn(&Level) -> f64| estimate(&self.levels.iter().map(figure).collect::<Vec<_>>());
        Some(Estimates { rate: of(|level| level.rate), multiple: of(|level| level.multiple) })
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
    Estimate { value: mean(levels).exp(), margin: (T_95 * (variance / PARTS as f64).sqrt()).exp_m1() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// A search of a system that holds `holds` requests a second at a reference of 1, where each trial meets a machine whose
    /// speed is off by about `noise`, and its reference is what `reference` says of the trial's place.
    fn searched(holds: f64, from: f64, noise: f64, seed: u64, reference: impl Fn(u64) -> f64) -> Staircase {
        let mut random = Random::apart(seed, "staircase");
        let mut staircase = Staircase::from(from);
        for trial in 0..130 {
            // Twelve evenly spread numbers make a normal one.
            let unit = |random: &mut Random| (random.next() >> 11) as f64 / (1_u64 << 53) as f64;
            let normal = (0..12).map(|_| unit(&mut random)).sum::<f64>() - 6.0;
            let machine = reference(trial);
            let held = staircase.rate() <= holds * machine * (noise * normal).exp();
            staircase.tried(held, machine);
        }
        staircase
    }

    #[test]
    fn from_wherever_it_begins_it_finds_the_rate_that_half_of_the_trials_hold() {
        for (seed, from) in [10.0, 990.0, 1_000.0, 50_000.0].into_iter().enumerate() {
            let found =
                searched(1_000.0, from, 0.0, seed as u64, |_| 1.0).estimates().expect("trials enough");
            assert!((970.0..1_030.0).contains(&found.rate.value) && found.rate.margin < 0.03, "{found:?}");
        }
    }

    #[test]
    fn on_a_noisy_machine_it_comes_within_its_margin_about_as_often_as_it_says() {
        let mut within = 0;
        for seed in 0..200 {
            let found = searched(1_000.0, 400.0, 0.15, seed, |_| 1.0).estimates().expect("trials enough");
            assert!(found.rate.margin < 0.12, "{found:?}");
            within += u32::from((found.rate.value / 1_000.0).ln().abs() <= found.rate.margin.ln_1p());
        }
        assert!((170..=200).contains(&within), "{within} of 200 and not some 190");
    }

    #[test]
    fn of_a_machine_that_becomes_slower_the_multiple_is_known_and_the_rate_is_not() {
        // A third slower from the middle on.
        let found = searched(1_000.0, 900.0, 0.0, 1, |trial| if trial < 65 { 1.0 } else { 0.67 });
        let found = found.estimates().expect("trials enough");
        assert!(
            (970.0..1_040.0).contains(&found.multiple.value) && found.multiple.margin < 0.04,
            "{found:?}"
        );
        assert!(found.rate.margin > 0.10, "{found:?}");
    }

    #[test]
    fn where_nothing_holds_the_rate_falls_below_one() {
        let mut staircase = Staircase::from(1_000_000.0);
        for _ in 0..30 {
            staircase.tried(false, 1.0);
        }
        assert!(staircase.rate() < 1.0 && staircase.estimates().is_none(), "{staircase:?}");
    }
}
