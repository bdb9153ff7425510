//! Many tests at once: Holm's step-down procedure (1979) keeps the chance of any false alarm below one bound.

/// Adjusts `p` values so that rejecting those at most alpha keeps the chance of a single false rejection at alpha. The
/// order is kept.
#[must_use]
pub fn adjust(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut least: f64 = 0.0;
    for (place, &index) in order.iter().enumerate() {
        least = least.max(p[index] * (p.len() - place) as f64).min(1.0);
        adjusted[index] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_worked_example_comes_out() {
        let adjusted = adjust(&[0.01, 0.04, 0.03, 0.005]);
        let expected = [0.03, 0.06, 0.06, 0.02];
        assert!(adjusted.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{adjusted:?}");
    }

    proptest! {
        #[test]
        fn it_lies_between_no_correction_and_bonferroni_and_keeps_the_order(p in prop::collection::vec(0f64..=1.0, 1..9)) {
            let adjusted = adjust(&p);
            for (index, value) in adjusted.iter().enumerate() {
                prop_assert!(*value >= p[index] && *value <= (p[index] * p.len() as f64).min(1.0) .max(adjusted.iter().copied().filter(|a| a <= value).fold(0.0, f64::max)));
            }
            for a in 0..p.len() {
                for b in 0..p.len() {
                    prop_assert!(p[a] > p[b] || adjusted[a] <= adjusted[b]);
                }
            }
            let least = p.iter().copied().fold(1.0, f64::min);
            prop_assert!((adjusted.iter().copied().fold(1.0, f64::min) - (least * p.len() as f64).min(1.0)).abs() < 1e-12);
        }
    }
}
