//! The tiers of a gate, one after another, best signal first, and the one document that comes of them.

use std::io;
use std::path::Path;

use super::{Gate, Tier, absolute};
use crate::cli::Terminal;
use crate::cli::output::{Forms, Outputs};
use crate::exit;
use crate::paired::arm::{Arm, gates};
use crate::paired::compare::compare;
use crate::paired::round::{Pair, Plan};
use crate::paired::{base, counts, exactly};
use crate::report::paired::{self as shown, Document};
use crate::report::{html, junit};
use crate::results::runs::{MANIFEST, RunFolder};
use crate::results::{self, history, proofs};
use crate::scenario::{self, Vocabulary};

/// What ends a gate before it has an answer.
pub(in crate::cli) enum Stop {
    /// It was told; this is the exit code.
    Told(u8),
    /// The output could not be written.
    Output(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl Gate {
    pub(super) fn judge(&self, terminal: &mut Terminal<'_>) -> io::Result<u8> {
        let revision = self.base.as_deref();
        let mut document = Document::of(revision.unwrap_or("results/exact"));
        match self.tiers(&mut document, terminal) {
            Ok(()) => {}
            Err(Stop::Told(code)) => return Ok(code),
            Err(Stop::Output(error)) => return Err(error),
        }
        if document.is_empty() && !self.tiers.contains(&Tier::History) {
            writeln!(
                terminal.err,
                "error: no tier is left to run; those on counts and pairs need --base REV"
            )?;
            return Ok(exit::USAGE);
        }
        let results = results::folder();
        document.proof = proofs::read(&results, &document.machine);
        document.collected = proofs::collected(&results, &document.machine);
        document.answer();
        keep_and_tell(&document, &self.outputs, terminal)?;
        Ok(document.answer.code())
    }

    fn tiers(&self, document: &mut Document, terminal: &mut Terminal<'_>) -> Result<(), Stop> {
        if self.asks(Tier::Exact) {
            self.exact(document, terminal)?;
        }
        if self.asks(Tier::History) {
            // A history that cannot be read is told by `regatta history`; it gates nothing here.
            let mut records = history::read(&results::folder()).unwrap_or_default();
            records.retain(|record| record.machine.id == document.machine.id);
            document.history = history::series(&records);
            document.history.retain(|one| !one.steps.is_empty());
        }
        let Some(revision) = &self.base else { return Ok(()) };
        if !self.asks(Tier::Counts) && !self.asks(Tier::Paired) {
            return Ok(());
        }
        writeln!(terminal.err, "building the base, {revision}")?;
        let built = base::build(revision).or_else(|error| {
            writeln!(terminal.err, "error: {error}")?;
            Err(Stop::Told(exit::USAGE))
        })?;
        document.base_commit.clone_from(&built.commit);
        if self.asks(Tier::Counts) {
            self.count(&built.program, document, terminal)?;
        }
        if self.asks(Tier::Paired) {
            self.pair(&built.program, document, terminal)?;
        }
        Ok(())
    }

    fn exact(&self, document: &mut Document, terminal: &mut Terminal<'_>) -> Result<(), Stop> {
        let files = scenario::discover(&self.paths).or_else(|error| {
            writeln!(terminal.err, "error: {error}")?;
            Err(Stop::Told(exit::USAGE))
        })?;
        let (program, results) = (std::env::current_exe()?, results::folder());
        for file in files {
            let cells = scenario::load(&file, &Vocabulary::default()).or_else(|wrong| {
                writeln!(terminal.err, "{}", wrong.render(terminal.err_colour))?;
                Err(Stop::Told(exit::BAD_SCENARIO))
            })?;
            if cells.iter().any(|cell| !exactly::figures(cell).is_empty()) {
                document.exact.push(exactly::judge(&program, &results, &absolute(&file)?, &cells));
            }
        }
        Ok(())
    }

    fn count(&self, base: &Path, document: &mut Document, terminal: &mut Terminal<'_>) -> Result<(), Stop> {
        let head = std::env::current_exe()?;
        let counted = counts::compare(base, &head, &absolute(&self.counts)?, |what| {
            // A terminal that cannot be written to shows nothing; the counting goes on.
            let _ = writeln!(terminal.err, "counting {what}");
        });
        match counted {
            Ok(counts) => document.counts = Some(counts),
            Err(why) => {
                let counts = counts::Counts { unsupported: vec![why], ..counts::Counts::default() };
                document.counts = Some(counts);
            }
        }
        Ok(())
    }

    fn pair(&self, base: &Path, document: &mut Document, terminal: &mut Terminal<'_>) -> Result<(), Stop> {
        let scenario = absolute(&self.scenario)?;
        let (_, metrics) = gates(&scenario).or_else(|wrong| {
            writeln!(terminal.err, "{wrong}")?;
            Err(Stop::Told(exit::BAD_SCENARIO))
        })?;
        let arm =
            |program: &Path| Arm { program: program.to_owned(), scenario: scenario.clone(), world: None };
        let head = std::env::current_exe()?;
        let pair = Pair { base: arm(base), head: arm(&head), metrics };
        let plan = Plan { blocks: self.blocks, seed: self.seed(), calibrates: true };
        document.scenario = self.scenario.display().to_string();
        document.seed = plan.seed;
        document.comparison = Some(compared(&pair, plan, terminal)?);
        Ok(())
    }
}

/// Compares two builds in blocks, and shows how far it has come.
pub(in crate::cli) fn compared(
    pair: &Pair,
    plan: Plan,
    terminal: &mut Terminal<'_>,
) -> Result<crate::paired::compare::Comparison, Stop> {
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
    compared.or_else(|error| {
        writeln!(terminal.err, "error: the builds cannot be compared: {error}")?;
        Err(Stop::Told(exit::UNSUPPORTED))
    })
}

/// Keeps what a gate found, shows it, and writes it where it was asked for.
pub(in crate::cli) fn keep_and_tell(
    document: &Document,
    outputs: &Outputs,
    terminal: &mut Terminal<'_>,
) -> io::Result<()> {
    let forms = Forms {
        text: &|colour| shown::text(document, colour),
        markdown: &|| shown::markdown(document),
        html: &|| html::gate(document),
        junit: Some(&|| junit::gate(document)),
    };
    outputs.tell(document, &forms, terminal)?;
    if let Some(folder) = keep(document)? {
        let (out, _) = outputs.people(terminal);
        writeln!(out, "report in {}/report.html", folder.path.display())?;
    }
    Ok(())
}

/// Keeps a gate's folder where there is a folder of results.
fn keep(document: &Document) -> io::Result<Option<RunFolder>> {
    let results = results::folder();
    if !results.is_dir() {
        return Ok(None);
    }
    let folder = RunFolder::create(&results, &format!("gate-{}", document.head), None)?;
    folder.write(MANIFEST, &(serde_json::to_string_pretty(document).map_err(io::Error::other)? + "\n"))?;
    if let Some(comparison) = &document.comparison {
        let mut lines = String::new();
        for (round, of) in (1..).zip(&comparison.rounds) {
            for block in &of.blocks {
                let line = serde_json::json!({ "round": round, "block": block });
                lines.push_str(&(line.to_string() + "\n"));
            }
        }
        folder.write("blocks.jsonl", &lines)?;
    }
    folder.write("summary.md", &shown::markdown(document))?;
    folder.write("report.html", &html::gate(document))?;
    folder.write("junit.xml", &junit::gate(document))?;
    Ok(Some(folder))
}
