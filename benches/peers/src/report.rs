//! The report: one JSON document, and a table that a person can read.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use crate::layout::Layout;
use crate::machine::{Interference, Machine};
use crate::stats::Row;

/// The version of the JSON document; it grows with every change that a reader could notice.
pub(crate) const SCHEMA: &str = "regatta-peers/2";
/// Interference, in processors, from which on the table warns.
const NOISY_CORES: f64 = 0.1;

/// A trial that gave no figure.
#[derive(Debug, Serialize)]
pub(crate) struct FailedTrial {
    /// Which round, from 1.
    pub(crate) round: usize,
    /// Which system.
    pub(crate) system: String,
    /// In which layout.
    pub(crate) layout: Layout,
    /// With how many links.
    pub(crate) links: u32,
    /// What was measured.
    pub(crate) probe: String,
    /// Why there is no figure.
    pub(crate) reason: String,
}

/// Everything that a run found out.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// [`SCHEMA`].
    pub(crate) schema: &'static str,
    /// The command that made it.
    pub(crate) command: String,
    /// The seed of the order of trials.
    pub(crate) order_seed: u64,
    /// Rounds that were run.
    pub(crate) rounds: usize,
    /// Warm-up and window of each trial, in milliseconds.
    pub(crate) warm_up_ms: u128,
    /// See `warm_up_ms`.
    pub(crate) window_ms: u128,
    /// How long the run took, in seconds.
    pub(crate) duration_s: f64,
    /// What it ran on.
    pub(crate) machine: Machine,
    /// Who else used it, over the whole run.
    pub(crate) interference: Interference,
    /// The greatest interference in one trial.
    pub(crate) interference_worst: Interference,
    /// The system that the others are compared with.
    pub(crate) base: String,
    /// The main measures.
    pub(crate) rows: Vec<Row>,
    /// Everything else: saturation at each number in flight, further quantiles, loss, backlog, memory.
    pub(crate) extra: Vec<Row>,
    /// Trials without a figure.
    pub(crate) failures: Vec<FailedTrial>,
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let machine = &self.machine;
        let virt = if machine.virtual_machine { ", virtual" } else { "" };
        writeln!(f, "{} x{}{virt} · {} · {}", machine.cpu, machine.cores, machine.kernel, machine.rustc)?;
        writeln!(f, "{}", machine.crates.join(" · "))?;
        writeln!(
            f,
            "{} rounds · {} ms warm-up, {} ms window · 64 B · loopback · revision {} · {:.0} s",
            self.rounds,
            self.warm_up_ms,
            self.window_ms,
            machine.revision.as_deref().unwrap_or("unknown"),
            self.duration_s
        )?;
        let ratio = format!("× {}", self.base);
        let head = ["measure", "system", "median", "min", "max", "rounds", &ratio];
        let mut lines: Vec<[String; 7]> = Vec::new();
        let mut sections = Vec::new();
        for row in &self.rows {
            if sections.last().is_none_or(|(section, _)| *section != (row.layout, row.links)) {
                sections.push(((row.layout, row.links), lines.len()));
            }
            lines.push(cells(row, &self.base));
        }
        let width = |column: usize| {
            let cells = lines.iter().map(|line| line[column].chars().count());
            cells.chain([head[column].chars().count()]).max().unwrap_or(0)
        };
        let widths: [usize; 7] = std::array::from_fn(width);
        for (index, ((layout, links), begin)) in sections.iter().enumerate() {
            let end = sections.get(index + 1).map_or(lines.len(), |next| next.1);
            writeln!(f, "\n{}", layout.with_links(*links))?;
            line(f, &head.map(str::to_owned), &widths)?;
            lines[*begin..end].iter().try_for_each(|cells| line(f, cells, &widths))?;
        }
        self.notes(f)
    }
}

impl Report {
    fn notes(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n× {}: median over the rounds of the ratio within a round; min and max are over the rounds.",
            self.base
        )?;
        let spread = |row: &&Row| match (row.median, row.min, row.max) {
            (Some(median), Some(min), Some(max)) if median > 0.0 => (max - min) / median,
            _ => 0.0,
        };
        let wide = self.rows.iter().filter(|row| spread(row) > 0.5).count();
        if wide > 0 {
            let all = self.rows.len();
            writeln!(
                f,
                "{wide} of {all} rows spread over more than half of their median: read them as rough."
            )?;
        }
        let (mean, worst) = (self.interference, self.interference_worst);
        if worst.other_cores > NOISY_CORES || worst.stolen_cores > NOISY_CORES {
            writeln!(
                f,
                "not a quiet machine: others used {:.2} cores on average and {:.2} in the worst trial, {:.2} and {:.2} \
                 were stolen.",
                mean.other_cores, worst.other_cores, mean.stolen_cores, worst.stolen_cores
            )?;
        }
        for row in self.extra.iter().filter(|row| row.measure == "flood_lost" && row.max > Some(0.0)) {
            let (system, layout, share) =
                (&row.system, row.layout.with_links(row.links), row.max.unwrap_or(0.0));
            writeln!(f, "{system} lost up to {:.3} % of a flood in {layout}.", share * 100.0)?;
        }
        for failed in &self.failures {
            let (round, system, layout) =
                (failed.round, &failed.system, failed.layout.with_links(failed.links));
            writeln!(f, "no figure: round {round}, {system}, {layout}, {}: {}", failed.probe, failed.reason)?;
        }
        writeln!(f, "benches/BIAS.md says what these figures cannot show.")
    }
}

fn cells(row: &Row, base: &str) -> [String; 7] {
    let value = |value: Option<f64>| value.map_or_else(|| "-".into(), |value| number(value, row.unit));
    let pairs = row.in_flight.map(|k| format!(" ({k} in flight)")).unwrap_or_default();
    let failed = if row.failed > 0 { format!(" ({} failed)", row.failed) } else { String::new() };
    let ratio = if row.system == base { None } else { row.ratio };
    [
        row.measure.clone(),
        format!("{}{pairs}", row.system),
        value(row.median),
        value(row.min),
        value(row.max),
        format!("{}{failed}", row.rounds),
        ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
    ]
}

fn line(f: &mut Formatter<'_>, cells: &[String; 7], widths: &[usize; 7]) -> fmt::Result {
    write!(f, " ")?;
    for (index, (cell, width)) in cells.iter().zip(widths).enumerate() {
        match index {
            0 | 1 => write!(f, " {cell:<width$} ")?,
            _ => write!(f, " {cell:>width$} ")?,
        }
    }
    writeln!(f)
}

/// A figure with as many digits as mean something.
fn number(value: f64, unit: &str) -> String {
    match unit {
        "us" => format!("{value:.1} µs"),
        "share" => format!("{:.2} %", value * 100.0),
        "MiB/s" => format!("{value:.0} MiB/s"),
        _ if value >= 1e6 => format!("{:.2} M/s", value / 1e6),
        _ => format!("{:.1} k/s", value / 1e3),
    }
}
