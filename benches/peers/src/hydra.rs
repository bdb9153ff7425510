//! hydra 0.1.40: Erlang's processes on tokio, over TCP with a shared secret and without encryption.
//!
//! A process of the operating system is one node of it, so only the layouts of two processes can be had, and one link. A
//! node listens where it is told and does not say when; linking tries until it does.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hydra::{Message, Node, NodeOptions, NodeState, Process};
use serde_bytes::ByteBuf;

use crate::child;
use crate::layout::Layout;
use crate::workload::{Failure, Mailbox, Offers, System, far};

/// Where each node is a process of the operating system.
pub(crate) const LAYOUTS: &[Layout] = &[Layout::TwoProcesses, Layout::TwoProcesses1w];

/// The secret that all nodes of a trial share.
const COOKIE: &str = "peers";
/// How long a node waits before it tries again to link to one that does not listen yet.
const AGAIN: Duration = Duration::from_millis(20);

/// This process's node.
#[derive(Clone)]
pub(crate) struct Hydra {
    address: SocketAddr,
    /// The node at the other end of the link.
    other: Arc<OnceLock<Node>>,
}

/// A process's mailbox is its own and needs no handle.
pub(crate) struct HydraMailbox;

impl Mailbox for HydraMailbox {
    type Message = ByteBuf;

    async fn recv(&mut self) -> Option<ByteBuf> {
        match Process::receive().await {
            Message::User(body) => Some(body),
            Message::System(_) => None,
        }
    }
}

impl System for Hydra {
    const NAME: &'static str = "hydra";
    const OFFERS: Offers = Offers { spawn: false, handshake: false, bulk: true, reliable: false };
    type Authority = ();
    type Identity = ();
    type Mailbox = HydraMailbox;

    fn authority() -> Result<(), Failure> {
        Ok(())
    }

    fn issue((): &(), _name: &str) -> Result<(), Failure> {
        Ok(())
    }

    fn start(name: &str, (): &()) -> Result<Self, Failure> {
        // Its own processes panic where a link ends, as every trial's does.
        child::hush("hydra-0.1.40");
        // It must be told a port; this one is free again at the end of the line.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        Node::set_cookie(COOKIE);
        Node::start(name, NodeOptions::new().listen_address(address).broadcast_address(address));
        Ok(Self { address, other: Arc::default() })
    }

    fn address(&self) -> Result<SocketAddr, Failure> {
        Ok(self.address)
    }

    async fn connect(&self, address: SocketAddr) -> Result<(), Failure> {
        while !self.sees(&far(0)) {
            Node::connect((far(0), address));
            tokio::time::sleep(AGAIN).await;
        }
        Ok(())
    }

    fn sees(&self, peer: &str) -> bool {
        Node::list_by_state(NodeState::Connected).iter().any(|node| node.name() == Some(peer))
    }

    fn process<F, Fut>(&self, name: &str, body: F) -> Result<(), Failure>
    where
        F: FnOnce(HydraMailbox) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let process = Process::spawn(body(HydraMailbox));
        let failed = |error| Failure::system("register a process", format!("{error:?}"));
        Process::register(process, name).map_err(failed)
    }

    async fn send(&self, to: &str, name: &str, payload: &[u8]) -> Result<(), Failure> {
        let other = match self.other.get() {
            Some(other) => other,
            None => {
                let nodes = Node::list_by_state(NodeState::Connected);
                let found = nodes.into_iter().find(|node| node.name() == Some(to));
                self.other.get_or_init(|| found.expect("nobody sends before the link is there"))
            }
        };
        Process::send((name.to_owned(), other.clone()), ByteBuf::from(payload));
        Ok(())
    }

    fn offer_spawn(&self) -> Result<(), Failure> {
        Err(Failure::system("spawn_remote", "hydra starts no processes elsewhere"))
    }

    async fn spawn_remote(&self, _to: &str) -> Result<(), Failure> {
        self.offer_spawn()
    }

    async fn shutdown(self) {
        Node::stop();
    }
}
