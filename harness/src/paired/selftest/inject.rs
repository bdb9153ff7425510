//! Slowdowns of a known size: the same scenario, whose messages take so much longer, or so many more instructions.

use std::fs;
use std::path::Path;

use toml::{Table, Value};

use crate::gate::shift::median;
use crate::paired::arm::{Arm, TrialError};
use crate::paired::counts::{self, Lengths};
use crate::paired::turns;
use crate::random::Random;
use crate::scenario::load::INSTRUCTIONS;

/// Blocks, as those of a decision, from which the time of a message is known.
const BASELINE_BLOCKS: u64 = 4;
/// Turns of work from which the instructions of one are known.
const TURNS_TRIED: i64 = 1_000;

/// What a message takes now, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    round_trip: f64,
    period: f64,
}

pub(super) fn baseline(base: &Arm) -> Result<Now, TrialError> {
    let (mut round_trips, mut periods) = (Vec::new(), Vec::new());
    let mut random = Random::apart(0, "baseline");
    for seed in 0..BASELINE_BLOCKS {
        for figures in turns::run([base, base, base], seed, &mut random)? {
            round_trips.extend(figures.get("latency.p50_us").map(|us| us * 1e3));
            periods.extend(figures.get("saturation.rate").map(|rate| 1e9 / rate));
        }
    }
    let middle = |values: &[f64]| median(values).unwrap_or(0.0);
    Ok(Now { round_trip: middle(&round_trips), period: middle(&periods) })
}

/// The paired scenario with work on both ends.
pub(super) fn slower(text: &str, share: f64, now: Now) -> Result<String, String> {
    let mut scenario: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let idle = (now.round_trip * share).round() as i64;
    let busy = (now.period * share / 2.0).round() as i64;
    for (echo, work) in [("idle-echo", idle), ("busy-echo", busy)] {
        the(&mut scenario, "process", "label", echo, |table| work_of(table, "work_ns", work))?;
    }
    the(&mut scenario, "load", "id", "saturation", |table| {
        table.insert("work".to_owned(), Value::String(format!("{}us", busy as f64 / 1e3)));
    })?;
    toml::to_string(&scenario).map_err(|error| error.to_string())
}

fn work_of(process: &mut Table, key: &str, work: i64) {
    let args: Table = [(key.to_owned(), Value::Integer(work))].into_iter().collect();
    process.insert("args".to_owned(), Value::Table(args));
}

/// Changes the one table of a list whose key has this value.
fn the(
    scenario: &mut Table,
    list: &str,
    key: &str,
    of: &str,
    change: impl FnOnce(&mut Table),
) -> Result<(), String> {
    let tables = scenario.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
    let mut found: Vec<&mut Table> = tables
        .filter_map(Value::as_table_mut)
        .filter(|table| table.get(key).and_then(Value::as_str) == Some(of))
        .collect();
    match (found.pop(), found.is_empty()) {
        (Some(table), true) => {
            change(table);
            Ok(())
        }
        _ => Err(format!("the self-test needs one [[{list}]] with {key} = \"{of}\"")),
    }
}

/// The counted scenario, as it is and with more instructions.
#[derive(Debug)]
pub(super) struct Dearer<'a> {
    text: String,
    folder: &'a Path,
    pub(super) plain: Lengths,
    /// Instructions of one message.
    message: f64,
    /// Instructions of one turn of work, spread over the two messages of a round trip.
    turn: f64,
}

impl<'a> Dearer<'a> {
    /// Counts what a message and a turn of work take now.
    pub(super) fn measure(program: &Path, scenario: &Path, folder: &'a Path) -> Result<Self, String> {
        let text =
            fs::read_to_string(scenario).map_err(|error| format!("{}: {error}", scenario.display()))?;
        let plain = Lengths::write(&text, folder, "plain", |_| {})?;
        let worked = with_turns(&text, folder, "turns", TURNS_TRIED)?;
        let message = counts::count(program, &plain, INSTRUCTIONS)?.total;
        let more = counts::count(program, &worked, INSTRUCTIONS)?.total - message;
        if more <= 0.0 {
            return Err("work in the echo costs no instructions".to_owned());
        }
        Ok(Self { text, folder, plain, message, turn: more / TURNS_TRIED as f64 })
    }

    /// The scenario whose messages take so many instructions more, as a share.
    pub(super) fn by(&self, share: f64) -> Result<Lengths, String> {
        let turns = (self.message * share / self.turn).round().max(1.0) as i64;
        with_turns(&self.text, self.folder, &format!("dearer-{:.0}", share * 1_000.0), turns)
    }
}

fn with_turns(text: &str, folder: &Path, name: &str, turns: i64) -> Result<Lengths, String> {
    let mut missing = true;
    let lengths = Lengths::write(text, folder, name, |scenario| {
        let process = scenario.get_mut("process").and_then(Value::as_array_mut);
        let process = process.and_then(|list| list.first_mut()).and_then(Value::as_table_mut);
        if let Some(process) = process {
            work_of(process, "work_turns", turns);
            missing = false;
        }
    })?;
    if missing { Err("the counted scenario needs a [[process]]".to_owned()) } else { Ok(lengths) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::paired::arm::gates;

    #[test]
    fn a_slowdown_is_the_same_scenario_with_work_on_both_ends() {
        let text = include_str!("../../../../scenarios/load/gate.toml");
        let slower = slower(text, 0.10, Now { round_trip: 12_000.0, period: 1_500.0 }).expect("a scenario");
        let table: Table = slower.parse().expect("toml");
        let process = table["process"].as_array().expect("processes");
        assert_eq!(process[0]["args"]["work_ns"].as_integer(), Some(1_200));
        assert_eq!(process[1]["args"]["work_ns"].as_integer(), Some(75));
        assert_eq!(table["load"][1]["work"].as_str(), Some("0.075us"));
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("slower.toml");
        fs::write(&path, slower).expect("written");
        let (scenario, _) = gates(&path).expect("still a gate");
        assert_eq!(scenario.loads[1].work, Duration::from_nanos(75));
    }

    #[test]
    fn dearer_messages_are_turns_of_work_in_the_echo() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = include_str!("../../../../scenarios/load/counts.toml");
        let plain = Lengths::write(text, folder.path(), "plain", |_| {}).expect("a scenario");
        let dearer =
            Dearer { text: text.to_owned(), folder: folder.path(), plain, message: 10_000.0, turn: 2.0 };
        dearer.by(0.03).expect("a scenario");
        let table: Table = fs::read_to_string(folder.path().join("dearer-30-long.toml"))
            .expect("written")
            .parse()
            .expect("toml");
        assert_eq!(table["process"][0]["args"]["work_turns"].as_integer(), Some(150));
    }
}
