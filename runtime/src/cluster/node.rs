//! A node of a cluster, as users see it.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use regatta_proto::engine::EngineStats;
use regatta_proto::host::ConnectError;
use regatta_proto::id::{Name, NodeId, Pid};
use tokio::sync::watch;

pub use regatta_proto::engine::{ClusterView, LinkInfo, MemberInfo, Standing};

use super::attach::RemoteProcess;
use super::builder::ClusterNodeBuilder;
use super::conflict::OnConflict;
use super::core::{Core, Life};
use super::error::{
    AttachError, BindError, ForgetError, NodeAckError, NodeSendError, RegisterGlobalError, SpawnError,
};
use super::events::{Evidence, NodeEvents};
use super::identity::Identity;
use super::spawn::{RemoteChild, SpawnRemote};
use crate::actor::Runtime;

/// A runtime that is a member of a cluster.
///
/// Cloning gives another handle to the same node. The node shuts down with [`shutdown`](Self::shutdown), or when its
/// last handle is dropped; its processes go on, alone.
///
/// ```
/// use regatta::{ClusterNode, Identity, Runtime};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let addr = "127.0.0.1:0".parse()?;
/// # let addr2 = addr;
/// let id = Identity::generate()?; // shared cluster cert
/// let london = ClusterNode::bind("london", Runtime::new(), addr, &id)?;
/// let tokyo = ClusterNode::bind("tokyo", Runtime::new(), addr2, &id)?;
/// tokyo.connect(london.local_addr()?).await?; // like Node.connect/1
///
/// let greeter = london.runtime().spawn(|mut ctx| async move {
///     let message = ctx.recv().await.message().expect("nobody else sends here");
///     assert_eq!(message, "hello");
/// });
/// london.register_global("greeter", greeter.pid());
/// tokyo.settled(|node| node.whereis_global("greeter").is_some()).await;
/// tokyo.send_global("greeter", b"hello").await?;
/// greeter.join().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ClusterNode {
    handle: Arc<Handle>,
}

/// The last one to go takes the node with it.
struct Handle {
    core: Arc<Core>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.core.shutdown();
    }
}

/// What a node has done so far. Each number is read at the same instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct NodeStats {
    /// Peers turned away before there was a link: no trust, wrong name, wrong version, too slow, too many.
    pub handshakes_refused: u64,
    /// Links that came up.
    pub links_up: u64,
    /// Links that ended.
    pub links_down: u64,
    /// Signals that were queued for a link when it was lost.
    pub signals_dropped: u64,
    /// Messages by [`send_datagram`](ClusterNode::send_datagram) that did not leave, because the link had no room for more.
    pub datagrams_dropped: u64,
    /// Signals that arrived from peers.
    pub signals_received: u64,
    /// UDP datagrams sent.
    pub datagrams_sent: u64,
    /// UDP datagrams received.
    pub datagrams_received: u64,
    /// Suspicions of peers that were silent for long.
    pub suspicions: u64,
    /// Suspicions that ended with a sign of life.
    pub suspicions_wrong: u64,
    /// Links that were given up though a third node heard the peer.
    pub links_cut: u64,
    /// Nodes that were found to be down.
    pub nodes_down: u64,
    /// Memberships of groups that others were not told of, because this node has as many names and memberships as they take
    /// ([`Limits::names_per_peer_max`](crate::Limits::names_per_peer_max)).
    pub memberships_untold: u64,
    /// How often a guard began to do the network's work because processes held every worker.
    pub takeovers: u64,
    /// How often a thread began to look for more in the loop's place ([`ClusterNodeBuilder::spin`](super::ClusterNodeBuilder::spin)).
    pub spins: u64,
}

impl From<EngineStats> for NodeStats {
    fn from(stats: EngineStats) -> Self {
        Self {
            handshakes_refused: stats.handshakes_refused,
            links_up: stats.links_up,
            links_down: stats.links_down,
            signals_dropped: stats.frames_dropped,
            datagrams_dropped: stats.datagrams_dropped,
            signals_received: stats.signals_received,
            datagrams_sent: stats.datagrams_sent,
            datagrams_received: stats.datagrams_received,
            suspicions: stats.suspicions,
            suspicions_wrong: stats.suspicions_wrong,
            links_cut: stats.links_cut,
            nodes_down: stats.nodes_down,
            memberships_untold: stats.memberships_untold,
            takeovers: 0,
            spins: 0,
        }
    }
}

impl ClusterNode {
    /// Starts a node: binds a UDP socket to `addr` and serves `runtime` to the cluster. Port 0 lets the system choose.
    ///
    /// Must be called inside a tokio runtime with I/O and time enabled; the node's loop runs there.
    ///
    /// # Errors
    /// [`BindError`]: the name is not one DNS label or not the identity's, the address cannot be bound, or the runtime
    /// belongs to another node. Nothing is left behind then.
    pub fn bind(
        name: impl Into<String>,
        runtime: Runtime,
        addr: SocketAddr,
        identity: &Identity,
    ) -> Result<Self, BindError> {
        Self::builder(name, runtime, identity).bind(addr)
    }

    /// Choices before the start: bounds, or a socket of your own.
    #[must_use]
    pub fn builder(name: impl Into<String>, runtime: Runtime, identity: &Identity) -> ClusterNodeBuilder {
        ClusterNodeBuilder::new(name.into(), runtime, identity.clone())
    }

    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { handle: Arc::new(Handle { core }) }
    }

    fn core(&self) -> &Core {
        &self.handle.core
    }

    pub(crate) fn core_handle(&self) -> &Arc<Core> {
        &self.handle.core
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.core().id.name.as_str()
    }

    /// The node's name and this start of it.
    #[must_use]
    pub fn id(&self) -> &NodeId {
        &self.core().id
    }

    /// The runtime that the node serves to the cluster.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.core().runtime
    }

    /// The address that the node is bound to.
    ///
    /// # Errors
    /// `NotConnected` once the node has shut down: there is no socket any more.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match *self.core().life.borrow() {
            Life::Over => Err(io::Error::new(io::ErrorKind::NotConnected, "the node has shut down")),
            Life::Running | Life::Closing => Ok(self.core().addr),
        }
    }

    /// Links this node with the one at `addr`. If the two are linked already, or the other end dials at the same time,
    /// they end with one link, and both calls succeed.
    ///
    /// # Errors
    /// [`ConnectError`], at the latest when the handshake times out (3 s by default). No link was made.
    pub async fn connect(&self, addr: SocketAddr) -> Result<RemoteNode, ConnectError> {
        let id = self.core_handle().dial(addr).await?;
        Ok(RemoteNode { node: self.clone(), id })
    }

    /// Sends to the process that is registered as `to_name` on `to_node`, which may be this node. `Ok` means accepted
    /// here, not handled there. Waits while the link is above its high-water mark.
    ///
    /// # Errors
    /// [`NodeSendError`]; the message was then not sent.
    pub async fn send(&self, to_node: &str, to_name: &str, payload: &[u8]) -> Result<(), NodeSendError> {
        match self.core().send_at_once(to_node, to_name, payload) {
            Some(sent) => sent,
            // Apart, so that the future of whoever sends has no room for it where nothing is waited for.
            None => Box::pin(self.core().send_when_ready(to_node, to_name, payload)).await,
        }
    }

    /// [`send`](Self::send) without order: the message may overtake what the caller has sent before, and be overtaken. A
    /// lost packet delays only the messages that were in it.
    ///
    /// # Errors
    /// [`NodeSendError`]; the message was then not sent.
    pub async fn send_unordered(
        &self,
        to_node: &str,
        to_name: &str,
        payload: &[u8],
    ) -> Result<(), NodeSendError> {
        self.core().send_unordered_to_node(to_node, to_name, payload).await
    }

    /// Sends in one datagram: the message may be lost or overtake others, but never comes twice. Never waits. To another
    /// node at most about 1,100 bytes fit, less the length of the name; the error says how many.
    ///
    /// # Errors
    /// [`NodeSendError`]; the message was then not sent.
    pub fn send_datagram(&self, to_node: &str, to_name: &str, payload: &[u8]) -> Result<(), NodeSendError> {
        self.core().send_datagram_to_node(to_node, to_name, payload)
    }

    /// [`send`](Self::send) that resolves when the message is in the receiver's mailbox, in order with what else the caller
    /// has sent to that node. Says nothing of whether the receiver reads it. Waits for `timeout` at most. If the future is
    /// dropped, the message is sent or not, as a whole.
    ///
    /// # Errors
    /// [`NodeAckError`], which says whether the message may have been delivered all the same.
    pub async fn send_acked(
        &self,
        to_node: &str,
        to_name: &str,
        payload: &[u8],
        timeout: Duration,
    ) -> Result<(), NodeAckError> {
        let payload = Bytes::copy_from_slice(payload);
        self.core().send_acked_to_node(to_node, to_name, payload, timeout).await
    }

    /// Registers a process of this node under a name that the whole cluster sees, and locally under the same name.
    /// Returns whether it was; [`try_register_global`](Self::try_register_global) tells why not.
    ///
    /// The name is given up when the process ends. If two nodes register the same name before they hear of each other,
    /// the earlier claim stays everywhere; the later one is withdrawn by its node.
    pub fn register_global(&self, name: impl Into<String>, pid: Pid) -> bool {
        self.try_register_global(name, pid).is_ok()
    }

    /// [`register_global`](Self::register_global) that tells what went wrong.
    ///
    /// # Errors
    /// [`RegisterGlobalError`]; nothing was changed then.
    pub fn try_register_global(&self, name: impl Into<String>, pid: Pid) -> Result<(), RegisterGlobalError> {
        self.try_register_global_with(name, pid, OnConflict::default())
    }

    /// [`try_register_global`](Self::try_register_global) that says what happens if another node claims the name too,
    /// before the two have heard of each other. Either way one process holds the name at any moment, the same on all
    /// nodes that hear each other.
    ///
    /// # Errors
    /// [`RegisterGlobalError`]; nothing was changed then.
    pub fn try_register_global_with(
        &self,
        name: impl Into<String>,
        pid: Pid,
        on_conflict: OnConflict,
    ) -> Result<(), RegisterGlobalError> {
        if pid.incarnation() != self.core().id.incarnation {
            return Err(RegisterGlobalError::NoProc);
        }
        self.core().register_global(Name::new(name.into())?, pid, on_conflict)
    }

    /// Gives up a global name that a process of this node holds. Returns whether one did.
    pub fn unregister_global(&self, name: &str) -> bool {
        let owner = self.core().names.read().get(name).map(|owner| owner.pid);
        let own = owner.filter(|pid| pid.incarnation() == self.core().id.incarnation);
        own.is_some_and(|pid| self.core().unregister_global(name, pid))
    }

    /// The node whose process holds the global name, as this node sees it.
    #[must_use]
    pub fn whereis_global(&self, name: &str) -> Option<String> {
        self.core().names.read().get(name).map(|owner| owner.node.to_string())
    }

    /// The process that holds the global name, as this node sees it.
    #[must_use]
    pub fn whereis_global_pid(&self, name: &str) -> Option<Pid> {
        self.core().names.read().get(name).map(|owner| owner.pid)
    }

    /// All global names with the nodes that own them, as this node sees them, in the order of the names.
    #[must_use]
    pub fn global_names(&self) -> Vec<(String, String)> {
        let names = self.core().names.read();
        let mut all: Vec<_> =
            names.iter().map(|(name, owner)| (name.to_string(), owner.node.to_string())).collect();
        drop(names);
        all.sort();
        all
    }

    /// How many global names this node knows.
    #[must_use]
    pub fn global_names_count(&self) -> usize {
        self.core().names.read().len()
    }

    /// A digest of all global names and the processes that own them, as this node sees them: equal on two nodes that know
    /// the same. It is kept up, so that asking costs nothing, however many names there are.
    #[must_use]
    pub fn global_names_digest(&self) -> u64 {
        self.core().names.read().digest()
    }

    /// Sends to whoever holds the global name, wherever that is. `Ok` means accepted here, not handled there.
    ///
    /// # Errors
    /// [`NodeSendError`]; the message was then not sent.
    pub async fn send_global(&self, name: &str, payload: &[u8]) -> Result<(), NodeSendError> {
        self.core().send_global(name, payload).await
    }

    /// Teaches this node to build a kind of process that peers may ask for. The factory spawns one process and returns
    /// its pid; whatever it spawns waits at its first poll until the caller is linked to it, and told.
    ///
    /// A factory of the same name is replaced. A panic in it is the caller's error and nobody else's.
    ///
    /// # Panics
    /// If `name` is no name: 1 to 255 bytes without control characters.
    pub fn register_spawnable(
        &self,
        name: impl Into<String>,
        factory: impl Fn(&Runtime, Vec<u8>) -> Pid + Send + Sync + 'static,
    ) {
        let name = Name::new(name.into()).unwrap_or_else(|error| panic!("{error}"));
        self.core().factories.teach(name, Arc::new(factory));
    }

    /// Starts a process on another node with a factory that the node was taught. The pid works like a local one.
    ///
    /// # Errors
    /// [`SpawnError`], at the latest after [`Limits::call_timeout`](crate::Limits::call_timeout);
    /// [`may_have_happened`](SpawnError::may_have_happened) tells whether a process may run all the same.
    pub async fn spawn_remote(&self, to_node: &str, factory: &str, args: Vec<u8>) -> Result<Pid, SpawnError> {
        let child = self.spawn_remote_with(to_node, factory, args, SpawnRemote::default()).await?;
        Ok(child.pid)
    }

    /// [`spawn_remote`](Self::spawn_remote) that links, monitors and names the child in the same act, so that nothing of
    /// its life is missed.
    ///
    /// # Errors
    /// As [`spawn_remote`](Self::spawn_remote), with the deadline in `options`.
    pub async fn spawn_remote_with(
        &self,
        to_node: &str,
        factory: &str,
        args: Vec<u8>,
        options: SpawnRemote,
    ) -> Result<RemoteChild, SpawnError> {
        self.core().spawn_remote(to_node, factory, args, options).await
    }

    /// The pids of everything that runs on a peer, in the order of their start.
    ///
    /// # Errors
    /// [`AttachError`]; looking changes nothing.
    pub async fn remote_pids(&self, to_node: &str) -> Result<Vec<Pid>, AttachError> {
        let processes = self.core().remote_processes(to_node).await?;
        Ok(processes.into_iter().map(|process| process.pid).collect())
    }

    /// What runs on a peer: pids, labels, names, mailboxes.
    ///
    /// # Errors
    /// [`AttachError`]; looking changes nothing.
    pub async fn remote_processes(&self, to_node: &str) -> Result<Vec<RemoteProcess>, AttachError> {
        self.core().remote_processes(to_node).await
    }

    /// The names of all nodes that this one is linked with, in order.
    #[must_use]
    pub fn peers(&self) -> Vec<String> {
        self.core().peers.all().iter().map(|peer| peer.peer.name.to_string()).collect()
    }

    /// The live links, by the peer's name.
    #[must_use]
    pub fn links(&self) -> Vec<LinkInfo> {
        self.core().read_engine(|engine| engine.links().collect())
    }

    /// The other nodes of the cluster that this one knows, linked or not, by name.
    #[must_use]
    pub fn members(&self) -> Vec<MemberInfo> {
        self.core().read_engine(|engine| engine.members().collect())
    }

    /// Takes a node that is lost for gone for good, on an operator's word, and tells the others: it is dialled no more, and
    /// does not count as a voter on names any more once the votes that it may have given are over (two leases).
    ///
    /// A node that is lost counts as a voter until then, or until it is forgotten after
    /// [`Limits::forget_after`](crate::Limits::forget_after), because it may only be cut off. Where many nodes are killed and
    /// never come back under their names, that makes a majority hard to reach. A node that is forgotten and yet runs is linked
    /// again when it dials.
    ///
    /// # Errors
    /// [`ForgetError`]: it is linked, or not known. Nothing was changed.
    pub fn forget(&self, node: &str) -> Result<(), ForgetError> {
        match self.core().with_engine(|now, engine, host| engine.forget(now, node, host)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(ForgetError::Unknown { node: node.to_owned() }),
            Err(_) => Err(ForgetError::Linked { node: node.to_owned() }),
        }
    }

    /// The cluster as this node sees it: its members, and the pairs of them that are cut off from each other. Once news
    /// have travelled, it is equal on all nodes that hear each other. A hidden node sees the others' view.
    #[must_use]
    pub fn view(&self) -> ClusterView {
        self.core().read_engine(regatta_proto::engine::Engine::view)
    }

    /// What spoke for it that a node, or the link with it, was lost, the last time that this node found it down or
    /// unreachable.
    #[must_use]
    pub fn why_down(&self, node: &str) -> Option<Evidence> {
        self.core().read_engine(|engine| engine.why_down(node).cloned())
    }

    /// Nodes that come and go, from now on, as this node sees them.
    #[must_use]
    pub fn node_events(&self) -> NodeEvents {
        self.core().events.subscribe()
    }

    /// What the node has done so far.
    #[must_use]
    pub fn stats(&self) -> NodeStats {
        let core = self.core();
        let stats = core.read_engine(regatta_proto::engine::Engine::stats);
        NodeStats { takeovers: core.takeovers(), spins: core.spins(), ..stats.into() }
    }

    /// A count that changes whenever a link, a member or a global name comes or goes, or the view may have changed: wait on
    /// it instead of asking again and again.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.core().changes.subscribe()
    }

    /// Waits until `holds` is true of this node; it is asked again at each of the [`changes`](Self::changes) of this node, so
    /// it must be about this node alone. Put a deadline around it if it may never come true.
    pub async fn settled(&self, holds: impl Fn(&Self) -> bool + Send + Sync) {
        let mut changes = self.changes();
        while !holds(self) {
            // Marked before the next look, so that a change in between is seen.
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Ends every link with a word of goodbye and closes the socket. Returns at once;
    /// [`ended`](Self::ended) waits. The runtime and its processes go on without the cluster. Calling it again does
    /// nothing.
    pub fn shutdown(&self) {
        self.core().shutdown();
    }

    /// Waits until the node has shut down and its socket is closed.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut life = self.core().life.subscribe();
        async move {
            // An error means that the node is gone, which is the same.
            let _ = life.wait_for(|life| *life == Life::Over).await;
        }
    }
}

impl fmt::Debug for ClusterNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = self.core();
        f.debug_struct("ClusterNode").field("id", &core.id).field("addr", &core.addr).finish_non_exhaustive()
    }
}

/// A peer that this node is linked with.
#[derive(Debug, Clone)]
pub struct RemoteNode {
    node: ClusterNode,
    id: NodeId,
}

impl RemoteNode {
    /// The peer's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.id.name.as_str()
    }

    /// The peer's name and the start of it that was linked.
    #[must_use]
    pub fn id(&self) -> &NodeId {
        &self.id
    }

    /// Sends to the process that is registered as `to_name` on the peer.
    ///
    /// # Errors
    /// [`NodeSendError`]; the message was then not sent.
    pub async fn send(&self, to_name: &str, payload: &[u8]) -> Result<(), NodeSendError> {
        self.node.send(self.name(), to_name, payload).await
    }
}
