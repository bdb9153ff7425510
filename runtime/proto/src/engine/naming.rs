//! Global names: claims of this node on their way to the peers, and the peers' on their way to the host.

use std::time::{Duration, Instant};

use super::link::{Link, closed, encode};
use super::{Engine, Stop};
use crate::cluster::mesh::LinkIndex;
use crate::cluster::names::Change;
use crate::host::{ClaimError, ConflictPolicy, Event, Host, Owner};
use crate::id::{Name, Pid};
use crate::link::close::CloseCode;
use crate::link::handshake::Refusal;
use crate::wire::control;

impl Engine {
    /// Who holds a global name, as this node sees it.
    #[must_use]
    pub fn owner(&self, name: &str) -> Option<Owner> {
        self.names.owner(name)
    }

    /// Claims a global name for a local process; the peers are told with the next [`process`](Self::process) that is due.
    ///
    /// # Errors
    /// [`ClaimError`]. Nothing was changed.
    pub fn register(
        &mut self,
        now: Instant,
        name: Name,
        serial: u64,
        policy: ConflictPolicy,
        host: &mut impl Host,
    ) -> Result<(), ClaimError> {
        if let Some(owner) = self.names.owner(name.as_str()).or_else(|| self.claimed_here(name.as_str())) {
            return Err(ClaimError::Taken(owner));
        }
        self.may_claim()?;
        self.names.claim(name.clone(), serial, policy, host.wall_ms()).map_err(ClaimError::Taken)?;
        let pid = Pid::new(self.me.incarnation, serial);
        let owner = Owner { node: self.me.name.clone(), pid, token: None };
        host.event(Event::Name { name, owner: Some(owner) });
        self.names_changed(now);
        Ok(())
    }

    /// The process here for which a majority is being asked for the name.
    pub(super) fn claimed_here(&self, name: &str) -> Option<Owner> {
        let serial = self.claimant.wanted_by(name)?;
        let pid = Pid::new(self.me.incarnation, serial);
        Some(Owner { node: self.me.name.clone(), pid, token: None })
    }

    /// Peers end a link with a node that claims more than they take.
    pub(super) fn may_claim(&self) -> Result<(), ClaimError> {
        let max = self.limits.names_per_peer_max;
        let claimed = self.names.own_count();
        // Those that are confirmed are among the claims already; counting the others takes a while.
        let fits = claimed + self.claimant.len() < max || claimed + self.claimant.trying() < max;
        if fits { Ok(()) } else { Err(ClaimError::TooMany { max }) }
    }

    /// Withdraws a global name if local process `serial` holds it, and tells the peers; whether it did.
    pub fn unregister(&mut self, now: Instant, name: &str, serial: u64, host: &mut impl Host) -> bool {
        let steps = self.claimant.release(name, serial);
        self.take_steps(now, steps, host);
        let Some(change) = self.names.withdraw(name, serial) else { return false };
        self.report(vec![change], host);
        self.names_changed(now);
        true
    }

    /// A local process ended: its global names are withdrawn.
    pub fn process_ended(&mut self, now: Instant, serial: u64, host: &mut impl Host) {
        let steps = self.claimant.process_ended(serial);
        self.take_steps(now, steps, host);
        let changes = self.names.process_ended(serial);
        if !changes.is_empty() {
            self.report(changes, host);
            self.names_changed(now);
        }
    }

    /// A local process is so often a member of a group now; the peers are told as of a name.
    pub fn set_membership(&mut self, now: Instant, group: Name, serial: u64, count: u32) {
        if !self.names.has_membership(&group, serial) && count > 0 && self.may_claim().is_err() {
            self.stats.memberships_untold += 1;
            return;
        }
        if self.names.set_membership(group, serial, count) {
            self.names_changed(now);
        }
    }

    /// The peers are to be told of a change, with others of about the same time.
    pub(super) fn names_changed(&mut self, now: Instant) {
        let soonest = self.names_again.map_or(now, |again| now.max(again));
        self.names_due.get_or_insert(soonest);
    }

    /// Tells the peers what has changed, if it is time.
    pub(super) fn tell_names(&mut self, now: Instant, host: &mut impl Host) {
        if self.names_due.is_none_or(|due| due > now) {
            return;
        }
        self.names_due = None;
        let peers = u32::try_from(self.mesh.live_links().count()).unwrap_or(u32::MAX);
        self.names_again = Some(now + NAMES_PAUSE_MAX.min(NAMES_PAUSE_EACH.saturating_mul(peers)));
        if !self.names.has_news() {
            return;
        }
        for (winner, claim) in std::mem::take(&mut self.yielded) {
            let Some(index) = self.mesh.live(winner.as_str()) else { continue };
            let Some(Some(link)) = self.links.get_mut(index as usize) else { continue };
            match link.say(control::Body::Yielded(control::Yielded { claim: Some(claim) })) {
                Ok(()) => self.touch(index),
                Err(refusal) => self.end(now, index, closed(&refusal), Some(&refusal), host),
            }
        }
        let Some(messages) = self.names.take_news() else {
            let live: Vec<LinkIndex> = self.mesh.live_links().collect();
            for index in live {
                self.links[index as usize].as_mut().expect("live links are there").paging = Some(None);
                self.touch(index);
            }
            return;
        };
        let live: Vec<LinkIndex> = self.mesh.live_links().collect();
        for message in messages {
            let message = encode(control::Body::Names(message));
            for index in &live {
                let Some(Some(link)) = self.links.get_mut(*index as usize) else { continue };
                match link.say_encoded(message.clone()) {
                    Ok(()) => self.touch(*index),
                    Err(refusal) => self.end(now, *index, closed(&refusal), Some(&refusal), host),
                }
            }
        }
    }

    /// A link is live: its peer is told what it does not hold of our names.
    pub(super) fn greet_with_names(&mut self, link: &mut Link) -> Result<(), Stop> {
        match self.names.since(&link.held) {
            Some(messages) => {
                for message in messages {
                    link.say(control::Body::Names(message))?;
                }
            }
            None => link.paging = Some(None),
        }
        #[cfg(feature = "planted")]
        if planted!(ForeignClaim) {
            link.say(control::Body::Names(self.names.hearsay()))?;
        }
        Ok(())
    }

    /// Sends pages of all our names, as many as the control stream takes for now.
    pub(super) fn page_names(&mut self, link: &mut Link) -> Result<(), Refusal> {
        while let Some(after) = link.paging.take_if(|_| link.sender.control_waiting_bytes() < PAGES_BYTES) {
            let (page, next) = self.names.page(after.as_ref());
            link.say(control::Body::Names(page))?;
            link.paging = next.map(Some);
        }
        Ok(())
    }

    /// Tells the host of names that changed hands.
    pub(super) fn report(&mut self, changes: Vec<Change>, host: &mut impl Host) {
        for change in changes {
            host.event(match change {
                Change::Owner { name, owner } => Event::Name { name, owner },
                Change::Member { group, pid, count } => Event::Member { group, pid, count },
                Change::Lost { name, serial, claimed_at, winner, policy } => {
                    // The winner's node may never have heard of the claim that has just been withdrawn.
                    let name_text = name.to_string();
                    let claim = control::Claim { name: name_text, serial, claimed_at, ..Default::default() };
                    self.yielded.push((winner.node.clone(), claim));
                    Event::NameLost { name, serial, winner, policy }
                }
                Change::Kept { name, serial, loser, policy } => {
                    Event::NameKept { name, serial, loser, policy }
                }
                Change::Clash { name, serial, other, claimed_at } => {
                    Event::NameClash { name, serial, other, claimed_at }
                }
            });
        }
    }

    /// The program has decided on an [`Event::NameClash`]: the process here keeps the name, or yields it to the other.
    pub fn resolve(
        &mut self,
        now: Instant,
        name: &str,
        serial: u64,
        claimed_at: u64,
        keeps: bool,
        host: &mut impl Host,
    ) {
        let changes = self.names.resolve(name, serial, claimed_at, keeps);
        self.report(changes, host);
        if self.names.has_news() {
            self.names_changed(now);
        }
    }

    /// A peer withdrew a claim because a process here holds the name.
    pub(super) fn heard_yielded(&mut self, link: &Link, yielded: &control::Yielded, host: &mut impl Host) {
        let peer = &link.peer.as_ref().expect("a live link has a peer").id;
        let kept = yielded.claim.as_ref().and_then(|claim| self.names.heard_yielded(peer, claim));
        self.report(kept.into_iter().collect(), host);
    }

    /// A peer changed its claims.
    pub(super) fn heard_names(
        &mut self,
        now: Instant,
        link: &mut Link,
        names: control::Names,
        host: &mut impl Host,
    ) -> Result<(), Stop> {
        let peer = &link.peer.as_ref().expect("a live link has a peer").id;
        let Ok(changes) = self.names.heard(peer, names, host.wall_ms()) else {
            return Err(Refusal::new(CloseCode::Limit, "the peer claims too many global names").into());
        };
        self.report(changes, host);
        if self.names.has_news() {
            self.names_changed(now);
        }
        Ok(())
    }
}

/// Between two messages about changes to names, for each peer that is told: what changes meanwhile leaves in one message,
/// and a node sends at most 20,000 of them a second in all.
const NAMES_PAUSE_EACH: Duration = Duration::from_micros(50);
/// The longest pause: that of 100 peers or more.
const NAMES_PAUSE_MAX: Duration = Duration::from_millis(5);
/// Bytes that wait on a control stream up to which more pages of names are added.
const PAGES_BYTES: usize = 256 * 1024;
