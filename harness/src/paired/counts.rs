//! Tier 1: instructions and system calls of one message, counted by valgrind and strace.
//!
//! The scenario is run in two lengths and the difference is divided by the messages between them: what start and end
//! cost falls out. Instructions are counted in `sim`, where a run does the same each time; system calls on real UDP.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use schemars::JsonSchema;
use serde::Serialize;
use toml::{Table, Value};

use super::arm::{Arm, gates};
use crate::gate::count::{Counted, Growth, judge};
use crate::gate::{Metric, Verdict};
use crate::scenario::World;
use crate::scenario::load::{INSTRUCTIONS, SYSCALLS};

/// The long run is so many times the short one.
const LENGTHS: u64 = 4;
/// Parts that grew which are told.
const GREW_SHOWN: usize = 5;
/// A part that grew by less of the whole is not told.
const GREW_SHARE: f64 = 0.002;

/// What came of the counts.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct Counts {
    /// Each metric.
    pub counted: Vec<Counted>,
    /// What could not be counted here, and why.
    pub unsupported: Vec<String>,
}

impl Counts {
    /// Whether something that blocks is worse.
    #[must_use]
    pub fn regressed(&self) -> bool {
        self.counted.iter().any(|one| one.verdict == Verdict::Regression)
    }

    /// Whether something that blocks could not be told.
    #[must_use]
    pub fn inconclusive(&self) -> bool {
        self.counted.iter().any(|one| {
            matches!(one.verdict, Verdict::Inconclusive(_)) && one.metric.level == crate::gate::Level::Block
        })
    }
}

/// A scenario in two lengths, in a folder.
#[derive(Debug, Clone)]
pub struct Lengths {
    short: PathBuf,
    long: PathBuf,
    /// One-way messages between the two.
    messages: f64,
}

impl Lengths {
    /// Writes both into `folder`, with names that begin with `name`. The scenario has one load, a closed one that ends by
    /// messages; `change` may change it.
    ///
    /// # Errors
    /// What is wrong with the scenario or the folder, in words.
    pub fn write(
        text: &str,
        folder: &Path,
        name: &str,
        change: impl FnOnce(&mut Table),
    ) -> Result<Self, String> {
        let mut scenario: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
        change(&mut scenario);
        let write = |table: &Table, length: &str| {
            let path = folder.join(format!("{name}-{length}.toml"));
            let text = toml::to_string(table).map_err(|error| error.to_string())?;
            fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok::<_, String>(path)
        };
        let short = write(&scenario, "short")?;
        let load = scenario.get_mut("load").and_then(Value::as_array_mut).and_then(|loads| loads.first_mut());
        let load = load.and_then(Value::as_table_mut).ok_or("a scenario that is counted has one [[load]]")?;
        let few = load.get("messages").and_then(Value::as_integer);
        let few = few.ok_or("the load of a scenario that is counted ends by `messages`")?.max(1) as u64;
        // Each of these multiplies the messages.
        let many = ["slices", "senders"]
            .into_iter()
            .find(|key| load.get(*key).and_then(Value::as_integer).is_some_and(|number| number > 1));
        if let Some(key) = many {
            return Err(format!("the load of a scenario that is counted has no `{key}`"));
        }
        let many = i64::try_from(few * LENGTHS).map_err(|_| "too many messages")?;
        load.insert("messages".to_owned(), Value::Integer(many));
        let long = write(&scenario, "long")?;
        // A round trip is two messages.
        Ok(Self { short, long, messages: 2.0 * (few * (LENGTHS - 1)) as f64 })
    }
}

/// A count per message, whole and by parts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PerMessage {
    /// All of it.
    pub total: f64,
    /// By functions, or by system calls.
    pub parts: BTreeMap<String, f64>,
}

/// Counts one figure of one message of a build. Several may run at the same time: nothing depends on time.
///
/// # Errors
/// Why it could not be counted, in words.
pub fn count(program: &Path, lengths: &Lengths, figure: &str) -> Result<PerMessage, String> {
    let one = |scenario: &Path| match figure {
        SYSCALLS => syscalls(program, scenario),
        _ => instructions(program, scenario),
    };
    let (short, long) = both(|| one(&lengths.short), || one(&lengths.long));
    let (short, long) = (short?, long?);
    let mut parts = BTreeMap::new();
    for (name, many) in &long {
        let few = short.get(name).copied().unwrap_or(0);
        let each = (*many as f64 - few as f64) / lengths.messages;
        if each != 0.0 {
            parts.insert(name.clone(), each);
        }
    }
    let sum = |of: &BTreeMap<String, u64>| of.values().sum::<u64>() as f64;
    Ok(PerMessage { total: (sum(&long) - sum(&short)) / lengths.messages, parts })
}

/// Does two things at the same time.
fn both<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B) -> (A, B) {
    thread::scope(|scope| {
        let a = scope.spawn(a);
        let b = b();
        (a.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), b)
    })
}

fn instructions(program: &Path, scenario: &Path) -> Result<BTreeMap<String, u64>, String> {
    let out = scratch("cachegrind")?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=cachegrind", "--cache-sim=no", "-q"]);
    command.arg(format!("--cachegrind-out-file={}", out.path().display()));
    traced(command, program, scenario, World::Sim)?;
    Ok(by_function(&read(out.path())?))
}

fn syscalls(program: &Path, scenario: &Path) -> Result<BTreeMap<String, u64>, String> {
    let out = scratch("strace")?;
    let mut command = Command::new("strace");
    command.args(["-f", "-c", "-U", "calls,name", "-o"]).arg(out.path());
    traced(command, program, scenario, World::Inproc)?;
    Ok(by_call(&read(out.path())?))
}

fn scratch(what: &str) -> Result<tempfile::NamedTempFile, String> {
    tempfile::NamedTempFile::with_prefix(what).map_err(|error| error.to_string())
}

fn read(path: &Path) -> Result<String, String> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Runs a scenario under a tool.
fn traced(mut tool: Command, program: &Path, scenario: &Path, world: World) -> Result<(), String> {
    let arm = Arm { program: program.to_owned(), scenario: scenario.to_owned(), world: Some(world) };
    let command = arm.command(1);
    tool.arg(command.get_program()).args(command.get_args());
    tool.current_dir(std::env::temp_dir()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let output = tool.output();
    let output =
        output.map_err(|error| format!("{} could not be started: {error}", tool.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let tail: Vec<&str> = said.trim().lines().rev().take(3).collect();
    Err(format!(
        "the run under {} failed ({}): {}",
        tool.get_program().display(),
        output.status,
        tail.join(" | ")
    ))
}

/// The instructions of each function in the file of cachegrind: lines `fn=NAME`, each followed by lines `LINE COUNT`.
fn by_function(text: &str) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    let mut name = String::new();
    for line in text.lines() {
        if let Some(function) = line.strip_prefix("fn=") {
            name = without_hash(function).to_owned();
        } else if line.as_bytes().first().is_some_and(u8::is_ascii_digit)
            && let Some((_, count)) = line.split_once(' ')
            && let Ok(count) = count.trim().parse::<u64>()
        {
            *all.entry(name.clone()).or_default() += count;
        }
    }
    all
}

/// A symbol without the hash that differs from build to build.
fn without_hash(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((path, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => path,
        _ => name,
    }
}

/// The calls of each system call in the table of `strace -c -U calls,name`.
fn by_call(text: &str) -> BTreeMap<String, u64> {
    let rows = text.lines().filter_map(|line| {
        let (calls, name) = line.trim().split_once(char::is_whitespace)?;
        Some((name.trim().to_owned(), calls.parse().ok()?))
    });
    rows.filter(|(name, _)| name != "total").collect()
}

/// What grew most between two counts.
#[must_use]
pub fn grew(base: &PerMessage, head: &PerMessage) -> Vec<Growth> {
    let names = base.parts.keys().chain(head.parts.keys().filter(|name| !base.parts.contains_key(*name)));
    let of = |parts: &BTreeMap<String, f64>, name: &String| parts.get(name).copied().unwrap_or(0.0);
    let mut all: Vec<Growth> = names
        .map(|name| Growth { name: name.clone(), base: of(&base.parts, name), head: of(&head.parts, name) })
        .filter(|one| one.head - one.base > base.total * GREW_SHARE)
        .collect();
    all.sort_by(|a, b| (b.head - b.base).total_cmp(&(a.head - a.base)));
    all.truncate(GREW_SHOWN);
    all
}

/// Counts what a scenario's gates on counts name, of two builds, and judges.
///
/// # Errors
/// What is wrong with the scenario or a run, in words.
pub fn compare(
    base: &Path,
    head: &Path,
    scenario: &Path,
    mut tick: impl FnMut(&str),
) -> Result<Counts, String> {
    let (_, metrics) = gates(scenario)?;
    let text = fs::read_to_string(scenario).map_err(|error| format!("{}: {error}", scenario.display()))?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let lengths = Lengths::write(&text, folder.path(), "counts", |_| {})?;
    let mut counts = Counts::default();
    for metric in &metrics {
        let figure = if metric.name.ends_with(SYSCALLS) { SYSCALLS } else { INSTRUCTIONS };
        if let Some(why) = missing(figure) {
            counts.unsupported.push(format!("{}: {why}", metric.name));
            continue;
        }
        tick(&metric.name);
        counts.counted.push(decide(metric, base, head, (&lengths, &lengths))?);
    }
    Ok(counts)
}

/// One decision over one count: base, head, base again, head again. Base and head may run different scenarios.
///
/// # Errors
/// Why it could not be counted, in words.
pub fn decide(
    metric: &Metric,
    base: &Path,
    head: &Path,
    lengths: (&Lengths, &Lengths),
) -> Result<Counted, String> {
    let figure = if metric.name.ends_with(SYSCALLS) { SYSCALLS } else { INSTRUCTIONS };
    let (base_once, head_once) = (count(base, lengths.0, figure)?, count(head, lengths.1, figure)?);
    let (base_again, head_again) = (count(base, lengths.0, figure)?, count(head, lengths.1, figure)?);
    let grew = grew(&base_once, &head_once);
    Ok(judge(metric, [base_once.total, base_again.total], [head_once.total, head_again.total], grew))
}

/// Why a figure cannot be counted here; nothing if it can.
#[must_use]
pub fn missing(figure: &str) -> Option<String> {
    let tool = if figure == SYSCALLS { "strace" } else { "valgrind" };
    let version = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    match version {
        Ok(status) if status.success() => None,
        _ => Some(format!("`{tool}` is not installed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_added_up_by_function_without_the_builds_hash() {
        let text = "desc: x\ncmd: regatta\nevents: Ir\nfl=/a.rs\nfn=regatta::send::h0123456789abcdef\n10 5\n11 7\n\
                    fn=memcpy\n0 3\nfl=/b.rs\nfn=regatta::send::hfedcba9876543210\n1 1\nsummary: 16\n";
        let parts = by_function(text);
        assert_eq!(
            parts.into_iter().collect::<Vec<_>>(),
            [("memcpy".into(), 3), ("regatta::send".into(), 13)]
        );
    }

    #[test]
    fn system_calls_are_read_by_name() {
        let text = "    calls syscall\n--------- -------\n      120 sendmsg\n        7 futex\n--------- -------\n      127 total\n";
        let calls = by_call(text);
        assert_eq!(calls.into_iter().collect::<Vec<_>>(), [("futex".into(), 7), ("sendmsg".into(), 120)]);
    }

    #[test]
    fn what_grew_is_named_and_the_most_comes_first() {
        let of = |parts: &[(&str, f64)]| PerMessage {
            total: parts.iter().map(|(_, count)| count).sum(),
            parts: parts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
        };
        let base = of(&[("send", 100.0), ("seal", 900.0), ("same", 50.0)]);
        let head = of(&[("send", 160.0), ("seal", 890.0), ("same", 50.5), ("malloc", 90.0)]);
        let names: Vec<String> = grew(&base, &head).into_iter().map(|one| one.name).collect();
        assert_eq!(names, ["malloc", "send"]);
    }

    #[test]
    fn what_would_multiply_the_messages_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = include_str!("../../../scenarios/load/counts.toml");
        let text = text.replacen("[[load]]\n", "[[load]]\nslices = 2\n", 1);
        let refused = Lengths::write(&text, folder.path(), "c", |_| {}).expect_err("it has slices");
        assert_eq!(refused, "the load of a scenario that is counted has no `slices`");
    }

    #[test]
    fn both_lengths_are_the_same_scenario_with_other_numbers_of_messages() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = include_str!("../../../scenarios/load/counts.toml");
        let lengths =
            Lengths::write(text, folder.path(), "c", |_| {}).expect("a scenario that can be counted");
        let messages = |path: &Path| {
            let table: Table = fs::read_to_string(path).expect("written").parse().expect("toml");
            table["load"][0]["messages"].as_integer().expect("a number")
        };
        assert_eq!(messages(&lengths.long), 4 * messages(&lengths.short));
        assert!((lengths.messages - 6.0 * messages(&lengths.short) as f64).abs() < 1e-9);
    }
}
