//! Does the loop's work while nobody polls the loop.
//!
//! The loop is a task. Processes that hold every worker of the runtime (a computation, a blocking call) would also hold up
//! the network: nothing received, no sign of life, and peers that take this node for dead. So a thread looks at the loop ten
//! times a second. If the loop was not polled since the last look although there is something to do (a timer is due,
//! messages are queued, or datagrams lie in the socket), the thread does it in the loop's place every millisecond until the
//! loop is polled again. Messages reach their mailboxes meanwhile, and what was sent leaves; whether anybody reads them is
//! for the processes to say.
//!
//! A look at a healthy loop costs one atomic read, and at a sleeping one a receive that finds nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, Thread};
use std::time::Duration;
use std::{io, task::Poll};

use tokio::runtime::Handle;

use super::socket::Socket;
use super::turn::{Driven, Shared};
use crate::clock::Clock;

/// A running guard; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Guard {
    stop: Arc<AtomicBool>,
    thread: Thread,
}

impl Guard {
    /// Starts the thread. Needs a tokio runtime around it: what is done in the loop's place is done inside that runtime.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start<D: Driven, S: Socket>(
        shared: &Arc<Shared<D, S>>,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let watch = Watch { shared: Arc::downgrade(shared), stop: stop.clone(), clock };
        let tokio = Handle::current();
        let run = move || {
            let _inside = tokio.enter();
            watch.run();
        };
        let thread = thread::Builder::new().name("regatta-guard".into()).spawn(run)?.thread().clone();
        Ok(Self { stop, thread })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// What the thread knows.
struct Watch<D, S> {
    shared: Weak<Shared<D, S>>,
    stop: Arc<AtomicBool>,
    clock: Arc<dyn Clock>,
}

impl<D: Driven, S: Socket> Watch<D, S> {
    fn run(&self) {
        let mut seen = 0;
        while !self.stop.load(Ordering::Acquire) {
            thread::park_timeout(LOOK_EVERY);
            let Some(shared) = self.shared.upgrade() else { return };
            let polled = shared.polled.load(Ordering::Relaxed);
            if polled == seen && self.act(&shared) {
                self.take_over(&shared, polled);
            }
            seen = shared.polled.load(Ordering::Relaxed);
        }
    }

    /// Does the loop's work until the loop is polled again.
    fn take_over(&self, shared: &Shared<D, S>, polled: u64) {
        let mut told = false;
        loop {
            thread::park_timeout(TURN_EVERY);
            if shared.polled.load(Ordering::Relaxed) != polled || self.stop.load(Ordering::Acquire) {
                return;
            }
            // What the first look found may just have arrived, and the loop be on its way; now it had its time.
            if !std::mem::replace(&mut told, true) {
                shared.driven.taken_over();
            }
            self.act(shared);
        }
    }

    /// One turn, if there is anything to do and nobody else is at it; whether there was.
    fn act(&self, shared: &Shared<D, S>) -> bool {
        let Shared { driven, turn, .. } = shared;
        let now = self.clock.now();
        let Some(mut locked) = turn.try_lock() else { return false };
        let Some(held) = locked.as_mut() else { return false };
        if held.socket.is_paused() {
            return false;
        }
        let drain = |socket: &mut S, into: &mut _| match socket.try_receive(into) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            other => Poll::Ready(other),
        };
        // A socket that failed for good is the loop's to report.
        let Ok(arrived) = held.receive(driven, now, usize::MAX, drain) else { return false };
        drop(locked);
        driven.perform();
        if !arrived.any && driven.queued() == 0 && driven.timeout().is_none_or(|due| due > now) {
            return false;
        }
        driven.prepare(now);
        if let Some(mut locked) = turn.try_lock()
            && let Some(held) = locked.as_mut()
        {
            held.send(driven, now, |_| false);
        }
        driven.perform();
        true
    }
}

/// How often the thread looks whether the loop is polled.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often it acts while the loop is not.
const TURN_EVERY: Duration = Duration::from_millis(1);
