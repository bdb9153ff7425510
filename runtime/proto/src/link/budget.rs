//! How many bytes wait for one link, shared by the senders and the engine.
//!
//! Senders add what they queue; the engine subtracts what it hands to QUIC, whose own send window bounds the rest. Above
//! the high-water mark senders wait until the engine has brought it below the low one; the distance keeps them from
//! waking for every packet. This is the only state of the engine that other threads touch, and it is all atomic.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The queue of one link, in bytes.
#[derive(Debug)]
pub struct LinkBudget {
    queued: AtomicUsize,
    /// Set by a sender that found no room, cleared by the engine when there is room again.
    waited_for: AtomicBool,
    high: usize,
    low: usize,
}

impl LinkBudget {
    pub(crate) fn new(high: usize, low: usize) -> Self {
        Self { queued: AtomicUsize::new(0), waited_for: AtomicBool::new(false), high, low }
    }

    /// Bytes that wait.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Whether a sender may queue now. If not, the engine reports [`Event::Writable`](crate::host::Event::Writable) as
    /// soon as it may; ask again after you began to wait for that, or the report may pass unseen.
    #[must_use]
    pub fn has_room(&self) -> bool {
        if self.queued.load(Ordering::Acquire) < self.high {
            return true;
        }
        self.waited_for.store(true, Ordering::SeqCst);
        // The engine may have made room between the two lines above, and not seen the flag.
        self.queued.load(Ordering::SeqCst) < self.low
    }

    /// Counts bytes that were queued.
    pub fn add(&self, bytes: usize) {
        self.queued.fetch_add(bytes, Ordering::AcqRel);
    }

    /// Counts bytes that left the queue; whether waiting senders must hear of it.
    pub(crate) fn release(&self, bytes: usize) -> bool {
        let before = self.queued.fetch_sub(bytes, Ordering::SeqCst);
        before - bytes < self.low && self.waited_for.swap(false, Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_that_found_no_room_is_told_once_when_there_is_room_again() {
        let budget = LinkBudget::new(100, 50);
        budget.add(99);
        assert!(budget.has_room());
        budget.add(10);
        assert!(!budget.has_room());
        assert!(!budget.release(50), "59 queued: still above the low-water mark");
        assert!(budget.release(20), "39 queued: told");
        assert!(!budget.release(20), "nobody waits any more");
    }

    #[test]
    fn nobody_is_told_who_did_not_wait() {
        let budget = LinkBudget::new(100, 50);
        budget.add(80);
        assert!(!budget.release(80));
    }
}
