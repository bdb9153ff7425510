//! Confirmed names: what this node asks of the voters, what it answers as one, and what follows for names and host.

use std::time::{Duration, Instant};

use super::link::{Link, closed, encode};
use super::{Engine, Stop};
use crate::cluster::confirmed::claimant::{Attempt, Electorate, Step};
use crate::cluster::confirmed::voters_lease;
use crate::cluster::mesh::LinkIndex;
use crate::host::{ClaimError, ConfirmError, ConflictPolicy, Event, Host, Quorum};
use crate::id::Name;
use crate::wire::control::{Ballots, Body, Votes};

/// Ballots in one control message: with the longest names it stays below the bound of a control frame.
const BALLOTS_PER_MESSAGE: usize = 150;

/// A wish to have a name confirmed.
#[derive(Debug, Clone)]
pub struct Confirm {
    /// The caller's number for it.
    pub call: u64,
    /// The name.
    pub name: Name,
    /// The local process that is to hold it.
    pub serial: u64,
    /// Whose word it takes.
    pub quorum: Quorum,
    /// What is done if the process loses the name.
    pub policy: ConflictPolicy,
    /// How long it may take.
    pub deadline: Duration,
}

impl Engine {
    /// Has a majority confirm that a local process holds a name. The outcome is [`Event::Confirmed`] with the same
    /// `call`, by the deadline; [`unregister`](Self::unregister) ends an attempt before that, and gives the name up
    /// afterwards.
    pub fn confirm(&mut self, now: Instant, wish: Confirm, host: &mut impl Host) {
        let Confirm { call, name, serial, quorum, policy, deadline } = wish;
        let refused = if self.shut_down {
            Some(ConfirmError::Shutdown)
        } else if let Some(owner) = self.names.owner(name.as_str()) {
            Some(ConfirmError::Taken(owner))
        } else if let Some(owner) = self.claimed_here(name.as_str()) {
            Some(ConfirmError::Taken(owner))
        } else if let Err(ClaimError::TooMany { max }) = self.may_claim() {
            Some(ConfirmError::TooMany { max })
        } else {
            None
        };
        if let Some(error) = refused {
            return host.event(Event::Confirmed { call, result: Err(error) });
        }
        self.claimant.begin(now, name, Attempt { call, serial, quorum, policy, deadline: now + deadline });
        self.tend_confirmed(now, host);
    }

    /// Asks again, and gives up what is over.
    pub(super) fn tend_confirmed(&mut self, now: Instant, host: &mut impl Host) {
        if self.shut_down || self.claimant.next_due().is_none_or(|due| due > now) {
            return;
        }
        let electorate = self.electorate(now, None);
        let (names, me) = (&self.names, &self.me.name);
        let owner = |name: &Name| names.owner(name.as_str()).filter(|owner| owner.node != *me);
        let steps = self.claimant.tick(now, host.wall_ms(), electorate, owner);
        self.take_steps(now, steps, host);
    }

    /// How many voters there are; `link` is one that is being looked at.
    fn electorate(&self, now: Instant, link: Option<&Link>) -> Electorate {
        let voters = self.members.voters(now, 2 * voters_lease(self.limits.lease));
        let peer = |index: LinkIndex| self.links[index as usize].as_deref().or(link)?.peer.as_ref();
        let linked = self.mesh.live_links().filter_map(peer);
        let linked = linked.filter(|peer| self.members.is_voter(&peer.id.name));
        Electorate { voters, reach: linked.count() + usize::from(self.members.votes()) }
    }

    pub(super) fn take_steps(&mut self, now: Instant, steps: Vec<Step>, host: &mut impl Host) {
        let mut steps: std::collections::VecDeque<Step> = steps.into();
        while let Some(step) = steps.pop_front() {
            match step {
                Step::Ask(ballot) => {
                    if self.members.votes() {
                        let vote = self.voter.ask(now, host.wall_ms(), &self.me, &ballot);
                        let electorate = self.electorate(now, None);
                        let (me, voters, clock) = (&self.me.name, electorate.voters, (now, host.wall_ms()));
                        steps.extend(self.claimant.voted(clock, me, voters, &vote, electorate));
                    }
                    self.ballots.ballots.push(ballot);
                }
                Step::Release(released) => {
                    self.voter.released(&self.me, &released.name, released.token);
                    // What has not been asked yet need not be.
                    self.ballots
                        .ballots
                        .retain(|ballot| ballot.name != released.name || ballot.token > released.token);
                    self.ballots.released.push(released);
                }
                Step::Confirmed { call, name, serial, token, policy } => {
                    let changes = self.names.claim_confirmed(name, serial, policy, token, host.wall_ms());
                    self.report(changes, host);
                    self.names_changed(now);
                    host.event(Event::Confirmed { call, result: Ok(token) });
                }
                Step::Refused { call, error } => host.event(Event::Confirmed { call, result: Err(error) }),
                Step::Lost { name, serial, token } => {
                    let policy = self.names.policy(name.as_str());
                    if let Some(change) = self.names.withdraw(name.as_str(), serial) {
                        self.report(vec![change], host);
                        self.names_changed(now);
                    }
                    host.event(Event::NameUnconfirmed { name, serial, token, policy });
                }
            }
        }
    }

    /// Tells the voters what is asked of them.
    pub(super) fn tell_ballots(&mut self, now: Instant, host: &mut impl Host) {
        if self.ballots.ballots.is_empty() && self.ballots.released.is_empty() {
            return;
        }
        let Ballots { mut released, mut ballots, .. } = std::mem::take(&mut self.ballots);
        let live: Vec<LinkIndex> = self.mesh.live_links().collect();
        while !released.is_empty() || !ballots.is_empty() {
            let part = Ballots {
                released: released.drain(..released.len().min(BALLOTS_PER_MESSAGE)).collect(),
                // What is given up first may be asked for again.
                ballots: match released.is_empty() {
                    true => ballots.drain(..ballots.len().min(BALLOTS_PER_MESSAGE)).collect(),
                    false => Vec::new(),
                },
                seen: self.claimant.seen(),
            };
            let message = encode(Body::Ballots(part));
            for index in &live {
                let Some(Some(link)) = self.links.get_mut(*index as usize) else { continue };
                if !link.peer.as_ref().is_some_and(|peer| self.members.is_voter(&peer.id.name)) {
                    continue;
                }
                match link.say_encoded(message.clone()) {
                    Ok(()) => self.touch(*index),
                    Err(refusal) => self.end(now, *index, closed(&refusal), Some(&refusal), host),
                }
            }
        }
    }

    /// A peer wants this node's vote, or gives it back.
    pub(super) fn heard_ballots(
        &mut self,
        now: Instant,
        link: &mut Link,
        ballots: &Ballots,
        host: &mut impl Host,
    ) -> Result<(), Stop> {
        let peer = link.peer.as_ref().expect("a live link has a peer").id.clone();
        for released in &ballots.released {
            self.voter.released(&peer, &released.name, released.token);
        }
        self.claimant.saw(ballots.seen, host.wall_ms());
        if ballots.ballots.is_empty() || !self.members.votes() {
            return Ok(());
        }
        let asked = ballots.ballots.iter().take(BALLOTS_PER_MESSAGE);
        let votes = asked.map(|ballot| self.voter.ask(now, host.wall_ms(), &peer, ballot)).collect();
        let voters = self.members.voters(now, 2 * voters_lease(self.limits.lease)) as u64;
        link.say(Body::Votes(Votes { votes, voters }))?;
        Ok(())
    }

    /// A voter has answered.
    pub(super) fn heard_votes(&mut self, now: Instant, link: &Link, votes: &Votes, host: &mut impl Host) {
        let peer = link.peer.as_ref().expect("a live link has a peer").id.name.clone();
        if !self.members.is_voter(&peer) {
            return;
        }
        let electorate = self.electorate(now, Some(link));
        let voters = usize::try_from(votes.voters).unwrap_or(usize::MAX).min(self.limits.members_max);
        for vote in &votes.votes {
            let step = self.claimant.voted((now, host.wall_ms()), &peer, voters, vote, electorate);
            self.take_steps(now, step.into_iter().collect(), host);
        }
    }
}
