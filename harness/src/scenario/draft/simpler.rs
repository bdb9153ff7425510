//! Simpler values: shorter times, rounder ones, fewer nodes in a list, smaller numbers.

use std::time::Duration;

use super::{Draft, fault, integer, set, strikes_mut, string_of, table_mut, text};
use crate::scenario::raw::{Node, Table, Value};
use crate::scenario::units;

/// A value that may be made simpler.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    at: At,
    /// The table inside, if the value is not in the table itself.
    inner: Option<&'static str>,
    key: String,
    way: Way,
}

#[derive(Debug, Clone, Copy)]
enum At {
    Step(usize),
    Strike(usize, usize),
    Process(usize),
}

/// How a value becomes simpler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A duration becomes shorter.
    Shorter,
    /// A time becomes rounder.
    Rounder,
    /// A list loses one of its elements.
    Fewer,
    /// A number becomes smaller.
    Smaller,
    /// A group becomes one of its nodes.
    OneOf,
}

/// Shorter durations than this are not tried.
const SHORTEST: Duration = Duration::from_millis(10);

impl Draft {
    /// Every value that may be made simpler.
    pub(crate) fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        let mut add = |at, inner, key: &str, way| places.push(Place { at, inner, key: key.to_owned(), way });
        for step in 0..self.list("step").len() {
            add(At::Step(step), None, "sleep", Way::Shorter);
            add(At::Step(step), None, "for", Way::Shorter);
            add(At::Step(step), Some("fault"), "hold", Way::Shorter);
            add(At::Step(step), Some("send"), "count", Way::Smaller);
        }
        for (nemesis, strike) in self.strikes() {
            let at = At::Strike(nemesis, strike);
            add(at, None, "hold", Way::Shorter);
            let Value::Table(table) = self.strike_value(nemesis, strike) else { continue };
            for entry in &table.entries {
                match &entry.node.value {
                    Value::Array(_) if entry.key != "partition" => add(at, None, &entry.key, Way::Fewer),
                    _ => {}
                }
            }
            add(at, None, "at", Way::Rounder);
        }
        for process in 0..self.list("process").len() {
            add(At::Process(process), None, "on", Way::OneOf);
            add(At::Process(process), None, "count", Way::Smaller);
        }
        places
    }

    /// Drafts with a simpler value at this place, the simplest first.
    pub(crate) fn simpler(&self, place: &Place) -> Vec<Self> {
        let Some(node) = self.read(place) else { return Vec::new() };
        let with = |node: Node| {
            let mut draft = self.clone();
            if let Some(table) = draft.table_at(place) {
                set(table, &place.key, node);
            }
            draft
        };
        match (place.way, &node.value) {
            (Way::Shorter, Value::String(of)) => {
                let Ok(now) = units::duration(&of.text) else { return Vec::new() };
                let shorter = [16, 4, 2].map(|by| round(now / by)).into_iter();
                shorter
                    .filter(|to| *to >= SHORTEST && *to < now)
                    .map(|to| with(text(&fault::duration(to))))
                    .collect()
            }
            (Way::Rounder, Value::String(of)) => {
                let Ok(now) = units::duration(&of.text) else { return Vec::new() };
                let mut rounder: Vec<Duration> = [1000, 500, 100, 10]
                    .map(|to: u128| {
                        let millis = (now.as_millis() + to / 2) / to * to;
                        Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
                    })
                    .to_vec();
                // What is as round already stays.
                if let Some(same) = rounder.iter().position(|to| *to == now) {
                    rounder.truncate(same);
                }
                rounder.dedup();
                rounder.into_iter().map(|to| with(text(&fault::duration(to)))).collect()
            }
            (Way::Fewer, Value::Array(elements)) if elements.len() > 1 => (0..elements.len())
                .map(|without| {
                    let mut fewer = elements.clone();
                    fewer.remove(without);
                    with(super::list(fewer))
                })
                .collect(),
            (Way::Smaller, Value::Integer(number)) => {
                let number = u64::try_from(*number).unwrap_or(0);
                let mut smaller: Vec<u64> = [1, number / 16, number / 4, number / 2].to_vec();
                smaller.retain(|to| *to >= 1 && *to < number);
                smaller.dedup();
                smaller.into_iter().map(|to| with(integer(to))).collect()
            }
            (Way::OneOf, Value::String(of)) => {
                let groups = self.list("node").iter().filter_map(|node| match &node.value {
                    Value::Table(table) => Some(table),
                    _ => None,
                });
                let name = |table: &Table| {
                    table.get("name").and_then(|entry| string_of(&entry.node)).map(str::to_owned)
                };
                let found = groups.into_iter().find(|table| name(table).as_deref() == Some(of.text.as_str()));
                let count = match found.and_then(|table| table.get("count")).map(|entry| &entry.node.value) {
                    Some(Value::Integer(count)) => *count,
                    _ => 0,
                };
                (1..=count).map(|index| with(text(&format!("{}{index}", of.text)))).collect()
            }
            _ => Vec::new(),
        }
    }

    fn read(&self, place: &Place) -> Option<Node> {
        let mut copy = self.clone();
        let table = copy.table_at(place)?;
        table.get(&place.key).map(|entry| entry.node.clone())
    }

    fn table_at(&mut self, place: &Place) -> Option<&mut Table> {
        let table = match place.at {
            At::Step(step) => table_mut(&mut self.tree, "step", step)?,
            At::Process(process) => table_mut(&mut self.tree, "process", process)?,
            At::Strike(nemesis, strike) => {
                match &mut strikes_mut(&mut self.tree, nemesis)?.get_mut(strike)?.value {
                    Value::Table(table) => table,
                    _ => return None,
                }
            }
        };
        let Some(inner) = place.inner else { return Some(table) };
        match super::value_mut(table, inner)? {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    fn strike_value(&self, nemesis: usize, strike: usize) -> &Value {
        &super::strikes_of(self.table("nemesis", nemesis)).expect("it has strikes")[strike].value
    }
}

/// To whole milliseconds, or ten of them.
fn round(duration: Duration) -> Duration {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(if millis > 100 { millis / 10 * 10 } else { millis })
}
