//! What the harness asks of one node, and what it is answered, as data: the same within a process and across two.
//!
//! Everything that a step does to a node is an [`Order`]. The node's [agent](super::agent) carries it out, beside the
//! node, in whatever process and thread that is.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use regatta::Pid;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fault::network::Network;
use crate::load::Figures;
use crate::scenario::action::{Address, AttachList, CallResult, ScopedName};

/// A pid as data: its text form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PidText(pub Pid);

impl TryFrom<String> for PidText {
    type Error = <Pid as std::str::FromStr>::Err;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

impl From<PidText> for String {
    fn from(pid: PidText) -> Self {
        pid.0.to_string()
    }
}

/// One thing that a node is asked to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Start the process of the scenario with this index.
    Start { process: usize },
    /// Dial an address.
    Dial { addr: SocketAddr },
    /// Tell who holds a name, as this node sees it.
    Whereis(ScopedName),
    /// Start a process of a factory, here or elsewhere.
    Spawn(SpawnOrder),
    /// Give a process of this node a name.
    Register { pid: PidText, name: ScopedName },
    /// Take a name from a process of this node.
    Unregister { pid: PidText, name: ScopedName },
    /// Have a majority confirm a name of a process of this node.
    Confirm { pid: PidText, name: String, deadline: Duration },
    /// Have a process of this node enter a group.
    Join { pid: PidText, group: String },
    /// Have it leave one.
    Leave { pid: PidText, group: String },
    /// Send numbered messages.
    Send(SendOrder),
    /// Send a request and await its end.
    Call(CallOrder),
    /// Link a process of this node.
    Link { pid: PidText, target: PidText },
    /// Have a process of this node watch another.
    Monitor { pid: PidText, target: PidText },
    /// Send an exit signal in the name of a process of this node.
    Exit { from: PidText, target: PidText, reason: String },
    /// List what runs on a node, or what it knows, as an operator.
    List { node: String, list: AttachList },
    /// Run the load of the scenario with this index: to these processes, the first of which has this label.
    Load { load: usize, to: Vec<PidText>, label: String },
    /// Tell whether anything is under way on this node.
    Still,
    /// From now on the network is like this.
    Network(Network),
    /// Take another address.
    Rebind,
    /// Burn every worker, or stop it.
    Hog { on: bool },
    /// Set the wall clock off.
    Clock { offset_ms: i64, drift: f64 },
    /// End in an orderly way.
    Stop,
}

/// A spawn.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SpawnOrder {
    /// The process that asks.
    pub(crate) caller: PidText,
    /// The scenario's name of the node that runs the child.
    pub(crate) on: String,
    /// The factory.
    pub(crate) factory: String,
    /// What the scenario calls the child.
    pub(crate) label: String,
    /// Its arguments.
    pub(crate) args: Value,
    /// Its name in the cluster.
    pub(crate) global: Option<String>,
    /// Whether the asker is linked to it.
    pub(crate) link: bool,
    /// Whether the asker watches it.
    pub(crate) monitor: bool,
    /// How long it may take.
    pub(crate) within: Duration,
}

/// Numbered messages to one receiver.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SendOrder {
    /// The process of the scenario that sends; without one, processes of their own do.
    pub(crate) from: Option<PidText>,
    /// How many processes of their own send.
    pub(crate) senders: u64,
    /// The receiver.
    pub(crate) target: PidText,
    /// How it is addressed.
    pub(crate) route: Address,
    /// The first number.
    pub(crate) first: u64,
    /// How many messages each sends.
    pub(crate) count: u64,
    /// The size of each, in bytes.
    pub(crate) payload: u64,
}

/// A request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CallOrder {
    /// The process that answers.
    pub(crate) target: PidText,
    /// The size of the request, in bytes.
    pub(crate) payload: u64,
    /// When it is given up.
    pub(crate) deadline: Duration,
}

/// What came of an order that could be carried out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// It is done.
    Done,
    /// A process, or nobody.
    Pid(Option<PidText>),
    /// How a dial ended.
    Dialed(Result<(), DialFailure>),
    /// How a spawn ended.
    Spawned(Result<PidText, NoChild>),
    /// How the confirmation of a name ended: with its token, or who or what was against it.
    Confirmed(Result<u64, String>),
    /// How a call ended: with a reply, or otherwise.
    Called(Result<String, CallResult>),
    /// A list.
    Texts(Vec<String>),
    /// What a load measured.
    Figures(Box<Figures>),
    /// Whether the answer is yes.
    Yes(bool),
    /// The address that the node has now.
    Addr(SocketAddr),
    /// What was left when the node had ended.
    Left(Vec<String>),
}

/// Why a dial made no link.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DialFailure {
    /// What the runtime says.
    pub(crate) message: String,
    /// Whether somebody said no: running out of time is no refusal.
    pub(crate) refused: bool,
}

/// Why there is no child.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NoChild {
    /// What was answered, or that nothing was.
    pub(crate) message: String,
    /// Whether somebody said no: a lost connection or a missing answer is no refusal.
    pub(crate) refused: bool,
    /// Whether the connection was lost, or there was none.
    pub(crate) unconnected: bool,
}

/// Why an order was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Refused {
    /// The node ended before it answered.
    Gone,
    /// The runtime, or the harness beside it, said no.
    Because(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the node ended meanwhile"),
            Self::Because(why) => f.write_str(why),
        }
    }
}

/// What an order came to.
pub(crate) type Answered = Result<Answer, Refused>;

/// A refusal with the words of an error.
pub(crate) fn because(error: impl fmt::Display) -> Refused {
    Refused::Because(error.to_string())
}
