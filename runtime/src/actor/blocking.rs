//! Work that would hold a worker: it is done where nobody waits for the thread.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context as Poller, Poll};

use regatta_proto::reason::ExitReason;
use thiserror::Error;
use tokio::sync::oneshot;

use super::context::Context;
use super::{current, poll};
use crate::sync::atomic::Ordering;

/// Work under way elsewhere. Dropping it changes nothing for the work: it goes on to its end, and what it gives is dropped.
#[must_use = "the work is not waited for unless this is awaited"]
pub struct Blocking<T>(oneshot::Receiver<Result<T, ExitReason>>);

/// Why work gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BlockingError {
    /// It panicked, with this text. What it had done until then is done.
    #[error("the work panicked: {0}")]
    Panicked(String),
    /// It was not begun: the executor is ending.
    #[error("the executor took on no more work")]
    NotRun,
}

impl Context {
    /// Does what would block or burn its thread for long on another thread, and gives what it returns. Other processes, and what
    /// this one awaits besides, go on.
    ///
    /// On tokio it runs on the pool of `tokio::task::spawn_blocking`, with that pool's bound: more waits its turn. On a
    /// spawner of the program's own it runs where [`Spawner::spawn_blocking`](super::Spawner::spawn_blocking) says. What it sends
    /// through the runtime is sent by this process. It cannot be ended: if the process ends, the work goes on, and a shutdown
    /// waits for it as long as for processes.
    ///
    /// ```
    /// use regatta::{ExitReason, Runtime};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let rt = Runtime::new();
    /// let process = rt.spawn(|ctx| async move {
    ///     let sum = ctx.spawn_blocking(|| (0..1_000_u64).sum::<u64>()).await;
    ///     assert_eq!(sum, Ok(499_500));
    /// });
    /// assert_eq!(process.join().await, ExitReason::Normal);
    /// # }
    /// ```
    pub fn spawn_blocking<T, W>(&self, work: W) -> Blocking<T>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        let (done, result) = oneshot::channel();
        let (me, rt) = (self.pid(), self.runtime());
        let member = rt.staff().member();
        let running = rt.blocking();
        running.fetch_add(1, Ordering::Relaxed);
        let counted = Counted(rt.clone());
        rt.run_blocking(Box::new(move || {
            // In this order: whoever sees that nobody works any more sees nothing counted.
            let _until_its_end = (counted, member);
            let entered = current::enter(me);
            let outcome = catch_unwind(AssertUnwindSafe(work)).map_err(poll::panic_reason);
            drop(entered);
            // Whoever asked may have ended.
            let _unheard = done.send(outcome);
        }));
        Blocking(result)
    }
}

/// Work that is under way or waits its turn.
struct Counted(super::Runtime);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.blocking().fetch_sub(1, Ordering::Relaxed);
    }
}

impl<T> Future for Blocking<T> {
    type Output = Result<T, BlockingError>;

    fn poll(mut self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(poller).map(|result| match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(ExitReason::Panic(text))) => Err(BlockingError::Panicked(text.to_string())),
            Ok(Err(_)) | Err(_) => Err(BlockingError::NotRun),
        })
    }
}

impl<T> fmt::Debug for Blocking<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocking").finish_non_exhaustive()
    }
}
