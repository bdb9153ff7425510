//! A run that is held, that takes turns, is played again or made small, from the command line.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const HELD: &str = r#"
about = "x"
worlds = ["sim", "inproc", "process"]
[[node]]
name = "n"
count = 2
[[process]]
on = "n2"
behaviour = "echo"
global = "svc/echo"
[[step]]
id = "meshed"
await = "nodes.all(n, n.members.size() == 2 && 'svc/echo' in n.names)"
[[step]]
id = "ask"
call = { from = "n1", to = "svc/echo" }
[[step]]
id = "apart"
await = "nodes.exists(n, n.members.size() == 1)"
within = "30s"
"#;

/// The first failure is always the same: nobody kills the process that is waited for.
const FAILS: &str = r#"
about = "x"
worlds = ["sim"]
[matrix]
nodes = [2, 3]
[[node]]
name = "n"
count = "${nodes}"
[[step]]
await = "nodes.all(n, n.members.size() == ${nodes})"
[[step]]
id = "storm"
sleep = "4s"
[[nemesis]]
every = { mean = "400ms" }
faults = [{ latency = "5ms", hold = "200ms" }, { crash = "one", hold = "300ms" }]
[[expect]]
id = "all-run"
always = "nodes.all(n, n.running)"
"#;

fn regatta(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_regatta"));
    command.args(arguments).current_dir(folder).env("REGATTA_RESULTS", folder.join("runs"));
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().expect("the command starts");
    // One that does not ask may have ended already.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    child.wait_with_output().expect("it ends")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
fn holds(output: &Output, code: i32, wanted: &[&str]) {
    let text = text(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for wanted in wanted {
        assert!(text.contains(wanted), "no {wanted:?} in\n{text}");
    }
}

fn folder(file: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("s.toml"), file).expect("written");
    folder
}

#[test]
fn a_held_run_is_looked_into_and_broken_by_hand_in_every_world() {
    let folder = folder(HELD);
    for world in ["sim", "inproc", "process"] {
        let input = "help\nnodes\nnames\nlinks n1\nps n2\neval nodes[0].links.size() + 1\neval nodse\nlinks n3\n\
                     ndoes\nstep\neval steps.ask.reply\nfault { isolate = \"n9\" }\nfault { crash = \"n2\" }\ngo\n";
        let arguments = ["run", "s.toml", "--world", world, "--break-at", "ask"];
        let output = regatta(folder.path(), &arguments, input);
        holds(
            &output,
            // It would have passed: but not as the file says.
            2,
            &[
                "held before step 2 of 3, `call` (`ask`)",
                "held before step 3 of 3, `await` (`apart`)",
                "n1           runs          members 2   links 1",
                "svc/echo                 n2",
                "mailbox 0",
                "nodes[0].links.size() + 1 is 2",
                "did you mean `nodes`?",
                "`links` is of a node",
                "there is no command `ndoes`; `nodes`?",
                "unknown node `n9`",
                "the fault `crash` is in force",
                "a fault was begun or lifted at the prompt",
                "1 invalid",
            ],
        );
    }
}

#[test]
fn a_held_run_can_be_given_up_and_goes_on_when_nobody_speaks_any_more() {
    let folder = folder(HELD);
    let arguments = ["run", "s.toml", "--world", "sim", "--break-at", "2"];
    holds(&regatta(folder.path(), &arguments, "quit\n"), 130, &["given up before step 2 of 3"]);
    // The last step waits in vain.
    holds(&regatta(folder.path(), &arguments, ""), 1, &["held before step 2 of 3", "`apart`"]);
    let healed = "fault { id = \"x\", isolate = \"n1\" }\nheal\nfault { id = \"y\", isolate = \"n1\" }\ngo\n";
    holds(
        &regatta(folder.path(), &arguments, healed),
        1,
        &["healed: no fault is left", "step `call` (`ask`)"],
    );
}

#[test]
fn a_step_that_is_not_there_is_told_with_the_nearest_one() {
    let folder = folder(HELD);
    let at = |step: &str| regatta(folder.path(), &["run", "s.toml", "--break-at", step], "");
    holds(&at("mehsed"), 64, &["there is no step `mehsed`", "did you mean `meshed`?"]);
    holds(&at("4"), 64, &["a number from 1 to 3"]);
    fs::write(folder.path().join("t.toml"), HELD).expect("written");
    let two = regatta(folder.path(), &["run", ".", "--world", "sim", "--break-at", "ask"], "");
    holds(&two, 64, &["--break-at holds one run, and these are 2"]);
}

#[test]
fn a_run_is_played_again_from_its_folder_to_the_same_digest() {
    let folder = folder(FAILS);
    let path = folder.path();
    let first = regatta(path, &["run", "s.toml", "--filter", "nodes=3", "--seed", "5"], "");
    holds(&first, 1, &["smaller with  regatta shrink s.toml --seed 5 --filter 's[nodes=3]'", "explained in"]);
    let name = "s[nodes=3]@sim-5";
    for run in ["last", name, &format!("runs/{name}"), &format!("runs/{name}/run.json")] {
        holds(
            &regatta(path, &["replay", run], ""),
            1,
            &["as recorded: the same run", "expectation `all-run`"],
        );
    }
    // The file has changed, but not the run.
    fs::write(path.join("s.toml"), HELD).expect("written");
    let changed = regatta(path, &["replay"], "");
    holds(&changed, 1, &["note: s.toml has changed since", "as recorded: the same run"]);
    fs::remove_file(path.join("s.toml")).expect("removed");
    holds(&regatta(path, &["replay"], ""), 1, &["note: s.toml is not there any more"]);

    let manifest = path.join("runs").join(name).join("run.json");
    let kept = fs::read_to_string(&manifest).expect("there");
    let digest =
        kept.split("\"digest\": \"").nth(1).and_then(|rest| rest.split('"').next()).expect("a digest");
    fs::write(&manifest, kept.replace(digest, "0123456789abcdef")).expect("written");
    holds(&regatta(path, &["replay"], ""), 1, &["recorded was 0123456789abcdef: not the same run"]);
    fs::write(&manifest, kept.replace("\"revision\": \"", "\"revision\": \"x")).expect("written");
    holds(&regatta(path, &["replay"], ""), 1, &["note: it ran at revision x"]);
    fs::write(&manifest, kept.replace("\"sim\"", "\"moon\"")).expect("written");
    holds(&regatta(path, &["replay"], ""), 64, &["a world `moon`, which there is not"]);
    fs::write(&manifest, kept.replace("regatta.failure/1", "regatta.failure/9")).expect("written");
    holds(&regatta(path, &["replay"], ""), 64, &["is a `regatta.failure/9`"]);
    fs::write(&manifest, "{}").expect("written");
    holds(&regatta(path, &["replay"], ""), 64, &["is not the folder of a run", "run.json"]);
}

#[test]
fn a_run_that_is_not_there_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    holds(&regatta(path, &["replay"], ""), 64, &["no run has a folder below"]);
    holds(&regatta(path, &["replay", "nowhere"], ""), 64, &["there is no folder `nowhere`"]);
    holds(&regatta(path, &["replay", "."], ""), 64, &["is not the folder of a run"]);
}

#[test]
fn a_failure_is_made_small_and_written_as_a_file_that_fails_the_same() {
    let folder = folder(FAILS);
    let path = folder.path();
    holds(
        &regatta(path, &["shrink", "s.toml"], ""),
        64,
        &["one cell can be made small at a time", "s[nodes=2]"],
    );
    let arguments = ["shrink", "s.toml", "--filter", "nodes=3", "--seed", "5"];
    let out = path.join("scenarios/reported/s-5.toml");
    let shrunk = regatta(path, &arguments, "");
    holds(&shrunk, 0, &["fails by expectation `all-run`", "to    1 strike, "]);
    holds(&regatta(path, &arguments, ""), 64, &["is there already"]);
    let small = fs::read_to_string(&out).expect("written");
    assert!(small.contains("regatta run scenarios/reported/s-5.toml --world sim"), "{small}");
    holds(&regatta(path, &["check", "scenarios"], ""), 0, &["no mistake"]);
    holds(&regatta(path, &["run", "scenarios"], ""), 1, &["expectation `all-run`"]);
    // From the folder of a run, within few runs.
    let again = regatta(path, &["shrink", "last", "--out", "again.toml", "--runs", "3"], "");
    holds(&again, 0, &["no more runs were allowed"]);
    holds(&regatta(path, &["run", "again.toml"], ""), 1, &["expectation `all-run`"]);
}

#[test]
fn what_does_not_fail_is_not_made_small() {
    let folder = folder(&HELD.replace("size() == 1", "size() == 2"));
    let passes = regatta(folder.path(), &["shrink", "s.toml"], "");
    holds(&passes, 2, &["it came out as `pass`"]);
    assert!(!folder.path().join("scenarios").exists());
}

const SLICED: &str = r#"
about = "x"
worlds = ["inproc", "sim"]
[[node]]
name = "n"
count = 2
pin = true
[[process]]
on = "n2"
behaviour = "echo"
global = "svc/echo"
[[step]]
id = "meshed"
await = "nodes.all(n, n.members.size() == 2 && 'svc/echo' in n.names)"
[[load]]
id = "latency"
after = "meshed"
from = "n1"
to = "svc/echo"
model = "closed"
messages = 50
slices = 3
[[expect]]
id = "answered"
finally = "loads.latency.replies == 150"
"#;

#[test]
fn a_run_in_turns_asks_before_each_slice_and_once_after_the_last() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("sliced.toml"), SLICED).expect("written");
    let whole = regatta(folder.path(), &["run", "sliced.toml"], "");
    assert!(whole.status.success(), "{whole:?}");
    let arguments = ["run", "sliced.toml", "--in-turns", "--json", "-"];
    let turns = regatta(folder.path(), &arguments, "go\ngo\ngo\ngo\n");
    assert!(turns.status.success(), "{turns:?}");
    let text = String::from_utf8_lossy(&turns.stdout).into_owned();
    assert!(text.starts_with("ready\nready\nready\nready\n{"), "{text}");
    // Whoever gives the turns goes away: the run proves nothing, and says so.
    let gone = regatta(folder.path(), &arguments, "go\n");
    assert_eq!(gone.status.code(), Some(2), "{gone:?}");
    assert!(String::from_utf8_lossy(&gone.stderr).contains("nobody gives turns any more"), "{gone:?}");
    let refused = regatta(folder.path(), &["run", "sliced.toml", "--world", "sim", "--in-turns"], "");
    assert_eq!(refused.status.code(), Some(64), "{refused:?}");
    let sim = regatta(folder.path(), &["run", "sliced.toml", "--world", "sim"], "");
    assert!(sim.status.success(), "{sim:?}");
}
