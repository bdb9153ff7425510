//! Measured traffic: latency with a fixed number in flight, saturation over a ladder, one-way floods.

pub mod allocation;
mod closed;
mod cost;
mod figures;
mod flood;
pub mod work;

use std::sync::Arc;
use std::time::Duration;

use regatta::{ClusterNode, Pid};
use thiserror::Error;

pub use cost::Costs;
pub use figures::{Figures, Rung};

use crate::behaviour::Tally;
use crate::scenario::load::{Load, LoadModel};

/// Numbers in flight that a search tries when its file names none.
pub const LADDER_DEFAULT: [u64; 4] = [16, 64, 256, 1024];

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
}

/// Runs one load to its end.
///
/// # Errors
/// [`LoadError`] when there are no figures.
pub async fn run(
    load: &Load,
    from: &ClusterNode,
    to: Pid,
    tally: Option<Arc<Tally>>,
) -> Result<Figures, LoadError> {
    match &load.model {
        LoadModel::Closed { in_flight } => {
            let mut rungs = Vec::new();
            for in_flight in in_flight.iter().copied() {
                rungs.push(closed::run(load, from, to, in_flight).await?);
            }
            Figures::of_rungs(load, rungs, None)
        }
        LoadModel::Search { in_flight, goal } => {
            let ladder = if in_flight.is_empty() { &LADDER_DEFAULT[..] } else { in_flight };
            let mut rungs = Vec::new();
            for in_flight in ladder.iter().copied() {
                rungs.push(closed::run(load, from, to, in_flight).await?);
            }
            Figures::of_rungs(load, rungs, goal.as_ref())
        }
        LoadModel::Flood => {
            let tally = tally
                .ok_or(LoadError::Nobody("the receiver counts nothing; use a process of the scenario"))?;
            flood::run(load, from, to, &tally).await
        }
        LoadModel::Open { .. } => Err(LoadError::Nothing),
    }
}
