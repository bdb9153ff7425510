//! The run queue of one slot: who waits longest is first, except that whoever was just spoken to may go before.
//!
//! Two processes that talk to each other find all that they touch in the nearest cache, if they run one right after the
//! other. So the first process that a short poll sends to is **next**, before those that wait; a few times in a row, then it
//! waits like the others. What is next can be taken by no searching scheduler, only to the rescue: it runs here in a
//! moment, as long as a thread polls this queue, and whoever lets go of the queue makes it wait like the others.

use crossbeam_deque::{Steal, Stealer, Worker};

/// The owner's end.
pub(super) struct RunQueue<T> {
    waiting: Worker<T>,
    /// One at most.
    next: Worker<T>,
    /// Whether there may be one.
    ahead: bool,
    /// How many in a row may go before those that wait; 0: none, the order is that of arrival.
    row_max: u32,
    row: u32,
}

/// The end of everybody else.
pub(super) struct OtherEnd<T> {
    waiting: Stealer<T>,
    next: Stealer<T>,
}

impl<T> RunQueue<T> {
    pub(super) fn new(row_max: u32) -> Self {
        Self { waiting: Worker::new_fifo(), next: Worker::new_fifo(), ahead: false, row_max, row: 0 }
    }

    pub(super) fn other_end(&self) -> OtherEnd<T> {
        OtherEnd { waiting: self.waiting.stealer(), next: self.next.stealer() }
    }

    /// Behind all others.
    #[inline]
    pub(super) fn push(&mut self, entry: T) {
        self.waiting.push(entry);
    }

    /// Before those that wait, if nobody else is.
    #[inline]
    pub(super) fn push_next(&mut self, entry: T) {
        // If nobody waits, it is next anyway.
        if self.row < self.row_max && !self.ahead && !self.waiting.is_empty() {
            self.ahead = true;
            self.next.push(entry);
        } else {
            self.waiting.push(entry);
        }
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<T> {
        if std::mem::take(&mut self.ahead)
            && let Some(next) = self.next.pop()
        {
            self.row += 1;
            return Some(next);
        }
        self.row = 0;
        self.waiting.pop()
    }

    /// Whoever is next waits like the others from now on.
    pub(super) fn settle(&mut self) {
        if std::mem::take(&mut self.ahead) {
            self.next.pop().into_iter().for_each(|next| self.waiting.push(next));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.next.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.next.is_empty()
    }

    /// Takes some of those that wait in another queue over: one of them now.
    pub(super) fn steal(&mut self, other: &OtherEnd<T>) -> Option<T> {
        loop {
            match other.waiting.steal_batch_and_pop(&self.waiting) {
                Steal::Success(entry) => return Some(entry),
                Steal::Empty => return None,
                Steal::Retry => {}
            }
        }
    }
}

impl<T> OtherEnd<T> {
    /// Whether a searching scheduler finds nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether nobody at all is in it.
    pub(super) fn is_bare(&self) -> bool {
        self.waiting.is_empty() && self.next.is_empty()
    }

    /// Takes all out that are in it now, the one who is next first.
    pub(super) fn rescue(&self, mut each: impl FnMut(T)) {
        for end in [&self.next, &self.waiting] {
            for _ in 0..end.len() {
                match end.steal() {
                    Steal::Success(entry) => each(entry),
                    Steal::Empty => break,
                    Steal::Retry => {}
                }
            }
        }
    }
}

/// How many processes in a row may go before those that wait: so many times longer these may wait. Two that talk gain most of what
/// there is to gain; short polls alone go before, and a turn's end ends a row too.
pub(super) const ROW: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// Pops all, and wakes what `wakes` says after each.
    fn order(queue: &mut RunQueue<u32>, polls: usize, wakes: impl Fn(u32) -> Option<u32>) -> Vec<u32> {
        let mut order = Vec::new();
        while order.len() < polls
            && let Some(entry) = queue.pop()
        {
            order.push(entry);
            if let Some(woken) = wakes(entry) {
                queue.push_next(woken);
            }
        }
        order
    }

    #[test]
    fn whoever_is_woken_goes_before_those_that_wait_a_few_times() {
        let mut queue = RunQueue::new(2);
        [10, 20, 30].into_iter().for_each(|entry| queue.push(entry));
        // Two that wake each other: 10 and 11.
        let pair = |entry| (entry < 20).then(|| 21 - entry);
        assert_eq!(order(&mut queue, 9, pair), [10, 11, 10, 20, 30, 11, 10, 11, 10]);
    }

    #[test]
    fn only_the_first_that_a_poll_wakes_goes_before() {
        let mut queue = RunQueue::new(8);
        queue.push(1);
        queue.push_next(2);
        queue.push_next(3);
        assert_eq!(order(&mut queue, 9, |_| None), [2, 1, 3]);
    }

    #[test]
    fn with_no_row_the_order_is_that_of_arrival() {
        let mut queue = RunQueue::new(0);
        queue.push(1);
        queue.push_next(2);
        queue.push(3);
        assert_eq!(order(&mut queue, 9, |_| None), [1, 2, 3]);
    }

    #[test]
    fn a_searcher_finds_those_that_wait_and_a_rescuer_all() {
        let (mut queue, mut other) = (RunQueue::new(8), RunQueue::new(8));
        queue.push(1);
        queue.push_next(2);
        let end = queue.other_end();
        assert!(!end.is_empty());
        assert_eq!(other.steal(&end), Some(1));
        assert_eq!(other.steal(&end), None);
        assert!(end.is_empty() && !end.is_bare() && queue.len() == 1);
        queue.push(3);
        let mut found = Vec::new();
        end.rescue(|entry| found.push(entry));
        assert_eq!(found, [2, 3]);
        assert!(end.is_bare() && queue.is_empty());
    }

    #[test]
    fn whoever_lets_go_of_the_queue_leaves_nobody_next() {
        let mut queue = RunQueue::new(8);
        queue.push(1);
        queue.push_next(2);
        queue.settle();
        assert_eq!(RunQueue::new(8).steal(&queue.other_end()), Some(1));
        assert_eq!(queue.pop(), Some(2));
    }
}
