//! `regatta gate --self-test`.

use std::io;
use std::time::Duration;

use super::{Gate, absolute};
use crate::cli::Terminal;
use crate::cli::output::Forms;
use crate::exit;
use crate::paired::selftest::{self, Proof, Subject};
use crate::report::{html, paired as shown};
use crate::results::{self, proofs};

impl Gate {
    pub(super) fn prove(&self, terminal: &mut Terminal<'_>) -> io::Result<u8> {
        let mut extent = selftest::short_form();
        extent.blocks = self.blocks;
        if let Some(equal) = self.equal {
            (extent.equal, extent.equal_counted) = (equal, equal.div_ceil(5));
        }
        extent.each = self.each.unwrap_or(extent.each);
        extent.within = self.within.map_or(extent.within, |minutes| Duration::from_secs(minutes * 60));
        let whole = self.equal.is_none() && self.each.is_none();
        let program = std::env::current_exe()?;
        let (paired, counted) = (absolute(&self.scenario)?, absolute(&self.counts)?);
        let live = terminal.err_live;
        let err = &mut *terminal.err;
        let subject = Subject { program: &program, paired: &paired, counted: &counted };
        let proof = selftest::prove(subject, extent, self.seed(), |what, done, all| {
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
        let forms = Forms {
            text: &|_| shown::proof(&proof),
            markdown: &|| shown::proof_markdown(&proof),
            html: &|| html::proof(&proof),
            junit: None,
        };
        self.outputs.tell(&proof, &forms, terminal)?;
        let (out, _) = self.outputs.people(terminal);
        proofs::collect(&results::folder(), &proof)?;
        // A shorter one than the short form says less than the one before.
        if whole && let Some(path) = proofs::write(&results::folder(), &proof)? {
            writeln!(out, "kept in {}", path.display())?;
        }
        Ok(code(&proof))
    }
}

/// A false alarm is a failure of the gate; too few decisions prove nothing.
fn code(proof: &Proof) -> u8 {
    let blind = proof.metrics.iter().any(|one| !one.levels.is_empty() && one.resolution.is_none());
    if proof.equal.alarms + proof.equal_counts.alarms > 0 {
        exit::EXPECTATION_FAILED
    } else if proof.cut || !proof.failures.is_empty() || blind {
        exit::INVALID
    } else {
        exit::PASS
    }
}
