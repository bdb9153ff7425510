//! The raw tree to the checked scenario, one cell at a time.
//!
//! First the [names](names::Names) that the file declares are collected, then each table is read against them. A
//! mistake is reported and reading goes on, so one check tells them all.

mod args;
mod cluster;
mod expect;
mod fault;
mod load;
mod names;
mod round;
mod step;

use std::sync::Arc;

use super::action::Action;
use super::fields::{At, Fields};
use super::matrix::Cell;
use super::model::{Rule, Scenario, TIMEOUT_DEFAULT, World};
use super::problem::{Problem, Problems};
use super::raw::{Span, Table, Text};
use super::vocabulary::Vocabulary;
use crate::condition::Condition;
use names::Names;

pub(super) use cluster::{NODES_MAX, PROCESSES_MAX};
pub(super) use load::SLICES_MAX;
pub(super) use step::SENDERS_MAX;

/// What every reader of a part of the file needs.
struct Build<'a> {
    text: &'a str,
    problems: &'a Problems,
    vocabulary: &'a Vocabulary,
    names: Names,
}

/// Where a cell comes from.
pub(super) struct Source<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a Arc<str>,
    pub(super) cell: Cell,
    /// Which of the file's cells it is, from 0.
    pub(super) cell_index: usize,
}

/// Reads one cell. Nothing is returned when a mistake was reported.
pub(super) fn scenario(
    source: Source<'_>,
    document: &Table,
    vocabulary: &Vocabulary,
    problems: &Problems,
) -> Option<Scenario> {
    let Source { file, text: source, cell, cell_index } = source;
    let text = &**source;
    let fields = Fields::new(document, 0..0, "a scenario file", problems);
    let about = about(&fields);
    let tags = strings(fields.strings("tags", "[\"registry\"]"));
    let seed = fields.integer("seed", 0..=u64::MAX, "7").map(|seed| seed.value);
    let timeout = fields.time("timeout").unwrap_or(TIMEOUT_DEFAULT);
    let worlds = worlds(&fields);
    fields.entry("matrix");

    let trust = cluster::trust(&fields);
    let nodes = cluster::nodes(&fields, &trust);
    let names = Names::of_nodes(&nodes);
    let mut build = Build { text, problems, vocabulary, names };
    let processes = build.processes(&fields);
    build.names.declare(&processes, document, problems);

    let network = build.network(&fields);
    let steps = build.steps(&fields);
    let nemeses = build.nemeses(&fields);
    let expectations = build.expectations(&fields);
    let snapshots = build.snapshots(&fields);
    let loads = build.loads(&fields);
    let gates = build.gates(&fields);
    fields.finish();

    for load in &loads {
        let started = |action: &Action| matches!(action, Action::Load { loads } if loads.contains(&load.id));
        let starts = steps.iter().filter(|step| started(&step.action)).count();
        if starts + usize::from(load.after.is_some()) > 1 {
            let message = format!("the load `{}` is started more than once", load.id);
            let help = "either `after` or one `load` step starts it; write a [[load]] for each time";
            problems.report(Problem::new(line_span(text, load.line), message).help(help));
        }
        if starts == 0 && load.after.is_none() {
            let message = format!("nothing starts the load `{}`", load.id);
            let help = format!("give it `after = …`, or add a step `load = \"{}\"`", load.id);
            problems.report(Problem::new(line_span(text, load.line), message).help(help));
        }
    }
    let unmet = |id: &Option<String>| {
        let expectation = expectations.iter().find(|expectation| Some(&expectation.id) == id.as_ref())?;
        let met = match &expectation.rule {
            Rule::Eventually { .. } | Rule::Sometimes(_) | Rule::Finally { after: Some(_), .. } => true,
            Rule::Always(_) | Rule::Never(_) | Rule::Finally { .. } | Rule::History { .. } => false,
        };
        (!met).then(|| (expectation.id.clone(), expectation.rule.kind()))
    };
    let points = loads.iter().map(|load| (load.line, &load.after)).chain(expectations.iter().flat_map(
        |expectation| {
            let after = match &expectation.rule {
                Rule::Finally { after, .. } => after,
                _ => &None,
            };
            [&expectation.since, &expectation.until, after].map(|point| (expectation.line, point))
        },
    ));
    for (line, point) in points {
        if let Some((id, rule)) = unmet(point) {
            let message =
                format!("`{id}` is never reached as a point: `{rule}` is judged when the run has ended");
            let help = "use a step, a load, or an expectation with `eventually` or `sometimes`";
            problems.report(Problem::new(line_span(text, line), message).help(help));
        }
    }
    if problems.is_empty() && steps.is_empty() && expectations.is_empty() && loads.is_empty() {
        let problem = Problem::new(0..0, "the scenario does nothing: it has no step, expectation or load");
        problems.report(problem.help("add a [[step]], for example `await = \"nodes.all(n, n.running)\"`"));
    }
    problems.is_empty().then(|| Scenario {
        file: file.to_owned(),
        name: stem(file),
        source: source.clone(),
        cell,
        cell_index,
        about: about.unwrap_or_default(),
        tags,
        seed,
        timeout,
        worlds,
        trust,
        nodes,
        network,
        processes,
        steps,
        nemeses,
        expectations,
        snapshots,
        loads,
        gates,
    })
}

/// Reads the fault under the key `fault` of a document that has nothing else.
pub(super) fn fault(
    document: &Table,
    text: &str,
    scenario: &Scenario,
    problems: &Problems,
) -> Option<super::fault::Fault> {
    let vocabulary = Vocabulary::default();
    let names = Names::of_nodes(&scenario.nodes);
    let build = Build { text, problems, vocabulary: &vocabulary, names };
    let node = &document.get("fault")?.node;
    let fields = Fields::of(node, "`fault`", "fault = { pause = \"n1\" }", problems)?;
    let fault = build.fault(&fields);
    fields.finish();
    fault
}

fn about(fields: &Fields<'_>) -> Option<String> {
    let example = "\"Two nodes exchange messages.\"";
    let about = fields.require("about", fields.string("about", example), example)?;
    if about.value.trim().is_empty() {
        fields.report(Problem::new(about.span.clone(), "`about` says why the scenario exists; it is empty"));
    }
    Some(about.value)
}

fn worlds(fields: &Fields<'_>) -> Vec<World> {
    let Some(found) = fields.strings("worlds", "[\"inproc\"]") else { return vec![World::Inproc] };
    let words = World::ALL.map(|world| (world.name(), world));
    let mut worlds = Vec::new();
    for word in &found {
        match super::fields::pick(word, "world", &words, fields.problems()) {
            Some(world) if worlds.contains(&world) => {
                fields.report(Problem::new(word.span.clone(), format!("`{world}` is listed twice")));
            }
            Some(world) => worlds.push(world),
            None => {}
        }
    }
    if found.is_empty() {
        let span = fields.entry("worlds").map_or(0..0, |entry| entry.node.span.clone());
        fields
            .report(Problem::new(span, "`worlds` is empty").help("leave it out, or name at least one world"));
    }
    worlds
}

impl Build<'_> {
    /// The line of the file, from 1, on which `span` begins.
    fn line(&self, span: &Span) -> usize {
        self.text[..span.start.min(self.text.len())].matches('\n').count() + 1
    }

    /// Compiles a condition; each mistake in it is reported at its own place.
    fn condition(&self, text: &Text) -> Option<Condition> {
        Condition::compile(&text.text, &self.names.ids)
            .map_err(|errors| {
                for error in errors {
                    let problem = Problem::new(text.place(error.span), error.message);
                    self.problems.report(match error.help {
                        Some(help) => problem.help(help),
                        None => problem,
                    });
                }
            })
            .ok()
    }

    /// The condition under `key`.
    fn condition_of(&self, fields: &Fields<'_>, key: &'static str) -> Option<Condition> {
        let (text, _) = fields.text(key, "\"nodes.all(n, n.running)\"")?;
        self.condition(text)
    }
}

fn strings(found: Option<Vec<At<String>>>) -> Vec<String> {
    found.unwrap_or_default().into_iter().map(|found| found.value).collect()
}

/// The first byte of a line, counted from 1.
fn line_span(text: &str, line: usize) -> Span {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let end = start + text[start..].lines().next().map_or(0, |line| line.trim_end().len());
    start..end
}

fn stem(file: &str) -> String {
    let path = std::path::Path::new(file);
    path.file_stem().map_or_else(|| file.to_owned(), |stem| stem.to_string_lossy().into_owned())
}
