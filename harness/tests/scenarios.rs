//! Scenario suite.
fn main() {}
