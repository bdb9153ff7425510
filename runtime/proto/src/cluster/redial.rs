//! How long to wait between dials to a node that is out of reach.
//!
//! Quick at first, then about once a second, and about twice a minute once ten minutes have passed. Chance keeps the
//! dials of many nodes apart, and of two nodes that want each other the one with the greater name lets the other go
//! first, so that mostly one of them dials. Without the head start both would, which costs a handshake and no more: the
//! mesh keeps one link.

use std::time::{Duration, Instant};

/// The first pause, before chance.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// The longest pause while the peer has not been away for long.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// The pause once [`PATIENT_AFTER`] has passed, or when the peer's answer was no.
const PAUSE_PATIENT: Duration = Duration::from_secs(30);
/// From when on a peer is dialled rarely.
const PATIENT_AFTER: Duration = Duration::from_secs(600);
/// What the node with the greater name lets pass before its first dial.
const HEAD_START: Duration = Duration::from_millis(200);

/// The dials to one node, from when it went out of reach until it is linked.
#[derive(Debug, Clone)]
pub(crate) struct Redial {
    since: Instant,
    attempts: u32,
}

impl Redial {
    pub(crate) fn new(now: Instant) -> Self {
        Self { since: now, attempts: 0 }
    }

    /// How many dials have begun.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// A dial begins.
    pub(crate) fn dialed(&mut self) {
        self.attempts = self.attempts.saturating_add(1);
    }

    /// When to dial first; `yields` for the one that lets the other go first.
    pub(crate) fn first(&self, yields: bool, random: &mut fastrand::Rng) -> Instant {
        let base = if yields { HEAD_START } else { Duration::ZERO };
        self.since + base + chance(PAUSE_FIRST, random)
    }

    /// When to dial again after a dial that made no link; `refused` if the peer's answer was no.
    pub(crate) fn next(&self, now: Instant, refused: bool, random: &mut fastrand::Rng) -> Instant {
        if planted!(NoRedial) {
            return now + PATIENT_AFTER;
        }
        let pause = if refused || now.saturating_duration_since(self.since) >= PATIENT_AFTER {
            PAUSE_PATIENT
        } else {
            // Above the sixth doubling it is at its maximum anyway.
            (PAUSE_FIRST * (1 << self.attempts.min(6))).min(PAUSE_MAX)
        };
        now + pause / 2 + chance(pause / 2, random)
    }
}

/// By chance up to `max`.
fn chance(max: Duration, random: &mut fastrand::Rng) -> Duration {
    max.mul_f64(random.f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
        Instant::now()
    }

    #[test]
    fn pauses_grow_to_a_second_and_after_ten_minutes_to_half_a_minute() {
        let (start, mut random) = (start(), fastrand::Rng::with_seed(1));
        let mut redial = Redial::new(start);
        let mut now = redial.first(false, &mut random);
        assert!(now - start <= PAUSE_FIRST);
        let mut pauses = Vec::new();
        while now - start < Duration::from_secs(900) {
            redial.dialed();
            let next = redial.next(now, false, &mut random);
            pauses.push((now - start, next - now));
            now = next;
        }
        for (at, pause) in &pauses {
            let max = if *at < PATIENT_AFTER { PAUSE_MAX } else { PAUSE_PATIENT };
            assert!(*pause <= max, "{pause:?} at {at:?}");
            assert!(*at < Duration::from_secs(5) || *pause >= max / 2, "{pause:?} at {at:?}");
        }
        let early = pauses.iter().filter(|(at, _)| *at < Duration::from_secs(1)).count();
        assert!(early >= 3, "several dials in the first second: {early}");
        assert!(pauses.len() < 1_300, "and about one in each later one: {}", pauses.len());
    }

    #[test]
    fn the_greater_name_lets_the_other_go_first() {
        let mut random = fastrand::Rng::with_seed(1);
        let redial = Redial::new(start());
        for _ in 0..100 {
            assert!(redial.first(false, &mut random) < redial.first(true, &mut random));
        }
    }

    #[test]
    fn a_refusal_is_not_answered_with_haste() {
        let (start, mut random) = (start(), fastrand::Rng::with_seed(1));
        assert!(Redial::new(start).next(start, true, &mut random) >= start + PAUSE_PATIENT / 2);
    }
}
