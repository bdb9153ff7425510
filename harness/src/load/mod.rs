//! Measured traffic: latency with a fixed number in flight, saturation over a ladder, one-way floods.

mod act;
pub mod allocation;
mod closed;
mod cost;
pub mod curve;
mod figures;
mod flood;
pub mod hlog;
mod open;
mod pacing;
mod payload;
mod recorder;
mod reference;
mod schedule;
mod search;
pub mod slices;
mod staircase;
#[cfg(test)]
mod tests;
pub mod work;

use std::sync::Arc;
use std::time::Duration;

use regatta::Pid;
use thiserror::Error;

use act::Act;
use closed::Receivers;
pub use cost::{Costs, SocketCounts, Source};
pub use figures::{Figures, Rung};
use staircase::Enough;

use crate::behaviour::Tally;
use crate::scenario::load::{Amount, Arrivals, Load, LoadModel, Round};

/// How long a reply may take before it counts as lost.
pub(crate) const REPLY_WITHIN: Duration = Duration::from_secs(10);

/// Why a load gave no figures: the run proves nothing about speed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// There is nobody to send to or from.
    #[error("{0}")]
    Nobody(&'static str),
    /// A sender's process ended early.
    #[error("a sender ended before it had measured")]
    Ended,
    /// No message came back, or none arrived.
    #[error("nothing was measured: no message came back, or none arrived")]
    Nothing,
    /// The load generator was late: what it measured is its own stall.
    #[error(
        "the load generator was late: {:.1} % of the requests left more than 1 ms after they were due, the worst \
         {worst:?}; the figures would tell of the generator and not of the system",
        share * 100.0
    )]
    Late {
        /// The share of requests that were late.
        share: f64,
        /// The latest.
        worst: Duration,
    },
    /// The load generator's thread could not be started.
    #[error("the load generator could not be started: {0}")]
    Generator(String),
    /// The machine's own speed could not be read.
    #[error("the machine's own speed could not be read, with datagrams over loopback: {0}")]
    Reference(#[source] std::io::Error),
    /// What was looked for cannot be told.
    #[error("inconclusive: {0}")]
    Inconclusive(String),
}

/// Runs one load to its end. `receivers` are the processes that its round names, in order.
///
/// # Errors
/// [`LoadError`] when there are no figures.
pub async fn run(
    load: &Load,
    from: &Source,
    receivers: &[Pid],
    tally: Option<Arc<Tally>>,
) -> Result<Figures, LoadError> {
    let seed = seed_of(load);
    let one = || receivers.first().copied().ok_or(LoadError::Nobody("there is no process to send to"));
    match &load.model {
        LoadModel::Closed { in_flight } => {
            let rungs = ladder(load, from, receivers, in_flight).await?;
            let lost = rungs.iter().any(|rung| rung.errors > 0);
            match Figures::of_rungs(load, rungs, None) {
                // The machine stood still for longer than the slice was to be: the other slices tell.
                Err(LoadError::Nothing) if load.slices > 1 && !lost => Ok(Figures::empty(load)),
                figures => figures,
            }
        }
        LoadModel::Search { in_flight, goal, .. } if !in_flight.is_empty() => {
            Figures::of_rungs(load, ladder(load, from, receivers, in_flight).await?, goal.as_ref())
        }
        LoadModel::Search { goal, arrivals, .. } => {
            let found =
                search::run(load, from, one()?, goal.as_ref(), *arrivals, seed, Enough::ANSWER).await?;
            Ok(Figures::of_search(load, found))
        }
        LoadModel::Curve { goal, arrivals } => {
            let to = one()?;
            let found = search::run(load, from, to, goal.as_ref(), *arrivals, seed, Enough::CURVE).await?;
            let rungs = curve::run(load, from, to, found.estimates.rate.value, *arrivals, seed).await?;
            let mut figures = Figures::of_last(load, rungs)?;
            let points: Vec<_> = figures.ladder.iter().map(|point| (point.rate, point.mean_us)).collect();
            figures.knee = curve::knee(&points);
            Ok(figures)
        }
        LoadModel::Flood => {
            let tally = tally
                .ok_or(LoadError::Nobody("the receiver counts nothing; use a process of the scenario"))?;
            flood::run(load, from, one()?, &tally).await
        }
        LoadModel::Open { rate, arrivals } => {
            offered(load, from, one()?, (*rate, *rate), *arrivals, seed).await
        }
        LoadModel::Ramp { rate, rate_end, arrivals } => {
            offered(load, from, one()?, (*rate, *rate_end), *arrivals, seed).await
        }
    }
}

/// Each number in flight in turn.
async fn ladder(
    load: &Load,
    from: &Source,
    receivers: &[Pid],
    in_flight: &[u64],
) -> Result<Vec<Rung>, LoadError> {
    let mut rungs = Vec::new();
    for in_flight in in_flight.iter().copied() {
        rungs.push(match &load.round {
            Round::One(_) | Round::Each(_) => {
                closed::run(load, from, Receivers::Each(receivers.into()), in_flight).await?
            }
            Round::Group(group) => {
                let members = from.runtime().group_members(group).len();
                closed::run(load, from, Receivers::Group(group.clone(), members), in_flight).await?
            }
            Round::Spawn { on, factory } => act::run(load, from, &Act::spawn(on, factory), in_flight).await?,
            Round::Register { on } => act::run(load, from, &Act::register(on), in_flight).await?,
        });
    }
    Ok(rungs)
}

/// One open load.
async fn offered(
    load: &Load,
    from: &Source,
    to: Pid,
    (rate, rate_end): (f64, f64),
    arrivals: Arrivals,
    seed: u64,
) -> Result<Figures, LoadError> {
    let length = match load.amount {
        Amount::Duration(length) => length,
        Amount::Messages(messages) => {
            Duration::from_secs_f64(2.0 * messages as f64 / (rate + rate_end).max(1.0))
        }
    };
    let offer = open::Offer { from: rate, to: rate_end, arrivals, warmup: load.warmup, length, seed };
    let rung = open::run(load, from, to, offer, |_| {}).await?;
    open::punctual(&rung)?;
    Figures::of_last(load, vec![rung])
}

/// The seed of a load's times and sizes: its id, so that the same load makes the same traffic in both builds of a gate.
fn seed_of(load: &Load) -> u64 {
    crate::random::Random::apart(1, &load.id).next()
}
