//! Starting and stopping a server.

use std::any::type_name;

use regatta_proto::id::Pid;
use regatta_proto::reason::ExitReason;
use tokio::sync::oneshot;

use super::reference::ServerRef;
use super::run::{self, Stop};
use super::{Server, StartError};
use crate::actor::cell::SERVES;
use crate::actor::letter::Posted;
use crate::actor::{Context, MailboxLimits, ProcessHandle, Runtime, SendError, SpawnOptions};

/// How a server starts.
#[derive(Debug, Clone, Default)]
pub struct ServerOptions {
    /// A local name that it takes before its `init`.
    pub name: Option<String>,
    /// What it is, for people who look at it; by default the name of its type.
    pub label: Option<String>,
    /// Bounds of its mailbox other than the runtime's.
    pub mailbox: Option<MailboxLimits>,
}

impl ServerOptions {
    /// Options with this local name.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..Self::default() }
    }
}

impl Runtime {
    /// Starts a server, and waits until its `init` is over. If the wait is given up, the server starts all the same.
    ///
    /// # Errors
    /// [`StartError`]; its process has ended.
    pub async fn start<S: Server>(&self, args: S::Args) -> Result<ServerRef<S>, StartError> {
        self.start_with(ServerOptions::default(), args).await
    }

    /// [`Runtime::start`] with a name, a label, bounds.
    ///
    /// # Errors
    /// As [`Runtime::start`].
    pub async fn start_with<S: Server>(
        &self,
        options: ServerOptions,
        args: S::Args,
    ) -> Result<ServerRef<S>, StartError> {
        let process = self.start_process::<S>(options, SpawnOptions::default(), args).await?;
        Ok(ServerRef::pid(process.pid()))
    }

    pub(crate) async fn start_process<S: Server>(
        &self,
        options: ServerOptions,
        spawn: SpawnOptions,
        args: S::Args,
    ) -> Result<ProcessHandle, StartError> {
        let ServerOptions { name, label, mailbox } = options;
        let (started, start) = oneshot::channel();
        let label = Some(label.unwrap_or_else(|| type_name::<S>().to_owned()));
        let spawn = SpawnOptions { label, mailbox, ..spawn };
        let process =
            self.launch(spawn, SERVES, type_name::<S>, |ctx| run::serve::<S>(ctx, args, name, started));
        match start.await {
            Ok(Ok(())) => Ok(process),
            Ok(Err(error)) => Err(error),
            // Ended from outside before it could say anything.
            Err(_) => Err(StartError::Init(process.join().await)),
        }
    }

    /// Asks a server of this node to end with `reason` once it has handled what it was asked before, and waits for its end.
    /// Its `terminate` runs whether it traps exits or not.
    ///
    /// # Errors
    /// [`SendError::NoProc`] if it is not alive here, or no server; [`SendError::MailboxFull`]. Nothing was done.
    pub async fn stop<S: Server>(
        &self,
        server: &ServerRef<S>,
        reason: ExitReason,
    ) -> Result<ExitReason, SendError> {
        let cell = self.find_server(server).filter(|cell| cell.has(SERVES)).ok_or(SendError::NoProc)?;
        let posted = cell.post(Posted::new(std::sync::Arc::new(Stop(reason))));
        posted.map_err(|(error, _)| error)?;
        Ok(ProcessHandle { cell }.join().await)
    }

    /// The process of this runtime that the pid names, as its spawner has it.
    #[must_use]
    pub fn process(&self, pid: Pid) -> Option<ProcessHandle> {
        self.local(pid).map(|cell| ProcessHandle { cell })
    }
}

impl Context {
    /// Starts a server with this process as its parent, and waits until its `init` is over.
    ///
    /// # Errors
    /// As [`Runtime::start`].
    pub async fn start<S: Server>(&self, args: S::Args) -> Result<ServerRef<S>, StartError> {
        let spawn = SpawnOptions { parent: Some(self.pid()), ..SpawnOptions::default() };
        let process = self.runtime().start_process::<S>(ServerOptions::default(), spawn, args).await?;
        Ok(ServerRef::pid(process.pid()))
    }

    /// Starts a server that is linked to this process from its first moment. If its `init` fails, the error says so, and the
    /// link does not fire.
    ///
    /// # Errors
    /// As [`Runtime::start`].
    pub async fn start_link<S: Server>(&self, args: S::Args) -> Result<ServerRef<S>, StartError> {
        self.start_link_with(ServerOptions::default(), args).await
    }

    /// [`Context::start_link`] with a name, a label, bounds.
    ///
    /// # Errors
    /// As [`Runtime::start`].
    pub async fn start_link_with<S: Server>(
        &self,
        options: ServerOptions,
        args: S::Args,
    ) -> Result<ServerRef<S>, StartError> {
        let (me, rt) = (self.pid(), self.runtime());
        let spawn = SpawnOptions { parent: Some(me), link: Some(me), ..SpawnOptions::default() };
        let process = rt.start_process::<S>(options, spawn, args).await?;
        Ok(ServerRef::pid(process.pid()))
    }
}
