//! Calls of this node that wait for an answer: remote spawns and questions.
//!
//! Every call ends exactly once: by its answer, its link's end, or its deadline.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::cluster::mesh::LinkIndex;

/// Where the answer to a call must come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) link: LinkIndex,
    pub(crate) deadline: Instant,
}

/// The calls that wait.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    waiting: BTreeMap<u64, Waiting>,
    deadlines: BTreeSet<(Instant, u64)>,
}

impl Calls {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn insert(&mut self, call: u64, link: LinkIndex, deadline: Instant) {
        self.waiting.insert(call, Waiting { link, deadline });
        self.deadlines.insert((deadline, call));
    }

    /// The answer came by `link`; false if nobody waits for it from there.
    pub(crate) fn answered(&mut self, call: u64, link: LinkIndex) -> bool {
        let Some(waiting) = self.waiting.get(&call).filter(|waiting| waiting.link == link) else {
            return false;
        };
        self.deadlines.remove(&(waiting.deadline, call));
        self.waiting.remove(&call);
        true
    }

    /// The calls that waited for an answer by `link`, which is gone.
    pub(crate) fn link_lost(&mut self, link: LinkIndex) -> Vec<u64> {
        let lost: Vec<u64> =
            self.waiting.iter().filter(|(_, waiting)| waiting.link == link).map(|(call, _)| *call).collect();
        for call in &lost {
            self.answered(*call, link);
        }
        lost
    }

    /// The calls whose deadline has passed, each with the link that its answer was to come by.
    pub(crate) fn expired(&mut self, now: Instant) -> Vec<(u64, LinkIndex)> {
        let mut expired = Vec::new();
        while let Some((deadline, call)) =
            self.deadlines.first().copied().filter(|(deadline, _)| *deadline <= now)
        {
            self.deadlines.remove(&(deadline, call));
            let waiting = self.waiting.remove(&call).expect("a deadline goes with its call");
            expired.push((call, waiting.link));
        }
        expired
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_call_ends_once_and_only_by_its_own_link() {
        #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut calls = Calls::default();
        calls.insert(1, 0, at(10));
        calls.insert(2, 1, at(20));
        calls.insert(3, 1, at(30));
        calls.insert(4, 1, at(40));
        assert!(!calls.answered(1, 1), "an answer by another peer's link is none");
        assert!(calls.answered(1, 0));
        assert!(!calls.answered(1, 0));
        assert_eq!(calls.next_deadline(), Some(at(20)));
        assert_eq!(calls.expired(at(25)), [(2, 1)]);
        assert_eq!(calls.link_lost(1), [3, 4]);
        assert_eq!((calls.len(), calls.next_deadline()), (0, None));
    }
}
