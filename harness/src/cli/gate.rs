//! `regatta gate`: whether this tree may replace another revision, and how far the gate itself can be trusted.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;

use super::Terminal;
use crate::exit;
use crate::paired::arm::{Arm, gates};
use crate::paired::base;
use crate::paired::compare::compare;
use crate::paired::round::{BLOCKS_DEFAULT, Pair, Plan};
use crate::paired::selftest::{self, Proof};
use crate::report::paired::{self as shown, Document};

/// Compare this build with a base revision, interleaved, and fail if it is worse.
#[derive(Debug, Args)]
pub(super) struct Gate {
    /// The revision to compare with; it is built in a worktree of its own.
    #[arg(long, value_name = "REV", required_unless_present = "self_test")]
    base: Option<String>,
    /// Prove the gate itself: equal builds, and injected slowdowns.
    #[arg(long, conflicts_with = "base")]
    self_test: bool,
    /// The scenario with the paired gates.
    #[arg(long, value_name = "FILE", default_value = "scenarios/load/gate.toml")]
    scenario: PathBuf,
    /// Blocks of a round.
    #[arg(long, value_name = "N", default_value_t = BLOCKS_DEFAULT)]
    blocks: usize,
    /// The seed of the order within the blocks; by default the time.
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
    /// Write the result as one JSON document; `-` is the standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a summary in markdown, for a pull request.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
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

    fn prove(&self, terminal: &mut Terminal<'_>) -> io::Result<u8> {
        let mut extent = selftest::short_form();
        extent.blocks = self.blocks;
        extent.equal = self.equal.unwrap_or(extent.equal);
        extent.each = self.each.unwrap_or(extent.each);
        extent.within = self.within.map_or(extent.within, |minutes| Duration::from_secs(minutes * 60));
        let program = std::env::current_exe()?;
        let live = terminal.err_live;
        let err = &mut *terminal.err;
        let proof =
            selftest::prove(&program, &absolute(&self.scenario)?, extent, self.seed(), |what, done, all| {
                // A terminal that cannot be written to shows nothing; the proof goes on.
                let _ = if live {
                    write!(err, "\r\x1b[2Kself-test: {done} of {all} decisions, now {what}")
                        .and_then(|()| err.flush())
                } else if done % 10 == 0 {
                    writeln!(err, "self-test: {done} of {all} decisions")
                } else {
                    Ok(())
                };
            });
        if live {
            write!(terminal.err, "\r\x1b[2K")?;
        }
        let proof = match proof {
            Ok(proof) => proof,
            Err(error) => {
                writeln!(terminal.err, "error: {error}")?;
                return Ok(exit::INTERNAL);
            }
        };
        let to_err = self.json.as_deref() == Some(Path::new("-"));
        let out = if to_err { &mut *terminal.err } else { &mut *terminal.out };
        write!(out, "{}", shown::proof(&proof))?;
        write_json(self.json.as_deref(), &proof, terminal)?;
        if let Some(path) = &self.markdown {
            fs::write(path, shown::proof_markdown(&proof))?;
        }
        Ok(code(&proof))
    }

    fn judge(&self, terminal: &mut Terminal<'_>) -> io::Result<u8> {
        let scenario = absolute(&self.scenario)?;
        let metrics = match gates(&scenario) {
            Ok((_, metrics)) => metrics,
            Err(wrong) => {
                writeln!(terminal.err, "{wrong}")?;
                return Ok(exit::BAD_SCENARIO);
            }
        };
        let revision = self.base.as_deref().unwrap_or("HEAD");
        writeln!(terminal.err, "building the base, {revision}")?;
        let built = match base::build(revision) {
            Ok(built) => built,
            Err(error) => {
                writeln!(terminal.err, "error: {error}")?;
                return Ok(exit::USAGE);
            }
        };
        let pair = Pair {
            base: Arm { program: built.program, scenario: scenario.clone() },
            head: Arm { program: std::env::current_exe()?, scenario },
            metrics,
        };
        let document = Document::of(&self.scenario.to_string_lossy(), revision, &built.commit);
        compare_and_tell(
            &pair,
            self.plan(),
            document,
            (self.json.as_deref(), self.markdown.as_deref()),
            terminal,
        )
    }

    fn plan(&self) -> Plan {
        Plan { blocks: self.blocks, seed: self.seed(), calibrates: true }
    }
}

/// Compares, tells what came of it in every form that was asked for, and answers with the exit code.
pub(super) fn compare_and_tell(
    pair: &Pair,
    plan: Plan,
    mut document: Document,
    (json, markdown): (Option<&Path>, Option<&Path>),
    terminal: &mut Terminal<'_>,
) -> io::Result<u8> {
    let live = terminal.err_live;
    let err = &mut *terminal.err;
    let compared = compare(pair, plan, |round, done| {
        if live {
            // A terminal that cannot be written to shows nothing; the comparison goes on.
            let _ = write!(err, "\r\x1b[2Kround {round}: {done} of {} blocks", plan.blocks)
                .and_then(|()| err.flush());
        }
    });
    if live {
        write!(terminal.err, "\r\x1b[2K")?;
    }
    let comparison = match compared {
        Ok(comparison) => comparison,
        Err(error) => {
            writeln!(terminal.err, "error: the builds cannot be compared: {error}")?;
            return Ok(exit::UNSUPPORTED);
        }
    };
    document.fill(comparison);
    let to_err = json == Some(Path::new("-"));
    let (out, colour) = if to_err {
        (&mut *terminal.err, terminal.err_colour)
    } else {
        (&mut *terminal.out, terminal.out_colour)
    };
    write!(out, "{}", shown::text(&document, colour))?;
    write_json(json, &document, terminal)?;
    if let Some(path) = markdown {
        fs::write(path, shown::markdown(&document))?;
    }
    Ok(document.answer.code())
}

fn write_json(
    path: Option<&Path>,
    document: &impl serde::Serialize,
    terminal: &mut Terminal<'_>,
) -> io::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let json = serde_json::to_string_pretty(document).map_err(io::Error::other)?;
    if path == Path::new("-") { writeln!(terminal.out, "{json}") } else { fs::write(path, json + "\n") }
}

/// Trials run in another folder.
pub(super) fn absolute(path: &Path) -> io::Result<PathBuf> {
    std::path::absolute(path)
}

/// A false alarm is a failure of the gate; too few decisions prove nothing.
fn code(proof: &Proof) -> u8 {
    let blind = proof.metrics.iter().any(|one| !one.levels.is_empty() && one.resolution.is_none());
    if proof.equal.alarms > 0 {
        exit::EXPECTATION_FAILED
    } else if proof.cut || !proof.failures.is_empty() || blind {
        exit::INVALID
    } else {
        exit::PASS
    }
}
