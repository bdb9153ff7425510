//! `regatta schema`: the JSON schemas of scenario files, and of the documents that the other verbs write.

use std::fs;
use std::io;
use std::path::PathBuf;

use clap::Args;

use super::Terminal;
use crate::exit;
use crate::report::schema::Kind;

/// Print the JSON schema of scenario files or of a document, or write all of them.
#[derive(Debug, Args)]
pub(super) struct Schema {
    /// Which document.
    #[arg(value_name = "KIND", required_unless_present = "write")]
    kind: Option<Kind>,
    /// Write the schemas of all documents into this folder.
    #[arg(long, value_name = "FOLDER", conflicts_with = "kind")]
    write: Option<PathBuf>,
}

impl Schema {
    pub(super) fn run(&self, terminal: &mut Terminal<'_>) -> io::Result<u8> {
        if let Some(kind) = self.kind {
            write!(terminal.out, "{}", kind.text())?;
        }
        if let Some(folder) = &self.write {
            fs::create_dir_all(folder)?;
            for kind in Kind::ALL {
                fs::write(folder.join(kind.file()), kind.text())?;
                writeln!(terminal.out, "{}", folder.join(kind.file()).display())?;
            }
        }
        Ok(exit::PASS)
    }
}
