//! What one node shows of itself at one moment.

use regatta::ClusterNode;
use regatta::cluster::{ClusterView, MemberInfo, Standing};
use serde::{Deserialize, Serialize};

use super::order::PidText;
use crate::behaviour::OWN_LABEL;

/// Processes that are asked for at a time.
const PAGE: usize = 1_000;

/// One node, as it sees itself and the cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct NodeView {
    /// The nodes that it is linked with, sorted; one entry for each link.
    pub(crate) links: Vec<String>,
    /// The nodes that it takes for members, itself among them, sorted: linked, or out of its reach and not lost.
    pub(crate) members: Vec<String>,
    /// The cluster as it sees it: members that are reached, then pairs that are cut off from each other.
    pub(crate) view: String,
    /// Nodes that it found to be down so far.
    pub(crate) nodes_down: u64,
    /// Global names with their owners' nodes, in the order of the names.
    pub(crate) names: Vec<(String, String)>,
    /// Processes of the scenario, in the order of their start.
    pub(crate) processes: Vec<ProcessView>,
    /// Dials to it that came to nothing.
    pub(crate) handshakes_refused: u64,
    /// Messages that it gave up.
    pub(crate) messages_dropped: u64,
    /// Links that ended.
    pub(crate) links_down: u64,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProcessView {
    /// The process.
    pub(crate) pid: PidText,
    /// What the scenario calls it.
    pub(crate) label: String,
    /// Its names on its node.
    pub(crate) names: Vec<String>,
    /// Messages that wait.
    pub(crate) mailbox: u64,
}

impl NodeView {
    /// Looks at a node.
    pub(crate) fn of(node: &ClusterNode) -> Self {
        let (runtime, stats) = (node.runtime().stats(), node.stats());
        Self {
            links: node.peers(),
            members: members(node),
            view: view(node),
            nodes_down: stats.nodes_down,
            names: node.global_names(),
            processes: processes(node),
            handshakes_refused: stats.handshakes_refused,
            messages_dropped: stats.signals_dropped + runtime.refused_full + runtime.refused_no_proc,
            links_down: stats.links_down,
        }
    }

    /// The node whose process holds a global name, as this node sees it.
    pub(crate) fn owner(&self, name: &str) -> Option<&str> {
        let at = self.names.binary_search_by(|(of, _)| of.as_str().cmp(name)).ok()?;
        Some(&self.names[at].1)
    }
}

fn members(node: &ClusterNode) -> Vec<String> {
    let is_member = |member: &MemberInfo| {
        matches!(member.standing, Standing::Up | Standing::Suspect | Standing::Unreachable)
    };
    let others = node.members().into_iter().filter(is_member).map(|member| member.id.name.to_string());
    let mut members: Vec<String> = others.chain([node.name().to_owned()]).collect();
    members.sort_unstable();
    members
}

fn view(node: &ClusterNode) -> String {
    let ClusterView { members, cuts } = node.view();
    let members: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let cuts: Vec<String> = cuts.iter().map(|(one, other)| format!("{}/{}", one.name, other.name)).collect();
    if cuts.is_empty() {
        members.join(" ")
    } else {
        format!("{}; cut: {}", members.join(" "), cuts.join(" "))
    }
}

fn processes(node: &ClusterNode) -> Vec<ProcessView> {
    let mut all = Vec::new();
    let mut after = 0;
    loop {
        let page = node.runtime().infos(after, PAGE);
        let Some(last) = page.last() else { return all };
        after = last.pid.serial();
        for info in page {
            let label = info.label.as_deref().unwrap_or_default();
            if label.starts_with(OWN_LABEL) {
                continue;
            }
            all.push(ProcessView {
                pid: PidText(info.pid),
                label: label.to_owned(),
                names: info.names.iter().map(ToString::to_string).collect(),
                mailbox: info.mailbox_depth,
            });
        }
    }
}
