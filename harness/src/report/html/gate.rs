//! The page of a gate: the answer, what each tier found, the blocks of both builds, and what the gate itself is worth.

use maud::{Markup, html};

use super::chart::{Chart, Line, Rule, Scale};
use super::{origin, page, proof};
use crate::gate::{Evidence, Metric, Series, Verdict};
use crate::paired::compare::{Answer, Comparison};
use crate::report::paired::{
    Document, cells, counted_line, exact_lines, grown_line, history_lines, notes, word,
};

/// The page.
#[must_use]
pub fn gate(of: &Document) -> String {
    let (class, answer) = match of.answer {
        Answer::Pass => ("good", "Pass"),
        Answer::Regression => ("bad", "Regression"),
        Answer::Inconclusive => ("warn", "Inconclusive"),
    };
    let content = html! {
        h1 { "Performance gate: " span class=(class) { (answer) } }
        p.sub { code { (of.head) } " against " code { (of.against()) } }
        div class=(format!("box {class}")) { @for line in summary(of) { p { (line) } } }
        (exact(of))
        (counts(of))
        @if let Some(comparison) = &of.comparison { (paired(of, comparison)) }
        @if !of.history.is_empty() {
            h2 { "Tier 4: changes in the history of main" }
            @for line in history_lines(of) { p.note { (line) } }
        }
        @if let Some(proof) = &of.proof {
            h2 { "What this gate is worth" }
            (proof::part(proof))
        }
        (origin(&of.machine, &of.command, of.unix_s, &more(of)))
    };
    page(&format!("{} · Regatta gate", of.answer.name()), &content)
}

/// What speaks for the answer, in a few lines.
fn summary(of: &Document) -> Vec<String> {
    let mut lines: Vec<String> =
        exact_lines(of).into_iter().filter(|line| line.bad).map(|line| line.text).collect();
    let counted = of.counts.iter().flat_map(|counts| &counts.counted);
    lines.extend(counted.filter(|one| speaks(&one.verdict)).map(counted_line));
    for one in of.evidence().iter().filter(|one| speaks(&one.verdict)) {
        let [name, base, head, worse, between, ..] = cells(one);
        let why = match &one.verdict {
            Verdict::Inconclusive(why) => format!(": {}", why.join("; ")),
            _ => String::new(),
        };
        lines.push(format!("{name}: {base} -> {head}, {worse} ({between}), {}{why}", word(&one.verdict)));
    }
    if lines.is_empty() {
        lines.push("Nothing that was measured is worse by more than it may be.".to_owned());
    }
    lines
}

const fn speaks(verdict: &Verdict) -> bool {
    !matches!(verdict, Verdict::Pass | Verdict::Improved)
}

fn more(of: &Document) -> Vec<(&'static str, String)> {
    let mut more = Vec::new();
    if !of.scenario.is_empty() {
        more.push(("Scenario", of.scenario.clone()));
        more.push(("Seed", of.seed.to_string()));
    }
    if !of.base_commit.is_empty() {
        more.push(("Base", of.base_commit.clone()));
    }
    more
}

fn exact(of: &Document) -> Markup {
    html! {
        @if !of.exact.is_empty() {
            h2 { "Tier 0: exact values" }
            @for line in exact_lines(of) { p class=[line.bad.then_some("bad")] { (line.text) } }
            @for one in &of.exact {
                details {
                    summary { (one.scenario) ": " (one.values.len()) " values" }
                    div.wide { table { tbody { @for (name, value) in &one.values {
                        tr { td { (name) } td { (value) } }
                    } } } }
                }
            }
        }
    }
}

fn counts(of: &Document) -> Markup {
    let Some(counts) = &of.counts else { return html! {} };
    html! {
        h2 { "Tier 1: instructions and system calls of one message" }
        @for why in &counts.unsupported { p.warn { "Not counted: " (why) } }
        @for one in &counts.counted {
            p class=[class(&one.verdict)] { (counted_line(one)) }
            @if one.worse > 0.0 && !one.grew.is_empty() {
                ul { @for part in &one.grew { li { code { (grown_line(part)) } } } }
            }
        }
    }
}

const fn class(verdict: &Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::Pass => None,
        Verdict::Improved => Some("good"),
        Verdict::Regression => Some("bad"),
        Verdict::Warn | Verdict::Inconclusive(_) => Some("warn"),
    }
}

fn paired(of: &Document, comparison: &Comparison) -> Markup {
    let metrics: Vec<Metric> = comparison.evidence.iter().map(|one| one.metric.clone()).collect();
    let series = comparison.rounds.first().map(|round| round.series(&metrics)).unwrap_or_default();
    html! {
        h2 { "Tiers 2 and 3: both builds in the same blocks" }
        div.wide {
            table {
                thead { tr {
                    @for name in ["metric", "base", "head", "worse by", "between", "may", "p", "verdict"] { th scope="col" { (name) } }
                } }
                tbody { @for one in &comparison.evidence { (row(one)) } }
            }
        }
        @for note in notes(of) { p.note { (note) } }
        @if !series.is_empty() {
            h2 { "Blocks" }
            p.note { "In each block the base, a second copy of it, and the head took turns, in random order. A point is a ratio to "
                "the base of the same block; above zero is worse. What the copy shows is noise." }
            div.charts { @for ((metric, series), one) in series.iter().zip(&comparison.evidence) {
                (blocks(metric, series, one).render())
            } }
        }
    }
}

fn row(one: &Evidence) -> Markup {
    let [name, base, head, worse, between, may, p, verdict] = cells(one);
    html! {
        tr {
            td { (name) }
            @for cell in [base, head, worse, between, may, p] { td { (cell) } }
            td { span class=(format!("word {}", class(&one.verdict).unwrap_or_default())) { (verdict) } }
        }
        @if let Verdict::Inconclusive(why) = &one.verdict {
            tr.detail { td colspan="8" { (why.join("; ")) } }
        }
    }
}

fn blocks(metric: &Metric, series: &Series, one: &Evidence) -> Chart {
    let worse = |value: f64, base: f64| {
        let ratio = if metric.higher_is_better { base / value } else { value / base };
        (ratio - 1.0) * 100.0
    };
    let points = |values: &[f64], name: &str| -> Vec<(f64, f64, String)> {
        let pairs = (1..).zip(series.base.iter().zip(values));
        pairs
            .filter(|(_, (base, value))| **base > 0.0 && **value > 0.0)
            .map(|(block, (base, value))| {
                let share = worse(*value, *base);
                (f64::from(block), share, format!("block {block}: {name} {share:+.1} %"))
            })
            .collect()
    };
    let (copy, head) = (points(&series.copy, "copy"), points(&series.head, "head"));
    let may = metric.threshold * 100.0;
    let most = copy.iter().chain(&head).map(|(_, share, _)| share.abs()).fold(may * 1.3, f64::max);
    let most = Scale::from_zero([most].into_iter()).end();
    let blocks = series.base.len().max(1) as f64;
    let mut chart = Chart::new(
        &metric.name,
        ("block", Scale::Linear(0.0, blocks + 1.0)),
        ("worse than base, %", Scale::Linear(-most, most)),
    );
    let line = |name: &str, colour: usize, points| Line {
        name: name.to_owned(),
        colour,
        marked: true,
        points,
        ..Line::default()
    };
    chart.lines = vec![line("second copy of the base", 5, copy), line("head", 0, head)];
    chart.rules.push(Rule { name: format!("may {may:.0} %"), at: may, upright: false });
    if let Some(worse) = one.worse {
        chart.note = format!("{:+.1} % estimated; {}", worse.estimate * 100.0, word(&one.verdict));
    }
    chart
}
