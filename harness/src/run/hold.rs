//! A run that holds before a step, for somebody who wants to look: commands in, texts out.
//!
//! In the world `sim` everything stands still meanwhile, time too. Where time is real only the steps wait: nodes go on,
//! the cluster is watched, and what an expectation allows `within` passes.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use serde_json::Value;

use super::Outcome;
use super::faults::Source;
use super::stage::Stage;
use crate::condition::{Condition, Ids};
use crate::diagnostic::{nearest, suggestion};
use crate::scenario::{self, Scenario, World};

/// The word for the end of all steps, where one may hold too.
pub const END: &str = "end";

/// Who is asked while a run holds.
pub trait Console: Send + Sync + fmt::Debug {
    /// The next command; nothing when there will be none any more.
    fn ask(&self) -> Option<String>;

    /// Shows a text: whole lines.
    fn say(&self, text: &str);
}

/// Where a run holds first, and who is asked there.
#[derive(Debug, Clone)]
pub struct Hold {
    /// The index of the step that is not begun; the number of steps for the end of all.
    pub before: usize,
    /// Who is asked.
    pub console: Arc<dyn Console>,
}

/// Which step is meant: by its id, by its number from 1, or [`END`].
///
/// # Errors
/// That there is none, with the nearest id.
pub fn find_step(scenario: &Scenario, wanted: &str) -> Result<usize, String> {
    let by_id = scenario.steps.iter().position(|step| step.id.as_deref() == Some(wanted));
    let number = || wanted.parse::<usize>().ok().filter(|number| (1..=scenario.steps.len()).contains(number));
    if let Some(found) = by_id.or_else(|| number().map(|number| number - 1)) {
        return Ok(found);
    }
    if wanted == END {
        return Ok(scenario.steps.len());
    }
    let ids = scenario.steps.iter().filter_map(|step| step.id.as_deref()).chain([END]);
    let count = scenario.steps.len();
    Err(format!(
        "there is no step `{wanted}`; {}; a number from 1 to {count} is a step too",
        suggestion(wanted, ids, "ids")
    ))
}

/// What is done after a command.
enum Next {
    /// The next command is asked for.
    Ask,
    /// The run goes on.
    Go,
    /// The run is given up.
    Quit,
}

/// The commands, and what each is for.
const COMMANDS: [(&str, &str, &str); 11] = [
    ("help", "", "this"),
    ("nodes", "", "each node with its members, names and processes"),
    ("names", "", "global names with their owners, and who sees it otherwise"),
    ("links", "NODE", "whom a node is linked with"),
    ("ps", "NODE", "a node's processes"),
    ("eval", "CEL", "the value of an expression, and of its parts"),
    ("fault", "{ … }", "begin a fault, as a step would: fault { partition = [[\"n1\"], [\"rest\"]] }"),
    ("heal", "", "lift every fault, and end what strikes at random"),
    ("step", "", "do this step, and hold before the next one"),
    ("go", "", "do this step and all others"),
    ("quit", "", "give the run up"),
];

impl Stage {
    /// Holds before a step if that is wanted. Whether the run is given up.
    pub(super) async fn hold(self: &Arc<Self>, index: usize) -> bool {
        let Some(hold) = self.options.hold.clone() else { return false };
        if hold.before != index && !self.holds_next.load(Relaxed) {
            return false;
        }
        self.holds_next.store(false, Relaxed);
        let what = match self.scenario.steps.get(index) {
            Some(step) => {
                let id = step.id.as_ref().map_or_else(String::new, |id| format!(" (`{id}`)"));
                format!(
                    "before step {} of {}, `{}`{id}",
                    index + 1,
                    self.scenario.steps.len(),
                    step.action.verb()
                )
            }
            None => "after the last step".to_owned(),
        };
        let at = self.points.now().saturating_sub(self.points.begun().unwrap_or_default());
        hold.console.say(&format!(
            "held {what}, {:.3} s after the first; `help` tells the commands",
            at.as_secs_f64()
        ));
        loop {
            let Some(line) = self.ask(&hold.console).await else { return false };
            match self.command(line.trim(), &hold.console).await {
                Next::Ask => {}
                Next::Go => return false,
                Next::Quit => {
                    let line = self.scenario.steps.get(index).map(|step| step.line);
                    self.find(Outcome::Interrupted, line, "prompt", format!("given up {what}"), None);
                    return true;
                }
            }
        }
    }

    /// The next command. In virtual time the thread waits for it, and everything with it.
    async fn ask(&self, console: &Arc<dyn Console>) -> Option<String> {
        if self.world == World::Sim {
            return console.ask();
        }
        let console = console.clone();
        tokio::task::spawn_blocking(move || console.ask()).await.ok().flatten()
    }

    async fn command(self: &Arc<Self>, line: &str, console: &Arc<dyn Console>) -> Next {
        let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        let said = match command {
            "" => return Next::Ask,
            "go" => return Next::Go,
            "quit" => return Next::Quit,
            "step" => {
                self.holds_next.store(true, Relaxed);
                return Next::Go;
            }
            "help" => Ok(help()),
            "nodes" => Ok(nodes(&self.observe().json("nodes"))),
            "names" => Ok(names(&self.observe().json("names"))),
            "links" | "ps" => self.of_node(command, rest),
            "eval" => self.evaluate(rest),
            "fault" => self.by_hand(rest).await,
            "heal" if rest.is_empty() => match self.heal_all().await {
                Ok(()) => {
                    self.touched.store(true, Relaxed);
                    Ok("healed: no fault is left".to_owned())
                }
                Err((message, _)) => Err(message),
            },
            "heal" => Err("`heal` takes no id: it lifts all faults".to_owned()),
            other => {
                let known = COMMANDS.map(|(name, ..)| name);
                let help =
                    nearest(other, known).map_or_else(|| "see `help`".to_owned(), |it| format!("`{it}`?"));
                Err(format!("there is no command `{other}`; {help}"))
            }
        };
        match said {
            Ok(text) => console.say(&text),
            Err(text) if text.starts_with("error: ") => console.say(&text),
            Err(text) => console.say(&format!("error: {text}")),
        }
        Next::Ask
    }

    fn of_node(&self, command: &str, node: &str) -> Result<String, String> {
        let observation = self.observe();
        let all = observation.json("nodes").as_array().cloned().unwrap_or_default();
        let found = all.iter().find(|of| of["name"] == node);
        let Some(found) = found else {
            let known = self.scenario.nodes.iter().map(|node| node.name.as_str());
            return Err(format!("`{command}` is of a node; {}", suggestion(node, known, "nodes")));
        };
        let mut out = String::new();
        if command == "links" {
            list(&mut out, &found["links"]);
        } else {
            for process in found["processes"].as_array().into_iter().flatten() {
                // Writing to a string does not fail, here and below.
                let _ = writeln!(
                    out,
                    "{:<24} mailbox {:<6} {}",
                    process["label"].as_str().unwrap_or_default(),
                    process["mailbox"],
                    words(&process["names"]),
                );
            }
        }
        Ok(if out.is_empty() { "none".to_owned() } else { out })
    }

    fn evaluate(&self, source: &str) -> Result<String, String> {
        let ids = Ids {
            steps: self.scenario.steps.iter().filter_map(|step| step.id.clone()).collect(),
            faults: self.scenario.fault_ids().into_iter().map(str::to_owned).collect(),
            loads: self.scenario.loads.iter().map(|load| load.id.clone()).collect(),
            labels: None,
        };
        let expression = Condition::compile_value(source, &ids).map_err(|errors| {
            let told = errors.iter().map(|error| match &error.help {
                Some(help) => format!("{}; {help}", error.message),
                None => error.message.clone(),
            });
            told.collect::<Vec<_>>().join("\n")
        })?;
        Ok(expression.explain(&self.observe()).to_string())
    }

    async fn by_hand(self: &Arc<Self>, text: &str) -> Result<String, String> {
        let fault = scenario::load_fault(text, &self.scenario).map_err(|wrong| wrong.render(false))?;
        let name = fault.id.clone().unwrap_or_else(|| fault.kind.name().to_owned());
        self.begin_fault(&fault, Source::Hand).await.map_err(|(message, _)| message)?;
        self.touched.store(true, Relaxed);
        Ok(format!("the fault `{name}` is in force"))
    }
}

fn help() -> String {
    let mut out = String::new();
    for (command, of, what) in COMMANDS {
        let _ = writeln!(out, "{:<14} {what}", format!("{command} {of}"));
    }
    out
}

fn nodes(nodes: &Value) -> String {
    let mut out = String::new();
    for node in nodes.as_array().into_iter().flatten() {
        let state = if node["running"] == true { "runs" } else { "does not run" };
        let count = |key: &str| {
            node[key].as_array().map(Vec::len).or_else(|| node[key].as_object().map(serde_json::Map::len))
        };
        let _ = writeln!(
            out,
            "{:<12} {state:<12}  members {:<3} links {:<3} names {:<3} processes {}",
            node["name"].as_str().unwrap_or_default(),
            count("members").unwrap_or(0),
            count("links").unwrap_or(0),
            count("names").unwrap_or(0),
            count("processes").unwrap_or(0),
        );
    }
    out
}

fn names(names: &Value) -> String {
    let mut out = String::new();
    for name in names.as_array().into_iter().flatten() {
        let _ = write!(out, "{:<24} {}", name["name"].as_str().unwrap_or_default(), words(&name["owners"]));
        let sides = name["sides"].as_array().map_or(&[][..], Vec::as_slice);
        if sides.len() > 1 {
            for side in sides {
                let _ = write!(out, "   [{}: {}]", words(&side["nodes"]), words(&side["owners"]));
            }
        }
        out.push('\n');
    }
    if out.is_empty() { "no global name is known".to_owned() } else { out }
}

fn list(out: &mut String, texts: &Value) {
    for text in texts.as_array().into_iter().flatten().filter_map(Value::as_str) {
        let _ = writeln!(out, "{text}");
    }
}

fn words(texts: &Value) -> String {
    let texts = texts.as_array().into_iter().flatten().filter_map(Value::as_str);
    texts.collect::<Vec<_>>().join(" ")
}
