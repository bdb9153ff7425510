//! What a load measured.

use std::time::Duration;

use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::LoadError;
use super::cost::Costs;
use super::recorder::histogram;
use super::search::Found;
use super::staircase::Estimates;
use crate::scenario::load::{Goal, Load, LoadModel};

/// One number in flight, measured.
#[derive(Debug, Clone)]
pub struct Rung {
    /// Messages in flight, of each sender.
    pub in_flight: u64,
    /// Requests sent in the measured time.
    pub requests: u64,
    /// Replies to them.
    pub replies: u64,
    /// Requests that got no reply.
    pub errors: u64,
    /// Replies of one receiver that came behind one to a later request of the same sender, of a closed load.
    pub out_of_order: u64,
    /// The measured time.
    pub elapsed: Duration,
    /// Response times in nanoseconds.
    pub histogram: Histogram<u64>,
    /// The same by intervals, as an HdrHistogram interval log.
    pub log: String,
    /// Requests a second that were meant; 0 of closed loads, which have no such rate.
    pub offered_rate: f64,
    /// Times from the actual sending, of an open load.
    pub service: Option<Histogram<u64>>,
    /// How late the generator was, of an open load.
    pub late: Option<Histogram<u64>>,
    /// Replies of the whole time, warm-up included: what the costs are divided by.
    pub handled: u64,
    /// What it cost, if that was measured.
    pub costs: Option<Costs>,
}

impl Rung {
    /// Nothing measured yet.
    pub(super) fn empty(in_flight: u64) -> Self {
        Self {
            in_flight,
            requests: 0,
            replies: 0,
            errors: 0,
            out_of_order: 0,
            elapsed: Duration::ZERO,
            histogram: histogram(),
            log: String::new(),
            offered_rate: 0.0,
            service: None,
            late: None,
            handled: 0,
            costs: None,
        }
    }

    /// Replies a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        if self.elapsed.is_zero() { 0.0 } else { self.replies as f64 / self.elapsed.as_secs_f64() }
    }

    pub(super) fn holds(&self, goal: Option<&Goal>) -> bool {
        let Some(goal) = goal else { return true };
        let loss = if self.requests == 0 { 1.0 } else { self.errors as f64 / self.requests as f64 };
        let p99 = Duration::from_nanos(self.histogram.value_at_quantile(0.99));
        goal.loss.is_none_or(|most| loss <= most) && goal.response_p99.is_none_or(|most| p99 <= most)
    }
}

/// The name of a load's model, one of [`LoadModel::NAMES`].
pub(crate) type ModelName = &'static str;

/// The figures of a load, as conditions, reports and gates see them. Times are in microseconds, rates a second.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figures {
    /// One of `LoadModel::NAMES`.
    #[serde(deserialize_with = "model")]
    pub model: ModelName,
    /// Whether the load has ended.
    pub done: bool,
    /// Requests (of a flood: messages) sent in the measured time.
    pub requests: u64,
    /// Replies (of a flood: messages that arrived).
    pub replies: u64,
    /// Requests without a reply; messages that did not arrive.
    pub errors: u64,
    /// Messages that arrived out of order; of a closed load with one receiver, replies that did.
    pub out_of_order: u64,
    /// Messages in flight for the figures below; of a search, the number with the best rate.
    pub in_flight: u64,
    /// Replies a second; of a flood, messages a second; of a search over rates, the rate that it found.
    pub rate: f64,
    /// Requests a second that were meant to be sent; 0 of loads that send when a reply comes.
    pub offered_rate: f64,
    /// Mean of the response times.
    pub mean_us: f64,
    /// Median.
    pub p50_us: f64,
    /// 90 in 100 are at most this.
    pub p90_us: f64,
    /// 99 in 100.
    pub p99_us: f64,
    /// 999 in 1,000.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
    /// Of an open load: 99 in 100 from the actual sending; the p99 above counts from when it was meant.
    pub service_p99_us: f64,
    /// Of an open load: how late 99 in 100 requests left for reasons of the generator.
    pub send_delay_p99_us: f64,
    /// The latest.
    pub send_delay_max_us: f64,
    /// How many response times were recorded.
    pub count: u64,
    /// Processor time per one-way message, user and system, of the process that measured.
    pub cpu_us_per_message: f64,
    /// Context switches per one-way message, of the same.
    pub context_switches_per_message: f64,
    /// UDP datagrams per one-way message that the sending node sent or received.
    pub datagrams_per_message: f64,
    /// Bytes of those datagrams per one-way message; `None` where the world's socket does not count.
    pub bytes_per_message: Option<f64>,
    /// Calls of the sending node's socket per one-way message; `None` where it does not count.
    pub socket_calls_per_message: Option<f64>,
    /// Allocations per one-way message; `None` where nobody counts them.
    pub allocations_per_message: Option<f64>,
    /// The greatest resident memory of the process so far, in MiB.
    pub rss_peak_mib: f64,
    /// Of a search over rates: half of the 95 % interval of `rate`, as a share of it.
    pub rate_margin: Option<f64>,
    /// Of a search over rates: `rate` as a multiple of the datagrams a second that a thread of this machine sealed and sent to itself
    /// meanwhile. Absent where it is not known to 5 % each way.
    pub times_sealed_udp: Option<f64>,
    /// Half of the 95 % interval of that, as a share of it.
    pub times_sealed_udp_margin: Option<f64>,
    /// Response times by intervals, as an HdrHistogram interval log; values in nanoseconds. Results keep it in a file of
    /// its own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub log: String,
    /// The place of the knee in the ladder of a curve: the point with the greatest throughput over response time.
    pub knee: Option<usize>,
    /// Each number in flight, or rate, that was tried.
    pub ladder: Vec<Figures>,
}

impl Figures {
    pub(super) fn of_rungs(load: &Load, rungs: Vec<Rung>, goal: Option<&Goal>) -> Result<Self, LoadError> {
        let holding = || rungs.iter().filter(|rung| rung.holds(goal));
        let best = holding().chain(&rungs).max_by(|a, b| {
            // A rung that holds the goal is better than any that does not.
            a.holds(goal).cmp(&b.holds(goal)).then(a.rate().total_cmp(&b.rate()))
        });
        let best = best.filter(|best| best.replies > 0).ok_or(LoadError::Nothing)?;
        let mut figures = Self::of(load.model.name(), best);
        if rungs.len() > 1 {
            figures.ladder = rungs.iter().map(|rung| Self::of(load.model.name(), rung)).collect();
        }
        if matches!(load.model, LoadModel::Search { .. }) && holding().next().is_none() {
            // No rate held the goal: the highest rate that holds is none.
            figures.rate = 0.0;
        }
        figures.requests = rungs.iter().map(|rung| rung.requests).sum();
        figures.replies = rungs.iter().map(|rung| rung.replies).sum();
        figures.errors = rungs.iter().map(|rung| rung.errors).sum();
        Ok(figures)
    }

    /// Of a slice in which nothing was measured.
    pub(super) fn empty(load: &Load) -> Self {
        Self { model: load.model.name(), done: true, ..Self::default() }
    }

    /// What a search found: the rate from all trials, all else from the one nearest to it that held.
    pub(super) fn of_search(load: &Load, found: Found) -> Self {
        let Estimates { rate, multiple } = found.estimates;
        Self {
            rate: rate.value,
            offered_rate: rate.value,
            rate_margin: Some(rate.margin),
            times_sealed_udp: multiple.map(|of| of.value),
            times_sealed_udp_margin: multiple.map(|of| of.margin),
            ladder: found.tried,
            ..Self::of(load.model.name(), &found.near)
        }
    }

    /// Of one trial of a search: its log would be far more than all else.
    pub(super) fn of_trial(load: &Load, rung: &Rung) -> Self {
        Self { log: String::new(), ..Self::of(load.model.name(), rung) }
    }

    /// The figures of the last of the rungs, with all of them as the ladder.
    pub(super) fn of_last(load: &Load, rungs: Vec<Rung>) -> Result<Self, LoadError> {
        let last = rungs.last().filter(|last| last.replies > 0).ok_or(LoadError::Nothing)?;
        let mut figures = Self::of(load.model.name(), last);
        if rungs.len() > 1 {
            figures.ladder = rungs.iter().map(|rung| Self::of_trial(load, rung)).collect();
        }
        Ok(figures)
    }

    fn of(model: &'static str, rung: &Rung) -> Self {
        let costs = rung.costs.clone().unwrap_or_default();
        let p99 = |of: &Option<Histogram<u64>>| {
            of.as_ref().map_or(0.0, |histogram| histogram.value_at_quantile(0.99) as f64 / 1_000.0)
        };
        let us = |quantile: f64| rung.histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        Self {
            model,
            done: true,
            requests: rung.requests,
            replies: rung.replies,
            errors: rung.errors,
            out_of_order: rung.out_of_order,
            in_flight: rung.in_flight,
            rate: rung.rate(),
            offered_rate: rung.offered_rate,
            mean_us: rung.histogram.mean() / 1_000.0,
            p50_us: us(0.5),
            p90_us: us(0.9),
            p99_us: us(0.99),
            p999_us: us(0.999),
            max_us: rung.histogram.max() as f64 / 1_000.0,
            service_p99_us: p99(&rung.service),
            send_delay_p99_us: p99(&rung.late),
            send_delay_max_us: rung.late.as_ref().map_or(0.0, |late| late.max() as f64 / 1_000.0),
            count: rung.histogram.len(),
            cpu_us_per_message: costs.cpu_us,
            context_switches_per_message: costs.context_switches,
            datagrams_per_message: costs.datagrams,
            bytes_per_message: costs.bytes,
            socket_calls_per_message: costs.socket_calls,
            allocations_per_message: costs.allocations,
            rss_peak_mib: costs.rss_peak_mib,
            rate_margin: None,
            times_sealed_udp: None,
            times_sealed_udp_margin: None,
            log: rung.log.clone(),
            knee: None,
            ladder: Vec::new(),
        }
    }
}

/// A model by its name, from another process.
fn model<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ModelName, D::Error> {
    let name = String::deserialize(deserializer)?;
    Ok(LoadModel::NAMES.into_iter().find(|known| *known == name).unwrap_or_default())
}
