//! The `regatta` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(regatta_harness::cli::main(std::env::args_os()))
}
