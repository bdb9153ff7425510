//! Doing steps. What each must do, and what counts as done, is told on [`Action`].

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use regatta::Pid;
use serde_json::{Value, json};

use super::Outcome;
use super::faults::Source;
use super::stage::{Stage, name_of};
use crate::scenario::action::{
    Action, Actor, Address, AttachQuery, ConfirmResult, Dial, DialResult, Heal, Step,
};
use crate::scenario::fault::Target;
use crate::world::cluster::Seat;
use crate::world::order::{Answer, Order, PidText};

/// A step that is done: its outcome and what came back.
pub(super) type Done = (&'static str, Value);
/// What went wrong, and the values behind it.
pub(super) type Failed = (String, Option<String>);

/// What `within` does not bound.
const PAUSE: Duration = Duration::from_millis(5);
/// Looks in a row that must find nothing under way for a barrier.
const STILL_LOOKS: u32 = 3;

pub(super) fn failed<T>(message: impl Into<String>) -> Result<T, Failed> {
    Err((message.into(), None))
}

pub(super) const OK: Done = ("ok", Value::Null);

impl Stage {
    pub(super) async fn step(self: &Arc<Self>, index: usize, step: &Step) -> Result<Done, Failed> {
        match &step.action {
            // Time is what these are about: they have no deadline beside it.
            Action::Sleep(duration) => {
                tokio::time::sleep(*duration).await;
                Ok(OK)
            }
            Action::Load { loads } => {
                let ids =
                    loads.iter().filter_map(|id| self.scenario.loads.iter().position(|load| load.id == *id));
                let running = ids.map(|load| {
                    let stage = self.clone();
                    self.spawn(async move { stage.load(load).await })
                });
                for load in running.collect::<Vec<_>>() {
                    load.join().await.ok_or_else(|| ("a load ended early".to_owned(), None))?;
                }
                Ok(OK)
            }
            Action::Await { condition, hold } => match self.until(condition, *hold, step.within).await {
                Ok(()) => Ok(OK),
                Err(values) => {
                    let without = hold.map(|hold| format!(" for {} without a break", show(hold)));
                    let message = format!(
                        "still not true{} after {}: {}",
                        without.unwrap_or_default(),
                        show(step.within),
                        condition.source().trim()
                    );
                    Err((message, Some(values)))
                }
            },
            Action::Snapshot { view } => {
                let mut accepted = Vec::new();
                let id = step.id.clone().unwrap_or_else(|| format!("step-{}", index + 1));
                let found = self.compare_now(&id, *view, &mut accepted);
                self.note_accepted(accepted);
                let Some(found) = found else { return Ok(OK) };
                if found.outcome == Outcome::Internal {
                    self.note_unable();
                }
                Err((found.message, found.values))
            }
            action => {
                let done = tokio::time::timeout(step.within, self.act(index, action, step.within)).await;
                done.unwrap_or_else(|_| failed(format!("not done after {}", show(step.within))))
            }
        }
    }

    async fn act(self: &Arc<Self>, index: usize, action: &Action, within: Duration) -> Result<Done, Failed> {
        let cluster = &self.cluster;
        match action {
            Action::Start { nodes } => {
                for node in nodes {
                    cluster.start(node).await.map_err(told)?;
                }
            }
            Action::Stop { nodes } => {
                for node in self.targets(nodes)? {
                    cluster.stop(&node).await.map_err(told)?;
                }
            }
            Action::Kill { nodes } => {
                for node in self.targets(nodes)? {
                    self.kill(&node).await.map_err(told)?;
                }
            }
            Action::Restart { nodes } => {
                for node in self.targets(nodes)? {
                    if cluster.is_running(&node) {
                        self.kill(&node).await.map_err(told)?;
                    }
                    cluster.start(&node).await.map_err(told)?;
                }
            }
            Action::Pause { nodes } | Action::Resume { nodes } => {
                for node in self.targets(nodes)? {
                    let pause = matches!(action, Action::Pause { .. });
                    cluster.pause(&node, pause).await.map_err(told)?;
                }
            }
            Action::Fault(fault) => {
                self.begin_fault(fault, Source::Step(index)).await?;
            }
            Action::Heal(Heal::All) => self.heal_all().await?,
            Action::Heal(Heal::Ids(ids)) => self.heal(ids).await?,
            Action::Connect { dials } => return self.dial(dials).await,
            Action::Spawn(spawn) => return self.spawn_process(spawn, within).await,
            Action::Send { from, to, count, payload, senders } => {
                return self.send(from, to, *count, *payload, *senders).await;
            }
            Action::Call { from, to, payload, expect } => {
                return self.call(from, to, *payload, *expect, within).await;
            }
            Action::Register { process, name } => {
                let (seat, pid) = self.process(process)?;
                seat.ask(Order::Register { pid, name: name.clone() }).await.map_err(told)?;
            }
            Action::Confirm { process, name, expect } => {
                return self.confirm(process, name, *expect, within).await;
            }
            Action::Join { process, group } => {
                let (seat, pid) = self.process(process)?;
                seat.ask(Order::Join { pid, group: group.clone() }).await.map_err(told)?;
            }
            Action::Leave { process, group } => {
                let (seat, pid) = self.process(process)?;
                seat.ask(Order::Leave { pid, group: group.clone() }).await.map_err(told)?;
            }
            Action::Unregister { process, name } => {
                let (seat, pid) = self.process(process)?;
                seat.ask(Order::Unregister { pid, name: name.clone() }).await.map_err(told)?;
            }
            Action::Link { from, to } => {
                let (seat, pid) = self.actor(from)?;
                let target = PidText(self.look_up(&seat.name, to).await?);
                seat.ask(Order::Link { pid: PidText(pid), target }).await.map_err(told)?;
            }
            Action::Monitor { from, to } => {
                let (seat, pid) = self.actor(from)?;
                let target = PidText(self.look_up(&seat.name, to).await?);
                seat.ask(Order::Monitor { pid: PidText(pid), target }).await.map_err(told)?;
            }
            Action::Exit { from, to, reason } => self.exit(from.as_ref(), to, reason).await?,
            Action::Attach { from, to, query, expect } => {
                return self.attach(from.as_deref(), to, query, expect).await;
            }
            Action::Barrier => self.barrier().await?,
            other => return failed(format!("`{}` is not carried out yet", other.verb())),
        }
        Ok(OK)
    }

    async fn confirm(
        &self,
        process: &str,
        name: &str,
        expect: ConfirmResult,
        within: Duration,
    ) -> Result<Done, Failed> {
        let (seat, pid) = self.process(process)?;
        // A refusal comes by the deadline, and the step waits longer than that.
        let deadline = if expect == ConfirmResult::Refused { within / 2 } else { within };
        let order = Order::Confirm { pid, name: name.to_owned(), deadline };
        let Answer::Confirmed(confirmed) = seat.ask(order).await.map_err(told)? else {
            return failed("the node answered something else");
        };
        match (confirmed, expect) {
            (Ok(token), ConfirmResult::Ok) => Ok(("ok", Value::from(token))),
            (Err(why), ConfirmResult::Refused) => Ok(("refused", Value::from(why))),
            (Ok(_), ConfirmResult::Refused) => failed("the name was confirmed all the same"),
            (Err(why), ConfirmResult::Ok) => failed(why),
        }
    }

    /// The nodes that are meant. Nobody at all is an error: a step that does nothing would prove nothing.
    pub(super) fn targets(&self, target: &Target) -> Result<Vec<String>, Failed> {
        let running = self.running();
        let count = match target {
            Target::Nodes(nodes) => return Ok(nodes.clone()),
            Target::All => running.len(),
            Target::One => 1,
            Target::Minority => running.len().saturating_sub(1) / 2,
            Target::Majority => running.len() / 2 + 1,
        };
        if count == 0 {
            return failed(format!("no node is meant: {} of the scenario's nodes run", running.len()));
        }
        if count == running.len() {
            return Ok(running);
        }
        Ok(self.random().choose(&running, count))
    }

    async fn dial(&self, dials: &[Dial]) -> Result<Done, Failed> {
        // A node that does not run is nobody to be refused by.
        let seat = |name: &str| self.cluster.seat(name).ok_or_else(|| gone(name));
        let mut attempts = Vec::new();
        // All dials leave before any answer can come.
        for dial in dials {
            attempts.push(self.cluster.dial(&seat(&dial.from)?, &seat(&dial.to)?));
        }
        let mut refused = false;
        for (dial, answer) in dials.iter().zip(join_all(attempts).await) {
            let who = format!("the dial from `{}` to `{}`", dial.from, dial.to);
            let Ok(Answer::Dialed(answer)) = answer else {
                return failed(format!("{who} ended with its node"));
            };
            match (dial.expect, answer) {
                (DialResult::Linked, Ok(())) => {}
                (DialResult::Linked, Err(error)) => {
                    return failed(format!("{who} failed: {}", error.message));
                }
                (DialResult::Refused, Ok(())) => return failed(format!("{who} was not refused")),
                (DialResult::Refused, Err(error)) if !error.refused => {
                    return failed(format!("{who} was not refused, it got no answer: {}", error.message));
                }
                (DialResult::Refused, Err(_)) => refused = true,
            }
        }
        Ok((if refused { "refused" } else { "ok" }, Value::Null))
    }

    /// The node and the pid of a process of the scenario.
    fn process(&self, label: &str) -> Result<(Seat, PidText), Failed> {
        let (seat, pid) = self.actor(&Actor::Process(label.to_owned()))?;
        Ok((seat, PidText(pid)))
    }

    async fn exit(&self, from: Option<&Actor>, to: &Address, reason: &str) -> Result<(), Failed> {
        let (seat, actor) = if let Some(from) = from {
            self.actor(from)?
        } else {
            let some = self.cluster.seats().into_iter().next();
            let some = some.ok_or_else(|| ("no node runs".to_owned(), None))?;
            let target = self.look_up(&some.name, to).await?;
            let seat = self.cluster.seat_of(target).ok_or_else(|| {
                let whose = name_of(to);
                (format!("{whose} is gone: its node does not run"), None)
            })?;
            let control = seat.control;
            (seat, control)
        };
        let target = PidText(self.look_up(&seat.name, to).await?);
        let order = Order::Exit { from: PidText(actor), target, reason: reason.to_owned() };
        match seat.ask(order).await.map_err(told)? {
            Answer::Yes(true) => Ok(()),
            _ => failed(format!("{} is gone already", name_of(to))),
        }
    }

    async fn attach(
        &self,
        from: Option<&str>,
        to: &str,
        query: &AttachQuery,
        expect: &[String],
    ) -> Result<Done, Failed> {
        let AttachQuery::List(list) = query else { return failed("there is no prompt yet") };
        let trust = |name: &str| self.scenario.node(name).map(|node| node.trust.clone());
        let from = match from {
            Some(from) => self.cluster.seat(from).ok_or_else(|| gone(from))?,
            None => self
                .cluster
                .seats()
                .into_iter()
                .find(|seat| seat.name != to && trust(&seat.name) == trust(to))
                .ok_or_else(|| {
                    let help = "no other node with the same trust runs that could attach";
                    (format!("{help} to `{to}`; name one with `from`"), None)
                })?,
        };
        loop {
            let order = Order::List { node: to.to_owned(), list: *list };
            let Answer::Texts(texts) = from.ask(order).await.map_err(told)? else {
                return failed("the node answered something else");
            };
            if expect.iter().all(|text| texts.contains(text)) {
                let shown: Vec<_> = texts.into_iter().filter(|text| !text.is_empty()).collect();
                return Ok(("ok", json!(shown)));
            }
            // There is no event for what another node starts to run.
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until nothing is in a mailbox or queued for a link, several looks in a row.
    async fn barrier(&self) -> Result<(), Failed> {
        let mut still = 0;
        let mut before = Value::Null;
        while still < STILL_LOOKS {
            let now = self.scene.received();
            let answers = join_all(self.cluster.seats().iter().map(|seat| seat.ask(Order::Still))).await;
            let quiet = answers.into_iter().all(|answer| !matches!(answer, Ok(Answer::Yes(false))));
            still = if quiet && now == before { still + 1 } else { 0 };
            before = now;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// The node and process that act.
    pub(super) fn actor(&self, actor: &Actor) -> Result<(Seat, Pid), Failed> {
        match actor {
            Actor::Node(name) => {
                let seat = self.cluster.seat(name).ok_or_else(|| gone(name))?;
                let control = seat.control;
                Ok((seat, control))
            }
            Actor::Process(label) => {
                let nobody = || (format!("there is no process `{label}`"), None);
                let pid = self.scene.pid(label).ok_or_else(nobody)?;
                let ended = || (format!("process `{label}` is gone: its node does not run"), None);
                Ok((self.cluster.seat_of(pid).ok_or_else(ended)?, pid))
            }
        }
    }

    pub(super) async fn look_up(&self, node: &str, to: &Address) -> Result<Pid, Failed> {
        let found = self.resolve(node, to).await;
        found.ok_or_else(|| (format!("{} is nowhere, as `{node}` sees it", name_of(to)), None))
    }
}

pub(super) fn told(error: impl std::fmt::Display) -> Failed {
    (error.to_string(), None)
}

pub(super) fn gone(name: &str) -> Failed {
    (format!("node `{name}` does not run"), None)
}

fn show(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}
