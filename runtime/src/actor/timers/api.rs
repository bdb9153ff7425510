//! Messages that are sent later, and again and again (OTP's `erlang:send_after/3`, `timer:send_interval/3`).

use std::time::Duration;

use bytes::Bytes;
use regatta_proto::id::{Incarnation, Pid};

use super::super::context::Context;
use super::super::error::SendError;
use super::super::runtime::Runtime;
use super::Due;
use super::queue::Key;

/// Names a timer, to cancel it. Forgetting it changes nothing for the timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimerRef {
    of: Incarnation,
    key: Key,
}

impl Runtime {
    /// Sends `payload` to `to`, here or on another node, once `delay` is over: never before, and later by what the clock's
    /// timers are coarse (a millisecond with tokio's). Whatever becomes of the message then, nobody is told.
    ///
    /// # Panics
    /// Outside of tokio, on a runtime without a spawner of its own.
    pub fn send_after(&self, to: Pid, payload: impl Into<Bytes>, delay: Duration) -> TimerRef {
        let (from, payload) = (self.sender(), payload.into());
        self.after(delay, move |rt| {
            let _nobody_to_tell = rt.try_send_from(from, to, payload);
        })
    }

    /// Sends `payload` to `to` every `period`, the first time when the first one is over, until it is cancelled or `to` is
    /// not there any more. Turns are `period` apart however late one was; those that are missed altogether are left out.
    ///
    /// # Panics
    /// If `period` is zero, and as [`Runtime::send_after`].
    pub fn send_interval(&self, to: Pid, payload: impl Into<Bytes>, period: Duration) -> TimerRef {
        let (from, payload) = (self.sender(), payload.into());
        self.every(period, move |rt| {
            let sent = rt.try_send_from(from, to, payload.clone());
            !matches!(sent, Err(SendError::NoProc | SendError::StaleIncarnation))
        })
    }

    /// Takes a timer back. Gives the time that was left, `None` if it is over: its message is on its way or has been
    /// handled, or it was cancelled before.
    pub fn cancel_timer(&self, timer: TimerRef) -> Option<Duration> {
        if timer.of != self.incarnation() {
            return None;
        }
        let at = self.timers().remove(timer.key)?;
        Some(at.saturating_duration_since(self.clock().now()))
    }

    /// How many timers wait: deadlines of receives and calls too, as [`RuntimeStats::timers`](super::super::RuntimeStats::timers)
    /// counts them.
    #[must_use]
    pub fn timer_count(&self) -> usize {
        self.timers().len()
    }

    pub(crate) fn after(&self, delay: Duration, act: impl FnOnce(&Self) + Send + 'static) -> TimerRef {
        self.timer(delay, Due::Once(Box::new(act)))
    }

    pub(crate) fn every(
        &self,
        period: Duration,
        act: impl FnMut(&Self) -> bool + Send + 'static,
    ) -> TimerRef {
        assert!(!period.is_zero(), "an interval has a length");
        self.timer(period, Due::Every(period, Box::new(act)))
    }

    fn timer(&self, delay: Duration, due: Due) -> TimerRef {
        let now = self.clock().now();
        // What is beyond the clock's end is as good as never.
        let at = now.checked_add(delay).unwrap_or(now + NEVER);
        TimerRef { of: self.incarnation(), key: self.timers().insert(self, at, due) }
    }
}

impl Context {
    /// Sends `payload` to this process once `delay` is over: see [`Runtime::send_after`].
    pub fn send_self_after(&self, payload: impl Into<Bytes>, delay: Duration) -> TimerRef {
        self.runtime().send_after(self.pid(), payload, delay)
    }

    /// Sends `payload` to this process every `period`: see [`Runtime::send_interval`].
    pub fn send_self_every(&self, payload: impl Into<Bytes>, period: Duration) -> TimerRef {
        self.runtime().send_interval(self.pid(), payload, period)
    }
}

/// Thirty years.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 3_600);
