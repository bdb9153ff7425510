//! `args`: what a behaviour is given. Those of the built-in ones are checked; a user's own are passed on as they are.

use super::Build;
use crate::scenario::fields::Fields;
use crate::scenario::problem::Problem;
use crate::scenario::raw::{Span, Table, Value};

/// What an argument is.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A whole number from 0 on.
    Number,
    /// A text.
    Text,
    /// A text without which the behaviour can do nothing.
    Needed,
    /// The names of nodes, without which it can do nothing either.
    Nodes,
}

/// The arguments of the built-in behaviours.
const BUILT_IN: [(&str, &[(&str, Kind)]); 13] = [
    ("echo", &[("work_ns", Kind::Number), ("work_turns", Kind::Number), ("work_allocations", Kind::Number)]),
    ("counter", &[]),
    ("sink", &[]),
    ("relay", &[("to", Kind::Needed)]),
    ("ticker", &[("to", Kind::Needed), ("every_ms", Kind::Number)]),
    ("linker", &[("to", Kind::Needed), ("every_ms", Kind::Number)]),
    ("register", &[]),
    ("client", &[("to", Kind::Needed), ("every_ms", Kind::Number), ("count", Kind::Number)]),
    ("caller", &[("to", Kind::Needed), ("every_ms", Kind::Number), ("deadline_ms", Kind::Number)]),
    ("holder", &[("count", Kind::Number), ("prefix", Kind::Text)]),
    ("churn", &[("per_second", Kind::Number), ("seconds", Kind::Number), ("lives_ms", Kind::Number)]),
    ("unique", &[("name", Kind::Text)]),
    ("supervisor", &[("on", Kind::Nodes), ("factory", Kind::Text)]),
];

impl Build<'_> {
    /// The `args` of a process with this behaviour.
    pub(super) fn args(&self, fields: &Fields<'_>, behaviour: &str) -> Option<serde_json::Value> {
        let entry = fields.entry("args");
        if !self.vocabulary.behaviours.contains(behaviour)
            && let Some((_, known)) = BUILT_IN.iter().find(|(name, _)| *name == behaviour)
        {
            self.check_args(fields, behaviour, known);
        }
        let node = &entry?.node;
        self.json(&node.value, &node.span)
    }

    fn check_args(&self, fields: &Fields<'_>, behaviour: &str, known: &[(&'static str, Kind)]) {
        let example = |kind: &Kind| match kind {
            Kind::Needed => Some("\"svc/echo\""),
            Kind::Nodes => Some("[\"n2\"]"),
            Kind::Number | Kind::Text => None,
        };
        let needed = known.iter().find_map(|(key, kind)| Some((key, example(kind)?)));
        let Some(entry) = fields.entry("args") else {
            if let Some((key, example)) = needed {
                let problem = Problem::new(fields.span(), format!("`{behaviour}` needs `args.{key}`"));
                self.problems.report(problem.help(format!("for example `args = {{ {key} = {example} }}`")));
            }
            return;
        };
        let (what, example) = (format!("`args` of `{behaviour}`"), "args = { to = \"svc/echo\" }");
        let Some(own) = Fields::of(&entry.node, &what, example, self.problems) else { return };
        for (key, kind) in known {
            match kind {
                Kind::Number => {
                    own.integer(key, 0..=1 << 53, "100");
                }
                Kind::Text => {
                    own.string(key, "\"svc/echo\"");
                }
                Kind::Needed => {
                    own.require(key, own.string(key, "\"svc/echo\""), "\"svc/echo\"");
                }
                Kind::Nodes => {
                    let found = own.require(key, own.strings(key, "\"n2\""), "[\"n2\"]");
                    found.and_then(|found| self.nodes_of(&found));
                }
            }
        }
        own.finish();
    }

    fn json(&self, value: &Value, span: &Span) -> Option<serde_json::Value> {
        match value {
            Value::String(text) => Some(text.text.clone().into()),
            Value::Integer(integer) => Some((*integer).into()),
            Value::Float(float) => Some((*float).into()),
            Value::Boolean(boolean) => Some((*boolean).into()),
            Value::Array(nodes) => nodes.iter().map(|node| self.json(&node.value, &node.span)).collect(),
            Value::Table(Table { entries }) => entries
                .iter()
                .map(|entry| Some((entry.key.clone(), self.json(&entry.node.value, &entry.node.span)?)))
                .collect::<Option<serde_json::Map<_, _>>>()
                .map(serde_json::Value::Object),
            Value::Datetime => {
                self.problems.report(Problem::new(span.clone(), "a date or time cannot be an argument"));
                None
            }
            Value::Bad => None,
        }
    }
}
