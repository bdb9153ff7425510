//! The `regatta` command: one file per verb.
//!
//! A verb gets its arguments and a `Terminal`, and answers with a code of [`crate::exit`]. What a verb found
//! goes to the standard output; mistakes and messages for a human go to the standard error.

mod accept;
mod bench;
mod check;
mod compare;
mod gate;
mod history;
mod output;
mod outside;
mod prompt;
mod replay;
mod run;
mod schema;
mod shrink;

use std::cell::Cell;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use clap::{Parser, Subcommand};

use crate::behaviour::Behaviours;
use crate::exit;
use crate::run::COMMAND;

/// Runs cluster scenarios: brings up nodes, breaks them, and says what held.
#[derive(Debug, Parser)]
#[command(name = "regatta", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Run),
    Replay(replay::Replay),
    Shrink(shrink::Shrink),
    Check(check::Check),
    Gate(gate::Gate),
    Accept(accept::Accept),
    Bench(bench::Bench),
    Compare(compare::Compare),
    History(history::History),
    Schema(schema::Schema),
}

/// Where a verb writes.
pub(crate) struct Terminal<'a> {
    /// The standard output.
    pub(crate) out: &'a mut dyn Write,
    /// The standard error.
    pub(crate) err: &'a mut dyn Write,
    /// Whether nobody reads the standard output any more.
    pub(crate) out_gone: &'a Cell<bool>,
    /// Whether the standard output shows colour.
    pub(crate) out_colour: bool,
    /// Whether the standard error shows colour.
    pub(crate) err_colour: bool,
    /// Whether a line on the standard output can be written over.
    pub(crate) out_live: bool,
    /// Whether a line on the standard error can be written over.
    pub(crate) err_live: bool,
    /// What processes can do.
    pub(crate) behaviours: &'a Behaviours,
    /// The command that the verbs are of.
    pub(crate) command: &'a Arc<str>,
}

/// Does what the command line asks for, and answers with the exit code. The first argument is the program's name.
pub fn main<I>(arguments: I) -> u8
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    main_with(arguments, &Behaviours::default(), COMMAND)
}

/// [`main`] with behaviours and checkers of your own, for a program of your own. `command` is how it is called, for the
/// lines that say how to run something again.
pub fn main_with<I>(arguments: I, behaviours: &Behaviours, command: &str) -> u8
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    if crate::world::process::be_a_node_if_asked(behaviours).is_some() {
        return exit::PASS;
    }
    let command = Arc::from(command);
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too. A closed output leaves nobody to tell.
            let _ = error.print();
            return if error.use_stderr() { exit::USAGE } else { exit::PASS };
        }
    };
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let (out_terminal, err_terminal) = (out.is_terminal(), err.is_terminal());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let (out_gone, err_gone) = (Cell::new(false), Cell::new(false));
    let mut terminal = Terminal {
        // Not locked: what a scenario's own processes print must not wait for the end of the run.
        out: &mut outside::Pipe { out: &mut out, gone: &out_gone },
        err: &mut outside::Pipe { out: &mut err, gone: &err_gone },
        out_gone: &out_gone,
        out_colour: out_terminal && !plain,
        err_colour: err_terminal && !plain,
        out_live: out_terminal && !dumb,
        err_live: err_terminal && !dumb,
        behaviours,
        command: &command,
    };
    let answer = match cli.verb {
        Verb::Run(run) => run.run(&mut terminal),
        Verb::Replay(replay) => replay.run(&mut terminal),
        Verb::Shrink(shrink) => shrink.run(&mut terminal),
        Verb::Check(check) => check.run(&mut terminal),
        Verb::Gate(gate) => gate.run(&mut terminal),
        Verb::Accept(accept) => accept.run(&mut terminal),
        Verb::Bench(bench) => bench.run(&mut terminal),
        Verb::Compare(compare) => compare.run(&mut terminal),
        Verb::History(history) => history.run(&mut terminal),
        Verb::Schema(schema) => schema.run(&mut terminal),
    };
    answer.unwrap_or_else(|error| {
        // Where the standard error is gone too, the exit code says it alone.
        let _ = writeln!(terminal.err, "error: {error}");
        exit::INTERNAL
    })
}

const EXIT_CODES: &str = "Exit codes: 0 pass, 1 expectation failed, 2 invalid or inconclusive, 3 regression, 64 usage, \
                          65 bad scenario file, 69 unsupported, 70 internal error, 130 interrupted.";
