//! kameo 0.22.2 with its feature `remote`: kameo's actors on nodes of libp2p, over TCP with encryption by Noise and streams
//! by Yamux.
//!
//! The node is what kameo's `bootstrap` makes, with its default configuration, but for two things: it is told whom to dial
//! instead of finding others by multicast, and it listens on loopback only. A process is an actor with kameo's default
//! mailbox of 64 messages, registered under its name in the Kademlia table of the nodes and looked up there once.
//!
//! Each message that is told is a request and a response of libp2p, on a stream of its own. It is told with `send_ack`, which
//! waits for the response: the message is in its mailbox. Plain `send` does not wait, but costs the same, and by default a link
//! drops whatever exceeds 100 streams at once: a flood loses most of its messages or comes to a stop. So one message
//! of each sender is under way at a time. For the same reason there is a limit to the pairs of client and echo
//! ([`IN_FLIGHT_MAX`]), and nothing of 1 MiB is sent: that is the most that a request may have by default, all that
//! surrounds the body included.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use kameo::actor::{ActorRef, RemoteActorRef, Spawn};
use kameo::message::{Context, Message};
use kameo::remote::{Behaviour, messaging};
use kameo::{Actor, RemoteActor, remote_message};
use libp2p::futures::StreamExt;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, Swarm, SwarmBuilder, noise, tcp, yamux};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use tokio::sync::{mpsc, oneshot};

use super::body::{Body, Now, SlotMailbox};
use super::{AGAIN, Known, free_address};
use crate::child;
use crate::workload::{Failure, Offers, System};

/// Most pairs of client and echo: of the numbers that are tried, the highest that the default of 100 streams is enough for.
pub(crate) const IN_FLIGHT_MAX: u32 = 64;

/// This process's node.
#[derive(Clone)]
pub(crate) struct Kameo {
    address: SocketAddr,
    /// Has the node dial.
    dials: mpsc::UnboundedSender<Dial>,
    /// Whether the node has its link.
    linked: Arc<AtomicBool>,
    known: Known<RemoteActorRef<Process>>,
}

/// A node to link to, and who waits for that.
struct Dial {
    address: Multiaddr,
    done: oneshot::Sender<Result<(), Failure>>,
}

/// An actor that runs a body of the workload.
#[derive(RemoteActor)]
struct Process(Body);

impl Actor for Process {
    type Args = Body;
    type Error = Infallible;

    async fn on_start(mut body: Body, myself: ActorRef<Self>) -> Result<Self, Infallible> {
        if body.begin().await == Now::Ended {
            myself.kill();
        }
        Ok(Self(body))
    }
}

#[remote_message]
impl Message<ByteBuf> for Process {
    type Reply = ();

    async fn handle(&mut self, message: ByteBuf, context: &mut Context<Self, ()>) {
        if self.0.handle(message.into_vec()).await == Now::Ended {
            context.stop();
        }
    }
}

/// Asks whether a process is there. It has no part in a measurement.
#[derive(Serialize, Deserialize)]
struct Hello;

#[remote_message]
impl Message<Hello> for Process {
    type Reply = ();

    async fn handle(&mut self, Hello: Hello, _: &mut Context<Self, ()>) {}
}

impl System for Kameo {
    const NAME: &'static str = "kameo";
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

    fn start(_name: &str, (): &()) -> Result<Self, Failure> {
        // A node panics if its runtime ends while it delivers a message, as some trial's may.
        child::hush("kameo-0.22.2");
        let address = free_address()?;
        let swarm = swarm(address)?;
        let (dials, asked) = mpsc::unbounded_channel();
        let linked = Arc::new(AtomicBool::new(false));
        tokio::spawn(run(swarm, asked, linked.clone()));
        Ok(Self { address, dials, linked, known: Known::none() })
    }

    fn address(&self) -> Result<SocketAddr, Failure> {
        Ok(self.address)
    }

    async fn connect(&self, address: SocketAddr) -> Result<(), Failure> {
        let (done, answer) = oneshot::channel();
        let dial = Dial { address: multiaddr(address), done };
        self.dials.send(dial).map_err(|error| Failure::system("dial", error))?;
        answer.await.map_err(|error| Failure::system("dial", error))?
    }

    fn sees(&self, _peer: &str) -> bool {
        // There is one link, so nobody else can be at its other end.
        self.linked.load(Relaxed)
    }

    fn process<F, Fut>(&self, name: &str, body: F) -> Result<(), Failure>
    where
        F: FnOnce(SlotMailbox) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let (process, name) = (Process::spawn(Body::new(body)), name.to_owned());
        tokio::spawn(async move {
            if let Err(error) = process.register(name.as_str()).await {
                // Whoever looks it up waits until the trial's deadline; the cause must not get lost.
                eprintln!("kameo: {name} could not be registered: {error}");
            }
        });
        Ok(())
    }

    async fn send(&self, _to: &str, name: &str, payload: &[u8]) -> Result<(), Failure> {
        let (payload, failed) = (ByteBuf::from(payload), |error| Failure::system("tell", error));
        if let Some(process) = self.known.get(name) {
            return process.tell(&payload).send_ack().await.map_err(failed);
        }
        let process = find(name).await?;
        process.tell(&payload).send_ack().await.map_err(failed)?;
        self.known.keep(name, process);
        Ok(())
    }

    fn offer_spawn(&self) -> Result<(), Failure> {
        Err(Failure::system("spawn_remote", "kameo starts no processes elsewhere"))
    }

    async fn spawn_remote(&self, _to: &str) -> Result<(), Failure> {
        self.offer_spawn()
    }

    async fn shutdown(self) {}
}

/// A node that listens at `address`, and that this process's actors are on.
fn swarm(address: SocketAddr) -> Result<Swarm<Behaviour>, Failure> {
    let secured = SwarmBuilder::with_new_identity().with_tokio().with_tcp(
        tcp::Config::default(),
        noise::Config::new,
        yamux::Config::default,
    );
    let secured = secured.map_err(|error| Failure::system("set up a transport", error))?;
    let built =
        secured.with_behaviour(|key| Behaviour::new(key.public().to_peer_id(), messaging::Config::default()));
    let mut swarm = built.map_err(|error| Failure::system("set up a node", error))?.build();
    swarm.behaviour().try_init_global().map_err(|error| Failure::system("start a node", error))?;
    swarm.listen_on(multiaddr(address)).map_err(|error| Failure::system("listen", error))?;
    Ok(swarm)
}

/// Runs the node: until it has its link it can be asked to dial, and then for ever.
async fn run(mut swarm: Swarm<Behaviour>, mut dials: mpsc::UnboundedReceiver<Dial>, linked: Arc<AtomicBool>) {
    let mut dialling = None;
    while !linked.load(Relaxed) {
        tokio::select! {
            Some(Dial { address, done }) = dials.recv() => match swarm.dial(address) {
                Ok(()) => dialling = Some(done),
                // Who asked has gone if this cannot be told.
                Err(error) => drop(done.send(Err(Failure::system("dial", error)))),
            },
            event = swarm.select_next_some() => match event {
                SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } => {
                    // Multicast would have told both ends.
                    swarm.add_peer_address(peer_id, endpoint.get_remote_address().clone());
                    linked.store(true, Relaxed);
                    if let Some(done) = dialling.take() {
                        let _ = done.send(Ok(()));
                    }
                }
                SwarmEvent::OutgoingConnectionError { error, .. } => {
                    if let Some(done) = dialling.take() {
                        let _ = done.send(Err(Failure::system("dial", error)));
                    }
                }
                _ => {}
            },
        }
    }
    loop {
        swarm.select_next_some().await;
    }
}

/// The actor of that name. Its registration may have to arrive yet; and it can be found a moment before its own node
/// takes messages for it, which would be lost, so it has to say hello first.
async fn find(name: &str) -> Result<RemoteActorRef<Process>, Failure> {
    let failed = |error| Failure::system("look up a process", error);
    loop {
        if let Some(process) = RemoteActorRef::<Process>::lookup(name).await.map_err(failed)?
            && process.tell(&Hello).send_ack().await.is_ok()
        {
            return Ok(process);
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn multiaddr(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port()))
}
