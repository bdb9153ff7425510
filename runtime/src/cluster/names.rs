//! Global names of a node's processes.
//!
//! A name that is registered globally is registered locally too, so the process answers to it on its own node. Both are
//! given up together: when the process ends, when it unregisters, or when an earlier claim elsewhere wins.

use regatta_proto::host::Owner;
use regatta_proto::id::{Name, Pid};

use super::core::Core;
use super::error::RegisterGlobalError;
use crate::actor::RegisterError;

impl Core {
    /// Registers a local process here and in the whole cluster.
    pub(crate) fn register_global(&self, name: Name, pid: Pid) -> Result<(), RegisterGlobalError> {
        let taken = |node: &str| RegisterGlobalError::Taken { node: node.to_owned() };
        // Tracked first: from here on its end withdraws whatever it holds.
        if !self.runtime.track(pid) {
            return Err(RegisterGlobalError::NoProc);
        }
        self.runtime.register(name.as_str(), pid).map_err(|error| match error {
            RegisterError::Taken { .. } => taken(self.id.name.as_str()),
            _ => RegisterGlobalError::NoProc,
        })?;
        let claimed =
            self.with_engine(|now, engine, host| engine.register(now, name.clone(), pid.serial(), host));
        if let Err(owner) = claimed {
            self.runtime.unregister(name.as_str(), pid);
            return Err(taken(owner.node.as_str()));
        }
        // If it ended meanwhile, its end may have been handled before there was a claim to withdraw.
        if !self.runtime.is_alive(pid) {
            self.process_ended(pid.serial());
            return Err(RegisterGlobalError::NoProc);
        }
        Ok(())
    }

    /// Gives a global name up if `pid` holds it; whether it did.
    pub(crate) fn unregister_global(&self, name: &str, pid: Pid) -> bool {
        let withdrawn =
            self.with_engine(|now, engine, host| engine.unregister(now, name, pid.serial(), host));
        if withdrawn {
            self.runtime.unregister(name, pid);
        }
        withdrawn
    }

    /// An earlier claim elsewhere won. The process keeps running; it no longer answers to the name.
    pub(crate) fn name_lost(&self, name: &Name, serial: u64, winner: &Owner) {
        let pid = Pid::new(self.id.incarnation, serial);
        tracing::warn!(node = %self.id.name, %name, %pid, winner = %winner.node, "a global name was claimed earlier elsewhere");
        self.runtime.unregister(name.as_str(), pid);
    }
}
