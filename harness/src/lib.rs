//! Multi-node test harness of Regatta: scenario files, the worlds that run them, and what they report.
//!
//! A [scenario](scenario) is data; a [condition](condition) is an expression over the cluster as observed; what is wrong
//! with a file is told as a [diagnostic](diagnostic).

pub mod cli;
pub mod condition;
pub mod diagnostic;
pub mod exit;
pub mod scenario;
