//! Global names that a majority of the nodes confirms: one holder at a time, whatever the network does.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use regatta_proto::engine::Confirm;
use regatta_proto::host::ConflictPolicy;
use regatta_proto::id::{Name, ParseIdError, Pid};
use regatta_proto::reason::ExitReason;
use thiserror::Error;
use tokio::sync::oneshot;

pub use regatta_proto::host::{FencingToken, Quorum};

use super::core::Core;
use super::node::ClusterNode;
use crate::actor::{Received, RegisterError};

/// How a name is to be confirmed.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConfirmName {
    /// Whose word it takes. Default: more than half of the nodes that this one knows.
    pub quorum: Quorum,
    /// How long it may take. Default: the node's [`Limits::call_timeout`](crate::Limits::call_timeout), 5 s unless it
    /// was set. Nodes do not vote in their first [`Limits::lease`](crate::Limits::lease), 3 s.
    pub deadline: Option<Duration>,
    /// What becomes of the process if it loses the name.
    pub on_loss: OnLoss,
}

/// What becomes of a process that loses a confirmed name, because its node does not reach a majority any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnLoss {
    /// It receives [`Received::NameLost`].
    #[default]
    Notify,
    /// It is killed.
    Kill,
}

/// Why a name was not confirmed. The process does not hold it, and votes that it had are given back.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfirmNameError {
    /// Another process holds the name, or is about to.
    #[error("the name is taken by a process of \"{node}\"")]
    Taken {
        /// The node of that process.
        node: String,
    },
    /// By the deadline, fewer nodes than it takes had granted the name: this node is on the side of a minority, or most
    /// of the others started less than a lease ago. Try again once it is linked with more of them.
    #[error("{granted} nodes of the {needed} that it takes confirmed the name by the deadline")]
    NoQuorum {
        /// Nodes that had granted it at last, this one among them.
        granted: usize,
        /// How many it takes.
        needed: usize,
    },
    /// This node has as many global names, and memberships of groups, as others take of one node.
    #[error("this node has {max} global names and memberships already, as many as others take of one")]
    TooMany {
        /// The bound: [`Limits::names_per_peer_max`](crate::Limits::names_per_peer_max).
        max: usize,
    },
    /// The process is not alive, not of this node, or has ended meanwhile.
    #[error("no such process on this node")]
    NoProc,
    /// The node was shut down.
    #[error("this node was shut down")]
    Shutdown,
    /// The text is no process name.
    #[error(transparent)]
    BadName(#[from] ParseIdError),
}

impl From<regatta_proto::host::ConfirmError> for ConfirmNameError {
    fn from(error: regatta_proto::host::ConfirmError) -> Self {
        use regatta_proto::host::ConfirmError;
        match error {
            ConfirmError::Taken(owner) => Self::Taken { node: owner.node.to_string() },
            ConfirmError::NoQuorum { granted, needed } => Self::NoQuorum { granted, needed },
            ConfirmError::TooMany { max } => Self::TooMany { max },
            ConfirmError::NoProc => Self::NoProc,
            _ => Self::Shutdown,
        }
    }
}

impl ClusterNode {
    /// Registers a process of this node under a global name once a majority of the nodes has confirmed that nobody else
    /// holds it. From then on the process holds the name for as long as a majority goes on to confirm that, which the
    /// node asks for four times in each [`Limits::lease`](crate::Limits::lease). So two processes never hold it at the
    /// same time, in a split cluster either: on the side of a minority nobody gets it, and a process there loses it
    /// before the others may give it away.
    ///
    /// The token is higher than those of all earlier holders. A process that stood still (a stopped or swapped machine)
    /// may go on to believe that it holds the name; what it writes to can tell by the token that it does not.
    ///
    /// A call that is given up before its end leaves nothing behind.
    ///
    /// ```
    /// use regatta::cluster::ConfirmName;
    /// # use regatta::{ClusterNode, Identity, Limits, Runtime};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let id = Identity::generate()?;
    /// # let limits = Limits { lease: std::time::Duration::from_millis(100), ..Limits::default() };
    /// # let builder = ClusterNode::builder("london", Runtime::new(), &id).limits(limits);
    /// # let london = builder.bind("127.0.0.1:0".parse()?)?;
    /// let leader = london.runtime().spawn(|_| std::future::pending::<()>());
    /// let token = london.register_global_confirmed("leader", leader.pid(), ConfirmName::default()).await?;
    /// assert_eq!(london.fencing_token("leader"), Some(token));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ConfirmNameError`], by the deadline; nothing was changed then.
    pub async fn register_global_confirmed(
        &self,
        name: impl Into<String>,
        pid: Pid,
        options: ConfirmName,
    ) -> Result<FencingToken, ConfirmNameError> {
        let name = Name::new(name.into())?;
        if pid.incarnation() != self.id().incarnation {
            return Err(ConfirmNameError::NoProc);
        }
        self.core_handle().register_confirmed(name, pid, options).await
    }

    /// The token under which the global name is held, as this node sees it; none if nobody holds it, or no majority was
    /// asked to confirm that.
    #[must_use]
    pub fn fencing_token(&self, name: &str) -> Option<FencingToken> {
        self.core_handle().names.read().get(name).and_then(|owner| owner.token)
    }
}

impl Core {
    pub(crate) async fn register_confirmed(
        self: &Arc<Self>,
        name: Name,
        pid: Pid,
        options: ConfirmName,
    ) -> Result<FencingToken, ConfirmNameError> {
        let ConfirmName { quorum, deadline, on_loss } = options;
        // Tracked first: from here on its end withdraws whatever it holds.
        if !self.runtime.track(pid) {
            return Err(ConfirmNameError::NoProc);
        }
        self.runtime.register(name.as_str(), pid).map_err(|error| match error {
            RegisterError::Taken { .. } => ConfirmNameError::Taken { node: self.id.name.to_string() },
            _ => ConfirmNameError::NoProc,
        })?;
        let call = self.number();
        let (done, outcome) = oneshot::channel();
        self.confirms.lock().insert(call, done);
        let mut attempt = Attempting { core: self, call, name: &name, pid, confirmed: false };
        let wish = Confirm {
            call,
            name: name.clone(),
            serial: pid.serial(),
            quorum,
            policy: match on_loss {
                OnLoss::Notify => ConflictPolicy::NotifyLoser,
                OnLoss::Kill => ConflictPolicy::KillLoser,
            },
            deadline: deadline.unwrap_or(self.call_timeout),
        };
        self.with_engine(|now, engine, host| engine.confirm(now, wish, host));
        // If it ended meanwhile, its end may have been handled before there was an attempt to give up.
        if !self.runtime.is_alive(pid) {
            return Err(ConfirmNameError::NoProc);
        }
        let token = outcome.await.unwrap_or(Err(regatta_proto::host::ConfirmError::Shutdown))?;
        attempt.confirmed = true;
        Ok(token)
    }

    /// No majority confirms a name of a local process any more: the claim has been withdrawn.
    pub(crate) fn name_unconfirmed(
        &self,
        name: &Name,
        serial: u64,
        token: FencingToken,
        policy: ConflictPolicy,
    ) {
        let pid = Pid::new(self.id.incarnation, serial);
        tracing::warn!(node = %self.id.name, %name, %pid, %token, "no majority confirms a global name any more");
        self.runtime.unregister(name.as_str(), pid);
        if policy == ConflictPolicy::KillLoser {
            self.runtime.exit_from(self.runtime.node_pid(), pid, ExitReason::Killed);
        } else {
            self.runtime.notify(pid, Received::NameLost { name: name.clone(), token });
        }
    }
}

/// An attempt that is under way: unless it ends well, whatever came of it is given up.
struct Attempting<'a> {
    core: &'a Arc<Core>,
    call: u64,
    name: &'a Name,
    pid: Pid,
    confirmed: bool,
}

impl fmt::Debug for Attempting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempting").field("name", self.name).field("pid", &self.pid).finish_non_exhaustive()
    }
}

impl Drop for Attempting<'_> {
    fn drop(&mut self) {
        self.core.confirms.lock().remove(&self.call);
        if !self.confirmed {
            let (name, serial) = (self.name.as_str(), self.pid.serial());
            self.core.with_engine(|now, engine, host| engine.unregister(now, name, serial, host));
            self.core.runtime.unregister(name, self.pid);
        }
    }
}
