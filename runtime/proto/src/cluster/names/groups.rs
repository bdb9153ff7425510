//! Memberships of groups, as OTP's `pg` has them: each node says which of its processes are in which group and how
//! often, and they are told, versioned and repaired with its names.

use std::collections::BTreeMap;

use super::own::membership_hash;
use super::{Change, Names};
use crate::id::{Name, Pid};
use crate::wire::control::Membership;

/// How often a process of another node is a member, and the filling of its owner in which that was last said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Filed {
    count: u32,
    filling: u32,
}

/// By the number of the owner, then by group and process.
#[derive(Debug, Default)]
pub(super) struct Memberships(BTreeMap<u32, BTreeMap<(Name, u64), Filed>>);

impl Names {
    /// Whether peers are told that a local process is a member of the group.
    pub(crate) fn has_membership(&self, group: &Name, serial: u64) -> bool {
        self.own.has_membership(group, serial)
    }

    /// A local process is so often a member of a group now; whether that is news.
    pub(crate) fn set_membership(&mut self, group: Name, serial: u64, count: u32) -> bool {
        self.own.set_membership(group, serial, count)
    }

    /// Files what the owner of this number says of one of its processes.
    pub(super) fn file_membership(&mut self, number: u32, said: &Membership, changes: &mut Vec<Change>) {
        // A name that this version does not allow is merely unknown here.
        let Ok(group) = Name::new(&said.group) else { return };
        let (count, serial) = (said.count, said.serial);
        let filling = self.holding(number).filling;
        let key = (group.clone(), serial);
        let theirs = self.memberships.0.entry(number).or_default();
        let before =
            if count > 0 { theirs.insert(key, Filed { count, filling }) } else { theirs.remove(&key) };
        self.counted(number, group, serial, (before.map_or(0, |filed| filed.count), count), changes);
    }

    /// Forgets what was not said in this filling, or all.
    pub(super) fn forget_memberships(
        &mut self,
        number: u32,
        filling: Option<u32>,
        changes: &mut Vec<Change>,
    ) {
        let Some(theirs) = self.memberships.0.get_mut(&number) else { return };
        let unsaid: Vec<_> = theirs.extract_if(.., |_, filed| filling != Some(filed.filling)).collect();
        if theirs.is_empty() {
            self.memberships.0.remove(&number);
        }
        for ((group, serial), filed) in unsaid {
            self.counted(number, group, serial, (filed.count, 0), changes);
        }
    }

    /// Keeps the digest of the owner, and notes the change if it is one.
    fn counted(
        &mut self,
        number: u32,
        group: Name,
        serial: u64,
        (before, count): (u32, u32),
        changes: &mut Vec<Change>,
    ) {
        if before == count {
            return;
        }
        let hash = |count| if count > 0 { membership_hash(group.as_str(), serial, count) } else { 0 };
        let holding = self.holding_mut(number);
        holding.digest = holding.digest.wrapping_sub(hash(before)).wrapping_add(hash(count));
        holding.claims = holding.claims + usize::from(before == 0) - usize::from(count == 0);
        let pid = Pid::new(holding.id.incarnation, serial);
        changes.push(Change::Member { group, pid, count });
    }

    /// All memberships of a node's processes, as this one knows them.
    #[cfg(test)]
    pub(super) fn memberships_of(&self, number: u32) -> Vec<(Name, u64, u32)> {
        let theirs = self.memberships.0.get(&number).into_iter().flatten();
        theirs.map(|((group, serial), filed)| (group.clone(), *serial, filed.count)).collect()
    }
}
