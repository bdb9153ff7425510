//! hydra: Erlang-style processes on tokio, nodes over plain TCP, messages as MessagePack.
//!
//! A process is one node, since the crate keeps its tables in statics. Sends never wait and never fail: its queues have no bound.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use hydra::{Message, Node, NodeOptions, Process};
use serde_bytes::ByteBuf;

use crate::child::ANSWER_TIMEOUT;
use crate::workload::{self, Failure, Mailbox, NEAR, Offers, System};

/// How often it is looked whether a link is there: there is no event for it.
const LOOK: Duration = Duration::from_millis(1);

/// The node of this process.
#[derive(Clone)]
pub(crate) struct Hydra {
    address: SocketAddr,
    /// The one other node.
    peer: Arc<OnceLock<Node>>,
}

/// The mailbox of the process that runs: the crate keeps it in a task-local.
pub(crate) struct OwnMailbox;

impl Mailbox for OwnMailbox {
    type Message = ByteBuf;

    async fn recv(&mut self) -> Option<ByteBuf> {
        match Process::receive::<ByteBuf>().await {
            Message::User(message) => Some(message),
            Message::System(_) => None,
        }
    }
}

impl Hydra {
    fn peer(&self, name: &str) -> Option<&Node> {
        if let Some(peer) = self.peer.get() {
            return Some(peer);
        }
        let found = Node::list().into_iter().find(|node| node.name() == Some(name))?;
        Some(self.peer.get_or_init(|| found))
    }
}

impl System for Hydra {
    const NAME: &'static str = "hydra";
    const OFFERS: Offers =
        Offers { spawn: false, handshake: false, bulk: false, mesh: false, reliable: false, many: false };
    type Authority = ();
    type Identity = ();
    type Mailbox = OwnMailbox;

    fn authority() -> Result<(), Failure> {
        Ok(())
    }

    fn issue((): &(), _name: &str) -> Result<(), Failure> {
        Ok(())
    }

    fn start(name: &str, (): &()) -> Result<Self, Failure> {
        // It takes an address and does not tell the one that it got.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        Node::start(name, NodeOptions::new().listen_address(address).broadcast_address(address));
        Ok(Self { address, peer: Arc::default() })
    }

    fn address(&self) -> Result<SocketAddr, Failure> {
        Ok(self.address)
    }

    async fn connect(&self, address: SocketAddr) -> Result<(), Failure> {
        let begin = Instant::now();
        Node::connect((workload::far(0), address));
        while !self.sees(&workload::far(0)) {
            if begin.elapsed() > ANSWER_TIMEOUT {
                return Err(Failure::Late("a link"));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    fn sees(&self, peer: &str) -> bool {
        Node::list().iter().any(|node| node.name() == Some(peer))
    }

    fn process<F, Fut>(&self, name: &str, body: F) -> Result<(), Failure>
    where
        F: FnOnce(OwnMailbox) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let pid = Process::spawn(body(OwnMailbox));
        Process::register(pid, name).map_err(|error| Failure::system("register a name", format!("{error:?}")))
    }

    async fn send(&self, to: &str, name: &str, payload: &[u8]) -> Result<(), Failure> {
        debug_assert!(to == NEAR || to == workload::far(0), "there are two nodes");
        let peer = self.peer(to).ok_or(Failure::Late("the other node"))?;
        Process::send((name.to_owned(), peer.clone()), ByteBuf::from(payload));
        Ok(())
    }

    fn offer_spawn(&self) -> Result<(), Failure> {
        Ok(())
    }

    async fn spawn_remote(&self, _to: &str) -> Result<(), Failure> {
        Err(Failure::Process("hydra starts no process on another node".into()))
    }

    async fn shutdown(self) {
        Node::stop();
    }
}
