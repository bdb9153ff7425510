//! `regatta history`: the figures of main over time, and where their level changed.

use std::io;

use clap::Args;

use super::Terminal;
use super::output::{Forms, Outputs};
use crate::exit;
use crate::report::{history as shown, html};
use crate::results::machine::Machine;
use crate::results::{self, history};

/// Show the figures of main over time, and the commits between which their level changed (E-divisive means).
///
/// Reads results/history, which `regatta bench --record` adds to. Tells and never fails.
#[derive(Debug, Args)]
pub(super) struct History {
    /// Only loads and figures that hold this text.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Records of machines of all kinds, each in series of its own; by default only those of this kind.
    #[arg(long)]
    all_machines: bool,
    #[command(flatten)]
    outputs: Outputs,
}

impl History {
    pub(super) fn run(&self, terminal: &mut Terminal<'_>) -> io::Result<u8> {
        let mut records = match history::read(&results::folder()) {
            Ok(records) => records,
            Err(error) => {
                writeln!(terminal.err, "error: the history cannot be read: {error}")?;
                return Ok(exit::INTERNAL);
            }
        };
        let (all, here) = (records.len(), Machine::this().id);
        records.retain(|record| self.all_machines || record.machine.id == here);
        if records.is_empty() {
            let others = if all > 0 {
                format!("; {all} records are of machines of other kinds (--all-machines)")
            } else {
                String::new()
            };
            writeln!(
                terminal.err,
                "error: there is no history; `regatta bench --record` begins one{others}"
            )?;
            return Ok(exit::USAGE);
        }
        let mut series = history::series(&records);
        if let Some(filter) = &self.filter {
            series.retain(|one| one.load.contains(filter.as_str()) || one.figure.contains(filter.as_str()));
        }
        let forms = Forms {
            text: &|colour| shown::text(&series, colour),
            markdown: &|| format!("```text\n{}```\n", shown::text(&series, false)),
            html: &|| html::history(&series),
            junit: None,
        };
        self.outputs.tell(&series, &forms, terminal)?;
        Ok(exit::PASS)
    }
}
