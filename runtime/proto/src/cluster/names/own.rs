//! A node's own claims of names and its processes' memberships of groups: what they are, how often they have changed,
//! and what has changed since.
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
/// Claims and memberships in one control message: with the longest names it stays below the bound of a control frame.
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
    /// The token under which a majority confirmed it; 0 if it is only claimed.
    pub(super) token: u64,
}

/// What one change is about, and where a page ends. All names come before all memberships.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Name(Name),
    /// A group, and the serial of a process.
    Member(Name, u64),
}

/// What a membership adds to the digest of its owner's claims.
pub(super) fn membership_hash(group: &str, serial: u64, count: u32) -> u64 {
    [serial, u64::from(count)]
        .into_iter()
        .fold(mix(!text_hash(group)), |hash, number| mix(hash ^ mix(number)))
}

/// FNV-1a.
fn text_hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

impl From<&control::Claim> for Claim {
    fn from(claim: &control::Claim) -> Self {
        let control::Claim { serial, claimed_at, resolves, kept_against, token, .. } = *claim;
        Self { serial, claimed_at, resolves, kept_against, token }
    }
}

impl Claim {
    pub(super) fn to_wire(self, name: &Name) -> control::Claim {
        let Self { serial, claimed_at, resolves, kept_against, token } = self;
        control::Claim { name: name.to_string(), serial, claimed_at, resolves, kept_against, token }
    }

    /// What it adds to the digest of its owner's claims, in whatever order they are added.
    pub(super) fn hash(self, name: &str) -> u64 {
        // The text's hash, then the step of splitmix64, which spreads every bit over all.
        let text = text_hash(name);
        let numbers = [self.serial, self.claimed_at, u64::from(self.resolves), self.kept_against, self.token];
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
    /// How often each process has joined each group.
    memberships: BTreeMap<(Name, u64), u32>,
    /// What the last changes were about; the last one made the present version.
    log: VecDeque<Key>,
    /// The version and the digest that peers were told.
    told: (u64, u64),
}

impl OwnClaims {
    /// How many claims and memberships there are.
    pub(super) fn len(&self) -> usize {
        self.claims.len() + self.memberships.len()
    }

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
        self.changed(Key::Name(name.clone()));
        Some(claim)
    }

    /// The names of a process.
    pub(super) fn of(&self, serial: u64) -> Vec<Name> {
        self.by_serial.get(&serial).into_iter().flatten().cloned().collect()
    }

    /// Claims a name, in place of an earlier claim to it.
    pub(super) fn claim(&mut self, name: Name, claim: Claim, policy: ConflictPolicy) {
        if let Some(before) = self.claims.insert(name.clone(), Own { claim, policy, met: Vec::new() }) {
            self.digest = self.digest.wrapping_sub(before.claim.hash(name.as_str()));
            self.not_of(before.claim.serial, name.as_str());
        }
        self.digest = self.digest.wrapping_add(claim.hash(name.as_str()));
        self.by_serial.entry(claim.serial).or_default().insert(name.clone());
        self.changed(Key::Name(name));
    }

    /// A name is none of the process's any more.
    fn not_of(&mut self, serial: u64, name: &str) -> Option<Name> {
        let names = self.by_serial.get_mut(&serial)?;
        let name = names.take(name)?;
        if names.is_empty() {
            self.by_serial.remove(&serial);
        }
        Some(name)
    }

    /// A process is so often a member of a group now; whether that is new.
    pub(super) fn set_membership(&mut self, group: Name, serial: u64, count: u32) -> bool {
        let key = (group, serial);
        let before = self.memberships.get(&key).copied().unwrap_or(0);
        if before == count {
            return false;
        }
        let hash = |count| if count > 0 { membership_hash(key.0.as_str(), serial, count) } else { 0 };
        self.digest = self.digest.wrapping_sub(hash(before)).wrapping_add(hash(count));
        self.changed(Key::Member(key.0.clone(), serial));
        if count > 0 {
            self.memberships.insert(key, count);
        } else {
            self.memberships.remove(&key);
        }
        true
    }

    /// Whether peers are told that the process is a member of the group.
    pub(super) fn has_membership(&self, group: &Name, serial: u64) -> bool {
        self.memberships.contains_key(&(group.clone(), serial))
    }

    /// All memberships.
    #[cfg(test)]
    pub(super) fn memberships(&self) -> impl Iterator<Item = (String, u64, u32)> {
        self.memberships.iter().map(|((group, serial), count)| (group.to_string(), *serial, *count))
    }

    /// Withdraws the name if the process holds it.
    pub(super) fn withdraw(&mut self, name: &str, serial: u64) -> Option<Name> {
        let name = self.not_of(serial, name)?;
        let own = self.claims.remove(&name).expect("a process's names are claimed");
        self.digest = self.digest.wrapping_sub(own.claim.hash(name.as_str()));
        self.changed(Key::Name(name.clone()));
        Some(name)
    }

    fn changed(&mut self, key: Key) {
        self.version += 1;
        self.log.push_back(key);
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

    /// What has changed since a version, as it is now.
    fn changes_since(&self, base: u64) -> Option<Vec<control::Names>> {
        let behind = usize::try_from(self.version.checked_sub(base)?).ok()?;
        let first = self.log.len().checked_sub(behind)?;
        let keys: BTreeSet<&Key> = self.log.range(first..).collect();
        let keys: Vec<&Key> = keys.into_iter().collect();
        let mut messages: Vec<control::Names> = keys
            .chunks(CLAIMS_PER_MESSAGE)
            .map(|keys| {
                let version = self.version;
                let mut message = control::Names { base, version, more: true, ..control::Names::default() };
                for key in keys {
                    match key {
                        Key::Name(name) => match self.claims.get(name) {
                            Some(own) => message.claimed.push(own.claim.to_wire(name)),
                            None => message.withdrawn.push(name.to_string()),
                        },
                        Key::Member(group, serial) => {
                            let count = self.memberships.get(&(group.clone(), *serial)).copied();
                            message.memberships.push(membership(group, *serial, count.unwrap_or(0)));
                        }
                    }
                }
                message
            })
            .collect();
        if let Some(last) = messages.last_mut() {
            last.more = false;
            last.digest = self.digest;
        }
        Some(messages)
    }

    /// A page of everything, from behind a key; and the key that it ends with, if there are more.
    pub(super) fn page(&self, after: Option<&Key>) -> (control::Names, Option<Key>) {
        let mut last = None;
        // Changes that peers have not been told yet may be in it already; they are told to all peers afterwards.
        let first = after.is_none();
        let mut page = control::Names { version: self.told.0, all: true, first, ..control::Names::default() };
        let from = match after {
            None => Some(Bound::Unbounded),
            Some(Key::Name(name)) => Some(Bound::Excluded(name)),
            Some(Key::Member(..)) => None,
        };
        let claims = from.into_iter().flat_map(|from| self.claims.range::<Name, _>((from, Bound::Unbounded)));
        let from = match after {
            Some(Key::Member(group, serial)) => Bound::Excluded((group.clone(), *serial)),
            _ => Bound::Unbounded,
        };
        let memberships = self.memberships.range((from, Bound::Unbounded));
        let claims = claims.map(|(name, own)| (Key::Name(name.clone()), Ok(own.claim)));
        let memberships =
            memberships.map(|((group, serial), count)| (Key::Member(group.clone(), *serial), Err(*count)));
        let mut rest = claims.chain(memberships);
        for (key, what) in rest.by_ref().take(CLAIMS_PER_MESSAGE) {
            match (&key, what) {
                (Key::Name(name), Ok(claim)) => page.claimed.push(claim.to_wire(name)),
                (Key::Member(group, serial), Err(count)) => {
                    page.memberships.push(membership(group, *serial, count));
                }
                _ => unreachable!("claims have names, memberships have groups"),
            }
            last = Some(key);
        }
        let last = rest.next().and(last);
        page.more = last.is_some();
        (page, last)
    }
}

fn membership(group: &Name, serial: u64, count: u32) -> control::Membership {
    control::Membership { group: group.to_string(), serial, count }
}

fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
