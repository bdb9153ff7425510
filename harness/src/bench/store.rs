//! A run's folder: the document, every run, the interval logs, the scenarios, and the report for people.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::runner::Runs;
use super::{Bench, SCHEMA};
use crate::results::runs::{MANIFEST, RunFolder};

/// Writes everything but the report.
///
/// # Errors
/// What the file system says.
pub fn write(folder: &RunFolder, bench: &Bench, runs: &Runs, files: &[&Path]) -> io::Result<()> {
    let mut lines = String::new();
    for (round, result) in &runs.results {
        let mut result = result.clone();
        for (load, figures) in &mut result.figures {
            let log = std::mem::take(&mut figures.log);
            if !log.is_empty() {
                folder.write(&log_name(&result.name, &result.cell, load, *round), &log)?;
            }
        }
        let line = serde_json::json!({ "round": round, "run": result });
        lines.push_str(&(line.to_string() + "\n"));
    }
    folder.write("runs.jsonl", &lines)?;
    for file in files {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        folder.write(&format!("scenarios/{name}"), &fs::read_to_string(file)?)?;
    }
    // Last: a folder with it is complete.
    folder.write(MANIFEST, &(serde_json::to_string_pretty(bench).map_err(io::Error::other)? + "\n"))
}

/// `hlog/load-latency.latency.1.hlog`.
fn log_name(scenario: &str, cell: &str, load: &str, round: u64) -> String {
    let name = format!("{scenario}{cell}.{load}.{round}");
    let plain = |character: char| match character {
        '/' | '\\' | ' ' => '-',
        other => other,
    };
    format!("hlog/{}.hlog", name.chars().map(plain).collect::<String>())
}

/// Reads the document of a stored run.
///
/// # Errors
/// What the file system says, or what is wrong with the file.
pub fn read(folder: &RunFolder) -> io::Result<Bench> {
    let text = folder.read(MANIFEST)?;
    let wrong = |message: String| {
        let path = folder.path.join(MANIFEST);
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: {message}", path.display()))
    };
    let bench: Bench = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    if bench.schema == SCHEMA {
        Ok(bench)
    } else {
        Err(wrong(format!("it is `{}`, and this build reads `{SCHEMA}`", bench.schema)))
    }
}

/// The runs below a folder of results that this build can read, by id.
///
/// # Errors
/// What the file system says of the folder itself.
pub fn list(results: &Path) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut all = BTreeMap::new();
    let entries = match fs::read_dir(results.join("runs")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(all),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        let id = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let folder = RunFolder { id: id.clone(), path: path.clone() };
        if path.join(MANIFEST).is_file() && read(&folder).is_ok() {
            all.insert(id, path);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paired::health::Health;
    use crate::report::json::ScenarioResult;
    use crate::results::machine::Machine;

    #[test]
    fn a_stored_run_reads_back_and_keeps_each_rounds_log() {
        let results = tempfile::tempdir().expect("a folder");
        let folder = RunFolder::create(results.path(), "abc", Some("base")).expect("a folder");
        let bench = Bench {
            schema: SCHEMA.to_owned(),
            id: folder.id.clone(),
            revision: "abc".to_owned(),
            command: "regatta bench".to_owned(),
            unix_s: 1,
            machine: Machine::this(),
            health: Health::default(),
            rounds: 1,
            seed: 1,
            measured: Vec::new(),
            failures: Vec::new(),
        };
        let figures = crate::load::Figures { model: "closed", log: "#log".to_owned(), ..Default::default() };
        let result = ScenarioResult {
            name: "load/latency".to_owned(),
            figures: [("latency".to_owned(), figures)].into(),
            ..ScenarioResult::default()
        };
        let runs = Runs { results: vec![(1, result)], failures: Vec::new(), health: Health::default() };
        write(&folder, &bench, &runs, &[]).expect("written");
        assert_eq!(read(&folder).expect("readable"), bench);
        let log = folder.read("hlog/load-latency.latency.1.hlog").expect("the log");
        assert_eq!(log, "#log");
        assert!(!folder.read("runs.jsonl").expect("the runs").contains("#log"), "kept once");
        assert_eq!(list(results.path()).expect("a folder").into_keys().collect::<Vec<_>>(), ["base"]);
    }
}
