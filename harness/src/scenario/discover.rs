//! Which files a command line means.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why the files cannot be told.
#[derive(Debug, Error)]
pub enum DiscoverError {
    /// Nothing is there.
    #[error("there is no file or folder `{}`", .0.display())]
    Missing(PathBuf),
    /// A folder cannot be read.
    #[error("cannot read `{}`: {}", .0.display(), .1)]
    Unreadable(PathBuf, io::Error),
    /// A folder holds no scenario file.
    #[error("`{}` holds no scenario file (*.toml)", .0.display())]
    Empty(PathBuf),
}

/// The scenario files behind `paths`: a file stands for itself, a folder for every `*.toml` in it and below, in the
/// order of their names. A file is listed once. Hidden entries are passed over, and links to folders are not followed.
///
/// # Errors
/// [`DiscoverError`] for the first path that is not there, cannot be read, or holds nothing.
pub fn discover<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Vec<PathBuf>, DiscoverError> {
    let mut files = Vec::new();
    for path in paths {
        let path = path.as_ref();
        let mut found = Vec::new();
        match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(DiscoverError::Missing(path.to_owned()));
            }
            Err(error) => return Err(DiscoverError::Unreadable(path.to_owned(), error)),
            Ok(metadata) if metadata.is_dir() => {
                walk(path, &mut found)?;
                if found.is_empty() {
                    return Err(DiscoverError::Empty(path.to_owned()));
                }
            }
            Ok(_) => found.push(path.to_owned()),
        }
        files.extend(found);
    }
    let mut seen = std::collections::BTreeSet::new();
    files.retain(|file| seen.insert(file.clone()));
    Ok(files)
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), DiscoverError> {
    let unreadable = |error| DiscoverError::Unreadable(folder.to_owned(), error);
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        entries.push((entry.path(), entry.file_type().map_err(unreadable)?));
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    for (path, kind) in entries {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if kind.is_dir() {
            walk(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_stands_for_its_scenario_files_in_order_and_each_file_counts_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("b/.hidden")).expect("folders");
        for name in ["z.toml", "a.toml", "b/c.toml", "b/notes.md", "b/.hidden/d.toml"] {
            std::fs::write(at(name), "").expect("a file");
        }
        let found = discover([folder.path().to_owned(), at("z.toml")]).expect("found");
        assert_eq!(found, [at("a.toml"), at("b/c.toml"), at("z.toml")]);
    }

    #[test]
    fn a_path_that_is_not_there_and_an_empty_folder_are_errors() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(matches!(discover([folder.path().join("no")]), Err(DiscoverError::Missing(_))));
        assert!(matches!(discover([folder.path()]), Err(DiscoverError::Empty(_))));
    }
}
