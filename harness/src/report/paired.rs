//! What came of a comparison of two builds, and of the gate's self-test: for a terminal, for a pull request, as data.

use std::fmt::Write as _;

use owo_colors::{OwoColorize, Style};
use serde::Serialize;

use super::json::{Machine, revision};
use crate::gate::{Evidence, Level, Verdict};
use crate::paired::compare::{Answer, Comparison};
use crate::paired::selftest::Proof;

/// The version of the document.
pub const SCHEMA: &str = "regatta.gate/1";

/// The result of a gate.
#[derive(Debug, Serialize)]
pub struct Document {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The answer.
    pub answer: Answer,
    /// The scenario that both ran.
    pub scenario: String,
    /// The base as it was asked for.
    pub base: String,
    /// What that is: a commit, or a file.
    pub base_commit: String,
    /// The revision of this tree.
    pub head: String,
    /// The command.
    pub command: String,
    /// The machine.
    pub machine: Machine,
    /// Verdicts and evidence.
    pub comparison: Option<Comparison>,
}

impl Document {
    /// A document without a comparison yet.
    #[must_use]
    pub fn of(scenario: &str, base: &str, base_commit: &str) -> Self {
        Self {
            schema: SCHEMA,
            answer: Answer::Inconclusive,
            scenario: scenario.to_owned(),
            base: base.to_owned(),
            base_commit: base_commit.to_owned(),
            head: revision(),
            command: std::env::args().collect::<Vec<_>>().join(" "),
            machine: Machine::this(),
            comparison: None,
        }
    }

    /// Takes the comparison in.
    pub fn fill(&mut self, comparison: Comparison) {
        self.answer = comparison.answer();
        self.comparison = Some(comparison);
    }

    fn evidence(&self) -> &[Evidence] {
        self.comparison.as_ref().map_or(&[], |comparison| &comparison.evidence)
    }
}

/// The report for a terminal.
#[must_use]
pub fn text(document: &Document, colour: bool) -> String {
    let paint =
        |text: &str, style: Style| if colour { text.style(style).to_string() } else { text.to_owned() };
    let answer = match document.answer {
        Answer::Pass => Style::new().green().bold(),
        Answer::Regression => Style::new().red().bold(),
        Answer::Inconclusive => Style::new().yellow().bold(),
    };
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}  {} against {} ({})\n",
        paint(document.answer.name(), answer),
        document.head,
        document.base,
        document.base_commit.get(..12).unwrap_or(&document.base_commit)
    );
    let head = row("", &["base", "head", "worse by", "between", "may", "p", "verdict"]);
    let _ = writeln!(out, "{}", paint(&head, Style::new().dimmed()));
    for one in document.evidence() {
        let style = match one.verdict {
            Verdict::Pass => Style::new(),
            Verdict::Improved => Style::new().green(),
            Verdict::Regression => Style::new().red().bold(),
            Verdict::Warn | Verdict::Inconclusive(_) => Style::new().yellow(),
        };
        let [name, cells @ ..] = cells(one);
        let _ = writeln!(out, "{}", paint(&row(&name, &cells.each_ref().map(String::as_str)), style));
        if let Verdict::Inconclusive(why) = &one.verdict {
            why.iter().for_each(|why| {
                let _ = writeln!(out, "      {why}");
            });
        }
    }
    out.push('\n');
    for line in notes(document) {
        let _ = writeln!(out, "{}", paint(&line, Style::new().dimmed()));
    }
    out
}

/// The summary for a pull request.
#[must_use]
pub fn markdown(document: &Document) -> String {
    let word = match document.answer {
        Answer::Pass => "✅ pass",
        Answer::Regression => "❌ regression",
        Answer::Inconclusive => "⚠️ inconclusive",
    };
    let mut out =
        format!("### Performance gate: {word}\n\n`{}` against `{}`\n\n", document.head, document.base_commit);
    out.push_str("| metric | base | head | worse by | between | may | p | verdict |\n|---|--:|--:|--:|:-:|--:|--:|---|\n");
    for one in document.evidence() {
        let _ = writeln!(out, "| {} |", cells(one).join(" | "));
    }
    out.push('\n');
    for line in notes(document) {
        let _ = writeln!(out, "{line}  ");
    }
    out
}

fn cells(one: &Evidence) -> [String; 8] {
    let interval = match one.worse {
        Some(worse) => format!("{} to {}", share(worse.lower), share(worse.upper)),
        None => "-".to_owned(),
    };
    let verdict = match &one.verdict {
        Verdict::Pass => "pass",
        Verdict::Improved => "improved",
        Verdict::Warn => "warn",
        Verdict::Regression => "REGRESSION",
        Verdict::Inconclusive(_) => "inconclusive",
    };
    [
        one.metric.name.clone(),
        figure(one.medians[0]),
        figure(one.medians[2]),
        share(one.worse.map(|worse| worse.estimate)),
        interval,
        format!(
            "{:.0} %{}",
            one.metric.threshold * 100.0,
            if one.metric.level == Level::Warn { " (told)" } else { "" }
        ),
        if one.p < 0.001 { format!("{:.0e}", one.p) } else { format!("{:.3}", one.p) },
        verdict.to_owned(),
    ]
}

fn notes(document: &Document) -> Vec<String> {
    let mut notes = Vec::new();
    let Some(comparison) = &document.comparison else { return notes };
    let blocks = document.evidence().first().map_or(0, |one| one.blocks);
    notes.push(format!(
        "{blocks} blocks of base, copy, head and calibration in random order{}; ratios are taken within a block.",
        if comparison.second.is_some() { ", and a second round, as the first showed something" } else { "" }
    ));
    let copies = document.evidence().iter().filter_map(|one| Some((one, one.copy_worse?)));
    let copies: Vec<String> =
        copies.map(|(one, copy)| format!("{} {}", one.metric.name, share(Some(copy.estimate)))).collect();
    notes.push(format!("A second copy of the base against it: {}.", copies.join(", ")));
    if let Some(calibration) = comparison.calibration {
        let times = |of: f64| {
            let latency = document.evidence().iter().find(|one| one.metric.name.ends_with(".p50_us"));
            latency.map_or(String::new(), |one| format!(" (head: {:.2} of it)", one.medians[2] / of))
        };
        notes.push(format!(
            "Raw quinn, one stream: {:.1} µs{}. Raw UDP: {:.1} µs{}.",
            calibration.quinn_p50_us,
            times(calibration.quinn_p50_us),
            calibration.udp_p50_us,
            times(calibration.udp_p50_us)
        ));
    }
    if let Some(health) = comparison.health.first() {
        notes.push(format!(
            "{}; {:.1} % of its time stolen, {:.0} s.",
            document.machine,
            health.steal * 100.0,
            comparison.health.iter().map(|health| health.seconds).sum::<f64>()
        ));
    }
    notes
}

fn row(name: &str, cells: &[&str; 7]) -> String {
    let [base, head, worse, between, may, p, verdict] = cells;
    format!("  {name:<40} {base:>10} {head:>10} {worse:>9} {between:>20} {may:>12} {p:>7}  {verdict}")
        .trim_end()
        .to_owned()
}

/// A figure with as many digits as mean something.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{:.3} M", value / 1e6),
        size if size >= 1e4 => format!("{:.1} k", value / 1e3),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

fn share(of: Option<f64>) -> String {
    of.map_or_else(|| "?".to_owned(), |share| format!("{:+.1} %", share * 100.0))
}

/// The self-test for a terminal.
#[must_use]
pub fn proof(proof: &Proof) -> String {
    let mut out = format!(
        "Equal builds: {} false alarms in {} decisions, {} inconclusive. The true rate is below {:.1} % (95 %).\n",
        proof.equal.alarms,
        proof.equal.decisions,
        proof.equal.inconclusive,
        proof.false_alarms_at_most * 100.0
    );
    for metric in &proof.metrics {
        if metric.levels.is_empty() {
            let _ = writeln!(
                out,
                "\n{} (may become worse by {:.0} %): not slowed",
                metric.name,
                metric.threshold * 100.0
            );
            continue;
        }
        let resolution = metric.resolution.map_or("none of these slowdowns".to_owned(), |share| {
            format!("slowdowns from {:.0} % on, at least 9 times in 10", share * 100.0)
        });
        let _ = writeln!(
            out,
            "\n{} (may become worse by {:.0} %): catches {resolution}",
            metric.name,
            metric.threshold * 100.0
        );
        for level in &metric.levels {
            let _ = writeln!(
                out,
                "  injected {:>3.0} %   measured {:>8}   caught {:>2} of {:>2}, inconclusive {}",
                level.injected * 100.0,
                share(level.measured),
                level.count.alarms,
                level.count.decisions,
                level.count.inconclusive
            );
        }
    }
    let _ = writeln!(
        out,
        "\n{} blocks a round; {:.1} minutes{}{}",
        proof.extent.blocks,
        proof.seconds / 60.0,
        if proof.cut { "; cut before all decisions were made" } else { "" },
        if proof.failures.is_empty() {
            String::new()
        } else {
            format!("; {} decisions failed", proof.failures.len())
        }
    );
    out
}

/// The self-test for a pull request.
#[must_use]
pub fn proof_markdown(of: &Proof) -> String {
    format!("### The gate's self-test\n\n```text\n{}```\n", proof(of))
}
