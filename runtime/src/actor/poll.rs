//! Polling a body to its end: what a scheduler does with one process.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll, Waker};

use pin_project_lite::pin_project;
use regatta_proto::reason::ExitReason;

use super::cell::{After, Cell, HELD, STOP};
use super::process::IntoExit;
use super::sync::atomic::Ordering;
use super::{current, exit};

/// A process that is to run, or runs.
pub(crate) struct Task {
    pub(crate) cell: Arc<Cell>,
    pub(crate) body: Body,
}

/// What a process does, and how it is woken.
pub(crate) type Body = Pin<Box<Running<dyn Future<Output = ExitReason> + Send>>>;

pin_project! {
    /// A body and the waker of its process.
    pub(crate) struct Running<F: ?Sized> {
        waker: Waker,
        #[pin]
        future: F,
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
        let waker = cell.waker();
        Self { cell, body: Box::pin(Running { waker, future: Outcome { body } }) }
    }

    /// Polls the process once. It comes back if it must be queued again.
    pub(crate) fn run(self) -> Option<Self> {
        let Self { cell, mut body } = self;
        match turn(&cell, &mut body) {
            None => cell.park(body).map(|body| Self { cell, body }),
            Some(outcome) => {
                Self { cell, body }.end(outcome);
                None
            }
        }
    }

    /// Ends the process: drops its body and tells everybody.
    pub(crate) fn end(self, outcome: ExitReason) {
        drop_body(&self.cell, self.body);
        exit::finish(&self.cell, outcome);
    }
}

/// Ends a process that nobody will poll any more: its executor is gone. If somebody polls it at this moment, they end it;
/// if it is in a queue, whoever empties that.
pub(crate) fn abandon(cell: &Arc<Cell>) {
    let after = cell.lock().stop(cell, ExitReason::Killed);
    if let After::Run(task) = after {
        task.end(ExitReason::Killed);
    }
}

/// One poll; what the process ended with, if it did.
fn turn(cell: &Cell, body: &mut Body) -> Option<ExitReason> {
    if cell.has(STOP) {
        return Some(ExitReason::Killed);
    }
    if cell.has(HELD) {
        return None;
    }
    cell.wants.store(false, Ordering::Relaxed);
    match poll_body(cell, body) {
        Poll::Pending if !cell.has(STOP) => None,
        Poll::Pending => Some(ExitReason::Killed),
        Poll::Ready(outcome) => Some(outcome),
    }
}

fn poll_body(cell: &Cell, body: &mut Body) -> Poll<ExitReason> {
    let _current = current::enter(cell.pid());
    cell.running.store(true, Ordering::Relaxed);
    let body = body.as_mut().project();
    let mut poller = Poller::from_waker(body.waker);
    let polled = catch_unwind(AssertUnwindSafe(|| body.future.poll(&mut poller)));
    cell.running.store(false, Ordering::Relaxed);
    polled.unwrap_or_else(|panic| Poll::Ready(panic_reason(panic)))
}

/// Drops the body. A panic in a destructor ends there: the process ends anyway.
fn drop_body(cell: &Cell, body: Body) {
    let _current = current::enter(cell.pid());
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(body))) {
        drop_payload(panic);
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
