//! A node as voter: to whom it has granted which name, and until when.
//!
//! # What must stay true
//! - Under one name, one grant at most has neither run out nor been given back.
//! - A token that was granted for a name is never granted for it again, nor is a lower one; only its holder renews it.
//! - Names that are forgotten for want of room leave their highest token behind, which then counts for all unknown
//!   ones.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{is_plausible, voters_lease};
use crate::id::{Name, NodeId};
use crate::wire::control::{Ballot, Verdict, Vote};

/// What a voter has granted last under one name.
#[derive(Debug)]
struct Entry {
    /// The highest token that was granted.
    highest: u64,
    grant: Option<Grant>,
}

#[derive(Debug)]
struct Grant {
    claimant: NodeId,
    serial: u64,
    token: u64,
    until: Instant,
}

#[derive(Debug)]
pub(crate) struct Voter {
    entries: BTreeMap<Name, Entry>,
    /// The highest token among the forgotten entries.
    floor: u64,
    /// From when on it votes; `None` until it is known when it started.
    votes_from: Option<Instant>,
    lease_max: Duration,
    names_max: usize,
}

impl Voter {
    /// A voter that grants leases up to `lease_max`, and remembers so many names.
    pub(crate) fn new(lease_max: Duration, names_max: usize) -> Self {
        Self { entries: BTreeMap::new(), floor: 0, votes_from: None, lease_max, names_max }
    }

    /// The node runs now; the first time counts. What an earlier start of it granted may last for a lease still.
    pub(crate) fn runs(&mut self, now: Instant) {
        if self.votes_from.is_none() {
            self.votes_from = Some(now + voters_lease(self.lease_max));
        }
    }

    /// Somebody asks for a vote.
    pub(crate) fn ask(&mut self, now: Instant, wall_ms: u64, claimant: &NodeId, ballot: &Ballot) -> Vote {
        let verdict = self.judge(now, wall_ms, claimant, ballot);
        let entry = self.entries.get(ballot.name.as_str());
        let highest = entry.map_or(self.floor, |entry| entry.highest);
        let holder = entry.and_then(|entry| entry.grant.as_ref()).filter(|_| verdict == Verdict::Held);
        let (holder, holder_incarnation, holder_serial) = holder.map_or_else(Default::default, |grant| {
            (grant.claimant.name.to_string(), grant.claimant.incarnation.raw(), grant.serial)
        });
        Vote {
            name: ballot.name.clone(),
            token: ballot.token,
            round: ballot.round,
            verdict: verdict as i32,
            highest,
            holder,
            holder_incarnation,
            holder_serial,
        }
    }

    fn judge(&mut self, now: Instant, wall_ms: u64, claimant: &NodeId, ballot: &Ballot) -> Verdict {
        let lease = Duration::from_millis(ballot.lease_ms);
        let Ok(name) = Name::new(&ballot.name) else { return Verdict::Refused };
        if self.votes_from.is_none_or(|from| from > now) {
            return Verdict::TooYoung;
        }
        if lease > self.lease_max || !is_plausible(ballot.token, wall_ms) {
            return Verdict::Refused;
        }
        if !self.entries.contains_key(&name) {
            if !self.has_room(now) {
                return Verdict::Refused;
            }
            // Read behind the look for room, which may raise it.
            self.entries.insert(name.clone(), Entry { highest: self.floor, grant: None });
        }
        let entry = self.entries.get_mut(&name).expect("it is there now");
        let renewed = Grant {
            claimant: claimant.clone(),
            serial: ballot.serial,
            token: ballot.token,
            until: now + voters_lease(lease),
        };
        let is_free = match &entry.grant {
            None => true,
            Some(grant) if grant.until <= now => true,
            // Of one node, the last word counts: it gives each name to one process at a time. An older start is over.
            Some(grant) if grant.claimant.name == claimant.name => {
                grant.claimant.incarnation < claimant.incarnation
                    || grant.claimant == *claimant && grant.token <= ballot.token
            }
            Some(_) => false,
        };
        if !is_free {
            return Verdict::Held;
        }
        let is_same = entry
            .grant
            .as_ref()
            .is_some_and(|grant| grant.claimant == *claimant && grant.token == ballot.token);
        // A holder goes on to hold under its token, though this voter may have seen a higher one that no majority
        // granted.
        if !is_same && !ballot.renews && ballot.token <= entry.highest {
            return Verdict::Behind;
        }
        entry.highest = entry.highest.max(ballot.token);
        entry.grant = Some(renewed);
        Verdict::Granted
    }

    /// A claimant gives back what it was granted under this token.
    pub(crate) fn released(&mut self, claimant: &NodeId, name: &str, token: u64) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.grant.take_if(|grant| grant.claimant == *claimant && grant.token <= token);
        }
    }

    /// This start of a node is over for good: what it was granted is free.
    pub(crate) fn over(&mut self, claimant: &NodeId) {
        for entry in self.entries.values_mut() {
            entry.grant.take_if(|grant| grant.claimant == *claimant);
        }
    }

    /// Whether there is room for another name; forgets those whose grant is over if there is not.
    fn has_room(&mut self, now: Instant) -> bool {
        if self.entries.len() >= self.names_max {
            let floor = &mut self.floor;
            self.entries.retain(|_, entry| {
                let is_held = entry.grant.as_ref().is_some_and(|grant| grant.until > now);
                if !is_held {
                    *floor = entry.highest.max(*floor);
                }
                is_held
            });
        }
        self.entries.len() < self.names_max
    }
}
