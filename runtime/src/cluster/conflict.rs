//! Two nodes have claimed one global name: who hears of it, and who decides.
//!
//! The engine computes the winner and tells what follows for a process of this node. What is done about it is done here,
//! without the engine's lock: the process is ended or told, or the program's resolver is asked.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::Mutex;
use regatta_proto::host::{ConflictPolicy, Owner};
use regatta_proto::id::{Name, Pid};
use regatta_proto::reason::ExitReason;

use super::core::Core;
use crate::actor::Received;

/// What a claim of a global name says of the case that another node has claimed the name too. Each of the two claims has
/// its own.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum OnConflict {
    /// If the process loses the name, it is killed.
    KillLoser,
    /// If the process loses the name, it receives [`Received::NameConflict`].
    #[default]
    NotifyLoser,
    /// The process receives [`Received::NameConflict`] whether it loses the name or keeps it.
    NotifyBoth,
    /// If both claims have a resolver, that of the earlier one is asked which of the two stays; otherwise the earlier one
    /// stays. It runs once for each other claim, while messages are waiting: it must be quick. If it panics, the earlier
    /// claim stays. The loser is told as by `NotifyLoser`.
    Resolve(Resolver),
}

/// Decides between two claims of one name.
pub type Resolver = Arc<dyn Fn(&NameConflict) -> Keep + Send + Sync>;

impl OnConflict {
    /// [`OnConflict::Resolve`] with a closure.
    pub fn resolve(resolver: impl Fn(&NameConflict) -> Keep + Send + Sync + 'static) -> Self {
        Self::Resolve(Arc::new(resolver))
    }

    pub(crate) fn policy(&self) -> ConflictPolicy {
        match self {
            Self::KillLoser => ConflictPolicy::KillLoser,
            Self::NotifyLoser => ConflictPolicy::NotifyLoser,
            Self::NotifyBoth => ConflictPolicy::NotifyBoth,
            Self::Resolve(_) => ConflictPolicy::Resolve,
        }
    }
}

impl fmt::Debug for OnConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.policy().fmt(f)
    }
}

/// Two claims of one name, as the resolver of the earlier one sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NameConflict {
    /// The name.
    pub name: Name,
    /// The process of this node that holds it, by the earlier claim.
    pub mine: Pid,
    /// The process that claims it too.
    pub other: Pid,
    /// The node of that process.
    pub other_node: String,
}

/// Which of two claims stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// That of this node.
    Mine,
    /// The other one.
    Other,
}

/// The resolvers of a node's processes. What is dropped is dropped without the lock: it is the program's.
#[derive(Default)]
pub(crate) struct Resolvers(Mutex<BTreeMap<u64, BTreeMap<Name, Resolver>>>);

impl Resolvers {
    pub(crate) fn put(&self, serial: u64, name: Name, resolver: Resolver) {
        let before = self.0.lock().entry(serial).or_default().insert(name, resolver);
        drop(before);
    }

    fn find(&self, serial: u64, name: &str) -> Option<Resolver> {
        self.0.lock().get(&serial)?.get(name).cloned()
    }

    pub(crate) fn forget(&self, serial: u64, name: &str) {
        let mut all = self.0.lock();
        let Some(names) = all.get_mut(&serial) else { return };
        let before = names.remove(name);
        if names.is_empty() {
            all.remove(&serial);
        }
        drop(all);
        drop(before);
    }

    /// Those of a process that has ended, for the caller to drop.
    #[must_use]
    pub(crate) fn take(&self, serial: u64) -> Option<BTreeMap<Name, Resolver>> {
        self.0.lock().remove(&serial)
    }
}

impl Core {
    /// A process of this node lost a global name: its claim has been withdrawn.
    pub(crate) fn name_lost(&self, name: &Name, serial: u64, winner: &Owner, policy: ConflictPolicy) {
        let pid = Pid::new(self.id.incarnation, serial);
        tracing::warn!(node = %self.id.name, %name, %pid, winner = %winner.node, "a global name went to another node");
        self.runtime.unregister(name.as_str(), pid);
        self.resolvers.forget(serial, name.as_str());
        if policy == ConflictPolicy::KillLoser {
            self.runtime.exit_from(self.runtime.node_pid(), pid, ExitReason::Killed);
        } else {
            self.tell(name, pid, winner, false);
        }
    }

    /// A process of this node keeps a global name that another one has claimed too.
    pub(crate) fn name_kept(&self, name: &Name, serial: u64, loser: &Owner, policy: ConflictPolicy) {
        if policy == ConflictPolicy::NotifyBoth {
            self.tell(name, Pid::new(self.id.incarnation, serial), loser, true);
        }
    }

    /// Another node claims a name that a process of this node holds: asks the program which claim stays.
    pub(crate) fn name_clash(&self, name: &Name, serial: u64, other: &Owner, claimed_at: u64) {
        let resolver = self.resolvers.find(serial, name.as_str());
        // None: it has just been given up, and the engine finds that out.
        let keeps = resolver.is_none_or(|resolver| {
            let conflict = NameConflict {
                name: name.clone(),
                mine: Pid::new(self.id.incarnation, serial),
                other: other.pid,
                other_node: other.node.to_string(),
            };
            let answer = catch_unwind(AssertUnwindSafe(|| resolver(&conflict)));
            if answer.is_err() {
                tracing::error!(node = %self.id.name, %name, "the resolver panicked: the earlier claim stays");
            }
            !matches!(answer, Ok(Keep::Other))
        });
        self.with_engine(|now, engine, host| {
            engine.resolve(now, name.as_str(), serial, claimed_at, keeps, host);
        });
    }

    fn tell(&self, name: &Name, pid: Pid, other: &Owner, kept: bool) {
        self.runtime.notify(pid, Received::NameConflict { name: name.clone(), other: other.pid, kept });
    }
}
