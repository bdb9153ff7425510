//! The cluster as one value: what conditions, snapshots and reports look at.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::scenario::Scenario;
use crate::scenario::model::View;
use crate::world::view::{NodeView, ProcessView};

/// What the running nodes show, by name.
pub(crate) type Views = BTreeMap<String, Arc<NodeView>>;

/// The nodes of the scenario, in its order, and the names that they know.
#[must_use]
pub(crate) fn cluster(scenario: &Scenario, views: &Views) -> (Value, Value) {
    let mut nodes = Vec::new();
    let mut owners: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let nothing = NodeView::default();
    for node in &scenario.nodes {
        let view = views.get(&node.name);
        let shown = view.map_or(&nothing, |view| &**view);
        for (name, owner) in &shown.names {
            owners.entry(name).or_default().insert(owner);
        }
        nodes.push(json!({
            "name": node.name,
            "trust": node.trust,
            "running": view.is_some(),
            "members": shown.members,
            "view": shown.view,
            "nodes_down": shown.nodes_down,
            "links": shown.links,
            "names_digest": digest(&shown.names),
            "names": shown.names.iter().cloned().collect::<BTreeMap<_, _>>(),
            "processes": shown.processes.iter().map(process).collect::<Vec<_>>(),
            "handshakes_refused": shown.handshakes_refused,
            "messages_dropped": shown.messages_dropped,
        }));
    }
    let sides = sides(scenario, views);
    let names = owners.iter().map(|(name, owners)| {
        let sides: Vec<_> = sides
            .iter()
            .map(|side| {
                let known = side.iter().filter_map(|node| views.get(*node)?.owner(name));
                json!({ "nodes": side, "owners": known.collect::<BTreeSet<_>>() })
            })
            .collect();
        json!({ "name": name, "owners": owners, "sides": sides })
    });
    let names = names.collect();
    (Value::Array(nodes), names)
}

fn process(process: &ProcessView) -> Value {
    json!({ "label": process.label, "names": process.names, "mailbox": process.mailbox })
}

/// A short text that is equal for equal names and owners: FNV-1a.
fn digest(names: &[(String, String)]) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let parts = names.iter().flat_map(|(name, owner)| [name.as_str(), "\0", owner, "\0"]);
    for byte in parts.flat_map(str::bytes) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{hash:016x}")
}

/// Groups of nodes that are connected, directly or through others.
fn sides<'a>(scenario: &'a Scenario, views: &'a Views) -> Vec<Vec<&'a str>> {
    let known: BTreeSet<&str> = scenario.nodes.iter().map(|node| node.name.as_str()).collect();
    let mut sides: Vec<Vec<&str>> = Vec::new();
    let mut placed: BTreeSet<&str> = BTreeSet::new();
    for node in &scenario.nodes {
        if !placed.insert(&node.name) {
            continue;
        }
        let mut side = vec![node.name.as_str()];
        let mut next = 0;
        while let Some(name) = side.get(next).copied() {
            next += 1;
            for peer in views.get(name).iter().flat_map(|view| &view.links) {
                if known.contains(peer.as_str()) && placed.insert(peer) {
                    side.push(peer);
                }
            }
        }
        side.sort_unstable();
        sides.push(side);
    }
    sides
}

/// A view as text: what snapshots hold. No incarnation, serial, address or time is in it.
#[must_use]
pub(crate) fn view(view: View, nodes: &Value) -> String {
    let mut out = String::new();
    for node in nodes.as_array().into_iter().flatten() {
        let text = |key: &str| node[key].as_str().unwrap_or_default();
        let state = if node["running"] == true { "" } else { " (not running)" };
        // Writing to a string does not fail.
        let _ = writeln!(out, "{}{state}", text("name"));
        match view {
            View::Registry => {
                for (name, owner) in node["names"].as_object().into_iter().flatten() {
                    let _ = writeln!(out, "  {name} -> {}", owner.as_str().unwrap_or_default());
                }
            }
            View::Members => {
                for member in node["members"].as_array().into_iter().flatten() {
                    let _ = writeln!(out, "  {}", member.as_str().unwrap_or_default());
                }
            }
            View::Processes => {
                let mut lines: Vec<String> = node["processes"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|process| {
                        let names =
                            process["names"].as_array().into_iter().flatten().filter_map(Value::as_str);
                        let names = names.collect::<Vec<_>>().join(", ");
                        format!("  {} [{names}]", process["label"].as_str().unwrap_or_default())
                    })
                    .collect();
                lines.sort();
                for line in lines {
                    let _ = writeln!(out, "{line}");
                }
            }
        }
    }
    out
}
