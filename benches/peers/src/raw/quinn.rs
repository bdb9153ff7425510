//! Raw quinn: one link is one connection with one ordered stream each way, and a task that writes and one that reads.
//!
//! A process's send appends its frame to the link's pending bytes; the writer takes all that is pending in one piece.
//! With `YIELDS`, the writer lets the other tasks that are ready run once before it takes, so that under load it takes
//! more at once. Settings are quinn's own, but for socket buffers of 4 MiB, without which a burst on loopback is lost.
//!
//! A frame is the length of the name (1 byte), the length of the body (4 bytes, little endian), the name, the body. The
//! first frame of each stream carries the sending node's name, and no body.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Poll;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quinn::{Connection, Endpoint, RecvStream, SendStream, VarInt};
use socket2::SockRef;
use tokio::sync::Notify;

use super::certificates::{Authority, Identity, SERVER_NAME};
use super::names::{ChannelMailbox, Deliveries, Names};
use crate::workload::{Failure, Offers, System};

/// Bytes that wait for the writer of a link before its senders have to wait.
const PENDING_BYTES_MAX: usize = 1 << 20;
/// Send and receive buffers of each socket.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// Bytes of a frame before the name.
const HEAD_BYTES: usize = 5;

/// A node on raw quinn.
#[derive(Clone)]
pub(crate) struct Quinn<const YIELDS: bool>(Arc<Node>);

struct Node {
    name: String,
    endpoint: Endpoint,
    client: quinn::ClientConfig,
    names: Names,
    links: Mutex<HashMap<String, Arc<Link>>>,
    /// The one link of a node that has one: saves the look-up.
    first: OnceLock<(String, Arc<Link>)>,
}

/// What processes hand to the writer of a link.
#[derive(Default)]
struct Link {
    pending: Mutex<BytesMut>,
    /// Something is pending.
    filled: Notify,
    /// There is room again.
    taken: Notify,
}

impl<const YIELDS: bool> System for Quinn<YIELDS> {
    const NAME: &'static str = if YIELDS { "quinn-yield" } else { "quinn" };
    const OFFERS: Offers = Offers { spawn: false, handshake: true, bulk: true, reliable: true };
    type Authority = Authority;
    type Identity = Identity;
    type Mailbox = ChannelMailbox;

    fn authority() -> Result<Authority, Failure> {
        Authority::generate()
    }

    fn issue(authority: &Authority, _name: &str) -> Result<Identity, Failure> {
        authority.issue()
    }

    fn start(name: &str, identity: &Identity) -> Result<Self, Failure> {
        let socket = UdpSocket::bind(("127.0.0.1", 0))?;
        SockRef::from(&socket).set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
        SockRef::from(&socket).set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
        let server = Some(identity.server.clone());
        let runtime = Arc::new(quinn::TokioRuntime);
        let endpoint = Endpoint::new(quinn::EndpointConfig::default(), server, socket, runtime)?;
        let node = Self(Arc::new(Node {
            name: name.into(),
            endpoint,
            client: identity.client.clone(),
            names: Names::default(),
            links: Mutex::default(),
            first: OnceLock::new(),
        }));
        let listener = node.clone();
        tokio::spawn(async move {
            while let Some(incoming) = listener.0.endpoint.accept().await {
                let node = listener.clone();
                tokio::spawn(async move {
                    let accepted = async { node.welcome(incoming.await.map_err(handshake)?).await };
                    if let Err(failure) = accepted.await {
                        // The connecting side fails by itself; the cause must not get lost.
                        eprintln!("quinn: a link could not be accepted: {failure}");
                    }
                });
            }
        });
        Ok(node)
    }

    fn address(&self) -> Result<SocketAddr, Failure> {
        Ok(self.0.endpoint.local_addr()?)
    }

    async fn connect(&self, address: SocketAddr) -> Result<(), Failure> {
        let connecting = self.0.endpoint.connect_with(self.0.client.clone(), address, SERVER_NAME);
        let connecting = connecting.map_err(|error| Failure::system("connect", error))?;
        self.welcome(connecting.await.map_err(handshake)?).await
    }

    fn sees(&self, peer: &str) -> bool {
        self.0.links.lock().expect("no holder panics").contains_key(peer)
    }

    fn process<F, Fut>(&self, name: &str, body: F) -> Result<(), Failure>
    where
        F: FnOnce(ChannelMailbox) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        tokio::spawn(body(self.0.names.mailbox(name)));
        Ok(())
    }

    async fn send(&self, to: &str, name: &str, payload: &[u8]) -> Result<(), Failure> {
        match self.0.first.get() {
            Some((peer, link)) if peer == to => link.send(name, payload).await,
            _ => {
                let link = self.0.links.lock().expect("no holder panics").get(to).cloned();
                link.ok_or(Failure::Late("a link to the node"))?.send(name, payload).await;
            }
        }
        Ok(())
    }

    fn offer_spawn(&self) -> Result<(), Failure> {
        Err(Failure::system("spawn_remote", "raw quinn starts no processes"))
    }

    async fn spawn_remote(&self, _to: &str) -> Result<(), Failure> {
        self.offer_spawn()
    }

    async fn shutdown(self) {
        self.0.endpoint.close(VarInt::from_u32(0), b"");
        self.0.endpoint.wait_idle().await;
    }
}

impl<const YIELDS: bool> Quinn<YIELDS> {
    /// Opens our stream, reads the other side's name from its own, and starts the writer and the reader.
    async fn welcome(&self, connection: Connection) -> Result<(), Failure> {
        let mut ours = connection.open_uni().await.map_err(handshake)?;
        let mut hello = BytesMut::new();
        put_frame(&mut hello, &self.0.name, &[]);
        ours.write_all(&hello).await.map_err(|error| Failure::system("say hello", error))?;
        let theirs = connection.accept_uni().await.map_err(handshake)?;
        let mut frames = Frames { stream: theirs, buffer: BytesMut::new() };
        let (peer, _) = frames.next().await.ok_or(Failure::Late("the other side's name"))?;
        let peer = String::from_utf8_lossy(&peer).into_owned();
        let link = Arc::<Link>::default();
        let _ = self.0.first.set((peer.clone(), link.clone()));
        self.0.links.lock().expect("no holder panics").insert(peer, link.clone());
        tokio::spawn(write::<YIELDS>(ours, link, connection));
        tokio::spawn(read(frames, self.0.names.deliveries()));
        Ok(())
    }
}

impl Link {
    async fn send(&self, name: &str, payload: &[u8]) {
        loop {
            let room = self.taken.notified();
            {
                let mut pending = self.pending.lock().expect("no holder panics");
                if pending.len() < PENDING_BYTES_MAX {
                    let was_empty = pending.is_empty();
                    put_frame(&mut pending, name, payload);
                    drop(pending);
                    if was_empty {
                        self.filled.notify_one();
                    }
                    return;
                }
            }
            room.await;
        }
    }

    fn take(&self) -> Bytes {
        let mut pending = self.pending.lock().expect("no holder panics");
        let was_full = pending.len() >= PENDING_BYTES_MAX;
        let taken = pending.split().freeze();
        drop(pending);
        if was_full {
            self.taken.notify_waiters();
        }
        taken
    }
}

async fn write<const YIELDS: bool>(mut stream: SendStream, link: Arc<Link>, connection: Connection) {
    loop {
        link.filled.notified().await;
        if YIELDS {
            once_more().await;
        }
        let taken = link.take();
        // An error ends the link, as `closed` would.
        if stream.write_chunk(taken).await.is_err() {
            return connection.close(VarInt::from_u32(0), b"");
        }
    }
}

/// Ends this turn of the task and has it run again after the tasks that are ready by now.
async fn once_more() {
    let mut ran = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut ran, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

async fn read(mut frames: Frames, mut deliveries: Deliveries) {
    while let Some((name, body)) = frames.next().await {
        deliveries.deliver(&name, body);
        // Reading from quinn takes no part in tokio's budget: without this, readers with enough to read never let the
        // receiving processes run.
        tokio::task::consume_budget().await;
    }
}

/// The frames of a stream.
struct Frames {
    stream: RecvStream,
    /// What was read and not yet taken apart.
    buffer: BytesMut,
}

impl Frames {
    async fn next(&mut self) -> Option<(Bytes, Bytes)> {
        loop {
            if let Some(frame) = self.take_frame() {
                return Some(frame);
            }
            let chunk = self.stream.read_chunk(usize::MAX, true).await.ok()??;
            self.buffer.extend_from_slice(&chunk.bytes);
        }
    }

    fn take_frame(&mut self) -> Option<(Bytes, Bytes)> {
        let head = self.buffer.first_chunk::<HEAD_BYTES>()?;
        let name_bytes = usize::from(head[0]);
        let body_bytes = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if self.buffer.len() < HEAD_BYTES + name_bytes + body_bytes {
            return None;
        }
        self.buffer.advance(HEAD_BYTES);
        let name = self.buffer.split_to(name_bytes).freeze();
        Some((name, self.buffer.split_to(body_bytes).freeze()))
    }
}

fn put_frame(buffer: &mut BytesMut, name: &str, body: &[u8]) {
    buffer.put_u8(u8::try_from(name.len()).expect("names of the workload are short"));
    buffer.put_u32_le(u32::try_from(body.len()).expect("bodies of the workload are short"));
    buffer.put_slice(name.as_bytes());
    buffer.put_slice(body);
}

fn handshake(error: quinn::ConnectionError) -> Failure {
    Failure::system("shake hands", error)
}
