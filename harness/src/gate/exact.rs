//! Figures that repeat to the last digit: they are compared with accepted ones, and any difference is told by name.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the file of accepted values is; changes when a reader would have to.
pub const SCHEMA: &str = "regatta.exact/1";

/// Exact values of one scenario: by cell and load, by figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Exact {
    /// [`SCHEMA`].
    pub schema: String,
    /// The scenario: `exact/path`.
    pub scenario: String,
    /// The compiler that built what was measured: another may allocate otherwise.
    pub rustc: String,
    /// `load.figure`, with the matrix cell in front where there is one, and its value.
    pub values: BTreeMap<String, f64>,
}

/// One value that is not what it was.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Difference {
    /// Which.
    pub name: String,
    /// The accepted value; `None` when it is new.
    pub accepted: Option<f64>,
    /// The value now; `None` when it is gone.
    pub now: Option<f64>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, accepted, now } = self;
        match (accepted, now) {
            (Some(accepted), Some(now)) => {
                let by = now - accepted;
                // Values are shown as they are kept; their difference is one of decimals.
                let by = (by * 1e6).round() / 1e6;
                write!(f, "{name}: {accepted} -> {now} ({by:+})")
            }
            (Some(accepted), None) => write!(f, "{name}: {accepted} -> not measured any more"),
            (None, Some(now)) => write!(f, "{name}: {now}, which was never accepted"),
            (None, None) => write!(f, "{name}"),
        }
    }
}

/// Everything in `now` that is not as `accepted`, in the order of the names.
#[must_use]
pub fn differences(accepted: &BTreeMap<String, f64>, now: &BTreeMap<String, f64>) -> Vec<Difference> {
    let mut names: Vec<&String> = accepted.keys().chain(now.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let all = names.into_iter().map(|name| Difference {
        name: name.clone(),
        accepted: accepted.get(name).copied(),
        now: now.get(name).copied(),
    });
    all.filter(|difference| difference.accepted != difference.now).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(of: &[(&str, f64)]) -> BTreeMap<String, f64> {
        of.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn a_difference_names_the_figure_and_both_values() {
        let accepted = values(&[
            ("path.allocations_per_message", 5.0),
            ("path.datagrams_per_message", 1.0),
            ("old", 1.0),
        ]);
        let now = values(&[
            ("path.allocations_per_message", 6.0),
            ("path.datagrams_per_message", 1.0),
            ("new", 2.5),
        ]);
        let told: Vec<String> = differences(&accepted, &now).iter().map(ToString::to_string).collect();
        let expected = [
            "new: 2.5, which was never accepted",
            "old: 1 -> not measured any more",
            "path.allocations_per_message: 5 -> 6 (+1)",
        ];
        assert_eq!(told, expected);
    }

    proptest! {
        #[test]
        fn equal_values_have_no_difference_and_any_change_has_one(
            of in prop::collection::btree_map("[a-d]", -5f64..5.0, 1..4), by in 0.001f64..1.0
        ) {
            prop_assert!(differences(&of, &of).is_empty());
            let mut changed = of.clone();
            if let Some(first) = changed.values_mut().next() {
                *first += by;
            }
            prop_assert_eq!(differences(&of, &changed).len(), 1);
        }
    }
}
