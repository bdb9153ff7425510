//! What is supervised, and how.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use regatta_proto::id::Pid;
use serde::{Deserialize, Serialize};

use super::run::Supervisor;
use crate::actor::{Context, IntoExit, SpawnOptions};
use crate::server::{Server, ServerOptions, StartError};

/// Who else is started again when a child is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Strategy {
    /// Nobody: each child stands for itself.
    #[default]
    OneForOne,
    /// All children.
    OneForAll,
    /// Those that were started after it.
    RestForOne,
    /// Nobody. Children come and go while the supervisor runs, however many: they are known by their pids, their ids need not
    /// differ, none is remembered after its end, and all are stopped at once.
    Dynamic,
}

/// Whether a child is started again after its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Restart {
    /// Always.
    #[default]
    Permanent,
    /// Unless it ended in an orderly way: with `Normal` or `Shutdown`.
    Transient,
    /// Never. It is forgotten after its end.
    Temporary,
}

/// How a child is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Shutdown {
    /// It is killed.
    Kill,
    /// It is asked to end with `Shutdown`, and killed if it has not ended after this time.
    After(Duration),
    /// It is asked to end with `Shutdown`, and waited for. For supervisors, which bound the wait themselves.
    Infinity,
}

/// What a child is, for those who look at the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum ChildKind {
    /// It supervises nobody.
    #[default]
    Worker,
    /// It is a supervisor itself.
    Supervisor,
}

type Starting<'a> = Pin<Box<dyn Future<Output = Result<Pid, StartError>> + Send + 'a>>;

/// One child: how it is started, restarted and stopped.
#[derive(Clone)]
pub struct ChildSpec {
    pub(super) id: String,
    pub(super) restart: Restart,
    pub(super) shutdown: Shutdown,
    pub(super) kind: ChildKind,
    pub(super) start: Arc<dyn for<'a> Fn(&'a Context) -> Starting<'a> + Send + Sync>,
}

impl ChildSpec {
    /// A process with this body, made anew at each start.
    pub fn process<B, F>(id: impl Into<String>, body: B) -> Self
    where
        B: Fn(Context) -> F + Clone + Send + Sync + 'static,
        F: Future<Output: IntoExit> + Send + 'static,
    {
        let id = id.into();
        let label = id.clone();
        Self::started_by(id, move |ctx| {
            let options = SpawnOptions {
                label: Some(label.clone()),
                link: Some(ctx.pid()),
                parent: Some(ctx.pid()),
                ..SpawnOptions::default()
            };
            let child = ctx.runtime().spawn_with(options, body.clone());
            Box::pin(async move { Ok(child.pid()) })
        })
    }

    /// A server, started with `args` anew each time.
    pub fn server<S: Server>(
        id: impl Into<String>,
        options: ServerOptions,
        args: impl Fn() -> S::Args + Send + Sync + 'static,
    ) -> Self {
        Self::started_by(id, move |ctx| {
            let (options, args) = (options.clone(), args());
            Box::pin(async move {
                let server = ctx.start_link_with::<S>(options, args).await?;
                Ok(server.to_pid().expect("a server that was started is known by its pid"))
            })
        })
    }

    /// A supervisor below this one.
    pub fn supervisor(id: impl Into<String>, spec: SupervisorSpec) -> Self {
        let id = id.into();
        let options = ServerOptions { label: Some(id.clone()), ..ServerOptions::default() };
        let child = Self::server::<Supervisor>(id, options, move || spec.clone());
        Self { kind: ChildKind::Supervisor, shutdown: Shutdown::Infinity, ..child }
    }

    /// Whatever `start` starts, here or on another node. It must be linked to the supervisor, whose context `start` is given,
    /// before its pid is given back.
    pub fn started_by(
        id: impl Into<String>,
        start: impl for<'a> Fn(&'a Context) -> Starting<'a> + Send + Sync + 'static,
    ) -> Self {
        Self {
            id: id.into(),
            restart: Restart::default(),
            shutdown: Shutdown::After(SHUTDOWN_TIMEOUT),
            kind: ChildKind::default(),
            start: Arc::new(start),
        }
    }

    /// Whether it is started again; by default always.
    #[must_use]
    pub fn restart(self, restart: Restart) -> Self {
        Self { restart, ..self }
    }

    /// How it is stopped; by default within five seconds, and a supervisor however long that takes.
    #[must_use]
    pub fn shutdown(self, shutdown: Shutdown) -> Self {
        Self { shutdown, ..self }
    }
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec")
            .field("id", &self.id)
            .field("restart", &self.restart)
            .field("shutdown", &self.shutdown)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// One supervisor: its strategy, how often is too often, and its first children.
#[derive(Debug, Clone, Default)]
pub struct SupervisorSpec {
    pub(super) strategy: Strategy,
    pub(super) restarts_max: Option<u32>,
    pub(super) within: Option<Duration>,
    pub(super) children: Vec<ChildSpec>,
}

impl SupervisorSpec {
    /// A supervisor without children yet, that gives up at the second restart within five seconds.
    #[must_use]
    pub fn new(strategy: Strategy) -> Self {
        Self { strategy, ..Self::default() }
    }

    /// At most `restarts_max` restarts `within` a time: at the next one the supervisor stops all children and ends with
    /// `Shutdown`.
    #[must_use]
    pub fn intensity(self, restarts_max: u32, within: Duration) -> Self {
        Self { restarts_max: Some(restarts_max), within: Some(within), ..self }
    }

    /// One more child, started after those before.
    #[must_use]
    pub fn child(mut self, child: ChildSpec) -> Self {
        self.children.push(child);
        self
    }
}

/// How long a child may take to end, unless it says otherwise (as OTP's).
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
