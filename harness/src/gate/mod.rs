//! Whether one build is worse than another: statistics and verdicts over figures that others measured.
//!
//! Pure: numbers come in and a verdict goes out. Nothing here knows how a figure was made, so all of it is tested by
//! properties. What must stay true: an absolute time never gates anything, only the ratio of two builds that ran in the
//! same block; a gate that cannot tell says so.

pub mod change;
pub mod count;
pub mod exact;
pub mod holm;
pub mod power;
pub mod rule;
pub mod shift;
pub mod wilcoxon;

pub use rule::{Evidence, Level, Metric, Series, Verdict, judge};
