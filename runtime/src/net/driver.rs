//! The loop that carries datagrams and time between a socket and an engine.
//!
//! It is one task of the application's runtime, because every task more is a wake-up more. A poll takes what arrived,
//! lets the engine deliver it, and then sends what is due. If at least two messages are about, it lets the processes that
//! these have woken run first, once, so that their answers leave in the same datagrams; with one message it answers at
//! once. With nothing to do it looks again for a while, if `spin.rs` says that this pays, and then sleeps.
//!
//! What a poll does is in `turn`, behind a lock: a `guard` does it in the loop's place while
//! the loop is not polled.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::guard::Guard;
use super::share::Share;
use super::socket::Socket;
use super::spin::Spin;
use super::spinner::Spinner;
use super::turn::{Driven, Shared};
use crate::clock::{Clock, Timer};

/// Messages about from which it pays to wait for the processes' answers.
const YIELD_MESSAGES: usize = 2;

/// The loop over one socket.
pub struct Driver<D: Driven, S: Socket> {
    shared: Arc<Shared<D, S>>,
    clock: Arc<dyn Clock>,
    timer: Box<dyn Timer>,
    /// What `timer` is set to. Timers move with every datagram, so it is only ever pulled nearer; if it comes early, it
    /// is set again.
    armed: Option<Instant>,
    yielded: bool,
    share: Share,
    spin: Spin,
    /// Looks for more instead, where this loop may not.
    spinner: Option<Spinner>,
    /// Says goodbye if it is dropped before its end.
    goodbye: bool,
    /// It is being polled; if it is dropped then, that has panicked.
    polling: bool,
    /// Ends with the loop.
    guard: Option<Guard>,
}

impl<D: Driven, S: Socket> Driver<D, S> {
    /// A loop that has not begun. Before it sleeps it may look again for up to `spin`. Needs a tokio runtime around it.
    pub fn new(driven: D, socket: S, spin: Duration, clock: Arc<dyn Clock>) -> Self {
        let timer = clock.timer();
        let shared = Arc::new(Shared::new(driven, socket));
        Self {
            shared,
            clock,
            timer,
            armed: None,
            yielded: false,
            share: Share::default(),
            spin: Spin::new(spin),
            spinner: None,
            goodbye: true,
            polling: false,
            guard: None,
        }
    }

    /// Whether the loop says goodbye if it is dropped before its end: yes, unless this says no.
    pub fn goodbye(mut self, goodbye: bool) -> Self {
        self.goodbye = goodbye;
        self
    }

    /// Has a thread do the loop's work while the loop is not polled because processes hold all workers.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn guarded(mut self) -> std::io::Result<Self> {
        self.guard = Some(Guard::start(&self.shared, self.clock.clone())?);
        Ok(self)
    }

    /// Has a thread look for more for up to `spin` before the loop sleeps: for a runtime of several workers, where the loop itself
    /// should not (`new` with zero).
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn spun_for(mut self, spin: Duration) -> std::io::Result<Self> {
        self.spinner = Some(Spinner::start(&self.shared, Spin::new(spin), self.clock.clone())?);
        Ok(self)
    }

    /// Arms the timer; whether it is due already.
    fn arm(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let Some(timeout) = self.shared.driven.timeout() else { return false };
        match self.armed {
            // The timer has this task's waker and will not fire before the time that it is set to.
            Some(armed) if armed <= timeout && now < armed => return false,
            Some(armed) if armed <= timeout => {}
            _ => {
                self.timer.set(timeout);
                self.armed = Some(timeout);
            }
        }
        let due = self.timer.poll(cx).is_ready();
        if due {
            self.armed = None;
        }
        due
    }
}

impl<D: Driven, S: Socket> Drop for Driver<D, S> {
    /// Also when the runtime around the loop is torn down: the peers need not wait in vain for what it would say. The socket is
    /// closed before anybody hears that the loop has ended: its address is free then.
    fn drop(&mut self) {
        let mut turn = self.shared.turn.lock().take();
        if let Some(turn) =
            turn.as_mut().filter(|turn| self.goodbye && !self.polling && !turn.socket.is_paused())
        {
            turn.leave(&self.shared.driven, self.clock.now());
        }
        drop(turn);
        self.shared.driven.over();
        // What runs on its thread is over when the tokio runtime is.
        drop(self.spinner.take());
    }
}

impl<D: Driven, S: Socket> Future for Driver<D, S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.polling = true;
        let polled = self.turn(cx);
        self.polling = false;
        polled
    }
}

impl<D: Driven, S: Socket> Driver<D, S> {
    /// One poll.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let this = self;
        let Shared { driven, turn, polled, .. } = &*this.shared;
        driven.register(cx);
        if this.spinner.as_ref().is_some_and(|spinner| spinner.has_it(cx)) {
            return Poll::Pending;
        }
        polled.fetch_add(1, Ordering::Relaxed);
        let now = this.clock.now();
        let max_signals = this.share.signals(driven.peers());
        // What the signals wake runs here, before the answers leave.
        let (received, others_run) = driven.running(|| {
            let arrived = {
                let mut turn = turn.lock();
                let turn = turn.as_mut().expect(UNTIL_ITS_END);
                turn.receive(driven, now, max_signals, |socket, into| socket.poll_receive(cx, into))
            };
            driven.perform();
            arrived
        });
        let arrived = match received {
            Ok(arrived) => arrived,
            Err(error) => {
                driven.failed(&error);
                return Poll::Ready(());
            }
        };
        let queued = driven.queued();
        if arrived.signals > 0 {
            // Whoever runs elsewhere may answer yet.
            this.share.delivered(queued > 0 || others_run);
        }
        if arrived.any || queued > 0 {
            this.spin.worked(now);
            this.spinner.iter().for_each(|spinner| spinner.worked(now));
        }
        if !this.yielded && others_run && arrived.signals + queued >= YIELD_MESSAGES {
            this.yielded = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.yielded = false;
        driven.prepare(now);
        let (sent, over) = {
            let mut turn = turn.lock();
            let turn = turn.as_mut().expect(UNTIL_ITS_END);
            let sent = turn.send(driven, now, |socket| socket.poll_writable(cx).is_ready());
            (sent, turn.is_over(driven))
        };
        driven.perform();
        if over {
            return Poll::Ready(());
        }
        let (any_sent, more_to_send) = (sent.any, sent.more);
        if this.arm(cx, now) || arrived.more || more_to_send {
            cx.waker().wake_by_ref();
        } else {
            if this.spin.looked() {
                // Whoever else wants the core has it now.
                std::thread::yield_now();
            }
            let spins = this.spin.may() || this.spinner.is_some();
            let now = if spins && (any_sent || arrived.any) { this.clock.now() } else { now };
            if this.spin.goes_on(now, None) {
                look_again(cx);
            }
            if let Some(spinner) = this.spinner.as_ref().filter(|spinner| spinner.goes_on(now)) {
                let mut turn = this.shared.turn.lock();
                if turn.as_mut().expect(UNTIL_ITS_END).release() {
                    spinner.hand_over(cx);
                    this.shared.driven.spins();
                }
            }
        }
        Poll::Pending
    }
}

/// Has this task polled again after the others that are ready, and after a look at the sockets.
fn look_again(cx: &mut Context<'_>) {
    let again = std::pin::pin!(tokio::task::yield_now());
    // It is pending at its first poll, and has noted the waker.
    let _ = again.poll(cx);
}

const UNTIL_ITS_END: &str = "the loop has it until it is dropped";

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io;
    use std::net::SocketAddr;
    use std::time::Instant;

    use parking_lot::Mutex;

    use super::*;
    use crate::clock::SystemClock;
    use crate::net::socket::{Received, Transmit};

    type Log = Arc<Mutex<Vec<&'static str>>>;

    /// An engine that has nothing to do, and says when it hears of the end.
    struct Idle(Log);

    impl Driven for Idle {
        fn register(&self, _: &Context<'_>) {}

        fn receive(&self, _: Instant, _: &mut VecDeque<Received>, _: usize) -> usize {
            0
        }

        fn queued(&self) -> usize {
            0
        }

        fn peers(&self) -> usize {
            0
        }

        fn prepare(&self, _: Instant) {}

        fn transmit(&self, _: Instant, _: usize, _: &mut Vec<u8>) -> Option<quinn_proto::Transmit> {
            None
        }

        fn timeout(&self) -> Option<Instant> {
            None
        }

        fn perform(&self) {}

        fn running<T>(&self, deliver: impl FnOnce() -> T) -> (T, bool) {
            (deliver(), false)
        }

        fn stays_awake(&self) {}

        fn is_over(&self) -> bool {
            true
        }

        fn leave(&self) -> Instant {
            Instant::now()
        }

        fn over(&self) {
            self.0.lock().push("over");
        }

        fn taken_over(&self) {}

        fn spins(&self) {}

        fn failed(&self, _: &io::Error) {}
    }

    /// A socket to which nothing comes, and that says when it is closed.
    struct Silent(Log);

    impl Socket for Silent {
        fn local_addr(&self) -> io::Result<SocketAddr> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn poll_receive(&mut self, _: &mut Context<'_>, _: &mut VecDeque<Received>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn try_receive(&mut self, _: &mut VecDeque<Received>) -> io::Result<()> {
            Err(io::ErrorKind::WouldBlock.into())
        }

        fn try_send(&mut self, _: &Transmit<'_>) -> io::Result<()> {
            Ok(())
        }

        fn poll_writable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn max_segments(&self) -> usize {
            1
        }

        fn may_fragment(&self) -> bool {
            false
        }
    }

    impl Drop for Silent {
        fn drop(&mut self) {
            self.0.lock().push("closed");
        }
    }

    #[tokio::test]
    async fn the_socket_is_closed_before_anybody_hears_of_the_end() {
        let log = Log::default();
        let driver =
            Driver::new(Idle(log.clone()), Silent(log.clone()), Duration::ZERO, Arc::new(SystemClock));
        // The guard may have it for a moment longer.
        let kept = driver.shared.clone();
        driver.await;
        assert_eq!(*log.lock(), ["closed", "over"]);
        drop(kept);
    }
}
