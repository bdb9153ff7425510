//! Two stored runs side by side. Their times come from different moments of the machine, so this tells and never gates:
//! what gates is `regatta gate --base`, where both builds run in one session.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Bench, Measured, Spread};

/// The version of the document.
pub const SCHEMA: &str = "regatta.compare/1";

/// Figures that are compared: name, unit, and whether more is better.
const COMPARED: [(&str, &str, bool); 13] = [
    ("rate", "/s", true),
    ("times_sealed_udp", "", true),
    ("p50_us", "µs", false),
    ("p90_us", "µs", false),
    ("p99_us", "µs", false),
    ("p999_us", "µs", false),
    ("cpu_us_per_message", "µs", false),
    ("context_switches_per_message", "", false),
    ("datagrams_per_message", "", false),
    ("bytes_per_message", "B", false),
    ("socket_calls_per_message", "", false),
    ("allocations_per_message", "", false),
    ("rss_peak_mib", "MiB", false),
];

/// Two stored runs, compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stored {
    /// [`SCHEMA`].
    pub schema: String,
    /// The ids of both runs.
    pub ids: [String; 2],
    /// Their revisions.
    pub revisions: [String; 2],
    /// Whether both come from machines of one kind.
    pub same_machine: bool,
    /// What both have measured.
    pub rows: Vec<Row>,
    /// Loads that only one of them has.
    pub alone: Vec<String>,
}

/// One figure of both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// The load: `load/latency`.
    pub load: String,
    /// The figure.
    pub figure: String,
    /// Its unit, if it has one.
    pub unit: String,
    /// Of the first.
    pub a: Spread,
    /// Of the second.
    pub b: Spread,
    /// How much worse the second's median is, as a share; below zero is better.
    pub worse: f64,
    /// How far apart they are.
    pub apart: Apart,
}

/// How two ranges of rounds lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Apart {
    /// They overlap: the rounds of either could be the other's.
    Overlap,
    /// Every round of the second is worse than every round of the first.
    Worse,
    /// Every round of the second is better.
    Better,
    /// Too few rounds to say.
    Few,
}

/// The fewest rounds whose ranges say anything: with three each, equal builds are apart in one of ten figures.
const ROUNDS_MIN: u64 = 3;

/// Compares two stored runs.
#[must_use]
pub fn compare(a: &Bench, b: &Bench) -> Stored {
    let find = |of: &'_ Bench, like: &Measured| {
        of.measured.iter().position(|one| one.title() == like.title() && one.world == like.world)
    };
    let (mut rows, mut alone) = (Vec::new(), Vec::new());
    for one in &a.measured {
        match find(b, one) {
            Some(other) => rows.extend(compared(one, &b.measured[other])),
            None => alone.push(format!("{} (only in {})", one.title(), a.id)),
        }
    }
    let only_b = b.measured.iter().filter(|one| find(a, one).is_none());
    alone.extend(only_b.map(|one| format!("{} (only in {})", one.title(), b.id)));
    Stored {
        schema: SCHEMA.to_owned(),
        ids: [a.id.clone(), b.id.clone()],
        revisions: [a.revision.clone(), b.revision.clone()],
        same_machine: a.machine.id == b.machine.id,
        rows,
        alone,
    }
}

fn compared(a: &Measured, b: &Measured) -> Vec<Row> {
    let rows = COMPARED.iter().filter_map(|(name, unit, higher_is_better)| {
        let (of_a, of_b) = (a.figure(name)?, b.figure(name)?);
        // A figure that does not apply to the model is 0.
        if of_a.median <= 0.0 || of_b.median <= 0.0 {
            return None;
        }
        let ratio = if *higher_is_better { of_a.median / of_b.median } else { of_b.median / of_a.median };
        let (above, below) = (of_b.min > of_a.max, of_b.max < of_a.min);
        let apart = match (a.rounds.min(b.rounds) >= ROUNDS_MIN, above, below) {
            (false, ..) => Apart::Few,
            (true, false, false) => Apart::Overlap,
            (true, above, _) if above == *higher_is_better => Apart::Better,
            (true, ..) => Apart::Worse,
        };
        Some(Row {
            load: a.title(),
            figure: (*name).to_owned(),
            unit: (*unit).to_owned(),
            a: of_a,
            b: of_b,
            worse: ratio - 1.0,
            apart,
        })
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(rounds: u64, figures: &[(&str, [f64; 3])]) -> Measured {
        let spread = |of: &[f64; 3]| Spread { min: of[0], median: of[1], max: of[2] };
        Measured {
            scenario: "load/latency".to_owned(),
            cell: String::new(),
            world: "inproc".to_owned(),
            load: "latency".to_owned(),
            model: "closed".to_owned(),
            rounds,
            figures: figures.iter().map(|(name, of)| ((*name).to_owned(), spread(of))).collect(),
            times: None,
            moments: Vec::new(),
            faults: Vec::new(),
            ladder: Vec::new(),
            knee: None,
        }
    }

    #[test]
    fn what_is_better_depends_on_the_figure_and_overlap_says_nothing() {
        let a = measured(3, &[("rate", [90.0, 100.0, 110.0]), ("p50_us", [9.0, 10.0, 11.0])]);
        let b = measured(3, &[("rate", [120.0, 125.0, 130.0]), ("p50_us", [12.0, 12.5, 13.0])]);
        let rows = compared(&a, &b);
        assert_eq!((rows[0].apart, rows[1].apart), (Apart::Better, Apart::Worse));
        assert!((rows[0].worse + 0.2).abs() < 1e-9 && (rows[1].worse - 0.25).abs() < 1e-9, "{rows:?}");
        let near = measured(3, &[("rate", [105.0, 106.0, 107.0])]);
        assert_eq!(compared(&a, &near)[0].apart, Apart::Overlap);
        let few = measured(1, &[("rate", [200.0, 200.0, 200.0])]);
        assert_eq!(compared(&a, &few)[0].apart, Apart::Few);
    }

    #[test]
    fn figures_that_do_not_apply_are_left_out() {
        let a = measured(3, &[("p50_us", [0.0, 0.0, 0.0]), ("rate", [1.0, 1.0, 1.0])]);
        let names: Vec<String> = compared(&a, &a).into_iter().map(|row| row.figure).collect();
        assert_eq!(names, ["rate"]);
    }
}
