//! Rounds in, rows out: medians, spreads, and ratios to one system of them.
//!
//! What must stay true: a ratio is the median of the ratios of single rounds, in which both systems ran one after the
//! other; medians of different rounds are never divided. A failed trial leaves a gap in its series, never a zero.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::layout::Layout;
use crate::trial::{Outcome, Probe};

/// What is measured, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cell {
    /// Where the nodes live.
    pub(crate) layout: Layout,
    /// Far nodes, each linked to the near one.
    pub(crate) links: u32,
    /// What is measured.
    pub(crate) probe: Probe,
}

/// One figure of one system in one layout over all rounds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// The system's name.
    pub(crate) system: String,
    /// Where its nodes lived.
    pub(crate) layout: Layout,
    /// Far nodes, each linked to the near one.
    pub(crate) links: u32,
    /// The figure's name.
    pub(crate) measure: String,
    /// What one of it is.
    pub(crate) unit: &'static str,
    /// Client and echo pairs, for a saturation figure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) in_flight: Option<u32>,
    /// Median over the rounds; none if every round failed.
    pub(crate) median: Option<f64>,
    /// Least of the rounds.
    pub(crate) min: Option<f64>,
    /// Greatest of the rounds.
    pub(crate) max: Option<f64>,
    /// Rounds that gave a figure.
    pub(crate) rounds: usize,
    /// Rounds that failed or were cut.
    pub(crate) failed: usize,
    /// Median over the rounds of this system's figure by the base's in the same round. None without a round that has
    /// both, or where the base's figure is zero.
    pub(crate) ratio: Option<f64>,
}

/// All outcomes so far, by round.
#[derive(Debug)]
pub(crate) struct Results {
    base: String,
    outcomes: BTreeMap<(Cell, String), Vec<Option<Outcome>>>,
}

impl Results {
    /// No outcomes yet; all that come are compared with those of the system `base`.
    pub(crate) fn new(base: impl Into<String>) -> Self {
        Self { base: base.into(), outcomes: BTreeMap::new() }
    }

    /// The system that the others are compared with.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Adds one round's outcome, or the gap that a failure leaves. Each key must get one entry in each round.
    pub(crate) fn add(&mut self, cell: Cell, system: &str, outcome: Option<Outcome>) {
        self.outcomes.entry((cell, system.into())).or_default().push(outcome);
    }

    /// The rows of the main measures, then those of everything else that was recorded.
    pub(crate) fn rows(&self) -> (Vec<Row>, Vec<Row>) {
        let every = self.outcomes.iter().flat_map(|((cell, system), rounds)| {
            figures(cell.probe, rounds)
                .into_iter()
                .map(|figure| self.compare((*cell, system), *cell, &figure))
        });
        let (mut rows, mut extra): (Vec<_>, Vec<_>) =
            every.partition(|row| row.in_flight.is_none() && MAIN.contains(&row.measure.as_str()));
        rows.extend(self.saturation());
        for list in [&mut rows, &mut extra] {
            list.sort_by_key(|row| self.order(row));
        }
        (rows, extra)
    }

    /// One row per system, layout and number of links: its saturation at whichever number in flight has the highest
    /// median.
    fn saturation(&self) -> Vec<Row> {
        let mut best: BTreeMap<(Layout, u32, &str), (f64, Cell)> = BTreeMap::new();
        for ((cell, system), rounds) in &self.outcomes {
            if matches!(cell.probe, Probe::Saturation(_)) {
                let median = median(&present(rounds, SATURATION)).unwrap_or(0.0);
                let entry = best.entry((cell.layout, cell.links, system)).or_insert((median, *cell));
                if median > entry.0 {
                    *entry = (median, *cell);
                }
            }
        }
        let rows = best.iter().map(|((layout, links, system), (_, cell))| {
            let base = best.get(&(*layout, *links, self.base.as_str())).map_or(cell, |(_, cell)| cell);
            self.compare((*cell, system), *base, SATURATION)
        });
        rows.collect()
    }

    /// The row of a system's figure in `cell`, compared with the base's in the cell `base`.
    fn compare(&self, (cell, system): (Cell, &str), base: Cell, figure: &str) -> Row {
        let rounds = &self.outcomes[&(cell, system.to_owned())];
        let base = self.outcomes.get(&(base, self.base.clone()));
        let values = present(rounds, figure);
        let ratios: Vec<f64> = rounds
            .iter()
            .zip(base.into_iter().flatten())
            .filter_map(|(ours, base)| {
                Some(ours.as_ref()?.get(figure)? / base.as_ref()?.get(figure).filter(|x| **x > 0.0)?)
            })
            .collect();
        Row {
            system: system.into(),
            layout: cell.layout,
            links: cell.links,
            measure: figure.into(),
            unit: unit(figure),
            in_flight: if let Probe::Saturation(k) = cell.probe { Some(k) } else { None },
            median: median(&values),
            min: values.iter().copied().reduce(f64::min),
            max: values.iter().copied().reduce(f64::max),
            rounds: values.len(),
            failed: rounds.len() - values.len(),
            ratio: median(&ratios),
        }
    }

    fn order(&self, row: &Row) -> Place {
        let place = MAIN.iter().position(|name| *name == row.measure).unwrap_or(MAIN.len());
        let (measure, system) = (row.measure.clone(), row.system.clone());
        (row.layout, row.links, place, measure, row.in_flight, system != self.base, system)
    }
}

/// The place of a row: by layout, number of links, measure in the order of [`MAIN`], number in flight, and then the base
/// before the others.
type Place = (Layout, u32, usize, String, Option<u32>, bool, String);

/// The median; the mean of the middle two for an even count.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

fn present(rounds: &[Option<Outcome>], figure: &str) -> Vec<f64> {
    rounds.iter().flatten().filter_map(|outcome| outcome.get(figure).copied()).collect()
}

/// The names of all figures in `rounds`; where every round failed, those that are missed.
fn figures(probe: Probe, rounds: &[Option<Outcome>]) -> BTreeSet<String> {
    let promised: &[&str] = match probe {
        Probe::RoundTrip => &["rtt_p50_us", "rtt_p99_us"],
        Probe::Saturation(_) => &[SATURATION],
        Probe::Loss => &["loss_rt_per_s", "loss_p50_us", "loss_p99_us"],
        Probe::Flood => &["flood_msgs_per_s", "out_of_order"],
        Probe::Bulk => &["bulk_mib_per_s"],
        Probe::Spawn => &["spawn_p50_us"],
        Probe::Handshake => &["handshake_p50_us"],
    };
    let seen = rounds.iter().flatten().flat_map(|outcome| outcome.keys().cloned());
    seen.chain(promised.iter().map(ToString::to_string)).collect()
}

fn unit(figure: &str) -> &'static str {
    match figure {
        SATURATION | "loss_rt_per_s" => "round trips/s",
        "flood_msgs_per_s" => "messages/s",
        "out_of_order" | "flood_lost" => "share",
        "bulk_mib_per_s" => "MiB/s",
        "flood_backlog_msgs" => "messages",
        "flood_rss_peak_mib" => "MiB",
        _ if figure.ends_with("_us") => "us",
        _ if figure.ends_with("_cores") => "cores",
        _ => "count",
    }
}

const SATURATION: &str = "saturation_rt_per_s";
const MAIN: [&str; 11] = [
    "rtt_p50_us",
    "rtt_p99_us",
    SATURATION,
    "loss_rt_per_s",
    "loss_p50_us",
    "loss_p99_us",
    "flood_msgs_per_s",
    "out_of_order",
    "bulk_mib_per_s",
    "spawn_p50_us",
    "handshake_p50_us",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(figure: &str, value: f64) -> Option<Outcome> {
        Some([(figure.to_owned(), value)].into())
    }

    fn cell(layout: Layout, probe: Probe) -> Cell {
        Cell { layout, links: 1, probe }
    }

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        let mut results = Results::new("seed");
        // The machine is twice as slow in each later round; the median of ratios stays 0.5.
        for (seed, ours) in [(10.0, 5.0), (20.0, 10.0), (40.0, 20.0)] {
            results.add(cell(Layout::TwoProcesses, Probe::RoundTrip), "seed", outcome("rtt_p50_us", seed));
            results.add(cell(Layout::TwoProcesses, Probe::RoundTrip), "regatta", outcome("rtt_p50_us", ours));
        }
        let rows = results.rows().0;
        let ours = rows.iter().find(|row| row.system == "regatta" && row.measure == "rtt_p50_us");
        let ours = ours.expect("the row is there");
        assert_eq!((ours.median, ours.ratio, ours.rounds), (Some(10.0), Some(0.5), 3));
    }

    #[test]
    fn a_failed_round_is_counted_and_its_partner_is_not_compared() {
        let mut results = Results::new("seed");
        for (seed, ours) in [(Some(4.0), Some(8.0)), (Some(1.0), None), (None, Some(100.0))] {
            for (system, value) in [("seed", seed), ("regatta", ours)] {
                let outcome = value.and_then(|value| outcome("flood_msgs_per_s", value));
                results.add(cell(Layout::OneProcess2w, Probe::Flood), system, outcome);
            }
        }
        let rows = results.rows().0;
        let ours = rows.iter().find(|row| row.system == "regatta" && row.measure == "flood_msgs_per_s");
        let ours = ours.expect("the row is there");
        assert_eq!((ours.rounds, ours.failed, ours.ratio), (2, 1, Some(2.0)));
    }

    #[test]
    fn a_cell_whose_every_round_failed_still_has_its_rows() {
        let mut results = Results::new("seed");
        results.add(cell(Layout::OneProcess2w, Probe::RoundTrip), "seed", None);
        results.add(cell(Layout::OneProcess2w, Probe::Saturation(16)), "seed", None);
        let rows = results.rows().0;
        let names: Vec<_> = rows.iter().map(|row| (row.measure.as_str(), row.median, row.failed)).collect();
        let expected = ["rtt_p50_us", "rtt_p99_us", "saturation_rt_per_s"].map(|name| (name, None, 1));
        assert_eq!(names, expected);
    }

    #[test]
    fn saturation_compares_the_best_of_each_system() {
        let mut results = Results::new("seed");
        for (k, seed, ours) in [(16, 50.0, 10.0), (64, 40.0, 200.0)] {
            results.add(
                cell(Layout::RuntimePerNode, Probe::Saturation(k)),
                "seed",
                outcome(SATURATION, seed),
            );
            results.add(
                cell(Layout::RuntimePerNode, Probe::Saturation(k)),
                "regatta",
                outcome(SATURATION, ours),
            );
        }
        let (rows, extra) = results.rows();
        let ours = rows.iter().find(|row| row.system == "regatta").expect("the row is there");
        assert_eq!((ours.in_flight, ours.median, ours.ratio), (Some(64), Some(200.0), Some(4.0)));
        assert_eq!(extra.len(), 4, "each number in flight keeps a row of its own");
    }

    #[test]
    fn the_median_of_an_even_count_lies_between_the_middle_two() {
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }
}
