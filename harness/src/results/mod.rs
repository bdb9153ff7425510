//! What is kept of measurements, and where: below a folder `results`.
//!
//! | File | Its one job |
//! |---|---|
//! | `accepted` | `results/exact/`: values that repeat to the last digit, as they were accepted |
//! | `runs` | `results/runs/<id>/`: everything that a run of benchmarks or a gate leaves |
//! | `history` | `results/history/`: benchmark runs of main, a line for each load; only ever added to |
//! | `proofs` | `results/self-test/`: what the gate proved of itself, by machine |
//! | `machine` | the machine, the compiler and the dependencies that figures come from |
//!
//! What must stay true: only `regatta accept` changes what is accepted.

pub mod accepted;
pub mod history;
pub mod machine;
pub mod proofs;
pub mod runs;

use std::path::PathBuf;

/// The folder of results of the repository around this folder; `results` here where there is none.
#[must_use]
pub fn folder() -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let found = here.ancestors().map(|folder| folder.join("results")).find(|folder| folder.is_dir());
    found.unwrap_or_else(|| PathBuf::from("results"))
}

/// Seconds since 1970.
#[must_use]
pub fn unix_s() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}
