//! The report for people: a line for each scenario as it ends, what went wrong, and tables of what was measured.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Instant;

use owo_colors::{OwoColorize, Style};

use super::columns::Columns;
use super::json::{Deselected, area_and_name};
use crate::load::Figures;
use crate::results::machine::Machine;
use crate::run::detection::Detection;
use crate::run::{Outcome, RunReport};
use crate::scenario::World;

/// Writes the report.
pub struct Reporter<'a> {
    out: &'a mut dyn Write,
    colour: bool,
    /// Whether a line may be written and written over: a terminal.
    live: bool,
    width: usize,
    begun: Instant,
    /// Runs under way: their titles and worlds.
    running: Vec<String>,
    ended: usize,
    /// Runs that did not pass.
    bad: usize,
    of: usize,
    /// How many of each scenario's bad runs were told in full.
    told: BTreeMap<String, usize>,
}

impl<'a> Reporter<'a> {
    /// A reporter for names up to `width` characters.
    pub fn new(out: &'a mut dyn Write, colour: bool, live: bool, width: usize) -> Self {
        Self {
            out,
            colour,
            live,
            width: width.clamp(24, 72),
            begun: Instant::now(),
            running: Vec::new(),
            ended: 0,
            bad: 0,
            of: 0,
            told: BTreeMap::new(),
        }
    }

    fn paint(&self, text: &str, style: Style) -> String {
        if self.colour { text.style(style).to_string() } else { text.to_owned() }
    }

    fn dim(&self, text: &str) -> String {
        self.paint(text, Style::new().dimmed())
    }

    /// A run begins, one of so many.
    ///
    /// # Errors
    /// What the output says.
    pub fn begin(&mut self, title: &str, world: &str, of: usize) -> io::Result<()> {
        self.of = of;
        self.running.push(running(title, world));
        self.draw()
    }

    /// Writes the line that is written over: what runs, or how far many runs have come.
    fn draw(&mut self) -> io::Result<()> {
        if !self.live || self.running.is_empty() {
            return Ok(());
        }
        let (done, of) = (self.ended, self.of);
        let line = if of > BAR_FROM {
            let full = BAR_WIDTH * done / of.max(1);
            let bar = format!("{}{}", "━".repeat(full), "╌".repeat(BAR_WIDTH - full));
            let took = self.begun.elapsed().as_secs_f64();
            let left = if done == 0 { 0.0 } else { took / done as f64 * (of - done) as f64 };
            let bad = if self.bad == 0 { String::new() } else { format!("  {} not passed", self.bad) };
            format!("   run  {bar}  {done} of {of}{bad}  {left:.0} s left")
        } else {
            let now = self.running.join(", ");
            format!("   run  {now:<width$}  ({} of {of})", done + self.running.len(), width = self.width)
        };
        // Without line wrap: a line that is cut can be written over, one that has wrapped cannot.
        write!(self.out, "\r\x1b[2K\x1b[?7l{}\x1b[?7h", self.dim(&line))?;
        self.out.flush()
    }

    /// A run is over, and will be told of.
    fn over(&mut self, report: &RunReport) -> io::Result<()> {
        let title = running(&report.scenario.full_title(), report.world.name());
        if let Some(at) = self.running.iter().position(|running| *running == title) {
            self.running.remove(at);
        }
        self.ended += 1;
        self.bad += usize::from(report.outcome != Outcome::Pass);
        if self.live { write!(self.out, "\r\x1b[2K") } else { Ok(()) }
    }

    /// A run has ended.
    ///
    /// # Errors
    /// What the output says.
    pub fn end(&mut self, report: &RunReport) -> io::Result<()> {
        self.over(report)?;
        self.tell(report)?;
        self.draw()
    }

    /// One of many runs of its scenario has ended: those that pass are counted, and the first that do not are told.
    ///
    /// # Errors
    /// What the output says.
    pub fn end_of_many(&mut self, report: &RunReport) -> io::Result<()> {
        self.over(report)?;
        if report.outcome != Outcome::Pass {
            let told = self.told.entry(report.scenario.full_title()).or_default();
            *told += 1;
            if *told <= TOLD_MAX {
                self.tell(report)?;
            }
        }
        let step = self.of.div_ceil(PLAIN_LINES).max(1);
        if !self.live && (self.ended.is_multiple_of(step) || self.ended == self.of) {
            let bad = if self.bad == 0 { String::new() } else { format!(", {} not passed", self.bad) };
            writeln!(self.out, "             {} of {}{bad}", self.ended, self.of)?;
        }
        self.draw()
    }

    /// What came of a run.
    fn tell(&mut self, report: &RunReport) -> io::Result<()> {
        let style = match report.outcome {
            Outcome::Pass => Style::new().green(),
            Outcome::Fail | Outcome::Internal => Style::new().red().bold(),
            Outcome::Invalid | Outcome::Unsupported | Outcome::Interrupted => Style::new().yellow(),
        };
        let word = self.paint(&format!("{:>11}", report.outcome.name()), style);
        let title = format!("{}{}", area_and_name(report), report.scenario.cell);
        let time = format!("{:>7.2} s", report.duration.as_secs_f64());
        writeln!(self.out, "{word}  {title:<width$}  {time}", width = self.width)?;
        for finding in &report.findings {
            let place = finding.line.map_or_else(
                || report.scenario.file.clone(),
                |line| format!("{}:{line}", report.scenario.file),
            );
            let what = self.paint(&finding.what, Style::new().bold());
            writeln!(self.out, "             {what}  {}", self.dim(&place))?;
            for line in finding.message.lines() {
                writeln!(self.out, "               {line}")?;
            }
            for line in finding.values.as_deref().unwrap_or_default().lines() {
                writeln!(self.out, "               {}", self.dim(&format!("| {line}")))?;
            }
        }
        if matches!(report.outcome, Outcome::Fail | Outcome::Invalid) {
            let again = again(report);
            writeln!(self.out, "             {}  {again}", self.paint("again with", Style::new().bold()))?;
        }
        if report.outcome == Outcome::Fail && report.world == World::Sim {
            let smaller = shrink(report);
            writeln!(
                self.out,
                "             {}  {smaller}",
                self.paint("smaller with", Style::new().bold())
            )?;
        }
        if let Some(views) = report.remains.as_ref().and_then(|remains| super::folder::views(remains)) {
            writeln!(
                self.out,
                "             {}",
                self.paint("what nodes know differently", Style::new().bold())
            )?;
            for line in views.lines() {
                writeln!(self.out, "               {}", self.dim(&format!("| {line}")))?;
            }
        }
        if let Some(folder) = &report.folder {
            let label = self.paint("explained in", Style::new().bold());
            writeln!(self.out, "             {label}  {}/", folder.display())?;
        }
        for path in &report.accepted {
            writeln!(self.out, "             {} {path}", self.dim("accepted"))?;
        }
        Ok(())
    }

    /// Many runs of each scenario have ended: how many passed, and with which seeds the others ran.
    ///
    /// # Errors
    /// What the output says.
    pub fn close_many(&mut self, reports: &[RunReport], deselected: &[Deselected]) -> io::Result<()> {
        let mut all: Vec<(String, Vec<&RunReport>)> = Vec::new();
        for report in reports {
            let title = running(&report.scenario.full_title(), report.world.name());
            match all.last_mut() {
                Some((last, of)) if *last == title => of.push(report),
                _ => all.push((title, vec![report])),
            }
        }
        for (title, of) in all {
            let bad: Vec<_> = of.iter().filter(|report| report.outcome != Outcome::Pass).collect();
            let word = if bad.is_empty() {
                self.paint(&format!("{:>11}", "pass"), Style::new().green())
            } else {
                self.paint(&format!("{:>11}", bad[0].outcome.name()), Style::new().red().bold())
            };
            let passed = of.len() - bad.len();
            writeln!(self.out, "{word}  {title:<width$}  {passed} of {}", of.len(), width = self.width)?;
            if !bad.is_empty() {
                let mut seeds: Vec<u64> = bad.iter().map(|report| report.seed).collect();
                seeds.sort_unstable();
                seeds.dedup();
                let left_out = seeds.len().saturating_sub(SEEDS_SHOWN_MAX);
                let shown: Vec<_> = seeds.iter().take(SEEDS_SHOWN_MAX).map(ToString::to_string).collect();
                let more = if left_out > 0 { format!(" and {left_out} more") } else { String::new() };
                let label = self.paint("seeds that did not pass", Style::new().bold());
                writeln!(self.out, "             {label}  {}{more}", shown.join(" "))?;
            }
        }
        self.close(reports, deselected)
    }

    /// Everything has ended: what was measured, what was left out, and the sum.
    ///
    /// # Errors
    /// What the output says.
    pub fn close(&mut self, reports: &[RunReport], deselected: &[Deselected]) -> io::Result<()> {
        for left in deselected {
            let word = self.dim(&format!("{:>11}", "deselected"));
            writeln!(
                self.out,
                "{word}  {:<width$}  {}",
                left.name,
                self.dim(&left.reason),
                width = self.width
            )?;
        }
        // In virtual time a load is there for its counts: its times say nothing about a machine.
        let figures: Vec<_> = reports
            .iter()
            .filter(|report| report.world != World::Sim)
            .flat_map(|report| report.figures.iter().map(move |(id, of)| (report, id, of)))
            .collect();
        if !figures.is_empty() {
            self.tables(&figures)?;
        }
        self.detections(reports)?;
        let count = |outcome| reports.iter().filter(|report| report.outcome == outcome).count();
        // Runs that went on side by side took this long together.
        let total = self.begun.elapsed().as_secs_f64();
        let mut parts = Vec::new();
        for (outcome, word, style) in [
            (Outcome::Pass, "passed", Style::new().green().bold()),
            (Outcome::Fail, "failed", Style::new().red().bold()),
            (Outcome::Invalid, "invalid", Style::new().yellow().bold()),
            (Outcome::Unsupported, "unsupported", Style::new().yellow().bold()),
            (Outcome::Internal, "internal errors", Style::new().red().bold()),
            (Outcome::Interrupted, "interrupted", Style::new().yellow().bold()),
        ] {
            let count = count(outcome);
            if count > 0 || outcome == Outcome::Pass {
                parts.push(self.paint(&format!("{count} {word}"), style));
            }
        }
        if !deselected.is_empty() {
            parts.push(self.dim(&format!("{} deselected", deselected.len())));
        }
        writeln!(self.out, "\n{} in {total:.1} s", parts.join(", "))
    }

    /// How well nodes told which others were gone: a line for each scenario in which one was, or was taken for it, and one for
    /// all the others.
    ///
    /// # Errors
    /// What the output says.
    pub fn detections(&mut self, reports: &[RunReport]) -> io::Result<()> {
        let mut all: Vec<(String, Detection)> = Vec::new();
        for report in reports {
            let title = running(&report.scenario.full_title(), report.world.name());
            match all.iter_mut().find(|(of, _)| *of == title) {
                Some((_, of)) => of.add(&report.detection),
                None => all.push((title, report.detection.clone())),
            }
        }
        let (mut all, quiet): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, of)| !of.is_empty());
        let mut others = Detection::default();
        quiet.iter().for_each(|(_, of)| others.add(of));
        match (all.len(), &quiet[..]) {
            _ if others.watched_s == 0.0 => {}
            (_, [one]) => all.push(one.clone()),
            (0, _) => all.push((format!("all {}", quiet.len()), others)),
            (_, _) => all.push((format!("the other {}", quiet.len()), others)),
        }
        if all.is_empty() {
            return Ok(());
        }
        let head = ["", "lost", "p50", "p99", "max", "h", "wrong", "/h", "mean"].map(str::to_owned);
        let rows: Vec<_> = all.iter().map(|(title, of)| detection_row(title, of)).collect();
        let mut columns = Columns::default();
        [&head].into_iter().chain(&rows).for_each(|cells| columns.fit(cells));
        writeln!(self.out, "\n{}", self.dim(&columns.line(&head)))?;
        let what = "of lost nodes by each other, s; h watched, times wrong, for s";
        writeln!(self.out, "{}  {}", self.paint("Detection", Style::new().bold()), self.dim(what))?;
        rows.iter().try_for_each(|cells| writeln!(self.out, "{}", columns.line(cells)))
    }

    /// One table for all loads: latency first, saturation under it, never mixed.
    fn tables(&mut self, figures: &[(&RunReport, &String, &Figures)]) -> io::Result<()> {
        let head = ["", "load", "rate/s", "p50", "p90", "p99", "p99.9", "max", "count"].map(str::to_owned);
        let mut columns = Columns::default();
        columns.fit(&head);
        let rows = figures.iter().flat_map(|(report, id, of)| {
            let name = format!("{}{}", name(report, id), report.scenario.cell);
            rungs(of).into_iter().map(move |rung| (*of, rung, figures_row(&name, rung)))
        });
        let rows: Vec<_> = rows.inspect(|(.., cells)| columns.fit(cells)).collect();
        writeln!(self.out, "\n{}", self.dim(&columns.line(&head)))?;
        let groups = [
            ("Latency", "round trips, at a rate or with a fixed number in flight; µs", true),
            ("Saturation", "round trips over numbers in flight or rates, floods one way; µs", false),
        ];
        for (title, what, latency) in groups {
            let is_latency = |of: &Figures| matches!(of.model, "closed" | "open" | "ramp");
            let mut of_group = rows.iter().filter(|(of, ..)| is_latency(of) == latency).peekable();
            if of_group.peek().is_none() {
                continue;
            }
            writeln!(self.out, "{}  {}", self.paint(title, Style::new().bold()), self.dim(what))?;
            for (of, rung, cells) in of_group {
                let mut line = columns.line(cells);
                if let Some(mark) = mark(of, rung) {
                    line = self.paint(&format!("{line}  {mark}"), Style::new().bold());
                }
                line.push_str(&self.dim(&known(rung)));
                writeln!(self.out, "{line}")?;
            }
        }
        writeln!(self.out, "\n{}", self.dim(&Machine::this().to_string()))
    }
}

fn figures_row(name: &str, of: &Figures) -> Vec<String> {
    let rate = grouped(of.rate.round() as u64);
    let times = match of.model {
        // One way: nothing comes back whose time could be taken.
        "flood" => ["-"; 5].map(str::to_owned),
        _ => [of.p50_us, of.p90_us, of.p99_us, of.p999_us, of.max_us].map(micros),
    };
    let (offered, count) = match of.model {
        "flood" => ("-".to_owned(), of.replies),
        _ => (offered(of), of.count),
    };
    [name.to_owned(), offered, rate].into_iter().chain(times).chain([grouped(count)]).collect()
}

/// What is said of one line of several: that it is the best of a ladder, or the knee of a curve.
fn mark(of: &Figures, rung: &Figures) -> Option<&'static str> {
    if of.model == "curve" {
        let knee = of.knee.and_then(|place| of.ladder.get(place));
        return knee.filter(|knee| std::ptr::eq(*knee, rung)).map(|_| "knee");
    }
    let best = rung.in_flight == of.in_flight && rung.rate == of.rate;
    (of.ladder.len() > 1 && best && rung.rate_margin.is_none()).then_some("best")
}

/// How well the rate of a search is known, and as what multiple of the machine's own speed.
fn known(of: &Figures) -> String {
    let Some(margin) = of.rate_margin else { return String::new() };
    let times =
        of.times_sealed_udp.zip(of.times_sealed_udp_margin).map_or(String::new(), |(times, margin)| {
            format!(", {times:.3} times sealed UDP ± {:.1} %", margin * 100.0)
        });
    format!("  ± {:.1} %{times}", margin * 100.0)
}

fn detection_row(title: &str, of: &Detection) -> [String; 9] {
    let mut detected = of.detected_ms.clone();
    detected.sort_by(f64::total_cmp);
    let seconds = |ms: Option<&f64>| ms.map_or("-".to_owned(), |ms| format!("{:.2}", ms / 1e3));
    let at = |share: f64| detected.get(((detected.len() as f64 * share).ceil() as usize).saturating_sub(1));
    let mistakes = of.mistakes_ms.len();
    let mean = of.mistakes_ms.iter().sum::<f64>() / mistakes.max(1) as f64;
    [
        title.to_owned(),
        grouped(detected.len() as u64),
        seconds(at(0.5)),
        seconds(at(0.99)),
        seconds(detected.last()),
        format!("{:.2}", of.watched_s / 3_600.0),
        grouped(mistakes as u64),
        format!("{:.2}", of.mistakes_per_hour()),
        seconds((mistakes > 0).then_some(&mean)),
    ]
}

/// A time in microseconds: with a decimal where it tells something.
fn micros(us: f64) -> String {
    if us < 1_000.0 { format!("{us:.1}") } else { format!("{us:.0}") }
}

/// What was offered: a number in flight, or a rate.
fn offered(of: &Figures) -> String {
    if of.offered_rate > 0.0 {
        format!("{}/s", grouped(of.offered_rate.round() as u64))
    } else {
        of.in_flight.to_string()
    }
}

/// The command that plays a run again.
pub(crate) fn again(report: &RunReport) -> String {
    let scenario = &report.scenario;
    let long = if scenario.is_long(report.world) { " --long" } else { "" };
    let longer = report.time_factor.map_or(String::new(), |factor| format!(" --time-factor {factor}"));
    let (command, file) = (&report.command, quoted(&scenario.file));
    format!("{command} run {file}{long} --world {}{longer}{}", report.world, choice(report))
}

/// The command that makes a failure smaller.
fn shrink(report: &RunReport) -> String {
    format!("{} shrink {}{}", report.command, quoted(&report.scenario.file), choice(report))
}

/// Seed, cell and bug as the command line has them.
fn choice(report: &RunReport) -> String {
    let mut choice = format!(" --seed {}", report.seed);
    if !report.scenario.cell.is_empty() {
        choice.push_str(&format!(" --filter {}", quoted(&report.scenario.title())));
    }
    if let Some(bug) = report.planted {
        choice.push_str(&format!(" --plant {bug}"));
    }
    choice
}

/// A text as a shell takes it for one word.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

fn running(title: &str, world: &str) -> String {
    format!("{title}@{world}")
}

/// Runs from which a bar is drawn instead of their names, and how wide it is.
const BAR_FROM: usize = 64;
const BAR_WIDTH: usize = 30;
/// Bad runs of a scenario that are told in full, when there are many.
const TOLD_MAX: usize = 3;
/// Lines about the progress of many runs, where no line can be written over.
const PLAIN_LINES: usize = 10;
/// Seeds that are listed.
const SEEDS_SHOWN_MAX: usize = 50;

fn name(report: &RunReport, id: &str) -> String {
    if report.scenario.name == id { area_and_name(report) } else { format!("{} {id}", area_and_name(report)) }
}

fn rungs(of: &Figures) -> Vec<&Figures> {
    if of.model == "search" && of.offered_rate > 0.0 {
        // Its trials are how it got there.
        return vec![of];
    }
    if of.ladder.is_empty() { vec![of] } else { of.ladder.iter().collect() }
}

/// A number with a thin gap every three digits: `1 024 000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three() {
        assert_eq!(
            ["0", "999", "1 000", "1 024 000"],
            [0, 999, 1_000, 1_024_000].map(grouped).map(|it| leak(it))
        );
    }

    #[test]
    fn the_best_of_a_ladder_is_marked_and_the_knee_of_a_curve() {
        let ladder: Vec<_> = [(16, 3.0), (64, 9.0), (256, 7.0)]
            .map(|(in_flight, rate)| Figures { in_flight, rate, ..Figures::default() })
            .into();
        let marks = |of: &Figures| of.ladder.iter().map(|rung| mark(of, rung)).collect::<Vec<_>>();
        let search = Figures { model: "search", ladder: ladder.clone(), ..ladder[1].clone() };
        assert_eq!(marks(&search), [None, Some("best"), None]);
        let curve = Figures { model: "curve", knee: Some(0), ladder: ladder.clone(), ..ladder[2].clone() };
        assert_eq!(marks(&curve), [Some("knee"), None, None]);
        let rates = Figures { model: "search", rate_margin: Some(0.04), ladder, ..Figures::default() };
        assert_eq!(mark(&rates, &rates), None);
    }

    #[test]
    fn a_search_says_how_well_it_knows_its_rate_and_others_say_nothing() {
        let rate = Figures { rate_margin: Some(0.043), ..Figures::default() };
        let both =
            Figures { times_sealed_udp: Some(0.4826), times_sealed_udp_margin: Some(0.046), ..rate.clone() };
        let told = [known(&Figures::default()), known(&rate), known(&both)];
        assert_eq!(told, ["", "  ± 4.3 %", "  ± 4.3 %, 0.483 times sealed UDP ± 4.6 %"]);
    }

    #[test]
    fn a_word_for_a_shell_is_quoted_where_it_must_be() {
        assert_eq!(quoted("scenarios/smoke/two-nodes.toml"), "scenarios/smoke/two-nodes.toml");
        assert_eq!(quoted("f 1.toml"), "'f 1.toml'");
        assert_eq!(quoted("it's[n=1]"), "'it'\\''s[n=1]'");
        assert_eq!(quoted(""), "''");
    }

    fn leak(text: String) -> &'static str {
        Box::leak(text.into_boxed_str())
    }
}
