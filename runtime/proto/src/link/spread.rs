//! Over how many of its lanes a link spreads its senders: few on a near path, all on a far one.
//!
//! A lost packet holds up whatever follows it in the same lanes until it is sent again, a round trip later. On a far path
//! many messages are under way for that long, so senders are spread over all lanes and few of them wait for another's loss.
//! On a near path hardly any are, and each lane costs a stream frame of its own in every flight: there few lanes do.
//!
//! This is the decision alone: round trips come in, and a number of lanes goes out. How a link changes over without
//! breaking a sender's order is told by [`Outgoing::spread`](super::outgoing::Outgoing::spread). A change has a price: what
//! is sent after it waits at the peer for the slowest lane, a lost fence included. So changes are rare, and only made
//! while nothing waits for flow control and no large body is under way.

use std::time::{Duration, Instant};

use crate::limits::{LANES, LANES_NEAR};

/// Between two looks at the round trip.
const LOOK: Duration = Duration::from_millis(20);
/// Looks in a row that must say the same. What QUIC says of the round trip begins with that of the handshake.
const LOOKS: u32 = 4;
/// For so long they must, before a path counts as far. A full queue makes round trips longer as well, and comes more often
/// than a path that really grows: one look at a short one in this time, and the path is near still.
const FAR_FOR: Duration = Duration::from_secs(5);
/// Between a change and the first look after it.
const DWELL: Duration = Duration::from_millis(300);
/// A path is far from so many times the bound of a near one on; between the two, all stays as it is.
const FAR: u32 = 4;

/// What a link has seen of its path.
#[derive(Debug)]
pub(crate) struct Spread {
    lanes: usize,
    near_rtt: Duration,
    next_look: Option<Instant>,
    /// Looks in a row that said otherwise, and when the first of them was.
    otherwise: Option<(u32, Instant)>,
}

impl Spread {
    /// Over all lanes, until the round trip is known to be below `near_rtt`.
    pub(crate) fn new(near_rtt: Duration) -> Self {
        Self { lanes: LANES, near_rtt, next_look: None, otherwise: None }
    }

    /// Over how many lanes it is spread now.
    pub(crate) fn lanes(&self) -> usize {
        self.lanes
    }

    /// Something is about to be sent: over how many lanes from now on, if that changes. While nothing `may_change`, it waits.
    pub(crate) fn look(
        &mut self,
        now: Instant,
        rtt: impl FnOnce() -> Duration,
        may_change: impl FnOnce() -> bool,
    ) -> Option<usize> {
        if self.next_look.is_some_and(|next| now < next) {
            return None;
        }
        self.next_look = Some(now + LOOK);
        let rtt = rtt();
        let wanted = match () {
            () if rtt < self.near_rtt => LANES_NEAR,
            () if rtt >= self.near_rtt * FAR => LANES,
            () => self.lanes,
        };
        if wanted == self.lanes {
            self.otherwise = None;
            return None;
        }
        let (looks, since) = self.otherwise.map_or((1, now), |(looks, since)| (looks + 1, since));
        self.otherwise = Some((looks, since));
        let lasts = looks >= LOOKS && (wanted == LANES_NEAR || now - since >= FAR_FOR);
        if !lasts || !may_change() {
            return None;
        }
        (self.lanes, self.otherwise) = (wanted, None);
        self.next_look = Some(now + DWELL);
        Some(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEAR: Duration = Duration::from_millis(1);
    /// Looks, one right after the other, until a path counts as far.
    const FAR_LOOKS: usize = (FAR_FOR.as_millis() / LOOK.as_millis()) as usize + 1;

    #[expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]
    fn begin() -> Instant {
        Instant::now()
    }

    /// What came of looks at these round trips, in microseconds, one a look.
    fn looks(spread: &mut Spread, now: &mut Instant, rtts_us: &[u64]) -> Vec<usize> {
        let look = |rtt: &u64| {
            *now += LOOK;
            spread.look(*now, || Duration::from_micros(*rtt), || true)
        };
        rtts_us.iter().filter_map(look).collect()
    }

    #[test]
    fn a_path_that_stays_near_takes_few_lanes_and_one_that_becomes_far_takes_all_again() {
        let (mut spread, mut now) = (Spread::new(NEAR), begin());
        assert_eq!(looks(&mut spread, &mut now, &[200, 200, 200]), []);
        assert_eq!(looks(&mut spread, &mut now, &[200, 200, 200]), [LANES_NEAR]);
        now += DWELL;
        assert_eq!(looks(&mut spread, &mut now, &[4_000; FAR_LOOKS]), [LANES]);
    }

    #[test]
    fn a_change_waits_until_it_may_be_made_and_then_for_the_next_one() {
        let (mut spread, mut now) = (Spread::new(NEAR), begin());
        let mut look = |now: &mut Instant, rtt_us: u64, may_change: bool| {
            *now += LOOK;
            spread.look(*now, || Duration::from_micros(rtt_us), || may_change)
        };
        assert!((0..20).all(|_| look(&mut now, 200, false).is_none()));
        assert_eq!(look(&mut now, 200, true), Some(LANES_NEAR));
        let changed = now;
        while look(&mut now, 9_000, true).is_none() {}
        assert!(now - changed >= DWELL + FAR_FOR, "{:?}", now - changed);
    }

    #[test]
    fn what_lies_between_and_what_does_not_last_changes_nothing() {
        let (mut spread, mut now) = (Spread::new(NEAR), begin());
        assert_eq!(looks(&mut spread, &mut now, &[200, 200, 200, 1_000, 200, 200, 200, 3_999]), []);
        assert_eq!(looks(&mut spread, &mut now, &[200; 4]), [LANES_NEAR]);
        now += DWELL;
        assert_eq!(looks(&mut spread, &mut now, &[3_999; 20]), []);
        for _ in 0..3 {
            assert_eq!(looks(&mut spread, &mut now, &[9_000; FAR_LOOKS - 1]), []);
            assert_eq!(looks(&mut spread, &mut now, &[900]), []);
        }
    }

    #[test]
    fn a_link_that_is_used_now_and_then_is_found_far_as_soon_as_a_busy_one() {
        let (mut spread, mut now) = (Spread::new(NEAR), begin());
        looks(&mut spread, &mut now, &[200; LOOKS as usize]);
        now += DWELL;
        let mut look = |after: Duration| {
            now += after;
            spread.look(now, || Duration::from_millis(9), || true)
        };
        assert_eq!([look(FAR_FOR / 2), look(FAR_FOR / 2), look(FAR_FOR / 2)], [None; 3]);
        assert_eq!(look(LOOK), Some(LANES));
    }

    #[test]
    fn looks_are_not_counted_faster_than_time_passes() {
        let (mut spread, now) = (Spread::new(NEAR), begin());
        assert!((0..100).all(|_| spread.look(now, || Duration::ZERO, || true).is_none()));
    }

    #[test]
    fn no_path_is_near_where_the_bound_is_zero() {
        let (mut spread, mut now) = (Spread::new(Duration::ZERO), begin());
        assert_eq!(looks(&mut spread, &mut now, &[0; 20]), []);
    }
}
