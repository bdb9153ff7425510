//! Whom this node no longer hears, and what others say of it.
//!
//! Linked nodes send each other a pulse every half second, and whatever packet comes is a sign of life. Who is silent for
//! long is suspected, and others are asked: first three, then all who say that they are linked with it, again and again
//! while nothing speaks for its life. (SWIM's indirect probes, Das, Gupta, Motivala, 2002; in a full mesh the ones who are
//! asked need no probe of their own, for they have the suspect's last pulse.) After a second more
//!
//! - the link is **cut** if somebody heard it well after this node did: the trouble is between the two;
//! - it is **gone** if all who were asked have answered that they have not, and nobody else is known to be linked with it;
//! - otherwise there is one more second for answers and news. Then it is cut if somebody whom this node reaches only
//!   through others is linked with it, and gone if not.
//!
//! # What must stay true
//! - A packet of the suspect ends the suspicion at once.
//! - Only an answer that proves a life after the last packet here counts as one: an old packet is no news.
//! - Whoever is suspected itself is not waited for.
//! - What came out of the socket after this node stood still says nothing of when it was sent: it may be as old as the
//!   standstill. Such a packet ends a suspicion here, but proves nothing to others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::cluster::evidence::Testimony;
use crate::id::{Incarnation, NodeId, NodeName};

/// Nodes that are asked first.
const ASKED_FIRST: usize = 3;

/// After a standstill, what comes may have waited in the socket for so long.
const BACKLOG: Duration = Duration::from_millis(250);

/// How long the detector waits for what. All of them grow with this node's own lateness and with the cluster's size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// Silence after which a node is suspected.
    pub(crate) suspect: Duration,
    /// Silence after which it is lost, if all answers are in.
    pub(crate) denied: Duration,
    /// Silence after which it is lost without them.
    pub(crate) unanswered: Duration,
    /// Between two questions about one suspect.
    pub(crate) ask_every: Duration,
    /// How much later than here it must have been heard elsewhere for that to prove that it lives.
    pub(crate) life: Duration,
}

impl Timing {
    /// All of them as many times as long.
    pub(crate) fn times(self, factor: f64) -> Self {
        Self {
            suspect: self.suspect.mul_f64(factor),
            denied: self.denied.mul_f64(factor),
            unanswered: self.unanswered.mul_f64(factor),
            ..self
        }
    }
}

/// What the detector found, to be acted on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// A node is suspected from now on.
    Suspect(NodeId),
    /// It is heard again.
    Trusted(NodeId),
    /// Ask this peer whether it hears the suspect.
    Ask { helper: NodeName, about: NodeId },
    /// The link with it is dead, though others hear it.
    Cut { node: NodeId, generation: u64, asked: Vec<(NodeName, Testimony)> },
    /// Nobody hears it.
    Gone { node: NodeId, generation: u64, asked: Vec<(NodeName, Testimony)> },
}

/// Who says that it is linked with whom.
pub(crate) trait Graph {
    /// Whether a peer says that it is linked with a node.
    fn is_linked_with(&self, peer: &NodeId, node: &NodeId) -> bool;

    /// The nodes that can be reached through these peers, over links that are not `denied` (by one end, with the other).
    fn reached_through(
        &self,
        peers: &[NodeId],
        denied: &dyn Fn(Incarnation, Incarnation) -> bool,
    ) -> BTreeSet<Incarnation>;
}

#[derive(Debug)]
struct Watched {
    id: NodeId,
    generation: u64,
    heard_at: Instant,
    /// When it was last heard with a packet that was sent about then.
    lived_at: Instant,
    suspicion: Option<Suspicion>,
}

#[derive(Debug)]
struct Suspicion {
    /// Who was asked, and when it last heard the suspect, if it has said so.
    asked: BTreeMap<NodeName, Option<Answer>>,
    ask_at: Instant,
    /// Everybody was asked, not only the first few.
    widened: bool,
}

#[derive(Debug, Clone, Copy)]
enum Answer {
    NotLinked,
    Heard(Instant),
}

/// The nodes that this one is linked with, as it hears them.
#[derive(Debug)]
pub(crate) struct Detector {
    watched: BTreeMap<NodeName, Watched>,
    /// This node's last standstill: from when, and until when it was still reading what had come meanwhile.
    stood: Option<(Instant, Instant)>,
    random: fastrand::Rng,
}

impl Detector {
    pub(crate) fn new(seed: u64) -> Self {
        Self { watched: BTreeMap::new(), stood: None, random: fastrand::Rng::with_seed(seed) }
    }

    /// A link is live; it has just been heard.
    pub(crate) fn link_up(&mut self, id: &NodeId, generation: u64, now: Instant) {
        let watched = Watched { id: id.clone(), generation, heard_at: now, lived_at: now, suspicion: None };
        self.watched.insert(id.name.clone(), watched);
    }

    /// A link has ended.
    pub(crate) fn link_down(&mut self, name: &NodeName, generation: u64) {
        if self.watched.get(name).is_some_and(|watched| watched.generation == generation) {
            self.watched.remove(name);
        }
    }

    /// A packet of a peer arrived at `at`.
    pub(crate) fn heard(&mut self, name: &NodeName, at: Instant) {
        if let Some(watched) = self.watched.get_mut(name) {
            watched.heard_at = watched.heard_at.max(at);
            if !self.stood.is_some_and(|(from, until)| from < at && at <= until) {
                watched.lived_at = watched.lived_at.max(at);
            }
        }
    }

    /// This node stood still since `from`: everybody has a new grace period.
    pub(crate) fn forgive(&mut self, from: Instant, now: Instant) {
        // One that followed another while that one's backlog was read goes on.
        let from = self.stood.filter(|(_, until)| from <= *until).map_or(from, |(first, _)| first.min(from));
        self.stood = Some((from, now + BACKLOG));
        for watched in self.watched.values_mut() {
            watched.heard_at = now;
            // Something may have been read before the standstill was noticed.
            watched.lived_at = watched.lived_at.min(from);
        }
    }

    /// What this node can say of a peer to others: when it last heard it. Nothing while all that it has heard of it lately may
    /// have waited in the socket.
    pub(crate) fn testimony(&self, name: &NodeName) -> Option<Instant> {
        let watched = self.watched.get(name)?;
        (watched.lived_at == watched.heard_at).then_some(watched.lived_at)
    }

    /// A peer answered that it heard a suspect at a time, or that it is not linked with it.
    pub(crate) fn answered(&mut self, from: &NodeName, about: u64, heard: Option<Instant>) {
        let suspect = self.watched.values_mut().find(|watched| watched.id.incarnation.raw() == about);
        if let Some(suspicion) = suspect.and_then(|suspect| suspect.suspicion.as_mut())
            && let Some(answer) = suspicion.asked.get_mut(from)
        {
            *answer = Some(heard.map_or(Answer::NotLinked, Answer::Heard));
        }
    }

    /// Looks at everybody, and at who says that it is linked with whom.
    pub(crate) fn review(&mut self, now: Instant, timing: &Timing, graph: &impl Graph) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.suspect(now, timing, &mut findings);
        if self.watched.values().all(|watched| watched.suspicion.is_none()) {
            return findings;
        }
        let trusted: Vec<NodeId> = self
            .watched
            .values()
            .filter(|watched| watched.suspicion.is_none())
            .map(|watched| watched.id.clone())
            .collect();
        for watched in self.watched.values_mut() {
            let Some(suspicion) = watched.suspicion.as_mut() else { continue };
            let silence = now.saturating_duration_since(watched.heard_at);
            if suspicion.ask_at <= now {
                let wide = silence >= (timing.suspect + timing.denied) / 2;
                if suspicion.asked.is_empty() || wide && !suspicion.widened {
                    suspicion.widened = wide;
                    let mut helpers: Vec<&NodeId> =
                        trusted.iter().filter(|peer| graph.is_linked_with(peer, &watched.id)).collect();
                    self.random.shuffle(&mut helpers);
                    helpers.truncate(if wide { usize::MAX } else { ASKED_FIRST });
                    for helper in helpers {
                        suspicion.asked.entry(helper.name.clone()).or_insert(None);
                    }
                }
                suspicion.ask_at = now + timing.ask_every;
                let helpers = suspicion.asked.keys().cloned();
                findings.extend(helpers.map(|helper| Finding::Ask { helper, about: watched.id.clone() }));
            }
        }
        self.judge(now, timing, &trusted, graph, &mut findings);
        findings
    }

    /// What is to be made of suspects that have been silent for long.
    fn judge(
        &self,
        now: Instant,
        timing: &Timing,
        trusted: &[NodeId],
        graph: &impl Graph,
        findings: &mut Vec<Finding>,
    ) {
        let overdue = self.watched.values().filter(|watched| {
            watched.suspicion.is_some() && now.saturating_duration_since(watched.heard_at) >= timing.denied
        });
        let overdue: Vec<&Watched> = overdue.collect();
        if overdue.is_empty() {
            return;
        }
        // Who was asked is not linked with the suspect in earnest, whatever it has said of that before.
        let mut denied: BTreeSet<(Incarnation, Incarnation)> = BTreeSet::new();
        for watched in self.watched.values() {
            let late = now.saturating_duration_since(watched.heard_at) >= timing.unanswered;
            for (name, answer) in watched.suspicion.iter().flat_map(|suspicion| &suspicion.asked) {
                let Some(helper) = self.watched.get(name) else { continue };
                // Whoever is not heard itself could not answer.
                let is_heard = helper.suspicion.is_none();
                let no = answer.map_or(late && is_heard, |answer| !answer.is_life(watched, timing));
                if no {
                    denied.insert((helper.id.incarnation, watched.id.incarnation));
                }
            }
        }
        let reached = graph.reached_through(trusted, &|one, other| denied.contains(&(one, other)));
        for watched in overdue {
            findings.extend(verdict(
                now,
                watched,
                timing,
                trusted,
                reached.contains(&watched.id.incarnation),
            ));
        }
    }

    /// Begins and ends suspicions.
    fn suspect(&mut self, now: Instant, timing: &Timing, findings: &mut Vec<Finding>) {
        for watched in self.watched.values_mut() {
            let silence = now.saturating_duration_since(watched.heard_at);
            match watched.suspicion {
                None if silence >= timing.suspect => {
                    let asked = BTreeMap::new();
                    watched.suspicion = Some(Suspicion { asked, ask_at: now, widened: false });
                    findings.push(Finding::Suspect(watched.id.clone()));
                }
                Some(_) if silence < timing.suspect => {
                    watched.suspicion = None;
                    findings.push(Finding::Trusted(watched.id.clone()));
                }
                _ => {}
            }
        }
    }

    /// When there is something to look at, if nothing is heard until then.
    pub(crate) fn next_due(&self, now: Instant, timing: &Timing) -> Option<Instant> {
        let due = self.watched.values().map(|watched| match &watched.suspicion {
            None => watched.heard_at + timing.suspect,
            Some(suspicion) => {
                let verdicts = [timing.denied, timing.unanswered].map(|silence| watched.heard_at + silence);
                verdicts.into_iter().filter(|at| *at > now).fold(suspicion.ask_at, Instant::min)
            }
        });
        due.min()
    }
}

impl Answer {
    /// Whether it proves that the suspect lived well after it was last heard here.
    fn is_life(self, watched: &Watched, timing: &Timing) -> bool {
        matches!(self, Self::Heard(at) if at >= watched.heard_at + timing.life)
    }
}

/// What is to be made of a suspect, if it is time; `is_reached` if others seem to be linked with it.
fn verdict(
    now: Instant,
    watched: &Watched,
    timing: &Timing,
    trusted: &[NodeId],
    is_reached: bool,
) -> Option<Finding> {
    let suspicion = watched.suspicion.as_ref()?;
    let silence = now.saturating_duration_since(watched.heard_at);
    let lives = suspicion.asked.values().flatten().any(|answer| answer.is_life(watched, timing));
    let mut waited_for =
        suspicion.asked.iter().filter(|(name, _)| trusted.iter().any(|peer| peer.name == **name));
    // With nobody to ask, nobody denies it.
    let denied = waited_for.clone().next().is_some() && waited_for.all(|(_, answer)| answer.is_some());
    if !lives && (!denied || is_reached) && silence < timing.unanswered {
        return None;
    }
    let (node, generation) = (watched.id.clone(), watched.generation);
    let asked = suspicion.asked.iter().map(|(name, answer)| {
        let testimony = match answer {
            None => Testimony::NoAnswer,
            Some(Answer::NotLinked) => Testimony::NotLinked,
            Some(Answer::Heard(at)) => Testimony::HeardAgo(now.saturating_duration_since(*at)),
        };
        (name.clone(), testimony)
    });
    let asked = asked.collect();
    Some(if lives || is_reached {
        Finding::Cut { node, generation, asked }
    } else {
        Finding::Gone { node, generation, asked }
    })
}

#[cfg(test)]
#[path = "detector_tests.rs"]
mod tests;
