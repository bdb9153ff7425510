//! How often is too often: restarts within a sliding window.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The restarts of one supervisor that still count.
#[derive(Debug)]
pub(super) struct Intensity {
    max: u32,
    within: Duration,
    restarts: VecDeque<Instant>,
}

impl Intensity {
    pub(super) fn new(max: Option<u32>, within: Option<Duration>) -> Self {
        Self { max: max.unwrap_or(1), within: within.unwrap_or(WITHIN), restarts: VecDeque::new() }
    }

    /// There is to be a restart. Returns whether there may be.
    pub(super) fn restart(&mut self, now: Instant) -> bool {
        while let Some(first) = self.restarts.front()
            && now.saturating_duration_since(*first) > self.within
        {
            self.restarts.pop_front();
        }
        if self.restarts.len() >= self.max as usize {
            return false;
        }
        self.restarts.push_back(now);
        true
    }
}

/// OTP's default.
const WITHIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the times: no window of the given length has more restarts than may be, and none is refused that could have
        /// been.
        #[test]
        fn no_window_has_more_restarts_than_may_be_and_none_is_refused_without_need(
            max in 0_u32..5,
            within_ms in 0_u64..100,
            gaps_ms in proptest::collection::vec(0_u64..60, 0..60),
        ) {
            let within = Duration::from_millis(within_ms);
            let mut intensity = Intensity::new(Some(max), Some(within));
            let mut now = Instant::now();
            let mut granted: Vec<Instant> = Vec::new();
            for gap in gaps_ms {
                now += Duration::from_millis(gap);
                let recent = granted.iter().filter(|at| now - **at <= within).count();
                let may = intensity.restart(now);
                prop_assert_eq!(may, recent < max as usize);
                if may {
                    granted.push(now);
                }
            }
        }
    }
}
