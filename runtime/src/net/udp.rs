//! A UDP socket on tokio, with segmentation offload, receive coalescing and batched receives where the system has them.
//!
//! The socket is registered for readability only: with writability in the mask the kernel would wake the loop each time
//! the peer takes a datagram off our hands.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use quinn_proto::EcnCodepoint;
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Sleep;

use super::socket::{Received, Socket, Transmit};

/// What one receive may bring in one piece: the largest datagram, or a coalesced train of them.
const RECEIVE_BYTES: usize = 64 * 1024;
/// Datagrams, or trains of them, that a quiet socket is asked for at once. One more than it needs: a batch that is not
/// full says that there is nothing more.
const QUIET_BATCH: usize = 2;
/// Send and receive buffers that are asked for; without them a burst on loopback is lost.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// Pause after which a full send buffer is tried again.
const RETRY: Duration = Duration::from_millis(1);

/// The registration of a socket with the runtime.
type Readiness = AsyncFd<Arc<std::net::UdpSocket>>;

/// A bound UDP socket.
#[derive(Debug)]
pub struct UdpSocket {
    socket: Arc<std::net::UdpSocket>,
    /// What wakes the loop; `None` while a thread looks for what arrives.
    readiness: Option<Readiness>,
    inbound: Inbound,
    retry: Option<Pin<Box<Sleep>>>,
}

impl UdpSocket {
    /// Binds to `addr`; port 0 lets the system choose. Needs a tokio runtime around it.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let domain = socket2::Domain::for_address(addr);
        let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, Some(socket2::Protocol::UDP))?;
        // The system may give less; it says so to nobody, and neither do we: it only costs speed.
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
        if addr.is_ipv6() {
            // Both families, whatever the system's default is; one that has no IPv4 says so, and is of IPv6 alone.
            let _ = socket.set_only_v6(false);
        }
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        let socket = std::net::UdpSocket::from(socket);
        let state = UdpSocketState::new((&socket).into())?;
        let socket = Arc::new(socket);
        let readiness = Some(register(&socket)?);
        let buffer = vec![0; RECEIVE_BYTES * BATCH_SIZE].into();
        let inbound = Inbound {
            state,
            buffer,
            batch: QUIET_BATCH,
            pinned: !addr.ip().is_unspecified(),
            is_v6: addr.is_ipv6(),
        };
        Ok(Self { socket, readiness, inbound, retry: None })
    }
}

impl UdpSocket {
    /// Ready a moment after it was asked first, and then anew.
    fn poll_retry(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let retry = self.retry.get_or_insert_with(|| Box::pin(tokio::time::sleep(RETRY)));
        std::task::ready!(retry.as_mut().poll(cx));
        self.retry = None;
        Poll::Ready(())
    }
}

fn register(socket: &Arc<std::net::UdpSocket>) -> io::Result<Readiness> {
    // SAFETY: the socket owns its descriptor, and nothing here replaces it: `as_raw_fd` gives the same open one for as long
    // as the socket lives, which is no shorter than its registration.
    unsafe { AsyncFd::register_with_interest(socket.clone(), Interest::READABLE) }.map_err(io::Error::from)
}

/// The receiving side.
#[derive(Debug)]
struct Inbound {
    state: UdpSocketState,
    buffer: Box<[u8]>,
    /// How many to ask for next time.
    batch: usize,
    /// Bound to one address: it need not be said with each datagram.
    pinned: bool,
    /// Of IPv6: addresses of IPv4 are mapped into it for the system, and are themselves for everybody else.
    is_v6: bool,
}

impl Inbound {
    /// Takes a batch of what has arrived; whether there may be more.
    fn receive(
        &mut self,
        socket: &std::net::UdpSocket,
        received: &mut VecDeque<Received>,
    ) -> io::Result<bool> {
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let mut pieces = self.buffer.chunks_mut(RECEIVE_BYTES).map(IoSliceMut::new);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| pieces.next().expect("the buffer has a piece for each of the batch"));
        let batch = self.batch.min(BATCH_SIZE);
        let count = match self.state.recv(socket.into(), &mut slices[..batch], &mut metas[..batch]) {
            // An earlier datagram of ours found nobody: that says nothing of the socket.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(true),
            result => result?,
        };
        let full = count == batch;
        self.batch = if full { BATCH_SIZE } else { QUIET_BATCH };
        for (meta, slice) in metas[..count].iter().zip(&slices) {
            let ecn = meta.ecn.and_then(|ecn| EcnCodepoint::from_bits(ecn as u8));
            let from = if self.is_v6 { canonical(meta.addr) } else { meta.addr };
            // A buffer per datagram: a message that is kept for long holds back 1.5 kB of memory, not a whole train.
            for datagram in slice[..meta.len].chunks(meta.stride.max(1)) {
                let data = BytesMut::from(datagram);
                let to = if self.pinned { None } else { meta.dst_ip };
                received.push_back(Received { from, to, ecn, data });
            }
        }
        Ok(full)
    }
}

/// The address of IPv4 that is meant, if one is.
fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, addr.port()),
        IpAddr::V6(_) => addr,
    }
}

/// The address as a socket of IPv6 takes it.
fn mapped(addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), addr.port()),
        IpAddr::V6(_) => addr,
    }
}

impl Socket for UdpSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        received: &mut VecDeque<Received>,
    ) -> Poll<io::Result<()>> {
        let readiness = match &self.readiness {
            Some(readiness) => readiness,
            None => {
                // A registration says nothing of what arrived before it: what does so now, this finds.
                match register(&self.socket) {
                    Ok(readiness) => self.readiness = Some(readiness),
                    // The system has no room for it now. It is looked for every moment, until it has.
                    Err(_) => while self.poll_retry(cx).is_ready() {},
                }
                match self.inbound.receive(&self.socket, received) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => return Poll::Ready(result.map(drop)),
                }
                let Some(readiness) = &self.readiness else { return Poll::Pending };
                readiness
            }
        };
        let Poll::Ready(guard) = readiness.poll_read_ready(cx) else { return Poll::Pending };
        let mut guard = guard?;
        match self.inbound.receive(guard.get_inner(), received) {
            Ok(true) => {}
            // A short batch has drained the socket: this saves the call that would say so.
            Ok(false) => guard.clear_ready(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
            Err(error) => return Poll::Ready(Err(error)),
        }
        Poll::Ready(Ok(()))
    }

    fn try_receive(&mut self, received: &mut VecDeque<Received>) -> io::Result<()> {
        self.inbound.receive(&self.socket, received).map(|_| ())
    }

    fn release(&mut self) -> bool {
        self.readiness = None;
        true
    }

    fn try_send(&mut self, transmit: &Transmit<'_>) -> io::Result<()> {
        let transmit = quinn_udp::Transmit {
            destination: if self.inbound.is_v6 { mapped(transmit.destination) } else { transmit.destination },
            ecn: transmit.ecn.and_then(|ecn| quinn_udp::EcnCodepoint::from_bits(ecn as u8)),
            contents: transmit.contents,
            segment_size: transmit.segment_size,
            src_ip: transmit.src_ip,
        };
        self.inbound.state.send((&*self.socket).into(), &transmit)
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_retry(cx).map(Ok)
    }

    fn max_segments(&self) -> usize {
        self.inbound.state.max_gso_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inbound.state.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// A socket that was released, and what was sent to it before it is asked again.
    fn released() -> UdpSocket {
        let mut socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("it is bound");
        assert!(socket.release());
        send(&socket, b"before");
        socket
    }

    fn send(to: &UdpSocket, body: &[u8]) {
        let from = std::net::UdpSocket::bind("127.0.0.1:0").expect("it is bound");
        from.send_to(body, to.local_addr().expect("it is bound")).expect("loopback takes it");
    }

    /// Waits until something arrives, as the loop does.
    async fn next(socket: &mut UdpSocket) -> Vec<u8> {
        let mut received = VecDeque::new();
        while received.is_empty() {
            poll_fn(|cx| socket.poll_receive(cx, &mut received)).await.expect("the socket is sound");
        }
        assert_eq!(received.len(), 1);
        received[0].data.to_vec()
    }

    #[tokio::test]
    async fn what_arrived_while_it_was_released_is_there_at_the_first_question() {
        let mut socket = released();
        let mut received = VecDeque::new();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(socket.poll_receive(&mut cx, &mut received).is_ready());
        assert_eq!(received[0].data[..], *b"before");
        send(&socket, b"after");
        assert_eq!(next(&mut socket).await, b"after");
    }

    #[tokio::test]
    async fn one_that_cannot_be_registered_again_is_looked_at_until_it_can() {
        let mut socket = released();
        // A descriptor is registered once.
        let other = register(&socket.socket).expect("it is free");
        assert_eq!(next(&mut socket).await, b"before");
        assert!(socket.readiness.is_none());
        send(&socket, b"after");
        assert_eq!(next(&mut socket).await, b"after");
        drop(other);
        send(&socket, b"registered");
        assert_eq!(next(&mut socket).await, b"registered");
        assert!(socket.readiness.is_some());
    }
}
