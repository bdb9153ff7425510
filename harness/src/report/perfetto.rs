//! A run as a trace in Chrome's JSON format, which <https://ui.perfetto.dev> opens: steps and faults as spans, a track for
//! each node, messages as arrows between them.

use std::collections::BTreeMap;

use regatta::Pid;
use serde_json::{Value, json};

use crate::record::{Passage, What};
use crate::run::remains::Remains;
use crate::scenario::Scenario;

/// The file's text.
pub(crate) fn trace(scenario: &Scenario, remains: &Remains) -> String {
    let mut out = Vec::new();
    let tracks: BTreeMap<&str, usize> =
        scenario.nodes.iter().enumerate().map(|(index, node)| (node.name.as_str(), index + 2)).collect();
    let name = |pid: usize, name: &str| json!({ "ph": "M", "name": "process_name", "pid": pid, "tid": 0, "args": { "name": name } });
    out.push(name(HARNESS, "steps and faults"));
    out.extend(tracks.iter().map(|(node, pid)| name(*pid, node)));
    let track = |pid: Pid| {
        let node = remains.nodes.get(&pid.incarnation())?;
        tracks.get(node.as_str()).copied()
    };
    let us = |at_ns: u64| at_ns as f64 / 1_000.0;
    let instant = |at_ns: u64, pid: usize, name: String| json!({ "ph": "i", "s": "p", "name": name, "pid": pid, "tid": 1, "ts": us(at_ns) });
    let mut begun: BTreeMap<usize, u64> = BTreeMap::new();
    for event in &remains.events {
        let at = event.at_ns;
        match &event.what {
            What::StepBegun { step } => drop(begun.insert(*step, at)),
            What::StepEnded { step, outcome } => {
                let from = begun.remove(step).unwrap_or(at);
                out.push(span(
                    HARNESS,
                    1,
                    &step_name(scenario, *step),
                    us(from),
                    us(at),
                    json!({ "outcome": outcome }),
                ));
            }
            What::Node { node, runs } => {
                let word = if *runs { "runs" } else { "gone" };
                out.extend(tracks.get(node.as_str()).map(|pid| instant(at, *pid, word.to_owned())));
            }
            What::Link { node, peer, up } => {
                let word = if *up { "linked with" } else { "lost" };
                out.extend(tracks.get(node.as_str()).map(|pid| instant(at, *pid, format!("{word} {peer}"))));
            }
            What::Name { node, name, owner } => {
                let text = format!("{name} -> {}", owner.as_deref().unwrap_or("nobody"));
                out.extend(tracks.get(node.as_str()).map(|pid| instant(at, *pid, text)));
            }
            What::Told { watcher, process, reason, .. } => {
                let text = format!("told that {} ended: {reason}", label(remains, process.0));
                out.extend(track(watcher.0).map(|pid| instant(at, pid, text)));
            }
            What::Sent(passage) => out.extend(end(remains, passage, at, track(passage.from.0), true)),
            What::Received(passage) => out.extend(end(remains, passage, at, track(passage.to.0), false)),
            What::Expectation { id, met } => {
                let word = if *met { "met" } else { "broken" };
                out.push(instant(at, HARNESS, format!("expectation {id} {word}")));
            }
            _ => {}
        }
    }
    let ended = remains.ended.as_micros() as f64;
    for (step, from) in begun {
        out.push(span(
            HARNESS,
            1,
            &step_name(scenario, step),
            us(from),
            ended,
            json!({ "outcome": "running" }),
        ));
    }
    for (place, (_, record, counts)) in remains.faults.iter().enumerate() {
        let from = record.begun.as_micros() as f64;
        let to = record.ended.map_or(ended, |ended| ended.as_micros() as f64);
        let args =
            json!({ "nodes": record.fault.kind.about(), "hits": counts.hits, "dropped": counts.dropped });
        out.push(span(HARNESS, 10 + place, &record.describe(), from, to, args));
    }
    json!({ "displayTimeUnit": "ms", "traceEvents": out }).to_string()
}

fn span(pid: usize, tid: usize, name: &str, from_us: f64, to_us: f64, args: Value) -> Value {
    json!({ "ph": "X", "name": name, "pid": pid, "tid": tid, "ts": from_us, "dur": (to_us - from_us).max(1.0), "args": args })
}

/// One end of a message: a short span, and an arrow that leaves it or comes in.
fn end(remains: &Remains, passage: &Passage, at_ns: u64, track: Option<usize>, sent: bool) -> Vec<Value> {
    let Some(pid) = track else { return Vec::new() };
    let ts = at_ns as f64 / 1_000.0;
    let (from, to) = (label(remains, passage.from.0), label(remains, passage.to.0));
    let name = format!("{} {} {from} -> {to}", passage.kind, passage.number);
    let id = format!("{from}/{to}/{}/{}", passage.kind, passage.number);
    let phase = if sent { "s" } else { "f" };
    vec![
        span(pid, 2, &name, ts, ts + 1.0, json!({ "bytes": passage.bytes })),
        json!({ "ph": phase, "bp": "e", "cat": "message", "name": "message", "id": id, "pid": pid, "tid": 2, "ts": ts }),
    ]
}

fn label(remains: &Remains, pid: Pid) -> String {
    remains.labels.get(&pid).cloned().unwrap_or_else(|| pid.to_string())
}

/// What a step is called: its verb, and its id.
pub(crate) fn step_name(scenario: &Scenario, step: usize) -> String {
    let Some(of) = scenario.steps.get(step) else { return format!("step {}", step + 1) };
    match &of.id {
        Some(id) => format!("{} {id}", of.action.verb()),
        None => of.action.verb().to_owned(),
    }
}

/// The track of steps and faults.
const HARNESS: usize = 1;
