//! Global names of a node's processes.
//!
//! A name that is registered globally is registered locally too, so the process answers to it on its own node. Both are
//! given up together: when the process ends, when it unregisters, or when an earlier claim elsewhere wins.

use regatta_proto::host::ClaimError;
use regatta_proto::id::{Name, Pid};

use super::conflict::OnConflict;
use super::core::Core;
use super::error::RegisterGlobalError;
use crate::actor::RegisterError;

impl Core {
    /// Registers a local process here and in the whole cluster.
    pub(crate) fn register_global(
        &self,
        name: Name,
        pid: Pid,
        on_conflict: OnConflict,
    ) -> Result<(), RegisterGlobalError> {
        let taken = |node: &str| RegisterGlobalError::Taken { node: node.to_owned() };
        // Tracked first: from here on its end withdraws whatever it holds.
        if !self.runtime.track(pid) {
            return Err(RegisterGlobalError::NoProc);
        }
        self.runtime.register(name.as_str(), pid).map_err(|error| match error {
            RegisterError::Taken { .. } => taken(self.id.name.as_str()),
            _ => RegisterGlobalError::NoProc,
        })?;
        let policy = on_conflict.policy();
        // Before the claim: from then on it may be asked.
        if let OnConflict::Resolve(resolver) = on_conflict {
            self.resolvers.put(pid.serial(), name.clone(), resolver);
        }
        let claimed = self
            .with_engine(|now, engine, host| engine.register(now, name.clone(), pid.serial(), policy, host));
        if let Err(error) = claimed {
            self.resolvers.forget(pid.serial(), name.as_str());
            self.runtime.unregister(name.as_str(), pid);
            return Err(match error {
                ClaimError::Taken(owner) => taken(owner.node.as_str()),
                ClaimError::TooMany { max } => RegisterGlobalError::TooMany { max },
            });
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
            self.resolvers.forget(pid.serial(), name);
            self.runtime.unregister(name, pid);
        }
        withdrawn
    }
}
