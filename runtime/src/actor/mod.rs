//! The local actor core: processes, mailboxes, links, monitors, exits and names of one runtime.
//!
//! A process is **one body and one cell**. The body is polled by the runtime's schedulers (`scheduler`); the cell, shared
//! by an `Arc`, is what others touch: one mutex around the mailbox's inbox, the process's relations and, while it waits,
//! its task; and a byte of flags that a scheduler reads before each poll. Names, links, monitors and label live in a box
//! that is made when the first of them is.
//!
//! | File | Its one job |
//! |---|---|
//! | `runtime` | the value that owns it all: build, spawn, send |
//! | `executor` | where its tasks run: tokio, or a spawner of the program's own |
//! | `process` | a process as others hold it, and what its body may return |
//! | `cell` | what others touch of a process, and where its task is |
//! | `poll` | polling a body to its end |
//! | `scheduler` | who polls processes, and when |
//! | `mailbox` | the inbox, its bounds, who waits on it |
//! | `marks` | where a selective receive may begin |
//! | `alias` | other pids of a process, for messages alone |
//! | `table` | serial to cell, in serial order, in shards |
//! | `context` | what a body can do |
//! | `links`, `watch` | making and taking back links and monitors |
//! | `exit` | exit signals in, and the fan-out at a process's end |
//! | `registry` | local names |
//! | `groups` | process groups |
//! | `info` | what a process looks like from outside |
//! | `control` | release, suspend, shut down, count |
//! | `blocking` | work that would hold a worker |
//! | `staff` | who works for a runtime and is no process |
//! | `letter` | the seam for typed messages |
//! | `pending` | calls to other nodes that wait for their answer |
//! | `timers` | deadlines, messages that are sent later, intervals |
//! | `hold` | holding what a call spawns |
//! | `remote` | the seam to other nodes |
//! | `current` | which process this thread polls |
//! | `sync` | the primitives that a model checker replaces |
//! | `models` | what the model checker tries out |
//!
//! # Architecture invariants
//! - **No process-wide state** besides the thread-locals of `current`, `hold` and `scheduler`: any number of runtimes
//!   live in one program.
//! - **Nothing here knows of clusters.** Other nodes are reached through [`Remote`] alone.
//! - **No foreign code under a lock.** Wakers are woken and dropped, messages dropped, and [`Remote`] called, after the
//!   cell's lock was let go.
//! - **At most two cells are locked at once**, the lower serial first, and the registry or the groups before any cell.
//! - **A cell ends once**, in `exit::finish`; from then on its relations are gone and every attempt to add one
//!   reports a dead process.

mod alias;
mod blocking;
pub(crate) mod cell;
pub mod context;
pub mod control;
pub mod current;
mod delivery;
pub mod error;
pub(crate) mod executor;
pub(crate) mod exit;
pub mod groups;
pub(crate) mod hold;
pub mod info;
pub(crate) mod letter;
pub(crate) mod links;
pub mod mailbox;
mod marks;
#[cfg(test)]
#[cfg(feature = "model")]
mod models;
pub(crate) mod pending;
pub(crate) mod poll;
pub mod process;
pub mod received;
pub mod registry;
pub mod remote;
pub mod runtime;
pub(crate) mod scheduler;
pub(crate) mod staff;
pub(crate) mod table;
#[cfg(test)]
#[cfg(not(feature = "model"))]
pub(crate) mod tests;
pub mod timers;
pub(crate) mod watch;

pub use blocking::{Blocking, BlockingError};
pub use context::Context;
pub use control::{RuntimeStats, ShutdownReport};
pub use current::current;
pub use error::{AckError, RegisterError, SendError};
pub use executor::Spawner;
pub use groups::{GroupSent, JoinError};
pub use info::{ProcessInfo, Status};
pub use mailbox::{MailboxLimits, OverflowPolicy};
pub use marks::Mark;
pub use process::{IntoExit, ProcessHandle};
pub use received::Received;
pub use remote::{Acked, Remote, Way};
pub use runtime::{Runtime, RuntimeBuilder, SpawnOptions};
pub use timers::TimerRef;
