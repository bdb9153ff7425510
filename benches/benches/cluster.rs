//! The cluster report: latency and throughput of the load scenarios, in one table, with the machine.

use std::process::ExitCode;

fn main() -> ExitCode {
    // `cargo test --benches` asks whether it runs, not how fast.
    if std::env::args().any(|argument| argument == "--test" || argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let scenarios = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/load");
    ExitCode::from(regatta_harness::cli::main(["regatta", "run", scenarios]))
}
