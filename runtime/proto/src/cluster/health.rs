//! How well this node itself does: a node that is late with its own work must not blame others for being late.
//!
//! After "Lifeguard: Local Health Awareness for More Accurate Failure Detection" (Dadgar, Phillips, Currey, 2018): a score
//! from 0 to 7 rises when the node's own timer comes late and falls while it is on time, and all timeouts of the failure
//! detector are multiplied with one more than it. A node that stood still for long accuses nobody for a full grace period:
//! what others sent meanwhile may still lie in its socket.

use std::time::{Duration, Instant};

/// The highest multiplier.
const MULTIPLIER_MAX: u32 = 8;
/// From when on a timer is late. Less is a scheduler at work.
const LATE: Duration = Duration::from_millis(100);
/// Lateness that counts as one more step, and from which on the node stood still.
pub(crate) const STALL: Duration = Duration::from_millis(500);
/// Ticks on time that take one step back.
const TICKS_TO_RECOVER: u32 = 2;
/// How long a stall is remembered, as evidence.
const REMEMBERED: Duration = Duration::from_secs(60);

/// The node's judgement of itself.
#[derive(Debug, Default)]
pub(crate) struct Health {
    score: u32,
    on_time: u32,
    /// The longest stall of late, and when it ended.
    stall: Option<(Duration, Instant)>,
}

impl Health {
    /// The timer that was set for `due` came at `now`; whether the node stood still for so long that others have a new
    /// grace period.
    pub(crate) fn tick(&mut self, due: Instant, now: Instant) -> bool {
        let late = now.saturating_duration_since(due);
        if late < LATE {
            self.on_time += 1;
            if self.on_time >= TICKS_TO_RECOVER {
                self.on_time = 0;
                self.score = self.score.saturating_sub(1);
            }
            return false;
        }
        self.on_time = 0;
        let steps = 1 + late.as_millis() / STALL.as_millis();
        self.score = (self.score + u32::try_from(steps).unwrap_or(u32::MAX).min(MULTIPLIER_MAX))
            .min(MULTIPLIER_MAX - 1);
        if self.recent_stall(now) <= late {
            self.stall = Some((late, now));
        }
        late >= STALL
    }

    /// What all timeouts are multiplied with: 1 to 8.
    pub(crate) fn multiplier(&self) -> u32 {
        1 + self.score
    }

    /// The longest lateness of the last minute.
    pub(crate) fn recent_stall(&self, now: Instant) -> Duration {
        let recent = self.stall.filter(|(_, at)| now.saturating_duration_since(*at) < REMEMBERED);
        recent.map_or(Duration::ZERO, |(stall, _)| stall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_late_grows_patient_and_recovers_when_it_is_on_time() {
        #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
        let start = Instant::now();
        let ms = Duration::from_millis;
        let mut health = Health::default();
        assert!(!health.tick(start, start + ms(99)));
        assert_eq!(health.multiplier(), 1);
        assert!(!health.tick(start, start + ms(150)));
        assert_eq!(health.multiplier(), 2);
        assert!(health.tick(start, start + ms(1_200)), "it stood still");
        assert_eq!(health.multiplier(), 5);
        assert!(health.tick(start, start + ms(60_000)));
        assert_eq!(health.multiplier(), MULTIPLIER_MAX);
        let after = start + ms(60_000);
        assert_eq!(health.recent_stall(after), ms(60_000));
        for _ in 0..2 * (MULTIPLIER_MAX - 1) {
            assert!(health.multiplier() > 1);
            health.tick(after, after);
        }
        assert_eq!(health.multiplier(), 1);
        assert_eq!(health.recent_stall(after + REMEMBERED), Duration::ZERO);
    }
}
