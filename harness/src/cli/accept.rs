//! `regatta accept`: takes exact values as they are now for the right ones.

use std::io;
use std::path::PathBuf;

use clap::Args;

use super::Terminal;
use crate::exit;
use crate::gate::exact::differences;
use crate::paired::exactly;
use crate::results::{self, accepted};
use crate::scenario::{self, Vocabulary};

/// Accept the exact values of scenarios as they are now; `regatta gate` then compares with them.
#[derive(Debug, Args)]
pub(super) struct Accept {
    /// Scenario files, and folders to search for *.toml; those without an exact gate are passed over.
    #[arg(value_name = "PATH", default_value = "scenarios")]
    paths: Vec<PathBuf>,
}

impl Accept {
    pub(super) fn run(&self, terminal: &mut Terminal<'_>) -> io::Result<u8> {
        if cfg!(debug_assertions) {
            writeln!(
                terminal.err,
                "error: a build without optimisation is not what is gated; use --release"
            )?;
            return Ok(exit::USAGE);
        }
        let files = match scenario::discover(&self.paths) {
            Ok(files) => files,
            Err(error) => {
                writeln!(terminal.err, "error: {error}")?;
                return Ok(exit::USAGE);
            }
        };
        let (program, results) = (std::env::current_exe()?, results::folder());
        let (mut seen, mut codes) = (0, vec![exit::PASS]);
        for file in files {
            let cells = match scenario::load(&file, &Vocabulary::default()) {
                Ok(cells) => cells,
                Err(wrong) => {
                    codes.push(exit::BAD_SCENARIO);
                    writeln!(terminal.err, "{}\n", wrong.render(terminal.err_colour))?;
                    continue;
                }
            };
            if cells.iter().all(|cell| exactly::figures(cell).is_empty()) {
                continue;
            }
            seen += 1;
            let name = cells[0].area_and_name();
            let (values, unequal) = match exactly::measure(&program, &super::output::absolute(&file)?, &cells)
            {
                Ok(measured) => measured,
                Err(why) => {
                    codes.push(exit::INVALID);
                    writeln!(terminal.err, "error: {name}: {why}")?;
                    continue;
                }
            };
            if !unequal.is_empty() {
                codes.push(exit::INVALID);
                writeln!(
                    terminal.err,
                    "error: {name}: two runs of this build differ, so nothing is accepted:"
                )?;
                for one in unequal {
                    writeln!(terminal.err, "  {one}")?;
                }
                continue;
            }
            let before = accepted::read(&results, &name);
            let before = before.ok().flatten().map(|exact| exact.values).unwrap_or_default();
            let changed = differences(&before, &values);
            if changed.is_empty() {
                writeln!(terminal.out, "{name}: as it was, {} values", values.len())?;
                continue;
            }
            let path = accepted::write(&results, &name, &values)?;
            writeln!(terminal.out, "{name}: accepted in {}", path.display())?;
            for one in changed {
                writeln!(terminal.out, "  {one}")?;
            }
        }
        if seen == 0 && codes.len() == 1 {
            writeln!(terminal.err, "error: no scenario here has an exact gate")?;
            return Ok(exit::USAGE);
        }
        Ok(exit::combine(codes))
    }
}
