//! Who polls processes, and when.
//!
//! A process is no task of the executor. A runtime has a few **schedulers**, one for each worker of the executor, and
//! these are its only tasks; each polls processes from its run queue, as the schedulers of the BEAM do. So starting a
//! process, waking it and ending it cost no more than an allocation and a few writes to lines of the own core, and
//! processes that talk to each other stay on one core for as long as the others have work of their own.
//!
//! | File | Its one job |
//! |---|---|
//! | `sleepers` | which schedulers sleep, and which one is to be woken |
//! | `queue` | the run queue of one slot: who is next, and who waits |
//! | `local` | a scheduler's own run queue, while a thread polls it |
//! | `known` | the cells that a thread has lately sent to or run |
//! | `pool` | the queues of all, what comes from outside, stealing |
//! | `turn` | the task: take a process, poll it, until it is the turn of others |
//! | `visit` | a task that is no scheduler runs what it has woken |
//! | `lookout` | a thread that sees to it that whoever holds a worker holds up nobody else |
//!
//! # How a process comes to run
//! ```text
//!  woken: its task leaves the cell ──► on a scheduler's thread: into its own run queue
//!                                  └─► elsewhere: into the queue from outside, and a sleeping scheduler is woken
//!  turn: from the own queue, from outside, or stolen ──► polled ──► parked in the cell, queued again, or over
//! ```
//! - **Nobody is forgotten**: a task is a value that is moved, from the cell to a queue to a scheduler and back.
//!   A scheduler goes to sleep by saying so first and looking at all queues once more; whoever queues from outside looks for
//!   sleepers after it has queued.
//! - **A thread keeps its run queue**: schedulers are anonymous tasks; whichever runs on a thread takes the queue that
//!   was last used there. So a scheduler that the executor moves does not carry its processes to another core.
//! - **Sharing waits a moment**: waking another core costs more than a dozen short turns. As long as turns are short, a
//!   scheduler calls for help only when its own share has not emptied its queue; when turns are long, at once.
//! - **Nobody is held up**: a body that blocks its thread, or burns it, keeps its run queue for a few milliseconds at
//!   most; then the lookout moves what waits there to where the others look.
//! - **A turn ends** after a number of polls, or some time, or when tokio's budget is used up, so that the executor's
//!   other tasks, and its I/O, have theirs.

pub(crate) mod known;
pub(crate) mod local;
mod lookout;
mod pool;
mod queue;
mod sleepers;
mod turn;
mod visit;

pub(crate) use local::Ready;
pub(crate) use pool::{Schedulers, Task};
#[cfg(test)]
#[cfg(feature = "model")]
pub(crate) use sleepers::Sleepers;
pub(crate) use visit::Visit;
