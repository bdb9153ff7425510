//! The folder of a run that did not pass: everything that explains it, and what is needed to run it again.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::terminal::Reporter;
use super::{pcap, perfetto, sequence};
use crate::run::RunReport;
use crate::run::remains::Remains;

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

/// Writes the folder below `root`; where it is.
///
/// # Errors
/// What the file system says.
pub(crate) fn write(root: &Path, report: &RunReport) -> io::Result<Option<PathBuf>> {
    let Some(remains) = &report.remains else { return Ok(None) };
    let scenario = &report.scenario;
    let name = format!("{}@{}-{}", scenario.full_title(), report.world, report.seed);
    let folder = root.join(name.replace(['/', '\\'], "-"));
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
        outcome: report.outcome.name().to_owned(),
        finding: report.findings.first().map(|finding| finding.what.clone()),
        digest: report.digest.map(|digest| format!("{digest:016x}")),
        revision: super::json::revision(),
    };
    let manifest = serde_json::to_string_pretty(&manifest).map_err(io::Error::other)?;
    fs::write(folder.join(MANIFEST), manifest + "\n")?;
    fs::write(folder.join(SCENARIO), &*scenario.source)?;
    let mut text = Vec::new();
    Reporter::new(&mut text, false, false, 0).end(report)?;
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
    use super::*;

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
