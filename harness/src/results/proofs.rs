//! What the gate proved of itself: `results/self-test/<machine>.json`, the latest of each machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::machine::Machine;
use crate::paired::selftest::{Proof, SCHEMA};

fn path(results: &Path, machine: &Machine) -> PathBuf {
    results.join("self-test").join(format!("{}.json", machine.id))
}

/// The latest proof on a machine of this kind; none where there is none, or it is of another version.
#[must_use]
pub fn read(results: &Path, machine: &Machine) -> Option<Proof> {
    let text = fs::read_to_string(path(results, machine)).ok()?;
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
    let path = path(results, &proof.machine);
    fs::create_dir_all(results.join("self-test"))?;
    fs::write(&path, serde_json::to_string_pretty(proof).map_err(io::Error::other)? + "\n")?;
    Ok(Some(path))
}
