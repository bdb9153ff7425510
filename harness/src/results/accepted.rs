//! Accepted exact values: `results/exact/<area>/<scenario>.json`, sorted, changed only by `regatta accept`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::gate::exact::{Exact, SCHEMA};

/// The file of a scenario, below the folder of results.
#[must_use]
pub fn path(results: &Path, scenario: &str) -> PathBuf {
    results.join("exact").join(format!("{scenario}.json"))
}

/// The accepted values of a scenario; `None` when none were accepted.
///
/// # Errors
/// What the file system says, or what is wrong with the file.
pub fn read(results: &Path, scenario: &str) -> io::Result<Option<Exact>> {
    let path = path(results, scenario);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(named(&path, error)),
    };
    let exact: Exact = serde_json::from_str(&text)
        .map_err(|error| named(&path, io::Error::new(io::ErrorKind::InvalidData, error)))?;
    if exact.schema != SCHEMA {
        let message = format!("it is `{}`, and this build reads `{SCHEMA}`", exact.schema);
        return Err(named(&path, io::Error::new(io::ErrorKind::InvalidData, message)));
    }
    Ok(Some(exact))
}

/// Accepts values; where they are now.
///
/// # Errors
/// What the file system says.
pub fn write(results: &Path, scenario: &str, values: &BTreeMap<String, f64>) -> io::Result<PathBuf> {
    let path = path(results, scenario);
    let exact = Exact {
        schema: SCHEMA.to_owned(),
        scenario: scenario.to_owned(),
        rustc: env!("REGATTA_RUSTC").to_owned(),
        values: values.clone(),
    };
    let text = serde_json::to_string_pretty(&exact).map_err(io::Error::other)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| named(folder, error))?;
    }
    fs::write(&path, text + "\n").map_err(|error| named(&path, error))?;
    Ok(path)
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_reads_back_and_what_is_not_is_absent() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(read(folder.path(), "exact/path").expect("no file").is_none());
        let values: BTreeMap<String, f64> =
            [("idle.allocations_per_message".to_owned(), 16.23)].into_iter().collect();
        let path = write(folder.path(), "exact/path", &values).expect("written");
        assert_eq!(path, folder.path().join("exact/exact/path.json"));
        assert_eq!(
            read(folder.path(), "exact/path").expect("readable").map(|exact| exact.values),
            Some(values)
        );
        fs::write(&path, r#"{"schema":"regatta.exact/0","scenario":"a","rustc":"","values":{}}"#)
            .expect("written");
        let error = read(folder.path(), "exact/path").expect_err("another schema");
        assert!(error.to_string().contains("regatta.exact/0"), "{error}");
    }
}
