//! What the built-in processes do.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use regatta::{Bytes, Context, ExitReason, Pid, Received};

use super::message::{HEADER_BYTES, Kind, Message};
use super::scene::{Scene, Tally};
use super::{Setup, Whom};
use crate::load::work;

/// A process's mailbox as a behaviour sees it: verified, counted, and with the harness's own affairs dealt with.
#[derive(Debug)]
pub struct Inbox {
    /// The process.
    pub context: Context,
    scene: Arc<Scene>,
    tally: Arc<Tally>,
    /// The next number of each sender.
    expected: HashMap<Pid, u64>,
}

impl Inbox {
    /// Takes the place of the labelled process.
    #[must_use]
    pub fn new(context: Context, setup: &Setup) -> Self {
        let tally = setup.scene.enter(&setup.label, context.pid());
        context.set_label(&setup.label);
        Self { context, scene: setup.scene.clone(), tally, expected: HashMap::new() }
    }

    /// The next data, request or reply; `None` when the runtime asks a process that traps exits to shut down. Ends that
    /// the process is told of are noted, and jobs done, in between.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            match self.context.recv().await {
                Received::Message(bytes) => {
                    if let Some(message) = self.take(bytes).await {
                        return Some(message);
                    }
                }
                Received::Exit { from, reason: ExitReason::Shutdown }
                    if from == self.context.runtime().node_pid() =>
                {
                    return None;
                }
                Received::Exit { from, reason } => {
                    self.scene.told(self.context.pid(), from, "link", &reason, None);
                }
                Received::Down { pid, reason, reference } => {
                    self.scene.told(self.context.pid(), pid, "monitor", &reason, Some(reference));
                }
            }
        }
    }

    async fn take(&mut self, bytes: Bytes) -> Option<Message> {
        let Some(message) = Message::read(bytes) else {
            self.tally.corrupt.fetch_add(1, Relaxed);
            return None;
        };
        match message.kind {
            Kind::Job => {
                if let Some(job) = self.scene.job(message.number) {
                    job.await;
                }
                return None;
            }
            Kind::Data => self.check_order(&message),
            Kind::Request | Kind::Reply => {}
        }
        self.scene.passed(true, &message, self.context.pid());
        self.tally.messages.fetch_add(1, Relaxed);
        self.tally.bytes.fetch_add(message.size() as u64, Relaxed);
        Some(message)
    }

    fn check_order(&mut self, message: &Message) {
        let senders = self.expected.len();
        let expected = self.expected.entry(message.from).or_insert(0);
        if message.number < *expected {
            self.tally.duplicates.fetch_add(1, Relaxed);
        } else {
            // A gap is an earlier message that is late or lost; late ones then count as what they are, out of order.
            if message.number > *expected {
                self.tally.out_of_order.fetch_add(1, Relaxed);
            }
            *expected = message.number + 1;
        }
        if self.expected.len() > senders {
            self.tally.senders.fetch_add(1, Relaxed);
        }
    }

    /// Sends; the receiver may be gone, which is no business of a behaviour.
    pub async fn send(&self, to: Pid, bytes: Vec<u8>) {
        let _ = self.context.send(to, bytes).await;
    }
}

/// Replies to every request with what it got, after `args.work_ns` nanoseconds of work.
pub(super) async fn echo(mut inbox: Inbox, setup: Setup) {
    let work = setup.args.get("work_ns").and_then(serde_json::Value::as_u64).map(Duration::from_nanos);
    while let Some(message) = inbox.next().await {
        if message.kind == Kind::Request {
            work::spin(work.unwrap_or_default());
            let reply = message.reply(inbox.context.pid(), None);
            inbox.send(message.from, reply).await;
        }
    }
}

/// Counts messages and requests; replies the count to a request.
pub(super) async fn counter(mut inbox: Inbox) {
    let mut count: u64 = 0;
    while let Some(message) = inbox.next().await {
        count += 1;
        if message.kind == Kind::Request {
            let reply = message.reply(inbox.context.pid(), Some(count.to_string().as_bytes()));
            inbox.send(message.from, reply).await;
        }
    }
}

/// Only receives.
pub(super) async fn sink(mut inbox: Inbox) {
    while inbox.next().await.is_some() {}
}

/// Passes every message on, renumbered as its own: a row for each receiver, since the name may move to another.
pub(super) async fn relay(mut inbox: Inbox, setup: Setup) {
    let mut numbers: HashMap<Pid, u64> = HashMap::new();
    let to = setup.args.get("to").and_then(|to| to.as_str()).unwrap_or_default().to_owned();
    while let Some(message) = inbox.next().await {
        let whom = setup.resolve(&Whom::parse(&to));
        if let Some(pid) = whom {
            let mut bytes = vec![0; HEADER_BYTES + message.body().len()];
            bytes[HEADER_BYTES..].copy_from_slice(message.body());
            let number = numbers.entry(pid).or_default();
            super::message::seal(&mut bytes, Kind::Data, inbox.context.pid(), *number);
            *number += 1;
            inbox.send(pid, bytes).await;
        }
    }
}

/// The harness's own process on a node: does what steps ask in the node's name, and notes what it is told.
pub(super) async fn control(mut inbox: Inbox) {
    inbox.context.trap_exit(true);
    while inbox.next().await.is_some() {}
}
