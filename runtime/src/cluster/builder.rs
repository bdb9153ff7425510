//! A node's choices, and its start.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use regatta_proto::engine::{Engine, EngineConfig, Families, Membership};
use regatta_proto::id::{NodeId, NodeName};
use regatta_proto::limits::{Limits, MESSAGE_BYTES_CEILING};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use rustls::{KeyLog, NoKeyLog};
use tokio::runtime::Handle;
use tracing::Instrument as _;

use super::core::{Core, Loop};
use super::discovery::{self, Discovery};
use super::error::BindError;
use super::identity::Identity;
use super::node::ClusterNode;
use super::quic::{self, NodeCredentials};
use super::remote::Wire;
use super::tls::{self, TlsConfigs};
use crate::actor::Runtime;
use crate::clock::Clock;
use crate::net::driver::Driver;
use crate::net::{Socket, UdpSocket};

/// How long a loop may look for more before it sleeps, if nothing else is asked for.
const SPIN: Duration = Duration::from_micros(100);

/// Choices before a node starts; [`ClusterNode::bind`] starts one without any.
#[derive(Debug, Clone)]
pub struct ClusterNodeBuilder {
    name: String,
    runtime: Runtime,
    identity: Identity,
    limits: Limits,
    membership: Membership,
    spin: Option<Duration>,
    guard: Option<bool>,
    goodbye: bool,
    /// Another name for the hello than the node's own.
    announced: Option<String>,
    entropy: Option<[u8; 32]>,
    key_log: Arc<dyn KeyLog>,
    discovery: Option<Search>,
    cryptography: CryptoProvider,
}

impl ClusterNodeBuilder {
    pub(crate) fn new(name: String, runtime: Runtime, identity: Identity) -> Self {
        Self {
            name,
            runtime,
            identity,
            limits: Limits::default(),
            membership: Membership::default(),
            spin: None,
            guard: None,
            goodbye: true,
            announced: None,
            entropy: None,
            key_log: Arc::new(NoKeyLog),
            discovery: None,
            cryptography: tls::provider(),
        }
    }

    /// Bounds and timeouts other than the defaults.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// An address where the others can dial this node, if it is another than the one that it is bound to: behind a port
    /// forwarding, or when it is bound to a wildcard. Port 0 stands for the port that the node is bound to. May be said
    /// several times, the best address first, for example one for IPv4 and one for IPv6.
    #[must_use]
    pub fn advertise(mut self, addr: SocketAddr) -> Self {
        self.membership.addrs.push(addr);
        self
    }

    /// Where other nodes of the cluster may be. The node looks from its start on and dials whom it finds: again and
    /// again while it is alone, every half a minute afterwards. One of them is enough: it knows the others. A list
    /// ([`StaticSeeds`](super::StaticSeeds)), a DNS name ([`DnsSeeds`](super::DnsSeeds)), a file
    /// ([`SeedFile`](super::SeedFile)), or a program's own.
    #[must_use]
    pub fn discovery(mut self, discovery: impl Discovery) -> Self {
        self.discovery = Some(Search(Arc::new(discovery)));
        self
    }

    /// Whether the node links with every member that it hears of, and they with it. Default true: the cluster is a full
    /// mesh, whichever members a node was told to dial. With false, a member is dialled when something is first sent to it: a
    /// message, a call, a spawn, an attach. Links and monitors do not dial, and end at once where there is no link.
    #[must_use]
    pub fn connect_all(mut self, connect_all: bool) -> Self {
        self.membership.connect_all = connect_all;
        self
    }

    /// Whether the node keeps to itself: members are not told of it, nor it of them, so it is linked only with those
    /// that it dials or that dial it. For tools and observers. Default false.
    #[must_use]
    pub fn hidden(mut self, hidden: bool) -> Self {
        self.membership.hidden = hidden;
        self
    }

    /// How long the node's loop may look for more before it sleeps: on a tokio runtime of one worker 100 µs by default, on
    /// one of several not at all; zero for never.
    ///
    /// Waking a sleeping core costs more than a whole round trip. So while at least two of three pauses between
    /// messages are shorter than this bound, the loop looks again and again instead of sleeping; where pauses are
    /// longer it does not, and an idle node costs nothing. The price is CPU time: with more than about 1 / `spin`
    /// messages a second, one core looks busy that would else sleep between them. It gives way to whoever else wants
    /// that core, and to every task that is ready.
    ///
    /// On a runtime of several workers a thread does that in the loop's place, and runs the processes that it wakes: have
    /// one core more than the workers keep busy. While it looks, the socket wakes nobody; for a timer that is due soon it
    /// looks up to twice as long. The loop has its work back once messages do not follow each other closely, or are more
    /// than a thread should handle alone; [`NodeStats::spins`] counts how often the thread had it. A process that blocks
    /// the thread holds up the network, as processes that hold every worker do ([`guard`](Self::guard)). With a spawner of
    /// your own there is no such thread.
    ///
    /// [`NodeStats::spins`]: super::NodeStats::spins
    #[must_use]
    pub fn spin(mut self, spin: Duration) -> Self {
        self.spin = Some(spin);
        self
    }

    /// Whether a thread does the network's work while processes hold every worker of the tokio runtime, so that peers
    /// do not take this node for dead: yes, unless the runtime was built with a spawner of its own.
    ///
    /// The thread looks ten times a second, and takes over after at most two looks; [`NodeStats::takeovers`] counts. It
    /// changes nothing about the processes: what they do not read waits in their mailboxes.
    ///
    /// [`NodeStats::takeovers`]: super::NodeStats::takeovers
    #[must_use]
    pub fn guard(mut self, guard: bool) -> Self {
        self.guard = Some(guard);
        self
    }

    /// Whether the node says goodbye when the tokio runtime around it ends before it was shut down: yes. So it does at the end
    /// of `main`, and when that panics, and its peers need not find out by its silence. What was sent just before may not
    /// arrive: for that, [`shutdown`](ClusterNode::shutdown) and wait for [`ended`](ClusterNode::ended).
    ///
    /// Without it the end is like that of a process that is killed, for tests of that.
    #[must_use]
    pub fn goodbye(mut self, goodbye: bool) -> Self {
        self.goodbye = goodbye;
        self
    }

    /// Announces another name than the identity's in the hello, which no honest peer accepts: for tests of that
    /// refusal.
    #[doc(hidden)]
    #[must_use]
    pub fn announce(mut self, name: impl Into<String>) -> Self {
        self.announced = Some(name.into());
        self
    }

    /// Draws connection ids and whatever else QUIC decides by chance from this seed instead of the system, so that a
    /// simulation repeats. Never for a node that strangers can reach: its ids can be foretold.
    #[doc(hidden)]
    #[must_use]
    pub fn entropy(mut self, seed: [u8; 32]) -> Self {
        self.entropy = Some(seed);
        self
    }

    /// Where the secrets of each connection are noted, for reading captured packets. Whoever has them reads everything.
    #[doc(hidden)]
    #[must_use]
    pub fn key_log(mut self, key_log: Arc<dyn KeyLog>) -> Self {
        self.key_log = key_log;
        self
    }

    /// Changes where the cryptography of handshakes comes from: random numbers, key exchanges. For a simulation, in
    /// which they follow from a seed.
    #[doc(hidden)]
    #[must_use]
    pub fn cryptography(mut self, change: impl FnOnce(&mut CryptoProvider)) -> Self {
        change(&mut self.cryptography);
        self
    }

    /// Binds a UDP socket and starts the node on it. Port 0 lets the system choose;
    /// [`ClusterNode::local_addr`] tells.
    ///
    /// # Errors
    /// [`BindError`]; nothing is left behind then.
    pub fn bind(self, addr: SocketAddr) -> Result<ClusterNode, BindError> {
        // The socket registers with tokio's I/O driver, which panics where there is no tokio.
        Handle::try_current().map_err(|_| BindError::NoTokio)?;
        let socket = UdpSocket::bind(addr).map_err(|source| BindError::Address { addr, source })?;
        self.start(socket)
    }

    /// Starts the node on a socket of your own.
    ///
    /// # Errors
    /// [`BindError`]; nothing is left behind then.
    pub fn start(self, socket: impl Socket + Unpin) -> Result<ClusterNode, BindError> {
        let Self {
            name,
            runtime,
            identity,
            limits,
            mut membership,
            spin,
            guard,
            goodbye,
            announced,
            entropy,
            key_log,
            discovery,
            cryptography,
        } = self;
        let (asked, max) = (limits.message_bytes_max, MESSAGE_BYTES_CEILING);
        if asked > max {
            return Err(BindError::MessageBytes { asked, max });
        }
        let tokio = Handle::try_current().map_err(|_| BindError::NoTokio)?;
        let name = NodeName::new(&name)?;
        if let Some(issued) = identity.node_name()
            && *issued != name
        {
            return Err(BindError::Identity { name: name.to_string(), issued: issued.to_string() });
        }
        let name = announced.map(NodeName::new).transpose()?.unwrap_or(name);
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let addr = socket.local_addr().map_err(|source| BindError::Address { addr: unknown, source })?;
        if membership.addrs.is_empty() && !addr.ip().is_unspecified() {
            membership.addrs.push(addr);
        }
        for advertised in membership.addrs.iter_mut().filter(|advertised| advertised.port() == 0) {
            advertised.set_port(addr.port());
        }
        if let Some(advertised) = membership.addrs.iter().find(|advertised| advertised.ip().is_unspecified())
        {
            return Err(BindError::Advertised { addr: *advertised });
        }
        if membership.addrs.is_empty() && membership.connect_all && !membership.hidden {
            return Err(BindError::Advertised { addr });
        }
        let time = Arc::new(NodeTime(runtime.clock().clone()));
        let tls = TlsConfigs::with(&identity, time, key_log, cryptography)
            .map_err(|error| BindError::Tls(error.to_string()))?;
        let advertised = membership.addrs.clone();
        let id = NodeId { name, incarnation: runtime.incarnation() };
        let engine = Engine::new(EngineConfig {
            id: id.clone(),
            cluster: identity.cluster().clone(),
            membership,
            families: Families::of(addr),
            limits,
            endpoint: quic::endpoint_config(&identity, &id.name, entropy),
            credentials: Box::new(NodeCredentials::new(identity.clone(), tls, entropy)),
            may_discover_mtu: !socket.may_fragment(),
        });
        let core = Core::new(id, runtime.clone(), engine, addr, advertised);
        if !runtime.attach_remote(Arc::new(Wire(Arc::downgrade(&core)))) {
            return Err(BindError::RuntimeInUse);
        }
        tracing::info!(node = %core.id.name, incarnation = %core.id.incarnation, %addr, "node started");
        if identity.is_shared() {
            tracing::warn!(
                node = %core.id.name,
                "shared identity: peers are not told apart by their certificates, any of them may use any free name"
            );
        }
        let is_alone = tokio.metrics().num_workers() == 1;
        let own = if is_alone { spin.unwrap_or(SPIN) } else { Duration::ZERO };
        let driver = Driver::new(Loop(core.clone()), socket, own, runtime.clock().clone());
        let mut driver = driver.goodbye(goodbye);
        // Ends by itself when the node is shut down, and with the tokio runtime otherwise.
        let span = tracing::debug_span!("node", name = %core.id.name, incarnation = %core.id.incarnation);
        if let Some(spin) = spin.filter(|spin| !is_alone && !spin.is_zero() && runtime.is_on_tokio()) {
            driver = span.in_scope(|| driver.spun_for(spin)).map_err(BindError::Thread)?;
        }
        if guard.unwrap_or(runtime.is_on_tokio()) {
            driver = driver.guarded().map_err(BindError::Thread)?;
        }
        runtime.run(driver.instrument(span.clone()));
        if let Some(Search(discovery)) = discovery {
            runtime.run(discovery::Search::new(&core, discovery).run().instrument(span));
        }
        Ok(ClusterNode::new(core))
    }
}

/// A discovery as a choice.
#[derive(Clone)]
struct Search(Arc<dyn Discovery>);

impl std::fmt::Debug for Search {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Discovery")
    }
}

/// Certificates are judged by the node's own clock.
#[derive(Clone)]
struct NodeTime(Arc<dyn Clock>);

impl std::fmt::Debug for NodeTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NodeTime")
    }
}

impl TimeProvider for NodeTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_micros(self.0.unix_us())))
    }
}
