//! What is measured, kept and compared: exact values that repeat, and runs that are stored.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use regatta_harness::paired::exactly::{self, Standing};
use regatta_harness::results::accepted;
use regatta_harness::scenario::{self, Scenario, Vocabulary};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_regatta");
/// Two nodes in virtual time, and an echo that `ARGS` may burden.
const EXACT: &str = r#"
about = "What a message costs."
seed = 1
worlds = ["sim"]
[[node]]
name = "n"
count = 2
[[process]]
on = "n2"
behaviour = "echo"
global = "svc/echo"
ARGS
[[step]]
id = "meshed"
await = "nodes.all(n, n.members.size() == 2 && 'svc/echo' in n.names)"
[[load]]
id = "busy"
after = "meshed"
from = "n1"
to = "svc/echo"
model = "closed"
in_flight = [16]
messages = 2000
[[gate]]
metric = "busy.allocations_per_message"
exact = true
[[gate]]
metric = "busy.datagrams_per_message"
exact = true
"#;

/// A scenario file `load/cost.toml` in a folder of its own.
fn file(folder: &Path, args: &str) -> PathBuf {
    let area = folder.join("load");
    fs::create_dir_all(&area).expect("a folder");
    let path = area.join("cost.toml");
    fs::write(&path, EXACT.replace("ARGS", args)).expect("written");
    path
}

fn cells(file: &Path) -> Vec<Scenario> {
    scenario::load(file, &Vocabulary::default()).unwrap_or_else(|wrong| panic!("{wrong}"))
}

#[test]
fn one_more_allocation_for_each_message_is_named_by_the_exact_tier() {
    let (plain, burdened, results) = (tempdir(), tempdir(), tempdir());
    let path = file(plain.path(), "");
    let (values, unequal) = exactly::measure(Path::new(PROGRAM), &path, &cells(&path)).expect("measured");
    assert!(unequal.is_empty(), "two runs of the same build differ: {unequal:?}");
    accepted::write(results.path(), "load/cost", &values).expect("accepted");
    let again = exactly::judge(Path::new(PROGRAM), results.path(), &path, &cells(&path));
    assert_eq!(again.standing, Standing::Equal);

    let path = file(burdened.path(), "args = { work_allocations = 1 }");
    let dearer = exactly::judge(Path::new(PROGRAM), results.path(), &path, &cells(&path));
    let Standing::Changed { differences, .. } = dearer.standing else { panic!("{:?}", dearer.standing) };
    let names: Vec<&str> = differences.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["busy.allocations_per_message"], "and nothing else changed");
    // One for each request: half of one for each of the two messages of a round trip.
    let by = differences[0].now.expect("measured") - differences[0].accepted.expect("accepted");
    assert!((by - 0.5).abs() < 0.01, "{}", differences[0]);
}

#[test]
fn a_run_is_kept_whole_and_stands_beside_another() {
    let folder = tempdir();
    fs::create_dir(folder.path().join("results")).expect("a folder");
    let scenario = file(folder.path(), "");
    for name in ["before", "after"] {
        let arguments = ["--world", "sim", "--rounds", "3", "--save", name, "--json", "-", "bench"];
        let output = regatta(folder.path(), &arguments, &[scenario.to_str().expect("a name")]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        let document: Value = serde_json::from_slice(&output.stdout).expect("a document");
        let measured = &document["measured"][0];
        assert_eq!(
            (measured["scenario"].as_str(), measured["rounds"].as_u64()),
            (Some("load/cost"), Some(3))
        );
        assert_eq!(measured["times"]["count"].as_u64(), Some(6_000), "response times of all rounds");
    }
    let run = folder.path().join("results/runs/before");
    for name in [
        "manifest.json",
        "runs.jsonl",
        "summary.md",
        "report.html",
        "scenarios/cost.toml",
        "hlog/load-cost.busy.3.hlog",
    ] {
        assert!(run.join(name).is_file(), "{name} is not in {}", run.display());
    }
    let output = regatta(folder.path(), &["compare"], &["before", "after"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let told = text(&output);
    assert!(told.contains("allocations_per_message") && told.contains("+0.0 %"), "{told}");
    let output = regatta(folder.path(), &["compare"], &["before", "nothing"]);
    assert_eq!(output.status.code(), Some(64), "{}", text(&output));
    assert!(text(&output).contains("stored runs: after, before"), "{}", text(&output));
}

#[test]
fn a_gate_of_a_build_without_optimisation_is_refused() {
    let folder = tempdir();
    let output = regatta(folder.path(), &["gate"], &[]);
    if cfg!(debug_assertions) {
        assert_eq!(output.status.code(), Some(64), "{}", text(&output));
        assert!(text(&output).contains("--release"), "{}", text(&output));
    }
}

/// Runs a verb: the last of `arguments`, the others are its options.
fn regatta(folder: &Path, arguments: &[&str], what: &[&str]) -> Output {
    let (verb, options) = arguments.split_last().expect("a verb");
    let mut command = Command::new(PROGRAM);
    command.arg(verb).args(options).args(what).current_dir(folder).output().expect("the command starts")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn tempdir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}
