//! What the gate proved of itself: `results/self-test/<machine>.json`, the latest of each machine, and
//! `results/self-test/<machine>.jsonl`, the decisions over equal builds of all self-tests, a line for each.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::machine::Machine;
use crate::gate::power::Count;
use crate::paired::selftest::{Proof, SCHEMA};

/// The decisions over equal builds of one self-test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Line {
    unix_s: u64,
    revision: String,
    equal: Count,
    equal_counts: Count,
}

/// Decisions over equal builds, of all self-tests on machines of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Collected {
    /// Self-tests.
    pub self_tests: u64,
    /// Their decisions, over blocks and over counts.
    pub count: Count,
}

fn path(results: &Path, machine: &Machine, extension: &str) -> PathBuf {
    results.join("self-test").join(format!("{}.{extension}", machine.id))
}

/// The latest proof on a machine of this kind; none where there is none, or it is of another version.
#[must_use]
pub fn read(results: &Path, machine: &Machine) -> Option<Proof> {
    let text = fs::read_to_string(path(results, machine, "json")).ok()?;
    serde_json::from_str(&text).ok().filter(|proof: &Proof| proof.schema == SCHEMA)
}

/// Keeps a proof, if there is a folder of results; where.
///
/// # Errors
/// What the file system says.
pub fn write(results: &Path, proof: &Proof) -> io::Result<Option<PathBuf>> {
    if !results.is_dir() {
        return Ok(None);
    }
    let path = path(results, &proof.machine, "json");
    fs::create_dir_all(results.join("self-test"))?;
    fs::write(&path, serde_json::to_string_pretty(proof).map_err(io::Error::other)? + "\n")?;
    Ok(Some(path))
}

/// Adds a proof's decisions over equal builds to those of earlier ones, if there is a folder of results.
///
/// # Errors
/// What the file system says.
pub fn collect(results: &Path, proof: &Proof) -> io::Result<()> {
    if !results.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(results.join("self-test"))?;
    let line = Line {
        unix_s: proof.unix_s,
        revision: proof.revision.clone(),
        equal: proof.equal,
        equal_counts: proof.equal_counts,
    };
    let line = serde_json::to_string(&line).map_err(io::Error::other)? + "\n";
    let path = path(results, &proof.machine, "jsonl");
    fs::OpenOptions::new().append(true).create(true).open(path)?.write_all(line.as_bytes())
}

/// Everything that was collected on machines of this kind.
#[must_use]
pub fn collected(results: &Path, machine: &Machine) -> Option<Collected> {
    let text = fs::read_to_string(path(results, machine, "jsonl")).ok()?;
    let mut all = Collected::default();
    for line in text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok()) {
        all.self_tests += 1;
        for count in [line.equal, line.equal_counts] {
            all.count.decisions += count.decisions;
            all.count.alarms += count.alarms;
            all.count.inconclusive += count.inconclusive;
        }
    }
    Some(all).filter(|all| all.self_tests > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paired::selftest::{Extent, short_form};

    fn proof(decisions: u64) -> Proof {
        let equal = Count { decisions, alarms: 0, inconclusive: 1 };
        Proof {
            schema: SCHEMA.to_owned(),
            revision: "abc".to_owned(),
            machine: Machine::this(),
            unix_s: 1,
            extent: Extent { equal: decisions, ..short_form() },
            equal,
            equal_counts: Count::default(),
            false_alarms_at_most: equal.rate_at_most(),
            metrics: Vec::new(),
            seconds: 1.0,
            cut: false,
            failures: Vec::new(),
            unsupported: Vec::new(),
        }
    }

    #[test]
    fn the_latest_proof_is_kept_and_decisions_over_equal_builds_add_up() {
        let results = tempfile::tempdir().expect("a folder");
        for decisions in [100, 200] {
            write(results.path(), &proof(decisions)).expect("written");
            collect(results.path(), &proof(decisions)).expect("written");
        }
        let machine = Machine::this();
        assert_eq!(read(results.path(), &machine).map(|proof| proof.equal.decisions), Some(200));
        let all = collected(results.path(), &machine).expect("collected");
        assert_eq!((all.self_tests, all.count.decisions, all.count.inconclusive), (2, 300, 2));
        assert!(all.count.rate_at_most() < 0.01, "0 in 300 bound the rate below 1 %");
    }
}
