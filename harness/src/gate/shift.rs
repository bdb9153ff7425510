//! How large the shift is: the Hodges-Lehmann estimate (1963) and its distribution-free interval.

use super::wilcoxon::distribution;

/// The shift of a row of differences, with bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    /// The median of the means of all pairs.
    pub estimate: f64,
    /// The shift is at least this, with the chance that was asked for; without bound where there are too few differences.
    pub lower: f64,
    /// The shift is at most this, with the same chance.
    pub upper: f64,
}

/// Estimates the shift of `differences`; each of its bounds is wrong with a chance of at most `alpha`. `None` without
/// differences.
#[must_use]
pub fn hodges_lehmann(differences: &[f64], alpha: f64) -> Option<Shift> {
    let n = differences.len();
    if n == 0 || differences.iter().any(|d| d.is_nan()) {
        return None;
    }
    let mut walsh = Vec::with_capacity(n * (n + 1) / 2);
    for (index, one) in differences.iter().enumerate() {
        walsh.extend(differences[index..].iter().map(|other| f64::midpoint(*one, *other)));
    }
    walsh.sort_by(f64::total_cmp);
    let ranks: Vec<u64> = (1..=n as u64).collect();
    // So many values of W, from 0 on, are together no likelier than alpha; the bounds are the averages at that place from
    // both ends.
    let mut below = 0.0;
    let few = |chance: &f64| {
        below += *chance;
        below <= alpha
    };
    let outside = distribution(&ranks).into_iter().take_while(few).count();
    let (lower, upper) = match outside {
        0 => (f64::NEG_INFINITY, f64::INFINITY),
        outside => (walsh[outside - 1], walsh[walsh.len() - outside]),
    };
    Some(Shift { estimate: median_of_sorted(&walsh), lower, upper })
}

/// The median; the mean of the middle two for an even count. `None` of nothing.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    if sorted.is_empty() { None } else { Some(median_of_sorted(&sorted)) }
}

fn median_of_sorted(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

/// The spread of single values about their median, as a standard deviation: 1.4826 times the median of the distances,
/// which a few wild blocks do not move.
#[must_use]
pub fn spread(values: &[f64]) -> f64 {
    let Some(middle) = median(values) else { return 0.0 };
    let distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    1.4826 * median(&distances).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_known_example_comes_out() {
        // Hollander and Wolfe, Nonparametric Statistical Methods, example 3.1: depression scale factors; estimate -0.46.
        let differences = [0.952, -0.147, 1.022, 0.430, 0.620, 0.590, 0.490, -0.080, 0.010];
        let shift = hodges_lehmann(&differences, 0.04).expect("differences");
        assert!((shift.estimate - 0.46).abs() < 1e-9, "{shift:?}");
        // Their interval of 96 % is (-0.786, -0.010), with the signs turned.
        let shift = hodges_lehmann(&differences, 0.02).expect("differences");
        assert!((shift.lower - 0.010).abs() < 1e-9 && (shift.upper - 0.786).abs() < 1e-9, "{shift:?}");
    }

    #[test]
    fn too_few_differences_have_no_bound() {
        let shift = hodges_lehmann(&[1.0, 2.0, 3.0], 2.5e-4).expect("differences");
        assert_eq!((shift.lower, shift.upper), (f64::NEG_INFINITY, f64::INFINITY));
        assert!(hodges_lehmann(&[], 0.05).is_none());
    }

    proptest! {
        #[test]
        fn the_estimate_moves_with_the_data_and_lies_within_its_bounds(
            values in prop::collection::vec(-1e3f64..1e3, 1..24), by in -1e3f64..1e3
        ) {
            let shift = hodges_lehmann(&values, 0.01).expect("values");
            prop_assert!(shift.lower <= shift.estimate && shift.estimate <= shift.upper);
            let moved: Vec<f64> = values.iter().map(|value| value + by).collect();
            let moved = hodges_lehmann(&moved, 0.01).expect("values");
            prop_assert!((moved.estimate - shift.estimate - by).abs() < 1e-6);
        }

        #[test]
        fn the_lower_bound_is_above_zero_just_when_the_test_rejects(
            values in prop::collection::vec(-1e3f64..1e3, 8..20), alpha in 0.001f64..0.2
        ) {
            // Without ties and zeros, the bound and the test are two ways to say the same.
            let mut sizes: Vec<f64> = values.iter().map(|value| value.abs()).collect();
            sizes.sort_by(f64::total_cmp);
            prop_assume!(sizes[0] > 0.0 && sizes.windows(2).all(|pair| pair[0] < pair[1]));
            let shift = hodges_lehmann(&values, alpha).expect("values");
            let p = super::super::wilcoxon::SignedRanks::of(&values).p_greater();
            prop_assert_eq!(shift.lower > 0.0, p <= alpha, "p {} alpha {} {:?}", p, alpha, shift);
        }

        #[test]
        fn one_wild_value_does_not_move_the_spread_far(values in prop::collection::vec(-1f64..1.0, 9..24)) {
            let mut wild = values;
            wild[0] = 1e9;
            prop_assert!(spread(&wild) < 10.0);
        }
    }
}
