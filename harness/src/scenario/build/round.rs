//! What a load does once: `to`, `group`, `spawn` or `register`.

use super::Build;
use crate::scenario::fields::Fields;
use crate::scenario::load::Round;
use crate::scenario::problem::Problem;
use crate::scenario::raw::Value;

/// The keys of which a load has one.
const KEYS: [&str; 4] = ["to", "group", "spawn", "register"];

impl Build<'_> {
    pub(super) fn round(&self, fields: &Fields<'_>) -> Option<Round> {
        let given: Vec<_> = KEYS.into_iter().filter(|key| fields.entry(key).is_some()).collect();
        let [key] = given[..] else {
            let keys = KEYS.map(|key| format!("`{key}`")).join(", ");
            let problem = Problem::new(fields.span(), format!("a load has one of {keys}"));
            fields.report(problem.help("for example `to = \"svc/echo\"`"));
            return None;
        };
        match key {
            "to" => self.receivers(fields),
            "group" => fields.string("group", "\"workers\"").map(|group| Round::Group(group.value)),
            "spawn" => {
                let node = &fields.entry("spawn")?.node;
                let example = "spawn = { on = \"n2\", factory = \"counter\" }";
                let own = Fields::of(node, "`spawn`", example, self.problems)?;
                let on = own.require("on", self.node(&own, "on"), "\"n2\"");
                let factory = own.require("factory", own.string("factory", "\"counter\""), "\"counter\"");
                own.finish();
                Some(Round::Spawn { on: on?, factory: self.behaviour(&factory?)? })
            }
            _ => {
                let node = &fields.entry("register")?.node;
                let own = Fields::of(node, "`register`", "register = { on = \"n2\" }", self.problems)?;
                let on = own.require("on", self.node(&own, "on"), "\"n2\"");
                own.finish();
                Some(Round::Register { on: on? })
            }
        }
    }

    /// One process, or a list of them.
    fn receivers(&self, fields: &Fields<'_>) -> Option<Round> {
        let node = &fields.entry("to")?.node;
        let Value::Array(nodes) = &node.value else { return self.address(fields, "to").map(Round::One) };
        if nodes.is_empty() {
            let problem = Problem::new(node.span.clone(), "`to` names nobody");
            fields.report(problem.help("for example `to = [\"svc/1\", \"svc/2\"]`"));
            return None;
        }
        let all: Vec<_> = nodes.iter().map(|node| self.address_of(fields, node, "to")).collect();
        all.into_iter().collect::<Option<_>>().map(Round::Each)
    }
}
