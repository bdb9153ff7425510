//! The names that a file declares, and the reading of what refers to them.

use std::collections::{BTreeMap, BTreeSet};

use super::Build;
use crate::condition::Ids;
use crate::diagnostic::suggestion;
use crate::scenario::action::{Actor, Address};
use crate::scenario::fault::Target;
use crate::scenario::fields::{At, Fields};
use crate::scenario::model::{Node, Process};
use crate::scenario::problem::{Problem, Problems};
use crate::scenario::raw::{Node as RawNode, Span, Table, Value};

/// Every name that the rest of the file may refer to.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Node names and group names, with the nodes that each stands for.
    nodes: BTreeMap<String, Vec<String>>,
    /// All nodes, in order.
    pub(super) all_nodes: Vec<String>,
    /// Labels of processes.
    pub(super) labels: BTreeSet<String>,
    /// Global names that some process of the file takes.
    globals: BTreeSet<String>,
    /// Ids of steps, expectations and loads.
    points: BTreeSet<String>,
    /// What conditions may refer to.
    pub(super) ids: Ids,
}

impl Names {
    pub(super) fn of_nodes(nodes: &[Node]) -> Self {
        let mut names = Self::default();
        for node in nodes {
            names.all_nodes.push(node.name.clone());
            names.nodes.entry(node.name.clone()).or_default().push(node.name.clone());
            if node.group != node.name {
                names.nodes.entry(node.group.clone()).or_default().push(node.name.clone());
            }
        }
        names
    }

    /// Takes in what processes and the raw tables declare. Ids that are used twice are reported here.
    pub(super) fn declare(&mut self, processes: &[Process], document: &Table, problems: &Problems) {
        for process in processes {
            self.labels.insert(process.label.clone());
            self.globals.extend(process.global.clone());
        }
        for (key, list) in [("step", false), ("expect", false), ("load", true)] {
            for table in tables(document, key) {
                let Some((id, span)) = string(table, "id") else { continue };
                if !self.points.insert(id.clone()) {
                    problems.report(twice("id", &id, span));
                }
                if list {
                    self.ids.loads.insert(id);
                } else if key == "step" {
                    self.ids.steps.insert(id);
                }
            }
        }
        for step in tables(document, "step") {
            if let Some(spawn) = table(step, "spawn") {
                let own =
                    ["label", "global", "name", "factory"].into_iter().find_map(|key| string(spawn, key));
                if let Some((label, span)) = own
                    && !self.labels.insert(label.clone())
                {
                    problems
                        .report(twice("label", &label, span).help("give the process a `label` of its own"));
                }
                self.globals.extend(string(spawn, "global").map(|(name, _)| name));
            }
            if let Some(register) = table(step, "register") {
                self.globals.extend(string(register, "global").map(|(name, _)| name));
            }
            if let Some((id, span)) = table(step, "fault").and_then(|fault| string(fault, "id"))
                && !self.ids.faults.insert(id.clone())
            {
                problems.report(twice("fault id", &id, span));
            }
        }
        for nemesis in tables(document, "nemesis") {
            for key in ["faults", "strikes"] {
                let faults = nemesis.get(key).map(|entry| &entry.node.value);
                let Some(Value::Array(faults)) = faults else { continue };
                for fault in faults {
                    if let Value::Table(fault) = &fault.value {
                        self.ids.faults.extend(string(fault, "id").map(|(id, _)| id));
                    }
                }
            }
        }
        self.ids.labels = Some(self.labels.clone());
    }

    /// Whether a node or group has this name.
    pub(super) fn is_node(&self, name: &str) -> bool {
        self.nodes.contains_key(name)
    }

    /// The nodes that a node's or group's name stands for.
    pub(super) fn nodes(&self, found: &At<String>, problems: &Problems) -> Option<Vec<String>> {
        let nodes = self.nodes.get(&found.value).cloned();
        if nodes.is_none() {
            problems.report(self.unknown_node(found));
        }
        nodes
    }

    fn unknown_node(&self, found: &At<String>) -> Problem {
        let help = suggestion(&found.value, self.nodes.keys().map(String::as_str), "nodes");
        Problem::new(found.span.clone(), format!("unknown node `{}`", found.value))
            .label("no [[node]] has this name")
            .help(help)
    }

    /// One node; a group with several is refused.
    pub(super) fn node(&self, found: &At<String>, problems: &Problems) -> Option<String> {
        let nodes = self.nodes(found, problems)?;
        match nodes.as_slice() {
            [one] => Some(one.clone()),
            several => {
                let message =
                    format!("`{}` stands for {} nodes, and one is needed here", found.value, several.len());
                let help = format!("for example `{}`", several.first().map_or("", String::as_str));
                problems.report(Problem::new(found.span.clone(), message).help(help));
                None
            }
        }
    }
}

impl Build<'_> {
    /// The single node under `key`.
    pub(super) fn node(&self, fields: &Fields<'_>, key: &'static str) -> Option<String> {
        let found = fields.string(key, "\"n1\"")?;
        self.names.node(&found, self.problems)
    }

    /// The nodes under `key`: names and groups.
    pub(super) fn nodes(&self, fields: &Fields<'_>, key: &'static str) -> Option<Vec<String>> {
        self.nodes_of(&fields.strings(key, "\"n1\"")?)
    }

    /// The nodes that these names and groups stand for.
    pub(super) fn nodes_of(&self, found: &[At<String>]) -> Option<Vec<String>> {
        let mut nodes: Vec<String> = Vec::new();
        for name in found {
            nodes.extend(self.names.nodes(name, self.problems)?);
        }
        Some(nodes)
    }

    /// The target under `key`: a word that chooses, or names.
    pub(super) fn target(&self, fields: &Fields<'_>, key: &'static str) -> Option<Target> {
        let found = fields.strings(key, "\"n1\"")?;
        match found.as_slice() {
            [one] if one.value == "one" => Some(Target::One),
            [one] if one.value == "minority" => Some(Target::Minority),
            [one] if one.value == "majority" => Some(Target::Majority),
            [one] if one.value == "all" => Some(Target::All),
            _ => self.nodes(fields, key).map(Target::Nodes),
        }
    }

    /// The label under `key`.
    pub(super) fn label(&self, fields: &Fields<'_>, key: &'static str) -> Option<String> {
        let found = fields.string(key, "\"receiver\"")?;
        self.known_label(&found)
    }

    fn known_label(&self, found: &At<String>) -> Option<String> {
        if self.names.labels.contains(&found.value) {
            return Some(found.value.clone());
        }
        let help = suggestion(&found.value, self.names.labels.iter().map(String::as_str), "processes");
        let message = format!("unknown process `{}`", found.value);
        self.problems
            .report(Problem::new(found.span.clone(), message).label("no process has this label").help(help));
        None
    }

    /// Who acts, under `key`: a node or the label of a process.
    pub(super) fn actor(&self, fields: &Fields<'_>, key: &'static str) -> Option<Actor> {
        let found = fields.string(key, "\"n1\"")?;
        if self.names.is_node(&found.value) {
            return self.names.node(&found, self.problems).map(Actor::Node);
        }
        if self.names.labels.contains(&found.value) {
            return Some(Actor::Process(found.value));
        }
        let known = self.names.all_nodes.iter().chain(&self.names.labels).map(String::as_str);
        let help = suggestion(&found.value, known, "nodes and processes");
        let message = format!("unknown node or process `{}`", found.value);
        self.problems.report(Problem::new(found.span, message).help(help));
        None
    }

    /// The receiver under `key`: a global name, a label or `name@node` as a text, or a table that says which.
    pub(super) fn address(&self, fields: &Fields<'_>, key: &'static str) -> Option<Address> {
        self.address_of(fields, &fields.entry(key)?.node, key)
    }

    /// As [`address`](Self::address), of the value itself: `key` or one of its list.
    pub(super) fn address_of(
        &self,
        fields: &Fields<'_>,
        node: &RawNode,
        key: &'static str,
    ) -> Option<Address> {
        if let Value::Table(_) = node.value {
            return self.address_table(node, key);
        }
        let found = fields.as_string(key, node, "\"svc/echo\"")?;
        if self.names.globals.contains(&found.value) {
            return Some(Address::Global(found.value));
        }
        if self.names.labels.contains(&found.value) {
            return Some(Address::Label(found.value));
        }
        if let Some((name, on)) = found.value.rsplit_once('@') {
            let on = At { value: on.to_owned(), span: found.span.clone() };
            return self
                .names
                .node(&on, self.problems)
                .map(|node| Address::Local { name: name.to_owned(), node });
        }
        let known = self.names.globals.iter().chain(&self.names.labels).map(String::as_str);
        let help = suggestion(&found.value, known, "names and labels");
        let help =
            format!("{help}\nfor a name that nobody has, write `{key} = {{ global = {:?} }}`", found.value);
        let message = format!("nothing is called `{}`", found.value);
        self.problems.report(Problem::new(found.span, message).help(help));
        None
    }

    fn address_table(&self, node: &RawNode, key: &str) -> Option<Address> {
        let what = format!("`{key}`");
        let fields = Fields::of(node, &what, "{ global = \"svc/echo\" }", self.problems)?;
        let global = fields.string("global", "\"svc/echo\"");
        let process = fields.has("process").then(|| self.label(&fields, "process"));
        fields.entry("process");
        let name = fields.string("name", "\"echo\"");
        let on = self.node(&fields, "node");
        let address = match (global, process, name) {
            (Some(global), None, None) => Some(Address::Global(global.value)),
            (None, Some(process), None) => process.map(Address::Label),
            (None, None, Some(name)) => {
                fields.require("node", on, "\"n1\"").map(|node| Address::Local { name: name.value, node })
            }
            _ => {
                let message =
                    format!("`{key}` names a process by `global`, by `process`, or by `name` and `node`");
                fields.report(
                    Problem::new(fields.span(), message).help("for example `{ process = \"receiver\" }`"),
                );
                None
            }
        };
        fields.finish();
        address
    }

    /// The point under `key`.
    pub(super) fn point(&self, fields: &Fields<'_>, key: &'static str) -> Option<String> {
        let found = fields.string(key, "\"heal\"")?;
        if self.names.points.contains(&found.value) {
            return Some(found.value);
        }
        let help = suggestion(&found.value, self.names.points.iter().map(String::as_str), "points");
        let message = format!("unknown point `{}`", found.value);
        let label = "no step, expectation or load has this id";
        self.problems.report(Problem::new(found.span, message).label(label).help(help));
        None
    }

    /// Ids under `key` that are among `known`.
    pub(super) fn known_ids(
        &self,
        fields: &Fields<'_>,
        key: &'static str,
        what: &str,
        known: &BTreeSet<String>,
    ) -> Option<Vec<String>> {
        let found = fields.strings(key, "\"id\"")?;
        for id in found.iter().filter(|id| !known.contains(&id.value)) {
            let help = suggestion(&id.value, known.iter().map(String::as_str), &format!("{what}s"));
            self.problems
                .report(Problem::new(id.span.clone(), format!("unknown {what} `{}`", id.value)).help(help));
        }
        Some(found.into_iter().map(|id| id.value).collect())
    }
}

fn twice(what: &str, id: &str, span: Span) -> Problem {
    Problem::new(span, format!("the {what} `{id}` is used twice")).label("declared before")
}

fn tables<'a>(document: &'a Table, key: &str) -> impl Iterator<Item = &'a Table> {
    let nodes: &[RawNode] = match document.get(key).map(|entry| &entry.node.value) {
        Some(Value::Array(nodes)) => nodes,
        _ => &[],
    };
    nodes.iter().filter_map(|node| match &node.value {
        Value::Table(table) => Some(table),
        _ => None,
    })
}

fn table<'a>(table: &'a Table, key: &str) -> Option<&'a Table> {
    match &table.get(key)?.node.value {
        Value::Table(inner) => Some(inner),
        _ => None,
    }
}

fn string(table: &Table, key: &str) -> Option<(String, Span)> {
    let node = &table.get(key)?.node;
    match &node.value {
        Value::String(text) => Some((text.text.clone(), node.span.clone())),
        _ => None,
    }
}
