//! A socket between a node's loop and its real one, where faults happen to what the node sends.
//!
//! The sender's side decides: each direction of a link is then decided exactly once, whichever processes the two nodes are
//! in. Without a rule, a datagram goes straight through: one relaxed load is all that a call costs.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use regatta::net::{EcnCodepoint, Received, Socket, Transmit, UdpSocket};
use tokio::time::Sleep;

use super::capture::{Capture, Captured};
use super::network::{Key, Network, NodeIndex};
use super::wire::{Counts, Fate, Wire};
use crate::random::Random;

/// The harness's hand on one node's socket.
#[derive(Debug)]
pub(crate) struct Tap {
    /// Whether anything is asked of the socket beyond carrying datagrams.
    busy: AtomicBool,
    inner: Mutex<Inner>,
    node: NodeIndex,
    started: Instant,
}

#[derive(Debug)]
struct Inner {
    wire: Wire,
    /// The node stands still: nothing leaves, nothing is read.
    paused: bool,
    /// A socket that is to take the place of the present one.
    next: Option<UdpSocket>,
    addr: SocketAddr,
    capture: Option<Capture>,
    /// The node's loop.
    waker: Option<Waker>,
}

impl Tap {
    /// For a node whose socket is bound to `addr`. Times are counted from `started`.
    pub(crate) fn new(
        node: NodeIndex,
        addr: SocketAddr,
        random: Random,
        started: Instant,
        capture: Option<Capture>,
    ) -> Arc<Self> {
        let busy = AtomicBool::new(capture.is_some());
        let inner = Inner { wire: Wire::new(random), paused: false, next: None, addr, capture, waker: None };
        Arc::new(Self { busy, inner: Mutex::new(inner), node, started })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let mut inner = self.inner();
        change(&mut inner);
        let busy = inner.wire.has_rules() || inner.paused || inner.next.is_some() || inner.capture.is_some();
        self.busy.store(busy, Relaxed);
        let waker = inner.waker.clone();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// From now on the network is like this.
    pub(crate) fn network(&self, network: Network) {
        self.change(|inner| inner.wire.set(network));
    }

    /// Holds the node still, or lets it go on.
    pub(crate) fn pause(&self, paused: bool) {
        self.change(|inner| inner.paused = paused);
    }

    /// Gives the node another socket. Runs inside the node's tokio runtime.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn rebind(&self) -> io::Result<SocketAddr> {
        let ip = self.inner().addr.ip();
        let next = UdpSocket::bind(SocketAddr::new(ip, 0))?;
        let addr = next.local_addr()?;
        self.change(|inner| {
            inner.next = Some(next);
            inner.addr = addr;
        });
        Ok(addr)
    }

    /// What the rules have done at this socket, by fault.
    pub(crate) fn counts(&self) -> BTreeMap<Key, Counts> {
        self.inner().wire.counts().clone()
    }

    /// The last datagrams, and how many older ones there were.
    pub(crate) fn captured(&self) -> (Vec<Captured>, u64) {
        self.inner().capture.as_mut().map(Capture::take).unwrap_or_default()
    }
}

/// A datagram that leaves later.
#[derive(Debug)]
struct Late {
    to: SocketAddr,
    ecn: Option<EcnCodepoint>,
    data: Vec<u8>,
}

/// The socket.
pub(crate) struct FaultSocket {
    socket: UdpSocket,
    tap: Arc<Tap>,
    /// What leaves later, by time and then by order.
    late: BinaryHeap<Reverse<(Instant, u64)>>,
    held: BTreeMap<u64, Late>,
    sent: u64,
    sleep: Pin<Box<Sleep>>,
    armed: Option<Instant>,
    /// The tap knows the loop.
    registered: bool,
}

impl FaultSocket {
    /// Around a bound socket. Needs a tokio runtime.
    pub(crate) fn new(socket: UdpSocket, tap: Arc<Tap>) -> Self {
        Self {
            socket,
            tap,
            late: BinaryHeap::new(),
            held: BTreeMap::new(),
            sent: 0,
            sleep: Box::pin(tokio::time::sleep(Duration::from_secs(3_600))),
            armed: None,
            registered: false,
        }
    }

    fn is_busy(&self) -> bool {
        self.tap.busy.load(Relaxed) || !self.held.is_empty()
    }

    fn keep(&mut self, at: Instant, late: Late) {
        self.sent += 1;
        self.late.push(Reverse((at, self.sent)));
        self.held.insert(self.sent, late);
    }

    /// Sends what is due. Whether the socket took it all.
    fn send_due(&mut self) -> bool {
        let now = Instant::now();
        while let Some(Reverse((at, number))) = self.late.peek().copied()
            && at <= now
        {
            if let Some(Late { to, ecn, data }) = self.held.get(&number) {
                let (destination, ecn) = (*to, *ecn);
                let transmit =
                    Transmit { destination, ecn, contents: data, segment_size: None, src_ip: None };
                if let Err(error) = self.socket.try_send(&transmit)
                    && error.kind() == io::ErrorKind::WouldBlock
                {
                    return false;
                }
            }
            self.late.pop();
            self.held.remove(&number);
        }
        true
    }

    /// Sends what is due, and has the loop woken for what is not.
    fn flush(&mut self, cx: &mut Context<'_>) {
        while !self.send_due() {
            // The socket wakes the loop when it is worth another try.
            if self.socket.poll_writable(cx).is_pending() {
                return;
            }
        }
        let Some(Reverse((at, _))) = self.late.peek() else { return };
        if self.armed != Some(*at) {
            self.armed = Some(*at);
            self.sleep.as_mut().reset((*at).into());
        }
        if self.sleep.as_mut().poll(cx).is_ready() {
            self.armed = None;
            cx.waker().wake_by_ref();
        }
    }
}

impl Socket for FaultSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        received: &mut VecDeque<Received>,
    ) -> Poll<io::Result<()>> {
        if self.is_busy() || !self.registered {
            let tap = self.tap.clone();
            let mut inner = tap.inner();
            // A loop is one task, and keeps its waker.
            if !std::mem::replace(&mut self.registered, true) {
                inner.waker = Some(cx.waker().clone());
            }
            if let Some(next) = inner.next.take() {
                self.socket = next;
            }
            if inner.paused {
                return Poll::Pending;
            }
            drop(inner);
            self.flush(cx);
        }
        self.socket.poll_receive(cx, received)
    }

    fn try_receive(&mut self, received: &mut VecDeque<Received>) -> io::Result<()> {
        if self.is_busy() {
            let tap = self.tap.clone();
            let mut inner = tap.inner();
            if let Some(next) = inner.next.take() {
                self.socket = next;
            }
            if inner.paused {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            drop(inner);
            // What the socket does not take now is tried again at the next look.
            self.send_due();
        }
        self.socket.try_receive(received)
    }

    fn release(&mut self) -> bool {
        // What leaves late has the loop woken for it.
        !self.is_busy() && self.socket.release()
    }

    fn is_paused(&self) -> bool {
        self.tap.busy.load(Relaxed) && self.tap.inner().paused
    }

    fn try_send(&mut self, transmit: &Transmit<'_>) -> io::Result<()> {
        if !self.is_busy() {
            return self.socket.try_send(transmit);
        }
        let tap = self.tap.clone();
        let mut inner = tap.inner();
        if inner.paused {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let (now, from) = (Instant::now(), inner.addr);
        let since = now - tap.started;
        let size = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        let to = inner.wire.node_at(transmit.destination);
        let mut fates = Vec::with_capacity(transmit.contents.len().div_ceil(size));
        for datagram in transmit.contents.chunks(size) {
            let fate = to.map_or(Fate::Pass, |to| inner.wire.judge(since, tap.node, to, datagram));
            if let Some(capture) = &mut inner.capture {
                let dropped = if let Fate::Dropped(key) = fate { Some(key) } else { None };
                let at_ns = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
                capture.keep(Captured {
                    at_ns,
                    from,
                    to: transmit.destination,
                    data: datagram.into(),
                    dropped,
                });
            }
            fates.push(fate);
        }
        drop(inner);
        // What is to leave now must not overtake what is late only because the socket was full.
        if self.held.is_empty() && fates.iter().all(|fate| *fate == Fate::Pass) {
            return self.socket.try_send(transmit);
        }
        for (datagram, fate) in transmit.contents.chunks(size).zip(fates) {
            let copies = match fate {
                Fate::Dropped(_) => continue,
                Fate::Pass => vec![super::wire::Copy { late: Duration::ZERO, flipped: None }],
                Fate::Copies(copies) => copies,
            };
            for copy in copies {
                let mut data = datagram.to_vec();
                if let Some(bit) = copy.flipped {
                    data[bit / 8] ^= 1 << (bit % 8);
                }
                let late = Late { to: transmit.destination, ecn: transmit.ecn, data };
                if copy.late.is_zero() {
                    let now = Transmit { contents: &late.data, segment_size: None, ..*transmit };
                    match self.socket.try_send(&now) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Ok(()) | Err(_) => continue,
                    }
                }
                self.keep(now + copy.late, late);
            }
        }
        // The loop has polled this socket for receiving before it sends; it must do so again to arm the timer.
        if !self.held.is_empty()
            && let Some(waker) = self.tap.inner().waker.clone()
        {
            waker.wake();
        }
        Ok(())
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_busy() && self.tap.inner().paused {
            return Poll::Pending;
        }
        self.socket.poll_writable(cx)
    }

    fn max_segments(&self) -> usize {
        self.socket.max_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}
