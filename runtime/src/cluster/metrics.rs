//! Counters and gauges of a node through the `metrics` facade, for whatever recorder the program has installed.
//!
//! The node counts by itself, all the time; nothing on the path of a message touches a recorder. Recording sets each
//! counter to its absolute value, so it may be done as often as somebody looks, by several of a program's nodes, and
//! costs nothing in between.

use metrics::{Label, Unit};

use super::node::{ClusterNode, NodeStats, Standing};
use crate::actor::RuntimeStats;

type Counter = (&'static str, &'static str, fn(&NodeStats, &RuntimeStats) -> u64);

/// Every counter: its name, what it counts, and where it is.
const COUNTERS: [Counter; 23] = [
    ("regatta_handshakes_refused_total", "Peers turned away before there was a link", |node, _| {
        node.handshakes_refused
    }),
    ("regatta_links_up_total", "Links that came up", |node, _| node.links_up),
    ("regatta_links_down_total", "Links that ended", |node, _| node.links_down),
    ("regatta_links_cut_total", "Links given up though a third node heard the peer", |node, _| {
        node.links_cut
    }),
    ("regatta_suspicions_total", "Suspicions of peers that were silent for long", |node, _| node.suspicions),
    ("regatta_suspicions_wrong_total", "Suspicions that ended with a sign of life", |node, _| {
        node.suspicions_wrong
    }),
    ("regatta_nodes_down_total", "Nodes that were found to be down", |node, _| node.nodes_down),
    ("regatta_signals_received_total", "Signals that arrived from peers", |node, _| node.signals_received),
    ("regatta_signals_dropped_total", "Signals that were queued for a link when it was lost", |node, _| {
        node.signals_dropped
    }),
    (
        "regatta_datagrams_dropped_total",
        "Messages by send_datagram that did not leave for want of room",
        |node, _| node.datagrams_dropped,
    ),
    ("regatta_memberships_untold_total", "Memberships of groups that others take no more of", |node, _| {
        node.memberships_untold
    }),
    ("regatta_datagrams_sent_total", "UDP datagrams sent", |node, _| node.datagrams_sent),
    ("regatta_datagrams_received_total", "UDP datagrams received", |node, _| node.datagrams_received),
    ("regatta_takeovers_total", "Times that a guard did the network's work", |node, _| node.takeovers),
    ("regatta_spins_total", "Times that a thread began to look for more in the loop's place", |node, _| {
        node.spins
    }),
    ("regatta_processes_spawned_total", "Processes spawned", |_, runtime| runtime.spawned),
    ("regatta_processes_finished_total", "Processes that have ended", |_, runtime| runtime.finished),
    ("regatta_messages_unread_total", "Entries in the mailboxes of processes that ended", |_, runtime| {
        runtime.dropped_unread
    }),
    ("regatta_messages_refused_full_total", "Messages that a full mailbox refused", |_, runtime| {
        runtime.refused_full
    }),
    (
        "regatta_messages_dropped_full_total",
        "Messages that a full mailbox dropped by its policy",
        |_, runtime| runtime.dropped_overflow,
    ),
    ("regatta_polls_total", "Times that the bodies of processes were polled", |_, runtime| runtime.polls),
    (
        "regatta_workers_held_total",
        "Times that a process held its worker for more than half a second",
        |_, runtime| runtime.held_worker,
    ),
    (
        "regatta_messages_refused_no_proc_total",
        "Messages to processes or names that were not there",
        |_, runtime| runtime.refused_no_proc,
    ),
];

/// Every gauge: its name, its unit, and what it is.
const GAUGES: [(&str, Unit, &str); 14] = [
    ("regatta_links", Unit::Count, "Live links"),
    ("regatta_members", Unit::Count, "Other nodes that are up, suspected, or unreachable and not lost"),
    ("regatta_cut_pairs", Unit::Count, "Pairs of members that are cut off from each other"),
    ("regatta_global_names", Unit::Count, "Global names that the node knows"),
    ("regatta_groups", Unit::Count, "Process groups that have members"),
    ("regatta_processes", Unit::Count, "Live processes"),
    ("regatta_local_names", Unit::Count, "Local names that are held"),
    ("regatta_aliases", Unit::Count, "Aliases of processes"),
    ("regatta_timers", Unit::Count, "Timers that wait: messages to be sent later, deadlines"),
    ("regatta_calls_away", Unit::Count, "Calls to other nodes that wait for their answers"),
    ("regatta_blocking", Unit::Count, "Blocking work that is under way or waits its turn"),
    ("regatta_link_rtt_seconds", Unit::Seconds, "Smoothed round-trip time of a link"),
    ("regatta_link_queued_bytes", Unit::Bytes, "Bytes that wait to be sent over a link"),
    ("regatta_link_lost_packets", Unit::Count, "Packets of a live link that were lost and sent again"),
];

impl ClusterNode {
    /// Hands all counters and gauges of the node and its runtime to the recorder of the `metrics` facade, labelled with
    /// the node's name, those of a link with the peer's too. Without a recorder it does nothing. Call it whenever
    /// somebody looks, or once in a while: the example `prometheus` does so every second.
    ///
    /// The gauges of a link keep their last value when the link ends; exporters can be told to forget what is idle.
    pub fn record_metrics(&self) {
        let (node, runtime) = (self.stats(), self.runtime().stats());
        let label = || Label::new("node", self.name().to_owned());
        for (name, about, value) in COUNTERS {
            metrics::describe_counter!(name, Unit::Count, about);
            metrics::counter!(name, vec![label()]).absolute(value(&node, &runtime));
        }
        for (name, unit, about) in GAUGES {
            metrics::describe_gauge!(name, unit, about);
        }
        let is_member =
            |standing| matches!(standing, Standing::Up | Standing::Suspect | Standing::Unreachable);
        let members = self.members().into_iter().filter(|member| is_member(member.standing)).count();
        let links = self.links();
        // All of them, so that a new one is not forgotten here; what has another place is not named.
        let RuntimeStats {
            spawned: _,
            finished: _,
            dropped_unread: _,
            refused_full: _,
            dropped_overflow: _,
            refused_no_proc: _,
            polls: _,
            held_worker: _,
            live,
            names,
            groups,
            aliases,
            timers,
            calls_away,
            blocking,
        } = runtime;
        let gauges = [
            ("regatta_links", links.len() as u64),
            ("regatta_members", members as u64),
            ("regatta_cut_pairs", self.view().cuts.len() as u64),
            ("regatta_global_names", self.core_handle().names.read().len() as u64),
            ("regatta_groups", groups),
            ("regatta_processes", live),
            ("regatta_local_names", names),
            ("regatta_aliases", aliases),
            ("regatta_timers", timers),
            ("regatta_calls_away", calls_away),
            ("regatta_blocking", blocking),
        ];
        for (name, value) in gauges {
            metrics::gauge!(name, vec![label()]).set(value as f64);
        }
        for link in links {
            let labels = vec![label(), Label::new("peer", link.peer.name.to_string())];
            metrics::gauge!("regatta_link_rtt_seconds", labels.clone()).set(link.rtt.as_secs_f64());
            metrics::gauge!("regatta_link_queued_bytes", labels.clone()).set(link.queued_bytes as f64);
            metrics::gauge!("regatta_link_lost_packets", labels).set(link.lost_packets as f64);
        }
    }
}
