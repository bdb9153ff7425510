//! The `regatta` command.

use std::process::ExitCode;

use regatta_harness::load::allocation::Counting;

/// Figures tell allocations per message.
#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    ExitCode::from(regatta_harness::cli::main(std::env::args_os()))
}
