//! Virtual time: the clock, its timers, and the queue of what is to happen.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use regatta::{Clock, Timer};

use super::Sim;
use super::net::Flying;

/// What happens at some moment.
pub(super) enum Happening {
    /// A datagram arrives.
    Arrival(Flying),
    /// A timer is due.
    Timer(u64),
}

/// Where time stands, and what is to come.
#[derive(Default)]
pub(super) struct Timeline {
    /// Nanoseconds since the beginning. Never goes back.
    pub(super) now_ns: u64,
    /// By time, and then in the order in which it was asked for.
    queue: BTreeMap<(u64, u64), Happening>,
    asked: u64,
    timers: BTreeMap<u64, Set>,
    next_timer: u64,
}

/// A timer that exists.
#[derive(Default)]
struct Set {
    /// Its place in the queue.
    place: Option<(u64, u64)>,
    /// When it is due; it stays due until it is set again.
    at_ns: Option<u64>,
    waker: Option<Waker>,
}

impl Timeline {
    /// Lets something happen at a moment.
    pub(super) fn add(&mut self, at_ns: u64, happening: Happening) -> (u64, u64) {
        self.asked += 1;
        let place = (at_ns, self.asked);
        self.queue.insert(place, happening);
        place
    }

    /// When the next thing happens; what is overdue happens now.
    pub(super) fn next_ns(&self) -> Option<u64> {
        self.queue.keys().next().map(|(at, _)| (*at).max(self.now_ns))
    }

    /// Goes to the next thing and takes it.
    pub(super) fn pop(&mut self) -> Option<Happening> {
        let ((at, _), happening) = self.queue.pop_first()?;
        self.now_ns = self.now_ns.max(at);
        Some(happening)
    }

    /// Goes on to a moment, if it is later.
    pub(super) fn go_to(&mut self, at_ns: u64) {
        self.now_ns = self.now_ns.max(at_ns);
    }

    /// Something ran: that took time.
    pub(super) const fn take_a_turn(&mut self) {
        self.now_ns += TURN_NS;
    }

    /// A timer is due: who waits for it.
    pub(super) fn due(&mut self, timer: u64) -> Option<Waker> {
        let set = self.timers.get_mut(&timer)?;
        set.place = None;
        set.waker.take()
    }
}

/// The simulation's time as nodes and the harness see it.
#[derive(Clone)]
pub(crate) struct SimClock(pub(crate) Arc<Sim>);

impl Clock for SimClock {
    fn unix_us(&self) -> u64 {
        EPOCH_UNIX_US + self.0.state().timeline.now_ns / 1_000
    }

    fn now(&self) -> Instant {
        self.0.base + Duration::from_nanos(self.0.state().timeline.now_ns)
    }

    fn timer(&self) -> Box<dyn Timer> {
        let mut state = self.0.state();
        let timer = state.timeline.next_timer;
        state.timeline.next_timer += 1;
        state.timeline.timers.insert(timer, Set::default());
        Box::new(SimTimer { sim: self.0.clone(), timer })
    }
}

/// One timer of a node's loop.
struct SimTimer {
    sim: Arc<Sim>,
    timer: u64,
}

impl Timer for SimTimer {
    fn set(&mut self, at: Instant) {
        let at_ns = at.saturating_duration_since(self.sim.base).as_nanos();
        let at_ns = u64::try_from(at_ns).unwrap_or(u64::MAX);
        let mut state = self.sim.state();
        let timeline = &mut state.timeline;
        let Some(set) = timeline.timers.get_mut(&self.timer) else { return };
        set.at_ns = Some(at_ns);
        if let Some(place) = set.place.take() {
            timeline.queue.remove(&place);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.sim.state();
        let timeline = &mut state.timeline;
        let now_ns = timeline.now_ns;
        let Some(set) = timeline.timers.get_mut(&self.timer) else { return Poll::Pending };
        let Some(at_ns) = set.at_ns else { return Poll::Pending };
        if at_ns <= now_ns {
            return Poll::Ready(());
        }
        set.waker = Some(cx.waker().clone());
        if set.place.is_none() {
            let place = timeline.add(at_ns, Happening::Timer(self.timer));
            if let Some(set) = timeline.timers.get_mut(&self.timer) {
                set.place = Some(place);
            }
        }
        Poll::Pending
    }
}

impl Drop for SimTimer {
    fn drop(&mut self) {
        let mut state = self.sim.state();
        let set = state.timeline.timers.remove(&self.timer);
        if let Some(place) = set.and_then(|set| set.place) {
            state.timeline.queue.remove(&place);
        }
    }
}

/// What a turn takes in which anything ran.
const TURN_NS: u64 = 1_000;
/// When every simulation begins, in microseconds since 1970: 2026-01-01.
const EPOCH_UNIX_US: u64 = 1_767_225_600_000_000;
