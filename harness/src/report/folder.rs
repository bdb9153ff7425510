//! The folder of a run that did not pass: everything that explains it, and what is needed to run it again.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::terminal::Reporter;
use super::{pcap, perfetto, sequence};
use crate::diagnostic::Diagnostics;
use crate::record::Digest;
use crate::run::RunReport;
use crate::run::remains::Remains;
use crate::scenario::{self, Scenario, Vocabulary};

/// The file that says how to run it again.
pub(crate) const MANIFEST: &str = "run.json";
/// The scenario as it was.
pub(crate) const SCENARIO: &str = "scenario.toml";

/// What is needed to run it again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// What the file is; changes when a reader would have to.
    pub(crate) schema: String,
    /// The scenario's file, as the command line named it.
    pub(crate) file: String,
    /// The cell, as `[nodes=3]`.
    pub(crate) cell: String,
    /// Which of the file's cells it is.
    pub(crate) cell_index: usize,
    /// Where it ran.
    pub(crate) world: String,
    /// The seed.
    pub(crate) seed: u64,
    /// The bug that the runtime had on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) planted: Option<String>,
    /// How many times as long things might take, if not once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) time_factor: Option<NonZeroU32>,
    /// How it came out.
    pub(crate) outcome: String,
    /// What was wrong first.
    pub(crate) finding: Option<String>,
    /// The digest, where runs repeat.
    pub(crate) digest: Option<String>,
    /// The revision of the working tree.
    pub(crate) revision: String,
}

/// The schema of a manifest.
pub(crate) const MANIFEST_SCHEMA: &str = "regatta.failure/1";

/// Where reports go when nothing else is asked for: `$REGATTA_RESULTS`, or `results/runs` where there is a `results`
/// folder, or below the build's own folder.
pub(crate) fn root() -> PathBuf {
    if let Some(asked) = std::env::var_os("REGATTA_RESULTS") {
        return PathBuf::from(asked);
    }
    let here = Path::new("results");
    if here.is_dir() {
        return here.join("runs");
    }
    // A test runs in its crate's folder, which is not where the build is; cargo marks that.
    let program = std::env::current_exe().unwrap_or_default();
    let build = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    build.unwrap_or_else(|| Path::new("target")).join("regatta")
}

/// Where the folder of a run is: named for people, and by a number too where that would be too long, or is that of another file.
fn place(root: &Path, report: &RunReport) -> PathBuf {
    let scenario = &report.scenario;
    let title = scenario.full_title().replace(['/', '\\'], "-");
    let run = format!("@{}-{}", report.world, report.seed);
    let folder = root.join(format!("{title}{run}"));
    let kept = fs::read_to_string(folder.join(MANIFEST)).ok();
    let kept = kept.and_then(|text| serde_json::from_str::<Manifest>(&text).ok());
    let same = |kept: &str| match (fs::canonicalize(kept), fs::canonicalize(&scenario.file)) {
        (Ok(kept), Ok(file)) => kept == file,
        _ => kept == scenario.file,
    };
    let is_others = kept.is_some_and(|kept| !same(&kept.file));
    if !is_others && title.len() <= TITLE_BYTES_MAX {
        return folder;
    }
    let mut digest = Digest::default();
    scenario.file.bytes().chain(title.bytes()).for_each(|byte| digest.mix(u64::from(byte)));
    let cut = title.floor_char_boundary(TITLE_BYTES_MAX);
    root.join(format!("{}-{:08x}{run}", &title[..cut], digest.0 as u32))
}

/// Bytes of a scenario's title in the name of a folder.
const TITLE_BYTES_MAX: usize = 150;

/// Writes the folder below `root`; where it is.
///
/// # Errors
/// What the file system says.
pub(crate) fn write(root: &Path, report: &RunReport) -> io::Result<Option<PathBuf>> {
    let Some(remains) = &report.remains else { return Ok(None) };
    let scenario = &report.scenario;
    let folder = place(root, report);
    // A later failure of the same run says the same, or better.
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(folder.join("nodes"))?;
    let manifest = Manifest {
        schema: MANIFEST_SCHEMA.to_owned(),
        file: scenario.file.clone(),
        cell: scenario.cell.to_string(),
        cell_index: scenario.cell_index,
        world: report.world.name().to_owned(),
        seed: report.seed,
        planted: report.planted.map(str::to_owned),
        time_factor: report.time_factor,
        outcome: report.outcome.name().to_owned(),
        finding: report.findings.first().map(|finding| finding.what.clone()),
        digest: report.digest.map(|digest| format!("{digest:016x}")),
        revision: super::json::revision(),
    };
    let manifest = serde_json::to_string_pretty(&manifest).map_err(io::Error::other)?;
    fs::write(folder.join(MANIFEST), manifest + "\n")?;
    fs::write(folder.join(SCENARIO), &*scenario.source)?;
    let mut text = Vec::new();
    let mut reporter = Reporter::new(&mut text, false, false, 0);
    reporter.end(report)?;
    reporter.detections(std::slice::from_ref(report))?;
    fs::write(folder.join("report.txt"), text)?;
    let mut lines = String::new();
    if remains.forgotten > 0 {
        let _ = writeln!(lines, "{{\"forgotten\":{}}}", remains.forgotten);
    }
    for event in &remains.events {
        lines.push_str(&serde_json::to_string(event).map_err(io::Error::other)?);
        lines.push('\n');
    }
    fs::write(folder.join("events.jsonl"), lines)?;
    fs::write(folder.join("sequence.svg"), sequence::svg(scenario, remains))?;
    fs::write(folder.join("trace.json"), perfetto::trace(scenario, remains))?;
    if !remains.captured.is_empty() {
        let fault = |key| {
            let found = remains.faults.iter().find(|(of, ..)| *of == key);
            found.map_or_else(|| "[network]".to_owned(), |(_, record, _)| record.describe())
        };
        fs::write(folder.join("packets.pcapng"), pcap::file(&remains.captured, &remains.keys, fault))?;
        fs::write(folder.join("keys.log"), remains.keys.join("\n") + "\n")?;
    }
    for (node, log) in &remains.logs {
        fs::write(folder.join("nodes").join(format!("{node}.log")), log)?;
    }
    if let Some(views) = views(remains) {
        fs::write(folder.join("views.txt"), views)?;
    }
    Ok(Some(folder))
}

/// A run as its folder keeps it.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The folder.
    pub(crate) folder: PathBuf,
    /// What it was.
    pub(crate) manifest: Manifest,
    /// The scenario, from the text that was run: the file may have changed since.
    pub(crate) scenario: Scenario,
    /// What became of the file: nothing when it is as it was.
    pub(crate) changed: Option<&'static str>,
}

/// Why a folder's run cannot be played again.
#[derive(Debug, Error)]
pub(crate) enum KeptError {
    /// Nothing has this name.
    #[error("there is no folder `{0}`, and no run with this name below {1}; `last` is the latest one")]
    Missing(String, String),
    /// There is no run at all.
    #[error("no run has a folder below {0}: only runs that do not pass have one")]
    None(String),
    /// It is the folder of something else.
    #[error("`{}` is not the folder of a run: {}", .0.display(), .1)]
    Foreign(PathBuf, String),
    /// The scenario's text is no scenario for this program.
    #[error("the scenario that was run is not one for this program\n{}", .0.render(false))]
    Scenario(Diagnostics),
}

/// The latest run, as a name.
pub(crate) const LAST: &str = "last";

/// Finds the run of a folder, by its path, by its name below one of the places where folders are written, or the latest.
///
/// # Errors
/// [`KeptError`]; of a folder that is there, why it is none.
pub(crate) fn read(name: &str, vocabulary: &Vocabulary) -> Result<Kept, KeptError> {
    let folder = find(name)?;
    let foreign = |reason: String| KeptError::Foreign(folder.clone(), reason);
    let text = |file: &str| {
        fs::read_to_string(folder.join(file))
            .map_err(|error| foreign(format!("its {file} cannot be read: {error}")))
    };
    let manifest: Manifest = serde_json::from_str(&text(MANIFEST)?)
        .map_err(|error| foreign(format!("its {MANIFEST} is not what this program writes: {error}")))?;
    if manifest.schema != MANIFEST_SCHEMA {
        let reason = format!("its {MANIFEST} is a `{}`, and not a `{MANIFEST_SCHEMA}`", manifest.schema);
        return Err(foreign(reason));
    }
    let source = text(SCENARIO)?;
    let cells = scenario::load_str(&manifest.file, &source, vocabulary).map_err(KeptError::Scenario)?;
    let scenario = cells.into_iter().nth(manifest.cell_index);
    let scenario = scenario
        .filter(|scenario| scenario.cell.to_string() == manifest.cell)
        .ok_or_else(|| foreign(format!("its {SCENARIO} has no cell `{}`", manifest.cell)))?;
    let changed = match fs::read_to_string(&manifest.file) {
        Ok(now) if now == source => None,
        Ok(_) => Some("has changed since"),
        Err(_) => Some("is not there any more"),
    };
    Ok(Kept { folder, manifest, scenario, changed })
}

fn find(name: &str) -> Result<PathBuf, KeptError> {
    let given = Path::new(name);
    if given.is_dir() {
        return Ok(given.to_owned());
    }
    if given.is_file() {
        // The manifest stands for its folder.
        return match given.file_name().and_then(std::ffi::OsStr::to_str) {
            Some(MANIFEST) => Ok(given.parent().unwrap_or_else(|| Path::new(".")).to_owned()),
            _ => Err(KeptError::Foreign(given.to_owned(), "it is a file".to_owned())),
        };
    }
    let mut roots = vec![root(), Path::new("results").join("runs"), Path::new("target").join("regatta")];
    let own = roots.remove(0);
    roots.retain(|root| *root != own);
    roots.insert(0, own);
    let shown = || {
        let shown: Vec<_> = roots.iter().map(|root| format!("`{}`", root.display())).collect();
        shown.join(", ")
    };
    if name == LAST {
        let folders = roots.iter().filter_map(|root| fs::read_dir(root).ok()).flatten().flatten();
        let written = |folder: PathBuf| {
            let at = fs::metadata(folder.join(MANIFEST)).and_then(|it| it.modified()).ok()?;
            Some((at, folder))
        };
        let latest = folders.filter_map(|entry| written(entry.path())).max();
        return latest.map(|(_, folder)| folder).ok_or_else(|| KeptError::None(shown()));
    }
    let below = roots.iter().map(|root| root.join(name)).find(|folder| folder.is_dir());
    below.ok_or_else(|| KeptError::Missing(name.to_owned(), shown()))
}

/// The registries side by side, name by name, where nodes differ; nothing where all agree.
pub(crate) fn views(remains: &Remains) -> Option<String> {
    let nodes: Vec<&str> = remains.registries.iter().map(|(node, _)| node.as_str()).collect();
    let names: BTreeSet<&str> = remains
        .registries
        .iter()
        .flat_map(|(_, names)| names.iter().map(|(name, _)| name.as_str()))
        .collect();
    let owner = |registry: &[(String, String)], name: &str| {
        let found = registry.iter().find(|(of, _)| of == name);
        found.map_or_else(|| "-".to_owned(), |(_, owner)| owner.clone())
    };
    let mut rows = Vec::new();
    for name in names {
        let row: Vec<String> = remains.registries.iter().map(|(_, registry)| owner(registry, name)).collect();
        if row.iter().any(|other| *other != row[0]) {
            rows.push((name, row));
        }
    }
    if rows.is_empty() {
        return None;
    }
    let first = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max(4);
    let widths: Vec<usize> = nodes
        .iter()
        .enumerate()
        .map(|(at, node)| rows.iter().map(|(_, row)| row[at].len()).max().unwrap_or(0).max(node.len()))
        .collect();
    let mut out = String::new();
    let mut line = |name: &str, cells: &[&str]| {
        // Writing to a string does not fail.
        let _ = write!(out, "{name:<first$}");
        for (cell, width) in cells.iter().zip(&widths) {
            let _ = write!(out, "  {cell:<width$}");
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
    };
    line("name", &nodes);
    for (name, row) in &rows {
        line(name, &row.iter().map(String::as_str).collect::<Vec<_>>());
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::scenario::World;

    #[test]
    fn the_folder_of_another_file_stays_and_a_long_title_is_cut() {
        let root = tempfile::tempdir().expect("a folder");
        let written = |file: &str| {
            let text = "about = \"x\"\n[[node]]\nname = \"n\"\n[[step]]\nbarrier = true\n";
            let mut cells = scenario::load_str(file, text, &Vocabulary::default()).expect("it is one");
            let mut report = RunReport::new(Arc::new(cells.swap_remove(0)), World::Sim, 1);
            report.remains = Some(Box::default());
            write(root.path(), &report).expect("it is written").expect("it explains")
        };
        let (first, other) = (written("p/x/f.toml"), written("q/x/f.toml"));
        assert_ne!(first, other);
        assert!(first.join(MANIFEST).is_file() && other.join(MANIFEST).is_file());
        assert_eq!(written("p/x/f.toml"), first);
        let long = written(&format!("x/{}.toml", "n".repeat(250)));
        assert!(long.file_name().is_some_and(|name| name.len() < 200), "{long:?}");
    }

    #[test]
    fn names_on_which_nodes_differ_stand_side_by_side() {
        let registry = |rows: &[(&str, &str)]| rows.iter().map(|(n, o)| ((*n).into(), (*o).into())).collect();
        let mut remains = Remains {
            registries: vec![
                ("n1".into(), registry(&[("svc/a", "n1"), ("svc/both", "n1")])),
                ("node2".into(), registry(&[("svc/a", "n1"), ("svc/both", "n2"), ("svc/new", "node2")])),
            ],
            ..Remains::default()
        };
        let text = views(&remains).expect("they differ");
        assert_eq!(text, "name      n1  node2\nsvc/both  n1  n2\nsvc/new   -   node2\n");
        remains.registries.pop();
        assert_eq!(views(&remains), None);
    }
}
