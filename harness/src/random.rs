//! Choices from the seed: the same seed makes the same ones.

use std::time::Duration;

/// SplitMix64: small, good enough for choosing, and the same everywhere.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A source of its own for one purpose, so that what one part draws does not change what another gets.
    pub(crate) fn apart(seed: u64, purpose: &str) -> Self {
        let mut hash = seed ^ 0xcbf2_9ce4_8422_2325;
        for byte in purpose.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Self(hash)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 32 bytes, as a seed for others.
    pub(crate) fn seed(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes());
        }
        bytes
    }

    /// A number below `below`, which is not 0.
    pub(crate) fn below(&mut self, below: u64) -> u64 {
        // The bias is below 2^-32 for every bound that is used.
        self.next() % below
    }

    /// A number from 0 up to, but not including, 1.
    pub(crate) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something with this chance happens.
    pub(crate) fn happens(&mut self, chance: f64) -> bool {
        chance > 0.0 && self.share() < chance
    }

    /// Anything from nothing up to `max`.
    pub(crate) fn up_to(&mut self, max: Duration) -> Duration {
        max.mul_f64(self.share())
    }

    /// `count` of `all`, in their order.
    pub(crate) fn choose(&mut self, all: &[String], count: usize) -> Vec<String> {
        let mut left: Vec<usize> = (0..all.len()).collect();
        let mut chosen = Vec::new();
        while chosen.len() < count && !left.is_empty() {
            let at = (self.next() % left.len() as u64) as usize;
            chosen.push(left.swap_remove(at));
        }
        chosen.sort_unstable();
        chosen.into_iter().map(|at| all[at].clone()).collect()
    }

    /// Puts `all` into an order of its own.
    pub(crate) fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            let other = (self.next() % (last as u64 + 1)) as usize;
            all.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_chooses_the_same_nodes_every_time_and_other_seeds_choose_others() {
        let all: Vec<String> = (1..=9).map(|n| format!("n{n}")).collect();
        let choose = |seed| Random::new(seed).choose(&all, 3);
        assert_eq!(choose(7), choose(7));
        assert!((0..20).any(|seed| choose(seed) != choose(7)));
        assert_eq!(Random::new(1).choose(&all, 20), all);
    }

    #[test]
    fn a_chance_comes_true_about_as_often_as_it_says() {
        let mut random = Random::apart(7, "test");
        let hits = (0..100_000).filter(|_| random.happens(0.02)).count();
        assert!((1_800..2_200).contains(&hits), "{hits}");
        assert!(!Random::new(1).happens(0.0));
        assert!(Random::new(1).happens(1.0));
    }

    #[test]
    fn a_shuffle_keeps_every_element() {
        let mut all: Vec<u32> = (0..50).collect();
        Random::new(3).shuffle(&mut all);
        assert_ne!(all, (0..50).collect::<Vec<_>>());
        all.sort_unstable();
        assert_eq!(all, (0..50).collect::<Vec<_>>());
    }
}
