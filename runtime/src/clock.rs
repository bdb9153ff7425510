//! Time as a node sees it: the seam by which a test harness gives a node a time of its own.
//!
//! A node asks one [`Clock`] for everything: wall time for certificates and claims of names, monotonic time for the
//! engine, and timers for its loop and for all that its processes wait for by time (`actor::timers`).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use tokio::time::Sleep;

/// What time it is on a node.
pub trait Clock: Send + Sync {
    /// Microseconds since 1970: whatever is compared across nodes and starts.
    fn unix_us(&self) -> u64;

    /// The moment, on a clock that never goes back: whatever is measured and waited for on this node.
    ///
    /// The default is tokio's, which is the system's unless a test has paused it.
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    /// A timer by [`now`](Self::now). The default is tokio's; called inside tokio.
    fn timer(&self) -> Box<dyn Timer> {
        Box::new(TokioTimer(Box::pin(tokio::time::sleep(UNSET))))
    }
}

/// One timer that can be set again and again.
pub trait Timer: Send {
    /// Sets it to `at`, whatever it was set to.
    fn set(&mut self, at: Instant);

    /// Ready from the time on that it was last set to; until then the task is woken when it comes.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// The system's clocks, and tokio's timers.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn unix_us(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }
}

struct TokioTimer(Pin<Box<Sleep>>);

impl Timer for TokioTimer {
    fn set(&mut self, at: Instant) {
        self.0.as_mut().reset(at.into());
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

/// How far away a timer is that nobody has set yet.
const UNSET: Duration = Duration::from_secs(3_600);
