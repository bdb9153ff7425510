//! Saturation: the highest rate that holds a goal, found by short trials, and the curve of latency over rate below it.
//!
//! In the spirit of MLRsearch and RFC 9411: a rate holds when most of a few short trials at it hold, so one bad trial
//! does not decide; rates are halved towards each other until they are close. The upper end comes from a closed load, which
//! no open load of the same messages can beat; it is measured before each search, and the highest counts. Five
//! searches find five rates, of which the middle one counts. Where the middle three differ by more than a tenth, or the searches
//! take too long, the answer is that it cannot be told.

use std::time::{Duration, Instant};

use regatta::Pid;

use super::figures::Rung;
use super::open::{self, Offer};
use super::{LoadError, Receivers, Source, closed};
use crate::scenario::load::{Amount, Arrivals, Goal, Load};

/// Messages in flight of the closed load that bounds the search.
const BOUND_IN_FLIGHT: u64 = 256;
/// Trials at one rate: the majority decides.
const TRIALS: usize = 3;
/// Searches one after another; the middle one counts.
const SEARCHES: usize = 5;
/// Of these, so many at either end do not count: a neighbour on the machine may have had its share of one.
const WILD: usize = 1;
/// How far apart the others may be, as a share.
const SPREAD_MAX: f64 = 0.10;
/// Two rates that are this close are one.
const CLOSE: f64 = 0.04;
/// Where the first search begins, as a share of the bound. The others begin where the one before has ended.
const BEGIN: f64 = 0.05;
/// The step down while no rate has held, in the first search.
const DOWN_FIRST: f64 = 0.25;
/// And in the others, which begin near.
const DOWN_LATER: f64 = 0.8;
/// The search is given up after this.
const SEARCH_WITHIN: Duration = Duration::from_secs(50);
/// The longest trial of a search.
const TRIAL_MAX: Duration = Duration::from_millis(300);
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
    from: &Source,
    to: Pid,
    goal: Option<&Goal>,
    arrivals: Arrivals,
    seed: u64,
) -> Result<Vec<Rung>, LoadError> {
    let begun = Instant::now();
    let mut search =
        Search { load, from, to, goal: *goal.unwrap_or(&GOAL), arrivals, seed, tried: Vec::new(), begun };
    let mut bound = search.bound().await?;
    let mut found = vec![search.halve(bound, bound * BEGIN, DOWN_FIRST).await?];
    let mut spoilt = 0;
    while found.len() + spoilt < SEARCHES {
        // A bound that was measured in a slow moment would hold down every search.
        if let Ok(again) = search.bound().await {
            bound = bound.max(again);
        }
        match search.halve(bound, found[found.len() - 1].0, DOWN_LATER).await {
            Ok(rung) => found.push(rung),
            // It is the wild one at the lower end.
            Err(_) if spoilt < WILD => spoilt += 1,
            Err(error) => return Err(error),
        }
    }
    let mut rates: Vec<f64> = found.iter().map(|(rate, _)| *rate).collect();
    rates.extend(std::iter::repeat_n(0.0, spoilt));
    if !agree(&rates) {
        let rates: Vec<String> = rates.iter().map(|rate| format!("{rate:.0}")).collect();
        let rates = rates.join(", ");
        return Err(LoadError::Inconclusive(format!(
            "searches one after another found {rates} requests a second"
        )));
    }
    found.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let (_, middle) = found.swap_remove(SEARCHES / 2 - spoilt);
    let mut tried = search.tried;
    tried.push(middle);
    Ok(tried)
}

/// Whether the rates, but for the wild ones, are close enough to each other to name one.
fn agree(rates: &[f64]) -> bool {
    let mut rates = rates.to_vec();
    rates.sort_by(f64::total_cmp);
    let counted = &rates[WILD..rates.len() - WILD];
    counted[counted.len() - 1] - counted[0] <= SPREAD_MAX * counted[counted.len() / 2]
}

/// Latency at 10 to 100 % of `saturation`: a trial at each.
pub(super) async fn curve(
    load: &Load,
    from: &Source,
    to: Pid,
    saturation: f64,
    arrivals: Arrivals,
    seed: u64,
) -> Result<Vec<Rung>, LoadError> {
    let mut rungs = Vec::new();
    for step in 1..=CURVE_STEPS {
        let rate = saturation * f64::from(step) / f64::from(CURVE_STEPS);
        let offer = offer(load, rate, arrivals, seed, Duration::MAX);
        let mut rung = open::run(load, from, to, offer, |_| {}).await?;
        for _ in 1..TRIALS {
            if open::punctual(&rung).is_ok() {
                break;
            }
            rung = open::run(load, from, to, offer, |_| {}).await?;
        }
        // What the generator cannot offer in time is not on the curve.
        match open::punctual(&rung) {
            Ok(()) => rungs.push(rung),
            Err(_) if !rungs.is_empty() => break,
            Err(late) => return Err(late),
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

/// Which rates one search tries: this is the decision alone.
#[derive(Debug)]
struct Halving {
    bound: f64,
    /// The step down while no rate has held.
    down: f64,
    /// The highest rate that held, or zero.
    low: f64,
    /// The lowest that did not, or the bound.
    high: f64,
    rate: f64,
}

impl Halving {
    /// The rate to try next, while there is one.
    fn next(&self) -> Option<f64> {
        let goes_on = self.low < self.bound * (1.0 - CLOSE) && self.high > self.low * (1.0 + CLOSE);
        Some(self.rate).filter(|rate| goes_on && *rate >= 1.0)
    }

    /// The rate was tried.
    fn tried(&mut self, held: bool) {
        let end = if held { &mut self.low } else { &mut self.high };
        *end = self.rate;
        let Self { bound, down, low, high, .. } = *self;
        self.rate = match low > 0.0 {
            // Quickly up while all is well, by the geometric mean once both ends are known.
            true if high >= bound => (low * 2.0).min((low * bound).sqrt().max(low * (1.0 + CLOSE))),
            true => (low * high).sqrt(),
            false => high * down,
        };
    }
}

struct Search<'a> {
    load: &'a Load,
    from: &'a Source,
    to: Pid,
    goal: Goal,
    arrivals: Arrivals,
    seed: u64,
    tried: Vec<Rung>,
    begun: Instant,
}

impl Search<'_> {
    /// One search, from the rate `begin`, and down by the factor `down` while no rate has held: the highest rate that holds,
    /// and the last trial at it.
    async fn halve(&mut self, bound: f64, begin: f64, down: f64) -> Result<(f64, Rung), LoadError> {
        let mut halving = Halving { bound, down, low: 0.0, high: bound, rate: begin };
        let mut best: Option<Rung> = None;
        while let Some(rate) = halving.next() {
            if self.begun.elapsed() > SEARCH_WITHIN {
                return Err(LoadError::Inconclusive(format!(
                    "the search had not ended after {} s: between {:.0} and {:.0} requests a second",
                    SEARCH_WITHIN.as_secs(),
                    halving.low,
                    halving.high,
                )));
            }
            let held = self.holds(rate).await?;
            halving.tried(held.is_some());
            best = held.or(best);
        }
        best.map(|rung| (halving.low, rung))
            .ok_or_else(|| LoadError::Inconclusive("no rate at all held the goal".to_owned()))
    }

    /// What a closed load reaches.
    async fn bound(&mut self) -> Result<f64, LoadError> {
        let mut load = self.load.clone();
        load.amount = Amount::Duration(TRIAL_MAX);
        let rung = closed::run(&load, self.from, Receivers::one(self.to), BOUND_IN_FLIGHT).await?;
        let rate = rung.rate();
        if rate > 0.0 { Ok(rate) } else { Err(LoadError::Nothing) }
    }

    /// Whether most trials at this rate hold the goal; the last that did.
    ///
    /// Response times count from when a request was meant to leave, so a late generator can only make them worse: a trial
    /// that holds although it was late holds all the more. One that does not hold and was late says nothing, and is tried
    /// again a few times.
    async fn holds(&mut self, rate: f64) -> Result<Option<Rung>, LoadError> {
        let (mut good, mut bad, mut void, mut last) = (0, 0, 0, None);
        while good <= TRIALS / 2 && bad <= TRIALS / 2 {
            self.seed = self.seed.wrapping_add(1);
            let offer = offer(self.load, rate, self.arrivals, self.seed, TRIAL_MAX);
            let rung = open::run(self.load, self.from, self.to, offer, |_| {}).await?;
            let stable = rung.rate() >= rung.offered_rate * STABLE;
            self.tried.push(rung.clone());
            if stable && rung.holds(Some(&self.goal)) {
                good += 1;
                last = Some(rung);
            } else if open::punctual(&rung).is_err() && void < VOID_MAX {
                void += 1;
            } else {
                bad += 1;
            }
        }
        Ok(last.filter(|_| good > bad))
    }
}

/// Trials at one rate that may say nothing.
const VOID_MAX: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    /// What a search finds that begins there, of a system that holds every rate up to `holds`; after at most 30 trials.
    fn found(holds: f64, bound: f64, begin: f64, down: f64) -> f64 {
        let mut halving = Halving { bound, down, low: 0.0, high: bound, rate: begin };
        for _ in 0..30 {
            let Some(rate) = halving.next() else { return halving.low };
            halving.tried(rate <= holds);
        }
        panic!("it does not end: {halving:?}");
    }

    #[test]
    fn a_search_finds_the_highest_rate_that_holds_from_wherever_it_begins() {
        let bound = 1_000.0;
        for holds in [60.0, 300.0, 700.0, 940.0] {
            for (begin, down) in [(bound * BEGIN, DOWN_FIRST), (280.0, DOWN_LATER), (990.0, DOWN_LATER)] {
                let found = found(holds, bound, begin, down);
                assert!(found <= holds && holds <= found * (1.0 + CLOSE), "{found} of {holds} from {begin}");
            }
        }
    }

    #[test]
    fn a_search_ends_at_the_bound_above_it_and_where_nothing_holds() {
        assert!(found(2_000.0, 1_000.0, 50.0, DOWN_FIRST) >= 1_000.0 * (1.0 - CLOSE));
        // It begins where an earlier one ended, which may have been above what is the bound now.
        assert_eq!(found(2_000.0, 1_000.0, 1_020.0, DOWN_LATER), 1_020.0);
        assert!(found(500.0, 1_000.0, 1_020.0, DOWN_LATER) > 480.0);
        assert_eq!(found(0.0, 1_000.0, 50.0, DOWN_FIRST), 0.0);
        assert_eq!(found(0.5, 10.0, 1.2, DOWN_LATER), 0.0);
    }

    #[test]
    fn one_wild_search_at_either_end_leaves_an_answer_and_two_do_not() {
        assert!(agree(&[900.0, 400.0, 950.0, 910.0, 1_900.0]));
        assert!(agree(&[100.0; 5]));
        assert!(!agree(&[900.0, 400.0, 450.0, 910.0, 920.0]));
        assert!(!agree(&[900.0, 1_000.0, 1_100.0, 1_200.0, 1_300.0]));
    }

    #[test]
    fn the_knee_is_where_throughput_over_response_time_is_greatest() {
        // Of one server with Poisson arrivals, the response time is 1 / (1 - load): the power is greatest at one half.
        let points: Vec<(f64, f64)> =
            (1..10).map(|tenth| f64::from(tenth) / 10.0).map(|l| (l, 1.0 / (1.0 - l))).collect();
        assert_eq!(knee(&points), Some(4));
        assert_eq!(knee(&[]), None);
    }
}
