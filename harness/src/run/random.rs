//! Choices from the seed: the same seed makes the same ones.

/// SplitMix64: small, good enough for choosing, and the same everywhere.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
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
}
