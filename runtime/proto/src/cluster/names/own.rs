//! A node's own claims: what they are, how often they have changed, and what has changed since.
//!
//! # What must stay true
//! - Every change raises the version by one. A version and its digest stand for one set of claims, for as long as the
//!   node lives.
//! - Only so many of the last changes are remembered ([`LOG_MAX`]): whoever is further behind gets everything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use crate::id::Name;
use crate::wire::control;

/// Changes that are remembered.
const LOG_MAX: usize = 4_096;
/// Claims in one control message: with the longest names it stays below the bound of a control frame.
const CLAIMS_PER_MESSAGE: usize = 200;

#[derive(Debug, Clone, Copy)]
struct Claim {
    serial: u64,
    claimed_at: u64,
}

/// The claims of this node.
#[derive(Debug, Default)]
pub(super) struct OwnClaims {
    version: u64,
    digest: u64,
    claims: BTreeMap<Name, Claim>,
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
        self.claims.get(name).map(|claim| claim.serial)
    }

    /// The names of a process.
    pub(super) fn of(&self, serial: u64) -> Vec<Name> {
        self.by_serial.get(&serial).into_iter().flatten().cloned().collect()
    }

    pub(super) fn claim(&mut self, name: Name, serial: u64, claimed_at: u64) {
        self.digest = self.digest.wrapping_add(hash(name.as_str(), serial, claimed_at));
        self.by_serial.entry(serial).or_default().insert(name.clone());
        self.claims.insert(name.clone(), Claim { serial, claimed_at });
        self.changed(name);
    }

    /// Withdraws the name if the process holds it.
    pub(super) fn withdraw(&mut self, name: &str, serial: u64) -> Option<Name> {
        let names = self.by_serial.get_mut(&serial)?;
        let name = names.take(name)?;
        if names.is_empty() {
            self.by_serial.remove(&serial);
        }
        let claim = self.claims.remove(&name).expect("a process's names are claimed");
        self.digest = self.digest.wrapping_sub(hash(name.as_str(), serial, claim.claimed_at));
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
                    claimed: claimed.iter().map(|name| to_wire(name, self.claims[*name])).collect(),
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
        let page: Vec<(&Name, &Claim)> = rest.by_ref().take(CLAIMS_PER_MESSAGE).collect();
        let last = rest.next().and(page.last()).map(|(name, _)| (*name).clone());
        let claimed = page.iter().map(|(name, claim)| to_wire(name, **claim)).collect();
        // Changes that peers have not been told yet may be in it already; they are told to all peers afterwards.
        let (version, more) = (self.told.0, last.is_some());
        (control::Names { claimed, withdrawn: Vec::new(), base: 0, version, all: true, more }, last)
    }
}

fn to_wire(name: &Name, claim: Claim) -> control::Claim {
    control::Claim { name: name.to_string(), serial: claim.serial, claimed_at: claim.claimed_at }
}

/// What one claim adds to the digest of its owner's claims, in whatever order they are added.
pub(super) fn hash(name: &str, serial: u64, claimed_at: u64) -> u64 {
    // FNV-1a over the text, then the finaliser of splitmix64, which spreads every bit over all.
    let text = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(mix(mix(text).wrapping_add(serial)).wrapping_add(claimed_at))
}

fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
