//! Reading one table: typed access to its keys, and a complaint about every key that nobody asked for.
//!
//! The keys that are asked for are the keys that exist: the list behind "did you mean" cannot go stale, and no table
//! can forget to refuse what it does not know.

use std::cell::RefCell;
use std::time::Duration;

use super::problem::{Problem, Problems};
use super::raw::{Entry, Node, Span, Table, Text, Value};
use super::units;
use crate::diagnostic::{nearest, suggestion};

/// A value with its place.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Span,
}

/// A table that is being read.
pub(super) struct Fields<'a> {
    table: &'a Table,
    span: Span,
    /// What the table is, as messages name it: `` `spawn` `` or `[[step]]`.
    what: &'a str,
    known: RefCell<Vec<&'static str>>,
    problems: &'a Problems,
}

impl<'a> Fields<'a> {
    pub(super) fn new(table: &'a Table, span: Span, what: &'a str, problems: &'a Problems) -> Self {
        Self { table, span, what, known: RefCell::default(), problems }
    }

    /// Reads `node` as a table; reports and answers nothing when it is none.
    pub(super) fn of(node: &'a Node, what: &'a str, example: &str, problems: &'a Problems) -> Option<Self> {
        match &node.value {
            Value::Table(table) => Some(Self::new(table, node.span.clone(), what, problems)),
            Value::Bad => None,
            other => {
                problems.report(wrong_type(what, "a table", other, &node.span, example));
                None
            }
        }
    }

    pub(super) fn problems(&self) -> &'a Problems {
        self.problems
    }

    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    pub(super) fn report(&self, problem: Problem) {
        self.problems.report(problem);
    }

    /// The entry with this key, if it is there; the key is known from now on.
    pub(super) fn entry(&self, key: &'static str) -> Option<&'a Entry> {
        self.known.borrow_mut().push(key);
        self.table.get(key)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    /// Reports that `key` is missing, when it is; a key with a wrong value has been reported already.
    pub(super) fn require<T>(&self, key: &str, value: Option<T>, example: &str) -> Option<T> {
        if value.is_none() && !self.has(key) {
            self.report(
                Problem::new(self.span(), needs(self.what, key))
                    .help(format!("for example `{key} = {example}`")),
            );
        }
        value
    }

    pub(super) fn text(&self, key: &'static str, example: &str) -> Option<(&'a Text, Span)> {
        let node = &self.entry(key)?.node;
        match &node.value {
            Value::String(text) => Some((text, node.span.clone())),
            other => self.wrong(key, "a string", other, node, example),
        }
    }

    pub(super) fn string(&self, key: &'static str, example: &str) -> Option<At<String>> {
        self.text(key, example).map(|(text, span)| At { value: text.text.clone(), span })
    }

    pub(super) fn boolean(&self, key: &'static str) -> Option<bool> {
        let node = &self.entry(key)?.node;
        match &node.value {
            Value::Boolean(boolean) => Some(*boolean),
            other => self.wrong(key, "true or false", other, node, "true"),
        }
    }

    /// An integer within `bounds`.
    pub(super) fn integer(
        &self,
        key: &'static str,
        bounds: std::ops::RangeInclusive<u64>,
        example: &str,
    ) -> Option<At<u64>> {
        let node = &self.entry(key)?.node;
        match &node.value {
            Value::Integer(_) => integer_in(node, &format!("`{key}`"), &bounds, self.problems),
            other => self.wrong(key, "an integer", other, node, example),
        }
    }

    /// A float or an integer.
    pub(super) fn number(&self, key: &'static str, example: &str) -> Option<At<f64>> {
        let node = &self.entry(key)?.node;
        let value = match &node.value {
            Value::Float(float) => *float,
            #[expect(clippy::cast_precision_loss, reason = "a scenario's numbers are far below 2^53")]
            Value::Integer(integer) => *integer as f64,
            other => return self.wrong(key, "a number", other, node, example),
        };
        Some(At { value, span: node.span.clone() })
    }

    /// A chance or share from 0 to 1.
    pub(super) fn share(&self, key: &'static str) -> Option<f64> {
        let At { value, span } = self.number(key, "0.02")?;
        if (0.0..=1.0).contains(&value) {
            return Some(value);
        }
        let message = format!("`{key}` is a share from 0 to 1, not {value}");
        self.report(Problem::new(span, message).help(format!("2 percent is `{key} = 0.02`")));
        None
    }

    pub(super) fn duration(&self, key: &'static str) -> Option<Duration> {
        self.quantity(key, "duration", "\"250ms\"", units::duration)
    }

    /// A duration that something is waited for: none at all would be a mistake.
    pub(super) fn time(&self, key: &'static str) -> Option<Duration> {
        let time = self.duration(key)?;
        if time.is_zero() {
            let span = self.entry(key).map_or_else(|| self.span(), |entry| entry.node.span.clone());
            self.report(Problem::new(span, format!("`{key}` must be above 0")));
        }
        Some(time)
    }

    pub(super) fn size(&self, key: &'static str) -> Option<u64> {
        self.quantity(key, "size", "\"64B\"", units::size)
    }

    pub(super) fn bit_rate(&self, key: &'static str) -> Option<u64> {
        self.quantity(key, "bit rate", "\"50Mbit\"", units::bit_rate)
    }

    pub(super) fn percentage(&self, key: &'static str) -> Option<f64> {
        self.quantity(key, "percentage", "\"8%\"", units::percentage)
    }

    fn quantity<T>(
        &self,
        key: &'static str,
        what: &str,
        example: &str,
        read: fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let node = &self.entry(key)?.node;
        let Value::String(text) = &node.value else {
            return self.wrong(key, &format!("a {what} in quotes"), &node.value, node, example);
        };
        read(&text.text)
            .map_err(|reason| {
                let message = format!("{:?} is not a {what}: {reason}", text.text);
                self.report(
                    Problem::new(node.span.clone(), message).help(format!("for example `{key} = {example}`")),
                );
            })
            .ok()
    }

    /// One of the words of `all`.
    pub(super) fn word<T: Copy>(&self, key: &'static str, all: &[(&'static str, T)]) -> Option<T> {
        let found = self.string(key, &format!("{:?}", all.first()?.0))?;
        pick(&found, key, all, self.problems)
    }

    /// The elements of an array; a single value counts as an array of one.
    pub(super) fn list(&self, key: &'static str) -> Option<Vec<&'a Node>> {
        let node = &self.entry(key)?.node;
        match &node.value {
            Value::Array(values) => Some(values.iter().collect()),
            Value::Bad => None,
            _ => Some(vec![node]),
        }
    }

    /// The strings of an array; a single string counts as an array of one.
    pub(super) fn strings(&self, key: &'static str, example: &str) -> Option<Vec<At<String>>> {
        let nodes = self.list(key)?;
        Some(nodes.into_iter().filter_map(|node| self.as_string(key, node, example)).collect())
    }

    pub(super) fn as_string(&self, key: &str, node: &Node, example: &str) -> Option<At<String>> {
        match &node.value {
            Value::String(text) => Some(At { value: text.text.clone(), span: node.span.clone() }),
            other => self.wrong(key, "a string", other, node, example),
        }
    }

    /// A table under `key`.
    pub(super) fn table(&self, key: &'static str, example: &str) -> Option<(&'a Table, Span)> {
        let node = &self.entry(key)?.node;
        match &node.value {
            Value::Table(table) => Some((table, node.span.clone())),
            other => self.wrong(key, "a table", other, node, example),
        }
    }

    /// The tables of `[[key]]`, in order.
    pub(super) fn tables(&self, key: &'static str) -> Vec<(&'a Table, Span)> {
        let Some(entry) = self.entry(key) else { return Vec::new() };
        let Value::Array(values) = &entry.node.value else {
            if !matches!(entry.node.value, Value::Bad) {
                let message = format!("`{key}` must be a list of tables, not {}", entry.node.value.kind());
                self.report(
                    Problem::new(entry.key_span.clone(), message)
                        .help(format!("write `[[{key}]]`, with two brackets, for each of them")),
                );
            }
            return Vec::new();
        };
        let table = |node: &'a Node| match &node.value {
            Value::Table(table) => Some((table, node.span.clone())),
            other => self.wrong(key, "a table", other, node, &format!("[[{key}]]")),
        };
        values.iter().filter_map(table).collect()
    }

    fn wrong<T>(&self, key: &str, expected: &str, found: &Value, node: &Node, example: &str) -> Option<T> {
        if !matches!(found, Value::Bad) {
            let example = format!("{key} = {example}");
            self.report(wrong_type(&format!("`{key}`"), expected, found, &node.span, &example));
        }
        None
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self) {
        let mut known = self.known.into_inner();
        known.sort_unstable();
        known.dedup();
        for entry in &self.table.entries {
            if !known.contains(&entry.key.as_str()) {
                let message = format!("unknown key `{}` in {}", entry.key, self.what);
                let help = suggestion(&entry.key, known.iter().copied(), "keys");
                if let Some(meant) = nearest(&entry.key, known.iter().copied()) {
                    // The misspelt key is why the other one is missing.
                    self.problems.withdraw(&self.span, &needs(self.what, meant));
                }
                self.problems.report(Problem::new(entry.key_span.clone(), message).help(help));
            }
        }
    }
}

fn needs(what: &str, key: &str) -> String {
    format!("{what} needs `{key}`")
}

/// The meaning of a word that `all` lists.
pub(super) fn pick<T: Copy>(
    found: &At<String>,
    what: &str,
    all: &[(&'static str, T)],
    problems: &Problems,
) -> Option<T> {
    let hit = all.iter().find(|(word, _)| *word == found.value).map(|(_, meaning)| *meaning);
    if hit.is_none() {
        let help = suggestion(&found.value, all.iter().map(|(word, _)| *word), "words here");
        let message = format!("unknown {what} `{}`", found.value);
        problems.report(Problem::new(found.span.clone(), message).help(help));
    }
    hit
}

/// The integer of `node`, when it is one within `bounds`.
pub(super) fn integer_in(
    node: &Node,
    what: &str,
    bounds: &std::ops::RangeInclusive<u64>,
    problems: &Problems,
) -> Option<At<u64>> {
    let Value::Integer(integer) = &node.value else {
        if !matches!(node.value, Value::Bad) {
            problems.report(wrong_type(what, "an integer", &node.value, &node.span, "16"));
        }
        return None;
    };
    let value = u64::try_from(*integer).ok().filter(|value| bounds.contains(value));
    if value.is_none() {
        let message = match (bounds.start(), bounds.end()) {
            (start, &u64::MAX) => format!("{what} must be at least {start}, not {integer}"),
            (start, end) => format!("{what} must be from {start} to {end}, not {integer}"),
        };
        problems.report(Problem::new(node.span.clone(), message));
    }
    value.map(|value| At { value, span: node.span.clone() })
}

fn wrong_type(what: &str, expected: &str, found: &Value, span: &Span, example: &str) -> Problem {
    Problem::new(span.clone(), format!("{what} must be {expected}, not {}", found.kind()))
        .label(format!("expected {expected}"))
        .help(format!("for example `{example}`"))
}
