//! `[trust]`, `[[node]]` and `[[process]]`: what the cluster consists of.

use std::collections::BTreeMap;

use regatta::{Name, NodeName};

use super::Build;
use crate::diagnostic::suggestion;
use crate::scenario::action::BEHAVIOURS;
use crate::scenario::fault::Target;
use crate::scenario::fields::{At, Fields};
use crate::scenario::model::{Connect, Node, Process, StartMode, Trust};
use crate::scenario::problem::Problem;

/// The most nodes of a scenario.
pub(crate) const NODES_MAX: u64 = 1000;
/// The most processes that one `[[process]]` table stands for.
pub(crate) const PROCESSES_MAX: u64 = 100_000;

pub(super) fn trust(fields: &Fields<'_>) -> BTreeMap<String, Trust> {
    let member =
        Trust::Issued { ca: "main".into(), role: Some("member".into()), valid_for: None, claims: None };
    let mut all = BTreeMap::from([("member".to_owned(), member)]);
    let Some((table, _)) = fields.table("trust", "{ member = { ca = \"main\" } }") else { return all };
    for entry in &table.entries {
        let what = format!("trust `{}`", entry.key);
        let example = format!("{} = {{ ca = \"main\" }}", entry.key);
        let Some(own) = Fields::of(&entry.node, &what, &example, fields.problems()) else { continue };
        let ca = own.string("ca", "\"main\"");
        let shared = own.string("shared", "\"key\"");
        let role = own.string("role", "\"member\"").map(|role| role.value);
        let valid_for = own.duration("valid_for");
        let claims = own.string("claims", "\"n1\"").map(|name| name.value);
        let trust = match (ca, shared) {
            (Some(ca), None) => Some(Trust::Issued { ca: ca.value, role, valid_for, claims }),
            (None, Some(shared)) => {
                if role.is_some() || valid_for.is_some() || claims.is_some() {
                    let message = "a shared key has no `role`, `valid_for` or `claims`";
                    own.report(Problem::new(shared.span, message).help("use `ca = …` for certificates"));
                }
                Some(Trust::Shared { name: shared.value })
            }
            (Some(_), Some(shared)) => {
                own.report(Problem::new(
                    shared.span,
                    "trust comes from a `ca` or from a `shared` key, not from both",
                ));
                None
            }
            (None, None) => {
                own.require::<()>("ca", None, "\"main\"");
                None
            }
        };
        own.finish();
        all.extend(trust.map(|trust| (entry.key.clone(), trust)));
    }
    all
}

pub(super) fn nodes(fields: &Fields<'_>, trust: &BTreeMap<String, Trust>) -> Vec<Node> {
    let tables = fields.tables("node");
    if tables.is_empty() && !fields.has("node") {
        fields.report(
            Problem::new(0..0, "the scenario has no node")
                .help("add a [[node]] table with a `name`, and perhaps a `count`"),
        );
    }
    let mut nodes: Vec<Node> = Vec::new();
    let mut dials: Vec<(usize, usize, Vec<At<String>>)> = Vec::new();
    for (table, span) in tables {
        let own = Fields::new(table, span, "[[node]]", fields.problems());
        let name = own.require("name", own.string("name", "\"n\""), "\"n\"");
        let count = own.integer("count", 1..=NODES_MAX, "3").map(|count| count.value);
        let trust_name = own.string("trust", "\"member\"");
        let start = own.word("start", &[("auto", StartMode::Auto), ("manual", StartMode::Manual)]);
        let connect = connect(&own);
        let pin = own.boolean("pin").unwrap_or(false);
        let spin = own.duration("spin");
        let connect_all = own.boolean("connect_all").unwrap_or(true);
        let hidden = own.boolean("hidden").unwrap_or(false);
        own.finish();
        if let Some(found) = trust_name.as_ref().filter(|found| !trust.contains_key(&found.value)) {
            let help = suggestion(&found.value, trust.keys().map(String::as_str), "trust entries");
            let message = format!("unknown trust `{}`", found.value);
            fields.report(Problem::new(found.span.clone(), message).label("not in [trust]").help(help));
        }
        let Some(name) = name else { continue };
        check_node_name(&name, count, fields);
        let trust = trust_name.map_or_else(|| "member".to_owned(), |found| found.value);
        let first = nodes.len();
        let connect = match connect {
            Ok(connect) => connect,
            Err(named) => {
                dials.push((first, usize::try_from(count.unwrap_or(1)).unwrap_or(1), named));
                Connect::Nobody
            }
        };
        for own_name in numbered(&name.value, count) {
            if nodes.iter().any(|node| node.name == own_name || node.group == own_name) {
                let message = format!("the node name `{own_name}` is used twice");
                fields.report(Problem::new(name.span.clone(), message).label("declared before"));
                break;
            }
            nodes.push(Node {
                name: own_name,
                group: name.value.clone(),
                trust: trust.clone(),
                start: start.unwrap_or(StartMode::Auto),
                connect: connect.clone(),
                pin,
                spin,
                connect_all,
                hidden,
            });
        }
    }
    // Nodes may dial nodes that stand below them in the file.
    let names = super::Names::of_nodes(&nodes);
    for (first, count, named) in dials {
        let to: Vec<String> =
            named.iter().filter_map(|found| names.nodes(found, fields.problems())).flatten().collect();
        for node in nodes.iter_mut().skip(first).take(count) {
            node.connect = Connect::To(to.iter().filter(|name| **name != node.name).cloned().collect());
        }
    }
    nodes
}

/// A mode, or the nodes that are named.
fn connect(fields: &Fields<'_>) -> Result<Connect, Vec<At<String>>> {
    let found = fields.strings("connect", "\"first\"").unwrap_or_default();
    match found.as_slice() {
        [] if fields.has("connect") => Ok(Connect::Nobody),
        [] => Ok(Connect::First),
        [one] if one.value == "first" => Ok(Connect::First),
        [one] if one.value == "nobody" => Ok(Connect::Nobody),
        _ => Err(found),
    }
}

/// Whether nodes can be called so: by the scenario, whose words choose nodes, and by the runtime.
fn check_node_name(name: &At<String>, count: Option<u64>, fields: &Fields<'_>) {
    let chooses = Target::WORDS.contains(&name.value.as_str())
        || ["rest", "first", "nobody"].contains(&name.value.as_str());
    let last = count.map_or_else(|| name.value.clone(), |count| format!("{}{count}", name.value));
    let problem = if chooses {
        let message = format!("a node cannot be called `{}`: the word chooses nodes elsewhere", name.value);
        Problem::new(name.span.clone(), message)
    } else if let Err(error) = NodeName::check(&last) {
        Problem::new(name.span.clone(), error.to_string())
    } else {
        return;
    };
    fields.report(problem);
}

/// A process's name, if the runtime takes it.
pub(super) fn process_name(found: &At<String>, fields: &Fields<'_>) {
    if let Err(error) = Name::check(&found.value) {
        fields.report(Problem::new(found.span.clone(), error.to_string()));
    }
}

/// `n` for no count, otherwise `n1` … `nN`.
fn numbered(name: &str, count: Option<u64>) -> Vec<String> {
    count.map_or_else(
        || vec![name.to_owned()],
        |count| (1..=count).map(|index| format!("{name}{index}")).collect(),
    )
}

impl Build<'_> {
    pub(super) fn processes(&self, fields: &Fields<'_>) -> Vec<Process> {
        let mut processes: Vec<Process> = Vec::new();
        for (table, span) in fields.tables("process") {
            let own = Fields::new(table, span.clone(), "[[process]]", self.problems);
            let on = own.require("on", own.strings("on", "\"n1\""), "\"n1\"");
            if on.as_ref().is_some_and(Vec::is_empty) {
                own.report(Problem::new(own.span(), "`on` names no node: the process would be nowhere"));
            }
            let nodes = on.as_ref().and_then(|on| self.nodes_of(on));
            let behaviour = own
                .require("behaviour", own.string("behaviour", "\"echo\""), "\"echo\"")
                .and_then(|b| self.behaviour(&b));
            let count = own.integer("count", 1..=PROCESSES_MAX, "8").map(|count| count.value);
            let label = own.string("label", "\"receiver\"").map(|label| label.value);
            let name = own.string("name", "\"echo\"");
            let global = own.string("global", "\"svc/echo\"");
            name.iter().chain(&global).for_each(|found| process_name(found, &own));
            let (name, global) = (name.map(|name| name.value), global.map(|name| name.value));
            let group = own.string("group", "\"workers\"").map(|group| group.value);
            let args = behaviour.as_ref().and_then(|behaviour| self.args(&own, behaviour));
            own.finish();
            let (Some(on), Some(nodes), Some(behaviour)) = (on, nodes, behaviour) else { continue };
            let base = label.as_ref().or(global.as_ref()).or(name.as_ref()).unwrap_or(&behaviour);
            // A group's name stands for its nodes even when it has only one; so does a list.
            let grouped = !matches!(on.as_slice(), [one] if nodes.contains(&one.value));
            for node in &nodes {
                for (index, numbered_label) in numbered(base, count).into_iter().enumerate() {
                    let label = if grouped { format!("{numbered_label}@{node}") } else { numbered_label };
                    if processes.iter().any(|process| process.label == label) || self.names.is_node(&label) {
                        let message = format!("the label `{label}` is used twice");
                        self.problems.report(
                            Problem::new(span.clone(), message).help("give the process a `label` of its own"),
                        );
                        break;
                    }
                    let own_name = |name: &Option<String>| {
                        name.as_ref().map(|name| numbered(name, count).swap_remove(index))
                    };
                    let name = own_name(&name);
                    if let Some(name) = &name
                        && processes.iter().any(|it| it.on == *node && it.name.as_ref() == Some(name))
                    {
                        let message = format!("two processes on `{node}` have the name `{name}`");
                        let help = "a name is one process's on its node";
                        self.problems.report(Problem::new(span.clone(), message).help(help));
                        break;
                    }
                    processes.push(Process {
                        label,
                        on: node.clone(),
                        behaviour: behaviour.clone(),
                        name,
                        global: own_name(&global),
                        group: group.clone(),
                        args: args.clone(),
                    });
                }
            }
        }
        processes
    }

    /// A behaviour that is built in or registered.
    pub(super) fn behaviour(&self, found: &At<String>) -> Option<String> {
        let mut known = BEHAVIOURS.into_iter().chain(self.vocabulary.behaviours.iter().map(String::as_str));
        if known.clone().any(|name| name == found.value) {
            return Some(found.value.clone());
        }
        let message = format!("unknown behaviour `{}`", found.value);
        let help = suggestion(&found.value, known.by_ref(), "behaviours");
        self.problems.report(Problem::new(found.span.clone(), message).help(help));
        None
    }
}
