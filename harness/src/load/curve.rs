//! The curve of latency over rate, below saturation.

use std::time::Duration;

use regatta::Pid;

use super::figures::Rung;
use super::open::{self, Offer};
use super::{LoadError, Source};
use crate::scenario::load::{Amount, Arrivals, Load};

/// Steps of a curve.
const STEPS: u32 = 10;
/// Trials at one rate, until the generator was in time.
const TRIALS: usize = 3;

/// Latency at 10 to 100 % of `saturation`: a trial at each.
pub(super) async fn run(
    load: &Load,
    from: &Source,
    to: Pid,
    saturation: f64,
    arrivals: Arrivals,
    seed: u64,
) -> Result<Vec<Rung>, LoadError> {
    let mut rungs = Vec::new();
    for step in 1..=STEPS {
        let rate = saturation * f64::from(step) / f64::from(STEPS);
        let length = match load.amount {
            Amount::Duration(length) => length,
            Amount::Messages(messages) => Duration::from_secs_f64(messages as f64 / rate.max(1.0)),
        };
        let offer = Offer { from: rate, to: rate, arrivals, warmup: load.warmup, length, seed };
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
