//! Which schedulers sleep.
//!
//! A bit for each that sleeps, and one that says that a woken one is still on its way: until it has found work or gone
//! back to sleep, nobody else is woken, so that a burst wakes one and not all.
//!
//! The rule that loses nothing is Dekker's: a sleeper **says that it sleeps, then looks** at the queues; whoever queues
//! from outside **queues, then looks** for sleepers. Both looks are sequentially consistent with both acts, so one of the two
//! sees the other. A searcher that gives up does the same, so whoever relied on it is served too.

use crate::sync::atomic::{AtomicU64, Ordering, fence};

/// The most schedulers that a runtime may have.
pub(crate) const SCHEDULERS_MAX: usize = 63;

/// The schedulers of one runtime that sleep.
#[derive(Debug)]
pub(crate) struct Sleepers(AtomicU64);

impl Sleepers {
    /// Nobody sleeps.
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Whether anybody could be woken now. A guess, for whoever needs no certainty.
    pub(crate) fn might_wake(&self) -> bool {
        let bits = self.0.load(Ordering::Relaxed);
        bits != 0 && bits & SEARCHING == 0
    }

    /// Picks the sleeper that the caller must wake, if one sleeps and none is on its way. To be called after the work was
    /// queued.
    pub(crate) fn pick(&self) -> Option<usize> {
        fence(Ordering::SeqCst);
        let mut bits = self.0.load(Ordering::SeqCst);
        while bits != 0 && bits & SEARCHING == 0 {
            let next = bits & (bits - 1) | SEARCHING;
            match self.0.compare_exchange_weak(bits, next, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return Some(bits.trailing_zeros() as usize),
                Err(now) => bits = now,
            }
        }
        None
    }

    /// The scheduler `index` sleeps from now on, and no longer searches if it did. It must look at the queues once more
    /// after this.
    pub(crate) fn sleep(&self, index: usize, searching: bool) {
        let mine = 1 << index;
        let change = |bits: u64| Some(if searching { bits & !SEARCHING } else { bits } | mine);
        let _always = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change);
        fence(Ordering::SeqCst);
    }

    /// The scheduler `index` is polled again. Returns whether somebody picked it: then it is the one that searches.
    pub(crate) fn rise(&self, index: usize) -> bool {
        let mine = 1 << index;
        self.0.fetch_and(!mine, Ordering::SeqCst) & mine == 0
    }

    /// A searcher has found work.
    pub(crate) fn found(&self) {
        self.0.fetch_and(!SEARCHING, Ordering::SeqCst);
    }
}

const SEARCHING: u64 = 1 << SCHEDULERS_MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_woken_at_a_time_the_first_one_first() {
        let sleepers = Sleepers::new();
        assert_eq!(sleepers.pick(), None, "nobody sleeps");
        sleepers.sleep(1, false);
        sleepers.sleep(0, false);
        assert_eq!(sleepers.pick(), Some(0));
        assert_eq!(sleepers.pick(), None, "one is on its way");
        assert!(sleepers.rise(0), "it was picked");
        sleepers.found();
        assert_eq!(sleepers.pick(), Some(1));
        assert!(sleepers.rise(1));
        sleepers.sleep(1, true);
        assert!(!sleepers.rise(1), "polled without being picked");
        assert_eq!(sleepers.pick(), None);
    }
}
