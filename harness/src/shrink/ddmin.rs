//! Delta debugging: which of many parts are needed for something to go on failing.

/// The fewest of `count` parts, by their numbers, that are found with which `fails` still holds; it is taken to hold for all
/// of them. Taking any single one away from the result makes it hold no more, unless `fails` has given up meanwhile.
///
/// Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002: chunks are taken away, and made
/// smaller when none of them can be missed.
pub(super) fn ddmin(count: usize, mut fails: impl FnMut(&[usize]) -> bool) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..count).collect();
    if count == 0 || fails(&[]) {
        return Vec::new();
    }
    let mut chunks = 2;
    while kept.len() > 1 {
        let size = kept.len().div_ceil(chunks);
        let without = |at: usize| {
            let chunk = at * size..((at + 1) * size).min(kept.len());
            let stays = |(index, _): &(usize, &usize)| !chunk.contains(index);
            kept.iter().enumerate().filter(stays).map(|(_, part)| *part).collect::<Vec<_>>()
        };
        let all = kept.len().div_ceil(size);
        let smaller = (0..all).map(without).find(|rest| !rest.is_empty() && fails(rest));
        match smaller {
            Some(rest) => {
                kept = rest;
                chunks = chunks.saturating_sub(1).max(2);
            }
            None if size == 1 => break,
            None => chunks = (chunks * 2).min(kept.len()),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed_is_left() {
        for needed in [vec![], vec![0], vec![19], vec![3, 4], vec![0, 7, 19], (0..20).collect::<Vec<_>>()] {
            let found = ddmin(20, |kept| needed.iter().all(|part| kept.contains(part)));
            assert_eq!(found, needed);
        }
        assert_eq!(ddmin(0, |_| unreachable!("there is nothing to try")), Vec::<usize>::new());
        assert_eq!(ddmin(1, |kept| !kept.is_empty()), [0]);
    }

    #[test]
    fn one_of_two_that_each_suffice_is_left() {
        let found = ddmin(16, |kept| kept.contains(&5) || kept.contains(&11));
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn a_needle_is_found_in_few_tries() {
        let mut tries = 0;
        ddmin(1024, |kept| {
            tries += 1;
            kept.contains(&700)
        });
        assert!(tries < 50, "{tries}");
    }
}
