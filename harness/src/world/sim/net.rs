//! The virtual network: sockets, and datagrams under way.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;
use regatta::net::{EcnCodepoint, Received, Socket, Transmit};

use super::time::Happening;
use super::{Sim, State};
use crate::fault::capture::Captured;
use crate::fault::network::NodeIndex;
use crate::fault::wire::{Copy, Fate};
use crate::load::SocketCounts;

/// A datagram under way.
pub(super) struct Flying {
    from: SocketAddr,
    to: SocketAddr,
    ecn: Option<EcnCodepoint>,
    data: BytesMut,
}

/// Which socket.
pub(super) type SocketId = u64;

/// Every socket of the simulation.
#[derive(Default)]
pub(super) struct Sockets {
    all: BTreeMap<SocketId, Inbox>,
    at: BTreeMap<SocketAddr, SocketId>,
    next: SocketId,
    /// The next port of each host.
    ports: BTreeMap<NodeIndex, u16>,
}

/// What has arrived at a socket.
struct Inbox {
    addr: SocketAddr,
    node: NodeIndex,
    arrived: VecDeque<Received>,
    bytes: usize,
    /// What has gone through the socket, both ways.
    counts: SocketCounts,
    waker: Option<Waker>,
}

impl Inbox {
    /// Takes a batch out; whether there was anything.
    fn take(&mut self, received: &mut VecDeque<Received>) -> bool {
        let batch = self.arrived.len().min(BATCH);
        for datagram in self.arrived.drain(..batch) {
            self.bytes -= datagram.data.len();
            self.counts.bytes += datagram.data.len() as u64;
            received.push_back(datagram);
        }
        self.counts.calls += u64::from(batch > 0);
        batch > 0
    }
}

impl Sockets {
    /// A fresh address of a node's host.
    fn address(&mut self, node: NodeIndex) -> SocketAddr {
        let port = self.ports.entry(node).or_insert(FIRST_PORT);
        *port += 1;
        let [_, _, high, low] = u32::try_from(node).unwrap_or(u32::MAX).to_be_bytes();
        SocketAddr::from((Ipv4Addr::new(10, 77, high, low.wrapping_add(1)), *port))
    }
}

impl Sim {
    /// Opens a socket on a node's host, at an address that it had before if that is free.
    pub(super) fn open(self: &Arc<Self>, node: NodeIndex, before: Option<SocketAddr>) -> SimSocket {
        let mut state = self.state();
        let sockets = &mut state.sockets;
        let free = before.filter(|addr| !sockets.at.contains_key(addr));
        let addr = free.unwrap_or_else(|| sockets.address(node));
        let id = sockets.next;
        sockets.next += 1;
        sockets.at.insert(addr, id);
        sockets.all.insert(
            id,
            Inbox {
                addr,
                node,
                arrived: VecDeque::new(),
                bytes: 0,
                counts: SocketCounts::default(),
                waker: None,
            },
        );
        SimSocket { sim: self.clone(), id }
    }

    /// Gives a socket another address: what is under way to the old one is lost.
    pub(super) fn rebind(&self, id: SocketId) -> io::Result<SocketAddr> {
        let mut state = self.state();
        let sockets = &mut state.sockets;
        let node = sockets.all.get(&id).ok_or(io::ErrorKind::NotConnected)?.node;
        let addr = sockets.address(node);
        sockets.at.insert(addr, id);
        if let Some(inbox) = sockets.all.get_mut(&id) {
            sockets.at.remove(&inbox.addr);
            inbox.addr = addr;
        }
        Ok(addr)
    }

    /// What has gone through a socket, both ways.
    pub(super) fn counts(&self, id: SocketId) -> Option<SocketCounts> {
        self.state().sockets.all.get(&id).map(|inbox| inbox.counts)
    }

    /// Closes a socket: nothing leaves it any more, and nothing arrives.
    pub(super) fn close(&self, id: SocketId) {
        let mut state = self.state();
        if let Some(inbox) = state.sockets.all.remove(&id) {
            state.sockets.at.remove(&inbox.addr);
        }
    }
}

impl State {
    /// A datagram leaves.
    fn send(&mut self, from: SocketAddr, node: NodeIndex, transmit: &Transmit<'_>, data: &[u8]) {
        let (to, now_ns) = (transmit.destination, self.timeline.now_ns);
        let target = self.wire.node_at(to).or_else(|| {
            let id = self.sockets.at.get(&to)?;
            Some(self.sockets.all.get(id)?.node)
        });
        let fate = if data.len() > PATH_BYTES_MAX {
            Fate::Dropped(crate::fault::network::OWN)
        } else {
            target.map_or(Fate::Pass, |target| {
                self.wire.judge(Duration::from_nanos(now_ns), node, target, data)
            })
        };
        let target = target.map_or(u64::MAX, |target| target as u64);
        for word in [now_ns, node as u64, target, data.len() as u64, u64::from(crc32fast::hash(data))] {
            self.digest.mix(word);
        }
        if let Some(capture) = &mut self.capture {
            let dropped = if let Fate::Dropped(key) = fate { Some(key) } else { None };
            capture.keep(Captured { at_ns: now_ns, from, to, data: data.into(), dropped });
        }
        let copies = match fate {
            Fate::Dropped(key) => return self.digest.mix(u64::from(key)),
            Fate::Pass => vec![Copy { late: Duration::ZERO, flipped: None }],
            Fate::Copies(copies) => copies,
        };
        for copy in copies {
            let mut bytes = BytesMut::from(data);
            if let Some(bit) = copy.flipped {
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            let late_ns = u64::try_from(copy.late.as_nanos()).unwrap_or(u64::MAX);
            let at_ns = now_ns.saturating_add(WAY_NS).saturating_add(late_ns);
            self.digest.mix(at_ns);
            self.timeline.add(at_ns, Happening::Arrival(Flying { from, to, ecn: transmit.ecn, data: bytes }));
        }
    }

    /// A datagram arrives; who waits for it.
    pub(super) fn arrive(&mut self, flying: Flying) -> Option<Waker> {
        let Flying { from, to, ecn, data } = flying;
        let id = self.sockets.at.get(&to)?;
        let inbox = self.sockets.all.get_mut(id)?;
        if inbox.bytes + data.len() > SOCKET_BYTES_MAX {
            // As a real socket that nobody reads.
            return None;
        }
        self.digest.mix(self.timeline.now_ns);
        self.digest.mix(data.len() as u64);
        inbox.bytes += data.len();
        inbox.arrived.push_back(Received { from, to: Some(to.ip()), ecn, data });
        inbox.waker.take()
    }
}

/// A socket on the virtual network.
pub(super) struct SimSocket {
    sim: Arc<Sim>,
    pub(super) id: SocketId,
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        self.sim.close(self.id);
    }
}

impl Socket for SimSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        let state = self.sim.state();
        let inbox = state.sockets.all.get(&self.id).ok_or(io::ErrorKind::NotConnected)?;
        Ok(inbox.addr)
    }

    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        received: &mut VecDeque<Received>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.sim.state();
        let Some(inbox) = state.sockets.all.get_mut(&self.id) else { return Poll::Pending };
        if inbox.take(received) {
            return Poll::Ready(Ok(()));
        }
        inbox.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn try_receive(&mut self, received: &mut VecDeque<Received>) -> io::Result<()> {
        let mut state = self.sim.state();
        let taken = state.sockets.all.get_mut(&self.id).is_some_and(|inbox| inbox.take(received));
        if taken { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    fn try_send(&mut self, transmit: &Transmit<'_>) -> io::Result<()> {
        let mut state = self.sim.state();
        // A socket that was closed under its node sends into the void.
        let Some(inbox) = state.sockets.all.get_mut(&self.id) else { return Ok(()) };
        inbox.counts.calls += 1;
        inbox.counts.bytes += transmit.contents.len() as u64;
        let (from, node) = (inbox.addr, inbox.node);
        let size = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for datagram in transmit.contents.chunks(size) {
            state.send(from, node, transmit, datagram);
        }
        Ok(())
    }

    fn poll_writable(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn max_segments(&self) -> usize {
        SEGMENTS
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

/// The way of a datagram on a network that nothing was asked of: about what loopback takes with a wake-up.
const WAY_NS: u64 = 50_000;
/// Largest datagram that a path carries: an Ethernet frame without its headers.
const PATH_BYTES_MAX: usize = 1_472;
/// What a socket holds unread.
const SOCKET_BYTES_MAX: usize = 4 << 20;
/// Datagrams that one look takes.
const BATCH: usize = 32;
/// Datagrams in one transmit, as with segmentation offload.
const SEGMENTS: usize = 10;
/// The first port of a host, less one.
const FIRST_PORT: u16 = 4_000;
