//! How large each request is.

use crate::behaviour::message::HEADER_BYTES;
use crate::random::Random;
use crate::scenario::load::Load;

/// Sizes by the number of the request: a table that is gone through again and again.
#[derive(Debug, Clone)]
pub(super) struct Sizes(Vec<usize>);

/// Entries of the table of a mix.
const TABLE: usize = 4_096;

impl Sizes {
    /// The sizes of a load; a mix is drawn by its weights from the seed.
    pub(super) fn of(load: &Load, seed: u64) -> Self {
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(HEADER_BYTES).max(HEADER_BYTES);
        let weights: u64 = load.mix.iter().map(|(_, weight)| *weight).sum();
        if weights == 0 {
            return Self(vec![size(load.payload)]);
        }
        let mut random = Random::apart(seed, "sizes");
        let draw = |_| {
            let mut at = random.below(weights);
            let chosen = load.mix.iter().find(|(_, weight)| {
                let found = at < *weight;
                at = at.saturating_sub(*weight);
                found
            });
            size(chosen.map_or(load.payload, |(bytes, _)| *bytes))
        };
        Self((0..TABLE).map(draw).collect())
    }

    /// The size of the request with this number.
    pub(super) fn of_number(&self, number: u64) -> usize {
        self.0[(number % self.0.len() as u64) as usize]
    }
}
