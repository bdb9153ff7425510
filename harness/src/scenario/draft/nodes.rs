//! Fewer nodes: one is taken out with whatever speaks of it.

use super::{Draft, Part, integer, list_mut, set, string_of, table_mut, text, tokens};
use crate::scenario::raw::{Node, Table, Value};

/// The keys whose values are conditions.
const CONDITIONS: [&str; 6] = ["await", "always", "never", "eventually", "sometimes", "finally"];

impl Draft {
    /// How many nodes there are.
    pub(crate) fn nodes(&self) -> u64 {
        self.list("node").iter().map(count_of).sum()
    }

    /// Drafts with a node less, for each node that can be missed: without whatever speaks of it, and in a second form
    /// with the cluster's size in conditions counted down too.
    pub(crate) fn with_a_node_less(&self) -> Vec<Self> {
        let mut all = Vec::new();
        for at in 0..self.list("node").len() {
            let own = self.table("node", at);
            let Some(name) = own.get("name").and_then(|entry| string_of(&entry.node)) else { continue };
            let smaller =
                if own.get("count").is_some() { self.of_group(at, name) } else { self.alone(at, name) };
            for draft in smaller {
                all.push(draft.counted_down(self.nodes()));
                all.push(draft);
            }
        }
        all
    }

    /// Without the node of a table of its own.
    fn alone(&self, at: usize, name: &str) -> Vec<Self> {
        let mut draft = self.clone();
        draft.retain("node", |of| of != at);
        draft.forget(name);
        vec![draft]
    }

    /// With one node less in a group. Its last node goes; to be rid of another one, the two change their names first.
    fn of_group(&self, at: usize, group: &str) -> Vec<Self> {
        let count = count_of(&self.list("node")[at]);
        if count < 2 {
            return self.alone(at, &format!("{group}1"));
        }
        let last = format!("{group}{count}");
        let less = |index: u64| {
            let mut draft = self.clone();
            if index != count {
                draft.swap(&format!("{group}{index}"), &last);
            }
            if let Some(node) = table_mut(&mut draft.tree, "node", at) {
                set(node, "count", integer(count - 1));
            }
            draft.forget(&last);
            draft
        };
        (1..=count).rev().map(less).collect()
    }

    /// Takes out whatever speaks of a node. What names several loses the one.
    fn forget(&mut self, name: &str) {
        for nemesis in 0..self.list("nemesis").len() {
            let Some(nemesis) = table_mut(&mut self.tree, "nemesis", nemesis) else { continue };
            for key in ["strikes", "faults"] {
                if let Some(strikes) = list_mut(nemesis, key) {
                    strikes.retain_mut(|strike| stays(strike, name));
                }
            }
        }
        self.drop_idle_nemeses();
        if let Some(Value::Table(network)) = super::value_mut(&mut self.tree, "network")
            && let Some(links) = list_mut(network, "links")
        {
            links.retain_mut(|link| stays(link, name));
        }
        // What spoke to a process that is gone has nobody to speak to.
        let mut gone: Vec<String> = Vec::new();
        loop {
            let before = gone.len();
            if let Some(processes) = list_mut(&mut self.tree, "process") {
                processes.retain_mut(|process| {
                    let stay = stays(process, name) && !gone.iter().any(|label| mentions(process, label));
                    if !stay {
                        gone.extend(labels(process));
                    }
                    stay
                });
            }
            if gone.len() == before {
                break;
            }
        }
        for part in [Part::Step, Part::Expect, Part::Load] {
            let Some(key) = part.key() else { continue };
            let mut kept = Vec::new();
            for (at, element) in list_mut(&mut self.tree, key).into_iter().flatten().enumerate() {
                if stays(element, name) && !gone.iter().any(|label| mentions(element, label)) {
                    kept.push(at);
                }
            }
            *self = self.keep(part, &kept);
        }
    }

    /// Lets two nodes change their names.
    fn swap(&mut self, one: &str, other: &str) {
        for entry in self.tree.entries.iter_mut().filter(|entry| entry.key != "about") {
            rename(&mut entry.node, &|word| match word {
                _ if word == one => Some(other.to_owned()),
                _ if word == other => Some(one.to_owned()),
                _ => None,
            });
        }
    }

    /// With each number of the cluster's size in conditions counted down, and the number of a node's peers.
    fn counted_down(&self, nodes: u64) -> Self {
        let mut draft = self.clone();
        for key in ["step", "expect"] {
            for element in list_mut(&mut draft.tree, key).into_iter().flatten() {
                let Value::Table(table) = &mut element.value else { continue };
                for entry in table.entries.iter_mut().filter(|it| CONDITIONS.contains(&it.key.as_str())) {
                    let Some(condition) = string_of(&entry.node) else { continue };
                    let smaller = |token: &str| match token.parse::<u64>() {
                        Ok(number) if number == nodes || number + 1 == nodes => number.checked_sub(1),
                        _ => None,
                    };
                    let counted = tokens(condition).map(|(token, quoted)| match smaller(token) {
                        Some(number) if !quoted => number.to_string(),
                        _ => token.to_owned(),
                    });
                    entry.node = text(&counted.collect::<String>());
                }
            }
        }
        draft
    }
}

/// How many nodes a table stands for.
fn count_of(node: &Node) -> u64 {
    let Value::Table(table) = &node.value else { return 0 };
    match table.get("count").map(|entry| &entry.node.value) {
        Some(Value::Integer(count)) => u64::try_from(*count).unwrap_or(0),
        _ => 1,
    }
}

/// Takes a node's name out of lists; whether what is left can stay.
fn stays(node: &mut Node, name: &str) -> bool {
    match &mut node.value {
        Value::String(text) => text.text != name && !tokens(&text.text).any(|(token, _)| token == name),
        Value::Array(elements) => {
            let before = elements.len();
            elements.retain_mut(|element| stays(element, name));
            // A partition has two sides.
            let sides = elements.iter().any(|element| matches!(element.value, Value::Array(_)));
            before == elements.len() || elements.len() > usize::from(sides)
        }
        Value::Table(table) => stays_in(table, name),
        _ => true,
    }
}

/// What the rest of a file calls a process.
fn labels(process: &Node) -> Vec<String> {
    let Value::Table(table) = &process.value else { return Vec::new() };
    let named = ["label", "global", "name"].into_iter().filter_map(|key| table.get(key));
    named.filter_map(|entry| string_of(&entry.node)).map(str::to_owned).collect()
}

/// Whether any text below is this one, or a condition that has it in quotes.
fn mentions(node: &Node, label: &str) -> bool {
    match &node.value {
        Value::String(text) => text.text == label || text.text.contains(&format!("'{label}'")),
        Value::Array(elements) => elements.iter().any(|element| mentions(element, label)),
        Value::Table(table) => table.entries.iter().any(|entry| mentions(&entry.node, label)),
        _ => false,
    }
}

fn stays_in(table: &mut Table, name: &str) -> bool {
    table.entries.iter_mut().all(|entry| stays(&mut entry.node, name))
}

/// Replaces words in every text below.
fn rename(node: &mut Node, to: &impl Fn(&str) -> Option<String>) {
    match &mut node.value {
        Value::String(text) => {
            let words = tokens(&text.text).map(|(token, _)| to(token).unwrap_or_else(|| token.to_owned()));
            text.text = words.collect();
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| rename(element, to)),
        Value::Table(table) => table.entries.iter_mut().for_each(|entry| rename(&mut entry.node, to)),
        _ => {}
    }
}
