//! The loop that carries datagrams and time between a socket and an engine.
//!
//! It is one task of the application's runtime, because every task more is a wake-up more. A poll takes what arrived,
//! lets the engine deliver it, and then sends what is due. If at least two messages are about, it lets the processes that
//! these have woken run first, once, so that their answers leave in the same datagrams; with one message it answers at
//! once. With nothing to do it looks again for a while, if `spin.rs` says that this pays, and then sleeps.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::socket::{Received, Socket, Transmit};
use super::spin::Spin;
use crate::clock::{Clock, Timer};

/// Batches that one poll receives before the rest of the runtime has its turn.
const RECEIVE_BATCHES: usize = 4;
/// Messages about from which it pays to wait for the processes' answers.
const YIELD_MESSAGES: usize = 2;
/// Signals that one turn delivers, about, before their answers leave. With all of a long train delivered first, the peer
/// would wait while we work and we while it works; with too few the datagrams are not full.
const TURN_SIGNALS: usize = 128;
/// Transmits that one poll makes before it receives again.
const TRANSMITS: usize = 64;

/// What the loop drives: an engine behind a lock, and the queues in front of it.
pub trait Driven: Send + 'static {
    /// Keeps the waker that is woken when something was queued.
    fn register(&self, cx: &Context<'_>);

    /// Hands over datagrams that arrived, from the front, until about `max_signals` were delivered; how many were.
    fn receive(&self, now: Instant, datagrams: &mut VecDeque<Received>, max_signals: usize) -> usize;

    /// How many frames are queued, about.
    fn queued(&self) -> usize;

    /// Takes what is queued, and what is due by time.
    fn prepare(&self, now: Instant);

    /// The next datagrams to send, appended to `buffer`.
    fn transmit(
        &self,
        now: Instant,
        max_segments: usize,
        buffer: &mut Vec<u8>,
    ) -> Option<quinn_proto::Transmit>;

    /// When to come back at the latest.
    fn timeout(&self) -> Option<Instant>;

    /// Whether all is said: the loop ends.
    fn is_over(&self) -> bool;

    /// The socket failed for good.
    fn failed(&self, error: &io::Error);
}

/// The loop over one socket.
pub struct Driver<D, S> {
    driven: D,
    socket: S,
    /// Arrived and not handed over yet.
    datagrams: VecDeque<Received>,
    buffer: Vec<u8>,
    /// A transmit that the socket did not take.
    unsent: Option<quinn_proto::Transmit>,
    clock: Arc<dyn Clock>,
    timer: Box<dyn Timer>,
    /// What `timer` is set to. Timers move with every datagram, so it is only ever pulled nearer; if it comes early, it
    /// is set again.
    armed: Option<Instant>,
    yielded: bool,
    spin: Spin,
}

/// What one turn received.
#[derive(Debug, Default, Clone, Copy)]
struct Arrived {
    /// Whether there were datagrams at all.
    any: bool,
    /// Signals that were delivered.
    signals: usize,
    /// Whether there is more.
    more: bool,
}

impl<D: Driven, S: Socket> Driver<D, S> {
    /// A loop that has not begun. Before it sleeps it may look again for up to `spin`. Needs a tokio runtime around it.
    pub fn new(driven: D, socket: S, spin: Duration, clock: Arc<dyn Clock>) -> Self {
        let timer = clock.timer();
        let buffer = Vec::with_capacity(64 * 1024);
        Self {
            driven,
            socket,
            datagrams: VecDeque::new(),
            buffer,
            unsent: None,
            clock,
            timer,
            armed: None,
            yielded: false,
            spin: Spin::new(spin),
        }
    }

    /// Receives, and has delivered what came.
    fn receive(&mut self, cx: &mut Context<'_>, now: Instant) -> io::Result<Arrived> {
        // What waits is handed over before the socket is asked for more: its own buffer is the larger one.
        let mut drained = false;
        if self.datagrams.is_empty() {
            for _ in 0..RECEIVE_BATCHES {
                drained = self.socket.poll_receive(cx, &mut self.datagrams)?.is_pending();
                if drained {
                    break;
                }
            }
        }
        if self.datagrams.is_empty() {
            return Ok(Arrived { any: false, signals: 0, more: !drained });
        }
        let signals = self.driven.receive(now, &mut self.datagrams, TURN_SIGNALS);
        Ok(Arrived { any: true, signals, more: !drained || !self.datagrams.is_empty() })
    }

    /// Sends what there is; whether there was anything, and whether there is more.
    fn send(&mut self, cx: &mut Context<'_>, now: Instant) -> (bool, bool) {
        for sent in 0..TRANSMITS {
            let transmit = match self.unsent.take() {
                Some(transmit) => transmit,
                None => {
                    self.buffer.clear();
                    let segments = self.socket.max_segments();
                    match self.driven.transmit(now, segments, &mut self.buffer) {
                        Some(transmit) => transmit,
                        None => return (sent > 0, false),
                    }
                }
            };
            let datagrams = Transmit {
                destination: transmit.destination,
                ecn: transmit.ecn,
                contents: &self.buffer[..transmit.size],
                segment_size: transmit.segment_size,
                src_ip: transmit.src_ip,
            };
            match self.socket.try_send(&datagrams) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.unsent = Some(transmit);
                    if self.socket.poll_writable(cx).is_pending() {
                        return (sent > 0, false);
                    }
                }
                // Other errors are about the path to one peer; to QUIC they are loss.
                Ok(()) | Err(_) => {}
            }
        }
        (true, true)
    }

    /// Arms the timer; whether it is due already.
    fn arm(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let Some(timeout) = self.driven.timeout() else { return false };
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

impl<D: Driven + Unpin, S: Socket + Unpin> Future for Driver<D, S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.driven.register(cx);
        let now = this.clock.now();
        let arrived = match this.receive(cx, now) {
            Ok(arrived) => arrived,
            Err(error) => {
                this.driven.failed(&error);
                return Poll::Ready(());
            }
        };
        let queued = this.driven.queued();
        if arrived.any || queued > 0 {
            this.spin.worked(now);
        }
        if !this.yielded && arrived.signals + queued >= YIELD_MESSAGES {
            this.yielded = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.yielded = false;
        this.driven.prepare(now);
        let (sent, more_to_send) = this.send(cx, now);
        if this.unsent.is_none() && this.driven.is_over() {
            return Poll::Ready(());
        }
        if this.arm(cx, now) || arrived.more || more_to_send {
            cx.waker().wake_by_ref();
        } else {
            if this.spin.looked() {
                // Whoever else wants the core has it now.
                std::thread::yield_now();
            }
            if this.spin.goes_on(if sent || arrived.any { this.clock.now() } else { now }) {
                look_again(cx);
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
