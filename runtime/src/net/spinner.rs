//! Looks for more in the place of a loop that would sleep, on a runtime of several workers.
//!
//! There the loop cannot look again and again itself: each time that it gave way to other tasks, tokio would wake another
//! worker to share them, and while it did not, tasks that wait behind it on its worker would stand. So when spinning pays
//! (`spin.rs`) and the program allows it, the loop hands its work to a thread, which asks the socket itself; the socket
//! wakes nobody meanwhile. The processes that a message wakes run on the thread, as they would on the loop's. The loop has its work
//! back when messages do not follow each other closely any more, when they are more than one thread should run, or when it is over.
//! Who has it is said by the `baton`.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use std::time::Instant;
use std::{io, panic};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tracing::Span;

use super::baton::Baton;
use super::share::Share;
use super::socket::Socket;
use super::spin::Spin;
use super::turn::{Driven, Shared};
use crate::clock::Clock;

/// A thread that spins when it is told to; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Spinner {
    baton: Arc<Baton>,
    spin: Arc<Mutex<Spin>>,
    /// `None` once it was waited for.
    thread: Option<JoinHandle<()>>,
}

impl Spinner {
    /// Starts the thread, which waits. Needs a tokio runtime around it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start<D: Driven, S: Socket>(
        shared: &Arc<Shared<D, S>>,
        spin: Spin,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Self> {
        let (baton, spin) = (Arc::new(Baton::new()), Arc::new(Mutex::new(spin)));
        let looker = Looker {
            shared: Arc::downgrade(shared),
            baton: baton.clone(),
            spin: spin.clone(),
            clock,
            tokio: Handle::current(),
        };
        let span = Span::current();
        let run = move || {
            let _inside = looker.tokio.enter();
            span.in_scope(|| looker.run());
        };
        let thread = Some(thread::Builder::new().name("regatta-spin".into()).spawn(run)?);
        Ok(Self { baton, spin, thread })
    }

    /// Whether the thread has the loop's work. If so, the loop is woken once that is over, and the thread does what the loop was
    /// woken for.
    ///
    /// # Panics
    /// The work panicked there, as it would have here.
    pub(super) fn has_it(&self, cx: &Context<'_>) -> bool {
        self.baton.is_away(cx.waker())
    }

    /// The loop had something to do.
    pub(super) fn worked(&self, now: Instant) {
        self.spin.lock().worked(now);
    }

    /// Whether the loop, which has nothing to do, had better hand its work over than sleep.
    pub(super) fn goes_on(&self, now: Instant) -> bool {
        self.spin.lock().goes_on(now, None)
    }

    /// The thread has the work from now on. The socket must have been released.
    pub(super) fn hand_over(&self, cx: &Context<'_>) {
        self.baton.hand_over(cx.waker());
        self.wake();
    }

    fn wake(&self) {
        self.thread.iter().for_each(|thread| thread.thread().unpark());
    }
}

impl Drop for Spinner {
    /// Waits for what the thread is at, as the end of a tokio runtime does for its workers.
    fn drop(&mut self) {
        self.baton.stop();
        self.wake();
        if let Some(thread) =
            self.thread.take().filter(|thread| thread.thread().id() != thread::current().id())
        {
            // Its panic was caught, and is the loop's.
            let _ = thread.join();
        }
    }
}

/// What the thread knows.
struct Looker<D, S> {
    shared: Weak<Shared<D, S>>,
    baton: Arc<Baton>,
    spin: Arc<Mutex<Spin>>,
    clock: Arc<dyn Clock>,
    tokio: Handle,
}

impl<D: Driven, S: Socket> Looker<D, S> {
    fn run(&self) {
        while !self.baton.is_stopped() {
            if !self.baton.is_here() {
                thread::park();
                continue;
            }
            // A panic of a process is caught where it is polled; this one is the loop's.
            let spun = self
                .shared
                .upgrade()
                .map(|shared| panic::catch_unwind(panic::AssertUnwindSafe(|| self.spin(&shared))));
            self.baton.give_back(spun.is_some_and(|spun| spun.is_err()));
        }
    }

    /// Does the loop's work until it is the loop's again.
    fn spin(&self, shared: &Shared<D, S>) {
        let Shared { driven, turn, polled } = shared;
        let mut due = driven.timeout();
        let mut share = Share::default();
        driven.stays_awake();
        while !self.baton.is_stopped() {
            polled.fetch_add(1, Ordering::Relaxed);
            let now = self.clock.now();
            let arrived = {
                let mut turn = turn.lock();
                let Some(turn) = turn.as_mut().filter(|turn| !turn.socket.is_paused()) else { return };
                // A socket that failed for good is the loop's to report.
                let Ok(arrived) = turn.look(|socket, into| socket.try_receive(into)) else { return };
                arrived
            };
            let nudged = self.baton.take_nudge();
            let is_due = due.is_some_and(|due| due <= now);
            if !arrived && !nudged && !is_due && driven.queued() == 0 {
                if !self.spin.lock().goes_on(now, due) {
                    return;
                }
                // Whoever else wants the core has it now.
                thread::yield_now();
                continue;
            }
            let max_signals = share.signals(driven.peers());
            let deliver = || {
                let signals = {
                    let mut turn = turn.lock();
                    let Some(turn) = turn.as_mut() else { return 0 };
                    // What is left in the socket is found by the next look.
                    let none = |_: &mut S, _: &mut _| Poll::Pending;
                    turn.receive(driven, now, max_signals, none).map_or(0, |arrived| arrived.signals)
                };
                driven.perform();
                signals
            };
            // Inside of a task, for tokio's budget: a process that always finds something to receive would never give way.
            let (signals, others_run) = self.tokio.block_on(async { driven.running(deliver) });
            let queued = driven.queued();
            if signals > 0 {
                share.delivered(queued > 0 || others_run);
            }
            if arrived || queued > 0 {
                self.spin.lock().worked(now);
            }
            driven.prepare(now);
            let (more, over) = {
                let mut turn = turn.lock();
                let Some(turn) = turn.as_mut() else { return };
                (turn.send(driven, now, |_| false).more, turn.is_over(driven))
            };
            driven.perform();
            if over || turn.lock().as_ref().is_none_or(super::turn::Turn::is_stuck) {
                return;
            }
            // More than one thread should do.
            if others_run || more || signals >= max_signals {
                return self.spin.lock().crowded();
            }
            due = driven.timeout();
            driven.stays_awake();
        }
    }
}
