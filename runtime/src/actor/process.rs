//! A process as others hold it, and what its body may return.

use std::fmt::{self, Display};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll};

use regatta_proto::id::Pid;
use regatta_proto::reason::ExitReason;

use super::cell::{Cell, DONE};
use super::exit;

/// What a body may return, and the exit reason that it means.
pub trait IntoExit {
    /// The exit reason.
    fn into_exit(self) -> ExitReason;
}

impl IntoExit for () {
    fn into_exit(self) -> ExitReason {
        ExitReason::Normal
    }
}

impl IntoExit for ExitReason {
    fn into_exit(self) -> ExitReason {
        self
    }
}

/// A body that only ends from outside, as a server's loop does, returns nothing.
#[expect(private_interfaces, reason = "nobody can name the type, and nobody needs to")]
impl IntoExit for Never {
    fn into_exit(self) -> ExitReason {
        self
    }
}

impl<E: Display> IntoExit for Result<(), E> {
    /// `Ok` is a normal exit; an error's text becomes a custom reason.
    fn into_exit(self) -> ExitReason {
        match self {
            Ok(()) => ExitReason::Normal,
            Err(error) => ExitReason::custom(error.to_string()),
        }
    }
}

/// The type `!`, which stable Rust lets nobody write in this place.
type Never = <fn() -> ! as Returns>::Value;

/// What a function returns.
trait Returns {
    type Value;
}

impl<T> Returns for fn() -> T {
    type Value = T;
}

/// A process as its spawner sees it. Dropping it changes nothing for the process.
#[derive(Clone)]
pub struct ProcessHandle {
    pub(crate) cell: Arc<Cell>,
}

impl ProcessHandle {
    /// The process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.cell.pid()
    }

    /// Ends the process with [`ExitReason::Killed`], which cannot be trapped: its body is dropped at the await point
    /// where it stands. Nothing happens if it has ended already.
    pub fn kill(&self) {
        exit::kill(&self.cell);
    }

    /// Waits until the process has ended and gives its reason. By then its names are free, its links and monitors
    /// have been told, and its body is dropped. Any number of tasks may wait.
    pub async fn join(&self) -> ExitReason {
        Join { cell: &self.cell, key: None }.await
    }
}

impl fmt::Debug for ProcessHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProcessHandle").field(&self.pid()).finish()
    }
}

/// Waits for the end of the fan-out.
struct Join<'a> {
    cell: &'a Cell,
    key: Option<u64>,
}

impl Future for Join<'_> {
    type Output = ExitReason;

    fn poll(mut self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<ExitReason> {
        let Self { cell, key } = &mut *self;
        cell.join(key, poller.waker()).map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for Join<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key
            && !self.cell.has(DONE)
        {
            self.cell.leave(key);
        }
    }
}
