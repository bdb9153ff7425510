//! What the processes of a scenario do: the built-in behaviours, and those that a user's crate adds.

mod body;
mod caller;
pub(crate) mod exchange;
mod finder;
mod linker;
pub mod message;
mod names;
mod register;
mod scene;
mod supervisor;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use regatta::{ClusterNode, Context, Pid, Runtime};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::expect::history::{self, Checker, History};
use crate::scenario::Vocabulary;

use body::NoReply;
pub use body::{Inbox, NothingCame};
pub use scene::{Job, Scene, Tally};

/// How the label of the harness's own processes begins; observations leave them out.
pub const OWN_LABEL: &str = "regatta/";

/// The behaviour that finds names.
pub(crate) const FINDER: &str = "finder";

/// What a behaviour is started with.
#[derive(Debug, Clone)]
pub struct Setup {
    /// What the scenario calls the process.
    pub label: String,
    /// Its arguments; null when there are none.
    pub args: Value,
    /// The node that it runs on.
    pub node: String,
    /// The run's seed.
    pub seed: u64,
    /// What the run shares.
    pub scene: Arc<Scene>,
}

/// A process as arguments name it: a label, a global name, or `name@node`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    /// A label or a global name.
    Called(String),
    /// A local name and its node.
    Local(String, String),
}

impl Whom {
    /// Reads `svc/echo` or `inbox@n2`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.rsplit_once('@') {
            Some((name, node)) => Self::Local(name.to_owned(), node.to_owned()),
            None => Self::Called(text.to_owned()),
        }
    }
}

impl Setup {
    /// An argument that is a number; `otherwise` when it is not there.
    #[must_use]
    pub fn number(&self, key: &str, otherwise: u64) -> u64 {
        self.args.get(key).and_then(Value::as_u64).unwrap_or(otherwise)
    }

    /// An argument that is a text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.args.get(key).and_then(Value::as_str)
    }

    /// The process that is meant, as this node sees the cluster now.
    #[must_use]
    pub fn resolve(&self, whom: &Whom) -> Option<Pid> {
        match whom {
            Whom::Called(name) => self
                .scene
                .pid(name)
                .or_else(|| self.scene.node(&self.node).and_then(|node| node.whereis_global_pid(name))),
            Whom::Local(name, node) if *node == self.node => self.scene.node(node)?.runtime().whereis(name),
            Whom::Local(name, node) => self.scene.local(name, node),
        }
    }
}

type Start = Arc<dyn Fn(&Runtime, Setup) -> Pid + Send + Sync>;

/// All behaviours that a run knows, and all checkers of its history.
#[derive(Clone)]
pub struct Behaviours {
    all: BTreeMap<String, Start>,
    checkers: BTreeMap<String, Checker>,
    /// What is not built in.
    own: Vocabulary,
}

impl Default for Behaviours {
    fn default() -> Self {
        let mut all =
            Self { all: BTreeMap::new(), checkers: history::built_in(), own: Vocabulary::default() };
        all.add("echo", body::echo);
        all.add("counter", |inbox, _| body::counter(inbox));
        all.add("sink", |inbox, _| body::sink(inbox));
        all.add("relay", body::relay);
        all.add("ticker", body::ticker);
        all.add("linker", linker::linker);
        all.add("register", |inbox, _| register::register(inbox));
        all.add("client", register::client);
        all.add("caller", caller::caller);
        all.add("holder", names::holder);
        all.add("churn", names::churn);
        all.add("unique", names::unique);
        all.add("supervisor", supervisor::supervisor);
        all.add(FINDER, finder::finder);
        all.own = Vocabulary::default();
        all
    }
}

impl Behaviours {
    /// Adds a behaviour, or replaces the one of this name. The body gets its mailbox, verified and counted, and what it
    /// was started with.
    pub fn add<F>(
        &mut self,
        name: impl Into<String>,
        body: impl Fn(Inbox, Setup) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let start = move |runtime: &Runtime, setup: Setup| {
            runtime.spawn(|context: Context| body(Inbox::new(context, &setup), setup)).pid()
        };
        let name = name.into();
        self.own.behaviours.insert(name.clone());
        self.all.insert(name, Arc::new(start));
    }

    /// The names of all behaviours.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all.keys().map(String::as_str)
    }

    /// Adds a checker of histories, or replaces the one of this name: `history = "name"` in an expectation. It says what is
    /// wrong, in a few lines.
    pub fn add_checker(
        &mut self,
        name: impl Into<String>,
        check: impl Fn(&History) -> Result<(), String> + Send + Sync + 'static,
    ) {
        let name = name.into();
        self.own.checkers.insert(name.clone());
        self.checkers.insert(name, Arc::new(check));
    }

    /// The checker of this name.
    #[must_use]
    pub fn checker(&self, name: &str) -> Option<&Checker> {
        self.checkers.get(name)
    }

    /// The words that these behaviours and checkers add to scenario files; none of those that are built in.
    #[must_use]
    pub fn vocabulary(&self) -> Vocabulary {
        self.own.clone()
    }

    /// Starts a process; `None` for a behaviour that nobody added.
    #[must_use]
    pub fn start(&self, behaviour: &str, runtime: &Runtime, setup: Setup) -> Option<Pid> {
        Some(self.all.get(behaviour)?(runtime, setup))
    }

    /// Teaches a node every behaviour as a factory.
    pub(crate) fn teach(&self, name_in_scene: &str, node: &ClusterNode, seed: u64, scene: &Arc<Scene>) {
        for (name, start) in &self.all {
            let (start, scene, on) = (start.clone(), scene.clone(), name_in_scene.to_owned());
            node.register_spawnable(name, move |runtime, bytes| {
                let order: Order = serde_json::from_slice(&bytes).unwrap_or_default();
                let setup = Setup {
                    label: order.label,
                    args: order.args,
                    node: on.clone(),
                    seed,
                    scene: scene.clone(),
                };
                start(runtime, setup)
            });
        }
    }
}

impl fmt::Debug for Behaviours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.all.keys()).finish()
    }
}

/// What travels to a factory.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) label: String,
    pub(crate) args: Value,
}

/// Starts the harness's own process on a node. In observations it has the node's name.
pub(crate) fn start_control(runtime: &Runtime, node: &str, scene: &Arc<Scene>) -> Pid {
    let setup = Setup {
        label: node.to_owned(),
        args: Value::Null,
        node: node.to_owned(),
        seed: 0,
        scene: scene.clone(),
    };
    let handle = runtime.spawn(|context| {
        let inbox = Inbox::new(context, &setup);
        inbox.context.set_label(format!("{OWN_LABEL}control"));
        body::control(inbox)
    });
    handle.pid()
}
