//! Accepted texts beside the scenario files, in insta's file format, so that `cargo insta review` works on them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::scenario::Scenario;

/// How a view compares with its accepted text.
#[derive(Debug)]
pub(crate) enum Comparison {
    /// The same.
    Same,
    /// There was none, or another; it has been accepted now.
    Accepted(PathBuf),
    /// Another, or none. The new text waits in the file named.
    Different {
        /// What was accepted; `None` when nothing was.
        accepted: Option<String>,
        /// Where the new text waits.
        waiting: PathBuf,
    },
}

/// Where the accepted text of a snapshot is.
fn path(scenario: &Scenario, id: &str) -> PathBuf {
    let folder = Path::new(&scenario.file).parent().unwrap_or_else(|| Path::new("."));
    // The cell is part of the name: each has its own text. Brackets and commas are no trouble in file names.
    // A slash is: the text stays in its folder, whatever the id.
    let name = format!("{}@{id}.snap", scenario.title()).replace(['/', '\\'], "_");
    folder.join("snapshots").join(name)
}

/// Compares `text`, and keeps it when `accept` says so.
///
/// # Errors
/// What the file system says.
pub(crate) fn compare(scenario: &Scenario, id: &str, text: &str, accept: bool) -> io::Result<Comparison> {
    let path = path(scenario, id);
    let told = |error: io::Error| io::Error::new(error.kind(), format!("`{}`: {error}", path.display()));
    compare_with(&path, scenario, id, text, accept).map_err(told)
}

fn compare_with(
    path: &Path,
    scenario: &Scenario,
    id: &str,
    text: &str,
    accept: bool,
) -> io::Result<Comparison> {
    let waiting = path.with_extension("snap.new");
    let accepted = match fs::read_to_string(path) {
        Ok(file) => Some(content(&file).to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if accepted.as_deref() == Some(text.trim_end()) {
        match fs::remove_file(&waiting) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => return Ok(Comparison::Same),
        }
    }
    let file = format!(
        "---\nsource: {}\nexpression: {id}\n---\n{}\n",
        Path::new(&scenario.file).file_name().map(|name| name.to_string_lossy()).unwrap_or_default(),
        text.trim_end()
    );
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    if accept {
        fs::write(path, file)?;
        match fs::remove_file(&waiting) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        return Ok(Comparison::Accepted(path.to_owned()));
    }
    fs::write(&waiting, file)?;
    Ok(Comparison::Different { accepted, waiting })
}

/// What stands below insta's header.
fn content(file: &str) -> &str {
    let body =
        file.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n")).map_or(file, |(_, body)| body);
    body.trim_end()
}

/// Two texts line by line: `-` was accepted, `+` is new.
pub(crate) fn difference(accepted: &str, new: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (accepted.lines().collect(), new.trim_end().lines().collect());
    // Lengths of the longest common rows, from the back; views are short.
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push(format!("  {}", old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            lines.push(format!("- {}", old[i]));
            i += 1;
        } else {
            lines.push(format!("+ {}", new[j]));
            j += 1;
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_what_went_and_what_came() {
        assert_eq!(difference("a\nb\nc", "a\nx\nc\n"), "  a\n- b\n+ x\n  c");
        assert_eq!(difference("", "a"), "+ a");
    }

    #[test]
    fn what_stands_below_the_header_is_the_text() {
        assert_eq!(content("---\nsource: x\n---\nn1\n  a -> n1\n"), "n1\n  a -> n1");
        assert_eq!(content("plain"), "plain");
    }
}
