//! Round trips with a fixed number in flight: the next request leaves when a reply comes.

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

#[derive(Clone, Copy)]
struct Plan {
    to: Pid,
    in_flight: u64,
    warmup: Duration,
    amount: Amount,
    work: Duration,
}

impl Plan {
    /// About how long it measures.
    fn length(&self) -> Duration {
        match self.amount {
            Amount::Duration(length) => length,
            Amount::Messages(_) => Duration::ZERO,
        }
    }
}

/// What mixes of closed loads are drawn from.
const SIZES_SEED: u64 = 1;

pub(super) async fn run(load: &Load, from: &Source, to: Pid, in_flight: u64) -> Result<Rung, LoadError> {
    let plan =
        Plan { to, in_flight: in_flight.max(1), warmup: load.warmup, amount: load.amount, work: load.work };
    let sizes = Sizes::of(load, SIZES_SEED);
    let before = Reading::now(from);
    let mut senders = Vec::new();
    for _ in 0..load.senders.max(1) {
        let (done, measured) = oneshot::channel();
        let sizes = sizes.clone();
        from.runtime().spawn(move |context| async move {
            context.set_label(format!("{OWN_LABEL}load"));
            // The harness may have given the run up.
            let _ = done.send(Probe::new(context, plan, sizes).run().await);
        });
        senders.push(measured);
    }
    let mut all: Option<Rung> = None;
    let mut recorder = Recorder::new(plan.length());
    for sender in senders {
        let (one, times) = sender.await.map_err(|_| LoadError::Ended)?;
        recorder.add(&times);
        match &mut all {
            None => all = Some(one),
            Some(all) => {
                all.requests += one.requests;
                all.replies += one.replies;
                all.errors += one.errors;
                all.handled += one.handled;
                all.elapsed = all.elapsed.max(one.elapsed);
            }
        }
    }
    let mut all = all.ok_or(LoadError::Nothing)?;
    (all.histogram, all.log) = (recorder.whole(), recorder.log(&load.id));
    all.costs = Some(before.since(from, 2 * all.handled));
    Ok(all)
}

/// One sender.
struct Probe {
    context: Context,
    plan: Plan,
    /// When the request in each place was sent. A request's number tells its place: its remainder by the number in
    /// flight.
    sent: Vec<Instant>,
    buffer: Vec<u8>,
    sizes: Sizes,
    rung: Rung,
    recorder: Recorder,
}

impl Probe {
    fn new(context: Context, plan: Plan, sizes: Sizes) -> Self {
        let (rung, recorder) = (Rung::empty(plan.in_flight), Recorder::new(plan.length()));
        Self { context, plan, sent: Vec::new(), buffer: Vec::new(), rung, recorder, sizes }
    }

    async fn run(mut self) -> (Rung, Recorder) {
        let begun = Instant::now();
        let warm = begun + self.plan.warmup;
        let (end, wanted) = match self.plan.amount {
            Amount::Duration(duration) => (Some(warm + duration), u64::MAX),
            Amount::Messages(messages) => (None, messages),
        };
        self.sent = vec![begun; usize::try_from(self.plan.in_flight).unwrap_or(1)];
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
            waiting -= 1;
            self.rung.handled += 1;
            let place = usize::try_from(reply.number % self.plan.in_flight).unwrap_or(0);
            let started = self.sent[place];
            let over = end.is_some_and(|end| now >= end) || self.rung.replies >= wanted;
            if started >= warm && !over {
                measured_from.get_or_insert(started);
                last = now;
                self.rung.replies += 1;
                let took = u64::try_from((now - started).as_nanos()).unwrap_or(u64::MAX);
                self.recorder.record(now.saturating_duration_since(warm), took);
            }
            if !over && self.rung.replies < wanted {
                waiting += u64::from(self.send(reply.number + self.plan.in_flight).await);
            }
        }
        self.rung.errors += waiting;
        self.rung.requests = self.rung.replies + self.rung.errors;
        self.rung.elapsed = measured_from.map_or(Duration::ZERO, |from| last - from);
        (self.rung, self.recorder)
    }

    /// Sends the request with this number; whether it left.
    async fn send(&mut self, number: u64) -> bool {
        work::spin(self.plan.work);
        self.buffer.resize(self.sizes.of_number(number), 0);
        message::seal(&mut self.buffer, Kind::Request, self.context.pid(), number);
        let place = usize::try_from(number % self.plan.in_flight).unwrap_or(0);
        self.sent[place] = Instant::now();
        let sent = self.context.send(self.plan.to, self.buffer.clone()).await.is_ok();
        self.rung.errors += u64::from(!sent);
        sent
    }
}
