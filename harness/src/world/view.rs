//! What one node shows of itself at one moment.

use regatta::ClusterNode;
use regatta::cluster::{ClusterView, MemberInfo, Standing};
use serde::{Deserialize, Serialize};

use super::order::PidText;
use super::wanted::Wanted;
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
    ///
    /// Empty when nobody looks at it.
    pub(crate) view: String,
    /// Nodes that it found to be down so far.
    pub(crate) nodes_down: u64,
    /// How many global names it knows.
    pub(crate) names_count: u64,
    /// Equal where the same names have the same owners.
    pub(crate) names_digest: u64,
    /// Global names with their owners' nodes, in the order of the names; nothing when they were left out.
    names: Option<Vec<(String, String)>>,
    /// Groups with their members, in the order of their names, each as often as it has joined; none when nobody looks at
    /// them.
    pub(crate) groups: Vec<(String, Vec<PidText>)>,
    /// Processes of the scenario, in the order of their start; none when nobody looks at them.
    pub(crate) processes: Vec<ProcessView>,
    /// Dials to it that came to nothing.
    pub(crate) handshakes_refused: u64,
    /// Messages that it gave up.
    pub(crate) messages_dropped: u64,
    /// Links that ended.
    pub(crate) links_down: u64,
    /// Resident memory of the operating system's process that it runs in; 0 when nobody looks at it.
    pub(crate) memory_kib: u64,
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
    pub(crate) fn of(node: &ClusterNode, wanted: Wanted) -> Self {
        let names_count = node.global_names_count();
        Self {
            links: node.peers(),
            members: members(node),
            view: if wanted.view { view(node) } else { String::new() },
            names_count: names_count as u64,
            names_digest: node.global_names_digest(),
            names: wanted.names(names_count).then(|| node.global_names()),
            ..Self::default()
        }
        .counted(node, wanted)
    }

    /// The same with what can be different though the node's count of changes is not: counters and mailboxes.
    pub(crate) fn counted(self, node: &ClusterNode, wanted: Wanted) -> Self {
        let (runtime, stats) = (node.runtime().stats(), node.stats());
        Self {
            nodes_down: stats.nodes_down,
            groups: if wanted.groups { groups(node) } else { Vec::new() },
            processes: if wanted.processes { processes(node) } else { Vec::new() },
            handshakes_refused: stats.handshakes_refused,
            messages_dropped: stats.signals_dropped + runtime.refused_full + runtime.refused_no_proc,
            links_down: stats.links_down,
            memory_kib: if wanted.memory { memory_kib() } else { 0 },
            ..self
        }
    }

    /// Whether nothing that is counted differs from what the node shows now.
    pub(crate) fn still_counts(&self, node: &ClusterNode, wanted: Wanted) -> bool {
        let now = Self::default().counted(node, wanted);
        (self.nodes_down, self.handshakes_refused, self.messages_dropped, self.links_down)
            == (now.nodes_down, now.handshakes_refused, now.messages_dropped, now.links_down)
            && self.memory_kib / MEMORY_STEP_KIB == now.memory_kib / MEMORY_STEP_KIB
            && self.processes == now.processes
            && self.groups == now.groups
    }

    /// Global names with their owners' nodes, in the order of the names; none when they were left out.
    pub(crate) fn names(&self) -> &[(String, String)] {
        self.names.as_deref().unwrap_or_default()
    }

    /// Whether the node knows names that are not shown.
    pub(crate) const fn leaves_names_out(&self) -> bool {
        self.names.is_none()
    }

    /// The node whose process holds a global name, as this node sees it.
    pub(crate) fn owner(&self, name: &str) -> Option<&str> {
        let names = self.names();
        let at = names.binary_search_by(|(of, _)| of.as_str().cmp(name)).ok()?;
        Some(&names[at].1)
    }
}

/// Differences of memory that are no change.
const MEMORY_STEP_KIB: u64 = 1_024;

/// Resident memory of this process; 0 where the system does not say.
fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
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

fn groups(node: &ClusterNode) -> Vec<(String, Vec<PidText>)> {
    let runtime = node.runtime();
    let groups = runtime.groups_with_members().into_iter();
    groups
        .map(|group| (group.to_string(), runtime.group_members(&group).into_iter().map(PidText).collect()))
        .collect()
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
