//! Where a verb's result is written besides the terminal.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use super::Terminal;

/// Files that a result is written to.
#[derive(Debug, Args)]
pub(super) struct Outputs {
    /// Write the result as one JSON document; `-` is the standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a summary in markdown, for a pull request.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write the report as one HTML file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the verdicts as JUnit tests.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// What a result looks like in each of its forms.
pub(super) struct Forms<'a> {
    /// For the terminal, with colour or without.
    pub(super) text: &'a dyn Fn(bool) -> String,
    pub(super) markdown: &'a dyn Fn() -> String,
    pub(super) html: &'a dyn Fn() -> String,
    pub(super) junit: Option<&'a dyn Fn() -> String>,
}

impl Outputs {
    /// Whether the document goes to the standard output, so that people read the standard error.
    pub(super) fn takes_out(&self) -> bool {
        self.json.as_deref() == Some(Path::new("-"))
    }

    /// Where people read, and whether in colour.
    pub(super) fn people<'t>(&self, terminal: &'t mut Terminal<'_>) -> (&'t mut dyn io::Write, bool) {
        if self.takes_out() {
            (&mut *terminal.err, terminal.err_colour)
        } else {
            (&mut *terminal.out, terminal.out_colour)
        }
    }

    /// Shows the result, and writes it where it was asked for.
    pub(super) fn tell(
        &self,
        document: &impl serde::Serialize,
        forms: &Forms<'_>,
        terminal: &mut Terminal<'_>,
    ) -> io::Result<()> {
        let (out, colour) = self.people(terminal);
        write!(out, "{}", (forms.text)(colour))?;
        if let Some(path) = &self.json {
            let json = serde_json::to_string_pretty(document).map_err(io::Error::other)? + "\n";
            if self.takes_out() { write!(terminal.out, "{json}")? } else { write_text(path, &json)? }
        }
        if let Some(path) = &self.markdown {
            write_text(path, &(forms.markdown)())?;
        }
        if let Some(path) = &self.html {
            write_text(path, &(forms.html)())?;
        }
        match (&self.junit, forms.junit) {
            (Some(path), Some(junit)) => write_text(path, &junit()),
            (Some(_), None) => {
                writeln!(terminal.err, "note: this result has no verdicts, so no JUnit file was written")
            }
            (None, _) => Ok(()),
        }
    }
}

/// Writes a file, and names it when that fails.
fn write_text(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// Trials run in another folder.
pub(super) fn absolute(path: &Path) -> io::Result<PathBuf> {
    std::path::absolute(path)
}

/// The command line, for reports.
pub(super) fn command() -> String {
    let mut words: Vec<String> = std::env::args().collect();
    if let Some(program) = words.first_mut() {
        let name = Path::new(program.as_str()).file_name().map(|name| name.to_string_lossy().into_owned());
        *program = name.unwrap_or_else(|| "regatta".to_owned());
    }
    words.join(" ")
}
