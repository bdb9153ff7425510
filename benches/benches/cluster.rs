//! The cluster report: latency and throughput of the load scenarios, in tables of their own, with the machine.
//!
//! `cargo bench -p regatta-benches --bench cluster -- --save NAME` keeps the run for `regatta compare`; all options of `regatta bench` work here.

use std::process::ExitCode;

use regatta_harness::cli;
use regatta_harness::load::allocation::Counting;

/// Figures tell allocations per message.
#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    // `cargo test --benches` asks whether it runs, not how fast.
    if arguments.iter().any(|argument| argument == "--test" || argument == "--list") {
        return ExitCode::SUCCESS;
    }
    // Each round is a process of its own: this same program, asked to run one scenario.
    if arguments.get(1).is_some_and(|verb| verb == "run") {
        return ExitCode::from(cli::main(arguments));
    }
    let scenarios = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/load");
    let mut bench = vec!["regatta".to_owned(), "bench".to_owned(), scenarios.to_owned()];
    bench.extend(arguments.into_iter().skip(1));
    ExitCode::from(cli::main(bench))
}
