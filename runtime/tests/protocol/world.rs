//! A world of engines with real certificates, and short ways to look at it.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use quinn_proto::{ClientConfig, ServerConfig};
use regatta::cluster::quic::endpoint_config;
use regatta::cluster::tls::TlsConfigs;
use regatta::{ClusterCa, Identity, Incarnation, Limits, NodeId, NodeName, Pid, Reference};
use regatta_proto::engine::{Credentials, EngineConfig, Families, Membership};
use regatta_proto::host::{ClaimError, ConflictPolicy, ConnectError, Event, LinkEnd, Owner};
use regatta_proto::link::handshake::PeerName;
use regatta_proto::signal::Signal;
use regatta_proto::testing::{Mesh, Node};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::time_provider::TimeProvider;

/// Longer than any dial takes on a path that loses nothing.
pub(crate) const SOON: Duration = Duration::from_secs(5);
/// Longer than anything takes on a path that loses some datagrams.
pub(crate) const EVENTUALLY: Duration = Duration::from_secs(120);

/// A clock that stands still: certificates do not grow old while virtual time runs.
#[derive(Debug)]
struct Stopped(UnixTime);

impl TimeProvider for Stopped {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.0)
    }
}

struct TestCredentials {
    identity: Identity,
    tls: TlsConfigs,
}

impl Credentials for TestCredentials {
    fn server(&self) -> ServerConfig {
        ServerConfig::with_crypto(self.tls.server.clone())
    }

    fn client(&self) -> ClientConfig {
        ClientConfig::new(self.tls.client.clone())
    }

    fn server_name(&self, node: Option<&NodeName>) -> String {
        node.map_or_else(|| self.tls.server_name.clone(), |node| self.tls.server_name_of(node))
    }

    fn peer(&self, identity: Option<Box<dyn Any>>) -> Result<PeerName, String> {
        let chain = identity.and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
        let chain = chain.ok_or_else(|| "no certificate".to_owned())?;
        let certificate = self.identity.peer(&chain).map_err(|error| error.to_string())?;
        Ok(certificate.name.map_or(PeerName::Shared, PeerName::Certified))
    }
}

pub(crate) fn issue(ca: &ClusterCa, name: &str) -> Identity {
    ca.issue(name).expect("a certificate")
}

pub(crate) fn ca() -> ClusterCa {
    ClusterCa::generate().expect("a CA")
}

/// An engine that calls itself `name`, whatever its identity says.
pub(crate) fn engine(name: &str, incarnation: u64, identity: &Identity, limits: Limits) -> EngineConfig {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let time = Arc::new(Stopped(UnixTime::since_unix_epoch(now)));
    let tls = TlsConfigs::new(identity, time).expect("TLS takes the identity");
    let node = NodeName::new(name).expect("a node name");
    let mut endpoint = endpoint_config(identity, &node, None);
    endpoint.rng_seed(Some([u8::try_from(incarnation % 251).expect("below 251"); 32]));
    EngineConfig {
        id: NodeId { name: node, incarnation: Incarnation::from_raw(incarnation) },
        cluster: identity.cluster().clone(),
        membership: Membership::default(),
        families: Families { v4: true, v6: true },
        limits,
        endpoint,
        credentials: Box::new(TestCredentials { identity: identity.clone(), tls }),
        may_discover_mtu: true,
    }
}

/// An empty world.
pub(crate) fn mesh(seed: u64) -> Mesh {
    Mesh::new(Instant::now(), seed)
}

/// A world of nodes with certificates of one CA; the node at index `i` has incarnation `i + 1`.
pub(crate) fn certified(seed: u64, names: &[&str], limits: &Limits) -> Mesh {
    let (ca, mut mesh) = (ca(), mesh(seed));
    for (index, name) in names.iter().enumerate() {
        mesh.add(engine(name, index as u64 + 1, &issue(&ca, name), limits.clone()));
    }
    mesh
}

/// Two nodes, `a` and `b`, that are linked.
pub(crate) fn linked_pair(seed: u64) -> Mesh {
    let mut mesh = certified(seed, &["a", "b"], &Limits::default());
    link(&mut mesh, 0, 1);
    mesh
}

/// Dials and waits until both ends have the link.
pub(crate) fn link(mesh: &mut Mesh, from: usize, to: usize) {
    let (here, there) = (name(mesh, from), name(mesh, to));
    assert_eq!(dial(mesh, from, to).map(|id| id.name.to_string()), Ok(there.clone()));
    let both = |mesh: &Mesh| mesh.nodes[from].link(&there).is_some() && mesh.nodes[to].link(&here).is_some();
    assert!(mesh.run_until(SOON, both), "both ends have the link of {here} with {there}");
}

/// Dials and gives the outcome.
pub(crate) fn dial(mesh: &mut Mesh, from: usize, to: usize) -> Result<NodeId, ConnectError> {
    let token = mesh.connect(from, to);
    mesh.run_until(EVENTUALLY, |mesh| mesh.nodes[from].dialed(token).is_some());
    mesh.nodes[from].dialed(token).cloned().expect("every dial ends")
}

pub(crate) fn name(mesh: &Mesh, node: usize) -> String {
    mesh.nodes[node].engine.id().name.to_string()
}

/// A process of a node.
pub(crate) fn pid(mesh: &Mesh, node: usize, serial: u64) -> Pid {
    Pid::new(mesh.nodes[node].engine.id().incarnation, serial)
}

pub(crate) fn reference(raw: u64) -> Reference {
    Reference::from_raw(raw)
}

/// Why the links of a node ended, in order.
pub(crate) fn ends(node: &Node) -> Vec<&LinkEnd> {
    let ends = node.host.events.iter().filter_map(|event| match event {
        Event::Down { cause, .. } => Some(cause),
        _ => None,
    });
    ends.collect()
}

/// How many callers a node turned away.
pub(crate) fn rejected(node: &Node) -> usize {
    node.host.events.iter().filter(|event| matches!(event, Event::Rejected { .. })).count()
}

/// Every delivered signal that is no message, with its receiver's serial.
pub(crate) fn signals(node: &Node) -> Vec<(Pid, u64, Signal)> {
    use regatta_proto::signal::Target;
    let signals = node.host.delivered.iter().filter_map(|(from, to, signal)| match (to, signal) {
        (_, Signal::Message(_)) | (Target::Name(_) | Target::Group(_), _) => None,
        (Target::Serial(serial), signal) => Some((*from, *serial, signal.clone())),
    });
    signals.collect()
}

/// The owner of a global name as a node sees it: node and serial.
pub(crate) fn owner(mesh: &Mesh, node: usize, name: &str) -> Option<(String, u64)> {
    let owner = mesh.nodes[node].engine.owner(name);
    owner.map(|Owner { node, pid, .. }| (node.to_string(), pid.serial()))
}

/// Claims a global name for a process.
pub(crate) fn claim(mesh: &mut Mesh, node: usize, name: &str, serial: u64) -> Result<(), Owner> {
    claim_with(mesh, node, name, serial, ConflictPolicy::default())
}

/// Claims a global name for a process, and says what is done if another node has claimed it too.
pub(crate) fn claim_with(
    mesh: &mut Mesh,
    node: usize,
    name: &str,
    serial: u64,
    policy: ConflictPolicy,
) -> Result<(), Owner> {
    claim_as(mesh, node, name, serial, policy).map_err(|error| match error {
        ClaimError::Taken(owner) => owner,
        error @ ClaimError::TooMany { .. } => panic!("{error}"),
    })
}

pub(crate) fn claim_as(
    mesh: &mut Mesh,
    node: usize,
    name: &str,
    serial: u64,
    policy: ConflictPolicy,
) -> Result<(), ClaimError> {
    let name = name.parse().expect("a name");
    mesh.act(node, |now, engine, host| engine.register(now, name, serial, policy, host))
}
