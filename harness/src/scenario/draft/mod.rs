//! A scenario file that is being made smaller: parts are taken out, values are made simpler, and the text is written anew.
//!
//! A draft is the raw tree of one matrix cell. Nothing here knows whether what is left still makes sense: a draft's text
//! is checked like any other file, and what the checks refuse is no candidate.

mod fault;
mod nodes;
mod print;
mod simpler;

use std::time::Duration;

use super::Scenario;
use super::fault::Fault;
use super::matrix;
use super::parse;
use super::problem::Problems;
use super::raw::{Entry, Node, Table, Text, Value};

/// What a file is made of, as far as it can be taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// `[[step]]`
    Step,
    /// `[[process]]`
    Process,
    /// `[[expect]]`
    Expect,
    /// `[[load]]`
    Load,
    /// Strikes of all nemeses, one nemesis after the other, and of one that strikes at random, its faults.
    Strike,
}

/// What was done at random in a run, as it came out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chosen {
    /// Of each nemesis, when it began, since the first step.
    pub(crate) begun: Vec<Duration>,
    /// Of each nemesis, its strikes, each with its time since then.
    pub(crate) strikes: Vec<Vec<(Duration, Fault)>>,
    /// The faults of steps.
    pub(crate) steps: Vec<(usize, Fault)>,
}

/// A file that is being made smaller.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    tree: Table,
    /// Which of the first draft's steps each one is.
    steps: Vec<usize>,
    /// When each nemesis began, since the first step.
    begun: Vec<Duration>,
}

impl Draft {
    /// The cell as it stands in its file, for one seed in the world `sim`. What only other runs need is left out: the
    /// matrix, gates, snapshots, and the tag `long`.
    pub(crate) fn of(scenario: &Scenario, seed: u64) -> Self {
        // The text was read without a mistake before.
        let problems = Problems::default();
        let document = parse::parse(&scenario.source, &problems);
        let mut tree = matrix::substitute(&document, &scenario.cell, &problems);
        tree.entries.retain(|entry| !["gate", "snapshot"].contains(&entry.key.as_str()));
        set(&mut tree, "seed", integer(seed));
        set(&mut tree, "worlds", list(vec![text("sim")]));
        if let Some(Value::Array(tags)) = value_mut(&mut tree, "tags") {
            let long = [super::model::LONG_TAG, super::model::HEAVY_TAG].map(Some);
            tags.retain(|tag| !long.contains(&string_of(tag)));
        }
        let mut draft = Self { tree, steps: Vec::new(), begun: Vec::new() };
        draft.steps = (0..draft.list("step").len()).collect();
        let shown: Vec<usize> =
            (0..draft.steps.len()).filter(|at| draft.table("step", *at).get("snapshot").is_none()).collect();
        draft.keep(Part::Step, &shown)
    }

    /// The text of the file.
    pub(crate) fn text(&self) -> String {
        print::text(&self.tree)
    }

    /// The same with another `about`.
    pub(crate) fn about(&self, about: &str) -> Self {
        let mut draft = self.clone();
        set(&mut draft.tree, "about", text(about));
        draft
    }

    /// Which of the first draft's steps the step with this index is.
    pub(crate) fn step(&self, index: usize) -> Option<usize> {
        self.steps.get(index).copied()
    }

    /// How many parts of a kind there are.
    pub(crate) fn count(&self, part: Part) -> usize {
        match part.key() {
            Some(key) => self.list(key).len(),
            None => self.strikes().len(),
        }
    }

    /// The same with only these parts of a kind. A nemesis that began or ended with a step that is gone begins with the
    /// first step, its strikes that much later, or ends with the last.
    pub(crate) fn keep(&self, part: Part, kept: &[usize]) -> Self {
        let mut draft = self.clone();
        if let Some(key) = part.key() {
            draft.retain(key, |at| kept.contains(&at));
            if part == Part::Step {
                draft.steps = kept.iter().map(|at| self.steps[*at]).collect();
            }
            draft.mend();
        } else {
            let all = self.strikes();
            let stays = |place: (usize, usize)| kept.iter().any(|at| all[*at] == place);
            for nemesis in 0..draft.list("nemesis").len() {
                if let Some(strikes) = strikes_mut(&mut draft.tree, nemesis) {
                    let mut at = 0..;
                    strikes.retain(|_| at.next().is_some_and(|at| stays((nemesis, at))));
                }
            }
            draft.drop_idle_nemeses();
        }
        draft
    }

    /// The same with what a run chose at random written out.
    pub(crate) fn explicit(&self, chosen: &Chosen) -> Self {
        let mut draft = self.clone();
        draft.begun.clone_from(&chosen.begun);
        for (index, strikes) in chosen.strikes.iter().enumerate() {
            let Some(nemesis) = table_mut(&mut draft.tree, "nemesis", index) else { continue };
            nemesis.entries.retain(|entry| !["every", "faults", "strikes"].contains(&entry.key.as_str()));
            let strikes = strikes.iter().map(|(at, fault)| {
                let mut strike = Table::default();
                set(&mut strike, "at", text(&fault::duration(*at)));
                strike.entries.extend(fault::table(fault).entries);
                table(strike)
            });
            set(nemesis, "strikes", list(strikes.collect()));
        }
        for (step, fault) in &chosen.steps {
            let at = draft.steps.iter().position(|of| of == step);
            if let Some(step) = at.and_then(|at| table_mut(&mut draft.tree, "step", at)) {
                set(step, "fault", table(fault::table(fault)));
            }
        }
        draft.drop_idle_nemeses();
        draft
    }

    /// The same without a fault, and without whatever speaks of faults.
    pub(crate) fn without_faults(&self) -> Self {
        let mut draft = self.clone();
        draft.tree.entries.retain(|entry| entry.key != "nemesis");
        let speaks = |table: &Table| {
            let heals = table.get("heal").is_some_and(|entry| string_of(&entry.node) != Some("all"));
            let is_fault = table.get("fault").is_some();
            let about = |entry: &Entry| string_of(&entry.node).is_some_and(|it| names_word(it, "faults"));
            heals || is_fault || table.entries.iter().any(about)
        };
        let quiet = |key: &str| {
            let all = 0..draft.list(key).len();
            all.filter(|at| !speaks(draft.table(key, *at))).collect::<Vec<_>>()
        };
        let (steps, expectations) = (quiet("step"), quiet("expect"));
        draft.keep(Part::Step, &steps).keep(Part::Expect, &expectations)
    }

    /// Whether it has faults of its own making.
    pub(crate) fn has_faults(&self) -> bool {
        let all = 0..self.list("step").len();
        !self.list("nemesis").is_empty()
            || all.into_iter().any(|at| self.table("step", at).get("fault").is_some())
    }

    /// The same without the shape of its network; nothing when it has none.
    pub(crate) fn without_network(&self) -> Option<Self> {
        let mut draft = self.clone();
        draft.tree.entries.retain(|entry| entry.key != "network");
        (draft.tree.entries.len() < self.tree.entries.len()).then_some(draft)
    }

    /// Where strikes stand: which nemesis, and which of its own.
    fn strikes(&self) -> Vec<(usize, usize)> {
        let mut all = Vec::new();
        for nemesis in 0..self.list("nemesis").len() {
            let count = strikes_of(self.table("nemesis", nemesis)).map_or(0, <[Node]>::len);
            all.extend((0..count).map(|at| (nemesis, at)));
        }
        all
    }

    /// Takes out nemeses that have nothing to strike with.
    fn drop_idle_nemeses(&mut self) {
        let idle = |at: usize| strikes_of(self.table("nemesis", at)).is_some_and(<[Node]>::is_empty);
        let kept: Vec<usize> = (0..self.list("nemesis").len()).filter(|at| !idle(*at)).collect();
        self.begun = kept.iter().filter_map(|at| self.begun.get(*at).copied()).collect();
        self.retain("nemesis", |at| kept.contains(&at));
    }

    /// Takes back what refers to points that are gone, where there is a plain meaning without it.
    fn mend(&mut self) {
        let id = |node: &Node| match &node.value {
            Value::Table(table) => {
                table.get("id").and_then(|entry| string_of(&entry.node)).map(str::to_owned)
            }
            _ => None,
        };
        let points: Vec<String> = ["step", "expect", "load"]
            .into_iter()
            .flat_map(|key| self.list(key).iter().filter_map(id))
            .collect();
        for index in 0..self.list("nemesis").len() {
            let begun = self.begun.get(index).copied();
            let Some(nemesis) = table_mut(&mut self.tree, "nemesis", index) else { continue };
            let gone = |key: &str, nemesis: &Table| {
                let point = nemesis.get(key).and_then(|entry| string_of(&entry.node));
                point.is_some_and(|point| !points.iter().any(|known| known == point))
            };
            if gone("until", nemesis) {
                nemesis.entries.retain(|entry| entry.key != "until");
            }
            if gone("from", nemesis) {
                nemesis.entries.retain(|entry| entry.key != "from");
                let later = begun.unwrap_or_default();
                for strike in list_mut(nemesis, "strikes").into_iter().flatten() {
                    let Value::Table(strike) = &mut strike.value else { continue };
                    let at = strike.get("at").and_then(|entry| string_of(&entry.node));
                    let at = at.and_then(|at| super::units::duration(at).ok()).unwrap_or_default();
                    set(strike, "at", text(&fault::duration(at + later)));
                }
                if let Some(begun) = self.begun.get_mut(index) {
                    *begun = Duration::ZERO;
                }
            }
        }
    }

    fn list(&self, key: &str) -> &[Node] {
        match self.tree.get(key).map(|entry| &entry.node.value) {
            Some(Value::Array(elements)) => elements,
            _ => &[],
        }
    }

    /// The table at this place of a list; the index is below the list's length.
    fn table(&self, key: &str, at: usize) -> &Table {
        match &self.list(key)[at].value {
            Value::Table(table) => table,
            other => unreachable!("a checked list has tables, and not {}", other.kind()),
        }
    }

    fn retain(&mut self, key: &str, stays: impl Fn(usize) -> bool) {
        let Some(elements) = list_mut(&mut self.tree, key) else { return };
        let mut at = 0..;
        elements.retain(|_| at.next().is_some_and(&stays));
        if elements.is_empty() {
            self.tree.entries.retain(|entry| entry.key != key);
        }
    }
}

impl Part {
    /// The list that holds it.
    const fn key(self) -> Option<&'static str> {
        match self {
            Self::Step => Some("step"),
            Self::Process => Some("process"),
            Self::Expect => Some("expect"),
            Self::Load => Some("load"),
            Self::Strike => None,
        }
    }
}

fn strikes_of(nemesis: &Table) -> Option<&[Node]> {
    let entry = nemesis.get("strikes").or_else(|| nemesis.get("faults"))?;
    match &entry.node.value {
        Value::Array(elements) => Some(elements),
        _ => None,
    }
}

fn strikes_mut(tree: &mut Table, nemesis: usize) -> Option<&mut Vec<Node>> {
    let nemesis = table_mut(tree, "nemesis", nemesis)?;
    let key = if nemesis.get("strikes").is_some() { "strikes" } else { "faults" };
    list_mut(nemesis, key)
}

fn value_mut<'a>(table: &'a mut Table, key: &str) -> Option<&'a mut Value> {
    table.entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.node.value)
}

fn list_mut<'a>(table: &'a mut Table, key: &str) -> Option<&'a mut Vec<Node>> {
    match value_mut(table, key) {
        Some(Value::Array(elements)) => Some(elements),
        _ => None,
    }
}

fn table_mut<'a>(tree: &'a mut Table, key: &str, at: usize) -> Option<&'a mut Table> {
    match &mut list_mut(tree, key)?.get_mut(at)?.value {
        Value::Table(table) => Some(table),
        _ => None,
    }
}

/// Puts a value under a key: in the place of the one before, or behind all.
fn set(table: &mut Table, key: &str, node: Node) {
    match table.entries.iter_mut().find(|entry| entry.key == key) {
        Some(entry) => entry.node = node,
        None => table.entries.push(Entry { key: key.to_owned(), key_span: 0..0, node }),
    }
}

/// Whether a condition has this word outside of its quotes.
fn names_word(condition: &str, word: &str) -> bool {
    tokens(condition).any(|(token, quoted)| token == word && !quoted)
}

/// The words of a condition, and whether each stands in quotes; what is between words comes as words of its own.
fn tokens(condition: &str) -> impl Iterator<Item = (&str, bool)> {
    let (mut rest, mut quote) = (condition, None);
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let end =
            if is_word(first) { rest.find(|c| !is_word(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
        let (token, after) = rest.split_at(end);
        rest = after;
        match quote {
            None if first == '\'' || first == '"' => {
                quote = Some(first);
                return Some((token, true));
            }
            Some(open) if open == first => {
                quote = None;
                return Some((token, true));
            }
            _ => {}
        }
        Some((token, quote.is_some()))
    })
}

fn node(value: Value) -> Node {
    Node { span: 0..0, value }
}

fn text(text: &str) -> Node {
    node(Value::String(Text { text: text.to_owned(), origin: Vec::new() }))
}

fn integer(integer: u64) -> Node {
    node(Value::Integer(i64::try_from(integer).unwrap_or(i64::MAX)))
}

fn float(float: f64) -> Node {
    node(Value::Float(float))
}

fn list(elements: Vec<Node>) -> Node {
    node(Value::Array(elements))
}

fn table(table: Table) -> Node {
    node(Value::Table(table))
}

fn string_of(node: &Node) -> Option<&str> {
    match &node.value {
        Value::String(text) => Some(&text.text),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
