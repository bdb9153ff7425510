//! The thread that sends an open load's requests at their times, whatever comes back.
//!
//! It sleeps by `clock_nanosleep` until shortly before a request is due and spins the rest, so it is late by microseconds
//! and not by a timer's tick. How late it was is recorded for each request, and told apart from waiting for a link that
//! takes no more: that is the system's doing and belongs to the response time, while a late generator makes figures
//! invalid.

use hdrhistogram::Histogram;

/// How much earlier than a request is due the sleep ends; the rest is spun. A sleep that ends wakes a core, which takes
/// tens of microseconds on virtual machines.
const SPIN_NS: u64 = 30_000;
/// Pause before a link that took no more is tried again.
const BUSY_PAUSE_NS: u64 = 20_000;

/// Asks the scheduler to let this thread run soon when it wakes, for short times: under EEVDF (Linux 6.12 and later) a
/// short slice is an early deadline. It takes no more of a processor than others get, needs no privilege, and where the
/// kernel does not know it nothing changes.
pub(super) fn prompt() {
    #[repr(C)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime_ns: u64,
        deadline_ns: u64,
        period_ns: u64,
    }
    let size = u32::try_from(size_of::<Attributes>()).expect("a small struct");
    let of = Attributes {
        size,
        policy: 0,
        flags: 0,
        nice: 0,
        priority: 0,
        runtime_ns: SLICE_NS,
        deadline_ns: 0,
        period_ns: 0,
    };
    // SAFETY: the struct is laid out as the first version of the kernel's `sched_attr`, whose size it tells; the call only
    // reads it.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const of, 0) };
    // SAFETY: a plain system call. Timers of this thread end within a microsecond of their time instead of fifty.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_000) };
}

/// The shortest slice that the scheduler gives.
const SLICE_NS: u64 = 100_000;

/// What [`pace`] tells the time by, and waits with.
pub(super) trait Clock {
    /// Nanoseconds since some moment.
    fn now(&self) -> u64;
    /// Returns when [`Self::now`] is at least `at`.
    fn wait_until(&self, at: u64);
}

/// The system's monotonic clock.
pub(super) struct Monotonic;

impl Clock for Monotonic {
    fn now(&self) -> u64 {
        now_ns()
    }

    fn wait_until(&self, at: u64) {
        wait_until(at);
    }
}

/// Nanoseconds of the system's monotonic clock.
pub(super) fn now_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the struct is valid for writing; the clock exists on every system that this runs on.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Waits until the clock shows `at`.
fn wait_until(at: u64) {
    let now = now_ns();
    if at > now + SPIN_NS {
        let wake = at - SPIN_NS;
        let time = libc::timespec {
            tv_sec: i64::try_from(wake / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(wake % 1_000_000_000).unwrap_or(0),
        };
        // SAFETY: the struct is valid, and nobody asks for what is left. A signal ends it early; then it is spun.
        unsafe {
            libc::clock_nanosleep(
                libc::CLOCK_MONOTONIC,
                libc::TIMER_ABSTIME,
                &raw const time,
                std::ptr::null_mut(),
            )
        };
    }
    while now_ns() < at {
        std::hint::spin_loop();
    }
}

/// What became of an attempt to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// It was accepted.
    Sent,
    /// The link takes no more for now.
    Busy,
    /// It will never be accepted.
    Refused,
}

/// How the generator did.
#[derive(Debug, Clone)]
pub(super) struct Paced {
    /// How late each request was for reasons of the generator's own, in nanoseconds.
    pub(super) late: Histogram<u64>,
    /// Requests that were accepted.
    pub(super) sent: u64,
    /// Requests that were refused.
    pub(super) refused: u64,
    /// Whether requests were left when the time to send them was over.
    pub(super) cut: bool,
}

/// Sends a request at each of `times`, which count from `start` on `clock`; `give_up` is when nothing more is sent, on the
/// same clock.
pub(super) fn pace(
    clock: &impl Clock,
    start: u64,
    times: &[u64],
    give_up: u64,
    mut send: impl FnMut(usize) -> Attempt,
) -> Paced {
    let late = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are in order");
    let mut paced = Paced { late, sent: 0, refused: 0, cut: false };
    // Since when the generator itself has been free to send.
    let mut free = 0;
    for (index, time) in times.iter().enumerate() {
        let due = start + time;
        clock.wait_until(due);
        let now = clock.now();
        paced.late.saturating_record(now.saturating_sub(due.max(free)).max(1));
        let mut waited = false;
        loop {
            match send(index) {
                Attempt::Sent => paced.sent += 1,
                Attempt::Refused => paced.refused += 1,
                Attempt::Busy if clock.now() < give_up => {
                    waited = true;
                    clock.wait_until(clock.now() + BUSY_PAUSE_NS);
                    continue;
                }
                Attempt::Busy => {
                    paced.cut = true;
                    return paced;
                }
            }
            break;
        }
        if waited {
            free = clock.now();
        }
        if clock.now() > give_up {
            paced.cut = index + 1 < times.len();
            return paced;
        }
    }
    paced
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const MS: u64 = 1_000_000;

    /// A clock that stands still unless it is waited for, or a test says that time has passed.
    struct Told(Cell<u64>);

    impl Told {
        fn new() -> Self {
            Self(Cell::new(5 * MS))
        }

        fn pass(&self, ns: u64) {
            self.0.set(self.0.get() + ns);
        }
    }

    impl Clock for Told {
        fn now(&self) -> u64 {
            self.0.get()
        }

        fn wait_until(&self, at: u64) {
            self.0.set(self.0.get().max(at));
        }
    }

    /// Forty requests, one in each millisecond.
    fn forty() -> Vec<u64> {
        (0..40).map(|at| at * MS).collect()
    }

    #[test]
    fn a_generator_that_stalls_knows_that_it_was_late() {
        let clock = Told::new();
        let paced = pace(&clock, clock.now() + MS, &forty(), u64::MAX, |index| {
            if index == 10 {
                clock.pass(20 * MS);
            }
            Attempt::Sent
        });
        assert_eq!(paced.sent, 40);
        // Those that were due while it stalled left afterwards: the first of them 19 ms late, the last one 1 ms.
        assert!(paced.late.equivalent(paced.late.max(), 19 * MS), "{}", paced.late.max());
        assert_eq!(paced.late.count_between(MS - MS / 100, u64::MAX), 19);
    }

    #[test]
    fn waiting_for_a_full_link_is_not_the_generators_lateness() {
        let clock = Told::new();
        let (mut busy_until, mut tried) = (0, 0);
        let paced = pace(&clock, clock.now() + MS, &forty(), u64::MAX, |index| {
            if index == 10 && busy_until == 0 {
                busy_until = clock.now() + 50 * MS;
            }
            tried += 1;
            if clock.now() < busy_until { Attempt::Busy } else { Attempt::Sent }
        });
        assert!(tried > 41, "it tried again and again");
        assert_eq!(paced.sent, 40);
        assert_eq!(paced.late.max(), 1, "it was never late");
    }

    #[test]
    fn a_link_that_never_takes_more_ends_it() {
        let clock = Told::new();
        let paced = pace(&clock, clock.now(), &[0, 1, 2], clock.now() + 5 * MS, |_| Attempt::Busy);
        assert!(paced.cut && paced.sent == 0);
    }

    #[test]
    fn the_systems_clock_is_not_early() {
        let at = Monotonic.now() + MS;
        Monotonic.wait_until(at);
        assert!(Monotonic.now() >= at);
    }
}
