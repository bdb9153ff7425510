//! What a step does.

use std::time::Duration;

use super::fault::{Fault, Target};
use super::model::View;
use crate::condition::Condition;

/// How long a step may take when the file does not say.
pub const STEP_WITHIN_DEFAULT: Duration = Duration::from_secs(10);

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its id, when other parts of the file refer to it.
    pub id: Option<String>,
    /// Its line in the file, from 1.
    pub line: usize,
    /// When the step is given up, counted from its start. The run fails then.
    pub within: Duration,
    /// What is done.
    pub action: Action,
}

/// Whom a message, link or exit is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// The holder of a global name, looked up on the acting node at that moment.
    Global(String),
    /// The process with this label.
    Label(String),
    /// The holder of a local name.
    Local {
        /// The name.
        name: String,
        /// The node.
        node: String,
    },
}

/// Who acts: a process of the scenario, or the process that the harness keeps on each node for that purpose.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Actor {
    /// The harness's own process on this node; its label in observations is the node's name.
    Node(String),
    /// The process with this label.
    Process(String),
}

/// What a step does. Nodes are written out: a group's name stands for all of its nodes, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Starts nodes that are not running.
    Start {
        /// Which.
        nodes: Vec<String>,
    },
    /// Ends nodes in an orderly way: their peers are told.
    Stop {
        /// Which.
        nodes: Target,
    },
    /// Ends nodes without a word.
    Kill {
        /// Which.
        nodes: Target,
    },
    /// Holds nodes still; their sockets stay open.
    Pause {
        /// Which.
        nodes: Target,
    },
    /// Lets paused nodes go on.
    Resume {
        /// Which.
        nodes: Target,
    },
    /// Starts nodes again, with a new incarnation and with their processes.
    Restart {
        /// Which.
        nodes: Target,
    },
    /// Spawns a process from a factory of another node (or of the same one).
    Spawn(Spawn),
    /// Sends messages; done when the last one is accepted.
    Send {
        /// The sender.
        from: Actor,
        /// The receiver.
        to: Address,
        /// How many.
        messages: u64,
        /// The size of each body, in bytes.
        payload: u64,
    },
    /// Sends a request and waits for its reply.
    Call {
        /// The caller.
        from: Actor,
        /// The process that answers.
        to: Address,
        /// The size of the request's body, in bytes.
        payload: u64,
        /// How it must end.
        expect: CallResult,
    },
    /// Gives a process a name.
    Register {
        /// The process.
        process: String,
        /// The name.
        name: ScopedName,
    },
    /// Takes a name back.
    Unregister {
        /// The process that holds it.
        process: String,
        /// The name.
        name: ScopedName,
    },
    /// A process enters a group.
    Join {
        /// The process.
        process: String,
        /// The group.
        group: String,
    },
    /// A process leaves a group.
    Leave {
        /// The process.
        process: String,
        /// The group.
        group: String,
    },
    /// Links two processes.
    Link {
        /// Who links.
        from: Actor,
        /// To whom.
        to: Address,
    },
    /// Watches a process.
    Monitor {
        /// Who watches.
        from: Actor,
        /// Whom.
        to: Address,
    },
    /// Asks a process to end.
    Exit {
        /// Who asks; the process's own node when absent.
        from: Option<Actor>,
        /// Whom.
        to: Address,
        /// The reason: `normal`, `killed`, `shutdown`, or the program's own text.
        reason: String,
    },
    /// Looks into a running node as an operator does.
    Attach {
        /// The node that attaches; an operator of its own when absent.
        from: Option<String>,
        /// The node that is looked into.
        to: String,
        /// What is asked.
        query: AttachQuery,
        /// What the answer must hold: a label or name for each entry.
        expect: Vec<String>,
    },
    /// Waits until the condition holds.
    Await(Condition),
    /// Waits until every step so far has ended on every node.
    Barrier,
    /// Begins a fault; it stays until it is healed.
    Fault(Fault),
    /// Ends faults.
    Heal(Heal),
    /// Dials a node explicitly.
    Connect {
        /// Who dials.
        from: String,
        /// Whom; the node itself is allowed, and must be refused.
        to: String,
        /// Whether the dial must be refused.
        refused: bool,
    },
    /// Issues a fresh certificate to nodes and swaps it in.
    Rotate {
        /// Which.
        nodes: Vec<String>,
    },
    /// Revokes the certificates of nodes.
    Revoke {
        /// Which.
        nodes: Vec<String>,
    },
    /// Runs these loads at the same time, and waits for the last.
    Load {
        /// Their ids.
        loads: Vec<String>,
    },
    /// Compares a view with its accepted text, which has the name of the step's id.
    Snapshot {
        /// The view.
        view: View,
    },
    /// Lets time pass. An `await` is nearly always the better step.
    Sleep(Duration),
}

/// A remote (or local) spawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Spawn {
    /// Who asks.
    pub from: Actor,
    /// The node that runs the process.
    pub on: String,
    /// The factory, known on that node.
    pub factory: String,
    /// What the process is called in the scenario.
    pub label: String,
    /// Its name on its node.
    pub name: Option<String>,
    /// Its name in the cluster.
    pub global: Option<String>,
    /// What the factory is given.
    pub args: Option<serde_json::Value>,
    /// Whether the asker is linked to it.
    pub link: bool,
    /// Whether the asker watches it.
    pub monitor: bool,
    /// Whether the spawn must be refused.
    pub refused: bool,
}

/// A name and where it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScopedName {
    /// On the process's node.
    Local(String),
    /// In the cluster.
    Global(String),
}

/// How a call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallResult {
    /// With a reply.
    Reply,
    /// At its deadline.
    Timeout,
    /// There is no such process.
    NoProc,
    /// The node cannot be reached.
    NoConnection,
}

impl CallResult {
    /// Every way, as files name it.
    pub const ALL: [(&'static str, Self); 4] = [
        ("reply", Self::Reply),
        ("timeout", Self::Timeout),
        ("no-proc", Self::NoProc),
        ("no-connection", Self::NoConnection),
    ];
}

/// What an attach asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttachQuery {
    /// A list of one kind of thing.
    List(AttachList),
    /// A command line of the operators' prompt.
    Run(String),
}

/// What can be listed through an attach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachList {
    /// The node's processes.
    Processes,
    /// The global names that it knows.
    Names,
    /// The nodes that it is linked with.
    Peers,
}

impl AttachList {
    /// Every kind, as files name it.
    pub const ALL: [(&'static str, Self); 3] =
        [("processes", Self::Processes), ("names", Self::Names), ("peers", Self::Peers)];
}

/// Which faults end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heal {
    /// All; the step fails if one is left.
    All,
    /// Those with these ids.
    Ids(Vec<String>),
}

impl Action {
    /// The verbs, in the order in which the documentation lists them.
    pub const VERBS: [&'static str; 27] = [
        "start", "stop", "kill", "pause", "resume", "restart", "spawn", "send", "call", "register", "unregister",
        "join", "leave", "link", "monitor", "exit", "attach", "await", "barrier", "fault", "heal", "connect",
        "rotate", "revoke", "load", "snapshot", "sleep",
    ];

    /// The key that the file uses for it.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Stop { .. } => "stop",
            Self::Kill { .. } => "kill",
            Self::Pause { .. } => "pause",
            Self::Resume { .. } => "resume",
            Self::Restart { .. } => "restart",
            Self::Spawn(_) => "spawn",
            Self::Send { .. } => "send",
            Self::Call { .. } => "call",
            Self::Register { .. } => "register",
            Self::Unregister { .. } => "unregister",
            Self::Join { .. } => "join",
            Self::Leave { .. } => "leave",
            Self::Link { .. } => "link",
            Self::Monitor { .. } => "monitor",
            Self::Exit { .. } => "exit",
            Self::Attach { .. } => "attach",
            Self::Await(_) => "await",
            Self::Barrier => "barrier",
            Self::Fault(_) => "fault",
            Self::Heal(_) => "heal",
            Self::Connect { .. } => "connect",
            Self::Rotate { .. } => "rotate",
            Self::Revoke { .. } => "revoke",
            Self::Load { .. } => "load",
            Self::Snapshot { .. } => "snapshot",
            Self::Sleep(_) => "sleep",
        }
    }
}
