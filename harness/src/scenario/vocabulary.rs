//! The words that a user's own crate adds to scenario files.

use std::collections::BTreeSet;

/// The checkers over the recorded history that every build has.
pub(super) const CHECKERS: [&str; 5] = ["order", "delivery", "down-once", "names", "linearizable"];

/// Behaviours and checkers beyond the built-in ones. The default has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vocabulary {
    /// Behaviours, usable in `[[process]]` and as factories of `spawn`.
    pub behaviours: BTreeSet<String>,
    /// Checkers, usable in `history` expectations.
    pub checkers: BTreeSet<String>,
}
