//! What came of a comparison of two builds, and of the gate's self-test: for a terminal, for a pull request, as data.

use std::fmt::Write as _;

use owo_colors::{OwoColorize, Style};
use schemars::JsonSchema;
use serde::Serialize;

use super::json::revision;
use crate::gate::count::{Counted, Growth};
use crate::gate::{Evidence, Level, Verdict};
use crate::paired::compare::{Answer, Comparison};
use crate::paired::counts::Counts;
use crate::paired::exactly::{Exactness, Standing};
use crate::paired::selftest::Proof;
use crate::results::history::Series;
use crate::results::machine::Machine;
use crate::results::proofs::Collected;

/// The version of the document.
pub const SCHEMA: &str = "regatta.gate/1";

/// The result of a gate: what its tiers found.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Document {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The answer, over all tiers.
    pub answer: Answer,
    /// The scenario of the paired tier; empty without one.
    pub scenario: String,
    /// The base as it was asked for: a revision, a file, or the accepted values.
    pub base: String,
    /// What that is: a commit, or a file; empty of accepted values.
    pub base_commit: String,
    /// The revision of this tree.
    pub head: String,
    /// The command.
    pub command: String,
    /// The seed of the order of turns.
    pub seed: u64,
    /// When, in seconds since 1970.
    pub unix_s: u64,
    /// The machine.
    pub machine: Machine,
    /// Tier 0: values that repeat to the last digit.
    pub exact: Vec<Exactness>,
    /// Tier 1: counts.
    pub counts: Option<Counts>,
    /// Tiers 2 and 3: verdicts and evidence over blocks.
    pub comparison: Option<Comparison>,
    /// Tier 4: series of main whose level changed.
    pub history: Vec<Series>,
    /// What the gate proved of itself on a machine like this one.
    pub proof: Option<Proof>,
    /// Decisions over equal builds of all self-tests on such machines.
    pub collected: Option<Collected>,
}

impl Document {
    /// A document without anything found yet.
    #[must_use]
    pub fn of(base: &str) -> Self {
        Self {
            schema: SCHEMA,
            answer: Answer::Inconclusive,
            scenario: String::new(),
            base: base.to_owned(),
            base_commit: String::new(),
            head: revision(),
            command: std::env::args().collect::<Vec<_>>().join(" "),
            seed: 0,
            unix_s: crate::results::unix_s(),
            machine: Machine::this(),
            exact: Vec::new(),
            counts: None,
            comparison: None,
            history: Vec::new(),
            proof: None,
            collected: None,
        }
    }

    /// Whether no tier was run.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.counts.is_none() && self.comparison.is_none() && self.history.is_empty()
    }

    /// Makes the answer of what was found: a regression in any tier speaks loudest, then what cannot be told.
    pub fn answer(&mut self) {
        let changed = |one: &Exactness| matches!(one.standing, Standing::Changed { .. });
        let paired = self.comparison.as_ref().map_or(Answer::Pass, Comparison::answer);
        let counts = self.counts.as_ref();
        let regressed = self.exact.iter().any(changed)
            || counts.is_some_and(Counts::regressed)
            || paired == Answer::Regression;
        let unclear = self.exact.iter().any(|one| one.standing != Standing::Equal)
            || counts.is_some_and(Counts::inconclusive)
            || paired == Answer::Inconclusive;
        self.answer = match (regressed, unclear) {
            (true, _) => Answer::Regression,
            (false, true) => Answer::Inconclusive,
            (false, false) => Answer::Pass,
        };
    }

    pub(crate) fn evidence(&self) -> &[Evidence] {
        self.comparison.as_ref().map_or(&[], |comparison| &comparison.evidence)
    }

    /// What the head is compared with, for people.
    pub(crate) fn against(&self) -> String {
        match self.base_commit.get(..12).unwrap_or(&self.base_commit) {
            "" => self.base.clone(),
            commit if self.base.starts_with(commit) || commit == self.base => commit.to_owned(),
            commit => format!("{} ({commit})", self.base),
        }
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
    let against = document.against();
    let _ = writeln!(out, "{}  {} against {against}\n", paint(document.answer.name(), answer), document.head);
    for line in exact_lines(document) {
        let style = if line.bad { Style::new().red() } else { Style::new() };
        let _ = writeln!(out, "  {}", paint(&line.text, style));
    }
    for one in document.counts.iter().flat_map(|counts| &counts.counted) {
        let style = style_of(&one.verdict);
        let _ = writeln!(out, "  {}", paint(&counted_line(one), style));
        for part in one.grew.iter().filter(|_| one.worse > 0.0) {
            let _ = writeln!(out, "      {}", grown_line(part));
        }
    }
    for why in document.counts.iter().flat_map(|counts| &counts.unsupported) {
        let _ = writeln!(out, "  {}", paint(&format!("not counted: {why}"), Style::new().yellow()));
    }
    for line in history_lines(document) {
        let _ = writeln!(out, "  {}", paint(&line, Style::new().yellow()));
    }
    if document.comparison.is_none() {
        let _ = writeln!(out, "\n{}", paint(&document.machine.to_string(), Style::new().dimmed()));
        return out;
    }
    let head = row("", &["base", "head", "worse by", "between", "may", "p", "verdict"]);
    let _ = writeln!(out, "{}", paint(&head, Style::new().dimmed()));
    for one in document.evidence() {
        let style = style_of(&one.verdict);
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
        format!("### Performance gate: {word}\n\n`{}` against `{}`\n\n", document.head, document.against());
    for line in exact_lines(document) {
        let _ = writeln!(out, "- {}{}", if line.bad { "❌ " } else { "" }, line.text);
    }
    for one in document.counts.iter().flat_map(|counts| &counts.counted) {
        let _ = writeln!(out, "- {}", counted_line(one));
        for part in one.grew.iter().filter(|_| one.worse > 0.0) {
            let _ = writeln!(out, "  - `{}`", grown_line(part));
        }
    }
    for why in document.counts.iter().flat_map(|counts| &counts.unsupported) {
        let _ = writeln!(out, "- not counted: {why}");
    }
    for line in history_lines(document) {
        let _ = writeln!(out, "- {line}");
    }
    out.push('\n');
    if document.comparison.is_some() {
        out.push_str("| metric | base | head | worse by | between | may | p | verdict |\n|---|--:|--:|--:|:-:|--:|--:|---|\n");
        for one in document.evidence() {
            let _ = writeln!(out, "| {} |", cells(one).join(" | "));
        }
        out.push('\n');
    }
    for line in notes(document) {
        let _ = writeln!(out, "{line}  ");
    }
    out
}

/// A line about something that was found.
pub(crate) struct Line {
    /// The line.
    pub(crate) text: String,
    /// Whether it speaks against the head.
    pub(crate) bad: bool,
}

/// What the exact tier found, line by line.
pub(crate) fn exact_lines(document: &Document) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut line = |bad, text: String| lines.push(Line { text, bad });
    for one in &document.exact {
        let name = &one.scenario;
        match &one.standing {
            Standing::Equal => {
                line(false, format!("{name}: {} exact values, all as accepted", one.values.len()));
            }
            Standing::NeverAccepted => {
                line(true, format!("{name}: nothing was accepted yet; `regatta accept` does"));
            }
            Standing::Failed(why) => line(true, format!("{name}: not measured: {why}")),
            Standing::NotExact(unequal) => {
                line(true, format!("{name}: two runs of the same build differ, so these are not exact:"));
                unequal.iter().for_each(|one| line(true, format!("    {one}")));
            }
            Standing::Changed { differences, other_compiler } => {
                line(true, format!("{name}: exact values changed; `regatta accept` if that is meant:"));
                differences.iter().for_each(|one| line(true, format!("    {one}")));
                if let Some(compiler) = other_compiler {
                    line(
                        true,
                        format!("    they were accepted with {compiler}; this build is of another compiler"),
                    );
                }
            }
        }
    }
    lines
}

/// The last change of level of each series of main, line by line: told, and gates nothing.
pub(crate) fn history_lines(document: &Document) -> Vec<String> {
    let last = document.history.iter().filter_map(|one| Some((one, one.steps.last()?)));
    last.map(|(one, step)| format!("history: {} {}: {}", one.load, one.figure, super::history::line(step)))
        .collect()
}

/// One count and its verdict, as a line.
pub(crate) fn counted_line(one: &Counted) -> String {
    let verdict = match &one.verdict {
        Verdict::Inconclusive(why) => format!("inconclusive: {}", why.join("; ")),
        other => word(other).to_owned(),
    };
    format!(
        "{}: {} -> {} ({}; may {:.0} %; two counts of the base are {:.2} % apart)  {verdict}",
        one.metric.name,
        figure(one.base[0]),
        figure(one.head[0]),
        share(Some(one.worse)),
        one.metric.threshold * 100.0,
        one.copy * 100.0,
    )
}

/// A part of a count that grew, as a line.
pub(crate) fn grown_line(part: &Growth) -> String {
    format!("{:+.1}  {} ({:.1} -> {:.1})", part.head - part.base, part.name, part.base, part.head)
}

fn style_of(verdict: &Verdict) -> Style {
    match verdict {
        Verdict::Pass => Style::new(),
        Verdict::Improved => Style::new().green(),
        Verdict::Regression => Style::new().red().bold(),
        Verdict::Warn | Verdict::Inconclusive(_) => Style::new().yellow(),
    }
}

/// The word for a verdict.
pub(crate) const fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Improved => "improved",
        Verdict::Warn => "warn",
        Verdict::Regression => "REGRESSION",
        Verdict::Inconclusive(_) => "inconclusive",
    }
}

pub(crate) fn cells(one: &Evidence) -> [String; 8] {
    let interval = match one.worse {
        Some(worse) => format!("{} to {}", share(worse.lower), share(worse.upper)),
        None => "-".to_owned(),
    };
    let verdict = word(&one.verdict);
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

pub(crate) fn notes(document: &Document) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(document.proof.as_ref().map(proof_line));
    notes.extend(document.collected.filter(|all| all.self_tests > 1).map(|all| {
        format!(
            "All {} self-tests together: {} false alarms in {} decisions over equal builds; the true rate is below {:.1} % (95 %).",
            all.self_tests,
            all.count.alarms,
            all.count.decisions,
            all.count.rate_at_most() * 100.0
        )
    }));
    let Some(comparison) = &document.comparison else { return notes };
    let blocks = document.evidence().first().map_or(0, |one| one.blocks);
    notes.push(format!(
        "{blocks} blocks in which base, copy and head took turns, in random order{}; ratios are taken within a block.",
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
pub(crate) fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{:.3} M", value / 1e6),
        size if size >= 1e4 => format!("{:.1} k", value / 1e3),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

pub(crate) fn share(of: Option<f64>) -> String {
    of.map_or_else(|| "?".to_owned(), |share| format!("{:+.1} %", share * 100.0))
}

/// What the gate is worth, in one line.
pub(crate) fn proof_line(proof: &Proof) -> String {
    let resolutions = proof.metrics.iter().filter(|metric| !metric.levels.is_empty()).map(|metric| {
        let from = metric
            .resolution
            .map_or("none of those tried".to_owned(), |share| format!("{:.0} %", share * 100.0));
        format!("{} from {from}", metric.name)
    });
    format!(
        "This gate's own proof on a machine like this: {} false alarms in {} decisions over equal builds; catches {}.",
        proof.equal.alarms + proof.equal_counts.alarms,
        proof.equal.decisions + proof.equal_counts.decisions,
        resolutions.collect::<Vec<_>>().join(", ")
    )
}

/// The self-test for a terminal.
#[must_use]
pub fn proof(proof: &Proof) -> String {
    let mut out = format!(
        "Equal builds, in blocks: {} false alarms in {} decisions, {} inconclusive. The true rate is below {:.1} % (95 %).\n",
        proof.equal.alarms,
        proof.equal.decisions,
        proof.equal.inconclusive,
        proof.false_alarms_at_most * 100.0
    );
    if proof.equal_counts.decisions > 0 {
        let counts = &proof.equal_counts;
        let _ = writeln!(
            out,
            "Equal builds, counted: {} false alarms in {} decisions, {} inconclusive. The true rate is below {:.1} % (95 %).",
            counts.alarms,
            counts.decisions,
            counts.inconclusive,
            counts.rate_at_most() * 100.0
        );
    }
    for why in proof.unsupported.iter().chain(proof.failures.iter().take(3)) {
        let _ = writeln!(out, "Not proved: {why}");
    }
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
        let resolution = metric.resolution.map_or(
            "none of these slowdowns 9 times in 10 (of fewer than 10 decisions nothing is said)".to_owned(),
            |share| format!("slowdowns from {:.0} % on, at least 9 times in 10", share * 100.0),
        );
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
