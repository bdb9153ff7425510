//! What `regatta check` says about wrong files, and that every file of the repository is right.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use regatta_harness::scenario::action::{Action, BEHAVIOURS};
use regatta_harness::scenario::fault::FaultKind;
use regatta_harness::scenario::{self, Vocabulary};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn check(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_regatta"));
    command.arg("check").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.output().expect("the command starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn each_wrong_file_is_told_with_line_caret_and_suggestion() {
    for file in scenario::discover([data("bad")]).expect("the folder has files") {
        let name = file.file_stem().expect("a file name").to_string_lossy().into_owned();
        let output = check(&[&format!("tests/data/bad/{name}.toml")]);
        assert_eq!(output.status.code(), Some(65), "{name}");
        insta::assert_snapshot!(name, text(&output.stderr));
    }
}

#[test]
fn every_shipped_scenario_is_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let files = scenario::discover([folder]).expect("there are scenarios");
    assert!(files.len() >= 14, "{files:?}");
    for file in files {
        scenario::load(&file, &Vocabulary::default()).unwrap_or_else(|problems| panic!("{problems}"));
    }
}

#[test]
fn a_right_file_is_listed_with_its_cells() {
    let output = check(&["tests/data/registry-partition.toml"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    insta::assert_snapshot!(text(&output.stdout), @r"
    ok   tests/data/registry-partition.toml  (4 cells)
    1 file with 4 cells: no mistake
    ");
}

#[test]
fn a_wrong_file_does_not_hide_the_right_ones() {
    let output = check(&["tests/data/bad/misspelt-key.toml", "tests/data/registry-partition.toml"]);
    assert_eq!(output.status.code(), Some(65));
    insta::assert_snapshot!(text(&output.stdout), @r"
    bad  tests/data/bad/misspelt-key.toml
    ok   tests/data/registry-partition.toml  (4 cells)
    1 mistake in 1 of 2 files
    ");
}

#[test]
fn a_path_that_is_not_there_and_a_wrong_flag_are_usage_errors() {
    assert_eq!(check(&["tests/data/nowhere"]).status.code(), Some(64));
    assert_eq!(check(&["--nonsense"]).status.code(), Some(64));
    assert_eq!(check(&["--help"]).status.code(), Some(0));
}

#[test]
fn the_reference_names_every_step_fault_and_field() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/SCENARIOS.md");
    let text = std::fs::read_to_string(path).expect("the reference is there");
    let variables = ["nodes", "names", "received", "steps", "downs", "faults", "loads"];
    let fields = variables.iter().flat_map(|variable| regatta_harness::condition::fields(variable));
    let words = Action::VERBS.into_iter().chain(FaultKind::NAMES).chain(BEHAVIOURS).chain(fields);
    for word in words {
        let named = text.contains(&format!("`{word}`")) || text.contains(&format!("{word},"));
        assert!(named, "docs/SCENARIOS.md does not name `{word}`");
    }
}

#[test]
fn the_example_of_the_reference_is_right() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/SCENARIOS.md");
    let text = std::fs::read_to_string(path).expect("the reference is there");
    let example =
        text.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    scenario::load_str("example.toml", example, &Vocabulary::default())
        .unwrap_or_else(|problems| panic!("{problems}"));
}

/// The scenario files of the repository, the example of the reference among them, with their names.
fn right_files() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut files = scenario::discover([folder]).expect("there are scenarios");
    files.push(data("registry-partition.toml"));
    let read =
        |file: PathBuf| (file.display().to_string(), std::fs::read_to_string(&file).expect("readable"));
    files.into_iter().map(read).collect()
}

fn as_json(text: &str) -> serde_json::Value {
    serde_json::to_value(toml::from_str::<toml::Table>(text).expect("valid TOML")).expect("JSON can hold it")
}

#[test]
fn the_schema_accepts_every_right_file() {
    let schema = jsonschema::validator_for(&scenario::schema::schema()).expect("the schema is one");
    for (file, text) in right_files() {
        let wrong: Vec<String> = schema
            .iter_errors(&as_json(&text))
            .map(|error| format!("{} at {}", error, error.instance_path()))
            .collect();
        assert!(wrong.is_empty(), "{file}:\n{}", wrong.join("\n"));
    }
}

#[test]
fn the_schema_refuses_what_a_reader_can_see_to_be_wrong() {
    let schema = jsonschema::validator_for(&scenario::schema::schema()).expect("the schema is one");
    let right = "about = \"x\"\n[[node]]\nname = \"n\"\n";
    assert!(schema.is_valid(&as_json(right)));
    for wrong in [
        "[[stpe]]\nbarrier = true\n",
        "[[step]]\nawait = \"true\"\nbarrier = true\n",
        "[[step]]\nid = \"x\"\n",
        "[[step]]\nfault = { puase = \"n\" }\n",
        "[[step]]\nfault = { loss = 2 }\n",
        "[[step]]\nsleep = \"5\"\n",
        "[[step]]\ncall = { from = \"n\" }\n",
        "[[nemesis]]\nevery = { mean = \"1s\" }\n",
        "[[nemesis]]\nstrikes = [{ pause = \"n\" }]\n",
        "[[expect]]\nalways = \"true\"\n",
        "[[load]]\nid = \"l\"\nfrom = \"n\"\nto = \"n\"\nmodel = \"colsed\"\n",
    ] {
        assert!(!schema.is_valid(&as_json(&format!("{right}{wrong}"))), "{wrong}");
    }
    let none = as_json("about = \"x\"\n");
    assert!(!schema.is_valid(&none), "no node");
}

#[test]
fn every_shipped_scenario_names_the_schema() {
    for (file, text) in right_files() {
        let line = text.lines().next().unwrap_or_default();
        let path =
            line.strip_prefix("#:schema ").unwrap_or_else(|| panic!("{file} does not begin with `#:schema`"));
        let schema = Path::new(&file).parent().expect("a folder").join(path);
        assert!(schema.is_file(), "{file}: there is no {}", schema.display());
    }
}
