//! The exact signed-rank test (Wilcoxon 1945) over paired differences.
//!
//! Ranks are kept doubled, so that the mean ranks of ties are whole numbers and the distribution of their sum can be
//! counted instead of approximated. Differences of exactly zero say nothing and are left out, as Wilcoxon did.

/// The signed ranks of a row of differences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRanks {
    /// Doubled ranks of all differences that are not zero.
    doubled: Vec<u64>,
    /// Doubled rank sum of those above zero.
    positive: u64,
}

impl SignedRanks {
    /// Ranks `differences` by their size. A value that is no number is left out like a zero.
    #[must_use]
    pub fn of(differences: &[f64]) -> Self {
        let mut kept: Vec<f64> = differences.iter().copied().filter(|d| !d.is_nan() && *d != 0.0).collect();
        kept.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
        let (mut doubled, mut positive) = (Vec::with_capacity(kept.len()), 0);
        let mut first = 0;
        while first < kept.len() {
            let size = kept[first].abs();
            let ties = kept[first..].iter().take_while(|d| d.abs() == size).count();
            // Ranks first + 1 to first + ties share their mean, which doubled is first + 1 + first + ties.
            let rank = (2 * first + ties + 1) as u64;
            for difference in &kept[first..first + ties] {
                doubled.push(rank);
                positive += if *difference > 0.0 { rank } else { 0 };
            }
            first += ties;
        }
        Self { doubled, positive }
    }

    /// How many differences count.
    #[must_use]
    pub fn len(&self) -> usize {
        self.doubled.len()
    }

    /// Whether no difference counts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.doubled.is_empty()
    }

    /// The rank sum of the differences above zero: Wilcoxon's W.
    #[must_use]
    pub fn w(&self) -> f64 {
        self.positive as f64 / 2.0
    }

    /// The greatest W that so many differences can have.
    #[must_use]
    pub fn w_max(&self) -> f64 {
        self.doubled.iter().sum::<u64>() as f64 / 2.0
    }

    /// How likely a W at least this great is if the differences are symmetric about zero. 1 without differences.
    #[must_use]
    pub fn p_greater(&self) -> f64 {
        let distribution = distribution(&self.doubled);
        distribution[usize::try_from(self.positive).unwrap_or(usize::MAX)..].iter().sum::<f64>().min(1.0)
    }

    /// The same for a W at most this great.
    #[must_use]
    pub fn p_less(&self) -> f64 {
        let distribution = distribution(&self.doubled);
        distribution[..=usize::try_from(self.positive).unwrap_or(0)].iter().sum::<f64>().min(1.0)
    }

    /// How likely a W at least this far from the middle is.
    #[must_use]
    pub fn p_two_sided(&self) -> f64 {
        (2.0 * self.p_greater().min(self.p_less())).min(1.0)
    }
}

/// The chance of each doubled rank sum when each rank counts or does not with the same chance.
pub(super) fn distribution(doubled: &[u64]) -> Vec<f64> {
    let sum = usize::try_from(doubled.iter().sum::<u64>()).expect("ranks of a few blocks");
    let mut chance = vec![0.0; sum + 1];
    chance[0] = 1.0;
    let mut reach = 0;
    for &rank in doubled {
        let rank = usize::try_from(rank).expect("ranks of a few blocks");
        reach += rank;
        for at in (0..=reach).rev() {
            let with = if at >= rank { chance[at - rank] } else { 0.0 };
            chance[at] = (chance[at] + with) / 2.0;
        }
    }
    chance
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, by trying all signs.
    fn by_enumeration(ranks: &SignedRanks) -> f64 {
        let n = ranks.doubled.len();
        let at_least = (0..1u32 << n).filter(|signs| {
            let sum: u64 = (0..n).filter(|i| signs >> i & 1 == 1).map(|i| ranks.doubled[i]).sum();
            sum >= ranks.positive
        });
        at_least.count() as f64 / f64::from(1u32 << n)
    }

    #[test]
    fn the_tables_of_the_test_are_met() {
        // One-sided 0.00025: 12 blocks need all of 78, and 20 blocks 192 of 210.
        let all: Vec<f64> = (1..=12).map(f64::from).collect();
        let ranks = SignedRanks::of(&all);
        assert_eq!((ranks.w(), ranks.w_max()), (78.0, 78.0));
        assert!((ranks.p_greater() - 1.0 / 4096.0).abs() < 1e-12);
        let twenty = |w: u64| {
            let doubled: Vec<u64> = (1..=20).map(|rank| 2 * rank).collect();
            SignedRanks { doubled, positive: 2 * w }.p_greater()
        };
        assert!(twenty(192) <= 2.5e-4 && twenty(191) > 2.5e-4, "{} {}", twenty(192), twenty(191));
    }

    #[test]
    fn ties_share_their_mean_rank_and_zeros_say_nothing() {
        let ranks = SignedRanks::of(&[0.0, 1.0, -1.0, 2.0, f64::NAN]);
        assert_eq!((ranks.len(), ranks.w(), ranks.w_max()), (3, 1.5 + 3.0, 6.0));
        assert!((SignedRanks::of(&[]).p_greater() - 1.0).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn the_chance_is_that_of_counting_all_signs(values in prop::collection::vec(-4i32..5, 0..11)) {
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let ranks = SignedRanks::of(&values);
            prop_assert!((ranks.p_greater() - by_enumeration(&ranks)).abs() < 1e-9);
        }

        #[test]
        fn turning_all_signs_swaps_the_two_sides(values in prop::collection::vec(-1e3f64..1e3, 1..24)) {
            let turned: Vec<f64> = values.iter().map(|value| -value).collect();
            let (one, other) = (SignedRanks::of(&values), SignedRanks::of(&turned));
            prop_assert!((one.p_greater() - other.p_less()).abs() < 1e-9);
            prop_assert!((one.w() + other.w() - one.w_max()).abs() < 1e-9);
        }

        #[test]
        fn greater_differences_are_never_less_significant(values in prop::collection::vec(-1e3f64..1e3, 1..24), by in 0f64..1e3) {
            let more: Vec<f64> = values.iter().map(|value| value + by).collect();
            prop_assert!(SignedRanks::of(&more).p_greater() <= SignedRanks::of(&values).p_greater() + 1e-9);
        }
    }
}
