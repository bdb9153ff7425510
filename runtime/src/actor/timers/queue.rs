//! What is to happen when: an ordered queue, without a clock.
//!
//! Entries are due in the order of their times, and in the order of their numbers, which is that of their insertion, where times
//! are equal. Taking one back
//! removes it: nothing that was cancelled stays.

use std::collections::BTreeMap;
use std::time::Instant;

/// Names one entry of one queue; [`Queue::insert`] never gives one out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) at: Instant,
    pub(crate) number: u64,
}

/// Entries by the time at which they are due.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    entries: BTreeMap<Key, T>,
    next: u64,
}

impl<T> Queue<T> {
    pub(crate) const fn new() -> Self {
        Self { entries: BTreeMap::new(), next: 0 }
    }

    /// Takes out all entries of which `wanted` says so.
    pub(crate) fn take_if(&mut self, wanted: impl Fn(&T) -> bool) -> Vec<T> {
        self.entries.extract_if(.., |_, entry| wanted(entry)).map(|(_, entry)| entry).collect()
    }

    /// Puts an entry in.
    pub(crate) fn insert(&mut self, at: Instant, entry: T) -> Key {
        let key = Key { at, number: self.next };
        self.next += 1;
        self.entries.insert(key, entry);
        key
    }

    /// Puts an entry in under a key of the caller's, which nothing in the queue has.
    pub(crate) fn put(&mut self, key: Key, entry: T) {
        self.entries.insert(key, entry);
    }

    /// Puts an entry in again, under the number that it had, for another time.
    pub(crate) fn renew(&mut self, key: Key, at: Instant, entry: T) -> Key {
        let key = Key { at, ..key };
        self.entries.insert(key, entry);
        key
    }

    /// Takes an entry out, wherever it is.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        self.entries.remove(&key)
    }

    /// The entry with this name.
    pub(crate) fn find_mut(&mut self, key: Key) -> Option<&mut T> {
        self.entries.get_mut(&key)
    }

    /// When the first entry is due.
    pub(crate) fn first(&self) -> Option<Instant> {
        self.entries.first_key_value().map(|(key, _)| key.at)
    }

    /// Takes out the first entry that is due at `now`.
    pub(crate) fn due(&mut self, now: Instant) -> Option<(Key, T)> {
        let entry = self.entries.first_entry()?;
        (entry.key().at <= now).then(|| entry.remove_entry())
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against the plainest model there is: a list, sorted by time where insertion order breaks ties.
        #[test]
        fn entries_come_out_by_time_and_then_by_insertion_and_cancelled_ones_never(
            acts in proptest::collection::vec((0_u64..50, 0_u8..4), 0..200),
        ) {
            let begin = Instant::now();
            let mut queue = Queue::new();
            let mut model: Vec<(Instant, usize, Key)> = Vec::new();
            let mut now = begin;
            for (number, (ms, act)) in acts.into_iter().enumerate() {
                match act {
                    0 | 1 => {
                        let at = now + Duration::from_millis(ms);
                        model.push((at, number, queue.insert(at, number)));
                    }
                    2 if !model.is_empty() => {
                        let (_, entry, key) = model.remove(ms as usize % model.len());
                        prop_assert_eq!(queue.remove(key), Some(entry));
                        prop_assert_eq!(queue.remove(key), None);
                    }
                    _ => {
                        now += Duration::from_millis(ms / 2);
                        model.sort();
                        let due = model.iter().take_while(|(at, ..)| *at <= now).count();
                        let expected: Vec<_> = model.drain(..due).map(|(_, entry, _)| entry).collect();
                        let fired = std::iter::from_fn(|| queue.due(now)).map(|(_, entry)| entry);
                        prop_assert_eq!(fired.collect::<Vec<_>>(), expected);
                    }
                }
                prop_assert_eq!(queue.len(), model.len());
                prop_assert_eq!(queue.first(), model.iter().map(|(at, ..)| *at).min());
            }
        }
    }
}
