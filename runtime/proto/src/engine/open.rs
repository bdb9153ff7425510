//! The opening of a link: from QUIC's handshake to the first signal.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use prost::Message;
use quinn_proto::{ConnectionError, Dir, ReadError, StreamId};

use super::link::{Dial, Exchange, Link, Phase, Side};
use super::{Engine, Joined, Stop};
use crate::cluster::mesh::{LinkIndex, Verdict};
use crate::host::{ConnectError, Event, Host, LinkEnd};
use crate::id::NodeId;
use crate::limits::{BIDI_STREAMS, CONTROL_FRAME_BYTES_MAX, LANES, UNI_STREAMS};
use crate::link::close::CloseCode;
use crate::link::handshake::{self, Greeted, PROTOCOL_VERSION, Refusal};
use crate::wire::codec::Deframer;
use crate::wire::control::{Body, Confirm, Control, Hello, Welcome};

impl Engine {
    /// QUIC and TLS are through: the dialer introduces itself.
    pub(super) fn connected(&mut self, now: Instant, link: &mut Link) -> Result<(), Stop> {
        link.phase = Phase::Greeting;
        if link.wanted.is_some() {
            // There is somebody: what is left to do has its full time.
            link.open_by = Some(now + self.limits.handshake_timeout);
        }
        if matches!(link.side, Side::Dialer { .. }) {
            let Some(stream) = link.connection.streams().open(Dir::Bi) else {
                return Err(protocol("the peer allows no control stream").into());
            };
            link.sender.control_opened(&mut link.connection, stream);
            link.say(Body::Hello(self.hello()))?;
        }
        Ok(())
    }

    /// The peer opened streams. Before the link is live, only the dialer's control stream is taken.
    pub(super) fn opened(
        &mut self,
        now: Instant,
        link: &mut Link,
        dir: Dir,
        host: &mut impl Host,
    ) -> Result<(), Stop> {
        if link.phase < Phase::Live {
            let greeting = link.side == Side::Acceptor && link.sender.control_stream().is_none();
            if dir == Dir::Bi
                && greeting
                && let Some(stream) = link.connection.streams().accept(dir)
            {
                link.sender.control_opened(&mut link.connection, stream);
                self.readable(now, link, stream, host)?;
            }
            return Ok(());
        }
        // One event may stand for many streams, and a fresh stream gets no event of its own.
        while let Some(stream) = link.connection.streams().accept(dir) {
            match dir {
                Dir::Uni => {
                    link.streams.insert(stream, Default::default());
                }
                Dir::Bi => {
                    link.exchanges.insert(stream, Exchange::Hearing(Deframer::default()));
                }
            }
            self.readable(now, link, stream, host)?;
        }
        Ok(())
    }

    /// There is something to read on a stream.
    pub(super) fn readable(
        &mut self,
        now: Instant,
        link: &mut Link,
        stream: StreamId,
        host: &mut impl Host,
    ) -> Result<(), Stop> {
        if link.sender.control_stream() == Some(stream) {
            self.read_control(now, link, stream, host)
        } else if stream.dir() == Dir::Uni {
            self.read_signals(link, stream, host)
        } else {
            self.read_exchange(link, stream, host)
        }
    }

    fn read_control(
        &mut self,
        now: Instant,
        link: &mut Link,
        stream: StreamId,
        host: &mut impl Host,
    ) -> Result<(), Stop> {
        for frame in read_frames(link, stream)? {
            let control = Control::decode(&frame[..]).map_err(protocol)?;
            match control.body {
                Some(body) => self.control(now, link, body, host)?,
                None if control.required => {
                    return Err(protocol("an unknown required control message").into());
                }
                None => {}
            }
        }
        Ok(())
    }

    fn control(
        &mut self,
        now: Instant,
        link: &mut Link,
        body: Body,
        host: &mut impl Host,
    ) -> Result<(), Stop> {
        match (link.side, link.phase, body) {
            (Side::Acceptor, Phase::Greeting, Body::Hello(hello)) => self.greet(now, link, &hello, host),
            (Side::Dialer { .. }, Phase::Greeting, Body::Welcome(welcome)) => {
                self.welcomed(now, link, welcome, host)
            }
            (Side::Acceptor, Phase::Answered, Body::Confirm(Confirm { held })) => {
                link.held = held.unwrap_or_default();
                let greeted = link.peer.clone().expect("set when the hello was answered");
                let ends = self.mesh.confirmed(link.id.index, &greeted)?;
                self.supersede(now, &greeted.id, ends, host);
                self.up(now, link, host)
            }
            (_, Phase::Live, Body::Names(names)) => self.heard_names(now, link, names, host),
            (_, Phase::Live, Body::Yielded(yielded)) => {
                self.heard_yielded(link, &yielded, host);
                Ok(())
            }
            (_, Phase::Live, Body::Ballots(ballots)) => self.heard_ballots(now, link, &ballots, host),
            (_, Phase::Live, Body::Votes(votes)) => {
                self.heard_votes(now, link, &votes, host);
                Ok(())
            }
            (_, Phase::Live, Body::NamesWanted(_)) => {
                link.paging = Some(None);
                Ok(())
            }
            (_, Phase::Live, Body::Members(members)) => {
                self.heard_members(now, link, &members, host);
                Ok(())
            }
            (_, Phase::Live, Body::Links(links)) => {
                self.view.heard(&link.peer.as_ref().expect("a live link has a peer").id, &links);
                // It may have been the last one to see a node that is out of reach here.
                self.review_due = Some(now);
                Ok(())
            }
            (_, _, body) => {
                let kind = match body {
                    Body::Hello(_) => "hello",
                    Body::Welcome(_) => "welcome",
                    Body::Confirm(_) => "confirm",
                    Body::Names(_) => "names",
                    Body::Members(_) => "members",
                    Body::NamesWanted(_) => "wish for names",
                    Body::Links(_) => "list of links",
                    Body::Yielded(_) => "yielded name",
                    Body::Ballots(_) => "ballot",
                    Body::Votes(_) => "vote",
                };
                Err(protocol(format_args!("a {kind} out of turn")).into())
            }
        }
    }

    /// As acceptor: the dialer introduced itself.
    fn greet(
        &mut self,
        now: Instant,
        link: &mut Link,
        hello: &Hello,
        host: &mut impl Host,
    ) -> Result<(), Stop> {
        let greeted = self.judge(link, hello)?;
        match self.mesh.hello(link.id.index, &greeted) {
            Verdict::Proceed { linked, ends } => {
                self.supersede(now, &greeted.id, ends, host);
                let held = Some(self.names.held(&greeted.id));
                link.peer = Some(greeted);
                link.phase = Phase::Answered;
                allow_streams(link);
                link.say(Body::Welcome(Welcome { hello: Some(self.hello()), linked, held }))?;
                Ok(())
            }
            Verdict::Duplicate => Err(Stop::Duplicate),
            Verdict::Refuse(refusal) => Err(refusal.into()),
        }
    }

    /// As dialer: the acceptor answered.
    fn welcomed(
        &mut self,
        now: Instant,
        link: &mut Link,
        welcome: Welcome,
        host: &mut impl Host,
    ) -> Result<(), Stop> {
        let hello = welcome.hello.ok_or_else(|| protocol("a welcome without a hello"))?;
        let greeted = self.judge(link, &hello)?;
        let verdict = self.mesh.welcome(link.id.index, &greeted, welcome.linked);
        let held = Some(self.names.held(&greeted.id));
        link.held = welcome.held.unwrap_or_default();
        let id = greeted.id.clone();
        link.peer = Some(greeted);
        match verdict {
            Verdict::Proceed { ends, .. } => {
                self.supersede(now, &id, ends, host);
                link.say(Body::Confirm(Confirm { held }))?;
                allow_streams(link);
                self.up(now, link, host)
            }
            Verdict::Duplicate => Err(Stop::Duplicate),
            Verdict::Refuse(refusal) => Err(refusal.into()),
        }
    }

    /// The link carries signals from here on.
    fn up(&mut self, now: Instant, link: &mut Link, host: &mut impl Host) -> Result<(), Stop> {
        let peer = link.peer.clone().expect("a link goes up after its hello");
        link.phase = Phase::Live;
        link.open_by = None;
        self.stats.links_up += 1;
        host.event(Event::Up {
            peer: peer.id.clone(),
            link: link.id,
            dialed: matches!(link.side, Side::Dialer { .. }),
            budget: link.sender.budget.clone(),
            message_bytes_max: peer.message_bytes_max.min(self.limits.message_bytes_max),
        });
        self.member_linked(now, link, host)?;
        self.greet_with_names(link)?;
        let addr = link.addr;
        // Other dials to the peer give way at once: it may have dropped them already, and its word of that may be lost.
        let others = self.links.iter().flatten().filter(|other| {
            other.phase == Phase::Greeting && other.addr == addr && matches!(other.side, Side::Dialer { .. })
        });
        let others: Vec<LinkIndex> = others.map(|other| other.id.index).collect();
        for other in others {
            self.give_way(now, other, host);
        }
        let joined = self.joined.extract_if(.., |_, joined| {
            joined.peer.as_ref().map_or(joined.addr == addr, |name| *name == peer.id.name)
        });
        let own = match link.side {
            Side::Dialer { dial: Dial::Host(token) } => Some(token),
            Side::Dialer { dial: Dial::Member } | Side::Acceptor => None,
        };
        let tokens: Vec<u64> = joined.map(|(token, _)| token).chain(own).collect();
        for token in tokens {
            host.event(Event::Dialed { token, result: Ok(peer.id.clone()) });
        }
        // Streams that came before the confirmation have waited for it.
        self.opened(now, link, Dir::Uni, host)?;
        self.opened(now, link, Dir::Bi, host)
    }

    /// Ends the links that another one replaces, which is with the same node or with a later start of it.
    fn supersede(&mut self, now: Instant, by: &NodeId, ends: Vec<LinkIndex>, host: &mut impl Host) {
        let refusal = Refusal::new(CloseCode::DuplicateLink, "another link took its place");
        for index in ends {
            let peer = self.links[index as usize].as_ref().and_then(|link| link.peer.as_ref());
            let is_same = peer.is_none_or(|peer| peer.id == *by);
            let cause = if is_same { LinkEnd::Superseded } else { LinkEnd::Restarted };
            self.end(now, index, cause, Some(&refusal), host);
        }
    }

    /// A dial whose peer keeps another link: the dial succeeds when that one is up.
    pub(super) fn give_way(&mut self, now: Instant, index: LinkIndex, host: &mut impl Host) {
        let Some(Some(link)) = self.links.get_mut(index as usize) else { return };
        link.phase = Phase::Ended;
        let by = link.open_by.take().unwrap_or(now);
        link.close(now, CloseCode::DuplicateLink, "another link stays");
        let peer = link.peer.as_ref().map(|greeted| greeted.id.clone());
        let (side, addr, wanted) = (link.side, link.addr, link.wanted.take());
        if let Some(peer) = &peer {
            self.mesh.ended(index, &peer.name);
        }
        if let Some(wanted) = wanted {
            self.members.dial_ended(&wanted, false, now);
        }
        if let Side::Dialer { dial: Dial::Host(token) } = side {
            let other = match &peer {
                Some(peer) => self.mesh.live(peer.name.as_str()).map(|_| peer.clone()),
                // The peer dropped the dial before it said who it is: only its address is known.
                None => self.links().find(|link| link.addr == addr).map(|link| link.peer),
            };
            match other {
                Some(peer) => host.event(Event::Dialed { token, result: Ok(peer) }),
                None => {
                    let peer = peer.map(|peer| peer.name);
                    self.joined.insert(token, Joined { peer, addr, by });
                }
            }
        }
        self.touch(index);
    }

    /// A link that never came up is over.
    pub(super) fn open_failed(
        &mut self,
        now: Instant,
        index: LinkIndex,
        error: ConnectError,
        peers_fault: bool,
        host: &mut impl Host,
    ) {
        let Some(Some(link)) = self.links.get_mut(index as usize) else { return };
        link.phase = Phase::Ended;
        link.open_by = None;
        if let Some(peer) = &link.peer {
            self.mesh.ended(index, &peer.id.name);
        }
        match link.side {
            Side::Dialer { dial: Dial::Host(token) } => {
                host.event(Event::Dialed { token, result: Err(error) });
            }
            Side::Dialer { dial: Dial::Member } => {
                let wanted = link.wanted.take().expect("set with the dial");
                let no = matches!(
                    error,
                    ConnectError::NotTrusted(_) | ConnectError::Identity(_) | ConnectError::Incompatible(_)
                );
                self.members.dial_ended(&wanted, no, now);
            }
            Side::Acceptor if peers_fault => {
                let addr = link.addr;
                self.rejected(addr, error.to_string(), host);
            }
            Side::Acceptor => {}
        }
    }

    /// The opening took longer than it may.
    pub(super) fn opening_too_late(&mut self, now: Instant, index: LinkIndex, host: &mut impl Host) {
        let refusal = Refusal::new(CloseCode::HandshakeTimeout, "the link did not open in time");
        self.end(now, index, LinkEnd::Silence, Some(&refusal), host);
    }

    fn judge(&self, link: &Link, hello: &Hello) -> Result<Greeted, Refusal> {
        let identity = link.connection.crypto_session().peer_identity();
        let proven = self
            .credentials
            .peer(identity)
            .map_err(|detail| Refusal::new(CloseCode::IdentityMismatch, detail))?;
        handshake::judge(hello, &proven, &self.me, &self.cluster)
    }

    fn hello(&self) -> Hello {
        Hello {
            version_min: PROTOCOL_VERSION,
            version_max: PROTOCOL_VERSION,
            features: 0,
            cluster: self.cluster.to_string(),
            node: self.me.name.to_string(),
            incarnation: self.me.incarnation.raw(),
            message_bytes_max: self.limits.message_bytes_max as u64,
        }
    }
}

/// The whole frames that wait on a stream of control messages.
pub(super) fn read_frames(link: &mut Link, stream: StreamId) -> Result<Vec<Bytes>, Refusal> {
    let mut frames = Vec::new();
    let mut receive = link.connection.recv_stream(stream);
    let Ok(mut chunks) = receive.read(true) else { return Ok(frames) };
    let ended = loop {
        match chunks.next(usize::MAX) {
            Ok(Some(chunk)) => {
                link.control.push(chunk.bytes);
                while let Some(frame) = link
                    .control
                    .next(CONTROL_FRAME_BYTES_MAX)
                    .map_err(|error| Refusal::new(CloseCode::Limit, error))?
                {
                    frames.push(frame);
                }
            }
            Ok(None) | Err(ReadError::Reset(_)) => break true,
            Err(ReadError::Blocked) => break false,
        }
    };
    // What flow control has to say goes out with the next datagram: the link is being looked at.
    let _ = chunks.finalize();
    if ended { Err(protocol("the control stream ended")) } else { Ok(frames) }
}

pub(super) fn protocol(detail: impl std::fmt::Display) -> Refusal {
    Refusal::new(CloseCode::Protocol, detail)
}

/// The peer may open lanes, large bodies and questions.
fn allow_streams(link: &mut Link) {
    link.connection.set_max_concurrent_streams(Dir::Uni, (LANES as u32 + UNI_STREAMS).into());
    link.connection.set_max_concurrent_streams(Dir::Bi, BIDI_STREAMS.into());
}

/// What a dialer makes of its own refusal.
pub(super) fn refused(refusal: &Refusal, addr: SocketAddr) -> ConnectError {
    by_code(refusal.code, refusal.detail.clone(), addr)
}

fn by_code(code: CloseCode, detail: String, addr: SocketAddr) -> ConnectError {
    match code {
        CloseCode::BadHello => ConnectError::Incompatible(detail),
        CloseCode::IdentityMismatch => ConnectError::Identity(detail),
        CloseCode::SelfDial => ConnectError::SelfDial(addr),
        CloseCode::HandshakeTimeout => ConnectError::Timeout(addr),
        CloseCode::Revoked | CloseCode::Expired => ConnectError::NotTrusted(format!("{code}: {detail}")),
        CloseCode::Shutdown
        | CloseCode::DuplicateLink
        | CloseCode::Protocol
        | CloseCode::Limit
        | CloseCode::NotHeard => ConnectError::Refused(format!("{code}: {detail}")),
    }
}

/// What QUIC says of a link that did not come up, as the error of a dial.
pub(super) fn connect_error(reason: ConnectionError, addr: SocketAddr) -> ConnectError {
    let transport = |code: u64, text: String| match code {
        // TLS alerts (RFC 9001, section 4.8): 120 is "no application protocol", 70 "protocol version".
        0x178 | 0x146 => ConnectError::Incompatible(text),
        0x100..0x200 => ConnectError::NotTrusted(text),
        0x02 => ConnectError::Refused("the peer takes no new links now".to_owned()),
        _ => ConnectError::Lost(text),
    };
    let clean = |text: String| text.escape_debug().to_string();
    match reason {
        ConnectionError::TimedOut => ConnectError::Timeout(addr),
        ConnectionError::VersionMismatch => {
            ConnectError::Incompatible("no QUIC version in common".to_owned())
        }
        ConnectionError::TransportError(error) => {
            transport(u64::from(error.code), clean(format!("this node found: {error}")))
        }
        ConnectionError::ConnectionClosed(close) => {
            transport(u64::from(close.error_code), clean(format!("the peer found: {close}")))
        }
        ConnectionError::ApplicationClosed(close) => {
            let detail = close.reason.escape_ascii().to_string();
            match CloseCode::from_number(close.error_code.into_inner()) {
                Some(code) => by_code(code, detail, addr),
                None => ConnectError::Refused(detail),
            }
        }
        other => ConnectError::Lost(clean(other.to_string())),
    }
}
