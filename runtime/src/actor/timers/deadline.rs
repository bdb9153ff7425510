//! A deadline of something that is awaited.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as Poller, Poll, Waker};
use std::time::{Duration, Instant};

use super::super::runtime::Runtime;
use super::queue::Key;
use super::{Due, Timers};

/// Ready from a moment on. It costs an entry in the queue from its first poll on, and nothing before.
pub(crate) struct Deadline<'a> {
    rt: &'a Runtime,
    at: Option<Instant>,
    timeout: Duration,
    armed: Option<(Key, Woken)>,
}

/// Whom an entry wakes, to be compared: a clone would cost a count that all who wake the task meet at.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Woken(usize, usize);

impl Woken {
    fn of(waker: &Waker) -> Self {
        Self(waker.data().addr(), std::ptr::from_ref(waker.vtable()).addr())
    }
}

impl<'a> Deadline<'a> {
    /// Ready `timeout` after its first poll. One beyond what the clock can tell never comes.
    pub(crate) fn after(rt: &'a Runtime, timeout: Duration) -> Self {
        Self { rt, at: None, timeout, armed: None }
    }

    fn timers(&self) -> &'a Timers {
        self.rt.timers()
    }

    fn disarm(&mut self) {
        if let Some((key, _)) = self.armed.take() {
            self.timers().remove(key);
        }
    }
}

impl Future for Deadline<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<()> {
        let this = &mut *self;
        if let Some((key, woken)) = &this.armed {
            let mut state = this.timers().shared.0.lock();
            let Some(entry) = state.queue.find_mut(*key) else {
                drop(state);
                this.armed = None;
                return Poll::Ready(());
            };
            if *woken == Woken::of(poller.waker()) {
                return Poll::Pending;
            }
            // Polled by another task now.
            let before = std::mem::replace(entry, Due::Wake(poller.waker().clone()));
            drop(state);
            drop(before);
            this.armed = Some((*key, Woken::of(poller.waker())));
            return Poll::Pending;
        }
        let now = this.rt.clock().now();
        let at = match this.at {
            Some(at) => at,
            None => {
                let Some(at) = now.checked_add(this.timeout) else { return Poll::Pending };
                *this.at.insert(at)
            }
        };
        if at <= now {
            return Poll::Ready(());
        }
        let waker = poller.waker();
        let key = this.timers().insert(this.rt, at, Due::Wake(waker.clone()));
        this.armed = Some((key, Woken::of(waker)));
        Poll::Pending
    }
}

impl Drop for Deadline<'_> {
    fn drop(&mut self) {
        self.disarm();
    }
}
