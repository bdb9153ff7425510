//! Where the tasks of a runtime run: on tokio, or on a spawner of the program's own.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::thread::available_parallelism;

use tokio::runtime::Handle;

use super::scheduler;

/// Where a runtime's tasks run: the schedulers of its processes, and the loop of the node that serves it. The default is
/// tokio.
///
/// A runtime has a few schedulers that live as long as it does, and each polls many processes: with one worker, processes
/// run one after the other, in the order in which they were woken.
pub trait Spawner: Send + Sync {
    /// Starts a task. It must be polled until it is ready, or dropped; dropped early, all processes of the runtime end as
    /// killed, and a loop leaves without a word to its peers.
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>);

    /// Does work that may block its thread for long ([`Context::spawn_blocking`](super::Context::spawn_blocking)). The
    /// default does it here and now, as a simulated world has to.
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }

    /// How many tasks may be polled at the same time, 1 to 63. Asked once.
    fn workers(&self) -> usize {
        1
    }
}

/// Who polls the tasks of a runtime.
pub(crate) enum Executor {
    /// The tokio runtime that was current when the runtime was built.
    Ambient(Handle),
    /// Whichever is current at each spawn.
    Current,
    /// The program's own.
    Custom(Arc<dyn Spawner>),
}

impl Executor {
    /// With the program's own spawner; without one, the tokio runtime around this call, or around each spawn.
    pub(crate) fn new(spawner: Option<Arc<dyn Spawner>>) -> Self {
        match (spawner, Handle::try_current()) {
            (Some(spawner), _) => Self::Custom(spawner),
            (None, Ok(handle)) => Self::Ambient(handle),
            (None, Err(_)) => Self::Current,
        }
    }

    /// Whether it is tokio, and not a spawner of the program's own.
    pub(crate) fn is_tokio(&self) -> bool {
        !matches!(self, Self::Custom(_))
    }

    /// How many tasks it may poll at the same time.
    pub(crate) fn workers(&self) -> usize {
        match self {
            Self::Ambient(handle) => handle.metrics().num_workers(),
            Self::Current => available_parallelism().map_or(1, usize::from),
            Self::Custom(spawner) => spawner.workers(),
        }
    }

    /// Where a task that is started now runs. Asked before the process exists, so that a panic leaves no trace of it.
    pub(crate) fn resolve(&self) -> Resolved<'_> {
        match self {
            Self::Ambient(handle) => Resolved::Tokio(Cow::Borrowed(handle)),
            Self::Current => Resolved::Tokio(Cow::Owned(Handle::current())),
            Self::Custom(spawner) => Resolved::Custom(&**spawner),
        }
    }
}

/// Where a task that is started now runs.
pub(crate) enum Resolved<'a> {
    Tokio(Cow<'a, Handle>),
    Custom(&'a dyn Spawner),
}

impl Resolved<'_> {
    pub(crate) fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        match self {
            // The handle is let go: nobody waits for the end of the task.
            Self::Tokio(handle) => drop(handle.spawn(task)),
            Self::Custom(spawner) => spawner.spawn(Box::pin(task)),
        }
    }

    pub(crate) fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        match self {
            Self::Tokio(handle) => drop(handle.spawn_blocking(work)),
            Self::Custom(spawner) => spawner.spawn_blocking(work),
        }
    }

    pub(crate) fn start(&self, task: scheduler::Task) {
        match task {
            scheduler::Task::Scheduler(task) => self.run(task),
            // It is for tokio alone.
            scheduler::Task::Nudge(task) => {
                if let Self::Tokio(handle) = self {
                    drop(handle.spawn(task));
                }
            }
        }
    }
}
