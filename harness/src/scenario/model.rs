//! The checked scenario: what a world runs and a report names.
//!
//! A value of these types has passed every check: each reference names something that exists, each condition compiles,
//! each quantity is in its base unit. What a world cannot run it learns from
//! [`Scenario::needs`](super::Scenario::needs), never by stumbling over it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::action::{Action, Step};
use super::fault::{Fault, NetworkShape};
use super::load::{Gate, Load};
use super::matrix::Cell;
use crate::condition::Condition;

/// The tag that keeps a scenario out of ordinary runs.
pub const LONG_TAG: &str = "long";
/// The tag of scenarios that are long in every world.
pub const HEAVY_TAG: &str = "heavy";

/// How long a scenario may take when its file does not say.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);

/// One cell of one scenario file, checked.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The file, as the caller named it.
    pub file: String,
    /// The file's stem: `registry-partition`.
    pub name: String,
    /// The file's text, so that a report can keep it and another process can read it again.
    pub source: Arc<str>,
    /// The choice of matrix values that this is.
    pub cell: Cell,
    /// Which of the file's cells it is, from 0.
    pub cell_index: usize,
    /// Why the scenario exists and what must come out.
    pub about: String,
    /// What it is about, for filters. `long` keeps it out of ordinary runs.
    pub tags: Vec<String>,
    /// The seed that the file asks for; the command line may override it.
    pub seed: Option<u64>,
    /// When the run as a whole is given up.
    pub timeout: Duration,
    /// The worlds that the file is for; the first is the default. Never empty.
    pub worlds: Vec<World>,
    /// The trust entries by name; `member` is always there.
    pub trust: BTreeMap<String, Trust>,
    /// Every node, `count` written out, in the order in which they start.
    pub nodes: Vec<Node>,
    /// What the network does from the first packet on.
    pub network: NetworkShape,
    /// Processes that run from the start of their node, `count` and groups of nodes written out.
    pub processes: Vec<Process>,
    /// What happens, in order.
    pub steps: Vec<Step>,
    /// Random faults.
    pub nemeses: Vec<Nemesis>,
    /// What must hold.
    pub expectations: Vec<Expectation>,
    /// Views that are compared with an accepted text.
    pub snapshots: Vec<Snapshot>,
    /// Measured traffic.
    pub loads: Vec<Load>,
    /// Bounds on figures.
    pub gates: Vec<Gate>,
}

/// What a point is: what happens or comes to hold at some moment of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
    /// The step with this index is done.
    Step(usize),
    /// The expectation with this index is met.
    Expectation(usize),
    /// The load with this index has ended.
    Load(usize),
}

impl Scenario {
    /// The scenario's name with its cell: `registry-partition[nodes=3,loss=0.02]`.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{}{}", self.name, self.cell)
    }

    /// The place among the nodes of one that stays on one core.
    pub(crate) fn pinned(&self, node: &str) -> Option<usize> {
        let place = self.nodes.iter().position(|one| one.name == node)?;
        self.nodes[place].pin.then_some(place)
    }

    /// How long this node's loop is told to look for more before it sleeps.
    pub(crate) fn spin(&self, node: &str) -> Option<Duration> {
        self.node(node)?.spin
    }

    /// The same, behind the folder of its file: `partition/heal[nodes=3]`.
    #[must_use]
    pub fn full_title(&self) -> String {
        format!("{}{}", self.area_and_name(), self.cell)
    }

    /// The folder of its file and its name, which all cells share: `partition/heal`.
    #[must_use]
    pub fn area_and_name(&self) -> String {
        crate::report::json::qualified(&self.file, &self.name)
    }

    /// Whether it is kept out of ordinary runs in this world. Virtual time passes quickly: what also runs in real time is
    /// long there alone.
    #[must_use]
    pub fn is_long(&self, world: World) -> bool {
        let heavy = self.has_tag(HEAVY_TAG);
        heavy || self.has_tag(LONG_TAG) && (world != World::Sim || self.worlds == [World::Sim])
    }

    /// The point with this id. Every id that the model holds in a `since`, `until`, `from` or `after` has one.
    #[must_use]
    pub fn point(&self, id: &str) -> Option<Point> {
        let step = self.steps.iter().position(|step| step.id.as_deref() == Some(id)).map(Point::Step);
        let expectation = || self.expectations.iter().position(|e| e.id == id).map(Point::Expectation);
        let load = || self.loads.iter().position(|load| load.id == id).map(Point::Load);
        step.or_else(expectation).or_else(load)
    }

    /// The node with this name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// Whether anything goes wrong on purpose, or the network is worse than the world's own.
    #[must_use]
    pub fn has_faults(&self) -> bool {
        let by_step = |step: &Step| matches!(step.action, Action::Fault(_) | Action::Pause { .. });
        self.network.is_shaped() || !self.nemeses.is_empty() || self.steps.iter().any(by_step)
    }

    /// The ids of all faults that steps and nemeses may begin, in order, each once.
    #[must_use]
    pub fn fault_ids(&self) -> Vec<&str> {
        let of_steps = self.steps.iter().filter_map(|step| match &step.action {
            Action::Fault(fault) => fault.id.as_deref(),
            _ => None,
        });
        let of_nemeses =
            self.nemeses.iter().flat_map(|nemesis| nemesis.faults()).filter_map(|fault| fault.id.as_deref());
        let mut ids = Vec::new();
        for id in of_steps.chain(of_nemeses) {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids
    }

    /// Whether the scenario carries this tag.
    #[must_use]
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| own == tag)
    }
}

/// Where a scenario runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum World {
    /// All nodes in one OS process, real UDP on loopback, real time.
    Inproc,
    /// One OS process per node.
    Process,
    /// All nodes in one thread, network and time virtual.
    Sim,
}

impl World {
    /// Every world, the default first.
    pub const ALL: [Self; 3] = [Self::Inproc, Self::Process, Self::Sim];

    /// The word for it in files and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inproc => "inproc",
            Self::Process => "process",
            Self::Sim => "sim",
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for World {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|world| world.name() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::name);
            format!("unknown world `{text}`; {}", crate::diagnostic::suggestion(text, known, "worlds"))
        })
    }
}

/// How a node proves who it is.
#[derive(Debug, Clone, PartialEq)]
pub enum Trust {
    /// A certificate of its own, from a certificate authority made for the run.
    Issued {
        /// The authority's name; nodes trust only their own authority.
        ca: String,
        /// The role written into the certificate.
        role: Option<String>,
        /// How long the certificate is valid from its issue; the runtime's default when absent.
        valid_for: Option<Duration>,
        /// The name that the node announces, when it is not the one its certificate was issued to.
        claims: Option<String>,
    },
    /// One self-signed key that all nodes with the same name here share.
    Shared {
        /// Which key.
        name: String,
    },
}

/// One node of the cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its name, unique in the scenario.
    pub name: String,
    /// The name that its table gave: `n` for `n1` … `n5`, otherwise the name itself.
    pub group: String,
    /// Its entry of [`Scenario::trust`].
    pub trust: String,
    /// When it starts.
    pub start: StartMode,
    /// Whom it dials when it starts.
    pub connect: Connect,
    /// Whether its threads stay on one core, where time is real: the one of its place among the nodes.
    pub pin: bool,
    /// How long its loop looks for more before it sleeps, where time is real; the runtime's default when absent.
    pub spin: Option<Duration>,
    /// Whether it links with every member that it hears of.
    pub connect_all: bool,
    /// Whether it keeps to itself.
    pub hidden: bool,
}

/// When a node starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartMode {
    /// Before the first step.
    Auto,
    /// By a `start` step.
    Manual,
}

/// Whom a node dials when it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connect {
    /// The first node that was started before it, if any.
    First,
    /// Nobody.
    Nobody,
    /// These nodes, in this order.
    To(Vec<String>),
}

/// A process that runs from the start of its node.
///
/// The built-in behaviours: `echo` replies to each message and call with what it got; `counter` counts messages and
/// replies the count to a call; `sink` only receives; `relay` passes every message on to `args.to` (a process as in a
/// step's `to`). All of them verify sequence, size and checksum of what they receive, per sender.
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    /// What steps, loads and reports call it; unique in the scenario.
    pub label: String,
    /// Its node.
    pub on: String,
    /// What it does: a built-in behaviour or one that the user's crate registered.
    pub behaviour: String,
    /// Its name on its node.
    pub name: Option<String>,
    /// Its name in the cluster.
    pub global: Option<String>,
    /// The group that it joins.
    pub group: Option<String>,
    /// What the behaviour is given.
    pub args: Option<serde_json::Value>,
}

/// Random faults between two points.
#[derive(Debug, Clone, PartialEq)]
pub struct Nemesis {
    /// The point at which they begin; the first step when absent.
    pub from: Option<String>,
    /// The point at which they end; the last step when absent.
    pub until: Option<String>,
    /// What it does.
    pub strikes: Strikes,
}

/// When a nemesis strikes, and with what.
#[derive(Debug, Clone, PartialEq)]
pub enum Strikes {
    /// At random.
    Random {
        /// The mean pause between two strikes.
        every: Duration,
        /// How the pauses are spread.
        distribution: Distribution,
        /// What is chosen from, each with the same chance. Never empty.
        faults: Vec<Fault>,
    },
    /// At these times after its beginning, in order. Never empty.
    Listed(Vec<(Duration, Fault)>),
}

impl Nemesis {
    /// Every fault that it may begin.
    pub fn faults(&self) -> Box<dyn Iterator<Item = &Fault> + '_> {
        match &self.strikes {
            Strikes::Random { faults, .. } => Box::new(faults.iter()),
            Strikes::Listed(strikes) => Box::new(strikes.iter().map(|(_, fault)| fault)),
        }
    }
}

/// How random pauses are spread around their mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distribution {
    /// All the same.
    Constant,
    /// Anything from nothing to twice the mean, with the same chance.
    Uniform,
    /// A Poisson process.
    Exponential,
}

/// Something that must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    /// Its id; also the point at which it is met.
    pub id: String,
    /// Its line in the file, from 1.
    pub line: usize,
    /// What must hold, and when.
    pub rule: Rule,
    /// The point from which it counts; the first step when absent.
    pub since: Option<String>,
    /// The point until which it counts; the end of the run when absent.
    pub until: Option<String>,
}

/// When a condition must hold.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// In every observation.
    Always(Condition),
    /// In no observation.
    Never(Condition),
    /// From some observation on, the first of them within the given time after `since`.
    Eventually {
        /// The condition.
        condition: Condition,
        /// The time allowed; what is left of the scenario's timeout when absent.
        within: Option<Duration>,
    },
    /// In at least one observation: the proof that what the scenario provokes took place.
    Sometimes(Condition),
    /// Once, after the last step and load.
    Finally {
        /// The condition.
        condition: Condition,
        /// The point after which it is looked at instead.
        after: Option<String>,
    },
    /// A checker over the recorded history accepts it.
    History {
        /// The checker's name.
        checker: String,
    },
}

impl Rule {
    /// The key that the file uses for it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Always(_) => "always",
            Self::Never(_) => "never",
            Self::Eventually { .. } => "eventually",
            Self::Sometimes(_) => "sometimes",
            Self::Finally { .. } => "finally",
            Self::History { .. } => "history",
        }
    }

    /// The condition, unless a checker judges.
    #[must_use]
    pub const fn condition(&self) -> Option<&Condition> {
        match self {
            Self::Always(condition) | Self::Never(condition) | Self::Sometimes(condition) => Some(condition),
            Self::Eventually { condition, .. } | Self::Finally { condition, .. } => Some(condition),
            Self::History { .. } => None,
        }
    }
}

/// A view of the cluster that is compared with an accepted text.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Its id, and the name of the accepted text.
    pub id: String,
    /// The point after which the view is taken.
    pub after: String,
    /// What is shown.
    pub view: View,
}

/// What a snapshot shows. No view holds an incarnation, serial, address or time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum View {
    /// Global names with their owners, per node.
    Registry,
    /// Members as each node sees them.
    Members,
    /// Processes per node.
    Processes,
}

impl View {
    /// Every view.
    pub const ALL: [Self; 3] = [Self::Registry, Self::Members, Self::Processes];

    /// The word for it in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Members => "members",
            Self::Processes => "processes",
        }
    }
}
