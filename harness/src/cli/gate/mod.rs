//! `regatta gate`: whether this tree may replace another revision, and how far the gate itself can be trusted.
//!
//! | File | Its one job |
//! |---|---|
//! | `tiers` | runs the tiers that were asked for and makes one document of them |
//! | `prove` | `--self-test` |

mod prove;
pub(super) mod tiers;

use std::io;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};

use super::Terminal;
use super::output::{Outputs, absolute};
use crate::exit;
use crate::paired::round::BLOCKS_DEFAULT;

/// Compare this build with accepted values and with a base revision, and fail if it is worse.
///
/// Without --base, only the exact tier is run: values that repeat to the last digit, against those in results/exact.
#[derive(Debug, Args)]
pub(super) struct Gate {
    /// Scenario files, and folders to search for *.toml, for the exact tier.
    #[arg(value_name = "PATH", default_value = "scenarios")]
    paths: Vec<PathBuf>,
    /// The revision to compare with; it is built in a worktree of its own.
    #[arg(long, value_name = "REV")]
    base: Option<String>,
    /// Only these tiers.
    #[arg(long, value_name = "TIER,…", value_delimiter = ',')]
    tiers: Vec<Tier>,
    /// Prove the gate itself: equal builds, and injected slowdowns.
    #[arg(long, conflicts_with = "base")]
    self_test: bool,
    /// The scenario with the paired gates.
    #[arg(long, value_name = "FILE", default_value = "scenarios/load/gate.toml")]
    scenario: PathBuf,
    /// The scenario with the gates on instructions and system calls.
    #[arg(long, value_name = "FILE", default_value = "scenarios/load/counts.toml")]
    counts: PathBuf,
    /// Blocks of a round.
    #[arg(long, value_name = "N", default_value_t = BLOCKS_DEFAULT)]
    blocks: usize,
    /// The seed of the order of turns; by default the time.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Of a self-test: decisions over equal builds.
    #[arg(long, value_name = "N")]
    equal: Option<u64>,
    /// Of a self-test: decisions for each slowdown.
    #[arg(long, value_name = "N")]
    each: Option<u64>,
    /// Of a self-test: begin no decision after so many minutes.
    #[arg(long, value_name = "MINUTES")]
    within: Option<u64>,
    #[command(flatten)]
    outputs: Outputs,
}

/// A tier of the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tier {
    /// Values that repeat to the last digit, against the accepted ones.
    Exact,
    /// Instructions and system calls per message, against the base.
    Counts,
    /// Times, rates, processor time and memory, against the base, both in turns.
    Paired,
    /// Changes of level in the history of main: told, and fails nothing.
    History,
}

impl Gate {
    pub(super) fn run(&self, terminal: &mut Terminal<'_>) -> io::Result<u8> {
        if cfg!(debug_assertions) {
            writeln!(
                terminal.err,
                "error: figures of a build without optimisation gate nothing; use --release"
            )?;
            return Ok(exit::USAGE);
        }
        if self.self_test { self.prove(terminal) } else { self.judge(terminal) }
    }

    fn seed(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.seed.unwrap_or(now.as_millis() as u64)
    }

    /// Whether a tier is to be run.
    fn asks(&self, tier: Tier) -> bool {
        let possible = matches!(tier, Tier::Exact | Tier::History) || self.base.is_some();
        possible && (self.tiers.is_empty() || self.tiers.contains(&tier))
    }
}
