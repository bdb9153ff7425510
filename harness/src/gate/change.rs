//! Where a history changed its level: E-divisive means (Matteson and James 2014), as Apache Otava uses it.
//!
//! The energy distance between what lies before and after a point is greatest at a change; a permutation test says
//! whether it is greater than chance makes it. Each part is then searched in turn. Deterministic: the permutations come
//! from a fixed seed.

/// The fewest values on each side of a change.
const SIDE_MIN: usize = 4;
/// Permutations of the test.
const PERMUTATIONS: u32 = 199;
/// The chance of calling a change where there is none.
const ALPHA: f64 = 0.01;

/// A change of level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// The first value of the new level, by its place.
    pub at: usize,
    /// The median before it, up to the change before.
    pub before: f64,
    /// The median from it on, up to the next change.
    pub after: f64,
    /// How likely such a point is without a change.
    pub p: f64,
}

/// All changes of level in `values`, in order.
#[must_use]
pub fn changes(values: &[f64]) -> Vec<Change> {
    let mut cuts: Vec<(usize, f64)> = Vec::new();
    search(values, 0, &mut cuts);
    cuts.sort_unstable_by_key(|(at, _)| *at);
    let all = cuts.iter().enumerate().map(|(index, (at, p))| {
        let from = index.checked_sub(1).map_or(0, |before| cuts[before].0);
        let to = cuts.get(index + 1).map_or(values.len(), |next| next.0);
        let median = |part: &[f64]| super::shift::median(part).unwrap_or(0.0);
        Change { at: *at, before: median(&values[from..*at]), after: median(&values[*at..to]), p: *p }
    });
    all.collect()
}

fn search(values: &[f64], offset: usize, cuts: &mut Vec<(usize, f64)>) {
    let Some((at, statistic)) = best(values) else { return };
    let mut random = Permuter(0x5eed ^ values.len() as u64);
    let mut shuffled = values.to_vec();
    let mut as_great = 0;
    for _ in 0..PERMUTATIONS {
        random.shuffle(&mut shuffled);
        as_great += u32::from(best(&shuffled).is_some_and(|(_, of)| of >= statistic));
    }
    let p = f64::from(as_great + 1) / f64::from(PERMUTATIONS + 1);
    if p <= ALPHA {
        cuts.push((offset + at, p));
        search(&values[..at], offset, cuts);
        search(&values[at..], offset + at, cuts);
    }
}

/// The point with the greatest energy distance between its two sides, and that distance.
fn best(values: &[f64]) -> Option<(usize, f64)> {
    let n = values.len();
    if n < 2 * SIDE_MIN {
        return None;
    }
    // Sums of distances within the left side, within the right side and between them, moved along point by point.
    let distance = |a: usize, b: usize| (values[a] - values[b]).abs();
    let (mut left, mut right, mut between) = (0.0, 0.0, 0.0);
    for a in 0..n {
        for b in a + 1..n {
            right += distance(a, b);
        }
    }
    let mut best: Option<(usize, f64)> = None;
    for cut in 1..n {
        // The value at cut - 1 changes sides.
        let moved = cut - 1;
        let to_left: f64 = (0..moved).map(|other| distance(moved, other)).sum();
        let to_right: f64 = (cut..n).map(|other| distance(moved, other)).sum();
        left += to_left;
        between += to_right - to_left;
        right -= to_right;
        let (l, r) = (cut as f64, (n - cut) as f64);
        if cut < SIDE_MIN || n - cut < SIDE_MIN {
            continue;
        }
        let pairs = |count: f64| count * (count - 1.0) / 2.0;
        let energy = 2.0 * between / (l * r) - left / pairs(l) - right / pairs(r);
        let statistic = l * r / (l + r) * energy;
        if best.is_none_or(|(_, greatest)| statistic > greatest) {
            best = Some((cut, statistic));
        }
    }
    best
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Permuter(u64);

impl Permuter {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn shuffle(&mut self, values: &mut [f64]) {
        for last in (1..values.len()).rev() {
            let other = usize::try_from(self.next() % (last as u64 + 1)).expect("below a length");
            values.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn noisy(level: f64, count: usize, salt: u64) -> Vec<f64> {
        let mut random = Permuter(salt);
        (0..count).map(|_| level * (1.0 + 0.02 * ((random.next() % 1_000) as f64 / 500.0 - 1.0))).collect()
    }

    #[test]
    fn a_step_is_found_where_it_is() {
        let values = [noisy(10.0, 20, 1), noisy(12.0, 15, 2), noisy(9.0, 18, 3)].concat();
        let found: Vec<usize> = changes(&values).iter().map(|change| change.at).collect();
        assert_eq!(found, [20, 35]);
        let first = changes(&values)[0];
        assert!((first.before - 10.0).abs() < 0.3 && (first.after - 12.0).abs() < 0.3, "{first:?}");
    }

    #[test]
    fn short_and_constant_histories_have_no_change() {
        assert!(changes(&[1.0, 2.0, 3.0]).is_empty());
        assert!(changes(&[5.0; 40]).is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn noise_about_one_level_has_next_to_no_change(salt in 0u64..1_000) {
            // At one chance in a hundred, a rare one is right; more than one is not.
            prop_assert!(changes(&noisy(10.0, 40, salt)).len() <= 1);
        }

        #[test]
        fn the_scale_does_not_matter(salt in 0u64..1_000, scale in 0.01f64..100.0) {
            let values = [noisy(10.0, 12, salt), noisy(13.0, 12, salt + 1)].concat();
            let scaled: Vec<f64> = values.iter().map(|value| value * scale).collect();
            let at = |values: &[f64]| changes(values).iter().map(|change| change.at).collect::<Vec<_>>();
            prop_assert_eq!(at(&values), at(&scaled));
        }
    }
}
