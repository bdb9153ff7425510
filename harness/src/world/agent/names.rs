//! Names of this node's processes.

use regatta::Pid;

use super::Agent;
use crate::scenario::action::ScopedName;
use crate::world::order::{Answer, Answered, Refused, because};

impl Agent {
    /// Who holds a name, as this node sees it.
    pub(super) fn whereis(&self, name: &ScopedName) -> Option<Pid> {
        match name {
            ScopedName::Local(name) => self.node.runtime().whereis(name),
            ScopedName::Global(name) => self.node.whereis_global_pid(name),
        }
    }

    pub(super) fn register(&self, pid: Pid, name: &ScopedName) -> Answered {
        match name {
            ScopedName::Local(name) => {
                self.node.runtime().register(name, pid).map_err(because)?;
                self.scene.name_local(name, &self.name, pid);
            }
            ScopedName::Global(name) => self.node.try_register_global(name, pid).map_err(because)?,
        }
        Ok(Answer::Done)
    }

    pub(super) fn unregister(&self, pid: Pid, name: &ScopedName) -> Answered {
        let held = match name {
            ScopedName::Local(name) => {
                self.scene.unname_local(name, &self.name);
                self.node.runtime().unregister(name, pid)
            }
            ScopedName::Global(name) => {
                self.node.whereis_global_pid(name) == Some(pid) && self.node.unregister_global(name)
            }
        };
        if held {
            Ok(Answer::Done)
        } else {
            let label = self.scene.label(pid);
            Err(Refused::Because(format!("process `{label}` does not hold the name")))
        }
    }
}
