//! A node's own claims: what they are, how often they have changed, and what has changed since.
//!
//! # What must stay true
//! - Every change raises the version by one. A version and its digest stand for one set of claims, for as long as the
//!   node lives.
//! - Only so many of the last changes are remembered ([`LOG_MAX`]): whoever is further behind gets everything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use crate::host::ConflictPolicy;
use crate::id::{Incarnation, Name};
use crate::wire::control;

/// Changes that are remembered.
const LOG_MAX: usize = 4_096;
/// Other claims to one name that are remembered as reported.
const MET_MAX: usize = 64;
/// Claims in one control message: with the longest names it stays below the bound of a control frame.
const CLAIMS_PER_MESSAGE: usize = 200;

/// What a node says of one name that a process of it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) serial: u64,
    pub(super) claimed_at: u64,
    /// Its owner's node decides by a resolver.
    pub(super) resolves: bool,
    /// The latest other claim that it was kept against by that.
    pub(super) kept_against: u64,
}

impl From<&control::Claim> for Claim {
    fn from(claim: &control::Claim) -> Self {
        let control::Claim { serial, claimed_at, resolves, kept_against, .. } = *claim;
        Self { serial, claimed_at, resolves, kept_against }
    }
}

impl Claim {
    pub(super) fn to_wire(self, name: &Name) -> control::Claim {
        let Self { serial, claimed_at, resolves, kept_against } = self;
        control::Claim { name: name.to_string(), serial, claimed_at, resolves, kept_against }
    }

    /// What it adds to the digest of its owner's claims, in whatever order they are added.
    pub(super) fn hash(self, name: &str) -> u64 {
        // FNV-1a over the text, then the step of splitmix64, which spreads every bit over all.
        let text = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let numbers = [self.serial, self.claimed_at, u64::from(self.resolves), self.kept_against];
        numbers.into_iter().fold(mix(text), |hash, number| mix(hash.wrapping_add(number)))
    }
}

/// A claim of this node, with what concerns nobody else.
#[derive(Debug)]
struct Own {
    claim: Claim,
    policy: ConflictPolicy,
    /// Other claims to the name that were reported: from which start of a node, and when made.
    met: Vec<(Incarnation, u64)>,
}

/// The claims of this node.
#[derive(Debug, Default)]
pub(super) struct OwnClaims {
    version: u64,
    digest: u64,
    claims: BTreeMap<Name, Own>,
    /// The names of each local process that has any.
    by_serial: BTreeMap<u64, BTreeSet<Name>>,
    /// The names that the last changes were about; the last one made the present version.
    log: VecDeque<Name>,
    /// The version and the digest that peers were told.
    told: (u64, u64),
}

impl OwnClaims {
    /// The process that holds the name.
    pub(super) fn holder(&self, name: &str) -> Option<u64> {
        self.claims.get(name).map(|own| own.claim.serial)
    }

    /// What its claim says of conflicts.
    pub(super) fn policy(&self, name: &str) -> ConflictPolicy {
        self.claims.get(name).map_or_else(Default::default, |own| own.policy)
    }

    /// Notes that another claim to the name has come; whether it is a new one.
    pub(super) fn meets(&mut self, name: &Name, other: Incarnation, claimed_at: u64) -> bool {
        let Some(own) = self.claims.get_mut(name) else { return false };
        let is_new = !own.met.contains(&(other, claimed_at));
        if is_new {
            // Of one node only the last claim can come again.
            own.met.retain(|(incarnation, _)| *incarnation != other);
            own.met.push((other, claimed_at));
            if own.met.len() > MET_MAX {
                own.met.remove(0);
            }
        }
        is_new
    }

    /// Forgets that a claim that was made then has come.
    pub(super) fn unmeet(&mut self, name: &Name, claimed_at: u64) {
        if let Some(own) = self.claims.get_mut(name) {
            own.met.retain(|(_, at)| *at != claimed_at);
        }
    }

    /// Keeps the name against a claim that was made then.
    pub(super) fn keep(&mut self, name: &Name, claimed_at: u64) -> Option<Claim> {
        let own = self.claims.get_mut(name).filter(|own| own.claim.kept_against < claimed_at)?;
        let before = own.claim;
        own.claim.kept_against = claimed_at;
        let claim = own.claim;
        self.digest =
            self.digest.wrapping_sub(before.hash(name.as_str())).wrapping_add(claim.hash(name.as_str()));
        self.changed(name.clone());
        Some(claim)
    }

    /// The names of a process.
    pub(super) fn of(&self, serial: u64) -> Vec<Name> {
        self.by_serial.get(&serial).into_iter().flatten().cloned().collect()
    }

    pub(super) fn claim(&mut self, name: Name, claim: Claim, policy: ConflictPolicy) {
        self.digest = self.digest.wrapping_add(claim.hash(name.as_str()));
        self.by_serial.entry(claim.serial).or_default().insert(name.clone());
        self.claims.insert(name.clone(), Own { claim, policy, met: Vec::new() });
        self.changed(name);
    }

    /// Withdraws the name if the process holds it.
    pub(super) fn withdraw(&mut self, name: &str, serial: u64) -> Option<Name> {
        let names = self.by_serial.get_mut(&serial)?;
        let name = names.take(name)?;
        if names.is_empty() {
            self.by_serial.remove(&serial);
        }
        let own = self.claims.remove(&name).expect("a process's names are claimed");
        self.digest = self.digest.wrapping_sub(own.claim.hash(name.as_str()));
        self.changed(name.clone());
        Some(name)
    }

    fn changed(&mut self, name: Name) {
        self.version += 1;
        self.log.push_back(name);
        if self.log.len() > LOG_MAX {
            self.log.pop_front();
        }
    }

    pub(super) fn has_news(&self) -> bool {
        self.told.0 != self.version
    }

    pub(super) fn told(&self) -> (u64, u64) {
        self.told
    }

    /// What peers have not been told yet. `None`: there were more changes than are remembered, so everything is.
    pub(super) fn take_news(&mut self) -> Option<Vec<control::Names>> {
        let base = self.told.0;
        self.told = (self.version, self.digest);
        self.changes_since(base)
    }

    /// What a peer must be told that holds this. `None`: everything.
    pub(super) fn since(&self, held: &control::Held) -> Option<Vec<control::Names>> {
        let (version, digest) = self.told;
        if held.version == version {
            return (held.digest == digest).then(Vec::new);
        }
        // What peers have not been told yet is told to all of them, this one too.
        self.changes_since(held.version).filter(|_| held.version > 0 && held.version < version)
    }

    /// The names that have changed since a version, as they are now.
    fn changes_since(&self, base: u64) -> Option<Vec<control::Names>> {
        let behind = usize::try_from(self.version.checked_sub(base)?).ok()?;
        let first = self.log.len().checked_sub(behind)?;
        let names: BTreeSet<&Name> = self.log.range(first..).collect();
        let names: Vec<&Name> = names.into_iter().collect();
        let mut messages: Vec<control::Names> = names
            .chunks(CLAIMS_PER_MESSAGE)
            .map(|names| {
                let (claimed, withdrawn): (Vec<&Name>, Vec<&Name>) =
                    names.iter().copied().partition(|name| self.claims.contains_key(*name));
                control::Names {
                    claimed: claimed.iter().map(|name| self.claims[*name].claim.to_wire(name)).collect(),
                    withdrawn: withdrawn.iter().map(ToString::to_string).collect(),
                    base,
                    version: self.version,
                    all: false,
                    more: true,
                }
            })
            .collect();
        if let Some(last) = messages.last_mut() {
            last.more = false;
        }
        Some(messages)
    }

    /// A page of everything, from behind a name; and the name that it ends with, if there are more.
    pub(super) fn page(&self, after: Option<&Name>) -> (control::Names, Option<Name>) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.claims.range::<Name, _>((from, Bound::Unbounded));
        let page: Vec<(&Name, &Own)> = rest.by_ref().take(CLAIMS_PER_MESSAGE).collect();
        let last = rest.next().and(page.last()).map(|(name, _)| (*name).clone());
        let claimed = page.iter().map(|(name, own)| own.claim.to_wire(name)).collect();
        // Changes that peers have not been told yet may be in it already; they are told to all peers afterwards.
        let (version, more) = (self.told.0, last.is_some());
        (control::Names { claimed, withdrawn: Vec::new(), base: 0, version, all: true, more }, last)
    }
}

fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
