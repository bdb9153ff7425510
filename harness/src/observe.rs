//! The cluster as one value: what conditions, snapshots and reports look at.
//!
//! It is looked at often and changes seldom: what a node showed the last time too is not made anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use cel::Value;
use regatta::Pid;

use crate::condition::observation::{list, map, number, record, text, texts};
use crate::scenario::Scenario;
use crate::scenario::model::{Node, View};
use crate::world::order::PidText;
use crate::world::view::{NodeView, ProcessView};

/// What the running nodes show, by name.
pub(crate) type Views = BTreeMap<String, Arc<NodeView>>;

/// Makes values of views.
#[derive(Debug)]
pub(crate) struct Observer {
    scenario: Arc<Scenario>,
    /// Whether anybody looks at names all over the cluster.
    names_wanted: bool,
    /// What was made last, by node, and of which view.
    made: BTreeMap<String, (Option<Arc<NodeView>>, Value)>,
    nodes: Value,
    names: Value,
}

impl Observer {
    /// Has made nothing yet.
    pub(crate) fn new(scenario: Arc<Scenario>, names_wanted: bool) -> Self {
        Self { scenario, names_wanted, made: BTreeMap::new(), nodes: list([]), names: list([]) }
    }

    /// The nodes of the scenario, in its order, and the names that they know.
    pub(crate) fn cluster(&mut self, views: &Views, label: impl Fn(Pid) -> String) -> (Value, Value) {
        let mut changed = self.made.is_empty();
        for described in &self.scenario.nodes {
            let view = views.get(&described.name);
            let same = |made: &(Option<Arc<NodeView>>, Value)| match (&made.0, view) {
                (Some(before), Some(now)) => Arc::ptr_eq(before, now),
                (before, now) => before.is_none() && now.is_none(),
            };
            if !self.made.get(&described.name).is_some_and(same) {
                let made = (view.cloned(), node(described, view.map(|view| &**view), &label));
                self.made.insert(described.name.clone(), made);
                changed = true;
            }
        }
        if changed {
            let made = &self.made;
            self.nodes = list(self.scenario.nodes.iter().map(|node| made[&node.name].1.clone()));
            if self.names_wanted {
                self.names = names(&self.scenario, views);
            }
        }
        (self.nodes.clone(), self.names.clone())
    }
}

fn node(described: &Node, view: Option<&NodeView>, label: impl Fn(Pid) -> String) -> Value {
    let labels =
        |members: &[PidText]| texts(members.iter().map(|member| label(member.0)).collect::<BTreeSet<_>>());
    let nothing = NodeView::default();
    let shown = view.unwrap_or(&nothing);
    record([
        ("name", text(&described.name)),
        ("trust", text(&described.trust)),
        ("running", Value::Bool(view.is_some())),
        ("members", texts(&shown.members)),
        ("view", text(&shown.view)),
        ("nodes_down", number(shown.nodes_down)),
        ("links_down", number(shown.links_down)),
        ("memory_kib", number(shown.memory_kib)),
        ("links", texts(&shown.links)),
        ("names_count", number(shown.names_count)),
        ("names_digest", text(&format!("{:016x}", shown.names_digest))),
        ("names", map(shown.names().iter().map(|(name, owner)| (name.as_str(), text(owner))))),
        ("groups", map(shown.groups.iter().map(|(group, members)| (group.as_str(), labels(members))))),
        ("processes", list(shown.processes.iter().map(process))),
        ("handshakes_refused", number(shown.handshakes_refused)),
        ("messages_dropped", number(shown.messages_dropped)),
    ])
}

fn process(process: &ProcessView) -> Value {
    record([
        ("label", text(&process.label)),
        ("names", texts(&process.names)),
        ("mailbox", number(process.mailbox)),
    ])
}

/// Each name that anybody knows, with its owners, on each side.
fn names(scenario: &Scenario, views: &Views) -> Value {
    let mut owners: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, owner) in views.values().flat_map(|view| view.names()) {
        owners.entry(name).or_default().insert(owner);
    }
    let sides = sides(scenario, views);
    list(owners.iter().map(|(name, owners)| {
        let sides = sides.iter().map(|side| {
            let known = side.iter().filter_map(|node| views.get(*node)?.owner(name));
            record([("nodes", texts(side)), ("owners", texts(known.collect::<BTreeSet<_>>()))])
        });
        record([("name", text(name)), ("owners", texts(owners)), ("sides", list(sides))])
    }))
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
                // Whoever still has a link with a node that is gone is not of one side with it.
                if views.contains_key(peer.as_str()) && known.contains(peer.as_str()) && placed.insert(peer) {
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
pub(crate) fn view(view: View, scenario: &Scenario, views: &Views) -> String {
    let mut out = String::new();
    for node in &scenario.nodes {
        let shown = views.get(&node.name);
        let state = if shown.is_some() { "" } else { " (not running)" };
        // Writing to a string does not fail.
        let _ = writeln!(out, "{}{state}", node.name);
        let Some(shown) = shown else { continue };
        let lines: Vec<String> = match view {
            View::Registry => {
                shown.names().iter().map(|(name, owner)| format!("{name} -> {owner}")).collect()
            }
            View::Members => shown.members.clone(),
            View::Processes => {
                let line =
                    |process: &ProcessView| format!("{} [{}]", process.label, process.names.join(", "));
                let mut lines: Vec<String> = shown.processes.iter().map(line).collect();
                lines.sort();
                lines
            }
        };
        for line in lines {
            let _ = writeln!(out, "  {line}");
        }
    }
    out
}
