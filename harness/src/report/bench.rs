//! A benchmark run for a terminal and for a pull request: latency, throughput and costs apart, with ranges.

use std::fmt::Write as _;

use owo_colors::{OwoColorize, Style};

use super::paired::{figure, share};
use crate::bench::stored::{Apart, Stored};
use crate::bench::{Bench, Measured, Spread};

/// A table: the head of its columns, and rows of as many cells.
pub(crate) struct Table {
    /// What it is about.
    pub(crate) title: &'static str,
    /// The columns; the first is the name.
    pub(crate) head: Vec<&'static str>,
    /// The rows.
    pub(crate) rows: Vec<Vec<String>>,
}

/// The tables of a run: those that have rows.
pub(crate) fn tables(bench: &Bench) -> Vec<Table> {
    let all = [latency(bench), throughput(bench), costs(bench)];
    all.into_iter().filter(|table| !table.rows.is_empty()).collect()
}

/// Response times of all rounds together, with the range of the rounds' medians.
fn latency(bench: &Bench) -> Table {
    let rows = bench.measured.iter().filter(|one| is_latency(one)).filter_map(|one| {
        let times = one.times.as_ref()?;
        let us = [times.p50_us, times.p90_us, times.p99_us, times.p999_us, times.max_us];
        let mut row = vec![one.title(), how(one)];
        row.extend(us.map(figure));
        row.push(times.count.to_string());
        row.push(range(one.figure("p50_us")));
        Some(row)
    });
    Table {
        title: "Response time, µs",
        head: vec!["load", "how", "p50", "p90", "p99", "p99.9", "max", "count", "p50 of the rounds"],
        rows: rows.collect(),
    }
}

fn throughput(bench: &Bench) -> Table {
    let of_throughput = || bench.measured.iter().filter(|one| !is_latency(one));
    // Only searches over rates have it.
    let has_reference = of_throughput().any(|one| one.figure("times_sealed_udp").is_some());
    let rows = of_throughput().filter_map(|one| {
        let rate = one.figure("rate")?;
        let at = |name: &str| one.figure(name).map_or("-".to_owned(), |of| positive(of.median));
        let mut row =
            vec![one.title(), how(one), figure(rate.median), range(Some(rate)), at("p50_us"), at("p99_us")];
        row.extend(has_reference.then(|| times_sealed_udp(one)));
        Some(row)
    });
    let mut head = vec!["load", "how", "rate", "of the rounds", "p50 µs there", "p99 µs there"];
    head.extend(has_reference.then_some("times sealed UDP"));
    Table { title: "Throughput, a second", head, rows: rows.collect() }
}

/// The multiple that a search found, and how well it is known.
fn times_sealed_udp(one: &Measured) -> String {
    let (times, margin) = (one.figure("times_sealed_udp"), one.figure("times_sealed_udp_margin"));
    times.zip(margin).map_or("-".to_owned(), |(times, margin)| {
        format!("{:.3} ± {:.1} %", times.median, margin.median * 100.0)
    })
}

fn costs(bench: &Bench) -> Table {
    const COSTS: [(&str, &str); 7] = [
        ("cpu_us_per_message", "cpu µs"),
        ("context_switches_per_message", "switches"),
        ("datagrams_per_message", "datagrams"),
        ("bytes_per_message", "bytes"),
        ("socket_calls_per_message", "socket calls"),
        ("allocations_per_message", "allocations"),
        ("rss_peak_mib", "peak RSS, MiB"),
    ];
    // What no load has, as bytes where a world's sockets do not count, has no column.
    let had: Vec<_> = COSTS
        .iter()
        .filter(|(name, _)| bench.measured.iter().any(|one| one.figure(name).is_some()))
        .collect();
    let rows = bench.measured.iter().map(|one| {
        let mut row = vec![one.title()];
        row.extend(
            had.iter().map(|(name, _)| one.figure(name).map_or("-".to_owned(), |of| figure(of.median))),
        );
        row
    });
    Table {
        title: "Cost of a one-way message",
        head: std::iter::once("load").chain(had.iter().map(|(_, head)| *head)).collect(),
        rows: rows.collect(),
    }
}

/// Whether response times are what a load is for, and not a rate.
pub(crate) fn is_latency(one: &Measured) -> bool {
    match one.model.as_str() {
        "open" | "ramp" => true,
        "closed" => one.figure("in_flight").is_some_and(|of| of.median <= 1.0),
        _ => false,
    }
}

/// How a load generates, in a few words.
pub(crate) fn how(one: &Measured) -> String {
    let of = |name: &str| one.figure(name).map_or(0.0, |of| of.median);
    match one.model.as_str() {
        "closed" => format!("closed, {} in flight", of("in_flight")),
        "open" => format!("open, {}/s", figure(of("offered_rate"))),
        "search" if of("in_flight") > 0.0 => format!("search, {} in flight", of("in_flight")),
        other => other.to_owned(),
    }
}

fn positive(value: f64) -> String {
    if value > 0.0 { figure(value) } else { "-".to_owned() }
}

fn range(of: Option<Spread>) -> String {
    of.map_or("-".to_owned(), |of| format!("{} to {}", figure(of.min), figure(of.max)))
}

/// The report for a terminal.
#[must_use]
pub fn text(bench: &Bench, colour: bool) -> String {
    let paint =
        |text: &str, style: Style| if colour { text.style(style).to_string() } else { text.to_owned() };
    let mut out = String::new();
    for table in tables(bench) {
        let _ = writeln!(out, "{}", paint(table.title, Style::new().bold()));
        for (index, line) in columns(&table).iter().enumerate() {
            let style = if index == 0 { Style::new().dimmed() } else { Style::new() };
            let _ = writeln!(out, "  {}", paint(line, style));
        }
        out.push('\n');
    }
    for failure in &bench.failures {
        let _ = writeln!(out, "{}", paint(&format!("not measured: {failure}"), Style::new().red()));
    }
    for line in notes(bench) {
        let _ = writeln!(out, "{}", paint(&line, Style::new().dimmed()));
    }
    out
}

/// What figures come with: rounds, machine, and what may have disturbed them.
pub(crate) fn notes(bench: &Bench) -> Vec<String> {
    let rounds = if bench.rounds == 1 { "1 round".to_owned() } else { format!("{} rounds", bench.rounds) };
    let mut notes = vec![
        format!("{} at {}, {rounds}, {:.0} s", bench.id, bench.revision, bench.health.seconds),
        bench.machine.to_string(),
    ];
    notes.extend(bench.health.disturbed().into_iter().map(|why| format!("DISTURBED: {why}")));
    notes
}

/// The head and rows of a table, each column as wide as it needs.
fn columns(table: &Table) -> Vec<String> {
    let head: Vec<String> = table.head.iter().map(|text| (*text).to_owned()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&head).chain(&table.rows).collect();
    let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |row: &&Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            // Names stand to the left, numbers to the right.
            let left = column == 0 || table.head[column] == "how";
            if left { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all.iter().map(line).collect()
}

/// The summary for a pull request.
#[must_use]
pub fn markdown(bench: &Bench) -> String {
    let mut out = format!("### Benchmark `{}`\n\n", bench.id);
    for table in tables(bench) {
        let _ = writeln!(out, "**{}**\n\n| {} |", table.title, table.head.join(" | "));
        let align = table
            .head
            .iter()
            .enumerate()
            .map(|(column, head)| if column == 0 || *head == "how" { "---" } else { "--:" });
        let _ = writeln!(out, "|{}|", align.collect::<Vec<_>>().join("|"));
        for row in &table.rows {
            let _ = writeln!(out, "| {} |", row.join(" | "));
        }
        out.push('\n');
    }
    for failure in &bench.failures {
        let _ = writeln!(out, "- ❌ not measured: {failure}");
    }
    for line in notes(bench) {
        let _ = writeln!(out, "{line}  ");
    }
    out
}

/// Two stored runs for a terminal.
#[must_use]
pub fn stored(of: &Stored, colour: bool) -> String {
    let paint =
        |text: &str, style: Style| if colour { text.style(style).to_string() } else { text.to_owned() };
    let mut out = format!("{} against {}\n", of.ids[1], of.ids[0]);
    let mut load = "";
    for row in &of.rows {
        if row.load != load {
            load = &row.load;
            let _ = writeln!(out, "\n{}", paint(load, Style::new().bold()));
        }
        let (word, style) = apart(row.apart);
        let name = format!("{} {}", row.figure, row.unit);
        let line = format!(
            "  {name:<34} {:>10} -> {:>10}  {:>9}  {word}",
            figure(row.a.median),
            figure(row.b.median),
            share(Some(row.worse))
        );
        let _ = writeln!(out, "{}", paint(line.trim_end(), style));
    }
    for one in &of.alone {
        let _ = writeln!(out, "\nnot compared: {one}");
    }
    let _ = write!(
        out,
        "\n{}\n",
        paint(
            "Shares above zero are worse. The runs are of different sessions: this tells, and gates nothing.",
            Style::new().dimmed()
        )
    );
    out
}

/// What is said of two ranges.
pub(crate) fn apart(of: Apart) -> (&'static str, Style) {
    match of {
        Apart::Overlap => ("rounds overlap", Style::new().dimmed()),
        Apart::Worse => ("all rounds worse", Style::new().red()),
        Apart::Better => ("all rounds better", Style::new().green()),
        Apart::Few => ("too few rounds", Style::new().dimmed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Times;
    use crate::paired::health::Health;
    use crate::results::machine::Machine;

    fn measured(load: &str, model: &str, in_flight: f64) -> Measured {
        let spread = |value: f64| Spread { median: value, min: value * 0.9, max: value * 1.1 };
        Measured {
            scenario: format!("load/{load}"),
            cell: String::new(),
            world: "inproc".to_owned(),
            load: load.to_owned(),
            model: model.to_owned(),
            rounds: 3,
            figures: [
                ("in_flight".to_owned(), Spread { median: in_flight, min: in_flight, max: in_flight }),
                ("rate".to_owned(), spread(120_000.0)),
                ("p50_us".to_owned(), spread(30.0)),
            ]
            .into(),
            times: Some(Times { count: 10, p50_us: 30.0, ..Times::default() }),
            moments: Vec::new(),
            faults: Vec::new(),
            ladder: Vec::new(),
            knee: None,
        }
    }

    fn bench(measured: Vec<Measured>) -> Bench {
        Bench {
            schema: String::new(),
            id: "run".to_owned(),
            revision: "abc".to_owned(),
            command: String::new(),
            unix_s: 0,
            machine: Machine::this(),
            health: Health::default(),
            rounds: 3,
            seed: 1,
            measured,
            failures: Vec::new(),
        }
    }

    #[test]
    fn latency_and_throughput_are_never_in_one_table() {
        let bench = Bench {
            failures: vec!["load/x in round 2 was `invalid`: late".to_owned()],
            ..bench(vec![measured("latency", "closed", 1.0), measured("saturation", "search", 256.0)])
        };
        let tables = tables(&bench);
        let names = |index: usize| tables[index].rows.iter().map(|row| row[0].clone()).collect::<Vec<_>>();
        assert_eq!(
            (names(0), names(1)),
            (vec!["load/latency".to_owned()], vec!["load/saturation".to_owned()])
        );
        let text = text(&bench, false);
        assert!(text.contains("27.00 to 33.00") && text.contains("not measured: load/x"), "{text}");
        assert!(markdown(&bench).contains("| load/saturation | search, 256 in flight | 120.0 k |"));
    }

    #[test]
    fn the_multiple_of_a_search_over_rates_has_a_column_where_there_is_one() {
        let same = |value: f64| Spread { median: value, min: value, max: value };
        let (mut search, flood) = (measured("search", "search", 0.0), measured("flood", "flood", 0.0));
        search.figures.insert("times_sealed_udp".to_owned(), same(0.4826));
        search.figures.insert("times_sealed_udp_margin".to_owned(), same(0.046));
        let column = |measured| {
            let table = throughput(&bench(measured));
            (
                table.head[table.head.len() - 1],
                table.rows.iter().map(|row| row[row.len() - 1].clone()).collect(),
            )
        };
        let cells: Vec<String> = vec!["0.483 ± 4.6 %".to_owned(), "-".to_owned()];
        assert_eq!(column(vec![search, flood.clone()]), ("times sealed UDP", cells));
        assert_eq!(column(vec![flood]).0, "p99 µs there");
    }
}
