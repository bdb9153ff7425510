//! Asking and changing a supervisor, from anywhere: it is a server.

use std::fmt;

use regatta_proto::id::Pid;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::run::Supervisor;
use super::spec::{ChildKind, ChildSpec, Restart};
use crate::actor::Runtime;
use crate::server::{CallError, LocalOnly, ServerRef, StartError};

/// What a supervisor can be asked.
#[derive(Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Order {
    /// Its children, in the order of their start.
    Which,
    /// How many it has.
    Count,
    /// Start one more, behind the others. On the supervisor's node alone: a spec holds code.
    Start(LocalOnly<ChildSpec>),
    /// Start a stopped child again.
    Restart(String),
    /// Stop the child with this id.
    Terminate(String),
    /// Stop the child that is this process.
    TerminatePid(Pid),
    /// Forget a stopped child.
    Delete(String),
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Outcome {
    /// To [`Order::Which`].
    Children(Vec<ChildInfo>),
    /// To [`Order::Count`].
    Counts(Counts),
    /// A child was started.
    Started(Pid),
    /// It was done.
    Done,
    /// It was not done.
    Refused(Refused),
}

/// One child.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildInfo {
    /// Its id.
    pub id: String,
    /// Where it is in its life.
    pub state: ChildState,
    /// Whether it is a supervisor.
    pub kind: ChildKind,
    /// Whether it is started again.
    pub restart: Restart,
}

impl ChildInfo {
    /// Its process, if it runs.
    #[must_use]
    pub const fn pid(&self) -> Option<Pid> {
        if let ChildState::Running(pid) = self.state { Some(pid) } else { None }
    }
}

/// Where a child is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ChildState {
    /// It is this process.
    Running(Pid),
    /// Its start has failed and is tried again.
    Restarting,
    /// It has ended or was stopped.
    Stopped,
}

/// How many children a supervisor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Counts {
    /// All that it knows.
    pub specs: u64,
    /// Those that run.
    pub active: u64,
    /// Those that are supervisors, running or not.
    pub supervisors: u64,
    /// Those that are not.
    pub workers: u64,
}

/// Why a supervisor did not do what it was asked. Its children are as they were.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Refused {
    /// It has no such child.
    #[error("no such child")]
    NotFound,
    /// A child with this id runs.
    #[error("a child with this id runs already: {0}")]
    Running(Pid),
    /// A child with this id is being restarted.
    #[error("a child with this id is being restarted")]
    Restarting,
    /// A child with this id was stopped; restart or delete it.
    #[error("a child with this id is there already, and does not run")]
    Present,
    /// The child did not start.
    #[error(transparent)]
    Start(StartError),
}

/// Why a supervisor has not done what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ControlError {
    /// The supervisor was not reached, or has not answered.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It refused.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It answered something else: it is of another version.
    #[error("the supervisor answered something else")]
    BadAnswer,
}

impl ServerRef<Supervisor> {
    /// Its children, in the order of their start.
    ///
    /// # Errors
    /// [`ControlError::Call`].
    pub async fn which_children(&self, rt: &Runtime) -> Result<Vec<ChildInfo>, ControlError> {
        match rt.call(self, Order::Which).await? {
            Outcome::Children(children) => Ok(children),
            other => Err(other.error()),
        }
    }

    /// How many children it has.
    ///
    /// # Errors
    /// [`ControlError::Call`].
    pub async fn count_children(&self, rt: &Runtime) -> Result<Counts, ControlError> {
        match rt.call(self, Order::Count).await? {
            Outcome::Counts(counts) => Ok(counts),
            other => Err(other.error()),
        }
    }

    /// Starts one more child, behind the others. The supervisor must be on this node.
    ///
    /// # Errors
    /// [`ControlError`]; a child that did not start is not kept.
    pub async fn start_child(&self, rt: &Runtime, child: ChildSpec) -> Result<Pid, ControlError> {
        started(rt.call(self, Order::Start(LocalOnly(child))).await?)
    }

    /// Starts a stopped child again.
    ///
    /// # Errors
    /// [`ControlError`]; the child is then as it was.
    pub async fn restart_child(&self, rt: &Runtime, id: impl Into<String>) -> Result<Pid, ControlError> {
        started(rt.call(self, Order::Restart(id.into())).await?)
    }

    /// Stops a child, as its spec says. It stays known, unless it is temporary; it is not started again by itself.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn terminate_child(&self, rt: &Runtime, id: impl Into<String>) -> Result<(), ControlError> {
        done(rt.call(self, Order::Terminate(id.into())).await?)
    }

    /// Stops the child that is this process: the only way with [`Strategy::Dynamic`](super::Strategy::Dynamic).
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn terminate_child_pid(&self, rt: &Runtime, pid: Pid) -> Result<(), ControlError> {
        done(rt.call(self, Order::TerminatePid(pid)).await?)
    }

    /// Forgets a stopped child.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn delete_child(&self, rt: &Runtime, id: impl Into<String>) -> Result<(), ControlError> {
        done(rt.call(self, Order::Delete(id.into())).await?)
    }
}

impl Outcome {
    fn error(self) -> ControlError {
        match self {
            Self::Refused(refused) => refused.into(),
            _ => ControlError::BadAnswer,
        }
    }
}

fn started(outcome: Outcome) -> Result<Pid, ControlError> {
    match outcome {
        Outcome::Started(pid) => Ok(pid),
        other => Err(other.error()),
    }
}

fn done(outcome: Outcome) -> Result<(), ControlError> {
    match outcome {
        Outcome::Done => Ok(()),
        other => Err(other.error()),
    }
}

impl fmt::Display for ChildState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running(pid) => pid.fmt(f),
            Self::Restarting => f.write_str("restarting"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}
