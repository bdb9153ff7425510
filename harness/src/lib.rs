//! Multi-node test harness of Regatta: scenario files, the worlds that run them, and what they report.
//!
//! A [`scenario`] is data; a [`condition`] is an expression over the cluster as observed; what is wrong
//! with a file is told as a [`diagnostic`].

pub mod cli;
pub mod condition;
pub mod diagnostic;
pub mod exit;
pub mod scenario;
