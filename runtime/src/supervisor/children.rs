//! The children of one supervisor, in the order of their start, found by id and by pid.

use std::collections::{BTreeMap, HashMap};

use regatta_proto::id::Pid;

use super::spec::{ChildSpec, Restart};
use super::strategy::Member;

/// Counts up: a child's place in the order.
pub(super) type Key = u64;

/// One child.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) spec: ChildSpec,
    pub(super) life: Life,
}

/// Where a child is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Running(Pid),
    /// Its start has failed, and is tried again.
    Restarting,
    /// It has ended, or was stopped, and stays known.
    Stopped,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Children {
    by_key: BTreeMap<Key, Child>,
    by_pid: HashMap<Pid, Key>,
    /// `None` if ids need not differ.
    by_id: Option<HashMap<String, Key>>,
    next: Key,
}

impl Children {
    /// None yet. Without `unique`, children are found by pid alone.
    pub(super) fn new(unique: bool) -> Self {
        Self { by_id: unique.then(HashMap::new), ..Self::default() }
    }

    /// Adds one that does not run yet, behind all others.
    pub(super) fn add(&mut self, spec: ChildSpec) -> Key {
        let key = self.next;
        self.next += 1;
        if let Some(ids) = &mut self.by_id {
            ids.insert(spec.id.clone(), key);
        }
        self.by_key.insert(key, Child { spec, life: Life::Stopped });
        key
    }

    pub(super) fn remove(&mut self, key: Key) {
        self.set(key, Life::Stopped);
        if let Some(child) = self.by_key.remove(&key)
            && let Some(ids) = &mut self.by_id
        {
            ids.remove(&child.spec.id);
        }
    }

    pub(super) fn set(&mut self, key: Key, life: Life) {
        let Some(child) = self.by_key.get_mut(&key) else { return };
        if let Life::Running(before) = std::mem::replace(&mut child.life, life) {
            self.by_pid.remove(&before);
        }
        if let Life::Running(pid) = life {
            self.by_pid.insert(pid, key);
        }
    }

    pub(super) fn find(&self, key: Key) -> Option<&Child> {
        self.by_key.get(&key)
    }

    pub(super) fn by_pid(&self, pid: Pid) -> Option<Key> {
        self.by_pid.get(&pid).copied()
    }

    pub(super) fn by_id(&self, id: &str) -> Option<Key> {
        self.by_id.as_ref()?.get(id).copied()
    }

    /// In the order of their start.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (Key, &Child)> {
        self.by_key.iter().map(|(key, child)| (*key, child))
    }

    /// As the strategy sees them.
    pub(super) fn members(&self) -> (Vec<Key>, Vec<Member>) {
        self.iter()
            .map(|(key, child)| {
                let running = matches!(child.life, Life::Running(_));
                (key, Member { restart: child.spec.restart, running })
            })
            .unzip()
    }

    /// A child alone, as the strategy sees it: for strategies that look at no others.
    pub(super) fn member(&self, key: Key) -> (Vec<Key>, Vec<Member>) {
        let restart = self.find(key).map_or(Restart::Temporary, |child| child.spec.restart);
        (vec![key], vec![Member { restart, running: false }])
    }
}
