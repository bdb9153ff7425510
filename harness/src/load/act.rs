//! Rounds that are acts of a node and no messages: remote spawns, and names that another node is to find.

use std::time::Duration;

use regatta::{ClusterNode, Context, Pid, Received};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::closed::{Measured, gather};
use super::cost::Reading;
use super::figures::Rung;
use super::recorder::Recorder;
use super::{LoadError, REPLY_WITHIN, Source, work};
use crate::behaviour::message::{self, Kind, Message};
use crate::behaviour::{FINDER, OWN_LABEL, Order};
use crate::scenario::load::{Amount, Load};

/// What is done again and again.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// Have another node start a process.
    Spawn { on: String, factory: String },
    /// Register a name, and have another node find it.
    Register { on: String },
}

impl Act {
    pub(super) fn spawn(on: &str, factory: &str) -> Self {
        Self::Spawn { on: on.to_owned(), factory: factory.to_owned() }
    }

    pub(super) fn register(on: &str) -> Self {
        Self::Register { on: on.to_owned() }
    }
}

/// Each sender's every place in flight is a process of its own, which does the act again when it is done.
pub(super) async fn run(load: &Load, from: &Source, act: &Act, in_flight: u64) -> Result<Rung, LoadError> {
    let before = Reading::now(from);
    let mut actors = Vec::new();
    for _ in 0..load.senders.max(1) * in_flight.max(1) {
        let (done, measured) = oneshot::channel();
        let (node, act, load) = (ClusterNode::clone(from), act.clone(), load.clone());
        from.runtime().spawn(move |context| async move {
            context.set_label(format!("{OWN_LABEL}load"));
            let mut actor = Actor { context, node, act, finder: None };
            let measured = actor.run(&load).await;
            actor.leave();
            // The harness may have given the run up.
            let _ = done.send(measured);
        });
        actors.push(measured);
    }
    gather(load, from, in_flight, before, actors).await
}

struct Actor {
    context: Context,
    node: ClusterNode,
    act: Act,
    /// The process on the other node that finds names.
    finder: Option<Pid>,
}

impl Actor {
    async fn run(&mut self, load: &Load) -> Measured {
        let (mut rung, mut recorder) = (Rung::empty(1), Recorder::new(load.amount.length()));
        let warm = Instant::now() + load.warmup;
        let (end, wanted) = match load.amount {
            Amount::Duration(duration) => (Some(warm + duration), u64::MAX),
            Amount::Messages(messages) => (None, messages),
        };
        let mut measured_from = None;
        for number in 0.. {
            work::spin(load.work);
            let begun = Instant::now();
            if end.is_some_and(|end| begun >= end) || rung.replies >= wanted {
                break;
            }
            if !self.once(number).await {
                rung.errors += 1;
                break;
            }
            let now = Instant::now();
            rung.handled += 1;
            if begun >= warm {
                rung.elapsed = now - *measured_from.get_or_insert(begun);
                rung.replies += 1;
                let took = u64::try_from((now - begun).as_nanos()).unwrap_or(u64::MAX);
                recorder.record(now.saturating_duration_since(warm), took);
            }
            self.clear(number);
        }
        rung.requests = rung.replies + rung.errors;
        (rung, recorder)
    }

    /// Does it once; whether it came to its end.
    async fn once(&mut self, number: u64) -> bool {
        match self.act.clone() {
            Act::Spawn { on, factory } => match self.start(&on, &factory).await {
                Some(pid) => {
                    self.context.runtime().kill(pid);
                    true
                }
                None => false,
            },
            Act::Register { on } => {
                if self.finder.is_none() {
                    self.finder = self.start(&on, FINDER).await;
                }
                let Some(finder) = self.finder else { return false };
                let (name, me) = (self.name(number), self.context.pid());
                if self.node.try_register_global(name.as_str(), me).is_err() {
                    return false;
                }
                let request = message::write(Kind::Request, me, number, name.as_bytes());
                self.context.send(finder, request).await.is_ok() && self.answered(number).await
            }
        }
    }

    /// Takes back what the round has left behind.
    fn clear(&self, number: u64) {
        if let Act::Register { .. } = self.act {
            self.node.unregister_global(&self.name(number));
        }
    }

    fn leave(&self) {
        if let Some(finder) = self.finder {
            self.context.runtime().kill(finder);
        }
    }

    /// The name of a round: nobody has had it before.
    fn name(&self, number: u64) -> String {
        format!("{OWN_LABEL}load/{}/{number}", self.context.pid().serial())
    }

    async fn start(&self, on: &str, factory: &str) -> Option<Pid> {
        let order = Order { label: format!("{OWN_LABEL}load"), args: Value::Null };
        let bytes = serde_json::to_vec(&order).ok()?;
        self.node.spawn_remote(on, factory, bytes).await.ok()
    }

    async fn answered(&mut self, number: u64) -> bool {
        let until = Instant::now() + REPLY_WITHIN;
        loop {
            let left: Duration = until.saturating_duration_since(Instant::now());
            let Some(received) = self.context.recv_timeout(left).await else { return false };
            if let Received::Message(bytes) = received
                && let Some(reply) = Message::read(bytes)
                && (reply.kind, reply.number) == (Kind::Reply, number)
            {
                return true;
            }
        }
    }
}
