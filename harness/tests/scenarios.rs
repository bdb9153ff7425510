//! Every scenario file of the project as a test.

use std::process::ExitCode;

use regatta_harness::behaviour::Behaviours;

fn main() -> ExitCode {
    regatta_harness::suite(concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios"), Behaviours::default())
}
