//! Folders of runs: `results/runs/<id>/`, with everything that a run of benchmarks or a gate leaves.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use time::macros::format_description;

/// A run's folder.
#[derive(Debug, Clone)]
pub struct RunFolder {
    /// Its id: the time and the revision, or the name that was given.
    pub id: String,
    /// Where it is.
    pub path: PathBuf,
}

impl RunFolder {
    /// Makes one below the folder of results. A name replaces what was saved under it before.
    ///
    /// # Errors
    /// What the file system says, or that the name is none.
    pub fn create(results: &Path, revision: &str, name: Option<&str>) -> io::Result<Self> {
        let id = match name {
            Some(name) => {
                if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\']) {
                    let message = format!("`{name}` cannot be the name of a folder");
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
                }
                name.to_owned()
            }
            None => format!("{}-{revision}", stamp(OffsetDateTime::now_utc())),
        };
        let path = results.join("runs").join(&id);
        if name.is_some() && path.join(MANIFEST).is_file() {
            fs::remove_dir_all(&path)?;
        }
        fs::create_dir_all(&path)?;
        Ok(Self { id, path })
    }

    /// The folder that `which` means: a path, or an id or name below the folder of results.
    #[must_use]
    pub fn find(results: &Path, which: &str) -> Option<Self> {
        let of = |path: PathBuf| {
            let id = path.file_name()?.to_string_lossy().into_owned();
            path.join(MANIFEST).is_file().then_some(Self { id, path })
        };
        of(results.join("runs").join(which)).or_else(|| of(PathBuf::from(which)))
    }

    /// Writes a file of the folder.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let path = self.path.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, text)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }

    /// Reads a file of the folder.
    ///
    /// # Errors
    /// What the file system says.
    pub fn read(&self, name: &str) -> io::Result<String> {
        let path = self.path.join(name);
        fs::read_to_string(&path)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }
}

/// The file that makes a folder one of a run.
pub const MANIFEST: &str = "manifest.json";

/// A moment as `20261125-143015`: sorts by time.
fn stamp(at: OffsetDateTime) -> String {
    let format = format_description!("[year][month][day]-[hour][minute][second]");
    at.format(&format).unwrap_or_else(|_| at.unix_timestamp().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_run_is_found_by_its_name_and_replaces_the_one_before() {
        let results = tempfile::tempdir().expect("a folder");
        let first = RunFolder::create(results.path(), "abc", Some("base")).expect("a folder");
        first.write(MANIFEST, "{}").expect("written");
        first.write("old.txt", "x").expect("written");
        let second = RunFolder::create(results.path(), "abc", Some("base")).expect("a folder");
        second.write(MANIFEST, "{}").expect("written");
        assert!(!second.path.join("old.txt").exists());
        let found = RunFolder::find(results.path(), "base").expect("it is there");
        assert_eq!(found.path, second.path);
        assert!(RunFolder::find(results.path(), "nothing").is_none());
        assert!(RunFolder::create(results.path(), "abc", Some("../up")).is_err());
    }

    #[test]
    fn ids_sort_by_time() {
        let at = |seconds| stamp(OffsetDateTime::from_unix_timestamp(seconds).expect("a moment"));
        assert_eq!(at(0), "19700101-000000");
        assert!(at(1_000_000_000) < at(1_700_000_000));
    }
}
