//! Checkers over what was recorded: each reads the whole history of a run, and nothing else.
//!
//! | File | Checker | What must hold |
//! |---|---|---|
//! | `order` | `order` | what a receiver gets from a sender never goes back |
//! | `delivery` | `delivery` | nothing arrives twice, or that nobody sent |
//! | `downs` | `down-once` | each monitor fires once, and for everybody who watches |
//! | `names` | `names` | in the end each name has one owner, the same for all |
//! | `linearizable` | `linearizable` | clients of a register see one order of operations |

mod delivery;
mod downs;
mod linearizable;
mod names;
mod order;

use std::collections::BTreeMap;
use std::sync::Arc;

use regatta::{Incarnation, Pid};

use crate::record::{Event, What};

/// The history of a run.
#[derive(Debug, Default)]
pub struct History {
    /// What happened, in the order of time.
    pub events: Vec<Event>,
    /// What the scenario calls its processes; a node's control process has the node's name.
    pub labels: BTreeMap<Pid, String>,
    /// The starts of nodes, with the nodes' names.
    pub nodes: BTreeMap<Incarnation, String>,
    /// The starts of nodes that still run at the end.
    pub running: Vec<Incarnation>,
}

impl History {
    /// What the scenario calls a process; its pid when it has no name there.
    #[must_use]
    pub fn label(&self, pid: Pid) -> String {
        self.labels.get(&pid).cloned().unwrap_or_else(|| pid.to_string())
    }

    /// Whether the node of a process still runs, as the start that the process belongs to.
    #[must_use]
    pub fn node_runs(&self, pid: Pid) -> bool {
        self.running.contains(&pid.incarnation())
    }

    /// What happened, of one kind.
    pub(crate) fn of<'a, T: 'a>(
        &'a self,
        pick: impl Fn(&'a What) -> Option<T> + 'a,
    ) -> impl Iterator<Item = (u64, T)> + 'a {
        self.events.iter().filter_map(move |event| Some((event.at_ns, pick(&event.what)?)))
    }
}

/// A checker: `Err` says what is wrong, in a few lines.
pub type Checker = Arc<dyn Fn(&History) -> Result<(), String> + Send + Sync>;

/// The checkers that every build has.
pub(crate) fn built_in() -> BTreeMap<String, Checker> {
    let mut all: BTreeMap<String, Checker> = BTreeMap::new();
    all.insert("order".to_owned(), Arc::new(order::check));
    all.insert("delivery".to_owned(), Arc::new(delivery::check));
    all.insert("down-once".to_owned(), Arc::new(downs::check));
    all.insert("names".to_owned(), Arc::new(names::check));
    all.insert("linearizable".to_owned(), Arc::new(linearizable::check));
    all
}

/// A moment as people read it.
pub(crate) fn seconds(at_ns: u64) -> String {
    format!("{:.3} s", at_ns as f64 / 1e9)
}

/// Some of many findings, one a line.
fn told(mut wrong: Vec<String>) -> Result<(), String> {
    if wrong.is_empty() {
        return Ok(());
    }
    let more = wrong.len().saturating_sub(TOLD_MAX);
    wrong.truncate(TOLD_MAX);
    if more > 0 {
        wrong.push(format!("… and {more} more"));
    }
    Err(wrong.join("\n"))
}

/// Findings that are told.
const TOLD_MAX: usize = 10;

#[cfg(test)]
pub(crate) mod testing {
    //! Short histories, written down.

    use regatta::{Incarnation, Pid};

    use super::History;
    use crate::record::{Event, Passage, What};
    use crate::world::order::PidText;

    pub(crate) fn pid(node: u64, serial: u64) -> Pid {
        Pid::new(Incarnation::from_raw(node), serial)
    }

    pub(crate) fn history(whats: Vec<What>) -> History {
        let events =
            whats.into_iter().zip(1..).map(|(what, at_ns)| Event { at_ns, what }).collect::<Vec<_>>();
        let nodes =
            [(Incarnation::from_raw(1), "n1".to_owned()), (Incarnation::from_raw(2), "n2".to_owned())];
        History {
            events,
            nodes: nodes.into(),
            running: vec![Incarnation::from_raw(1), Incarnation::from_raw(2)],
            ..History::default()
        }
    }

    pub(crate) fn passage(from: Pid, to: Pid, number: u64) -> Passage {
        Passage { from: PidText(from), to: PidText(to), kind: "data".to_owned(), number, bytes: 32 }
    }
}
