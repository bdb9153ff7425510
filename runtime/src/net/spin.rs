//! Whether an idle loop should look again at once, or sleep.
//!
//! Waking a sleeping core costs tens of microseconds, more than the whole way of a message. So while messages follow each
//! other closely, the loop looks again and again for a bounded time before it sleeps, as the BEAM's schedulers and KVM's
//! halt polling do. It learns from the gaps between two pieces of work: a gap that is shorter than the bound is a sleep
//! that spinning would have saved. Where most gaps are longer, it does not spin at all, and an idle node costs nothing.
//!
//! This is the decision alone: times come in, and a verdict goes out.

use std::time::{Duration, Instant};

/// Points up to which short gaps count. The more, the longer a quiet stretch must be to be believed.
const POINTS_MAX: u32 = 16;
/// Points from which the loop spins.
const POINTS_SPIN: u32 = 8;
/// What a long gap costs, where a short one gives one: spinning pays while two gaps of three are short.
const POINTS_LOST: u32 = 2;
/// A look that came this late after the one before: others want this core, and get it.
const CROWDED: Duration = Duration::from_micros(250);

/// What the loop has seen of its gaps.
#[derive(Debug)]
pub(crate) struct Spin {
    max: Duration,
    points: u32,
    /// When the loop ran out of work.
    idle_since: Option<Instant>,
    /// The last look that found nothing.
    looked: Option<Instant>,
}

impl Spin {
    /// Spins for at most `max` before a sleep, or twice that for what is due then; zero never spins.
    pub(crate) fn new(max: Duration) -> Self {
        Self { max, points: 0, idle_since: None, looked: None }
    }

    /// Whether it ever spins.
    pub(crate) fn may(&self) -> bool {
        !self.max.is_zero()
    }

    /// Whether a look has found nothing since the loop last had something to do.
    pub(crate) fn looked(&self) -> bool {
        self.looked.is_some()
    }

    /// The loop had something to do.
    pub(crate) fn worked(&mut self, now: Instant) {
        self.looked = None;
        let Some(since) = self.idle_since.take() else { return };
        if now.saturating_duration_since(since) <= self.max {
            self.points = (self.points + 1).min(POINTS_MAX);
        } else {
            self.points = self.points.saturating_sub(POINTS_LOST);
        }
    }

    /// There is more to do than spinning is for: it has to learn anew.
    pub(crate) fn crowded(&mut self) {
        (self.points, self.looked, self.idle_since) = (0, None, None);
    }

    /// The loop has nothing to do before `due`: whether it looks again at once. It is asked once a look. For what is due soon
    /// after it would have stopped it stays: timers of a loop that sleeps are late by a millisecond.
    pub(crate) fn goes_on(&mut self, now: Instant, due: Option<Instant>) -> bool {
        if !self.may() {
            return false;
        }
        let since = *self.idle_since.get_or_insert(now);
        let soon = self.max..=self.max.saturating_mul(2);
        let due = due.map(|due| due.saturating_duration_since(since)).filter(|due| soon.contains(due));
        if self.points < POINTS_SPIN || now.saturating_duration_since(since) > due.unwrap_or(self.max) {
            self.looked = None;
            return false;
        }
        let late = self.looked.is_some_and(|looked| now.saturating_duration_since(looked) > CROWDED);
        self.looked = Some(now);
        if late {
            self.points = 0;
        }
        !late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_micros(100);

    /// One gap, from running out of work to the next piece of it; how long the loop spun meanwhile.
    fn gap(spin: &mut Spin, now: &mut Instant, length: Duration) -> Duration {
        let began = *now;
        let mut spun = Duration::ZERO;
        while spin.goes_on(*now, None) && *now - began < length {
            *now += Duration::from_micros(1);
            spun = *now - began;
        }
        *now = began + length;
        spin.worked(*now);
        spun
    }

    fn spun(spin: &mut Spin, now: &mut Instant, gaps: u32, length: Duration) -> Duration {
        (0..gaps).map(|_| gap(spin, now, length)).sum()
    }

    #[test]
    fn a_loop_whose_gaps_are_short_spins_through_them() {
        let (mut spin, mut now) = (Spin::new(MAX), Instant::now());
        let short = Duration::from_micros(40);
        assert_eq!(spun(&mut spin, &mut now, POINTS_SPIN, short), Duration::ZERO, "it has to learn first");
        assert_eq!(spun(&mut spin, &mut now, 10, short), 10 * short);
    }

    #[test]
    fn a_loop_whose_gaps_are_long_does_not_spin() {
        let (mut spin, mut now) = (Spin::new(MAX), Instant::now());
        assert_eq!(spun(&mut spin, &mut now, 1_000, 2 * MAX), Duration::ZERO);
    }

    #[test]
    fn a_loop_that_falls_quiet_stops_after_a_few_bounded_spins() {
        let (mut spin, mut now) = (Spin::new(MAX), Instant::now());
        spun(&mut spin, &mut now, 1_000, Duration::from_micros(10));
        let spun = spun(&mut spin, &mut now, 1_000, Duration::from_millis(1));
        assert!(spun <= (POINTS_MAX - POINTS_SPIN) * (MAX + Duration::from_micros(1)), "{spun:?}");
    }

    #[test]
    fn for_what_is_due_soon_after_it_would_have_stopped_it_stays() {
        let (mut spin, mut now) = (Spin::new(MAX), Instant::now());
        spun(&mut spin, &mut now, 1_000, Duration::from_micros(10));
        let began = now;
        for (due, stays) in [(MAX * 2, true), (MAX * 2 + Duration::from_nanos(1), false)] {
            let mut looks = (0..=20u32).map(|part| began + MAX * part / 10);
            assert_eq!(looks.all(|now| spin.goes_on(now, Some(began + due))), stays);
            assert!(!spin.goes_on(began + due + Duration::from_nanos(1), Some(began + due)));
        }
    }

    #[test]
    fn a_bound_without_end_is_one() {
        let (mut spin, mut now) = (Spin::new(Duration::MAX), Instant::now());
        spun(&mut spin, &mut now, 1_000, Duration::from_micros(10));
        assert!(spin.goes_on(now, Some(now + Duration::from_secs(3_600))));
    }

    #[test]
    fn a_short_gap_now_and_then_is_no_reason_to_spin() {
        let (mut spin, mut now) = (Spin::new(MAX), Instant::now());
        for _ in 0..1_000 {
            let spun = gap(&mut spin, &mut now, MAX / 2) + gap(&mut spin, &mut now, 2 * MAX);
            assert_eq!(spun, Duration::ZERO);
        }
    }

    #[test]
    fn a_loop_that_does_not_get_its_core_stops_spinning() {
        let (mut spin, mut now) = (Spin::new(Duration::from_millis(10)), Instant::now());
        spun(&mut spin, &mut now, 1_000, Duration::from_micros(10));
        assert!(spin.goes_on(now, None));
        assert!(!spin.goes_on(now + 2 * CROWDED, None), "somebody else ran meanwhile");
        spin.worked(now + 3 * CROWDED);
        assert!(!spin.goes_on(now + 4 * CROWDED, None), "and it has to learn anew");
    }

    #[test]
    fn a_bound_of_zero_never_spins() {
        let (mut spin, mut now) = (Spin::new(Duration::ZERO), Instant::now());
        assert_eq!(spun(&mut spin, &mut now, 1_000, Duration::ZERO), Duration::ZERO);
        assert!(!spin.goes_on(now, None));
    }
}
