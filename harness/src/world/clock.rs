//! A node's clock, which the harness can set off: the world's time, and a skew of the wall clock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use regatta::{Clock, Timer};

/// The clock of one node.
pub(crate) struct NodeClock {
    /// The world's.
    time: Arc<dyn Clock>,
    skew: Mutex<Skew>,
}

/// How far off the wall clock is.
#[derive(Debug, Clone, Copy)]
struct Skew {
    /// Since when it drifts.
    since: Instant,
    /// By how much it was off then, in microseconds.
    offset_us: i64,
    /// How much faster it runs than the world's, as a share.
    drift: f64,
}

impl NodeClock {
    /// A clock that is right, by the world's time.
    pub(crate) fn new(time: Arc<dyn Clock>) -> Arc<Self> {
        let skew = Skew { since: time.now(), offset_us: 0, drift: 0.0 };
        Arc::new(Self { time, skew: Mutex::new(skew) })
    }

    /// Sets the wall clock off by so much from now on, and lets it drift from there.
    pub(crate) fn set(&self, offset_ms: i64, drift: f64) {
        let offset_us = offset_ms.saturating_mul(1_000);
        *self.skew() = Skew { since: self.time.now(), offset_us, drift };
    }

    fn skew(&self) -> MutexGuard<'_, Skew> {
        self.skew.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for NodeClock {
    fn unix_us(&self) -> u64 {
        let Skew { since, offset_us, drift } = *self.skew();
        let drifted_us = self.time.now().saturating_duration_since(since).as_micros() as f64 * drift;
        self.time.unix_us().saturating_add_signed(offset_us).saturating_add_signed(drifted_us as i64)
    }

    fn now(&self) -> Instant {
        self.time.now()
    }

    fn timer(&self) -> Box<dyn Timer> {
        self.time.timer()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    struct Still(Mutex<Instant>);

    impl Clock for Still {
        fn unix_us(&self) -> u64 {
            1_000_000_000
        }

        fn now(&self) -> Instant {
            *self.0.lock().unwrap()
        }
    }

    #[test]
    fn a_skewed_clock_is_off_by_its_offset_and_gains_by_its_drift() {
        let still = Arc::new(Still(Mutex::new(Instant::now())));
        let clock = NodeClock::new(still.clone());
        assert_eq!(clock.unix_us(), 1_000_000_000);
        clock.set(-5_000, 0.01);
        assert_eq!(clock.unix_us(), 995_000_000);
        *still.0.lock().unwrap() += Duration::from_secs(10);
        assert_eq!(clock.unix_us(), 995_100_000);
        clock.set(0, 0.0);
        assert_eq!(clock.unix_us(), 1_000_000_000);
    }
}
