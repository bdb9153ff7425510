//! What each world can do, and what it cannot and why.

use std::collections::BTreeSet;

use crate::scenario::load::LoadModel;
use crate::scenario::model::View;
use crate::scenario::{Capability, Scenario, World};

/// Why a scenario cannot run in a world; empty when it can.
#[must_use]
pub fn unsupported(scenario: &Scenario, world: World) -> Vec<String> {
    let can = |need| {
        can(need)
            && !(world == World::Sim && need == Capability::Load("open"))
            && !(world == World::Sim && need == Capability::Fault("cpu-hog"))
    };
    let missing: BTreeSet<String> =
        scenario.needs().into_iter().filter(|need| !can(*need)).map(|need| need.to_string()).collect();
    missing.into_iter().map(|need| format!("the `{world}` world cannot do {need} yet")).collect()
}

fn can(need: Capability) -> bool {
    match need {
        Capability::Step("rotate" | "revoke") => false,
        Capability::Fault("expire" | "revoke") => false,
        Capability::Step(_)
        | Capability::Fault(_)
        | Capability::ChosenNodes
        | Capability::ShapedNetwork
        | Capability::Nemesis
        | Capability::IssuedTrust
        | Capability::SharedTrust
        | Capability::ShortCertificates
        | Capability::ClaimedNames
        // A run measures; `regatta gate` judges.
        | Capability::PairedGate
        | Capability::ExactGate
        | Capability::HistoryChecker
        | Capability::Expectation(_) => true,
        Capability::AttachList(kind) => kind == "processes",
        Capability::Load(model) => LoadModel::NAMES.contains(&model),
        Capability::Snapshot(view) => matches!(view, View::Registry | View::Members | View::Processes),
        Capability::Roles | Capability::AttachPrompt => false,
    }
}
