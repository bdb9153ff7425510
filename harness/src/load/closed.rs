//! Round trips with a fixed number in flight: the next request leaves when a reply comes.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use regatta::{ClusterNode, Context, Pid, Received};
use tokio::sync::oneshot;

use super::cost::Reading;
use super::figures::Rung;
use super::work;
use super::{LoadError, REPLY_WITHIN};
use crate::behaviour::OWN_LABEL;
use crate::behaviour::message::{self, HEADER_BYTES, Kind, Message};
use crate::scenario::load::{Amount, Load};

/// The longest round trip that the histogram tells apart, in nanoseconds.
const LONGEST_NS: u64 = 60_000_000_000;

#[derive(Clone, Copy)]
struct Plan {
    to: Pid,
    in_flight: u64,
    payload: usize,
    warmup: Duration,
    amount: Amount,
    work: Duration,
}

pub(super) async fn run(load: &Load, from: &ClusterNode, to: Pid, in_flight: u64) -> Result<Rung, LoadError> {
    let payload = usize::try_from(load.payload).unwrap_or(HEADER_BYTES).max(HEADER_BYTES);
    let plan = Plan {
        to,
        in_flight: in_flight.max(1),
        payload,
        warmup: load.warmup,
        amount: load.amount,
        work: load.work,
    };
    let before = Reading::now(from);
    let mut senders = Vec::new();
    for _ in 0..load.senders.max(1) {
        let (done, measured) = oneshot::channel();
        from.runtime().spawn(move |context| async move {
            context.set_label(format!("{OWN_LABEL}load"));
            // The harness may have given the run up.
            let _ = done.send(Probe::new(context, plan).run().await);
        });
        senders.push(measured);
    }
    let mut all: Option<Rung> = None;
    for sender in senders {
        let one = sender.await.map_err(|_| LoadError::Ended)?;
        match &mut all {
            None => all = Some(one),
            Some(all) => {
                all.requests += one.requests;
                all.replies += one.replies;
                all.errors += one.errors;
                all.handled += one.handled;
                all.elapsed = all.elapsed.max(one.elapsed);
                // Both have the same bounds, so nothing can be out of range.
                let _ = all.histogram.add(&one.histogram);
            }
        }
    }
    let mut all = all.ok_or(LoadError::Nothing)?;
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
    rung: Rung,
}

impl Probe {
    fn new(context: Context, plan: Plan) -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("the bounds are in order");
        let rung = Rung {
            in_flight: plan.in_flight,
            requests: 0,
            replies: 0,
            errors: 0,
            elapsed: Duration::ZERO,
            histogram,
            handled: 0,
            costs: None,
        };
        Self { context, plan, sent: Vec::new(), buffer: vec![0; plan.payload], rung }
    }

    async fn run(mut self) -> Rung {
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
                self.rung
                    .histogram
                    .saturating_record(u64::try_from((now - started).as_nanos()).unwrap_or(u64::MAX));
            }
            if !over && self.rung.replies < wanted {
                waiting += u64::from(self.send(reply.number + self.plan.in_flight).await);
            }
        }
        self.rung.errors += waiting;
        self.rung.requests = self.rung.replies + self.rung.errors;
        self.rung.elapsed = measured_from.map_or(Duration::ZERO, |from| last - from);
        self.rung
    }

    /// Sends the request with this number; whether it left.
    async fn send(&mut self, number: u64) -> bool {
        work::spin(self.plan.work);
        message::seal(&mut self.buffer, Kind::Request, self.context.pid(), number);
        let place = usize::try_from(number % self.plan.in_flight).unwrap_or(0);
        self.sent[place] = Instant::now();
        let sent = self.context.send(self.plan.to, self.buffer.clone()).await.is_ok();
        self.rung.errors += u64::from(!sent);
        sent
    }
}
