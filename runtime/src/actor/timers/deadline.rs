//! A deadline of something that is awaited.
//!
//! Most deadlines never come: what they guard is over before. So a process has one **alarm**, set to the earliest deadline
//! that it waits with; a later one finds it set early enough and does nothing, and one that is over leaves it as it is. An
//! alarm that rings for nobody costs the process one poll, and whoever still waits sets it again. Only somebody who waits
//! in a sub-executor, or outside of any process, has an entry of their own in the queue.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll, Waker};
use std::time::{Duration, Instant};

use super::super::cell::Cell;
use super::super::runtime::Runtime;
use super::queue::Key;
use super::{Due, Timers};

/// Ready from a moment on. It costs nothing before its first poll.
pub(crate) struct Deadline<'a> {
    rt: &'a Runtime,
    /// The process that waits, where it is known.
    cell: Option<&'a Arc<Cell>>,
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
    pub(crate) fn after(rt: &'a Runtime, cell: Option<&'a Arc<Cell>>, timeout: Duration) -> Self {
        Self { rt, cell, at: None, timeout, armed: None }
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
        let own = this.cell.filter(|cell| cell.is_woken_by(poller.waker()));
        // A clock may lag behind its own timers: when an alarm has rung, it was that late.
        let rung = own.map(|cell| this.rt.moment(cell.alarm.rung()));
        let now = this.rt.clock().now();
        let now = rung.map_or(now, |rung| now.max(rung));
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
        if let Some(cell) = own {
            this.timers().set_alarm(this.rt, cell, at);
            return Poll::Pending;
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
