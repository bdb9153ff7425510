//! The cluster as one value: what conditions, snapshots and reports look at.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use regatta::ClusterNode;
use serde_json::{Value, json};

use crate::behaviour::{OWN_LABEL, Scene};
use crate::scenario::Scenario;
use crate::scenario::model::View;

/// The nodes of the scenario, in its order, and the names that they know.
#[must_use]
pub fn cluster(scenario: &Scenario, scene: &Scene) -> (Value, Value) {
    let mut nodes = Vec::new();
    let mut owners: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut links: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for node in &scenario.nodes {
        let running = scene.node(&node.name);
        let names = running.as_ref().map(ClusterNode::global_names).unwrap_or_default();
        for (name, owner) in &names {
            owners.entry(name.clone()).or_default().insert(owner.clone());
        }
        let peers = running.as_ref().map(ClusterNode::peers).unwrap_or_default();
        let mut members = peers.clone();
        if running.is_some() {
            members.push(node.name.clone());
        }
        members.sort();
        links.insert(node.name.clone(), peers.clone());
        let (refused, dropped) = running.as_ref().map(counters).unwrap_or_default();
        nodes.push(json!({
            "name": node.name,
            "trust": node.trust,
            "running": running.is_some(),
            "members": members,
            "links": peers,
            "names_digest": digest(&names),
            "names": names.into_iter().map(|(name, owner)| (name, Value::from(owner))).collect::<serde_json::Map<_, _>>(),
            "processes": running.as_ref().map(processes).unwrap_or_default(),
            "handshakes_refused": refused,
            "messages_dropped": dropped,
        }));
    }
    let sides = sides(scenario, &links);
    let names = owners.into_iter().map(|(name, owners)| {
        let sides: Vec<_> = sides
            .iter()
            .map(|side| {
                let known = side
                    .iter()
                    .filter_map(|node| scene.node(node))
                    .filter_map(|node| node.whereis_global(&name));
                json!({ "nodes": side, "owners": known.collect::<BTreeSet<_>>() })
            })
            .collect();
        json!({ "name": name, "owners": owners, "sides": sides })
    });
    let names = names.collect();
    (Value::Array(nodes), names)
}

fn counters(node: &ClusterNode) -> (u64, u64) {
    let runtime = node.runtime().stats();
    let stats = node.stats();
    (stats.handshakes_refused, stats.signals_dropped + runtime.refused_full + runtime.refused_no_proc)
}

fn processes(node: &ClusterNode) -> Vec<Value> {
    let mut all = Vec::new();
    let mut after = 0;
    loop {
        let page = node.runtime().infos(after, 1_000);
        let Some(last) = page.last() else { return all };
        after = last.pid.serial();
        for info in page {
            let label = info.label.as_deref().unwrap_or_default();
            if label.starts_with(OWN_LABEL) {
                continue;
            }
            let names: Vec<_> = info.names.iter().map(ToString::to_string).collect();
            all.push(json!({ "label": label, "names": names, "mailbox": info.mailbox_depth }));
        }
    }
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
fn sides(scenario: &Scenario, links: &BTreeMap<String, Vec<String>>) -> Vec<Vec<String>> {
    let mut sides: Vec<Vec<String>> = Vec::new();
    let mut placed: BTreeSet<&str> = BTreeSet::new();
    for node in &scenario.nodes {
        if !placed.insert(&node.name) {
            continue;
        }
        let mut side = vec![node.name.clone()];
        let mut next = 0;
        while let Some(name) = side.get(next).cloned() {
            next += 1;
            for peer in links.get(&name).into_iter().flatten() {
                if let Some((peer, _)) = links.get_key_value(peer)
                    && placed.insert(peer)
                {
                    side.push(peer.clone());
                }
            }
        }
        side.sort();
        sides.push(side);
    }
    sides
}

/// A view as text: what snapshots hold. No incarnation, serial, address or time is in it.
#[must_use]
pub fn view(view: View, nodes: &Value) -> String {
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
