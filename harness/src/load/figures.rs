//! What a load measured.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Deserializer, Serialize};

use super::LoadError;
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
    /// The measured time.
    pub elapsed: Duration,
    /// Round-trip times in nanoseconds.
    pub histogram: Histogram<u64>,
}

impl Rung {
    /// Replies a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        if self.elapsed.is_zero() { 0.0 } else { self.replies as f64 / self.elapsed.as_secs_f64() }
    }

    fn holds(&self, goal: Option<&Goal>) -> bool {
        let Some(goal) = goal else { return true };
        let loss = if self.requests == 0 { 1.0 } else { self.errors as f64 / self.requests as f64 };
        let p99 = Duration::from_nanos(self.histogram.value_at_quantile(0.99));
        goal.loss.is_none_or(|most| loss <= most) && goal.response_p99.is_none_or(|most| p99 <= most)
    }
}

/// The name of a load's model, one of [`LoadModel::NAMES`].
pub(crate) type ModelName = &'static str;

/// The figures of a load, as conditions, reports and gates see them. Times are in microseconds, rates a second.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// `closed`, `search` or `flood`.
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
    /// Messages that arrived out of order.
    pub out_of_order: u64,
    /// Messages in flight for the figures below; of a search, the number with the best rate.
    pub in_flight: u64,
    /// Replies a second; of a flood, messages a second.
    pub rate: f64,
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
    /// How many response times were recorded.
    pub count: u64,
    /// Each number in flight that was tried.
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

    fn of(model: &'static str, rung: &Rung) -> Self {
        let us = |quantile: f64| rung.histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        Self {
            model,
            done: true,
            requests: rung.requests,
            replies: rung.replies,
            errors: rung.errors,
            out_of_order: 0,
            in_flight: rung.in_flight,
            rate: rung.rate(),
            mean_us: rung.histogram.mean() / 1_000.0,
            p50_us: us(0.5),
            p90_us: us(0.9),
            p99_us: us(0.99),
            p999_us: us(0.999),
            max_us: rung.histogram.max() as f64 / 1_000.0,
            count: rung.histogram.len(),
            ladder: Vec::new(),
        }
    }
}

/// A model by its name, from another process.
fn model<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ModelName, D::Error> {
    let name = String::deserialize(deserializer)?;
    Ok(LoadModel::NAMES.into_iter().find(|known| *known == name).unwrap_or_default())
}
