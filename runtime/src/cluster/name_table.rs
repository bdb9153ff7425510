//! Global names as a node sees them, with a digest of them all that is kept up: two nodes compare what they know without
//! looking at a single name.

use regatta_proto::host::Owner;
use regatta_proto::id::Name;
use rustc_hash::FxHashMap;

/// Names and their owners.
#[derive(Debug, Default)]
pub(crate) struct NameTable {
    owners: FxHashMap<Name, Owner>,
    /// The sum of the entries' hashes, so that the order in which they came does not matter.
    digest: u64,
}

impl NameTable {
    /// The owner of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&Owner> {
        self.owners.get(name)
    }

    /// Gives a name an owner.
    pub(crate) fn insert(&mut self, name: Name, owner: Owner) {
        let added = hash(name.as_str(), &owner);
        let lost = self.owners.get(&name).map_or(0, |before| hash(name.as_str(), before));
        self.digest = self.digest.wrapping_sub(lost).wrapping_add(added);
        self.owners.insert(name, owner);
    }

    /// Nobody owns a name any more.
    pub(crate) fn remove(&mut self, name: &str) {
        if let Some(owner) = self.owners.remove(name) {
            self.digest = self.digest.wrapping_sub(hash(name, &owner));
        }
    }

    /// How many names there are.
    pub(crate) fn len(&self) -> usize {
        self.owners.len()
    }

    /// Equal for equal names with equal owners.
    pub(crate) const fn digest(&self) -> u64 {
        self.digest
    }

    /// All of them, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Name, &Owner)> {
        self.owners.iter()
    }
}

/// FNV-1a over name and owner, stirred, so that sums of hashes differ when their parts do.
fn hash(name: &str, owner: &Owner) -> u64 {
    let numbers = [owner.pid.incarnation().raw(), owner.pid.serial()].map(u64::to_le_bytes);
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in name.bytes().chain(numbers.into_iter().flatten()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use regatta_proto::id::{Incarnation, NodeName, Pid};

    use super::*;

    fn owner(serial: u64) -> Owner {
        let node = NodeName::new("a").expect("a name");
        Owner { node, pid: Pid::new(Incarnation::from_raw(7), serial), token: None }
    }

    fn table(entries: &[(&str, u64)]) -> NameTable {
        let mut table = NameTable::default();
        for (name, serial) in entries {
            table.insert(Name::new(*name).expect("a name"), owner(*serial));
        }
        table
    }

    #[test]
    fn the_digest_tells_names_and_owners_and_not_the_way_to_them() {
        let mut one = table(&[("x", 1), ("y", 2)]);
        assert_eq!(one.digest(), table(&[("y", 2), ("x", 1)]).digest());
        assert_eq!(one.digest(), table(&[("x", 9), ("y", 2), ("x", 1)]).digest());
        assert_ne!(one.digest(), table(&[("x", 2), ("y", 1)]).digest());
        assert_ne!(one.digest(), table(&[("x", 1)]).digest());
        one.remove("y");
        one.remove("y");
        assert_eq!((one.digest(), one.len()), (table(&[("x", 1)]).digest(), 1));
        one.remove("x");
        assert_eq!(one.digest(), NameTable::default().digest());
    }
}
