//! What the built-in processes do.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;

use regatta::{Bytes, Context, ExitReason, Pid, Received, Reference};

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
    /// The row of each sender.
    rows: HashMap<Pid, Row>,
    /// Whom it has taken its link with back: their ends are no concern of its any more.
    unlinked: BTreeSet<Pid>,
}

/// The numbered messages of one sender.
#[derive(Debug, Default)]
struct Row {
    /// The number after the highest that came.
    next: u64,
    /// Lower numbers that have not come; the lowest are forgotten when there are too many.
    missing: BTreeSet<u64>,
}

/// Missing numbers of one row that are kept in mind.
const MISSING_MAX: usize = 65_536;

impl Inbox {
    /// Takes the place of the labelled process.
    #[must_use]
    pub fn new(context: Context, setup: &Setup) -> Self {
        let tally = setup.scene.enter(&setup.label, context.pid());
        context.set_label(&setup.label);
        Self { context, scene: setup.scene.clone(), tally, rows: HashMap::new(), unlinked: BTreeSet::new() }
    }

    /// The next data, request or reply; `None` when the runtime asks a process that traps exits to shut down. Ends that
    /// the process is told of are noted, and jobs done, in between.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            let received = self.context.recv().await;
            if let Next::Message(message) | Next::Over(message) = self.handle(received).await {
                return message;
            }
        }
    }

    /// As [`next`](Self::next), but not for longer than `patience`; `Err` when that is over first.
    ///
    /// # Errors
    /// [`NothingCame`].
    pub async fn next_within(&mut self, patience: Duration) -> Result<Option<Message>, NothingCame> {
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let received = self.context.recv_timeout(left).await.ok_or(NothingCame)?;
            if let Next::Message(message) | Next::Over(message) = self.handle(received).await {
                return Ok(message);
            }
        }
    }

    /// Links the process to another.
    pub fn link(&mut self, other: Pid) {
        self.unlinked.remove(&other);
        self.context.link(other);
    }

    /// Takes the link with another back, and drops what is in the mailbox: an exit of the other may be there already. One
    /// that comes after that is a mistake.
    pub async fn unlink(&mut self, other: Pid) {
        self.context.unlink(other);
        while let Some(received) = self.context.recv_timeout(Duration::ZERO).await {
            self.handle(received).await;
        }
        self.unlinked.insert(other);
    }

    async fn handle(&mut self, received: Received) -> Next {
        match received {
            Received::Message(bytes) => {
                if let Some(message) = self.take(bytes).await {
                    return Next::Message(Some(message));
                }
            }
            Received::Exit { from, reason: ExitReason::Shutdown }
                if from == self.context.runtime().node_pid() =>
            {
                return Next::Over(None);
            }
            Received::Exit { from, reason } => {
                if self.unlinked.contains(&from) {
                    self.tally.uninvited.fetch_add(1, Relaxed);
                }
                self.scene.told(self.context.pid(), from, "link", &reason, None);
            }
            Received::Down { pid, reason, reference } => {
                self.scene.told(self.context.pid(), pid, "monitor", &reason, Some(reference));
            }
            Received::NameConflict { other, kept, .. } => {
                let what = ExitReason::custom(if kept { "kept" } else { "lost" });
                self.scene.told(self.context.pid(), other, "name", &what, None);
            }
            Received::NameLost { .. } => {
                let me = self.context.pid();
                self.scene.told(me, me, "name", &ExitReason::custom("unconfirmed"), None);
            }
            // What scenarios do not speak of yet.
            _ => {}
        }
        Next::Nothing
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
        let senders = self.rows.len();
        let (row, number) = (self.rows.entry(message.from).or_default(), message.number);
        if number >= row.next {
            // What is skipped is late or lost, and counts as missing until it comes.
            self.tally.gaps.fetch_add(number - row.next, Relaxed);
            row.missing.extend(number.saturating_sub(MISSING_MAX as u64).max(row.next)..number);
            while row.missing.len() > MISSING_MAX {
                row.missing.pop_first();
            }
            row.next = number + 1;
        } else if row.missing.remove(&number) {
            self.tally.gaps.fetch_sub(1, Relaxed);
            self.tally.out_of_order.fetch_add(1, Relaxed);
        } else {
            self.tally.duplicates.fetch_add(1, Relaxed);
        }
        if self.rows.len() > senders {
            self.tally.senders.fetch_add(1, Relaxed);
        }
    }

    /// Sends. Whether it was accepted: a message that was not was not sent at all, and its number is free.
    pub async fn send(&self, to: Pid, bytes: Vec<u8>) -> bool {
        let noted = self.scene.recorder().notes_messages().then(|| bytes.clone());
        let accepted = self.context.send(to, bytes).await.is_ok();
        if accepted && let Some(bytes) = noted {
            self.scene.sent(&bytes, to);
        }
        accepted
    }

    /// Waits for the reply to a request, or for the end of whoever is watched so.
    pub(super) async fn reply_within(
        &mut self,
        number: u64,
        watch: Reference,
        patience: Duration,
    ) -> Result<(), NoReply> {
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let received = self.context.recv_timeout(left).await.ok_or(NoReply::Late)?;
            if matches!(&received, Received::Down { reference, .. } if *reference == watch) {
                return Err(NoReply::Gone);
            }
            match self.handle(received).await {
                Next::Message(Some(reply)) if reply.kind == Kind::Reply && reply.number == number => {
                    return Ok(());
                }
                Next::Over(_) => return Err(NoReply::Over),
                _ => {}
            }
        }
    }

    /// What the process has received, and done.
    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What the run shares.
    pub(super) fn scene(&self) -> &Arc<Scene> {
        &self.scene
    }
}

/// What became of something that was received.
enum Next {
    /// A message for the body.
    Message(Option<Message>),
    /// The process is to end.
    Over(Option<Message>),
    /// Nothing that the body sees.
    Nothing,
}

/// Why there is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoReply {
    /// Whoever was asked has ended, or cannot be reached.
    Gone,
    /// The time is over.
    Late,
    /// The process is to end.
    Over,
}

/// Nothing came in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NothingCame;

/// Replies to every request with what it got, after `args.work_ns` nanoseconds of work, `args.work_turns` turns of it and
/// `args.work_allocations` allocations: a time where time is measured, a count where counts are.
pub(super) async fn echo(mut inbox: Inbox, setup: Setup) {
    let work = setup.args.get("work_ns").and_then(serde_json::Value::as_u64).map(Duration::from_nanos);
    let turns = setup.args.get("work_turns").and_then(serde_json::Value::as_u64).unwrap_or(0);
    let allocations = setup.args.get("work_allocations").and_then(serde_json::Value::as_u64).unwrap_or(0);
    while let Some(message) = inbox.next().await {
        if message.kind == Kind::Request {
            work::allocate(allocations);
            work::burn(turns);
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

/// Passes every message on. Data is renumbered as its own: a row for each receiver, since the name may move to another. A
/// request goes on as it came, so that whoever answers it answers the one who asked.
pub(super) async fn relay(mut inbox: Inbox, setup: Setup) {
    let mut numbers: HashMap<Pid, u64> = HashMap::new();
    let to = setup.args.get("to").and_then(|to| to.as_str()).unwrap_or_default().to_owned();
    while let Some(message) = inbox.next().await {
        let whom = setup.resolve(&Whom::parse(&to));
        if let Some(pid) = whom
            && message.kind == Kind::Request
        {
            inbox.send(pid, message.as_it_came()).await;
        } else if let Some(pid) = whom {
            let mut bytes = vec![0; HEADER_BYTES + message.body().len()];
            bytes[HEADER_BYTES..].copy_from_slice(message.body());
            let number = numbers.entry(pid).or_default();
            super::message::seal(&mut bytes, Kind::Data, inbox.context.pid(), *number);
            if inbox.send(pid, bytes).await {
                *number += 1;
            }
        }
    }
}

/// Sends a numbered message to `args.to` every `args.every_ms`: a row for each receiver, as [`relay`].
pub(super) async fn ticker(mut inbox: Inbox, setup: Setup) {
    let mut numbers: HashMap<Pid, u64> = HashMap::new();
    let to = Whom::parse(setup.args.get("to").and_then(|to| to.as_str()).unwrap_or_default());
    let every =
        Duration::from_millis(setup.args.get("every_ms").and_then(|ms| ms.as_u64()).unwrap_or(100).max(1));
    let mut next = Instant::now() + every;
    loop {
        match inbox.next_within(next.saturating_duration_since(Instant::now())).await {
            Ok(Some(_)) => continue,
            Ok(None) => return,
            Err(NothingCame) => next += every,
        }
        if let Some(pid) = setup.resolve(&to) {
            let number = numbers.entry(pid).or_default();
            let bytes = super::message::write(Kind::Data, inbox.context.pid(), *number, &[]);
            if inbox.send(pid, bytes).await {
                *number += 1;
            }
        }
    }
}

/// The harness's own process on a node: does what steps ask in the node's name, and notes what it is told.
pub(super) async fn control(mut inbox: Inbox) {
    inbox.context.trap_exit(true);
    while inbox.next().await.is_some() {}
}
