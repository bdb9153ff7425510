//! ractor_cluster 0.16.5: ractor's actors on nodes that link over TCP with a shared cookie and, as it comes, without
//! encryption.
//!
//! A process is an actor in a process group of its name, where the other node's is looked up once: nodes tell each other of
//! groups, and of names they do not. A message is a `Vec<u8>`, which ractor sends as it is; it is cast, and whoever casts
//! does not wait. On its way it passes the actor that stands for the remote one, the session's and the connection's, then
//! a task that writes all that is pending at once, from one buffer. None of their queues has a bound: a second of messages of
//! 1 MiB is more than a trial's memory, so none are sent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use ractor::{Actor, ActorProcessingErr, ActorRef, ActorRuntime, pg};
use ractor_cluster::node::NodeServerSessionInformation;
use ractor_cluster::{NodeEventSubscription, NodeServer, NodeServerMessage, client_connect};

use super::body::{Body, Now, SlotMailbox};
use super::{AGAIN, Known, free_address};
use crate::workload::{Failure, Offers, System, far};

/// The secret that all nodes of a trial share.
const COOKIE: &str = "peers";
/// What a node's name ends with, behind an `@`.
const HOST: &str = "localhost";

/// This process's node.
#[derive(Clone)]
pub(crate) struct Ractor {
    server: ActorRef<NodeServerMessage>,
    address: SocketAddr,
    /// The nodes that a link is ready to.
    linked: Linked,
    known: Known<ActorRef<Vec<u8>>>,
}

/// What the node's server tells of its links: the names of the nodes that one is ready to.
#[derive(Clone, Default)]
struct Linked(Arc<Mutex<Vec<String>>>);

impl NodeEventSubscription for Linked {
    fn node_session_opened(&self, _session: NodeServerSessionInformation) {}

    fn node_session_disconnected(&self, _session: NodeServerSessionInformation) {}

    fn node_session_authenticated(&self, _session: NodeServerSessionInformation) {}

    fn node_session_ready(&self, session: NodeServerSessionInformation) {
        if let Some(peer) = session.peer_name {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(peer.name);
        }
    }
}

/// An actor that runs a body of the workload.
struct Process;

impl Actor for Process {
    type Msg = Vec<u8>;
    type State = Body;
    type Arguments = (String, Body);

    async fn pre_start(
        &self,
        myself: ActorRef<Vec<u8>>,
        (name, body): (String, Body),
    ) -> Result<Body, ActorProcessingErr> {
        pg::join(name, vec![myself.get_cell()]);
        Ok(body)
    }

    async fn post_start(&self, myself: ActorRef<Vec<u8>>, body: &mut Body) -> Result<(), ActorProcessingErr> {
        if body.begin().await == Now::Ended {
            myself.stop(None);
        }
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<Vec<u8>>,
        message: Vec<u8>,
        body: &mut Body,
    ) -> Result<(), ActorProcessingErr> {
        if body.handle(message).await == Now::Ended {
            myself.stop(None);
        }
        Ok(())
    }
}

impl System for Ractor {
    const NAME: &'static str = "ractor-cluster";
    const OFFERS: Offers = Offers { spawn: false, handshake: false, bulk: false, reliable: false };
    type Authority = ();
    type Identity = ();
    type Mailbox = SlotMailbox;

    fn authority() -> Result<(), Failure> {
        Ok(())
    }

    fn issue((): &(), _name: &str) -> Result<(), Failure> {
        Ok(())
    }

    fn start(name: &str, (): &()) -> Result<Self, Failure> {
        let failed = |error| Failure::system("start a node", error);
        let address = free_address()?;
        let server = NodeServer::new(address.port(), COOKIE.into(), name.into(), HOST.into(), None, None);
        let (server, started) =
            ActorRuntime::spawn_instant(None, server.with_listen_addr(address.ip()), ()).map_err(failed)?;
        let linked = Linked::default();
        let subscribe = NodeServerMessage::SubscribeToEvents {
            id: "linked".into(),
            subscription: Box::new(linked.clone()),
        };
        server.cast(subscribe).map_err(|error| Failure::system("subscribe to links", error))?;
        tokio::spawn(async move {
            if let Ok(Err(error)) = started.await {
                // The connecting side fails by itself; the cause must not get lost.
                eprintln!("ractor-cluster: a node could not start: {error}");
            }
        });
        Ok(Self { server, address, linked, known: Known::none() })
    }

    fn address(&self) -> Result<SocketAddr, Failure> {
        Ok(self.address)
    }

    async fn connect(&self, address: SocketAddr) -> Result<(), Failure> {
        // The other node does not say when it listens.
        while client_connect(&self.server, address).await.is_err() {
            tokio::time::sleep(AGAIN).await;
        }
        while !self.sees(&far(0)) {
            tokio::time::sleep(AGAIN).await;
        }
        Ok(())
    }

    fn sees(&self, peer: &str) -> bool {
        let linked = self.linked.0.lock().unwrap_or_else(PoisonError::into_inner);
        linked.iter().any(|name| name.split_once('@').is_some_and(|(name, _)| name == peer))
    }

    fn process<F, Fut>(&self, name: &str, body: F) -> Result<(), Failure>
    where
        F: FnOnce(SlotMailbox) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let started = ActorRuntime::spawn_instant(None, Process, (name.into(), Body::new(body)));
        started.map(drop).map_err(|error| Failure::system("start a process", error))
    }

    async fn send(&self, _to: &str, name: &str, payload: &[u8]) -> Result<(), Failure> {
        let cast = |actor: &ActorRef<Vec<u8>>| {
            actor.cast(payload.into()).map_err(|error| Failure::system("cast", error))
        };
        if let Some(actor) = self.known.get(name) {
            return cast(actor);
        }
        let actor = find(name).await;
        cast(&actor)?;
        self.known.keep(name, actor);
        Ok(())
    }

    fn offer_spawn(&self) -> Result<(), Failure> {
        Err(Failure::system("spawn_remote", "ractor starts no processes elsewhere"))
    }

    async fn spawn_remote(&self, _to: &str) -> Result<(), Failure> {
        self.offer_spawn()
    }

    async fn shutdown(self) {
        self.server.stop(None);
    }
}

/// The other node's actor in the group of that name. Its node tells of it a moment after it has started, and there is no event
/// for the group's first member from elsewhere.
async fn find(name: &str) -> ActorRef<Vec<u8>> {
    let group = name.to_owned();
    loop {
        let members = pg::get_members(&group);
        if let Some(actor) = members.into_iter().find(|actor| !actor.get_id().is_local()) {
            return actor.into();
        }
        tokio::time::sleep(AGAIN).await;
    }
}
