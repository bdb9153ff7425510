//! Round trips with a fixed number in flight: the next request leaves when a reply comes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use regatta::{Context, Pid, Received};
use tokio::sync::oneshot;

use super::cost::Reading;
use super::figures::Rung;
use super::payload::Sizes;
use super::recorder::Recorder;
use super::work;
use super::{LoadError, REPLY_WITHIN, Source};
use crate::behaviour::OWN_LABEL;
use crate::behaviour::message::{self, Kind, Message};
use crate::scenario::load::{Amount, Load};

/// Who answers a round.
#[derive(Debug, Clone)]
pub(super) enum Receivers {
    /// Each of these gets the request in a message of its own.
    Each(Arc<[Pid]>),
    /// The members of a group: the request is sent to the group. So many answer.
    Group(String, usize),
}

#[derive(Clone)]
struct Plan {
    to: Receivers,
    in_flight: u64,
    warmup: Duration,
    amount: Amount,
    work: Duration,
}

/// What mixes of closed loads are drawn from.
const SIZES_SEED: u64 = 1;

pub(super) async fn run(
    load: &Load,
    from: &Source,
    to: Receivers,
    in_flight: u64,
) -> Result<Rung, LoadError> {
    if let Receivers::Group(_, 0) = to {
        return Err(LoadError::Nobody("nobody is in the group"));
    }
    let plan =
        Plan { to, in_flight: in_flight.max(1), warmup: load.warmup, amount: load.amount, work: load.work };
    let sizes = Sizes::of(load, SIZES_SEED);
    let before = Reading::now(from);
    let mut senders = Vec::new();
    for _ in 0..load.senders.max(1) {
        let (done, measured) = oneshot::channel();
        let (plan, sizes) = (plan.clone(), sizes.clone());
        from.runtime().spawn(move |context| async move {
            context.set_label(format!("{OWN_LABEL}load"));
            // The harness may have given the run up.
            let _ = done.send(Probe::new(context, plan, sizes).run().await);
        });
        senders.push(measured);
    }
    gather(load, from, in_flight, before, senders).await
}

/// What one sender measured.
pub(super) type Measured = (Rung, Recorder);

/// The figures of all senders together; each has `in_flight` of its own.
pub(super) async fn gather(
    load: &Load,
    from: &Source,
    in_flight: u64,
    before: Reading,
    senders: Vec<oneshot::Receiver<Measured>>,
) -> Result<Rung, LoadError> {
    let mut all = Rung::empty(in_flight);
    let mut measured = Vec::new();
    for sender in senders {
        measured.push(sender.await.map_err(|_| LoadError::Ended)?);
    }
    for (one, _) in &measured {
        all.requests += one.requests;
        all.replies += one.replies;
        all.errors += one.errors;
        all.out_of_order += one.out_of_order;
        all.handled += one.handled;
        all.elapsed = all.elapsed.max(one.elapsed);
    }
    // Before anything else is done: what is made of the times is not the load's doing.
    all.costs = Some(before.since(from, 2 * all.handled));
    let mut recorder = Recorder::new(load.amount.length());
    measured.iter().for_each(|(_, times)| recorder.add(times));
    (all.histogram, all.log) = (recorder.whole(), recorder.log(&load.id));
    Ok(all)
}

/// A round in flight.
#[derive(Clone)]
struct Underway {
    number: u64,
    /// Which it was of the sender's rounds, in the order of their sending.
    turn: u64,
    begun: Instant,
    /// Replies that are still to come.
    left: usize,
}

/// One sender.
struct Probe {
    context: Context,
    plan: Plan,
    /// The rounds in flight. A request's number tells its place: its remainder by the number in flight.
    rounds: Vec<Underway>,
    /// Rounds that were begun.
    turns: u64,
    /// The last begun of those that have ended.
    latest: u64,
    buffer: Vec<u8>,
    sizes: Sizes,
    rung: Rung,
    recorder: Recorder,
}

impl Probe {
    fn new(context: Context, plan: Plan, sizes: Sizes) -> Self {
        let (rung, recorder) = (Rung::empty(plan.in_flight), Recorder::new(plan.amount.length()));
        Self {
            context,
            plan,
            rounds: Vec::new(),
            turns: 0,
            latest: 0,
            buffer: Vec::new(),
            rung,
            recorder,
            sizes,
        }
    }

    async fn run(mut self) -> Measured {
        let begun = Instant::now();
        let warm = begun + self.plan.warmup;
        let (end, wanted) = match self.plan.amount {
            Amount::Duration(duration) => (Some(warm + duration), u64::MAX),
            Amount::Messages(messages) => (None, messages),
        };
        let none = Underway { number: 0, turn: 0, begun, left: 0 };
        self.rounds = vec![none; usize::try_from(self.plan.in_flight).unwrap_or(1)];
        let mut waiting: u64 = 0;
        for number in 0..self.plan.in_flight {
            waiting += u64::from(self.send(number).await);
        }
        let mut measured_from = None;
        let mut last = begun;
        while waiting > 0 {
            let Some(received) = self.context.recv_timeout(REPLY_WITHIN).await else { break };
            let Received::Message(bytes) = received else { continue };
            let Some(reply) = Message::read(bytes).filter(|message| message.kind == Kind::Reply) else {
                continue;
            };
            let now = Instant::now();
            let place = self.place(reply.number);
            let round = &mut self.rounds[place];
            if round.number != reply.number || round.left == 0 {
                // To a round that was given up when one of its requests could not be sent.
                continue;
            }
            self.rung.handled += 1;
            round.left -= 1;
            if round.left > 0 {
                continue;
            }
            // Of several receivers the slowest decides when a round ends, and each keeps an order of its own.
            let one = matches!(&self.plan.to, Receivers::Each(each) if each.len() == 1);
            self.rung.out_of_order += u64::from(one && round.turn < self.latest);
            self.latest = self.latest.max(round.turn);
            waiting -= 1;
            let started = round.begun;
            // What was begun in time counts, however long its reply took: a stall at the end must not get lost.
            if started >= warm && self.rung.replies < wanted {
                measured_from.get_or_insert(started);
                last = now;
                self.rung.replies += 1;
                let took = u64::try_from((now - started).as_nanos()).unwrap_or(u64::MAX);
                self.recorder.record(now.saturating_duration_since(warm), took);
            }
            if end.is_none_or(|end| now < end) && self.rung.replies < wanted {
                waiting += u64::from(self.send(reply.number + self.plan.in_flight).await);
            }
        }
        self.rung.errors += waiting;
        self.rung.requests = self.rung.replies + self.rung.errors;
        self.rung.elapsed = measured_from.map_or(Duration::ZERO, |from| last - from);
        (self.rung, self.recorder)
    }

    fn place(&self, number: u64) -> usize {
        usize::try_from(number % self.plan.in_flight).unwrap_or(0)
    }

    /// Begins the round with this number; whether all of its requests left.
    async fn send(&mut self, number: u64) -> bool {
        work::spin(self.plan.work);
        self.buffer.resize(self.sizes.of_number(number), 0);
        message::seal(&mut self.buffer, Kind::Request, self.context.pid(), number);
        let place = self.place(number);
        self.turns += 1;
        self.rounds[place] = Underway { number, turn: self.turns, begun: Instant::now(), left: 0 };
        let (sent, all) = match &self.plan.to {
            Receivers::Each(each) => {
                let mut sent = 0;
                for to in each.iter() {
                    sent += usize::from(self.context.send(*to, self.buffer.clone()).await.is_ok());
                }
                (sent, each.len())
            }
            Receivers::Group(group, members) => {
                let sent = self.context.send_group(group, self.buffer.clone()).await;
                (if sent.failed == 0 { *members } else { 0 }, *members)
            }
        };
        if sent == all {
            self.rounds[place].left = all;
        } else {
            self.rung.errors += 1;
        }
        sent == all
    }
}
