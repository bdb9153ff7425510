//! `regatta check`: reads scenario files and tells every mistake in them. Nothing is run.

use std::io;
use std::path::PathBuf;

use clap::Args;

use super::Terminal;
use crate::exit;
use crate::scenario;

/// Check scenario files without running them.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Scenario files, and folders to search for *.toml.
    #[arg(value_name = "PATH", default_value = "scenarios")]
    paths: Vec<PathBuf>,
}

impl Check {
    pub(super) fn run(&self, terminal: &mut Terminal<'_>) -> io::Result<u8> {
        let files = match scenario::discover(&self.paths) {
            Ok(files) => files,
            Err(error) => {
                writeln!(terminal.err, "error: {error}")?;
                return Ok(exit::USAGE);
            }
        };
        let vocabulary = terminal.behaviours.vocabulary();
        let (mut cells, mut mistakes, mut bad) = (0, 0, 0);
        for file in &files {
            match scenario::load(file, &vocabulary) {
                Ok(scenarios) => {
                    cells += scenarios.len();
                    let count = plural(scenarios.len(), "cell");
                    writeln!(terminal.out, "ok   {}  ({count})", file.display())?;
                }
                Err(diagnostics) => {
                    bad += 1;
                    mistakes += diagnostics.len();
                    writeln!(terminal.out, "bad  {}", file.display())?;
                    writeln!(terminal.err, "{}\n", diagnostics.render(terminal.err_colour))?;
                }
            }
        }
        if bad == 0 {
            writeln!(
                terminal.out,
                "{} with {}: no mistake",
                plural(files.len(), "file"),
                plural(cells, "cell")
            )?;
            return Ok(exit::PASS);
        }
        let (mistakes, files) = (plural(mistakes, "mistake"), plural(files.len(), "file"));
        writeln!(terminal.out, "{mistakes} in {bad} of {files}")?;
        Ok(exit::BAD_SCENARIO)
    }
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
