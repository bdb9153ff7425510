//! Where scenarios run: a world launches and ends nodes, and says what it can do.
//!
//! | File | Its one job |
//! |---|---|
//! | `cluster` | who runs, under which identity, on what network: the same in every world |
//! | `order`, `view` | what is asked of a node and what it shows, as data |
//! | `wanted` | which of the large parts of that anybody looks at |
//! | `agent` | the harness's half beside a node: carries orders out |
//! | `clock` | a node's clock, which can be set off |
//! | `inproc` | all nodes in this process, real UDP, real time |
//! | `process` | one OS process per node, real UDP, real time |
//! | `sim` | all nodes in this thread, virtual network, virtual time |
//! | `pin` | nodes that stay on one core |
//! | `needs` | what each world can do |

pub(crate) mod agent;
pub(crate) mod clock;
pub(crate) mod cluster;
pub(crate) mod inproc;
mod needs;
pub(crate) mod order;
pub(crate) mod pin;
pub(crate) mod process;
pub(crate) mod sim;
pub(crate) mod view;
pub(crate) mod wanted;

use std::sync::Arc;
use std::time::Instant;

use tracing::Dispatch;

use crate::behaviour::{Behaviours, Scene};
use crate::logs::Logs;
use crate::scenario::Scenario;

pub use cluster::WorldError;
pub use needs::unsupported;

/// What every node of a run is started with.
pub(crate) struct Means {
    /// The scenario.
    pub(crate) scenario: Arc<Scenario>,
    /// What processes can do.
    pub(crate) behaviours: Behaviours,
    /// What processes and the harness share.
    pub(crate) scene: Arc<Scene>,
    /// What chance comes from.
    pub(crate) seed: u64,
    /// When the run began.
    pub(crate) started: Instant,
    /// Whether sockets are such that faults can happen to them.
    pub(crate) taps: bool,
    /// What of the nodes' views is looked at.
    pub(crate) wanted: wanted::Wanted,
    /// Whether the last datagrams are kept.
    pub(crate) captures: bool,
    /// Where the secrets of connections are noted.
    pub(crate) keys: Option<Arc<KeyLines>>,
    /// Where nodes of this process log, and the subscriber that brings it there.
    pub(crate) logs: Option<(Arc<Logs>, Dispatch)>,
}

/// The secrets of connections, as lines of the NSS key log format.
#[derive(Debug, Default)]
pub(crate) struct KeyLines(std::sync::Mutex<Vec<String>>);

impl KeyLines {
    /// Takes another process's lines in.
    pub(crate) fn extend(&self, lines: impl IntoIterator<Item = String>) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(lines);
    }

    /// All lines so far.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl rustls::KeyLog for KeyLines {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        self.extend([format!("{label} {} {}", hex(client_random), hex(secret))]);
    }
}
