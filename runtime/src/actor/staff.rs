//! Whoever works for a runtime and is no process: its schedulers, its timers, its threads. They are counted, so that the end of
//! the runtime can wait until none is left.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::sync::atomic::{AtomicUsize, Ordering};

/// All of one runtime.
#[derive(Default)]
pub(crate) struct Staff(Arc<Shared>);

#[derive(Default)]
struct Shared {
    count: AtomicUsize,
    gone: Notify,
}

/// One of them, until it is dropped.
pub(crate) struct Member(Arc<Shared>);

impl Staff {
    /// One more.
    pub(crate) fn member(&self) -> Member {
        self.0.count.fetch_add(1, Ordering::SeqCst);
        Member(Arc::clone(&self.0))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.count.load(Ordering::SeqCst)
    }

    /// Waits until there is none.
    pub(crate) async fn gone(&self) {
        loop {
            let mut gone = std::pin::pin!(self.0.gone.notified());
            gone.as_mut().enable();
            if self.len() == 0 {
                return;
            }
            gone.await;
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.gone.notify_waiters();
        }
    }
}
