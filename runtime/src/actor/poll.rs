//! Polling a body to its end: what a scheduler does with one process.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll};

use futures_task::waker_ref;
use pin_project_lite::pin_project;
use regatta_proto::reason::ExitReason;
use tracing::level_filters::LevelFilter;

use super::cell::{After, Cell, ENDING, HELD, STOP};
use super::process::IntoExit;
use super::{current, exit};
use crate::sync::atomic::Ordering;

/// A process that is to run, or runs: its body, and the cell that it belongs to. Two words, so that it moves in registers.
pub(crate) struct Task(Pin<Box<Running<dyn Future<Output = ExitReason> + Send>>>);

pin_project! {
    struct Running<F: ?Sized> {
        cell: Arc<Cell>,
        #[pin]
        body: F,
    }
}

pin_project! {
    /// A body with its result as an exit reason.
    struct Outcome<F> {
        #[pin]
        body: F,
    }
}

impl<F: Future<Output: IntoExit>> Future for Outcome<F> {
    type Output = ExitReason;

    #[inline]
    fn poll(self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<ExitReason> {
        self.project().body.poll(poller).map(IntoExit::into_exit)
    }
}

impl Task {
    /// The task of a process that has just been made.
    pub(crate) fn new<F>(cell: Arc<Cell>, body: F) -> Self
    where
        F: Future<Output: IntoExit> + Send + 'static,
    {
        Self(Box::pin(Running { cell, body: Outcome { body } }))
    }

    pub(crate) fn cell(&self) -> &Arc<Cell> {
        &self.0.cell
    }

    /// Polls the process once, and has it parked if it goes on. It comes back if it must be queued again.
    #[inline]
    pub(crate) fn run(mut self, park: impl FnOnce(Self) -> Option<Self>) -> Option<Self> {
        match self.turn() {
            None => park(self),
            Some(outcome) => {
                self.end(outcome);
                None
            }
        }
    }

    /// Ends the process: drops its body and tells everybody.
    pub(crate) fn end(self, outcome: ExitReason) {
        let cell = Arc::clone(self.cell());
        cell.set(ENDING);
        let current = current::enter(cell.pid());
        // A panic in a destructor ends there: the process ends anyway.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(self))) {
            drop_payload(panic);
        }
        drop(current);
        exit::finish(&cell, outcome);
    }

    /// One poll; what the process ended with, if it did.
    #[inline]
    fn turn(&mut self) -> Option<ExitReason> {
        let cell = &self.0.cell;
        if cell.has(STOP) {
            return Some(ExitReason::Killed);
        }
        if cell.has(HELD) {
            return None;
        }
        cell.own.wants.store(false, Ordering::Relaxed);
        let polled = self.poll();
        match polled {
            Poll::Pending if !self.cell().has(STOP) => None,
            Poll::Pending => Some(ExitReason::Killed),
            Poll::Ready(outcome) => Some(outcome),
        }
    }

    fn poll(&mut self) -> Poll<ExitReason> {
        // Even a span that is disabled costs a sixth of a round trip here; a look at the level costs nothing.
        if LevelFilter::current() >= LevelFilter::DEBUG { self.poll_in_span() } else { self.poll_body() }
    }

    /// Whatever the body logs names the process.
    #[cold]
    fn poll_in_span(&mut self) -> Poll<ExitReason> {
        let _span = tracing::debug_span!("process", pid = %self.cell().pid()).entered();
        self.poll_body()
    }

    #[inline]
    fn poll_body(&mut self) -> Poll<ExitReason> {
        let running = self.0.as_mut().project();
        let cell: &Arc<Cell> = running.cell;
        let _current = current::enter(cell.pid());
        cell.own.running.store(true, Ordering::Relaxed);
        let waker = waker_ref(cell);
        let mut poller = Poller::from_waker(&waker);
        let polled = catch_unwind(AssertUnwindSafe(|| running.body.poll(&mut poller)));
        cell.own.running.store(false, Ordering::Relaxed);
        polled.unwrap_or_else(|panic| Poll::Ready(panic_reason(panic)))
    }
}

/// Ends a process that nobody will poll any more: its executor is gone. If somebody polls it at this moment, they end it;
/// if it is in a queue, whoever empties that.
pub(crate) fn abandon(cell: &Arc<Cell>) {
    let after = cell.lock().stop(cell, ExitReason::Killed);
    if let After::Run(task, _) = after {
        task.end(ExitReason::Killed);
    }
}

/// The reason that a caught panic means.
pub(crate) fn panic_reason(panic: Box<dyn Any + Send>) -> ExitReason {
    let text = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).into(),
        (None, Some(text)) => text.as_str().into(),
        (None, None) => "a panic whose payload is no text".into(),
    };
    drop_payload(panic);
    ExitReason::Panic(text)
}

/// A payload's own destructor may panic too; then what is left of it leaks.
fn drop_payload(panic: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(second);
    }
}
