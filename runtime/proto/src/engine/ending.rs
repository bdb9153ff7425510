//! The end of a link, and what it fires: each thing once, and nothing of another link.

use std::time::Instant;

use bytes::BytesMut;
use quinn_proto::ConnectionError;

use super::Engine;
use super::detect::EndedLink;
use super::link::{Phase, closed};
use super::open::{self, connect_error};
use super::pulses::look_for_life;
use crate::cluster::mesh::LinkIndex;
use crate::cluster::watch::Loss;
use crate::host::{CallError, ConnectError, Event, Host, LinkEnd};
use crate::id::Pid;
use crate::link::close::CloseCode;
use crate::link::handshake::Refusal;
use crate::link::outgoing::{Outgoing, Track};
use crate::reason::ExitReason;
use crate::signal::Signal;
use crate::wire::frame::To;

impl Engine {
    /// QUIC gave a link up, or the peer closed it.
    pub(super) fn lost(
        &mut self,
        now: Instant,
        index: LinkIndex,
        reason: ConnectionError,
        host: &mut impl Host,
    ) {
        let Some(link) = self.links[index as usize].as_deref_mut() else { return };
        if link.phase != Phase::Live {
            // The peer may have dropped this dial for another link, which it has told us of or will.
            let duplicate = matches!(&reason, ConnectionError::ApplicationClosed(close)
                if CloseCode::from_number(close.error_code.into_inner()) == Some(CloseCode::DuplicateLink));
            if duplicate {
                return self.give_way(now, index, host);
            }
            let error = connect_error(reason, link.addr);
            return self.open_failed(now, index, error, true, host);
        }
        let cause = match reason {
            ConnectionError::TimedOut => LinkEnd::Silence,
            ConnectionError::Reset => LinkEnd::Reset,
            ConnectionError::ApplicationClosed(close) => {
                match CloseCode::from_number(close.error_code.into_inner()) {
                    Some(CloseCode::Shutdown) => LinkEnd::PeerShutdown,
                    Some(code) => LinkEnd::ClosedByPeer(format!("{code}: {}", close.reason.escape_ascii())),
                    None => LinkEnd::ClosedByPeer(close.to_string().escape_debug().to_string()),
                }
            }
            other => LinkEnd::ClosedByPeer(other.to_string().escape_debug().to_string()),
        };
        self.end(now, index, cause, None, host);
    }

    /// Ends a link, with a word of goodbye to the peer if `goodbye` says so, and fires all that depended on it.
    pub(super) fn end(
        &mut self,
        now: Instant,
        index: LinkIndex,
        cause: LinkEnd,
        goodbye: Option<&Refusal>,
        host: &mut impl Host,
    ) {
        if let Some(ended) = self.end_link(now, index, cause.clone(), goodbye, host) {
            self.member_lost(now, index, ended, cause, host);
        }
    }

    /// [`end`](Self::end) of the link alone. What that means for its node is the caller's to find, if it was live.
    pub(super) fn end_link(
        &mut self,
        now: Instant,
        index: LinkIndex,
        cause: LinkEnd,
        goodbye: Option<&Refusal>,
        host: &mut impl Host,
    ) -> Option<EndedLink> {
        let link = self.links.get_mut(index as usize)?.as_deref_mut()?;
        let phase = std::mem::replace(&mut link.phase, Phase::Ended);
        if phase == Phase::Ended {
            return None;
        }
        link.open_by = None;
        look_for_life(link, &mut self.detector);
        if let Some(refusal) = goodbye {
            link.close(now, refusal.code, &refusal.detail);
        }
        if phase != Phase::Live {
            let error = match (&cause, goodbye) {
                (LinkEnd::Shutdown, _) => ConnectError::Shutdown,
                (_, Some(refusal)) => open::refused(refusal, link.addr),
                (cause, None) => ConnectError::Lost(cause.to_string()),
            };
            let peers_fault = goodbye.is_some_and(|refusal| {
                !matches!(refusal.code, CloseCode::Shutdown | CloseCode::DuplicateLink)
            });
            self.open_failed(now, index, error, peers_fault, host);
            self.touch(index);
            return None;
        }
        let (id, peer) = (link.id, link.peer.clone().expect("a live link has a peer").id);
        let watches = std::mem::take(&mut link.watches);
        let budget = link.sender.budget.clone();
        self.stats.links_down += 1;
        self.mesh.ended(index, &peer.name);
        let pid = |serial| Pid::new(peer.incarnation, serial);
        for loss in watches.lost() {
            match loss {
                Loss::Link { local, remote } => {
                    host.deliver(pid(remote), To::Serial(local), Signal::LinkExit(ExitReason::NoConnection));
                }
                Loss::Unlink { local, remote, .. } if planted!(UnlinkRace) => {
                    host.deliver(pid(remote), To::Serial(local), Signal::LinkExit(ExitReason::NoConnection));
                }
                // With the link the peer forgot its end: as good as its acknowledgement, and just as exact.
                Loss::Unlink { local, remote, id } => {
                    host.deliver(pid(remote), To::Serial(local), Signal::UnlinkAck { id });
                }
                Loss::Monitor { .. } if planted!(DownLost) => {}
                Loss::Monitor { watcher, target, reference } => {
                    let reason = ExitReason::NoConnection;
                    host.deliver(target, To::Serial(watcher), Signal::Down { reference, reason });
                }
                Loss::Watcher { target, watcher, reference } => {
                    host.event(Event::WatcherLost { target, watcher: pid(watcher), reference });
                }
            }
        }
        for call in self.calls.link_lost(index) {
            if planted!(CallForgotten) {
                continue;
            }
            self.spawn_watches.take(call);
            host.event(Event::Called { call, result: Err(CallError::LinkLost) });
        }
        // Senders that wait for room have nothing to wait for any more.
        budget.release(budget.queued_bytes());
        host.event(Event::Down { peer: peer.clone(), link: id, cause });
        self.detector.link_down(&peer.name, id.generation);
        self.view.link_down(&peer);
        self.links_changed(now);
        self.touch(index);
        Some(EndedLink { peer, generation: id.generation })
    }

    /// What was queued for a link that is gone fails as it would have with the link.
    pub(super) fn abandon(&mut self, outgoing: &mut Outgoing, host: &mut impl Host) {
        self.stats.frames_dropped += std::mem::take(&mut outgoing.frames);
        outgoing.lanes.iter_mut().for_each(BytesMut::clear);
        outgoing.occupied = 0;
        outgoing.bulk.clear();
        for track in outgoing.tracks.drain(..) {
            match track {
                Track::Linked { local, remote } => {
                    host.deliver(remote, To::Serial(local), Signal::LinkExit(ExitReason::NoConnection));
                }
                Track::Unlinking { local, remote, id } => {
                    host.deliver(remote, To::Serial(local), Signal::UnlinkAck { id });
                }
                Track::Monitoring { watcher, reference, target }
                | Track::Asking { caller: watcher, reference, target } => {
                    let reason = ExitReason::NoConnection;
                    host.deliver(target, To::Serial(watcher), Signal::Down { reference, reason });
                }
                Track::Watched { target, watcher, reference } => {
                    host.event(Event::WatcherLost { target, watcher, reference });
                }
                Track::Call { call, .. } => {
                    host.event(Event::Called { call, result: Err(CallError::NotSent) });
                }
                Track::Unlinked { .. } | Track::Demonitored { .. } | Track::DownSent { .. } => {}
            }
        }
    }

    /// Ends a link that carries more than its bound of links and monitors.
    pub(super) fn bound_watches(&mut self, now: Instant, index: LinkIndex, host: &mut impl Host) {
        let link = self.links[index as usize].as_deref();
        if link.is_some_and(|link| link.watches.len() > self.limits.watches_per_link_max) {
            let refusal = Refusal::new(CloseCode::Limit, "too many links and monitors across one link");
            self.end(now, index, closed(&refusal), Some(&refusal), host);
        }
    }
}
