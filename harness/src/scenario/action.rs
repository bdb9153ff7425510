//! What a step does, who acts, what counts as success, and what it waits for.
//!
//! Steps run one after another. A step is done when what its doc comment says has come true; when that takes longer
//! than `within`, or comes out otherwise, the step has failed and so has the run. Each step's way out is observable as
//! `steps.<id>.outcome`: `pending` before it begins, `running`, then `ok`, or the word of its `expect`
//! (`refused`, `timeout`, `no-proc`, `no-connection`) when that is what was asked for and what happened, or `failed`.
//! `steps.<id>.error` is the text of the error, `""` without one.
//!
//! Nodes act through the *control process* that the harness keeps on each running node. It traps exits, so a link that
//! it holds never ends it, and it notes every exit signal and every `Down` that it gets: they are the `downs` of an
//! observation, with the node's name as `watcher`. A process that is watched by another process of the scenario is
//! noted the same way, with that process's label as `watcher`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fault::{Fault, Target};
use super::model::View;
use crate::condition::Condition;

/// How long a step may take when the file does not say.
pub const STEP_WITHIN_DEFAULT: Duration = Duration::from_secs(10);

/// The smallest body of a message of the harness, in bytes: sender, sequence number, length and checksum.
pub const PAYLOAD_BYTES_MIN: u64 = 32;

/// The behaviours that every node knows, as processes and as factories.
pub const BEHAVIOURS: [&str; 13] = [
    "echo",
    "counter",
    "sink",
    "relay",
    "ticker",
    "linker",
    "register",
    "client",
    "caller",
    "holder",
    "churn",
    "unique",
    "supervisor",
];

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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
    /// The control process of this node; its label in observations is the node's name.
    Node(String),
    /// The process with this label.
    Process(String),
}

/// What a step does. Nodes are written out: a group's name stands for all of its nodes, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Starts nodes that are not running, in order. Done when each has its socket, its `[[process]]` entries run and
    /// its dials (see [`Connect`](super::model::Connect)) have been answered, whatever the answer: a refused node is up
    /// as well. Fails when a node runs already.
    Start {
        /// Which.
        nodes: Vec<String>,
    },
    /// Ends nodes in an orderly way: their peers are told. Done when they have ended. Fails when one does not run.
    Stop {
        /// Which.
        nodes: Target,
    },
    /// Ends nodes without a word to anybody. Done when they have ended. Fails when one does not run.
    Kill {
        /// Which.
        nodes: Target,
    },
    /// Holds nodes still; their sockets stay open, unread. Done at once.
    Pause {
        /// Which.
        nodes: Target,
    },
    /// Lets paused nodes go on. Done at once.
    Resume {
        /// Which.
        nodes: Target,
    },
    /// Starts ended nodes again with the same name, a new incarnation and their processes. Done as for `Start`; a node
    /// that still runs is killed first.
    Restart {
        /// Which.
        nodes: Target,
    },
    /// Spawns a process from a factory of another node (or of the same one). Done when the pid is known, the link or
    /// monitor (when asked for) stands, and the names (when asked for) are registered on the new process's node; the
    /// rest of the cluster learns them later.
    Spawn(Spawn),
    /// Sends messages with sequence numbers and checksums. Done when the last one was accepted for sending; their
    /// arrival is a matter for `received`. Fails when a send is refused.
    Send {
        /// The sender. Several senders are processes of their own beside the control process; a process of the
        /// scenario sends itself.
        from: Actor,
        /// The receiver; looked up once, before the first message.
        to: Address,
        /// How many messages each sender sends.
        count: u64,
        /// The size of each body, in bytes; at least 32, which hold the sender, the number and the checksum.
        payload: u64,
        /// How many processes send at the same time; 1 when the sender is a process of the scenario.
        senders: u64,
    },
    /// Sends a request and waits for its reply, which becomes `steps.<id>.reply`: the text of an `echo`, the number of a
    /// `counter`. The call's deadline is the step's `within` (for `expect = "timeout"`, half of it). Done when it ends as
    /// expected; fails when it ends otherwise.
    Call {
        /// The caller.
        from: Actor,
        /// The process that answers.
        to: Address,
        /// The size of the request's body, in bytes; at least 32.
        payload: u64,
        /// How it must end.
        expect: CallResult,
    },
    /// Gives a process a name. Done when its node has accepted it; fails when the name is taken there.
    Register {
        /// The process, by its label.
        process: String,
        /// The name.
        name: ScopedName,
    },
    /// Has a majority confirm a global name of a process. The deadline is the step's `within` (for `expect = "refused"`,
    /// half of it). Done when it ends as expected by then; the fencing token is `steps.<id>.reply`.
    Confirm {
        /// The process, by its label.
        process: String,
        /// The name.
        name: String,
        /// How it must end.
        expect: ConfirmResult,
    },
    /// Takes a name back. Done when the process's node no longer knows it; fails when the process does not hold it.
    Unregister {
        /// The process, by its label.
        process: String,
        /// The name.
        name: ScopedName,
    },
    /// A process enters a group. Done when its node has accepted it.
    Join {
        /// The process, by its label.
        process: String,
        /// The group.
        group: String,
    },
    /// A process leaves a group. Done when its node has accepted it.
    Leave {
        /// The process, by its label.
        process: String,
        /// The group.
        group: String,
    },
    /// Links two processes. Done when the request was sent; a link to a process that is gone gives an exit signal, as
    /// in the runtime.
    Link {
        /// Who links.
        from: Actor,
        /// To whom.
        to: Address,
    },
    /// Watches a process. Done when the request was sent; a monitor of a process that is gone gives a `Down`.
    Monitor {
        /// Who watches.
        from: Actor,
        /// Whom.
        to: Address,
    },
    /// Sends an exit signal. Done when it was sent. With the reason `kill` it cannot be trapped, and the process ends
    /// with the reason `killed`; that is what `kill = { process = … }` writes.
    Exit {
        /// Who sends; the control process of the receiver's node when absent (for a global name, of the first running
        /// node).
        from: Option<Actor>,
        /// To whom.
        to: Address,
        /// The reason: `normal`, `kill`, `shutdown`, or the program's own text.
        reason: String,
    },
    /// Looks into a running node as an operator does. Done when the answer has come and holds every text of `expect`;
    /// it is asked again until then. The answer is `steps.<id>.reply`: a list of texts, one for each entry.
    Attach {
        /// The node that attaches; when absent, the first running node with the same trust other than `to`.
        from: Option<String>,
        /// The node that is looked into.
        to: String,
        /// What is asked.
        query: AttachQuery,
        /// What the answer must hold: each is a process's label or a name that stands in it.
        expect: Vec<String>,
    },
    /// Waits until the condition holds. Fails, with the values of its parts, when `within` is over first.
    Await {
        /// What must hold.
        condition: Condition,
        /// How long it must hold without a break, by the step's `for`; one look is enough when absent.
        hold: Option<Duration>,
    },
    /// Waits until, for several looks in a row, every running node's mailboxes are empty, no link has anything queued and
    /// nothing new was received. What a slow network still carries is not seen: await its arrival in `received`.
    Barrier,
    /// Begins a fault; it stays until it is healed. Done when it is in force.
    Fault(Fault),
    /// Ends faults. Done when they are lifted.
    Heal(Heal),
    /// Dials explicitly, all at the same moment. Done when each dial has ended as its `expect` says.
    Connect {
        /// The dials; at least one. The same one may stand here twice.
        dials: Vec<Dial>,
    },
    /// Issues a fresh certificate to nodes and swaps it in. Done when new handshakes use it.
    Rotate {
        /// Which.
        nodes: Vec<String>,
    },
    /// Revokes the certificates of nodes. Done when every running node knows.
    Revoke {
        /// Which.
        nodes: Vec<String>,
    },
    /// Runs these loads at the same time, and waits for the last. Its `within` does not count: a load knows its own
    /// length, and the scenario's `timeout` bounds it.
    Load {
        /// Their ids.
        loads: Vec<String>,
    },
    /// Compares a view with its accepted text, which has the name of the step's id.
    Snapshot {
        /// The view.
        view: View,
    },
    /// Lets time pass. An `await` is nearly always the better step. Its `within` does not count.
    Sleep(Duration),
}

/// One explicit dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dial {
    /// Who dials.
    pub from: String,
    /// Whom; the node itself is allowed, and must be refused.
    pub to: String,
    /// How it must end.
    pub expect: DialResult,
}

/// How a dial ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialResult {
    /// The runtime's call succeeds and the two nodes are linked: by this dial, or by a link that was there already.
    Linked,
    /// The runtime's call fails with a refusal, on either side of the handshake; running out of time is none.
    Refused,
}

impl DialResult {
    /// Every way, as files name it; the first is the default.
    pub const ALL: [(&'static str, Self); 2] = [("linked", Self::Linked), ("refused", Self::Refused)];
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
    /// How it must end; the step fails when it ends otherwise.
    pub expect: SpawnResult,
}

/// How a spawn ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpawnResult {
    /// The process runs.
    Ok,
    /// Somebody said no.
    Refused,
    /// The connection was lost first, or there was none; not: the deadline passed.
    NoConnection,
}

impl SpawnResult {
    /// Every result, as files name it.
    pub const ALL: [(&'static str, Self); 3] =
        [("ok", Self::Ok), ("refused", Self::Refused), ("no-connection", Self::NoConnection)];
}

/// A name and where it counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScopedName {
    /// On the process's node.
    Local(String),
    /// In the cluster.
    Global(String),
}

/// How the confirmation of a name ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfirmResult {
    /// The process holds the name.
    Ok,
    /// By the deadline there was no majority for it, or another process holds it.
    Refused,
}

impl ConfirmResult {
    /// Every result, as files name it.
    pub const ALL: [(&'static str, Self); 2] = [("ok", Self::Ok), ("refused", Self::Refused)];
}

/// How a call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
        "start",
        "stop",
        "kill",
        "pause",
        "resume",
        "restart",
        "spawn",
        "send",
        "call",
        "register",
        "unregister",
        "join",
        "leave",
        "link",
        "monitor",
        "exit",
        "attach",
        "await",
        "barrier",
        "fault",
        "heal",
        "connect",
        "rotate",
        "revoke",
        "load",
        "snapshot",
        "sleep",
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
            Self::Register { .. } | Self::Confirm { .. } => "register",
            Self::Unregister { .. } => "unregister",
            Self::Join { .. } => "join",
            Self::Leave { .. } => "leave",
            Self::Link { .. } => "link",
            Self::Monitor { .. } => "monitor",
            Self::Exit { .. } => "exit",
            Self::Attach { .. } => "attach",
            Self::Await { .. } => "await",
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
