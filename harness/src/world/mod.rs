//! Where scenarios run: a world starts and ends nodes, and says what it can do.

pub mod inproc;

use std::collections::BTreeSet;

use crate::scenario::model::View;
use crate::scenario::{Capability, Scenario, World};

/// The verbs that `inproc` carries out.
const INPROC_STEPS: [&str; 19] = [
    "start",
    "stop",
    "kill",
    "restart",
    "spawn",
    "send",
    "call",
    "register",
    "unregister",
    "link",
    "monitor",
    "exit",
    "attach",
    "await",
    "barrier",
    "connect",
    "load",
    "snapshot",
    "sleep",
];

/// Why a scenario cannot run in a world; empty when it can.
#[must_use]
pub fn unsupported(scenario: &Scenario, world: World) -> Vec<String> {
    if world != World::Inproc {
        let other = if scenario.worlds.contains(&World::Inproc) { "; use --world inproc" } else { "" };
        return vec![format!("the `{world}` world is not there yet{other}")];
    }
    let missing: BTreeSet<String> =
        scenario.needs().into_iter().filter(|need| !inproc_can(*need)).map(|need| need.to_string()).collect();
    missing.into_iter().map(|need| format!("the `{world}` world cannot do {need} yet")).collect()
}

fn inproc_can(need: Capability) -> bool {
    match need {
        Capability::Step(verb) => INPROC_STEPS.contains(&verb),
        Capability::ChosenNodes
        | Capability::IssuedTrust
        | Capability::SharedTrust
        | Capability::ShortCertificates
        | Capability::ClaimedNames
        | Capability::Expectation(_) => true,
        Capability::AttachList(kind) => kind == "processes",
        Capability::Load(model) => matches!(model, "closed" | "flood" | "search"),
        Capability::Snapshot(view) => matches!(view, View::Registry | View::Members | View::Processes),
        _ => false,
    }
}
