//! The seam below QUIC: where datagrams leave and arrive.
//!
//! In production it is a UDP socket. A test harness puts its own in between to lose, delay or change datagrams; without
//! one there is no such code in the path.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use bytes::BytesMut;
use quinn_proto::EcnCodepoint;

/// Datagrams to one address in one call: `contents` is cut into pieces of `segment_size`, if there is one.
#[derive(Debug, Clone, Copy)]
pub struct Transmit<'a> {
    /// Where they go.
    pub destination: SocketAddr,
    /// The mark of explicit congestion notification.
    pub ecn: Option<EcnCodepoint>,
    /// Their bytes, one after another.
    pub contents: &'a [u8],
    /// The size of each but the last.
    pub segment_size: Option<usize>,
    /// The address to send from, if the socket has several.
    pub src_ip: Option<IpAddr>,
}

/// One datagram that arrived.
#[derive(Debug)]
pub struct Received {
    /// Where it came from.
    pub from: SocketAddr,
    /// The address that it was sent to, if the socket knows.
    pub to: Option<IpAddr>,
    /// The mark of explicit congestion notification.
    pub ecn: Option<EcnCodepoint>,
    /// Its bytes.
    pub data: BytesMut,
}

/// Where one node's datagrams leave and arrive.
pub trait Socket: Send + 'static {
    /// The address that the socket is bound to.
    ///
    /// # Errors
    /// What the operating system says.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Takes what has arrived, at most a batch, into `received`. `Ready` with nothing means that there is nothing more
    /// now *and* the waker is not registered: call again. `Pending` has registered it.
    ///
    /// # Errors
    /// What the operating system says of the socket as a whole; errors about single peers are swallowed.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        received: &mut VecDeque<Received>,
    ) -> Poll<io::Result<()>>;

    /// Takes what has arrived, at most a batch, into `received`, for a thread that is no task. `WouldBlock` when there is
    /// nothing.
    ///
    /// # Errors
    /// `WouldBlock`, or what the operating system says.
    fn try_receive(&mut self, received: &mut VecDeque<Received>) -> io::Result<()>;

    /// Until [`poll_receive`](Self::poll_receive) is called again, a thread looks for what arrives, with
    /// [`try_receive`](Self::try_receive): nobody is woken for it meanwhile. Whether the socket can do that now.
    fn release(&mut self) -> bool {
        false
    }

    /// Whether the node stands still on purpose: then nobody does its work in its place. Only a test harness says so.
    fn is_paused(&self) -> bool {
        false
    }

    /// Sends datagrams, or says `WouldBlock`; then [`poll_writable`](Self::poll_writable) tells when to try again.
    ///
    /// # Errors
    /// `WouldBlock`, or what the operating system says.
    fn try_send(&mut self, transmit: &Transmit<'_>) -> io::Result<()>;

    /// Ready when [`try_send`](Self::try_send) is worth another try.
    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// How many datagrams one [`Transmit`] may hold.
    fn max_segments(&self) -> usize;

    /// Whether the path may cut datagrams that are too large for it; then sizes are not probed.
    fn may_fragment(&self) -> bool;
}
