//! One measurement of the runs of the same load: figures as median and range, response times as one histogram.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde_json::Value;

use super::{Measured, Moment, Rung, Spread, Times};
use crate::gate::shift::median;
use crate::load::Figures;
use crate::load::hlog::{self, Interval};
use crate::report::json::ScenarioResult;
use crate::run::timeline::{Stretch, Timeline};

/// Figures that say what was run and not how it went.
const NO_FIGURES: [&str; 2] = ["done", "knee"];
/// Points of a distribution for each halving of what is above.
const POINTS_PER_HALVING: u32 = 4;

/// A load of one round.
#[derive(Debug, Clone)]
struct Run<'a> {
    figures: &'a Figures,
    timeline: &'a Timeline,
}

/// Merges the results of rounds: what has the same scenario, cell, world and load becomes one measurement. In the order
/// in which `results` first have them.
#[must_use]
pub fn merge(results: &[&ScenarioResult]) -> Vec<Measured> {
    let mut all: Vec<(Measured, Vec<Run<'_>>)> = Vec::new();
    for result in results {
        for (load, figures) in &result.figures {
            let same = |(one, _): &&mut (Measured, _)| {
                one.scenario == result.name
                    && one.cell == result.cell
                    && one.world == result.world
                    && one.load == *load
            };
            let run = Run { figures, timeline: &result.timeline };
            match all.iter_mut().find(same) {
                Some((_, runs)) => runs.push(run),
                None => all.push((empty(result, load, figures), vec![run])),
            }
        }
    }
    all.into_iter().map(|(one, runs)| fill(one, &runs)).collect()
}

fn empty(result: &ScenarioResult, load: &str, figures: &Figures) -> Measured {
    Measured {
        scenario: result.name.clone(),
        cell: result.cell.clone(),
        world: result.world.clone(),
        load: load.to_owned(),
        model: figures.model.to_owned(),
        rounds: 0,
        figures: BTreeMap::new(),
        times: None,
        moments: Vec::new(),
        faults: Vec::new(),
        ladder: Vec::new(),
        knee: None,
    }
}

fn fill(mut one: Measured, runs: &[Run<'_>]) -> Measured {
    one.rounds = runs.len() as u64;
    one.figures = spreads(runs);
    let mut by_rate: Vec<&Run<'_>> = runs.iter().collect();
    by_rate.sort_by(|a, b| a.figures.rate.total_cmp(&b.figures.rate));
    let Some(middle) = by_rate.get(runs.len() / 2) else { return one };
    // A log that cannot be read leaves its charts out; the figures do not come from it.
    let intervals = |run: &Run<'_>| hlog::read(&run.figures.log).unwrap_or_default();
    one.moments = intervals(middle).iter().filter_map(moment).collect();
    let every: Vec<Interval> = runs.iter().flat_map(&intervals).collect();
    one.times = hlog::whole(&every).map(|histogram| times(&histogram));
    one.faults = faults(middle.timeline, &one.load);
    one.ladder = middle.figures.ladder.iter().map(rung).collect();
    one.knee = middle.figures.knee;
    one
}

fn spreads(runs: &[Run<'_>]) -> BTreeMap<String, Spread> {
    let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for run in runs {
        let Ok(Value::Object(fields)) = serde_json::to_value(run.figures) else { continue };
        for (name, value) in fields {
            if let Some(value) = value.as_f64().filter(|_| !NO_FIGURES.contains(&name.as_str())) {
                values.entry(name).or_default().push(value);
            }
        }
    }
    let spread = |values: &[f64]| Spread {
        median: median(values).unwrap_or(0.0),
        min: values.iter().copied().fold(f64::INFINITY, f64::min),
        max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    };
    values.into_iter().map(|(name, values)| (name, spread(&values))).collect()
}

fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
}

fn times(histogram: &Histogram<u64>) -> Times {
    let at = |quantile: f64| us(histogram.value_at_quantile(quantile));
    let mut curve: Vec<(f64, f64)> = Vec::new();
    for value in histogram.iter_quantiles(POINTS_PER_HALVING) {
        let quantile = value.quantile_iterated_to();
        // Beyond this there is one response or none above: the longest is told apart.
        if (1.0 - quantile) * histogram.len() as f64 >= 1.0 {
            curve.push((quantile, us(value.value_iterated_to())));
        }
    }
    Times {
        count: histogram.len(),
        p50_us: at(0.5),
        p90_us: at(0.9),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: us(histogram.max()),
        curve,
    }
}

fn moment(interval: &Interval) -> Option<Moment> {
    let times = &interval.times;
    (!times.is_empty()).then(|| Moment {
        at_s: (interval.begun + interval.length / 2).as_secs_f64(),
        p50_us: us(times.value_at_quantile(0.5)),
        p99_us: us(times.value_at_quantile(0.99)),
        max_us: us(times.max()),
        count: times.len(),
    })
}

/// The faults while a load ran, in seconds since its measurement began.
fn faults(timeline: &Timeline, load: &str) -> Vec<Stretch> {
    let Some(of) = timeline.loads.iter().find(|stretch| stretch.name == load) else { return Vec::new() };
    let ended = of.ended_s.unwrap_or(f64::INFINITY);
    let during = timeline
        .faults
        .iter()
        .filter(|fault| fault.begun_s < ended && fault.ended_s.is_none_or(|end| end > of.measured_s));
    let during = during.map(|fault| Stretch {
        name: fault.name.clone(),
        begun_s: fault.begun_s - of.measured_s,
        measured_s: fault.begun_s - of.measured_s,
        ended_s: fault.ended_s.map(|end| end - of.measured_s),
    });
    during.collect()
}

fn rung(figures: &Figures) -> Rung {
    Rung {
        in_flight: figures.in_flight,
        offered_rate: figures.offered_rate,
        rate: figures.rate,
        p50_us: figures.p50_us,
        p99_us: figures.p99_us,
        errors: figures.errors,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(name: &str, begun_s: f64, measured_s: f64, ended_s: f64) -> Stretch {
        Stretch { name: name.to_owned(), begun_s, measured_s, ended_s: Some(ended_s) }
    }

    fn result(rate: f64, p50_us: f64) -> ScenarioResult {
        let figures = Figures { model: "closed", rate, p50_us, done: true, ..Figures::default() };
        ScenarioResult {
            name: "load/latency".to_owned(),
            world: "inproc".to_owned(),
            figures: [("latency".to_owned(), figures)].into(),
            timeline: Timeline {
                loads: vec![stretch("latency", 1.0, 1.5, 4.5)],
                faults: vec![stretch("cut", 2.0, 2.0, 2.5), stretch("old", 0.1, 0.1, 1.2)],
            },
            ..ScenarioResult::default()
        }
    }

    #[test]
    fn rounds_of_a_load_become_medians_and_ranges() {
        let rounds = [result(10.0, 3.0), result(30.0, 1.0), result(20.0, 2.0)];
        let merged = merge(&rounds.iter().collect::<Vec<_>>());
        let [one] = &merged[..] else { panic!("one load: {merged:?}") };
        assert_eq!((one.rounds, one.title().as_str()), (3, "load/latency"));
        assert_eq!(one.figure("rate"), Some(Spread { median: 20.0, min: 10.0, max: 30.0 }));
        assert_eq!(one.figure("p50_us"), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(one.figure("done"), None);
    }

    #[test]
    fn faults_count_from_where_the_measurement_began_and_those_before_it_are_gone() {
        let rounds = [result(1.0, 1.0)];
        let merged = merge(&[&rounds[0]]);
        assert_eq!(merged[0].faults, [stretch("cut", 0.5, 0.5, 1.0)]);
    }

    #[test]
    fn response_times_of_rounds_are_merged_and_not_averaged() {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).expect("bounds");
        histogram.record_n(1_000, 990).expect("in bounds");
        let first = Interval { begun: Default::default(), length: Default::default(), times: histogram };
        let mut second = first.clone();
        second.times.reset();
        second.times.record_n(100_000, 10).expect("in bounds");
        let whole = hlog::whole(&[first, second]).expect("intervals");
        let times = times(&whole);
        assert_eq!(times.count, 1_000);
        // The mean of both medians would be fifty times as much.
        assert!((times.p50_us - 1.0).abs() < 0.01 && times.max_us > 99.0, "{times:?}");
        assert!(times.curve.last().is_some_and(|(quantile, _)| *quantile <= 0.999), "{:?}", times.curve);
    }
}
