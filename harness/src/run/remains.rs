//! What is left of a run that did not pass, for a report: whatever explains it.

use std::collections::BTreeMap;
use std::time::Duration;

use regatta::{Incarnation, Pid};

use super::faults::Record;
use super::stage::Stage;
use crate::fault::capture::Captured;
use crate::fault::network::Key;
use crate::fault::wire::Counts;
use crate::record::Event;

/// Whatever explains a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Remains {
    /// What happened, in the order of time.
    pub(crate) events: Vec<Event>,
    /// How many older events were forgotten.
    pub(crate) forgotten: u64,
    /// What the scenario calls its processes.
    pub(crate) labels: BTreeMap<Pid, String>,
    /// The starts of nodes, with the nodes' names.
    pub(crate) nodes: BTreeMap<Incarnation, String>,
    /// Every fault that was begun, with what it did.
    pub(crate) faults: Vec<(Key, Record, Counts)>,
    /// When the first step began, since the run's start.
    pub(crate) begun: Duration,
    /// When each nemesis began, by its index; those that did not are not here.
    pub(crate) nemeses: BTreeMap<usize, Duration>,
    /// The last datagrams, in the order of time.
    pub(crate) captured: Vec<Captured>,
    /// The secrets of connections.
    pub(crate) keys: Vec<String>,
    /// What each node logged.
    pub(crate) logs: BTreeMap<String, String>,
    /// What nodes knew of names in the end, node by node.
    pub(crate) registries: Vec<(String, Vec<(String, String)>)>,
    /// When it had come to its end, since its start.
    pub(crate) ended: Duration,
}

impl Stage {
    /// Collects what is left, while the nodes still run.
    pub(super) async fn remains(&self) -> Remains {
        let ended = self.points.now();
        let (captured, _) = self.cluster.captured().await;
        let views = self.cluster.views();
        let counts = self.cluster.counts();
        let (events, forgotten) = self.scene.recorder().events();
        let labels = self.scene.owners();
        let is_node = |label: &String| self.scenario.node(label).is_some();
        let nodes = labels.iter().filter(|(_, label)| is_node(label));
        let faults = self.faults.records().into_iter();
        Remains {
            events,
            forgotten,
            nodes: nodes.map(|(pid, label)| (pid.incarnation(), label.clone())).collect(),
            labels,
            faults: faults
                .map(|(key, record)| {
                    let counts = counts.get(&key).copied().unwrap_or_default();
                    (key, record, counts)
                })
                .collect(),
            begun: self.points.begun().unwrap_or_default(),
            nemeses: self.faults.nemeses(),
            captured,
            keys: Vec::new(),
            logs: BTreeMap::new(),
            registries: views.iter().map(|(node, view)| (node.clone(), view.names().to_vec())).collect(),
            ended,
        }
    }
}
