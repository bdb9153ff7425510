//! Where the harness's own tasks run: on tokio in real time, on the simulator's schedule in virtual time.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::{AbortHandle, abortable};
use tokio::sync::oneshot;

/// Runs a task of the harness.
pub(crate) trait Run: Send + Sync {
    /// Starts it.
    fn run(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>);
}

/// The ambient tokio runtime.
pub(crate) struct OnTokio;

impl Run for OnTokio {
    fn run(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        tokio::spawn(task);
    }
}

/// A task that runs.
pub(crate) struct Task<T> {
    done: oneshot::Receiver<T>,
    abort: AbortHandle,
}

impl<T: Send + 'static> Task<T> {
    /// Starts a task.
    pub(crate) fn start(run: &Arc<dyn Run>, task: impl Future<Output = T> + Send + 'static) -> Self {
        let (tell, done) = oneshot::channel();
        let (task, abort) = abortable(async move {
            // Nobody may wait for it.
            let _ = tell.send(task.await);
        });
        run.run(Box::pin(async move {
            // Aborted or not, it is over.
            let _ = task.await;
        }));
        Self { done, abort }
    }

    /// Waits for its end; `None` if it was aborted, or panicked.
    pub(crate) async fn join(self) -> Option<T> {
        self.done.await.ok()
    }

    /// Ends it at its next await point.
    pub(crate) fn abort(&self) {
        self.abort.abort();
    }
}
