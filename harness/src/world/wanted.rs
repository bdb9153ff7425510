//! What somebody looks at: views of a cluster are taken often, and some of their parts are large.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::scenario::Scenario;
use crate::scenario::action::Action;
use crate::scenario::model::{Rule, View};

/// Global names of one node that are shown though nobody asked for them: reports and events tell of so many.
const NAMES_UNASKED_MAX: usize = 1_000;

/// The large parts of views that a scenario looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wanted {
    /// Every global name, with its owner.
    names: bool,
    /// The agreed view as text.
    pub(crate) view: bool,
    /// Processes.
    pub(crate) processes: bool,
    /// Groups with their members.
    pub(crate) groups: bool,
    /// How much memory the node's process has.
    pub(crate) memory: bool,
}

impl Wanted {
    /// All: somebody looks who may ask for anything.
    pub(crate) const ALL: Self =
        Self { names: true, view: true, processes: true, groups: true, memory: true };

    /// What the conditions, snapshots and checkers of a scenario look at.
    pub(crate) fn of(scenario: &Scenario) -> Self {
        let words = words(scenario);
        let views: BTreeSet<View> = scenario
            .snapshots
            .iter()
            .map(|snapshot| snapshot.view)
            .chain(scenario.steps.iter().filter_map(|step| match step.action {
                Action::Snapshot { view } => Some(view),
                _ => None,
            }))
            .collect();
        let reads_names = |rule: &Rule| match rule {
            Rule::History { checker } => !NAMELESS_CHECKERS.contains(&checker.as_str()),
            _ => false,
        };
        let checked = scenario.expectations.iter().any(|expectation| reads_names(&expectation.rule));
        Self {
            names: words.contains("names") || views.contains(&View::Registry) || checked,
            view: words.contains("view"),
            processes: words.contains("processes") || views.contains(&View::Processes),
            groups: words.contains("groups"),
            memory: words.contains("memory_kib"),
        }
    }

    /// Whether the names of a node that knows so many are shown.
    pub(crate) const fn names(self, count: usize) -> bool {
        self.names || count <= NAMES_UNASKED_MAX
    }
}

/// Every word of the scenario's conditions: variables and fields among them.
pub(crate) fn words(scenario: &Scenario) -> BTreeSet<&str> {
    let expected = scenario.expectations.iter().filter_map(|expectation| expectation.rule.condition());
    let awaited = scenario.steps.iter().filter_map(|step| match &step.action {
        Action::Await { condition, .. } => Some(condition),
        _ => None,
    });
    expected.chain(awaited).flat_map(Condition::words).collect()
}

/// The built-in checkers that do not read what nodes know of names.
const NAMELESS_CHECKERS: [&str; 4] = ["order", "delivery", "down-once", "linearizable"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Vocabulary, load_str};

    fn wanted(rest: &str) -> Wanted {
        let text = format!("about = \"x\"\n[[node]]\nname = \"n\"\n{rest}");
        let cells = load_str("x.toml", &text, &Vocabulary::default());
        Wanted::of(&cells.unwrap_or_else(|problems| panic!("{problems}"))[0])
    }

    #[test]
    fn many_names_are_shown_to_those_who_look_at_them() {
        let many = NAMES_UNASKED_MAX + 1;
        let nothing = wanted("[[step]]\nawait = \"nodes.all(n, n.names_digest == nodes[0].names_digest)\"\n");
        assert!(!nothing.names(many) && nothing.names(many - 1) && !nothing.view && !nothing.processes);
        assert!(wanted("[[step]]\nawait = \"nodes[0].names.size() == 1\"\n").names(many));
        assert!(wanted("[[expect]]\nid = \"e\"\nalways = \"names.size() == 0\"\n").names(many));
        assert!(wanted("[[expect]]\nid = \"e\"\nhistory = \"names\"\n").names(many));
        assert!(!wanted("[[expect]]\nid = \"e\"\nhistory = \"order\"\n").names(many));
        assert!(wanted("[[step]]\nid = \"s\"\nsnapshot = \"registry\"\n").names(many));
        assert!(wanted("[[step]]\nid = \"s\"\nsnapshot = \"processes\"\n").processes);
        assert!(wanted("[[step]]\nawait = \"nodes[0].view == 'n'\"\n").view);
    }
}
