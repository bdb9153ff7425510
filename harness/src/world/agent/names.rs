//! Names and groups of this node's processes.

use std::time::Duration;

use regatta::Pid;
use regatta::cluster::{ConfirmName, ConfirmNameError};

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

    /// Has a majority confirm a global name. That others are against it, or too few for it, is an answer.
    pub(super) async fn confirm(&self, pid: Pid, name: &str, deadline: Duration) -> Answered {
        let options = ConfirmName { deadline: Some(deadline), ..ConfirmName::default() };
        match self.node.register_global_confirmed(name, pid, options).await {
            Ok(token) => Ok(Answer::Confirmed(Ok(token.raw()))),
            Err(error @ (ConfirmNameError::Taken { .. } | ConfirmNameError::NoQuorum { .. })) => {
                Ok(Answer::Confirmed(Err(error.to_string())))
            }
            Err(error) => Err(because(error)),
        }
    }

    pub(super) fn join(&self, pid: Pid, group: &str) -> Answered {
        self.node.runtime().join_group(group, pid).map(|()| Answer::Done).map_err(because)
    }

    pub(super) fn leave(&self, pid: Pid, group: &str) -> Answered {
        if self.node.runtime().leave_group(group, pid) {
            return Ok(Answer::Done);
        }
        let label = self.scene.label(pid);
        Err(Refused::Because(format!("process `{label}` is not in the group")))
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
