//! Doing steps. What each must do, and what counts as done, is told on [`Action`].

use std::future::Future;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use regatta::cluster::ConnectError;
use regatta::{ClusterNode, ExitReason, Pid};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::Outcome;
use super::stage::{Stage, name_of};
use crate::scenario::action::{
    Action, Actor, Address, AttachList, AttachQuery, Dial, DialResult, ScopedName, Step,
};
use crate::scenario::fault::Target;
use crate::world::inproc::Inproc;

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
    pub(super) async fn step(
        self: &Arc<Self>,
        world: &mut Inproc,
        index: usize,
        step: &Step,
    ) -> Result<Done, Failed> {
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
                    tokio::spawn(async move { stage.load(load).await })
                });
                for load in running.collect::<Vec<_>>() {
                    load.await.map_err(|error| (error.to_string(), None))?;
                }
                Ok(OK)
            }
            Action::Await(condition) => match self.until(condition, step.within).await {
                Ok(()) => Ok(OK),
                Err(values) => {
                    let message =
                        format!("still not true after {}: {}", show(step.within), condition.source().trim());
                    Err((message, Some(values)))
                }
            },
            Action::Snapshot { view } => {
                let observation = self.observe();
                let mut accepted = Vec::new();
                let id = step.id.clone().unwrap_or_else(|| format!("step-{}", index + 1));
                let found = self.compare(&id, *view, &observation, &mut accepted);
                self.note_accepted(accepted);
                let Some(found) = found else { return Ok(OK) };
                if found.outcome == Outcome::Internal {
                    self.note_unable();
                }
                Err((found.message, found.values))
            }
            action => {
                let done = tokio::time::timeout(step.within, self.act(world, action, step.within)).await;
                done.unwrap_or_else(|_| failed(format!("not done after {}", show(step.within))))
            }
        }
    }

    async fn act(&self, world: &mut Inproc, action: &Action, within: Duration) -> Result<Done, Failed> {
        match action {
            Action::Start { nodes } => {
                for node in nodes {
                    world.start(node).await.map_err(told)?;
                }
                Ok(OK)
            }
            Action::Stop { nodes } => {
                for node in self.targets(world, nodes)? {
                    world.stop(&node).await.map_err(told)?;
                }
                Ok(OK)
            }
            Action::Kill { nodes } => {
                for node in self.targets(world, nodes)? {
                    world.kill(&node).await.map_err(told)?;
                }
                Ok(OK)
            }
            Action::Restart { nodes } => {
                for node in self.targets(world, nodes)? {
                    if world.is_running(&node) {
                        world.kill(&node).await.map_err(told)?;
                    }
                    world.start(&node).await.map_err(told)?;
                }
                Ok(OK)
            }
            Action::Connect { dials } => self.dial(world, dials).await,
            Action::Spawn(spawn) => self.spawn(spawn, within).await,
            Action::Send { from, to, count, payload, senders } => {
                self.send(from, to, *count, *payload, *senders).await
            }
            Action::Call { from, to, payload, expect } => {
                self.call(from, to, *payload, *expect, within).await
            }
            Action::Register { process, name } => self.register(process, name),
            Action::Unregister { process, name } => self.unregister(process, name),
            Action::Link { from, to } => {
                let (node, pid) = self.actor(from)?;
                let target = self.look_up(node.name(), to)?;
                if node.runtime().link(pid, target) {
                    Ok(OK)
                } else {
                    failed("the process that links is gone")
                }
            }
            Action::Monitor { from, to } => {
                let (node, pid) = self.actor(from)?;
                let target = self.look_up(node.name(), to)?;
                let reference = node.runtime().monitor(pid, target);
                if reference.is_some() { Ok(OK) } else { failed("the process that watches is gone") }
            }
            Action::Exit { from, to, reason } => self.exit(from.as_ref(), to, reason).await,
            Action::Attach { from, to, query, expect } => {
                self.attach(from.as_deref(), to, query, expect).await
            }
            Action::Barrier => self.barrier().await,
            other => failed(format!("`{}` is not carried out yet", other.verb())),
        }
    }

    /// The nodes that are meant. Nobody at all is an error: a step that does nothing would prove nothing.
    fn targets(&self, world: &Inproc, target: &Target) -> Result<Vec<String>, Failed> {
        let running: Vec<String> = self
            .scenario
            .nodes
            .iter()
            .map(|node| node.name.clone())
            .filter(|name| world.is_running(name))
            .collect();
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
        Ok(self.random.lock().unwrap_or_else(PoisonError::into_inner).choose(&running, count))
    }

    async fn dial(&self, world: &Inproc, dials: &[Dial]) -> Result<Done, Failed> {
        // A node that does not run is nobody to be refused by.
        for name in dials.iter().flat_map(|dial| [&dial.from, &dial.to]) {
            if !world.is_running(name) {
                return Err(gone(name));
            }
        }
        let mut attempts: Vec<_> =
            dials.iter().map(|dial| Some(Box::pin(world.connect(&dial.from, &dial.to)))).collect();
        let mut answers: Vec<Option<Result<(), ConnectError>>> = dials.iter().map(|_| None).collect();
        // Polled together, in this order: all dials leave before any answer can come.
        std::future::poll_fn(|cx| {
            for (attempt, answer) in attempts.iter_mut().zip(&mut answers) {
                if let Some(future) = attempt
                    && let std::task::Poll::Ready(result) = future.as_mut().poll(cx)
                {
                    *answer = Some(result);
                    *attempt = None;
                }
            }
            if attempts.iter().all(Option::is_none) {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        })
        .await;
        let mut refused = false;
        for (dial, answer) in dials.iter().zip(answers.into_iter().flatten()) {
            let who = format!("the dial from `{}` to `{}`", dial.from, dial.to);
            match (dial.expect, answer) {
                (DialResult::Linked, Ok(())) => {}
                (DialResult::Linked, Err(error)) => return failed(format!("{who} failed: {error}")),
                (DialResult::Refused, Ok(())) => return failed(format!("{who} was not refused")),
                (DialResult::Refused, Err(error @ (ConnectError::Timeout(_) | ConnectError::Shutdown))) => {
                    return failed(format!("{who} was not refused, it got no answer: {error}"));
                }
                (DialResult::Refused, Err(_)) => refused = true,
            }
        }
        Ok((if refused { "refused" } else { "ok" }, Value::Null))
    }

    fn register(&self, process: &str, name: &ScopedName) -> Result<Done, Failed> {
        let (node, pid) = self.actor(&Actor::Process(process.to_owned()))?;
        match name {
            ScopedName::Local(name) => node.runtime().register(name, pid).map_err(told)?,
            ScopedName::Global(name) => node.try_register_global(name, pid).map_err(told)?,
        }
        Ok(OK)
    }

    fn unregister(&self, process: &str, name: &ScopedName) -> Result<Done, Failed> {
        let (node, pid) = self.actor(&Actor::Process(process.to_owned()))?;
        let held = match name {
            ScopedName::Local(name) => node.runtime().unregister(name, pid),
            ScopedName::Global(name) => {
                node.whereis_global_pid(name) == Some(pid) && node.unregister_global(name)
            }
        };
        if held { Ok(OK) } else { failed(format!("process `{process}` does not hold the name")) }
    }

    async fn exit(&self, from: Option<&Actor>, to: &Address, reason: &str) -> Result<Done, Failed> {
        let reason = match reason {
            "normal" => ExitReason::Normal,
            "kill" => ExitReason::Killed,
            "shutdown" => ExitReason::Shutdown,
            other => ExitReason::custom(other),
        };
        let (node, actor) = if let Some(from) = from {
            self.actor(from)?
        } else {
            let some =
                self.scene.nodes().into_iter().next().ok_or_else(|| ("no node runs".to_owned(), None))?.0;
            let target = self.look_up(&some, to)?;
            let node = self.node_of(target).ok_or_else(|| {
                let whose = name_of(to);
                (format!("{whose} is gone: its node does not run"), None)
            })?;
            self.actor(&Actor::Node(node))?
        };
        let target = self.look_up(node.name(), to)?;
        let runtime = node.runtime().clone();
        let sent = self.in_name_of(&node, actor, async move { runtime.exit(target, reason) }).await?;
        if sent { Ok(OK) } else { failed(format!("{} is gone already", name_of(to))) }
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
            Some(from) => self.scene.node(from).ok_or_else(|| gone(from))?,
            None => self
                .scene
                .nodes()
                .into_iter()
                .find(|(name, _)| name != to && trust(name) == trust(to))
                .map(|(_, node)| node)
                .ok_or_else(|| {
                    let help = "no other node with the same trust runs that could attach";
                    (format!("{help} to `{to}`; name one with `from`"), None)
                })?,
        };
        loop {
            let texts: Vec<String> = match list {
                AttachList::Processes => {
                    let processes = from.remote_processes(to).await.map_err(told)?;
                    processes
                        .into_iter()
                        .flat_map(|process| process.names.into_iter().chain([process.label]))
                        .collect()
                }
                AttachList::Names | AttachList::Peers => return failed("only processes can be listed yet"),
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
    async fn barrier(&self) -> Result<Done, Failed> {
        let mut still = 0;
        let mut before = Value::Null;
        while still < STILL_LOOKS {
            let now = self.scene.received();
            let quiet = self.scene.nodes().iter().all(|(_, node)| {
                let mailboxes =
                    node.runtime().infos(0, usize::MAX).iter().all(|info| info.mailbox_depth == 0);
                mailboxes && node.links().iter().all(|link| link.queued_bytes == 0)
            });
            still = if quiet && now == before { still + 1 } else { 0 };
            before = now;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(OK)
    }

    /// The node and process that act.
    pub(super) fn actor(&self, actor: &Actor) -> Result<(ClusterNode, Pid), Failed> {
        match actor {
            Actor::Node(name) => {
                let node = self.scene.node(name).ok_or_else(|| gone(name))?;
                let control = self.scene.pid(name).ok_or_else(|| gone(name))?;
                Ok((node, control))
            }
            Actor::Process(label) => {
                let nobody = || (format!("there is no process `{label}`"), None);
                let pid = self.scene.pid(label).ok_or_else(nobody)?;
                let node = self.node_of(pid).and_then(|name| self.scene.node(&name));
                let ended = || (format!("process `{label}` is gone: its node does not run"), None);
                Ok((node.ok_or_else(ended)?, pid))
            }
        }
    }

    /// The scenario's name for the node that runs a process.
    fn node_of(&self, pid: Pid) -> Option<String> {
        let nodes = self.scene.nodes();
        nodes.into_iter().find(|(_, node)| node.id().incarnation == pid.incarnation()).map(|(name, _)| name)
    }

    pub(super) fn look_up(&self, node: &str, to: &Address) -> Result<Pid, Failed> {
        self.resolve(node, to)
            .ok_or_else(|| (format!("{} is nowhere, as `{node}` sees it", name_of(to)), None))
    }

    /// Does something as the process `pid`, so that it has that process's place in order, links and monitors.
    pub(super) async fn in_name_of<T: Send + 'static>(
        &self,
        node: &ClusterNode,
        pid: Pid,
        act: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Failed> {
        let (done, result) = oneshot::channel();
        let job = Box::pin(async move {
            // The harness may have given the run up.
            let _ = done.send(act.await);
        });
        let gone = || (format!("process `{}` is gone", self.scene.label(pid)), None);
        if !self.scene.ask(node.runtime(), pid, job) {
            return Err(gone());
        }
        result.await.map_err(|_| gone())
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
