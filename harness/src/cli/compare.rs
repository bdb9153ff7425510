//! `regatta compare A B`: two stored runs side by side, or two revisions in the same session.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use super::Terminal;
use super::gate::tiers::{Stop, compared, keep_and_tell};
use super::output::{Forms, Outputs, absolute};
use crate::bench::{store, stored};
use crate::exit;
use crate::paired::arm::{Arm, gates};
use crate::paired::base::{self, Built};
use crate::paired::round::{BLOCKS_DEFAULT, Pair, Plan};
use crate::report::paired::Document;
use crate::report::{bench as shown, html};
use crate::results;
use crate::results::runs::RunFolder;

/// Compare two runs that `regatta bench` has kept, or build two revisions and let those take turns.
///
/// A and B are names, ids or folders of stored runs; otherwise they are revisions. Stored runs come from different
/// sessions, so their comparison tells and never fails; that of revisions has verdicts and exit codes like a gate.
#[derive(Debug, Args)]
pub(super) struct Compare {
    /// What is compared with.
    #[arg(value_name = "A")]
    a: String,
    /// What is compared.
    #[arg(value_name = "B")]
    b: String,
    /// Of revisions: the scenario with the paired gates.
    #[arg(long, value_name = "FILE", default_value = "scenarios/load/gate.toml")]
    scenario: PathBuf,
    /// Of revisions: blocks of a round.
    #[arg(long, value_name = "N", default_value_t = BLOCKS_DEFAULT)]
    blocks: usize,
    /// Of revisions: the seed of the order of turns.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    #[command(flatten)]
    outputs: Outputs,
}

impl Compare {
    pub(super) fn run(&self, terminal: &mut Terminal<'_>) -> io::Result<u8> {
        let results = results::folder();
        let found = [&self.a, &self.b].map(|which| RunFolder::find(&results, which));
        match found {
            [Some(a), Some(b)] => self.stored(&a, &b, terminal),
            [None, None] => self.revisions(terminal),
            [a, _] => {
                let other = if a.is_none() { &self.a } else { &self.b };
                let kept = store::list(&results)?.into_keys().collect::<Vec<_>>().join(", ");
                writeln!(
                    terminal.err,
                    "error: `{other}` is no stored run, and the other one is; compare two runs or two revisions\n\
                     stored runs: {}",
                    if kept.is_empty() { "none" } else { &kept }
                )?;
                Ok(exit::USAGE)
            }
        }
    }

    fn stored(&self, a: &RunFolder, b: &RunFolder, terminal: &mut Terminal<'_>) -> io::Result<u8> {
        let (a, b) = match (store::read(a), store::read(b)) {
            (Ok(a), Ok(b)) => (a, b),
            (Err(error), _) | (_, Err(error)) => {
                writeln!(terminal.err, "error: {error}")?;
                return Ok(exit::USAGE);
            }
        };
        let both = stored::compare(&a, &b);
        if !both.same_machine {
            writeln!(
                terminal.err,
                "error: the runs are of machines that differ ({} and {}), so their figures are not compared",
                a.machine, b.machine
            )?;
            return Ok(exit::INVALID);
        }
        let forms = Forms {
            text: &|colour| shown::stored(&both, colour),
            markdown: &|| format!("```text\n{}```\n", shown::stored(&both, false)),
            html: &|| html::stored(&a, &b, &both),
            junit: None,
        };
        self.outputs.tell(&both, &forms, terminal)?;
        Ok(exit::PASS)
    }

    fn revisions(&self, terminal: &mut Terminal<'_>) -> io::Result<u8> {
        match self.built(terminal) {
            Ok(code) | Err(Stop::Told(code)) => Ok(code),
            Err(Stop::Output(error)) => Err(error),
        }
    }

    fn built(&self, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
        let scenario = absolute(&self.scenario)?;
        let (_, metrics) = gates(&scenario).or_else(|wrong| {
            writeln!(terminal.err, "{wrong}")?;
            Err(Stop::Told(exit::BAD_SCENARIO))
        })?;
        let mut build = |revision: &str| -> Result<Built, Stop> {
            writeln!(terminal.err, "building {revision}")?;
            base::build(revision).or_else(|error| {
                writeln!(
                    terminal.err,
                    "error: `{revision}` is neither a stored run nor a revision that builds: {error}"
                )?;
                Err(Stop::Told(exit::USAGE))
            })
        };
        let (a, b) = (build(&self.a)?, build(&self.b)?);
        let arm =
            |program: &Path| Arm { program: program.to_owned(), scenario: scenario.clone(), world: None };
        let pair = Pair { base: arm(&a.program), head: arm(&b.program), metrics };
        let seed = self.seed.unwrap_or_else(results::unix_s);
        let plan = Plan { blocks: self.blocks, seed, calibrates: true };
        let mut document = Document::of(&self.a);
        document.scenario = self.scenario.display().to_string();
        document.base_commit = a.commit;
        document.head = b.commit.get(..12).unwrap_or(&b.commit).to_owned();
        document.seed = seed;
        document.comparison = Some(compared(&pair, plan, terminal)?);
        document.answer();
        keep_and_tell(&document, &self.outputs, terminal)?;
        Ok(document.answer.code())
    }
}
