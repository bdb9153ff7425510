//! Global names: each node alone owns its claims, versions them, and says so on its own links only.
//!
//! # The exchange
//! A node counts the changes to its own claims. When a link comes up, each end says which version of the other's claims
//! it holds, and with which digest; the owner then sends nothing, the changes since, or everything in pages. After that
//! it sends each change. A pulse carries the owner's version and digest every half second: whoever holds something
//! else, and does not catch up, asks for everything again. What a peer says is filed under that peer, so nobody can
//! claim or withdraw for another.
//!
//! # Conflicts
//! If two nodes claim one name, the earliest claim wins: by hybrid logical clock (Kulkarni et al., "Logical Physical
//! Clocks", 2014), then incarnation, then node name. Every node computes the same winner; only the loser's own node
//! withdraws its claim. If both claims say so, the loser's node waits with that until the winner's node has asked the
//! program: it either keeps its claim, and says against which other one, or withdraws it. So at any moment there is one
//! winner, and afterwards one claim.
//!
//! A claim that a majority has confirmed ([`confirmed`](super::confirmed)) is better than any that is only made, and
//! the one with the higher token is better than the other: its holder has taken over from a holder that had lost its
//! majority.
//!
//! # In a netsplit
//! The claims of a node that is out of reach stay until the node is down. Each side keeps the names of its own nodes
//! and may then claim those of the other; the heal settles it by the rule above.

mod groups;
mod own;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_groups;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use self::groups::Memberships;
pub(crate) use self::own::Key;
use self::own::{Claim, OwnClaims};
use crate::host::{ConflictPolicy, FencingToken, Owner};
use crate::id::{Incarnation, Name, NodeId, NodeName, Pid};
use crate::wire::control;

/// Bits of the clock that count claims within one millisecond.
const CLOCK_COUNTER_BITS: u32 = 16;
/// A peer whose clock runs ahead by more than this does not move ours.
const CLOCK_AHEAD_MS_MAX: u64 = 60_000;

/// One claim, filed under its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Filed {
    owner: u32,
    /// The filling of its owner in which it was last said.
    filling: u32,
    claim: Claim,
}

/// All claims to one name; nearly always one, which then needs no memory of its own.
#[derive(Debug)]
enum Claimants {
    One(Filed),
    Many(Vec<Filed>),
}

impl Claimants {
    fn all(&self) -> &[Filed] {
        match self {
            Self::One(filed) => std::slice::from_ref(filed),
            Self::Many(all) => all,
        }
    }

    /// Files a claim in place of what its owner claimed before; whether there was something.
    fn file(&mut self, filed: Filed) -> Option<Filed> {
        match self {
            Self::One(before) if before.owner == filed.owner => Some(std::mem::replace(before, filed)),
            Self::One(before) => {
                *self = Self::Many(vec![*before, filed]);
                None
            }
            Self::Many(all) => match all.iter_mut().find(|before| before.owner == filed.owner) {
                Some(before) => Some(std::mem::replace(before, filed)),
                None => {
                    all.push(filed);
                    None
                }
            },
        }
    }

    /// Without the claim of this owner: what is left, and whether it had one.
    fn without(self, owner: u32) -> (Option<Self>, Option<Filed>) {
        match self {
            Self::One(filed) if filed.owner == owner => (None, Some(filed)),
            Self::One(filed) => (Some(Self::One(filed)), None),
            Self::Many(mut all) => {
                let removed = all.iter().position(|filed| filed.owner == owner).map(|at| all.swap_remove(at));
                let left = if let [one] = all[..] { Self::One(one) } else { Self::Many(all) };
                (Some(left), removed)
            }
        }
    }
}

/// What is known of one node's claims as a whole.
#[derive(Debug)]
struct Holding {
    id: NodeId,
    /// Of the owner's claims; 0 until all of them have come.
    version: u64,
    digest: u64,
    claims: usize,
    /// Those of them that are claims to names, and not memberships.
    named: usize,
    /// Those of these that were not said in this filling.
    unsaid: usize,
    /// Counts how often everything was sent.
    filling: u32,
    /// Pages of everything are on their way.
    is_filling: bool,
    /// Pulses in a row that spoke of something else.
    behind: u8,
}

/// What became of a name, or of a group.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It has another owner, or none.
    Owner { name: Name, owner: Option<Owner> },
    /// A process of this node lost it; its claim was withdrawn.
    Lost { name: Name, serial: u64, claimed_at: u64, winner: Owner, policy: ConflictPolicy },
    /// A process of this node keeps it against another claim.
    Kept { name: Name, serial: u64, loser: Owner, policy: ConflictPolicy },
    /// A process of this node holds it, another claims it, and the program is to decide.
    Clash { name: Name, serial: u64, other: Owner, claimed_at: u64 },
    /// A process of another node is so often a member of a group now.
    Member { group: Name, pid: Pid, count: u32 },
}

/// The peer claims more names than it may.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

/// What all nodes claim, as this node knows it.
#[derive(Debug)]
pub(crate) struct Names {
    own: OwnClaims,
    claims: BTreeMap<Name, Claimants>,
    /// Of other nodes' processes.
    memberships: Memberships,
    /// By the number that claims are filed under; 0 is this node. Those of forgotten nodes are used again.
    holdings: Vec<Option<Holding>>,
    numbers: BTreeMap<NodeName, u32>,
    clock: u64,
    per_peer_max: usize,
}

/// The number that this node's own claims are filed under.
const OWN: u32 = 0;

/// Whether what went wrong on the way is noticed by its digest: always, but for bugs that this would hide.
fn repairs() -> bool {
    !planted!(LostWithdraw | NothingResent | ForeignClaim)
}

impl Names {
    pub(crate) fn new(me: NodeId, per_peer_max: usize) -> Self {
        Self {
            own: OwnClaims::default(),
            claims: BTreeMap::new(),
            memberships: Memberships::default(),
            numbers: BTreeMap::from([(me.name.clone(), OWN)]),
            holdings: vec![Some(Holding::new(me))],
            clock: 0,
            per_peer_max,
        }
    }

    /// Who holds the name.
    pub(crate) fn owner(&self, name: &str) -> Option<Owner> {
        self.claims.get(name).map(|claimants| self.winner(claimants))
    }

    // ------------------------------------------------------------------------------------------------- own claims

    /// Claims a name for a local process, unless somebody is known to hold it.
    pub(crate) fn claim(
        &mut self,
        name: Name,
        serial: u64,
        policy: ConflictPolicy,
        wall_ms: u64,
    ) -> Result<(), Owner> {
        if let Some(owner) = self.owner(name.as_str()) {
            return Err(owner);
        }
        self.clock = (wall_ms << CLOCK_COUNTER_BITS).max(self.clock + 1);
        let resolves = policy == ConflictPolicy::Resolve;
        let claim = Claim { serial, claimed_at: self.clock, resolves, kept_against: 0, token: 0 };
        self.own.claim(name.clone(), claim, policy);
        self.file(name, Filed { owner: OWN, filling: 0, claim });
        Ok(())
    }

    /// Claims a name for a local process that a majority has confirmed to hold it, against whatever others claim.
    pub(crate) fn claim_confirmed(
        &mut self,
        name: Name,
        serial: u64,
        policy: ConflictPolicy,
        token: FencingToken,
        wall_ms: u64,
    ) -> Vec<Change> {
        self.clock = (wall_ms << CLOCK_COUNTER_BITS).max(self.clock + 1);
        let before = self.owner(name.as_str());
        let claim =
            Claim { serial, claimed_at: self.clock, resolves: false, kept_against: 0, token: token.raw() };
        self.own.claim(name.clone(), claim, policy);
        self.file(name.clone(), Filed { owner: OWN, filling: 0, claim });
        let mut changes = Vec::new();
        self.push_change(&mut changes, name, before);
        changes
    }

    /// How many names and memberships this node claims.
    pub(crate) fn own_count(&self) -> usize {
        self.own.len()
    }

    /// What a local process's claim to a name says of conflicts.
    pub(crate) fn policy(&self, name: &str) -> ConflictPolicy {
        self.own.policy(name)
    }

    /// Withdraws a name if the local process `serial` holds it.
    pub(crate) fn withdraw(&mut self, name: &str, serial: u64) -> Option<Change> {
        let name = self.own.withdraw(name, serial)?;
        self.unfile(&name, OWN);
        let owner = self.owner(name.as_str());
        Some(Change::Owner { name, owner })
    }

    /// Withdraws every name of a local process, which has ended.
    pub(crate) fn process_ended(&mut self, serial: u64) -> Vec<Change> {
        let names = self.own.of(serial);
        names.into_iter().filter_map(|name| self.withdraw(name.as_str(), serial)).collect()
    }

    /// The program has decided on a [`Change::Clash`].
    pub(crate) fn resolve(&mut self, name: &str, serial: u64, claimed_at: u64, keeps: bool) -> Vec<Change> {
        let mut changes = Vec::new();
        let Some((name, claimants)) = self.claims.get_key_value(name) else { return changes };
        let name = name.clone();
        let is_mine = self.own.holder(name.as_str()) == Some(serial) && self.best(claimants).owner == OWN;
        // The other one may have gone meanwhile: then there is nobody to yield to.
        let is_there =
            claimants.all().iter().any(|filed| filed.owner != OWN && filed.claim.claimed_at == claimed_at);
        if !is_mine || !is_there {
            // If it comes again, it is decided again.
            self.own.unmeet(&name, claimed_at);
            return changes;
        }
        if keeps {
            if let Some(claim) = self.own.keep(&name, claimed_at) {
                self.file(name, Filed { owner: OWN, filling: 0, claim });
            }
            return changes;
        }
        let policy = self.own.policy(name.as_str());
        let mine = claimants.all().iter().find(|filed| filed.owner == OWN).expect("it is the best one");
        let yielded_at = mine.claim.claimed_at;
        changes.extend(self.withdraw(name.as_str(), serial));
        if let Some(winner) = self.owner(name.as_str()) {
            changes.push(Change::Lost { name, serial, claimed_at: yielded_at, winner, policy });
        }
        changes
    }

    /// A peer withdrew a claim because a process of this node holds the name: what that process is to be told.
    pub(crate) fn heard_yielded(&mut self, peer: &NodeId, claim: &control::Claim) -> Option<Change> {
        let name = Name::new(&claim.name).ok()?;
        let serial = self.own.holder(name.as_str())?;
        let pid = Pid::new(peer.incarnation, claim.serial);
        let loser = Owner { node: peer.name.clone(), pid, token: token(claim.token) };
        let policy = self.own.policy(name.as_str());
        let is_new = self.own.meets(&name, peer.incarnation, claim.claimed_at);
        is_new.then_some(Change::Kept { name, serial, loser, policy })
    }

    /// Whether there are changes to this node's claims that no peer was told of.
    pub(crate) fn has_news(&self) -> bool {
        self.own.has_news()
    }

    /// Those changes, in messages for all peers. `None`: too many, so they are to be sent everything.
    pub(crate) fn take_news(&mut self) -> Option<Vec<control::Names>> {
        self.own.take_news()
    }

    /// Version and digest of this node's claims, as far as peers were told.
    pub(crate) fn told(&self) -> (u64, u64) {
        self.own.told()
    }

    /// What a peer must be sent that holds this of our claims. `None`: everything, by [`page`](Self::page).
    pub(crate) fn since(&self, held: &control::Held) -> Option<Vec<control::Names>> {
        if planted!(NothingResent) && held.version > 0 {
            return Some(Vec::new());
        }
        self.own.since(held)
    }

    /// The next page of everything that this node claims, after what the previous one ended with; and with what this
    /// one ends, if there are more.
    pub(crate) fn page(&self, after: Option<&Key>) -> (control::Names, Option<Key>) {
        self.own.page(after)
    }

    // ---------------------------------------------------------------------------------------------- others' claims

    /// What this node holds of a peer's claims.
    pub(crate) fn held(&self, peer: &NodeId) -> control::Held {
        let holding = self.number(peer).map(|number| self.holding(number));
        let whole = holding.filter(|holding| !holding.is_filling);
        whole.map_or_else(control::Held::default, |holding| control::Held {
            version: holding.version,
            digest: holding.digest,
        })
    }

    /// A peer changed its claims, or says what they are.
    pub(crate) fn heard(
        &mut self,
        peer: &NodeId,
        message: control::Names,
        wall_ms: u64,
    ) -> Result<Vec<Change>, TooMany> {
        let mut changes = Vec::new();
        let number = self.number_or_add(peer, &mut changes);
        let holding = self.holding_mut(number);
        let everything = message.all;
        if everything && (message.first || !holding.is_filling) {
            holding.is_filling = true;
            holding.filling += 1;
            holding.unsaid = holding.named;
            holding.version = 0;
        }
        let filling = holding.filling;
        // The version stands for what came before it too. Without that, everything is to be sent again: 0 says so.
        let follows = everything || message.base <= holding.version;
        for name in message.withdrawn {
            if planted!(LostWithdraw) {
                continue;
            }
            let Ok(name) = Name::new(name) else { continue };
            let before = self.owner(name.as_str());
            if self.unfile(&name, number).is_some() {
                self.push_change(&mut changes, name, before);
            }
        }
        for claim in message.claimed {
            // A name that this version does not allow is not ours to judge: it is merely unknown here.
            let Ok(name) = Name::new(&claim.name) else { continue };
            let before = self.owner(name.as_str());
            if claim.claimed_at >> CLOCK_COUNTER_BITS <= wall_ms + CLOCK_AHEAD_MS_MAX {
                self.clock = self.clock.max(claim.claimed_at);
            }
            self.file(name.clone(), Filed { owner: number, filling, claim: Claim::from(&claim) });
            if self.holding(number).claims > 2 * self.per_peer_max {
                return Err(TooMany);
            }
            self.push_change(&mut changes, name, before);
        }
        for membership in message.memberships {
            self.file_membership(number, &membership, &mut changes);
            if self.holding(number).claims > 2 * self.per_peer_max {
                return Err(TooMany);
            }
        }
        if everything && !message.more {
            self.forget_unsaid(number, &mut changes);
        }
        // What is claimed now may come before what is given up for it.
        if !message.more && self.holding(number).claims > self.per_peer_max {
            return Err(TooMany);
        }
        let holding = self.holding_mut(number);
        if everything && !message.more {
            holding.is_filling = false;
        }
        if !message.more && !holding.is_filling {
            // A change that leads to something else than its owner has, on what was wrong before.
            let is_wrong = repairs() && message.digest != 0 && message.digest != holding.digest;
            if follows && !is_wrong {
                (holding.version, holding.behind) = (message.version, 0);
            } else {
                holding.version = 0;
            }
        }
        Ok(changes)
    }

    /// A peer says with its pulse what it claims; whether it must be asked for everything. The first sign of a later start
    /// ends what an earlier one claimed.
    pub(crate) fn is_astray(
        &mut self,
        peer: &NodeId,
        version: u64,
        digest: u64,
        changes: &mut Vec<Change>,
    ) -> bool {
        /// Pulses that what is under way may be late.
        const PATIENCE: u8 = 2;
        if version == 0 || !repairs() {
            return false;
        }
        let number = self.number_or_add(peer, changes);
        let holding = self.holding_mut(number);
        let wrong = holding.version < version || holding.version == version && holding.digest != digest;
        if !wrong || holding.is_filling {
            holding.behind = 0;
            return false;
        }
        holding.behind += 1;
        let astray = holding.behind > PATIENCE;
        if astray {
            holding.behind = 0;
        }
        astray
    }

    /// Everything that others claim, as if it were this node's to tell.
    #[cfg(feature = "planted")]
    pub(crate) fn hearsay(&self) -> control::Names {
        let others = self.claims.iter().flat_map(|(name, claimants)| {
            let theirs = claimants.all().iter().filter(|filed| filed.owner != OWN);
            theirs.map(|filed| filed.claim.to_wire(name))
        });
        let version = self.told().0;
        control::Names { claimed: others.collect(), base: version, version, ..Default::default() }
    }

    /// A peer is gone, and with it all it claimed.
    pub(crate) fn peer_gone(&mut self, peer: &NodeName) -> Vec<Change> {
        if planted!(NamesOfTheDead) {
            return Vec::new();
        }
        let Some(number) = self.numbers.get(peer).copied().filter(|number| *number != OWN) else {
            return Vec::new();
        };
        let mut changes = Vec::new();
        let named = self.holding(number).named;
        self.forget(number, named, &mut changes, |_| true);
        self.forget_memberships(number, None, &mut changes);
        self.numbers.remove(peer);
        self.holdings[number as usize] = None;
        changes
    }

    /// Everything was said: what was not said is claimed no more.
    fn forget_unsaid(&mut self, number: u32, changes: &mut Vec<Change>) {
        let Holding { filling, unsaid, .. } = *self.holding(number);
        self.forget(number, unsaid, changes, |filed| filed.filling != filling);
        self.forget_memberships(number, Some(filling), changes);
    }

    /// Forgets claims of a node, of which there are `count`: all claims of all nodes are gone through until they are found.
    fn forget(
        &mut self,
        number: u32,
        count: usize,
        changes: &mut Vec<Change>,
        which: impl Fn(&Filed) -> bool,
    ) {
        let theirs = self.claims.iter().filter(|(_, claimants)| {
            claimants.all().iter().any(|filed| filed.owner == number && which(filed))
        });
        let names: Vec<Name> = theirs.map(|(name, _)| name.clone()).take(count).collect();
        for name in names {
            let before = self.owner(name.as_str());
            self.unfile(&name, number);
            self.push_change(changes, name, before);
        }
    }

    // ------------------------------------------------------------------------------------------------------ filing

    fn file(&mut self, name: Name, filed: Filed) {
        use std::collections::btree_map::Entry;
        let hash = filed.claim.hash(name.as_str());
        let before = match self.claims.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert(Claimants::One(filed));
                None
            }
            Entry::Occupied(mut entry) => {
                let before = entry.get_mut().file(filed);
                before.map(|before| (before.claim.hash(entry.key().as_str()), before.filling))
            }
        };
        let holding = self.holding_mut(filed.owner);
        let (hash_before, was_unsaid) =
            before.map_or((0, false), |(hash, filling)| (hash, filling != holding.filling));
        holding.claims += usize::from(before.is_none());
        holding.named += usize::from(before.is_none());
        holding.unsaid -= usize::from(was_unsaid);
        holding.digest = holding.digest.wrapping_sub(hash_before).wrapping_add(hash);
    }

    fn unfile(&mut self, name: &Name, number: u32) -> Option<Filed> {
        let (name, claimants) = self.claims.remove_entry(name.as_str())?;
        let (left, removed) = claimants.without(number);
        if let Some(filed) = &removed {
            let hash = filed.claim.hash(name.as_str());
            let holding = self.holding_mut(number);
            holding.claims -= 1;
            holding.named -= 1;
            holding.unsaid -= usize::from(filed.filling != holding.filling);
            holding.digest = holding.digest.wrapping_sub(hash);
        }
        if let Some(left) = left {
            self.claims.insert(name, left);
        }
        removed
    }

    /// Notes the new owner if it is another one, and what that means for a claim of this node.
    fn push_change(&mut self, changes: &mut Vec<Change>, name: Name, before: Option<Owner>) {
        let owner = self.owner(name.as_str());
        if owner != before {
            changes.push(Change::Owner { name: name.clone(), owner });
        }
        self.settle(name, changes);
    }

    /// Holds a claim of this node against the others.
    fn settle(&mut self, name: Name, changes: &mut Vec<Change>) {
        let Some(serial) = self.own.holder(name.as_str()) else { return };
        let Some(Claimants::Many(all)) = self.claims.get(name.as_str()) else { return };
        let policy = self.own.policy(name.as_str());
        let best = self.best(&self.claims[name.as_str()]);
        let mine = all.iter().find(|filed| filed.owner == OWN).expect("filed with the claim").claim;
        if best.owner != OWN {
            let waits = mine.resolves && best.claim.resolves && best.claim.kept_against < mine.claimed_at;
            if !waits {
                let (winner, claimed_at) = (self.as_owner(&best), mine.claimed_at);
                self.withdraw(name.as_str(), serial);
                changes.push(Change::Lost { name, serial, claimed_at, winner, policy });
            }
            return;
        }
        let mut others: Vec<Filed> = all.iter().copied().filter(|filed| filed.owner != OWN).collect();
        others.sort_by_key(|filed| self.rank(filed));
        for filed in others {
            let (name, other, claim) = (name.clone(), self.as_owner(&filed), filed.claim);
            if !self.own.meets(&name, other.pid.incarnation(), claim.claimed_at) {
                continue;
            }
            changes.push(if mine.resolves && claim.resolves && mine.kept_against < claim.claimed_at {
                Change::Clash { name, serial, other, claimed_at: claim.claimed_at }
            } else {
                Change::Kept { name, serial, loser: other, policy }
            });
        }
    }

    fn winner(&self, claimants: &Claimants) -> Owner {
        self.as_owner(&self.best(claimants))
    }

    fn best(&self, claimants: &Claimants) -> Filed {
        match claimants {
            Claimants::One(filed) => *filed,
            Claimants::Many(all) if planted!(LastHeardWins) => *all.last().expect("at least two"),
            Claimants::Many(all) => *all.iter().min_by_key(|filed| self.rank(filed)).expect("at least two"),
        }
    }

    fn rank(&self, filed: &Filed) -> (Reverse<u64>, u64, Incarnation, NodeName) {
        let id = &self.holding(filed.owner).id;
        (Reverse(filed.claim.token), filed.claim.claimed_at, id.incarnation, id.name.clone())
    }

    fn as_owner(&self, filed: &Filed) -> Owner {
        let id = &self.holding(filed.owner).id;
        let pid = Pid::new(id.incarnation, filed.claim.serial);
        Owner { node: id.name.clone(), pid, token: token(filed.claim.token) }
    }

    /// The number of this very start of a node.
    fn number(&self, node: &NodeId) -> Option<u32> {
        let number = *self.numbers.get(&node.name)?;
        (self.holding(number).id == *node).then_some(number)
    }

    /// The number of this very start of a node. What an earlier start of it claimed is forgotten with its number.
    fn number_or_add(&mut self, node: &NodeId, changes: &mut Vec<Change>) -> u32 {
        self.number(node).unwrap_or_else(|| {
            changes.extend(self.peer_gone(&node.name));
            self.add(node)
        })
    }

    fn add(&mut self, node: &NodeId) -> u32 {
        let free = self.holdings.iter().position(Option::is_none).unwrap_or(self.holdings.len());
        if free == self.holdings.len() {
            self.holdings.push(None);
        }
        self.holdings[free] = Some(Holding::new(node.clone()));
        let number = u32::try_from(free).expect("members are bounded");
        self.numbers.insert(node.name.clone(), number);
        number
    }

    fn holding(&self, number: u32) -> &Holding {
        self.holdings[number as usize].as_ref().expect("claims are filed under known numbers")
    }

    fn holding_mut(&mut self, number: u32) -> &mut Holding {
        self.holdings[number as usize].as_mut().expect("claims are filed under known numbers")
    }
}

/// The token of a claim, if it has one.
fn token(raw: u64) -> Option<FencingToken> {
    (raw > 0).then(|| FencingToken::from_raw(raw))
}

impl Holding {
    fn new(id: NodeId) -> Self {
        Self {
            id,
            version: 0,
            digest: 0,
            claims: 0,
            named: 0,
            unsaid: 0,
            filling: 0,
            is_filling: false,
            behind: 0,
        }
    }
}
