//! Suspicion and loss: what the detector and the view find, done to links, members, names and host.
//!
//! A node's standing and its link are two things. The end of a link fires what went by it at once, whatever becomes of the
//! node. The node itself is *unreachable* while a member of this side is linked with it, or while it was heard just now
//! (it closed the link itself); it is *down* when neither holds.

use std::time::{Duration, Instant};

use super::link::{closed, encode};
use super::pulses::look_for_life;
use super::{Engine, Standing};
use crate::cluster::detector::{Finding, Timing};
use crate::cluster::members::Loss;
use crate::cluster::mesh::LinkIndex;
use crate::cluster::view::ClusterView;
use crate::host::{DownCause, Event, Evidence, Host, LinkEnd, NodeChange, Testimony};
use crate::id::{NodeId, NodeName};
use crate::link::close::CloseCode;
use crate::link::handshake::Refusal;
use crate::wire::control::Body;

/// Changes of links wait this long for others, to leave in one message.
const TELL_DELAY: Duration = Duration::from_millis(10);
/// Packets of which a path must have lost a third to count as lossy.
const LOSSY_PACKETS_MIN: u64 = 20;
/// Members from which on the timeouts grow.
const LARGE: f64 = 100.0;

impl Engine {
    /// The cluster as this node sees it: equal on all nodes that hear each other, once news have travelled.
    #[must_use]
    pub fn view(&self) -> ClusterView {
        self.view.compute()
    }

    /// What spoke for the loss of a node, or of its link, the last time that it was found to be down or unreachable.
    #[must_use]
    pub fn why_down(&self, node: &str) -> Option<&Evidence> {
        self.members.evidence(node)
    }

    /// Pulses, if they are due; then a look at everybody, if there is a reason.
    pub(super) fn tend_peers(&mut self, now: Instant, host: &mut impl Host) {
        if self.shut_down {
            (self.pulse_due, self.review_due, self.links_due) = (None, None, None);
            return;
        }
        let pulse_due = self.pulse_due.filter(|due| *due <= now);
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        if pulse_due.is_none() && !is_due(self.review_due) && !is_due(self.links_due) {
            return;
        }
        let lately = now.checked_sub(self.limits.suspect_after / 2);
        for link in self.links.iter_mut().flatten() {
            if pulse_due.is_some() || link.heard_at < lately {
                look_for_life(link, &mut self.detector);
            }
        }
        if let Some(due) = pulse_due {
            if self.health.tick(due, now) {
                self.detector.forgive(due.checked_sub(self.limits.pulse).unwrap_or(due), now);
                self.members.forgive(now + self.timing().unanswered);
            }
            self.send_pulses(now, due);
        }
        self.review(now, host);
        self.tell_links(now, host);
    }

    fn timing(&self) -> Timing {
        let limits = &self.limits;
        let timing = Timing {
            suspect: limits.suspect_after,
            denied: limits.down_denied_after,
            unanswered: limits.down_unanswered_after,
            ask_every: limits.pulse / 2,
            life: limits.pulse * 5 / 2,
        };
        let size = 1.0 + self.mesh.live_links().count() as f64;
        timing.times(f64::from(self.health.multiplier()) * (size.log10() / LARGE.log10()).max(1.0))
    }

    // ------------------------------------------------------------------------------------------------------ losses

    /// Looks at everybody, and does what follows.
    fn review(&mut self, now: Instant, host: &mut impl Host) {
        let timing = self.timing();
        let findings = self.detector.review(now, &timing, &self.view);
        let mut asks: Vec<(NodeName, u64)> = Vec::new();
        for finding in findings {
            match finding {
                Finding::Suspect(node) => {
                    self.stats.suspicions += 1;
                    self.members.suspected(&node, true);
                    host.event(Event::Node { node, change: NodeChange::Suspect });
                }
                Finding::Trusted(node) => {
                    self.stats.suspicions_wrong += 1;
                    self.members.suspected(&node, false);
                    host.event(Event::Node { node, change: NodeChange::Trusted });
                }
                Finding::Ask { helper, about } => asks.push((helper, about.incarnation.raw())),
                Finding::Cut { node, generation, asked } => {
                    self.give_up(now, &node, generation, asked, true, host);
                }
                Finding::Gone { node, generation, asked } => {
                    self.give_up(now, &node, generation, asked, false, host);
                }
            }
        }
        self.ask_peers(asks);
        self.bury(now, host);
        let due = self.detector.next_due(now, &timing);
        let graces = self.members.unreachable().map(|(_, grace)| grace).filter(|grace| *grace > now);
        self.review_due = due.into_iter().chain(graces).min();
    }

    /// Gives a link up whose peer is not heard any more.
    fn give_up(
        &mut self,
        now: Instant,
        node: &NodeId,
        generation: u64,
        asked: Vec<(NodeName, Testimony)>,
        is_cut: bool,
        host: &mut impl Host,
    ) {
        let Some(index) = self.mesh.live(node.name.as_str()) else { return };
        let link = self.links[index as usize].as_deref();
        if link.is_none_or(|link| link.id.generation != generation) {
            return;
        }
        let refusal = Refusal::new(CloseCode::NotHeard, "nothing was heard of this end for too long");
        let Some(link) = self.end_link(now, index, LinkEnd::Silence, Some(&refusal), host) else { return };
        let mut evidence = self.evidence(now, index, DownCause::LinkEnd(LinkEnd::Silence));
        evidence.asked = asked;
        if is_cut {
            // Whoever was asked is believed what it has just said, not what it said before.
            let hears = |said: &Testimony| matches!(said, Testimony::HeardAgo(ago) if *ago < self.limits.suspect_after);
            for (name, said) in &evidence.asked {
                evidence.seen_by.retain(|seer| seer != name);
                if hears(said) {
                    evidence.seen_by.push(name.clone());
                }
            }
            evidence.seen_by.sort();
            self.stats.links_cut += 1;
            // For as long as an answer stays good.
            self.unreachable(now, link, now + self.timing().suspect, evidence, host);
        } else {
            evidence.seen_by.clear();
            self.down(now, link, evidence, host);
        }
    }

    /// The live link at `index` has ended, and not because the detector gave it up.
    pub(super) fn member_lost(
        &mut self,
        now: Instant,
        index: LinkIndex,
        link: EndedLink,
        cause: LinkEnd,
        host: &mut impl Host,
    ) {
        let mut evidence = self.evidence(now, index, DownCause::LinkEnd(cause.clone()));
        match cause {
            LinkEnd::Shutdown => {
                self.members.link_down(&link.peer, link.generation, Loss::Down, false, now);
            }
            LinkEnd::PeerShutdown => {
                self.members.link_down(&link.peer, link.generation, Loss::Left, false, now);
                self.left(link.peer, true, host);
            }
            // Another link with the same start takes its place at once.
            LinkEnd::Superseded => {
                let grace = now + self.timing().unanswered;
                self.members.link_down(&link.peer, link.generation, Loss::Unreachable(grace), false, now);
            }
            LinkEnd::Restarted => {
                evidence.cause = DownCause::Restarted;
                self.view.forget(&link.peer);
                self.down(now, link, evidence, host);
            }
            LinkEnd::Silence | LinkEnd::Reset | LinkEnd::Closed { .. } | LinkEnd::ClosedByPeer(_) => {
                // Its own word that the link is over is a sign of life; so is the reset, which only it can make.
                let heard_at = match cause {
                    LinkEnd::Silence => now.checked_sub(evidence.silent_for).unwrap_or(now),
                    _ => now,
                };
                let grace = heard_at + self.timing().unanswered;
                if grace > now || !evidence.seen_by.is_empty() {
                    self.unreachable(now, link, grace, evidence, host);
                } else {
                    self.down(now, link, evidence, host);
                }
            }
        }
    }

    /// A node has said goodbye, to this one or to others, or is to be forgotten. Only its own word frees at once what this node
    /// granted it.
    pub(super) fn left(&mut self, node: NodeId, by_its_own_word: bool, host: &mut impl Host) {
        self.buried(&node, host);
        if by_its_own_word {
            self.voter.over(&node);
        }
        self.view.forget(&node);
        host.event(Event::Node { node, change: NodeChange::Left });
    }

    /// The link with a node is dead; the node may live.
    fn unreachable(
        &mut self,
        now: Instant,
        link: EndedLink,
        grace: Instant,
        evidence: Evidence,
        host: &mut impl Host,
    ) {
        let seen_by = evidence.seen_by.clone();
        let lossy = is_lossy(&evidence);
        self.members.link_down(&link.peer, link.generation, Loss::Unreachable(grace), lossy, now);
        self.members.set_evidence(&link.peer.name, Box::new(evidence));
        host.event(Event::Node { node: link.peer, change: NodeChange::Unreachable { seen_by } });
        self.review_due = Some(self.review_due.map_or(grace, |due| due.min(grace)));
    }

    /// A node that was linked until now is lost.
    fn down(&mut self, now: Instant, link: EndedLink, evidence: Evidence, host: &mut impl Host) {
        let lossy = is_lossy(&evidence);
        self.members.link_down(&link.peer, link.generation, Loss::Down, lossy, now);
        self.found_down(link.peer, evidence, host);
    }

    fn found_down(&mut self, node: NodeId, evidence: Evidence, host: &mut impl Host) {
        self.stats.nodes_down += 1;
        self.buried(&node, host);
        // Another start of it lives: so this one does not, and what it holds is free at once.
        if evidence.cause == DownCause::Restarted {
            self.voter.over(&node);
        }
        let evidence = Box::new(evidence);
        self.members.set_evidence(&node.name, evidence.clone());
        host.event(Event::Node { node, change: NodeChange::Down { evidence } });
    }

    /// What a lost node held is free.
    fn buried(&mut self, node: &NodeId, host: &mut impl Host) {
        let changes = self.names.peer_gone(&node.name);
        self.report(changes, host);
    }

    /// Unreachable nodes that nobody sees any more are down.
    fn bury(&mut self, now: Instant, host: &mut impl Host) {
        let over = self.members.unreachable().filter(|(_, grace)| *grace <= now);
        let over: Vec<NodeId> = over.map(|(node, _)| node.clone()).collect();
        for node in over {
            if !self.view.seen_by(node.incarnation).is_empty() {
                continue;
            }
            self.members.down(&node.name);
            let evidence = self.members.evidence(node.name.as_str()).cloned();
            // A link that another one was to replace leaves none.
            let mut evidence = evidence.unwrap_or_else(|| self.no_evidence(now, LinkEnd::Superseded));
            evidence.seen_by.clear();
            self.found_down(node, evidence, host);
        }
    }

    /// A link with a node is live: whatever was known of an earlier start of it is over.
    pub(super) fn replaced(&mut self, now: Instant, node: &NodeId, host: &mut impl Host) {
        let Some((before, standing)) = self.members.standing(&node.name) else { return };
        if before.incarnation == node.incarnation {
            return;
        }
        let before = before.clone();
        self.view.forget(&before);
        if standing == Standing::Unreachable {
            let evidence = self.members.evidence(node.name.as_str()).cloned();
            let mut evidence = evidence.unwrap_or_else(|| self.no_evidence(now, LinkEnd::Superseded));
            evidence.cause = DownCause::Restarted;
            self.found_down(before, evidence, host);
        }
    }

    /// What is known of the peer of a link that has just ended.
    fn evidence(&self, now: Instant, index: LinkIndex, cause: DownCause) -> Evidence {
        let link = self.links[index as usize].as_deref().expect("it has just ended");
        let peer = &link.peer.as_ref().expect("a link that was live has a peer").id;
        let path = link.connection.stats().path;
        Evidence {
            cause,
            silent_for: now.saturating_duration_since(link.heard_at.unwrap_or(now)),
            rtt: link.connection.rtt(),
            packets_sent: path.sent_packets,
            packets_lost: path.lost_packets,
            own_stall: self.health.recent_stall(now),
            patience: self.health.multiplier(),
            asked: Vec::new(),
            seen_by: self.view.seen_by(peer.incarnation),
        }
    }

    /// What speaks for the loss of a node of which nothing else is known.
    fn no_evidence(&self, now: Instant, end: LinkEnd) -> Evidence {
        Evidence {
            cause: DownCause::LinkEnd(end),
            silent_for: Duration::ZERO,
            rtt: Duration::ZERO,
            packets_sent: 0,
            packets_lost: 0,
            own_stall: self.health.recent_stall(now),
            patience: self.health.multiplier(),
            asked: Vec::new(),
            seen_by: Vec::new(),
        }
    }

    // ------------------------------------------------------------------------------------------------------- links

    /// Peers are to be told with whom this node is linked.
    pub(super) fn links_changed(&mut self, now: Instant) {
        self.links_due.get_or_insert(now + TELL_DELAY);
    }

    fn tell_links(&mut self, now: Instant, host: &mut impl Host) {
        if self.links_due.is_none_or(|due| due > now) {
            return;
        }
        self.links_due = None;
        let Some(news) = self.view.take_news() else { return };
        let message = encode(Body::Links(news));
        let live: Vec<LinkIndex> = self.mesh.live_links().collect();
        for index in live {
            let Some(Some(link)) = self.links.get_mut(index as usize) else { continue };
            match link.say_encoded(message.clone()) {
                Ok(()) => self.touch(index),
                Err(refusal) => self.end(now, index, closed(&refusal), Some(&refusal), host),
            }
        }
        self.view.prune(|incarnation| self.members.knows(incarnation));
    }
}

/// Whether the path of a link had lost a third of the packets or more: it lives, and will do so again. A path that was cut has lost
/// nothing that could be told from what is late.
fn is_lossy(evidence: &Evidence) -> bool {
    evidence.packets_sent >= LOSSY_PACKETS_MIN && 3 * evidence.packets_lost >= evidence.packets_sent
}

/// A live link that has just ended.
pub(super) struct EndedLink {
    pub(super) peer: NodeId,
    pub(super) generation: u64,
}
