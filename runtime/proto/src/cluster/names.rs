//! Global names: each node alone owns its claims, and says so on its own links only.
//!
//! A node tells every peer what it claims when their link comes up, and every change after that. What a peer says is
//! filed under that peer, so nobody can claim or withdraw for another, and everything a peer claimed vanishes with its
//! link. If two nodes claim one name, the earliest claim wins: by hybrid logical clock (Kulkarni et al., "Logical
//! Physical Clocks", 2014), then incarnation, then node name. Every node computes the same winner; only the loser's own
//! node withdraws its claim.
//!
//! In a netsplit each side keeps the names of its own nodes and may claim those of the other; the heal settles it by the
//! rule above.

use std::collections::{BTreeMap, BTreeSet};

use crate::host::Owner;
use crate::id::{Incarnation, Name, NodeId, NodeName, Pid};
use crate::wire::control;

/// Bits of the clock that count claims within one millisecond.
const CLOCK_COUNTER_BITS: u32 = 16;
/// A peer whose clock runs ahead by more than this does not move ours.
const CLOCK_AHEAD_MS_MAX: u64 = 60_000;
/// Claims in one control message: with the longest names it stays below the bound of a control frame.
const CLAIMS_PER_MESSAGE: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Claim {
    pid: Pid,
    claimed_at: u64,
}

/// A name whose owner changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) name: Name,
    pub(crate) owner: Option<Owner>,
    /// The process of this node that lost the name to an earlier claim.
    pub(crate) lost: Option<u64>,
}

/// What all nodes claim, as this node knows it.
#[derive(Debug)]
pub(crate) struct Names {
    me: NodeId,
    claims: BTreeMap<Name, BTreeMap<NodeName, Claim>>,
    /// The names of each local process that has any.
    mine: BTreeMap<u64, BTreeSet<Name>>,
    /// How many names each peer claims.
    counts: BTreeMap<NodeName, usize>,
    clock: u64,
    per_peer_max: usize,
}

impl Names {
    pub(crate) fn new(me: NodeId, per_peer_max: usize) -> Self {
        Self {
            me,
            claims: BTreeMap::new(),
            mine: BTreeMap::new(),
            counts: BTreeMap::new(),
            clock: 0,
            per_peer_max,
        }
    }

    /// Who holds the name.
    pub(crate) fn owner(&self, name: &str) -> Option<Owner> {
        self.claims.get(name).and_then(winner)
    }

    /// Claims a name for a local process, unless somebody is known to hold it.
    pub(crate) fn claim(&mut self, name: Name, serial: u64, wall_ms: u64) -> Result<control::Claim, Owner> {
        if let Some(owner) = self.owner(name.as_str()) {
            return Err(owner);
        }
        self.clock = (wall_ms << CLOCK_COUNTER_BITS).max(self.clock + 1);
        let claim = Claim { pid: Pid::new(self.me.incarnation, serial), claimed_at: self.clock };
        self.claims.entry(name.clone()).or_default().insert(self.me.name.clone(), claim);
        self.mine.entry(serial).or_default().insert(name.clone());
        Ok(to_wire(&name, claim))
    }

    /// Withdraws a name if the local process `serial` holds it.
    pub(crate) fn withdraw(&mut self, name: &str, serial: u64) -> Option<Change> {
        let names = self.mine.get_mut(&serial)?;
        let name = names.take(name)?;
        if names.is_empty() {
            self.mine.remove(&serial);
        }
        let me = self.me.name.clone();
        self.remove(&name, &me);
        let owner = self.owner(name.as_str());
        Some(Change { name, owner, lost: None })
    }

    /// Withdraws every name of a local process, which has ended.
    pub(crate) fn process_ended(&mut self, serial: u64) -> Vec<Change> {
        let names = self.mine.get(&serial).cloned().unwrap_or_default();
        names.into_iter().filter_map(|name| self.withdraw(name.as_str(), serial)).collect()
    }

    /// A peer changed its claims. `None` if it claims more names than it may.
    pub(crate) fn heard(
        &mut self,
        peer: &NodeId,
        message: control::Names,
        wall_ms: u64,
    ) -> Option<Vec<Change>> {
        let mut changes = Vec::new();
        for name in message.withdrawn {
            let before = self.owner(&name);
            if let Ok(name) = Name::new(name)
                && self.remove(&name, &peer.name)
            {
                *self.counts.get_mut(&peer.name).expect("counted with its claim") -= 1;
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
            let pid = Pid::new(peer.incarnation, claim.serial);
            let filed = Claim { pid, claimed_at: claim.claimed_at };
            let fresh =
                self.claims.entry(name.clone()).or_default().insert(peer.name.clone(), filed).is_none();
            let count = self.counts.entry(peer.name.clone()).or_default();
            *count += usize::from(fresh);
            if *count > self.per_peer_max {
                return None;
            }
            self.push_change(&mut changes, name, before);
        }
        Some(changes)
    }

    /// A peer is gone, and with it all it claimed.
    pub(crate) fn peer_gone(&mut self, peer: &NodeName) -> Vec<Change> {
        if self.counts.remove(peer).is_none() {
            return Vec::new();
        }
        let theirs = self.claims.iter().filter(|(_, claims)| claims.contains_key(peer));
        let names: Vec<Name> = theirs.map(|(name, _)| name.clone()).collect();
        let mut changes = Vec::new();
        for name in names {
            let before = self.owner(name.as_str());
            self.remove(&name, peer);
            self.push_change(&mut changes, name, before);
        }
        changes
    }

    /// Everything that this node claims, in messages for a peer that knows nothing yet.
    pub(crate) fn introduction(&self) -> Vec<control::Names> {
        let mine = self
            .claims
            .iter()
            .filter_map(|(name, claims)| claims.get(&self.me.name).map(|claim| to_wire(name, *claim)));
        let all: Vec<control::Claim> = mine.collect();
        all.chunks(CLAIMS_PER_MESSAGE)
            .map(|claimed| control::Names { claimed: claimed.to_vec(), withdrawn: vec![] })
            .collect()
    }

    fn remove(&mut self, name: &Name, node: &NodeName) -> bool {
        let Some(claims) = self.claims.get_mut(name) else { return false };
        let removed = claims.remove(node).is_some();
        if claims.is_empty() {
            self.claims.remove(name);
        }
        removed
    }

    /// Notes the new owner if it is another one; a claim of ours that lost is withdrawn.
    fn push_change(&mut self, changes: &mut Vec<Change>, name: Name, before: Option<Owner>) {
        let owner = self.owner(name.as_str());
        if owner == before {
            return;
        }
        let mine = self.claims.get(&name).and_then(|claims| claims.get(&self.me.name)).copied();
        let lost = mine.filter(|_| owner.as_ref().is_some_and(|owner| owner.node != self.me.name));
        if let Some(claim) = lost {
            self.withdraw(name.as_str(), claim.pid.serial());
        }
        changes.push(Change { name, owner, lost: lost.map(|claim| claim.pid.serial()) });
    }
}

fn winner(claims: &BTreeMap<NodeName, Claim>) -> Option<Owner> {
    let rank = |(node, claim): &(&NodeName, &Claim)| -> (u64, Incarnation, NodeName) {
        (claim.claimed_at, claim.pid.incarnation(), (*node).clone())
    };
    let (node, claim) = claims.iter().min_by_key(rank)?;
    Some(Owner { node: node.clone(), pid: claim.pid })
}

fn to_wire(name: &Name, claim: Claim) -> control::Claim {
    control::Claim { name: name.to_string(), serial: claim.pid.serial(), claimed_at: claim.claimed_at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn node(name: &str) -> NodeId {
        let incarnation = Incarnation::from_raw(name.bytes().map(u64::from).sum());
        NodeId { name: NodeName::new(name).unwrap(), incarnation }
    }

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn tell(names: &mut Names, from: &str, claim: &control::Claim) -> Vec<Change> {
        let message = control::Names { claimed: vec![claim.clone()], withdrawn: vec![] };
        names.heard(&node(from), message, 1_000).expect("within the bound")
    }

    #[test]
    fn a_process_loses_its_names_with_its_end_and_no_other() {
        let mut names = Names::new(node("a"), 10);
        names.claim(name("x"), 1, 0).unwrap();
        names.claim(name("y"), 1, 0).unwrap();
        names.claim(name("z"), 2, 0).unwrap();
        assert_eq!(names.claim(name("x"), 2, 0).unwrap_err().pid.serial(), 1);
        assert!(names.withdraw("x", 2).is_none(), "only its owner may withdraw it");
        assert_eq!(names.process_ended(1).len(), 2);
        assert_eq!(names.owner("x"), None);
        assert_eq!(names.owner("z").map(|owner| owner.pid.serial()), Some(2));
    }

    #[test]
    fn a_peer_can_neither_claim_nor_withdraw_for_another() {
        let mut names = Names::new(node("a"), 10);
        names.claim(name("mine"), 1, 5).unwrap();
        let theirs = control::Claim { name: "theirs".into(), serial: 9, claimed_at: 1 };
        tell(&mut names, "b", &theirs);
        let withdraw = control::Names { claimed: vec![], withdrawn: vec!["mine".into(), "theirs".into()] };
        assert_eq!(names.heard(&node("c"), withdraw, 0), Some(vec![]));
        assert_eq!(names.owner("theirs").unwrap().node.as_str(), "b");
        assert_eq!(names.owner("mine").unwrap().node.as_str(), "a");
    }

    #[test]
    fn the_earliest_claim_wins_and_only_the_losers_node_withdraws() {
        let (mut a, mut b) = (Names::new(node("a"), 10), Names::new(node("b"), 10));
        let late = a.claim(name("x"), 1, 200).unwrap();
        let early = b.claim(name("x"), 7, 100).unwrap();
        let changes = tell(&mut a, "b", &early);
        assert_eq!(changes[0].lost, Some(1));
        assert_eq!(changes[0].owner.as_ref().unwrap().node.as_str(), "b");
        assert_eq!(tell(&mut b, "a", &late), vec![], "the winner sees no change");
        assert_eq!(a.owner("x"), b.owner("x"));
        assert_eq!(a.introduction(), vec![], "the loser claims it no more");
    }

    #[test]
    fn a_lost_peers_names_vanish_and_the_next_claim_takes_over() {
        let mut names = Names::new(node("a"), 10);
        for (peer, claimed_at) in [("b", 1), ("c", 2)] {
            tell(&mut names, peer, &control::Claim { name: "x".into(), serial: 1, claimed_at });
        }
        let changes = names.peer_gone(&node("b").name);
        assert_eq!(changes[0].owner.as_ref().unwrap().node.as_str(), "c");
        assert_eq!(names.peer_gone(&node("c").name)[0].owner, None);
    }

    #[test]
    fn a_peer_that_claims_too_much_is_noticed() {
        let mut names = Names::new(node("a"), 2);
        let claim = |name: &str| control::Claim { name: name.into(), serial: 1, claimed_at: 1 };
        let two = control::Names { claimed: vec![claim("x"), claim("y"), claim("x")], withdrawn: vec![] };
        assert!(names.heard(&node("b"), two, 0).is_some());
        let third = control::Names { claimed: vec![claim("z")], withdrawn: vec![] };
        assert!(names.heard(&node("b"), third, 0).is_none());
    }

    #[test]
    fn the_introduction_fits_into_control_frames_whatever_the_names() {
        use prost::Message;
        let mut names = Names::new(node("a"), 10);
        for n in 0..1_000u64 {
            names.claim(name(&format!("{n:0>255}")), n, 0).unwrap();
        }
        let messages = names.introduction();
        assert_eq!(messages.iter().map(|message| message.claimed.len()).sum::<usize>(), 1_000);
        assert!(
            messages
                .iter()
                .all(|message| message.encoded_len() < crate::limits::CONTROL_FRAME_BYTES_MAX - 64)
        );
    }

    proptest! {
        /// What two peers claim may arrive in any order and twice: the owner is the same.
        #[test]
        fn claims_merge_to_one_owner_in_any_order_and_however_often(
            claims in prop::collection::vec((0usize..3, 1u64..5, 1u64..9), 1..8),
            order in prop::collection::vec(any::<prop::sample::Index>(), 1..30),
        ) {
            // A node claims a name once: the last claim of each peer is the one that stands.
            let peers = ["b", "c", "d"];
            let last: BTreeMap<usize, (u64, u64)> = claims.iter().map(|(p, at, serial)| (*p, (*at, *serial))).collect();
            let wire = |(at, serial): (u64, u64)| control::Claim { name: "x".into(), serial, claimed_at: at };
            let (mut one, mut other) = (Names::new(node("a"), 10), Names::new(node("a"), 10));
            for (peer, claim) in &last {
                tell(&mut one, peers[*peer], &wire(*claim));
            }
            let all: Vec<_> = last.iter().collect();
            let shuffled = order.iter().map(|index| all[index.index(all.len())]).chain(all.iter().rev().copied());
            for (peer, claim) in shuffled {
                tell(&mut other, peers[*peer], &wire(*claim));
            }
            prop_assert_eq!(one.owner("x"), other.owner("x"));
        }
    }
}
