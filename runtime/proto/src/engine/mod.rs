//! The engine: one node's whole network side, composed around [`quinn_proto::Endpoint`].
//!
//! # How it is driven
//! A driver hands in what happened (`handle_*`, commands), calls [`Engine::process`], sends what
//! [`Engine::poll_transmit`] gives until it gives nothing, and comes back by [`Engine::poll_timeout`]. Deliveries and
//! events reach the [`Host`] while that happens.
//!
//! # Architecture invariants
//! - A link is looked at only when it is dirty: something arrived for it, was queued for it, or its timer fired.
//! - Nothing of one link is undone by another's end: both carry a generation.
//! - Iteration that can reach the wire or the host is over ordered maps or by link index.

mod admit;
mod confirming;
mod detect;
mod ending;
mod formation;
mod inbox;
mod leaving;
mod link;
mod naming;
mod open;
mod pulses;
mod questions;

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use quinn_proto::{
    ClientConfig, ConnectionError, ConnectionHandle, DatagramEvent, EcnCodepoint, Endpoint, EndpointConfig,
    Event as Quic, ServerConfig, StreamEvent, Transmit,
};

pub use self::confirming::Confirm;
use self::link::{Dial, Link, Phase, Side, closed};
use crate::cluster::calls::Calls;
use crate::cluster::confirmed::claimant::Claimant;
use crate::cluster::confirmed::voter::Voter;
use crate::cluster::detector::Detector;
use crate::cluster::health::Health;
use crate::cluster::members::Members;
pub use crate::cluster::members::{Families, MemberInfo, Membership, Standing};
use crate::cluster::mesh::{LinkIndex, Mesh};
use crate::cluster::names::Names;
pub use crate::cluster::view::ClusterView;
use crate::cluster::view::View;
use crate::cluster::watch::{SpawnWatches, Wanted};
use crate::host::{CallError, ConnectError, Event, Host, LinkId};
use crate::id::{ClusterName, NodeId, NodeName};
use crate::limits::Limits;
use crate::link::handshake::{PeerName, Refusal};
use crate::link::outgoing::{Outgoing, Track};
use crate::link::tail::Witness;
use crate::transport;
use crate::wire::control;

/// Bytes of one transmit. With segmentation offload, systems refuse more in one call, and quinn-udp says nothing of it.
const TRANSMIT_BYTES_MAX: usize = 64_000;
/// Datagrams that one link may send before the others have their turn.
const TURN_DATAGRAMS: usize = 64;

/// The node's certificates and keys, and its judgement of others'.
pub trait Credentials: Send {
    /// TLS and token key for links that peers dial; the engine sets the rest.
    fn server(&self) -> ServerConfig;
    /// TLS for links that this node dials; the engine sets the rest.
    fn client(&self) -> ClientConfig;
    /// The name that the certificate of a peer must carry: of this very node, or of any node of the cluster.
    fn server_name(&self, node: Option<&NodeName>) -> String;
    /// What the peer's verified certificate chain proves, as rustls hands it over.
    ///
    /// # Errors
    /// Words for people when the certificate names no node of this cluster.
    fn peer(&self, identity: Option<Box<dyn Any>>) -> Result<PeerName, String>;
}

/// What an engine needs to begin.
pub struct EngineConfig {
    /// The node.
    pub id: NodeId,
    /// The cluster it belongs to.
    pub cluster: ClusterName,
    /// How it takes part in it.
    pub membership: Membership,
    /// The addresses that its socket can send to.
    pub families: Families,
    /// Its bounds.
    pub limits: Limits,
    /// Reset key, connection ids and random seed; the engine sets the rest.
    pub endpoint: EndpointConfig,
    /// Its certificates.
    pub credentials: Box<dyn Credentials>,
    /// Whether the socket never fragments, so that larger datagrams may be tried.
    pub may_discover_mtu: bool,
}

/// Counters, from the engine's start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Peers turned away before there was a link: no trust, wrong name, wrong version, too slow, too many.
    pub handshakes_refused: u64,
    /// Links that came up.
    pub links_up: u64,
    /// Links that ended.
    pub links_down: u64,
    /// Frames that were queued for a link when it was lost.
    pub frames_dropped: u64,
    /// Messages in datagrams that were not sent, because the link had no room for more.
    pub datagrams_dropped: u64,
    /// Signals handed to the host.
    pub signals_received: u64,
    /// Datagrams sent, over ended and present links.
    pub datagrams_sent: u64,
    /// Datagrams received.
    pub datagrams_received: u64,
    /// Suspicions of peers that were silent for long.
    pub suspicions: u64,
    /// Suspicions that ended with a sign of life.
    pub suspicions_wrong: u64,
    /// Links that were given up though a third node heard the peer.
    pub links_cut: u64,
    /// Nodes that were found to be down.
    pub nodes_down: u64,
    /// Memberships of groups that peers were not told of, because they take no more of one node.
    pub memberships_untold: u64,
}

/// One live link, for people and for conditions.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkInfo {
    /// The peer.
    pub peer: NodeId,
    /// The link.
    pub link: LinkId,
    /// Where the peer is.
    pub addr: SocketAddr,
    /// Whether this node dialled.
    pub dialed: bool,
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// Packets that were lost and sent again.
    pub lost_packets: u64,
    /// Bytes that wait to be sent.
    pub queued_bytes: usize,
    /// Lanes that this node's senders share on it now.
    pub lanes: usize,
}

/// One node's network side.
pub struct Engine {
    me: NodeId,
    cluster: ClusterName,
    limits: Limits,
    credentials: Box<dyn Credentials>,
    /// What accepted links start from.
    server: ServerConfig,
    endpoint: Endpoint,
    links: Vec<Option<Box<Link>>>,
    dirty: VecDeque<LinkIndex>,
    /// Links that QUIC may have datagrams for.
    sending: VecDeque<LinkIndex>,
    /// Datagrams of no link: refusals, retries, version negotiation, resets.
    stray: VecDeque<(Transmit, Vec<u8>)>,
    mesh: Mesh,
    members: Members,
    view: View,
    detector: Detector,
    health: Health,
    /// When the next pulse is due, while there are peers.
    pulse_due: Option<Instant>,
    /// When there is something to look at: silence, answers, rows of others.
    review_due: Option<Instant>,
    /// When peers are to be told with whom this node is linked.
    links_due: Option<Instant>,
    names: Names,
    /// When peers are to be told of changes to our names, and before when they are not told again.
    names_due: Option<Instant>,
    names_again: Option<Instant>,
    /// Claims that were withdrawn for the better one of a peer, which is to be told with the other changes.
    yielded: Vec<(NodeName, control::Claim)>,
    /// This node as one that wants names confirmed, and as one that confirms them.
    claimant: Claimant,
    voter: Voter,
    /// What the voters have not been told yet.
    ballots: control::Ballots,
    calls: Calls,
    spawn_watches: SpawnWatches,
    /// Dials whose link gave way to another one with the same peer, which is about to be live.
    joined: BTreeMap<u64, Joined>,
    next_generation: u64,
    stats: EngineStats,
    shut_down: bool,
    /// When a node that shuts down closes the links that still have something to send.
    leave_by: Option<Instant>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("me", &self.me).field("stats", &self.stats).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine without links.
    #[must_use]
    pub fn new(config: EngineConfig) -> Self {
        let EngineConfig {
            id,
            cluster,
            membership,
            families,
            limits,
            mut endpoint,
            credentials,
            may_discover_mtu,
        } = config;
        endpoint.supported_versions(vec![QUIC_V1]);
        endpoint.max_udp_payload_size(transport::MTU_MAX).expect("QUIC takes datagrams of this size");
        let mut server = credentials.server();
        server.migration(false).max_incoming(limits.half_open_max);
        let endpoint =
            Endpoint::new(Arc::new(endpoint), Some(Arc::new(server.clone())), may_discover_mtu, None);
        Self {
            mesh: Mesh::new(id.name.clone()),
            view: View::new(id.clone(), !membership.connect_all, membership.hidden, limits.members_max),
            members: Members::new(id.clone(), membership, families, limits.members_max, limits.forget_after),
            detector: Detector::new(id.seed()),
            health: Health::default(),
            pulse_due: None,
            review_due: None,
            links_due: None,
            names: Names::new(id.clone(), limits.names_per_peer_max),
            names_due: None,
            names_again: None,
            yielded: Vec::new(),
            claimant: Claimant::new(limits.lease, id.seed()),
            voter: Voter::new(limits.lease, limits.confirmed_names_max),
            ballots: control::Ballots::default(),
            me: id,
            cluster,
            limits,
            credentials,
            server,
            endpoint,
            links: Vec::new(),
            dirty: VecDeque::new(),
            sending: VecDeque::new(),
            stray: VecDeque::new(),
            calls: Calls::default(),
            spawn_watches: SpawnWatches::default(),
            joined: BTreeMap::new(),
            next_generation: 1,
            stats: EngineStats::default(),
            shut_down: false,
            leave_by: None,
        }
    }

    /// The node.
    #[must_use]
    pub fn id(&self) -> &NodeId {
        &self.me
    }

    /// The node's bounds.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Counters since the start.
    #[must_use]
    pub fn stats(&self) -> EngineStats {
        self.stats
    }

    /// The live links, by the peer's name.
    pub fn links(&self) -> impl Iterator<Item = LinkInfo> {
        self.mesh.live_links().filter_map(|index| {
            let link = self.links[index as usize].as_deref()?;
            Some(LinkInfo {
                peer: link.peer.as_ref()?.id.clone(),
                link: link.id,
                addr: link.addr,
                dialed: matches!(link.side, Side::Dialer { .. }),
                rtt: link.connection.rtt(),
                lost_packets: link.connection.stats().path.lost_packets,
                queued_bytes: link.sender.budget.queued_bytes(),
                lanes: link.spread.lanes(),
            })
        })
    }

    // ------------------------------------------------------------------------------------------------ commands

    /// Dials a node. The outcome is [`Event::Dialed`] with the same `token`, within the handshake timeout.
    pub fn connect(&mut self, now: Instant, addr: SocketAddr, token: u64, host: &mut impl Host) {
        if self.shut_down {
            return host.event(Event::Dialed { token, result: Err(ConnectError::Shutdown) });
        }
        let name = self.credentials.server_name(None);
        if let Err(detail) = self.dial(now, addr, &name, Dial::Host(token)) {
            let error = ConnectError::Address { addr, detail };
            host.event(Event::Dialed { token, result: Err(error) });
        }
    }

    /// Takes everything that waits in `outgoing` for `link`, which is the same one for as long as the link lives: it knows the
    /// lanes of the senders and the numbers of large bodies. If the link is gone, what was queued fails as it would have
    /// when the link was lost.
    pub fn take(&mut self, now: Instant, link: LinkId, outgoing: &mut Outgoing, host: &mut impl Host) {
        if outgoing.is_empty() {
            return;
        }
        let entry = live(&mut self.links, link).filter(|_| !self.shut_down);
        let Some(entry) = entry else { return self.abandon(outgoing, host) };
        let Link { spread, connection, sender, .. } = entry;
        let may_change = || sender.is_clear() && outgoing.has_no_bulk();
        if let Some(lanes) = spread.look(now, || connection.rtt(), may_change) {
            sender.budget.add(outgoing.spread(lanes));
        }
        entry.sender.take(outgoing);
        outgoing.frames = 0;
        let mut refused = Vec::new();
        let calls_max = self.limits.calls_max;
        for track in outgoing.tracks.drain(..) {
            if let Track::Call { call, from, deadline_ms, link: wants_link, monitor } = track {
                let wanted = Wanted { caller: from, link: wants_link, monitor };
                if self.calls.len() >= calls_max {
                    // Its frame is among the others: it is given up before it is sent, and may be answered.
                    entry.watches.gave_up(call, wanted);
                    refused.push(call);
                    continue;
                }
                let deadline = now + Duration::from_millis(deadline_ms);
                self.calls.insert(call, link.index, deadline);
                self.spawn_watches.asked(call, wanted);
            } else {
                entry.watches.sent(&track);
            }
        }
        self.touch(link.index);
        for call in refused {
            host.event(Event::Called { call, result: Err(CallError::TooMany) });
        }
        self.bound_watches(now, link.index, host);
    }

    /// Whether there is nothing to send at the moment.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.stray.is_empty() && self.sending.is_empty() && self.dirty.is_empty()
    }

    /// Whether every link has said goodbye and been forgotten.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.links.iter().all(Option::is_none)
    }

    // -------------------------------------------------------------------------------------------------- inputs

    /// A datagram arrived.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        to: Option<IpAddr>,
        ecn: Option<EcnCodepoint>,
        data: BytesMut,
        host: &mut impl Host,
    ) {
        self.stats.datagrams_received += 1;
        let mut response = Vec::new();
        match self.endpoint.handle(now, from, to, ecn, data, &mut response) {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                if let Some(Some(link)) = self.links.get_mut(handle.0) {
                    link.arrived = Some(now);
                    link.connection.handle_event(event);
                    self.touch(handle.0 as LinkIndex);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => self.incoming(now, incoming, host),
            Some(DatagramEvent::Response(transmit)) => self.stray.push_back((transmit, response)),
            None => {}
        }
    }

    /// Time has come: timers of links, openings and calls.
    pub fn handle_timeout(&mut self, now: Instant, host: &mut impl Host) {
        // First: whether this node stood still must be known before others are judged, QUIC's timers included.
        self.tend_peers(now, host);
        self.leave_at_last(now, host);
        for index in 0..self.links.len() {
            let Some(link) = self.links[index].as_deref_mut() else { continue };
            let tail = link.tail.due().is_some_and(|due| due <= now) && link.tail.expired();
            let late = link.open_by.is_some_and(|by| by <= now);
            if link.timeout.is_some_and(|timeout| timeout <= now) {
                link.connection.handle_timeout(now);
                link.timeout = None;
                self.touch(index as LinkIndex);
            }
            if tail {
                self.resume_sending(index as LinkIndex);
            }
            if late {
                self.opening_too_late(now, index as LinkIndex, host);
            }
        }
        self.tend_members(now, host);
        self.tend_confirmed(now, host);
        for (call, index) in self.calls.expired(now) {
            if let Some(wanted) = self.spawn_watches.take(call)
                && let Some(Some(link)) = self.links.get_mut(index as usize)
            {
                link.watches.gave_up(call, wanted);
            }
            host.event(Event::Called { call, result: Err(CallError::Timeout) });
            self.bound_watches(now, index, host);
        }
        let over: Vec<u64> =
            self.joined.iter().filter(|(_, joined)| joined.by <= now).map(|(token, _)| *token).collect();
        for token in over {
            self.joined.remove(&token);
            let detail = "the peer kept another link, which did not come up".to_owned();
            host.event(Event::Dialed { token, result: Err(ConnectError::Lost(detail)) });
        }
    }

    /// Handles what arrived for links and writes what was queued for them. Call it after any input and before
    /// [`poll_transmit`](Self::poll_transmit).
    pub fn process(&mut self, now: Instant, host: &mut impl Host) {
        self.voter.runs(now);
        loop {
            while let Some(index) = self.dirty.pop_front() {
                self.service(now, index, host);
            }
            self.tell_ballots(now, host);
            self.tell_names(now, host);
            if self.dirty.is_empty() {
                break;
            }
        }
        if self.view.take_touched() {
            host.event(Event::View);
        }
        for node in self.members.take_given_up() {
            host.event(Event::Unreached { node });
        }
    }

    // ------------------------------------------------------------------------------------------------- outputs

    /// The next datagrams to send: up to `max_datagrams` of one size to one address, appended to `buffer`.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        max_datagrams: usize,
        buffer: &mut Vec<u8>,
    ) -> Option<Transmit> {
        if let Some((transmit, bytes)) = self.stray.pop_front() {
            buffer.extend_from_slice(&bytes);
            self.stats.datagrams_sent += 1;
            return Some(transmit);
        }
        while let Some(index) = self.sending.front().copied() {
            let Some(Some(link)) = self.links.get_mut(index as usize) else {
                self.sending.pop_front();
                continue;
            };
            link.tail.ping(&mut link.connection);
            let fit = TRANSMIT_BYTES_MAX / usize::from(link.connection.current_mtu());
            let max_datagrams = max_datagrams.min(TURN_DATAGRAMS).min(fit);
            if let Some(transmit) = link.connection.poll_transmit(now, max_datagrams, buffer) {
                link.tail.pinged();
                self.stats.datagrams_sent +=
                    transmit.segment_size.map_or(1, |size| transmit.size.div_ceil(size)) as u64;
                // The next link has its turn.
                self.sending.rotate_left(1);
                return Some(transmit);
            }
            self.sending.pop_front();
            self.sent_all(now, index);
        }
        None
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let links = self
            .links
            .iter()
            .flatten()
            .flat_map(|link| [link.timeout, link.open_by, link.tail.due()])
            .flatten();
        let joined = self.joined.values().map(|joined| joined.by);
        let members = self.members.next_due().filter(|_| !self.shut_down);
        let confirmed = self.claimant.next_due().filter(|_| !self.shut_down);
        let own = [self.names_due, self.pulse_due, self.review_due, self.links_due, self.leave_by, confirmed];
        let own = own.into_iter().flatten();
        links.chain(joined).chain(members).chain(own).chain(self.calls.next_deadline()).min()
    }

    // ------------------------------------------------------------------------------------------------ internals

    /// Begins a dial; gives the new link.
    fn dial(
        &mut self,
        now: Instant,
        addr: SocketAddr,
        server_name: &str,
        dial: Dial,
    ) -> Result<LinkIndex, String> {
        // An address of IPv4 that is written as one of IPv6 is seen as what it is when it answers.
        let addr = match addr.ip().to_canonical() {
            ip @ IpAddr::V4(_) => SocketAddr::new(ip, addr.port()),
            IpAddr::V6(_) => addr,
        };
        if !self.members.reaches(&addr) {
            return Err(
                "this node's socket does not send to addresses of that kind; bound to [::], it sends to all"
                    .to_owned(),
            );
        }
        let mut config = self.credentials.client();
        let (transport, witness) = transport::config(&self.limits, now);
        config.transport_config(transport);
        let (handle, connection) =
            self.endpoint.connect(now, config, addr, server_name).map_err(|error| error.to_string())?;
        Ok(self.add(now, handle, (connection, witness), addr, Side::Dialer { dial }))
    }

    fn add(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        connection: (quinn_proto::Connection, Arc<Witness>),
        addr: SocketAddr,
        side: Side,
    ) -> LinkIndex {
        let id = LinkId { index: handle.0 as LinkIndex, generation: self.next_generation };
        self.next_generation += 1;
        if self.links.len() <= handle.0 {
            self.links.resize_with(handle.0 + 1, || None);
        }
        self.links[handle.0] = Some(Box::new(Link::new(id, connection, addr, side, &self.limits, now)));
        self.touch(id.index);
        id.index
    }

    /// Puts a link on the list of those to be looked at.
    fn touch(&mut self, index: LinkIndex) {
        if let Some(Some(link)) = self.links.get_mut(index as usize)
            && !std::mem::replace(&mut link.dirty, true)
        {
            self.dirty.push_back(index);
        }
    }

    /// Puts a link on the list of those that may have datagrams.
    fn resume_sending(&mut self, index: LinkIndex) {
        if let Some(Some(link)) = self.links.get_mut(index as usize)
            && !std::mem::replace(&mut link.sending, true)
        {
            self.sending.push_back(index);
        }
    }

    /// Looks at one link: what QUIC says, what is to be written, when to look again.
    fn service(&mut self, now: Instant, index: LinkIndex, host: &mut impl Host) {
        // The link is taken out while it is looked at, so that what it says can change the rest of the engine.
        let Some(mut link) = self.links.get_mut(index as usize).and_then(Option::take) else { return };
        link.dirty = false;
        let mut end = None;
        self.pump(&mut link);
        while let Some(event) = link.connection.poll() {
            if link.phase == Phase::Ended {
                continue;
            }
            if let Err(reason) = self.quic_event(now, &mut link, event, host) {
                end = Some(reason);
                break;
            }
        }
        if end.is_none() && link.phase == Phase::Live && link.paging.is_some() {
            end = self.page_names(&mut link).err().map(Stop::from);
        }
        if end.is_none() && link.phase != Phase::Ended {
            questions::write(&mut link);
            if link.sender.write(&mut link.connection) {
                host.event(Event::Writable { link: link.id });
            }
            self.stats.datagrams_dropped += std::mem::take(&mut link.sender.datagrams_dropped);
        }
        if end.is_none() && self.has_left(&mut link) {
            end = Some(Stop::Left);
        }
        self.links[index as usize] = Some(link);
        self.resume_sending(index);
        match end {
            Some(Stop::Lost(cause)) => self.lost(now, index, cause, host),
            Some(Stop::Refused(refusal)) => self.end(now, index, closed(&refusal), Some(&refusal), host),
            Some(Stop::Duplicate) => self.give_way(now, index, host),
            Some(Stop::Left) => self.goodbye(now, index, host),
            None => {}
        }
    }

    /// Carries events between a connection and the endpoint.
    fn pump(&mut self, link: &mut Link) {
        let handle = ConnectionHandle(link.id.index as usize);
        while let Some(event) = link.connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(handle, event) {
                link.connection.handle_event(event);
            }
        }
    }

    /// A link has nothing more to send: note its next timer; forget it if it is drained.
    fn sent_all(&mut self, now: Instant, index: LinkIndex) {
        let Some(mut link) = self.links[index as usize].take() else { return };
        self.pump(&mut link);
        link.sending = false;
        link.timeout = link.connection.poll_timeout();
        link.tail.sent(now, &link.connection);
        if !link.connection.is_drained() {
            self.links[index as usize] = Some(link);
        }
    }

    fn quic_event(
        &mut self,
        now: Instant,
        link: &mut Link,
        event: Quic,
        host: &mut impl Host,
    ) -> Result<(), Stop> {
        match event {
            Quic::Connected => self.connected(now, link),
            Quic::ConnectionLost { reason } => Err(Stop::Lost(reason)),
            Quic::Stream(StreamEvent::Opened { dir }) => self.opened(now, link, dir, host),
            Quic::Stream(StreamEvent::Readable { id }) => self.readable(now, link, id, host),
            Quic::Stream(StreamEvent::Writable { id }) => {
                link.sender.writable(id);
                Ok(())
            }
            Quic::Stream(StreamEvent::Finished { id } | StreamEvent::Stopped { id, .. }) => {
                link.sender.finished(id);
                Ok(())
            }
            Quic::Stream(StreamEvent::Available { .. }) => {
                link.sender.streams_available();
                Ok(())
            }
            Quic::DatagramReceived => self.read_datagrams(now, link, host),
            Quic::HandshakeDataReady | Quic::DatagramsUnblocked => Ok(()),
        }
    }
}

/// The one QUIC version that is spoken (RFC 9000).
const QUIC_V1: u32 = 1;

/// A dial whose link gave way to another one with the same peer.
#[derive(Debug)]
struct Joined {
    /// The peer, if it introduced itself before its link was dropped.
    peer: Option<NodeName>,
    addr: SocketAddr,
    /// When the other link must be up.
    by: Instant,
}

/// Why a link is no longer looked at.
enum Stop {
    /// QUIC says that it is over.
    Lost(ConnectionError),
    /// The peer did something that ends it.
    Refused(Refusal),
    /// Another link with the same peer stays.
    Duplicate,
    /// This node shuts down, and the peer has all that was sent to it.
    Left,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The link with this id, if it is the one that is live there now.
fn live(links: &mut [Option<Box<Link>>], id: LinkId) -> Option<&mut Link> {
    let link = links.get_mut(id.index as usize)?.as_deref_mut()?;
    (link.id == id && link.phase == Phase::Live).then_some(link)
}
