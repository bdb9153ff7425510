//! The task that waits for the first entry, and does what is due.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context as Poller, Poll, Waker};
use std::time::Instant;

use super::super::runtime::{Inner, Runtime};
use super::super::staff::Member;
use super::queue::Key;
use super::{Due, Shared};
use crate::clock::Timer;

/// The one task of a runtime's timers.
pub(super) struct TimerTask {
    shared: Arc<Shared>,
    runtime: Weak<Inner>,
    timer: Box<dyn Timer>,
    /// When `timer` is set to go off; by then it is at least so late, whatever the clock says.
    set_to: Option<Instant>,
    /// Another may have been started in its place.
    over: bool,
    _member: Member,
}

impl TimerTask {
    pub(super) fn new(
        shared: Arc<Shared>,
        runtime: Weak<Inner>,
        timer: Box<dyn Timer>,
        member: Member,
    ) -> Self {
        Self { shared, runtime, timer, set_to: None, over: false, _member: member }
    }

    /// Takes out what is due at `now`, up to a bound, or says when something will be.
    fn take(&self, now: Instant, waker: &Waker) -> Taken {
        let mut state = self.shared.0.lock();
        if state.closed {
            return Taken::Closed;
        }
        let mut due = Vec::new();
        while due.len() < DUE_AT_ONCE
            && let Some((key, entry)) = state.queue.due(now)
        {
            if let Due::Every(period, _) = entry {
                // Missed turns are left out: the next one is the first that still lies ahead.
                let missed = (now - key.at).as_nanos() / period.as_nanos();
                let turns = u32::try_from(missed + 1).unwrap_or(u32::MAX);
                let next = state.queue.renew(key, key.at + period * turns, Due::Busy);
                state.intervals.insert(next.number, next.at);
                due.push((Some(next), entry));
            } else {
                if let Due::Alarm(cell) = &entry {
                    cell.alarm.ring();
                }
                due.push((None, entry));
            }
        }
        if !due.is_empty() {
            // Whoever puts an entry in meanwhile need not wake us.
            state.wakes_at = Some(now);
            return Taken::Due(due);
        }
        let first = state.queue.first();
        if first.is_none() && state.leaves {
            // Under the lock: the next entry starts another.
            state.started = false;
            state.wakes_at = None;
            return Taken::Closed;
        }
        state.wakes_at = first;
        let before = state.sleeper.replace(waker.clone());
        drop(state);
        drop(before);
        Taken::Sleep(first)
    }

    /// Does what was due.
    fn act(&self, rt: &Runtime, due: Vec<(Option<Key>, Due)>) {
        for (next, due) in due {
            match due {
                Due::Wake(waker) => waker.wake(),
                Due::Alarm(cell) => cell.notify(),
                Due::Once(act) => act(rt),
                Due::Every(period, mut act) => {
                    let goes_on = act(rt);
                    let Some(key) = next else { continue };
                    // If it was cancelled meanwhile, its place is gone, and what it did is dropped outside of the lock.
                    let mut act = Some(act);
                    let mut state = self.shared.0.lock();
                    if !goes_on {
                        state.intervals.remove(&key.number);
                        state.queue.remove(key);
                    } else if let Some(place) = state.queue.find_mut(key) {
                        *place = Due::Every(period, act.take().expect("it is there until here"));
                    }
                    drop(state);
                    drop(act);
                }
                Due::Busy => {}
            }
        }
    }
}

/// What the task finds in the queue.
enum Taken {
    /// The runtime is gone.
    Closed,
    /// This is to be done now.
    Due(Vec<(Option<Key>, Due)>),
    /// There is nothing to do until then, or until somebody wakes the task.
    Sleep(Option<Instant>),
}

impl Future for TimerTask {
    type Output = ();

    fn poll(self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<()> {
        let this = self.get_mut();
        let Some(inner) = this.runtime.upgrade() else { return Poll::Ready(()) };
        let rt = Runtime::of(inner);
        let mut rounds = 0;
        loop {
            let mut now = rt.clock().now();
            if let Some(set_to) = this.set_to
                && this.timer.poll(poller).is_ready()
            {
                now = now.max(set_to);
                this.set_to = None;
            }
            match this.take(now, poller.waker()) {
                Taken::Closed => {
                    this.over = true;
                    return Poll::Ready(());
                }
                Taken::Due(due) => {
                    this.act(&rt, due);
                    rounds += 1;
                    if rounds >= ROUNDS_PER_POLL {
                        poller.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                Taken::Sleep(None) => {
                    this.set_to = None;
                    return Poll::Pending;
                }
                Taken::Sleep(Some(first)) => {
                    if this.set_to != Some(first) {
                        this.timer.set(first);
                        this.set_to = Some(first);
                    }
                    if this.timer.poll(poller).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

impl Drop for TimerTask {
    /// The executor has ended: the next entry starts another task.
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let mut state = self.shared.0.lock();
        state.started = false;
        state.wakes_at = None;
        let sleeper = state.sleeper.take();
        // Whoever waits sets its alarm again, and so starts another task.
        let alarms = state.queue.take_if(|due| matches!(due, Due::Alarm(_)));
        alarms.iter().for_each(Due::silence);
        drop(state);
        drop(sleeper);
        for alarm in alarms {
            if let Due::Alarm(cell) = alarm {
                cell.notify();
            }
        }
    }
}

/// Entries that are taken out under one lock.
const DUE_AT_ONCE: usize = 256;
/// Times that the task looks for more before others run.
const ROUNDS_PER_POLL: u32 = 4;
