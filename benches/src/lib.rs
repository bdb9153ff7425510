//! Benchmarks of Regatta: `cargo bench` runs the micro-benchmarks and prints the cluster report.
//!
//! `peers/` is a workspace of its own: the same workload on Regatta and on the crates that it is compared with.
