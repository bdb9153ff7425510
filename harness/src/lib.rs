//! Multi-node test harness of Regatta: scenario files, the worlds that run them, and what they report.
//!
//! A [scenario] is data. A [run] starts its nodes in a [world], does its steps, observes the cluster as one
//! value, and judges [conditions](condition) over it; a [load] measures. What is wrong with a file is told as a
//! [diagnostic], what came of a run in a [report]. [`suite`] makes tests of scenario files.

pub mod behaviour;
pub mod bench;
pub mod cli;
pub mod condition;
pub mod diagnostic;
pub mod exit;
pub mod expect;
mod fault;
pub mod gate;
pub mod load;
mod logs;
mod observe;
pub mod paired;
mod random;
pub mod record;
pub mod report;
pub mod results;
pub mod run;
pub mod scenario;
pub mod shrink;
mod snapshot;
mod suite;
pub mod world;

pub use suite::suite;
