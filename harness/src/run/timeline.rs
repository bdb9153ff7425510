//! When loads ran and faults were in force, for plots over time.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::{Event, What};
use crate::scenario::Scenario;

/// A stretch of a run, in seconds since its start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stretch {
    /// What went on: the id of a load; the id of a fault, or its kind.
    pub name: String,
    /// When it began.
    pub begun_s: f64,
    /// When a load's warm-up was over; of a fault, when it began.
    pub measured_s: f64,
    /// When it ended; absent when it lasted to the end of the run.
    pub ended_s: Option<f64>,
}

/// Loads and faults of a run, each in the order of their beginning.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timeline {
    /// Loads, warm-up included.
    pub loads: Vec<Stretch>,
    /// Faults.
    pub faults: Vec<Stretch>,
}

impl Timeline {
    /// What the events tell.
    pub(crate) fn of(scenario: &Scenario, events: &[Event]) -> Self {
        let mut line = Self::default();
        let (mut loads, mut faults) = (BTreeMap::new(), BTreeMap::new());
        for event in events {
            let at_s = event.at_ns as f64 / 1e9;
            let begin = |list: &mut Vec<Stretch>, name: &str, warmup: Duration| {
                let measured_s = at_s + warmup.as_secs_f64();
                list.push(Stretch { name: name.to_owned(), begun_s: at_s, measured_s, ended_s: None });
                list.len() - 1
            };
            match &event.what {
                What::LoadBegun { load } => {
                    let of = scenario.loads.get(*load);
                    let (name, warmup) = of.map_or(("?", Duration::ZERO), |of| (&of.id, of.warmup));
                    loads.insert(*load, begin(&mut line.loads, name, warmup));
                }
                What::FaultBegun { key, name, .. } => {
                    faults.insert(*key, begin(&mut line.faults, name, Duration::ZERO));
                }
                What::LoadEnded { load } => {
                    if let Some(index) = loads.remove(load) {
                        line.loads[index].ended_s = Some(at_s);
                    }
                }
                What::FaultEnded { key } => {
                    if let Some(index) = faults.remove(key) {
                        line.faults[index].ended_s = Some(at_s);
                    }
                }
                _ => {}
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_begin_and_end_with_their_events() {
        let text = include_str!("../../../scenarios/load/open.toml");
        let vocabulary = crate::scenario::Vocabulary::default();
        let cells = crate::scenario::load_str("load/open.toml", text, &vocabulary).expect("a scenario");
        let at = |at_s: f64, what| Event { at_ns: (at_s * 1e9) as u64, what };
        let begun = What::FaultBegun { key: 3, name: "cut".to_owned(), nodes: Vec::new() };
        let events = [
            at(0.5, What::LoadBegun { load: 0 }),
            at(1.0, begun.clone()),
            at(1.5, What::FaultEnded { key: 3 }),
            at(2.0, begun),
            at(2.5, What::LoadEnded { load: 0 }),
        ];
        let line = Timeline::of(&cells[0], &events);
        let load =
            Stretch { name: cells[0].loads[0].id.clone(), begun_s: 0.5, measured_s: 1.0, ended_s: Some(2.5) };
        assert_eq!(line.loads, [load]);
        let ends: Vec<_> = line.faults.iter().map(|fault| (fault.begun_s, fault.ended_s)).collect();
        assert_eq!(ends, [(1.0, Some(1.5)), (2.0, None)]);
    }
}
