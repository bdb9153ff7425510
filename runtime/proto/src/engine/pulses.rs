//! Pulses: signs of life with digests, questions about silent nodes, and answers.

use std::time::{Duration, Instant};

use quinn_proto::FrameStats;

use super::link::{Link, Phase};
use super::open::protocol;
use super::{Engine, Stop};
use crate::cluster::detector::Detector;
use crate::cluster::health::STALL;
use crate::cluster::mesh::LinkIndex;
use crate::host::Host;
use crate::id::{NodeName, Pid};
use crate::signal::Signal;
use crate::wire::control::{Body, NamesWanted};
use crate::wire::datagram::{self, Datagram};
use crate::wire::pulse::{ASKED_PER_PULSE_MAX, Heard, Pulse};

/// Pulses in a row in which a peer may see another cluster, before it is sent what it may be missing.
const VIEWS_DIFFER_MAX: u32 = 2;

impl Engine {
    /// Tells every peer that this node lives, and what it knows by its digests.
    pub(super) fn send_pulses(&mut self, now: Instant, due: Instant) {
        let view = self.view.digest();
        let (names_version, names_digest) = self.names.told();
        let datagram = Pulse { view, names_version, names_digest, ..Pulse::default() }.datagram();
        let live: Vec<LinkIndex> = self.mesh.live_links().collect();
        // The beat goes on as it began, unless it was missed.
        let pulse = self.limits.pulse;
        let next = if due + pulse > now { due + pulse } else { now + pulse };
        self.pulse_due = (!live.is_empty()).then_some(next);
        for index in live {
            let Some(Some(link)) = self.links.get_mut(index as usize) else { continue };
            if planted!(NoKeepAlive) {
                continue;
            }
            // What does not fit any more is lost, as a datagram may be.
            let _ = link.connection.datagrams().send(datagram.clone(), true);
            self.touch(index);
        }
    }

    /// Datagrams of a peer arrived.
    pub(super) fn read_datagrams(
        &mut self,
        now: Instant,
        link: &mut Link,
        host: &mut impl Host,
    ) -> Result<(), Stop> {
        while let Some(datagram) = link.connection.datagrams().recv() {
            // Before that it is nobody's, and a datagram may be lost.
            if link.phase != Phase::Live {
                continue;
            }
            match datagram::read(&datagram).map_err(protocol)? {
                Datagram::Pulse(pulse) => self.pulse(now, link, &pulse, host)?,
                Datagram::Message { from, to, body } => {
                    let peer = &link.peer.as_ref().expect("a live link has a peer").id;
                    self.stats.signals_received += 1;
                    host.deliver(Pid::new(peer.incarnation, from), to, Signal::Message(body));
                }
                Datagram::Skipped => {}
            }
        }
        Ok(())
    }

    fn pulse(
        &mut self,
        now: Instant,
        link: &mut Link,
        pulse: &Pulse,
        host: &mut impl Host,
    ) -> Result<(), Stop> {
        let peer = link.peer.as_ref().expect("a live link has a peer").id.clone();
        look_for_life(link, &mut self.detector);
        let rtt = link.connection.rtt();
        for heard in &pulse.answers {
            // When it was heard there is at least this long ago, by our clock.
            let at = heard.ago_ms.map(|ago_ms| now.checked_sub(Duration::from_millis(ago_ms) + rtt));
            self.detector.answered(&peer.name, heard.incarnation, at.flatten());
            self.review_due = Some(now);
        }
        if !pulse.asks.is_empty() {
            let asks = pulse.asks.iter().take(ASKED_PER_PULSE_MAX);
            let answers: Vec<Heard> =
                asks.filter_map(|incarnation| self.heard_of(now, *incarnation)).collect();
            if !answers.is_empty() {
                let datagram = Pulse { answers, ..Pulse::default() }.datagram();
                let _ = link.connection.datagrams().send(datagram, true);
            }
        }
        // Questions and answers have no digests.
        if pulse.view == 0 {
            return Ok(());
        }
        let mut changes = Vec::new();
        let astray = self.names.is_astray(&peer, pulse.names_version, pulse.names_digest, &mut changes);
        self.report(changes, host);
        if astray {
            link.say(Body::NamesWanted(NamesWanted {}))?;
        }
        link.views_differ = if pulse.view == self.view.digest() { 0 } else { link.views_differ + 1 };
        if link.views_differ >= VIEWS_DIFFER_MAX {
            link.views_differ = 0;
            for links in self.view.rows_for(&peer) {
                link.say(Body::Links(links))?;
            }
        }
        Ok(())
    }

    /// How long ago a node was heard, as an answer. None from a node that stood still, until it has heard something new: what waited
    /// in its socket says nothing of when it was sent.
    fn heard_of(&mut self, now: Instant, incarnation: u64) -> Option<Heard> {
        let stands = self.pulse_due.is_some_and(|due| now.saturating_duration_since(due) >= STALL);
        if stands {
            // It has just come back, and has yet to notice.
            return None;
        }
        let about =
            |link: &Link| link.peer.as_ref().is_some_and(|peer| peer.id.incarnation.raw() == incarnation);
        let live: Vec<LinkIndex> = self.mesh.live_links().collect();
        let link = live.into_iter().find(|index| self.links[*index as usize].as_deref().is_some_and(about));
        let Some(link) = link.and_then(|index| self.links[index as usize].as_mut()) else {
            return Some(Heard { incarnation, ago_ms: None });
        };
        look_for_life(link, &mut self.detector);
        let heard_at = self.detector.testimony(&link.peer.as_ref()?.id.name)?;
        let ago_ms = now.saturating_duration_since(heard_at).as_millis() as u64;
        Some(Heard { incarnation, ago_ms: Some(ago_ms) })
    }

    /// Asks peers about suspects, each about all at once.
    pub(super) fn ask_peers(&mut self, mut asks: Vec<(NodeName, u64)>) {
        asks.sort();
        for asked in asks.chunk_by(|(one, _), (other, _)| one == other) {
            let Some(index) = self.mesh.live(asked[0].0.as_str()) else { continue };
            let Some(Some(link)) = self.links.get_mut(index as usize) else { continue };
            for some in asked.chunks(ASKED_PER_PULSE_MAX) {
                let asks = some.iter().map(|(_, about)| *about).collect();
                let _ = link.connection.datagrams().send(Pulse { asks, ..Pulse::default() }.datagram(), true);
            }
            self.touch(index);
        }
    }
}

/// Notes when the peer was last heard: when a datagram came, if any frame that was authentic came since the last look.
pub(super) fn look_for_life(link: &mut Link, detector: &mut Detector) {
    let frames = frames(&link.connection.stats().frame_rx);
    if std::mem::replace(&mut link.frames_seen, frames) != frames {
        link.heard_at = link.arrived;
    }
    if let (Some(at), Some(peer)) = (link.heard_at, &link.peer) {
        detector.heard(&peer.id.name, at);
    }
}

/// All frames, of whatever kind.
fn frames(stats: &FrameStats) -> u64 {
    let streams = stats.stream + stats.reset_stream + stats.stop_sending + stats.crypto;
    let flow = stats.max_data + stats.max_stream_data + stats.max_streams_bidi + stats.max_streams_uni;
    let blocked = stats.data_blocked
        + stats.stream_data_blocked
        + stats.streams_blocked_bidi
        + stats.streams_blocked_uni;
    let ids = stats.new_connection_id + stats.retire_connection_id + stats.new_token;
    let path =
        stats.path_challenge + stats.path_response + stats.ping + stats.ack_frequency + stats.immediate_ack;
    let others = stats.acks + stats.datagram + stats.connection_close + u64::from(stats.handshake_done);
    streams + flow + blocked + ids + path + others
}
