//! The local actor core: processes, mailboxes, links, monitors, exits and names of one runtime.
//!
//! A process is **one tokio task and one cell**. The task (`process`) polls the body; the cell, shared by an `Arc`,
//! is what others touch: one mutex around the mailbox's inbox and the process's relations, and a byte of flags that
//! the task reads before each poll. A parked process has nothing else: relations, names and label live in a box that
//! is made when the first of them is.
//!
//! | File | Its one job |
//! |---|---|
//! | `runtime` | the value that owns it all: build, spawn, send |
//! | `process` | the cell, and the task that polls a body to its end |
//! | `mailbox` | the inbox, its bounds, who waits on it |
//! | `table` | serial to cell, in serial order, in shards |
//! | `context` | what a body can do |
//! | `links`, `watch` | making and taking back links and monitors |
//! | `exit` | exit signals in, and the fan-out at a process's end |
//! | `registry` | local names |
//! | `info` | what a process looks like from outside |
//! | `control` | release, suspend, shut down, count |
//! | `hold` | holding what a call spawns |
//! | `remote` | the seam to other nodes |
//! | `current` | which process this thread polls |
//!
//! # Architecture invariants
//! - **No process-wide state** besides the thread-local of `current`: any number of runtimes live in one program.
//! - **Nothing here knows of clusters.** Other nodes are reached through [`Remote`] alone.
//! - **No foreign code under a lock.** Wakers are woken and dropped, messages dropped, and [`Remote`] called, after the
//!   cell's lock was let go.
//! - **At most two cells are locked at once**, the lower serial first, and the registry before any cell.
//! - **A cell ends once**, in `exit::finish`; from then on its relations are gone and every attempt to add one
//!   reports a dead process.

pub mod context;
pub mod control;
pub mod current;
pub mod error;
pub(crate) mod exit;
pub(crate) mod hold;
pub mod info;
pub(crate) mod links;
pub mod mailbox;
pub mod process;
pub mod received;
pub mod registry;
pub mod remote;
pub mod runtime;
pub(crate) mod table;
#[cfg(test)]
mod tests;
pub(crate) mod watch;

pub use context::Context;
pub use control::{RuntimeStats, ShutdownReport};
pub use current::current;
pub use error::{RegisterError, SendError};
pub use info::{ProcessInfo, Status};
pub use mailbox::{MailboxLimits, OverflowPolicy};
pub use process::{IntoExit, ProcessHandle};
pub use received::Received;
pub use remote::Remote;
pub use runtime::{Runtime, RuntimeBuilder, SpawnOptions, Spawner};
