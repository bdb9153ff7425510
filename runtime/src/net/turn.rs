//! What the loop does in one turn, and what it does it with.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll};
use std::time::Instant;

use parking_lot::Mutex;

use super::socket::{Received, Socket, Transmit};

/// What the loop drives: an engine behind a lock, and the queues in front of it.
pub trait Driven: Send + Sync + 'static {
    /// Keeps the waker that is woken when something was queued.
    fn register(&self, cx: &Context<'_>);

    /// Hands over datagrams that arrived, from the front, until about `max_signals` were delivered; how many were.
    fn receive(&self, now: Instant, datagrams: &mut VecDeque<Received>, max_signals: usize) -> usize;

    /// How many frames are queued, about.
    fn queued(&self) -> usize;

    /// How many peers there are.
    fn peers(&self) -> usize;

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

    /// Does what [`receive`](Self::receive) and [`prepare`](Self::prepare) left to be done without any lock.
    fn perform(&self);

    /// Delivers with `deliver`, and runs what that has woken on this thread, within bounds. Never with a lock held. Also
    /// tells whether others are still to run what was woken.
    ///
    /// From here until [`prepare`](Self::prepare) nobody need wake the loop: it takes what is queued then.
    fn running<T>(&self, deliver: impl FnOnce() -> T) -> (T, bool);

    /// Until the next [`prepare`](Self::prepare) nobody need wake the loop for what is queued: it is looked for.
    fn stays_awake(&self);

    /// Whether all is said: the loop ends.
    fn is_over(&self) -> bool;

    /// The loop is about to end, though nobody asked it to: says goodbye, unless that was said before. By when whatever is to be
    /// said will be due.
    fn leave(&self) -> Instant;

    /// The loop has ended.
    fn over(&self);

    /// A guard has begun to do the loop's work.
    fn taken_over(&self);

    /// A thread has begun to look for more in the loop's place.
    fn spins(&self);

    /// The socket failed for good.
    fn failed(&self, error: &io::Error);
}

/// What the loop, its guard and its spinning thread share.
pub(super) struct Shared<D, S> {
    pub(super) driven: D,
    /// `None` once the loop has ended: the socket is closed by then.
    pub(super) turn: Mutex<Option<Turn<S>>>,
    /// How often the loop was polled, or the thread that spins for it looked.
    pub(super) polled: AtomicU64,
}

impl<D: Driven, S: Socket> Shared<D, S> {
    pub(super) fn new(driven: D, socket: S) -> Self {
        let turn = Turn {
            socket,
            datagrams: VecDeque::new(),
            buffer: Vec::with_capacity(BUFFER_BYTES),
            unsent: None,
        };
        Self { driven, turn: Mutex::new(Some(turn)), polled: AtomicU64::new(0) }
    }
}

/// The socket, and what is on its way to or from it.
pub(super) struct Turn<S> {
    pub(super) socket: S,
    /// Arrived and not handed over yet.
    datagrams: VecDeque<Received>,
    buffer: Vec<u8>,
    /// A transmit that the socket did not take.
    unsent: Option<quinn_proto::Transmit>,
}

/// What one turn received.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Arrived {
    /// Whether there were datagrams at all.
    pub(super) any: bool,
    /// Signals that were delivered.
    pub(super) signals: usize,
    /// Whether there is more.
    pub(super) more: bool,
}

/// What one turn sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    /// Whether there was anything.
    pub(super) any: bool,
    /// Whether there is more that the socket would take.
    pub(super) more: bool,
}

impl<S: Socket> Turn<S> {
    /// Receives with `ask`, and has delivered what came.
    pub(super) fn receive<D: Driven>(
        &mut self,
        driven: &D,
        now: Instant,
        max_signals: usize,
        mut ask: impl FnMut(&mut S, &mut VecDeque<Received>) -> Poll<io::Result<()>>,
    ) -> io::Result<Arrived> {
        // What waits is handed over before the socket is asked for more: its own buffer is the larger one.
        let mut drained = false;
        if self.datagrams.is_empty() {
            for _ in 0..RECEIVE_BATCHES {
                drained = match ask(&mut self.socket, &mut self.datagrams) {
                    Poll::Ready(result) => result.map(|()| false)?,
                    Poll::Pending => true,
                };
                if drained {
                    break;
                }
            }
        }
        if self.datagrams.is_empty() {
            return Ok(Arrived { any: false, signals: 0, more: !drained });
        }
        let signals = driven.receive(now, &mut self.datagrams, max_signals);
        Ok(Arrived { any: true, signals, more: !drained || !self.datagrams.is_empty() })
    }

    /// Asks the socket once, if nothing waits to be handed over; whether anything does now.
    pub(super) fn look(
        &mut self,
        ask: impl FnOnce(&mut S, &mut VecDeque<Received>) -> io::Result<()>,
    ) -> io::Result<bool> {
        if self.datagrams.is_empty() {
            match ask(&mut self.socket, &mut self.datagrams) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => result?,
            }
        }
        Ok(!self.datagrams.is_empty())
    }

    /// Sends what there is. When the socket is full, `full` tells whether to try again at once.
    pub(super) fn send<D: Driven>(
        &mut self,
        driven: &D,
        now: Instant,
        mut full: impl FnMut(&mut S) -> bool,
    ) -> Sent {
        for sent in 0..TRANSMITS {
            let any = sent > 0;
            let transmit = match self.unsent.take() {
                Some(transmit) => transmit,
                None => {
                    self.buffer.clear();
                    let segments = self.socket.max_segments();
                    match driven.transmit(now, segments, &mut self.buffer) {
                        Some(transmit) => transmit,
                        None => return Sent { any, more: false },
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
                    if !full(&mut self.socket) {
                        return Sent { any, more: false };
                    }
                }
                // Other errors are about the path to one peer; to QUIC they are loss.
                Ok(()) | Err(_) => {}
            }
        }
        Sent { any: true, more: true }
    }

    /// Says goodbye without waiting for anybody.
    pub(super) fn leave(&mut self, driven: &impl Driven, now: Instant) {
        let end = driven.leave();
        while self.send(driven, now, |_| false).more {}
        driven.prepare(end);
        while self.send(driven, end, |_| false).more {}
    }

    /// Has the socket wake nobody until the loop asks it again; whether it can do that, and has taken all.
    pub(super) fn release(&mut self) -> bool {
        self.unsent.is_none() && !self.socket.is_paused() && self.socket.release()
    }

    /// Whether the socket has not taken all of what was to be sent.
    pub(super) fn is_stuck(&self) -> bool {
        self.unsent.is_some()
    }

    /// Whether all is said and sent.
    pub(super) fn is_over(&self, driven: &impl Driven) -> bool {
        self.unsent.is_none() && driven.is_over()
    }
}

/// Batches that one turn receives before the rest of the runtime has its turn.
const RECEIVE_BATCHES: usize = 4;
/// Transmits that one turn makes before it receives again.
const TRANSMITS: usize = 64;
/// Room for the largest transmit.
const BUFFER_BYTES: usize = 64 * 1024;
