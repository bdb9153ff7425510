//! Time as a sequence diagram draws it: each moment at which something happens has the room that it needs, and the time
//! between two moments is drawn the shorter the longer it is. So a burst can be read, and a silence does not push it out.

use std::collections::BTreeMap;

/// A label's height, in units of the drawing.
pub(super) const ROW: f64 = 12.0;
/// Least room between two moments.
const GAP_MIN: f64 = 4.0;
/// Most room that the time between two moments takes.
const GAP_MAX: f64 = 44.0;

/// Where each moment is, from the top.
#[derive(Debug)]
pub(super) struct Scale {
    moments: Vec<(u64, f64)>,
    height: f64,
}

impl Scale {
    /// A scale for these moments, in nanoseconds, each with the number of labels that stand one below the other at it.
    pub(super) fn new(rows: &BTreeMap<u64, usize>) -> Self {
        let mut moments: Vec<(u64, f64)> = Vec::with_capacity(rows.len());
        let mut bottom = 0.0;
        for (at, rows) in rows {
            let top = moments.last().map_or(bottom, |(before, _)| bottom + gap(at - before));
            moments.push((*at, top));
            bottom = top + ROW * rows.saturating_sub(1) as f64;
        }
        Self { moments, height: bottom }
    }

    /// Where `at` is; outside of the moments, at the nearest.
    pub(super) fn y(&self, at: u64) -> f64 {
        let after = self.moments.partition_point(|(moment, _)| *moment <= at);
        let Some(&(from, top)) = after.checked_sub(1).and_then(|before| self.moments.get(before)) else {
            return 0.0;
        };
        match self.moments.get(after) {
            Some(&(to, bottom)) => top + (bottom - top) * (at - from) as f64 / (to - from) as f64,
            None => top,
        }
    }

    /// How tall all of it is.
    pub(super) const fn height(&self) -> f64 {
        self.height
    }

    /// Moments to write the time at: not too close to each other.
    pub(super) fn ticks(&self) -> impl Iterator<Item = (u64, f64)> {
        let mut free = f64::MIN;
        self.moments.iter().copied().filter(move |(_, y)| {
            let shown = *y >= free;
            if shown {
                free = y + 2.0 * ROW;
            }
            shown
        })
    }
}

fn gap(ns: u64) -> f64 {
    let ms = ns as f64 / 1e6;
    (GAP_MIN + 5.0 * ms.ln_1p()).min(GAP_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(rows: &[(u64, usize)]) -> Scale {
        Scale::new(&rows.iter().copied().collect())
    }

    #[test]
    fn moments_keep_their_order_and_leave_room_for_their_labels() {
        let scale = scale(&[(1_000, 3), (1_001, 1), (3_600_000_000_000, 1)]);
        let at = |moment| scale.y(moment);
        assert!(at(1_001) >= at(1_000) + 2.0 * ROW, "three labels stand at the first moment");
        assert!(at(3_600_000_000_000) > at(1_001));
        assert!(at(3_600_000_000_000) - at(1_001) <= GAP_MAX, "an hour of silence is not an hour of paper");
        assert_eq!(scale.height(), at(3_600_000_000_000));
    }

    #[test]
    fn what_is_between_two_moments_is_drawn_between_them_and_what_is_outside_at_the_nearest() {
        let scale = scale(&[(100, 1), (200, 1)]);
        assert!(scale.y(100) < scale.y(150) && scale.y(150) < scale.y(200));
        assert_eq!((scale.y(0), scale.y(999)), (scale.y(100), scale.y(200)));
        assert_eq!(Scale::new(&BTreeMap::new()).y(5), 0.0);
    }

    #[test]
    fn times_are_written_so_that_they_can_be_read() {
        let scale = scale(&(0..100).map(|at| (at, 1)).collect::<Vec<_>>());
        let ticks: Vec<_> = scale.ticks().collect();
        assert_eq!(ticks[0].0, 0);
        assert!(ticks.len() > 5 && ticks.windows(2).all(|pair| pair[1].1 - pair[0].1 >= 2.0 * ROW));
    }
}
