//! One OS process per node: this very program, executed again, with its control over stdin and stdout.
//!
//! | File | Its one job |
//! |---|---|
//! | `speech` | what the two say to each other, line by line |
//! | `nursery` | the one thread that starts processes |
//! | `child` | one process as the harness holds it: pipes, signals, its end |
//! | `ground` | the world: launch, kill, pause |
//! | `node` | the other end: a node, until its stdin ends |
//!
//! # Why nothing is left, whatever happens
//! - A node's process ends when its stdin does, and the pipe ends with the harness.
//! - It asks the kernel to be killed when the thread that started it ends (Linux; that is what "parent" means to
//!   `PR_SET_PDEATHSIG`), so it dies also while it is stopped. That thread is the nursery, which lives as long as the
//!   program.
//! - It leads a process group of its own, so that Ctrl-C on the terminal reaches the harness alone, and a kill takes
//!   whatever it has started with it.

mod child;
mod ground;
mod node;
mod nursery;
mod speech;

pub(crate) use ground::ProcessGround;
pub(crate) use node::be_a_node_if_asked;

/// The variable that makes this program a node: the id of the process that asks.
const ASKED: &str = "REGATTA_NODE";
