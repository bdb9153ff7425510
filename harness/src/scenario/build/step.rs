//! `[[step]]`: one verb each.

use super::Build;
use super::cluster::process_name;
use crate::scenario::action::{
    Action, Actor, AttachList, AttachQuery, CallResult, ConfirmResult, Dial, DialResult, Heal,
    PAYLOAD_BYTES_MIN, STEP_WITHIN_DEFAULT, ScopedName, Spawn, SpawnResult, Step,
};
use crate::scenario::fields::{At, Fields};
use crate::scenario::model::View;
use crate::scenario::problem::Problem;
use crate::scenario::raw::{Entry, Node, Span, Table, Value};
use crate::scenario::units;

/// The most messages that one sender of a `send` step sends.
const MESSAGES_MAX: u64 = 1_000_000_000;
/// The most processes that send in one step or load.
pub(crate) const SENDERS_MAX: u64 = 10_000;
/// The largest body of a message, in bytes.
const PAYLOAD_BYTES_MAX: u64 = 1 << 30;

impl Build<'_> {
    pub(super) fn steps(&self, fields: &Fields<'_>) -> Vec<Step> {
        fields.tables("step").into_iter().filter_map(|(table, span)| self.step(table, span)).collect()
    }

    fn step(&self, table: &Table, span: Span) -> Option<Step> {
        let fields = Fields::new(table, span.clone(), "[[step]]", self.problems);
        let id = fields.string("id", "\"heal\"").map(|id| id.value);
        let within = fields.time("within");
        if let Some(entry) = fields.entry("for")
            && !fields.has("await")
        {
            let problem = Problem::new(entry.key_span.clone(), "`for` goes with `await` alone");
            self.problems.report(problem.help("it says how long the condition must hold without a break"));
        }
        let verbs: Vec<(&'static str, &Entry)> =
            Action::VERBS.into_iter().filter_map(|verb| Some((verb, fields.entry(verb)?))).collect();
        let action = match verbs.as_slice() {
            [(verb, entry)] => self.action(verb, &fields, &entry.node, id.as_deref()),
            [] => {
                // An unknown key is most likely the misspelt verb, and has its own message.
                if table.entries.iter().all(|entry| ["id", "within", "for"].contains(&entry.key.as_str())) {
                    let help = format!("give it one of: {}", Action::VERBS.join(", "));
                    self.problems.report(Problem::new(span.clone(), "the step does nothing").help(help));
                }
                None
            }
            several => {
                let mut verbs: Vec<_> = several.to_vec();
                verbs.sort_by_key(|(_, entry)| entry.key_span.start);
                let message =
                    format!("a step does one thing, but this one has `{}` and `{}`", verbs[0].0, verbs[1].0);
                let help = "write a [[step]] for each";
                self.problems.report(Problem::new(verbs[1].1.key_span.clone(), message).help(help));
                None
            }
        };
        fields.finish();
        let within = within.unwrap_or(STEP_WITHIN_DEFAULT);
        action.map(|action| Step { id, line: self.line(&span), within, action })
    }

    fn action(&self, verb: &'static str, step: &Fields<'_>, node: &Node, id: Option<&str>) -> Option<Action> {
        match verb {
            "await" => {
                let hold = step.time("for");
                let condition = self.condition_of(step, "await")?;
                return Some(Action::Await { condition, hold });
            }
            "barrier" => {
                return match step.boolean("barrier") {
                    Some(false) => {
                        let problem =
                            Problem::new(node.span.clone(), "`barrier` is true or not there at all");
                        self.problems.report(problem);
                        None
                    }
                    barrier => barrier.map(|_| Action::Barrier),
                };
            }
            "sleep" => return step.duration("sleep").map(Action::Sleep),
            "load" => {
                let loads = self.known_ids(step, "load", "load", &self.names.ids.loads)?;
                return Some(Action::Load { loads });
            }
            "heal" => return self.heal(step),
            "snapshot" => {
                if id.is_none() {
                    step.require::<()>("id", None, "\"registry-after-heal\"");
                }
                return view(step, "snapshot").map(|view| Action::Snapshot { view });
            }
            "connect" => return self.connect(node),
            _ => {}
        }
        let what = format!("`{verb}`");
        let fields = Fields::of(node, &what, example(verb), self.problems)?;
        let action = self.table_action(verb, &fields);
        fields.finish();
        action
    }

    fn table_action(&self, verb: &'static str, fields: &Fields<'_>) -> Option<Action> {
        let target = || fields.require("node", self.target(fields, "node"), "\"n1\"");
        let nodes = || fields.require("node", self.nodes(fields, "node"), "\"n1\"");
        let process = || fields.require("process", self.label(fields, "process"), "\"receiver\"");
        let group = || fields.require("group", fields.string("group", "\"workers\""), "\"workers\"");
        Some(match verb {
            "start" => Action::Start { nodes: nodes()? },
            "stop" => Action::Stop { nodes: target()? },
            "kill" if fields.has("process") => {
                let to = self.address(fields, "process")?;
                Action::Exit { from: None, to, reason: "kill".to_owned() }
            }
            "kill" => {
                fields.entry("process");
                Action::Kill { nodes: target()? }
            }
            "pause" => Action::Pause { nodes: target()? },
            "resume" => Action::Resume { nodes: target()? },
            "restart" => Action::Restart { nodes: target()? },
            "rotate" => Action::Rotate { nodes: nodes()? },
            "revoke" => Action::Revoke { nodes: nodes()? },
            "spawn" => Action::Spawn(self.spawn(fields)?),
            "send" => self.send(fields)?,
            "call" => self.call(fields)?,
            "register" => {
                let (process, name) = (process(), scoped_name(fields));
                let confirmed = fields.boolean("confirmed").unwrap_or(false);
                let expect = if confirmed { fields.word("expect", &ConfirmResult::ALL) } else { None };
                match name? {
                    ScopedName::Global(name) if confirmed => {
                        let expect = expect.unwrap_or(ConfirmResult::Ok);
                        Action::Confirm { process: process?, name, expect }
                    }
                    ScopedName::Local(_) if confirmed => {
                        let problem = Problem::new(fields.span(), "only a `global` name can be confirmed");
                        fields.report(problem.help("a local name has no nodes to ask"));
                        return None;
                    }
                    name => Action::Register { process: process?, name },
                }
            }
            "unregister" => {
                let (process, name) = (process(), scoped_name(fields));
                Action::Unregister { process: process?, name: name? }
            }
            "join" => {
                let (process, group) = (process(), group());
                Action::Join { process: process?, group: group?.value }
            }
            "leave" => {
                let (process, group) = (process(), group());
                Action::Leave { process: process?, group: group?.value }
            }
            "link" => {
                let (from, to) = self.ends(fields);
                Action::Link { from: from?, to: to? }
            }
            "monitor" => {
                let (from, to) = self.ends(fields);
                Action::Monitor { from: from?, to: to? }
            }
            "exit" => {
                let from = self.actor(fields, "from");
                let to = fields.require("process", self.address(fields, "process"), "\"receiver\"");
                let reason =
                    fields.string("reason", "\"shutdown\"").map_or_else(|| "shutdown".into(), |r| r.value);
                Action::Exit { from, to: to?, reason }
            }
            "attach" => self.attach(fields)?,
            "fault" => Action::Fault(self.fault(fields)?),
            _ => return None,
        })
    }

    fn ends(&self, fields: &Fields<'_>) -> (Option<Actor>, Option<crate::scenario::action::Address>) {
        let from = fields.require("from", self.actor(fields, "from"), "\"n1\"");
        let to = fields.require("to", self.address(fields, "to"), "\"svc/echo\"");
        (from, to)
    }

    fn spawn(&self, fields: &Fields<'_>) -> Option<Spawn> {
        let from = fields.require("from", self.actor(fields, "from"), "\"n1\"");
        let on = fields.require("on", self.node(fields, "on"), "\"n2\"");
        let factory = fields.require("factory", fields.string("factory", "\"counter\""), "\"counter\"");
        let label = fields.string("label", "\"worker\"").map(|label| label.value);
        let name = fields.string("name", "\"counter\"");
        let global = fields.string("global", "\"svc/counter\"");
        name.iter().chain(&global).for_each(|found| process_name(found, fields));
        let (name, global) = (name.map(|name| name.value), global.map(|name| name.value));
        let link = fields.boolean("link").unwrap_or(false);
        let monitor = fields.boolean("monitor").unwrap_or(false);
        let expect = fields.word("expect", &SpawnResult::ALL).unwrap_or(SpawnResult::Ok);
        let factory = factory?;
        // A refused spawn may well name a factory that does not exist.
        let known = expect != SpawnResult::Refused;
        let factory = if known { self.behaviour(&factory)? } else { factory.value };
        let args = self.args(fields, &factory);
        let label =
            label.or_else(|| global.clone()).or_else(|| name.clone()).unwrap_or_else(|| factory.clone());
        Some(Spawn { from: from?, on: on?, factory, label, name, global, args, link, monitor, expect })
    }

    fn send(&self, fields: &Fields<'_>) -> Option<Action> {
        let (from, to) = self.ends(fields);
        let count = fields.integer("count", 1..=MESSAGES_MAX, "1000").map_or(1, |count| count.value);
        let payload = payload(fields).unwrap_or(PAYLOAD_BYTES_MIN);
        let senders = fields.integer("senders", 1..=SENDERS_MAX, "8");
        if let (Some(Actor::Process(label)), Some(At { value: 2.., span })) = (&from, &senders) {
            let message = format!("`{label}` is one process: it cannot be several senders");
            fields.report(
                Problem::new(span.clone(), message).help("send `from` a node to have senders of their own"),
            );
        }
        Some(Action::Send {
            from: from?,
            to: to?,
            count,
            payload,
            senders: senders.map_or(1, |senders| senders.value),
        })
    }

    fn call(&self, fields: &Fields<'_>) -> Option<Action> {
        let (from, to) = self.ends(fields);
        let payload = payload(fields).unwrap_or(PAYLOAD_BYTES_MIN);
        let expect = fields.word("expect", &CallResult::ALL).unwrap_or(CallResult::Reply);
        Some(Action::Call { from: from?, to: to?, payload, expect })
    }

    fn attach(&self, fields: &Fields<'_>) -> Option<Action> {
        let from = self.node(fields, "from");
        let to = fields.require("to", self.node(fields, "to"), "\"n2\"");
        if let (Some(from), Some(to)) = (&from, &to)
            && from == to
        {
            let help = "leave `from` out: another node with the same trust is taken";
            fields.report(Problem::new(fields.span(), format!("`{to}` cannot attach to itself")).help(help));
        }
        let list = fields.word("list", &AttachList::ALL);
        let run = fields.string("run", "\"ps\"").map(|run| run.value);
        let expect = super::strings(fields.strings("expect", "\"svc/counter\""));
        let query = match (list, run) {
            (Some(list), None) => AttachQuery::List(list),
            (None, Some(run)) => AttachQuery::Run(run),
            (Some(_), Some(_)) => {
                fields.report(Problem::new(
                    fields.span(),
                    "`attach` asks one thing: `list` or `run`, not both",
                ));
                return None;
            }
            (None, None) => return fields.require("list", None, "\"processes\""),
        };
        Some(Action::Attach { from, to: to?, query, expect })
    }

    fn heal(&self, step: &Fields<'_>) -> Option<Action> {
        let all = step.strings("heal", "\"all\"")?;
        if matches!(all.as_slice(), [one] if one.value == "all") {
            return Some(Action::Heal(Heal::All));
        }
        self.known_ids(step, "heal", "fault", &self.names.ids.faults).map(|ids| Action::Heal(Heal::Ids(ids)))
    }

    fn connect(&self, node: &Node) -> Option<Action> {
        let one = std::slice::from_ref(node);
        let nodes = if let Value::Array(nodes) = &node.value { nodes.as_slice() } else { one };
        if nodes.is_empty() {
            self.problems
                .report(Problem::new(node.span.clone(), "`connect` has no dial").help(example("connect")));
            return None;
        }
        let dials: Option<Vec<Dial>> = nodes.iter().map(|node| self.dial(node)).collect();
        dials.map(|dials| Action::Connect { dials })
    }

    fn dial(&self, node: &Node) -> Option<Dial> {
        let fields = Fields::of(node, "`connect`", example("connect"), self.problems)?;
        let from = fields.require("from", self.node(&fields, "from"), "\"n1\"");
        let to = fields.require("to", self.node(&fields, "to"), "\"n2\"");
        let expect = fields.word("expect", &DialResult::ALL).unwrap_or(DialResult::Linked);
        fields.finish();
        let (from, to) = (from?, to?);
        if from == to && expect == DialResult::Linked {
            let message = format!("`{from}` cannot be linked with itself");
            let help = "a node must refuse to dial itself: `expect = \"refused\"`";
            self.problems.report(Problem::new(node.span.clone(), message).help(help));
        }
        Some(Dial { from, to, expect })
    }
}

/// The body's size under `payload`, within the bounds that the built-in behaviours need.
pub(super) fn payload(fields: &Fields<'_>) -> Option<u64> {
    let bytes = fields.size("payload")?;
    if (PAYLOAD_BYTES_MIN..=PAYLOAD_BYTES_MAX).contains(&bytes) {
        return Some(bytes);
    }
    let span = fields.entry("payload").map_or_else(|| fields.span(), |entry| entry.node.span.clone());
    let message = format!("a payload has from {PAYLOAD_BYTES_MIN} bytes to 1 GiB, not {bytes}");
    let help = format!("{PAYLOAD_BYTES_MIN} bytes hold the sender, the sequence number and the checksum");
    fields.report(Problem::new(span, message).help(help));
    None
}

/// The view under `key`.
pub(super) fn view(fields: &Fields<'_>, key: &'static str) -> Option<View> {
    fields.word(key, &View::ALL.map(|view| (view.name(), view)))
}

fn scoped_name(fields: &Fields<'_>) -> Option<ScopedName> {
    let global = fields.string("global", "\"svc/echo\"");
    let local = fields.string("name", "\"echo\"");
    global.iter().chain(&local).for_each(|found| process_name(found, fields));
    let global = global.map(|name| ScopedName::Global(name.value));
    let local = local.map(|name| ScopedName::Local(name.value));
    match (global, local) {
        (Some(name), None) | (None, Some(name)) => Some(name),
        (Some(_), Some(_)) => {
            fields.report(Problem::new(
                fields.span(),
                "one step is for one name: `global` or `name`, not both",
            ));
            None
        }
        (None, None) => fields.require("global", None, "\"svc/echo\""),
    }
}

/// A duration that may be negative, in milliseconds.
pub(super) fn signed_millis(fields: &Fields<'_>, key: &'static str) -> Option<i64> {
    let found = fields.string(key, "\"-5s\"")?;
    let (sign, digits) = found.value.strip_prefix('-').map_or((1, found.value.as_str()), |rest| (-1, rest));
    match units::duration(digits).map(|duration| i64::try_from(duration.as_millis())) {
        Ok(Ok(millis)) => Some(sign * millis),
        Ok(Err(_)) => {
            fields.report(Problem::new(found.span, "the duration is too long"));
            None
        }
        Err(reason) => {
            fields.report(Problem::new(found.span, format!("{:?} is not a duration: {reason}", found.value)));
            None
        }
    }
}

/// What a step of this verb looks like.
fn example(verb: &str) -> &'static str {
    match verb {
        "start" | "stop" | "pause" | "resume" | "restart" | "rotate" | "revoke" => {
            "start = { node = \"n1\" }"
        }
        "kill" => "kill = { node = \"n1\" }",
        "spawn" => "spawn = { from = \"n1\", on = \"n2\", factory = \"counter\" }",
        "send" => "send = { from = \"n1\", to = \"svc/echo\", count = 100 }",
        "call" => "call = { from = \"n1\", to = \"svc/echo\" }",
        "register" | "unregister" => "register = { process = \"echo\", global = \"svc/echo\" }",
        "join" | "leave" => "join = { process = \"echo\", group = \"workers\" }",
        "link" | "monitor" => "link = { from = \"n1\", to = \"svc/echo\" }",
        "exit" => "exit = { process = \"svc/echo\", reason = \"shutdown\" }",
        "attach" => "attach = { to = \"n2\", list = \"processes\" }",
        "fault" => "fault = { id = \"cut\", partition = [[\"n3\"], [\"rest\"]] }",
        _ => "connect = { from = \"n1\", to = \"n2\" }",
    }
}
