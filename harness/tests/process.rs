//! The world of processes: nothing is left of a run, whatever becomes of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything here takes; it only keeps a fault from hanging.
const PATIENCE: Duration = Duration::from_secs(60);

fn write(folder: &Path, text: &str) -> PathBuf {
    let file = folder.join("s.toml");
    fs::write(&file, text).expect("written");
    file
}

fn regatta(file: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_regatta"));
    command.args(["run", "--world", "process"]).arg(file).current_dir(file.parent().expect("a folder"));
    command
}

fn start(file: &Path) -> Child {
    regatta(file).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The processes that are nodes of this harness.
fn nodes_of(harness: u32) -> Vec<u32> {
    let wanted = format!("REGATTA_NODE={harness}");
    let pids = fs::read_dir("/proc")
        .expect("Linux")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_node = |pid: &u32| {
        // A process that is gone, or a zombie, has none.
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    pids.filter(is_node).collect()
}

/// When a process began, in clock ticks since the machine did.
fn begun(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    // Its name, in parentheses, may hold anything; the time is the 20th field behind it.
    let behind = stat.rsplit_once(')').expect("a name").1;
    behind.split_whitespace().nth(19).and_then(|ticks| ticks.parse().ok()).expect("a number")
}

fn until(what: &str, within: Duration, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < within, "{what} after {within:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(sent.expect("kill is there").success());
}

const FIVE: &str = "about = \"x\"\nworlds = [\"process\"]\n[[node]]\nname = \"n\"\ncount = 5\n\
                    [[step]]\nawait = \"nodes.all(n, n.members.size() == 5)\"\n";

/// A run of five nodes that has begun and goes on, one of them stopped.
fn five(folder: &Path) -> (Child, Vec<u32>) {
    let steps = "[[step]]\npause = { node = \"n3\" }\n[[step]]\nsleep = \"1h\"\n";
    let harness = start(&write(folder, &format!("timeout = \"1h\"\n{FIVE}{steps}")));
    let mut nodes = Vec::new();
    until("no five nodes, one of them stopped", PATIENCE, || {
        nodes = nodes_of(harness.id());
        let stopped = |pid: &u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
        };
        nodes.len() == 5 && nodes.iter().any(stopped)
    });
    (harness, nodes)
}

#[test]
fn killing_the_harness_in_the_middle_of_a_run_leaves_no_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut harness, _) = five(folder.path());
    let id = harness.id();
    harness.kill().expect("it ran");
    harness.wait().expect("it ended");
    until("nodes are left", Duration::from_secs(2), || nodes_of(id).is_empty());
}

#[test]
fn interrupting_the_harness_leaves_no_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let (harness, _) = five(folder.path());
    let id = harness.id();
    signal(id, "INT");
    let output = harness.wait_with_output().expect("it ended");
    assert_eq!(output.status.code(), Some(130), "{}", text(&output));
    until("nodes are left", Duration::from_secs(2), || nodes_of(id).is_empty());
}

#[test]
fn nodes_outlive_every_thread_of_the_harness_but_the_one_that_started_them() {
    // Longer than an idle thread of tokio's pool lives (10 s): one that had started a node would take it along.
    let folder = tempfile::tempdir().expect("a folder");
    let idle = "[[step]]\nsleep = \"15s\"\n[[step]]\ncall = { from = \"n1\", to = { global = \"none\" }, expect = \"no-proc\" }\n\
                [[expect]]\nid = \"up\"\nalways = \"nodes.all(n, n.running)\"\n";
    let output = regatta(&write(folder.path(), &format!("{FIVE}{idle}"))).output().expect("it ran");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

#[test]
fn a_node_that_dies_by_itself_is_seen_and_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let steps = "[[step]]\nid = \"gone\"\nawait = \"nodes.exists(n, !n.running)\"\nwithin = \"60s\"\n";
    let lonely =
        "about = \"x\"\nworlds = [\"process\"]\n[[node]]\nname = \"n\"\ncount = 2\nconnect = \"nobody\"\n";
    let harness = start(&write(folder.path(), &format!("timeout = \"2m\"\n{lonely}{steps}")));
    let mut nodes = Vec::new();
    until("no two nodes", PATIENCE, || {
        nodes = nodes_of(harness.id());
        nodes.len() == 2
    });
    // The second is started once the first is up, and may not be yet. Numbers of processes begin anew when they are used up.
    signal(*nodes.iter().min_by_key(|node| begun(**node)).expect("two"), "KILL");
    let output = harness.wait_with_output().expect("it ended");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("left something behind"), "{}", text(&output));
}

#[test]
fn faults_crashes_and_restarts_happen_to_processes_as_they_do_in_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = r#"
about = "x"
worlds = ["process"]
[[node]]
name = "n"
count = 3
[[process]]
on = "n2"
behaviour = "counter"
label = "k"
name = "k"
global = "svc/k"
[[process]]
on = "n1"
behaviour = "relay"
label = "r"
args = { to = "k" }
[[step]]
await = "nodes.all(n, n.members.size() == 3 && 'svc/k' in n.names)"
[[step]]
send = { from = "n3", to = "r", count = 5 }
[[step]]
await = "received.k.messages == 5"
[[step]]
fault = { id = "cut", partition = [["n1"], ["rest"]] }
[[step]]
send = { from = "n1", to = "k@n2", count = 7 }
[[step]]
await = "faults.cut.dropped > 0 && received.k.messages == 5"
[[step]]
heal = "all"
[[step]]
await = "received.k.messages == 12"
[[step]]
monitor = { from = "n1", to = "k" }
[[step]]
fault = { id = "still", pause = "n2", hold = "300ms" }
[[step]]
call = { from = "n1", to = "svc/k" }
[[step]]
kill = { node = "n2" }
[[step]]
await = "!nodes[1].running && downs.exists(d, d.watcher == 'n1' && d.process == 'k' && d.reason == 'noconnection')"
within = "20s"
[[step]]
restart = { node = "n2" }
[[step]]
await = "nodes.all(n, n.members.size() == 3 && 'svc/k' in n.names)"
[[step]]
send = { from = "n1", to = "svc/k", count = 8 }
[[step]]
await = "received.k.messages == 21"
[[step]]
fault = { id = "hot", cpu-hog = "n3", hold = "200ms" }
[[step]]
fault = { id = "late", clock = "n3", offset = "-2s" }
[[step]]
call = { from = "n3", to = "svc/k" }
[[step]]
spawn = { from = "n1", on = "n3", factory = "echo", label = "e", link = true, monitor = true }
[[step]]
kill = { process = "e" }
[[step]]
await = "downs.filter(d, d.process == 'e' && d.reason == 'killed').size() == 2"
[[step]]
heal = "all"
[[step]]
stop = { node = "n3" }
"#;
    let output = regatta(&write(folder.path(), scenario)).output().expect("it ran");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

#[test]
fn a_message_that_has_arrived_before_its_sender_told_of_it_is_no_wrong_delivery() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = r#"
about = "x"
worlds = ["process"]
[[node]]
name = "n"
count = 3
[[process]]
on = "n1"
behaviour = "sink"
global = "sink"
[[process]]
on = "n"
behaviour = "ticker"
label = "ticks"
args = { to = "sink", every_ms = 1 }
[[step]]
await = "received['sink'].messages > 500"
[[expect]]
id = "delivery"
history = "delivery"
"#;
    // The run ends while messages are under way, each time at another moment.
    let output = regatta(&write(folder.path(), scenario)).args(["--repeat", "5"]).output().expect("it runs");
    assert!(output.status.success(), "{}", text(&output));
}
