//! Local names.
//!
//! A name belongs to one live process, and is released by that process's end or by its owner's pid alone. The map and
//! the owner's cell say the same: both change under the registry's lock and then the cell's, and a process that has
//! ended takes no name, so its end sees every name that it holds.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;
use regatta_proto::id::{Name, Pid};

use super::cell::Cell;
use super::error::RegisterError;
use super::runtime::Runtime;
use crate::sync::RwLock;

/// The names of one runtime. Each message by name looks one up.
#[derive(Default)]
pub(crate) struct Registry {
    names: RwLock<HashMap<Name, Arc<Cell>, RandomState>>,
}

impl Registry {
    /// Who holds the name.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Cell>> {
        self.names.read().get(name).cloned()
    }

    /// How many names are held.
    pub(crate) fn len(&self) -> usize {
        self.names.read().len()
    }

    fn register(&self, name: Name, cell: Arc<Cell>) -> Result<(), RegisterError> {
        let mut names = self.names.write();
        if let Some(owner) = names.get(&name)
            && owner.is_alive()
        {
            return Err(RegisterError::Taken { by: owner.pid() });
        }
        cell.lock().cold_mut().ok_or(RegisterError::NoProc)?.names.insert(name.clone());
        let before = names.insert(name, cell);
        drop(names);
        drop(before);
        Ok(())
    }

    fn unregister(&self, name: &str, owner: Pid) -> bool {
        let mut names = self.names.write();
        let Some(cell) = names.get(name).filter(|cell| cell.pid() == owner) else { return false };
        if let Some(my) = cell.lock().cold_if_any() {
            my.names.remove(name);
        }
        let entry = names.remove(name);
        drop(names);
        drop(entry);
        true
    }

    /// Releases the names of a process that has ended.
    pub(crate) fn release(&self, cell: &Cell, held: &BTreeSet<Name>) {
        if held.is_empty() {
            return;
        }
        let mut released = Vec::new();
        let mut names = self.names.write();
        for name in held {
            // Somebody may have taken the name over in between: it found its owner dead.
            if names.get(name).is_some_and(|owner| std::ptr::eq(&**owner, cell)) {
                released.extend(names.remove(name));
            }
        }
        drop(names);
    }
}

impl Runtime {
    /// Gives the process a name; it may have many. The name is free again when the process ends.
    ///
    /// # Errors
    /// [`RegisterError`]; the registry is then as it was. Registering a name again for its own holder is `Taken` too.
    pub fn register(&self, name: impl AsRef<str>, pid: Pid) -> Result<(), RegisterError> {
        let name = Name::new(name).map_err(|_| RegisterError::BadName)?;
        let cell = self.local(pid).ok_or(RegisterError::NoProc)?;
        self.registry().register(name, cell)
    }

    /// Takes the name from `owner`. Returns whether `owner` held it; anybody else's name stays.
    pub fn unregister(&self, name: impl AsRef<str>, owner: Pid) -> bool {
        self.registry().unregister(name.as_ref(), owner)
    }

    /// The live process that holds the name in this runtime.
    #[must_use]
    pub fn whereis(&self, name: impl AsRef<str>) -> Option<Pid> {
        self.registry().find(name.as_ref()).filter(|cell| cell.is_alive()).map(|cell| cell.pid())
    }

    /// All names and their holders, in the order of the names.
    #[must_use]
    pub fn registered(&self) -> Vec<(Name, Pid)> {
        let names = self.registry().names.read();
        let live = names.iter().filter(|(_, cell)| cell.is_alive());
        let mut live: Vec<_> = live.map(|(name, cell)| (name.clone(), cell.pid())).collect();
        drop(names);
        live.sort_unstable();
        live
    }
}
