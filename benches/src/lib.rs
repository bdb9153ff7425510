//! Benchmarks of Regatta: `cargo bench` runs the micro-benchmarks and prints the reports: of processes of one runtime, and of a
//! cluster.
//!
//! `peers/` is a workspace of its own: the same workloads on Regatta and on the crates that it is compared with.

pub mod local;
