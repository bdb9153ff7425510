//! How well nodes tell which others are gone, in the figures of Chen, Toueg and Aguilera ("On the quality of service of
//! failure detectors", IEEE Transactions on Computers 51(5), 2002): detection time, mistake rate and mistake duration.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::observe::Views;

/// What nodes took for gone in a run, and when. A node is taken for gone by another that no longer counts it among its
/// members.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Detection {
    /// Detection times in milliseconds, in the order in which they came: from a node's kill or crash until another node,
    /// which had it for a member, took it for gone; one for each such other.
    pub detected_ms: Vec<f64>,
    /// Mistakes, by how long they lasted in milliseconds: a node was taken for gone, and ran. Whatever began while a partition,
    /// an isolation or a pause was in force, or in the 10 s after, is no mistake.
    pub mistakes_ms: Vec<f64>,
    /// For how many seconds nodes could have been mistaken about another: the sum over all ordered pairs of running nodes,
    /// without the times that the mistakes leave out.
    pub watched_s: f64,
}

impl Detection {
    /// Whether it tells anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.detected_ms.is_empty() && self.mistakes_ms.is_empty()
    }

    /// Adds what another run has told.
    pub fn add(&mut self, other: &Self) {
        self.detected_ms.extend_from_slice(&other.detected_ms);
        self.mistakes_ms.extend_from_slice(&other.mistakes_ms);
        self.watched_s += other.watched_s;
    }

    /// Mistakes for each hour that one node watches another.
    #[must_use]
    pub fn mistakes_per_hour(&self) -> f64 {
        if self.watched_s > 0.0 { self.mistakes_ms.len() as f64 * 3_600.0 / self.watched_s } else { 0.0 }
    }
}

/// Looks at the members of all nodes, again and again.
#[derive(Debug)]
pub(super) struct Watch {
    found: Detection,
    /// By who watches, and whom.
    pairs: BTreeMap<String, BTreeMap<String, Pair>>,
    last: Duration,
    /// Since when nodes are not kept apart, if they are not.
    together_since: Option<Duration>,
}

impl Default for Watch {
    fn default() -> Self {
        let together_since = Some(Duration::ZERO);
        Self { found: Detection::default(), pairs: BTreeMap::new(), last: Duration::ZERO, together_since }
    }
}

/// What one node takes another for, once it had it for a member.
#[derive(Debug, Clone, Copy)]
enum Pair {
    Member,
    /// It was a member when it was killed, then.
    Killed(Duration),
    /// It is taken for gone since then, and runs.
    Mistaken(Duration),
    /// It is taken for gone.
    Gone,
}

impl Watch {
    /// A look at the cluster. `apart`: something keeps nodes from hearing of each other.
    pub(super) fn look(&mut self, now: Duration, before: &Views, views: &Views, apart: bool) {
        let nodes = before.len() as f64;
        if self.is_together() {
            let passed = now.saturating_sub(self.last);
            self.found.watched_s += passed.as_secs_f64() * nodes * (nodes - 1.0).max(0.0);
        }
        self.last = now;
        self.together_since = if apart { None } else { self.together_since.or(Some(now)) };
        let together = self.is_together();
        self.pairs.retain(|watcher, _| views.contains_key(watcher));
        for (watcher, view) in views {
            let unchanged = before.get(watcher).is_some_and(|before| Arc::ptr_eq(before, view));
            let known = self.pairs.entry(watcher.clone()).or_default();
            if unchanged && views.len() == before.len() {
                continue;
            }
            for (node, pair) in known.iter_mut() {
                let is_member = view.members.iter().any(|member| member == node);
                let runs = views.contains_key(node);
                *pair = match *pair {
                    Pair::Member if !is_member && runs && together => Pair::Mistaken(now),
                    Pair::Member if !is_member => Pair::Gone,
                    Pair::Killed(at) if !is_member => {
                        self.found.detected_ms.push(millis(now.saturating_sub(at)));
                        Pair::Gone
                    }
                    // One that runs again may have its old start missed yet, and after that never will.
                    Pair::Killed(at) if !runs || now < at + GRACE => Pair::Killed(at),
                    Pair::Mistaken(since) if is_member => {
                        self.found.mistakes_ms.push(millis(now.saturating_sub(since)));
                        Pair::Member
                    }
                    // It was leaving, and seen to leave before it had left.
                    Pair::Mistaken(_) if !runs => Pair::Gone,
                    _ if is_member => Pair::Member,
                    other => other,
                };
            }
            for member in view.members.iter().filter(|member| *member != watcher) {
                if !known.contains_key(member) && views.contains_key(member) {
                    known.insert(member.clone(), Pair::Member);
                }
            }
        }
    }

    /// A node was killed at that time.
    pub(super) fn killed(&mut self, at: Duration, node: &str) {
        self.pairs.remove(node);
        for known in self.pairs.values_mut() {
            if let Some(pair) = known.get_mut(node)
                && matches!(pair, Pair::Member)
            {
                *pair = Pair::Killed(at);
            }
        }
    }

    /// What was found, at the end of the run.
    pub(super) fn end(&mut self, now: Duration) -> Detection {
        let mistaken = self.pairs.values().flat_map(BTreeMap::values).filter_map(|pair| match pair {
            Pair::Mistaken(since) => Some(millis(now.saturating_sub(*since))),
            _ => None,
        });
        let mut found = std::mem::take(&mut self.found);
        found.mistakes_ms.extend(mistaken);
        found
    }

    fn is_together(&self) -> bool {
        self.together_since.is_some_and(|since| since.is_zero() || self.last >= since + GRACE)
    }
}

fn millis(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e6
}

/// How long nodes may still take others for gone after they were kept apart.
const GRACE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::view::NodeView;

    /// Looks at nodes, each with its members, at these seconds.
    struct Cluster {
        watch: Watch,
        views: Views,
    }

    impl Cluster {
        fn new() -> Self {
            let mut cluster = Self { watch: Watch::default(), views: Views::new() };
            cluster.look(0, &["a: b c", "b: a c", "c: a b"], false);
            cluster
        }

        fn look(&mut self, at_s: u64, nodes: &[&str], apart: bool) {
            let view = |line: &&str| {
                let (node, members) = line.split_once(':').expect("a node");
                let members = members.split_whitespace().map(str::to_owned).collect();
                let mut view = NodeView::default();
                view.members = members;
                (node.to_owned(), Arc::new(view))
            };
            let views: Views = nodes.iter().map(view).collect();
            self.watch.look(Duration::from_secs(at_s), &self.views, &views, apart);
            self.views = views;
        }

        fn end(mut self, at_s: u64) -> Detection {
            self.watch.end(Duration::from_secs(at_s))
        }
    }

    #[test]
    fn a_kill_is_detected_once_by_each_that_had_the_node_for_a_member() {
        let mut cluster = Cluster::new();
        cluster.watch.killed(Duration::from_secs(1), "c");
        cluster.look(2, &["a: b c", "b: a c"], false);
        cluster.look(4, &["a: b", "b: a c"], false);
        cluster.look(5, &["a: b", "b: a"], false);
        cluster.look(6, &["a: b c", "b: a c", "c: a b"], false);
        let found = cluster.end(10);
        assert_eq!(found.detected_ms, [3_000.0, 4_000.0]);
        assert!(found.mistakes_ms.is_empty(), "{found:?}");
        // Three nodes for 2 s, two for 4 s.
        assert!((found.watched_s - (2.0 * 6.0 + 4.0 * 2.0)).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn who_is_taken_for_gone_and_runs_is_a_mistake_until_it_is_a_member_again() {
        let mut cluster = Cluster::new();
        cluster.look(1, &["a: b", "b: a c", "c: a b"], false);
        cluster.look(3, &["a: b c", "b: a c", "c: a b"], false);
        cluster.look(4, &["a: b c", "b: a c", "c: b"], false);
        let found = cluster.end(9);
        assert_eq!(found.mistakes_ms, [2_000.0, 5_000.0]);
        assert!(found.mistakes_per_hour() > 0.0 && found.detected_ms.is_empty());
    }

    #[test]
    fn leaving_is_no_mistake_and_a_new_start_that_was_not_missed_no_detection() {
        let mut cluster = Cluster::new();
        cluster.look(1, &["a: b", "b: a", "c: a b"], false);
        cluster.look(2, &["a: b", "b: a"], false);
        cluster.watch.killed(Duration::from_secs(3), "b");
        cluster.look(4, &["a: b", "b:"], false);
        cluster.look(5, &["a: b", "b: a"], false);
        assert!(cluster.end(9).is_empty());
    }

    #[test]
    fn what_partitions_do_is_no_mistake_nor_what_follows_from_them() {
        let mut cluster = Cluster::new();
        cluster.look(1, &["a: b c", "b: a c", "c: a b"], true);
        cluster.look(5, &["a: b", "b: a c", "c: b"], true);
        cluster.look(6, &["a: b", "b: a c", "c: b"], false);
        cluster.look(8, &["a: b", "b: a", "c: b"], false);
        cluster.look(9, &["a: b c", "b: a c", "c: a b"], false);
        cluster.look(16, &["a: b c", "b: a c", "c: a b"], false);
        cluster.look(17, &["a: b c", "b: a c", "c: b"], false);
        let found = cluster.end(18);
        assert_eq!(found.mistakes_ms, [1_000.0]);
        assert!((found.watched_s - 2.0 * 6.0).abs() < 1e-9, "one second before, one after: {found:?}");
    }
}
