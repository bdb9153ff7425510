//! What a scene in one process tells the scene of the harness in another: who is who, what arrived, who was told of ends.

use std::sync::atomic::Ordering::Relaxed;

use serde::{Deserialize, Serialize};

use super::scene::{Known, Scene, Tally};
use crate::world::order::PidText;

/// A tally as data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counted {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) senders: u64,
    pub(crate) out_of_order: u64,
    pub(crate) corrupt: u64,
    pub(crate) duplicates: u64,
    pub(crate) gaps: u64,
    pub(crate) uninvited: u64,
    pub(crate) calls: u64,
    pub(crate) calls_failed: u64,
}

/// An end that a process was told of, as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ToldOf {
    pub(crate) watcher: String,
    pub(crate) process: PidText,
    pub(crate) kind: String,
    pub(crate) reason: String,
    pub(crate) count: u64,
}

/// Everything that one process's scene knows by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shared {
    /// Labels of processes, each with its latest process.
    pub(crate) labels: Vec<(String, PidText)>,
    /// Local names: node, name, process.
    pub(crate) locals: Vec<(String, String, PidText)>,
    /// What labelled processes received.
    pub(crate) tallies: Vec<(String, Counted)>,
    /// Ends that processes were told of.
    pub(crate) downs: Vec<ToldOf>,
}

impl Tally {
    /// As data.
    pub(crate) fn counted(&self) -> Counted {
        Counted {
            messages: self.messages.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            senders: self.senders.load(Relaxed),
            out_of_order: self.out_of_order.load(Relaxed),
            corrupt: self.corrupt.load(Relaxed),
            duplicates: self.duplicates.load(Relaxed),
            gaps: self.gaps.load(Relaxed),
            uninvited: self.uninvited.load(Relaxed),
            calls: self.calls.load(Relaxed),
            calls_failed: self.calls_failed.load(Relaxed),
        }
    }

    fn set(&self, counted: &Counted) {
        self.messages.store(counted.messages, Relaxed);
        self.bytes.store(counted.bytes, Relaxed);
        self.senders.store(counted.senders, Relaxed);
        self.out_of_order.store(counted.out_of_order, Relaxed);
        self.corrupt.store(counted.corrupt, Relaxed);
        self.duplicates.store(counted.duplicates, Relaxed);
        self.gaps.store(counted.gaps, Relaxed);
        self.uninvited.store(counted.uninvited, Relaxed);
        self.calls.store(counted.calls, Relaxed);
        self.calls_failed.store(counted.calls_failed, Relaxed);
    }
}

impl Counted {
    /// Adds what the same label received elsewhere, or before.
    pub(crate) const fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.senders += other.senders;
        self.out_of_order += other.out_of_order;
        self.corrupt += other.corrupt;
        self.duplicates += other.duplicates;
        self.gaps += other.gaps;
        self.uninvited += other.uninvited;
        self.calls += other.calls;
        self.calls_failed += other.calls_failed;
    }
}

impl Scene {
    /// Everything that this scene knows by itself.
    pub(crate) fn export(&self) -> Shared {
        let state = self.state();
        Shared {
            labels: state
                .labels
                .iter()
                .filter(|(_, known)| known.here)
                .map(|(label, known)| (label.clone(), PidText(known.pid)))
                .collect(),
            locals: state
                .locals
                .iter()
                .filter(|(_, known)| known.here)
                .map(|((node, name), known)| (node.clone(), name.clone(), PidText(known.pid)))
                .collect(),
            tallies: state.tallies.iter().map(|(label, tally)| (label.clone(), tally.counted())).collect(),
            downs: state.downs.told(),
        }
    }

    /// Takes in what the scene of one start of a node knows now; it replaces what that knew before.
    pub(crate) fn import(&self, start: u64, shared: Shared) {
        self.learn(&shared);
        self.state().elsewhere.insert(start, shared);
        self.touch();
    }

    /// Takes in who is who in other processes.
    pub(crate) fn learn(&self, shared: &Shared) {
        let mut state = self.state();
        for (label, pid) in &shared.labels {
            state.labels.insert(label.clone(), Known::elsewhere(pid.0));
            state.owners.insert(pid.0, label.clone());
        }
        for (node, name, pid) in &shared.locals {
            state.locals.insert((node.clone(), name.clone()), Known::elsewhere(pid.0));
        }
    }

    /// Who is who, wherever.
    pub(crate) fn everybody(&self) -> Shared {
        let state = self.state();
        let labels = state.labels.iter().map(|(label, known)| (label.clone(), PidText(known.pid)));
        let locals =
            state.locals.iter().map(|((node, name), known)| (node.clone(), name.clone(), PidText(known.pid)));
        Shared { labels: labels.collect(), locals: locals.collect(), ..Shared::default() }
    }

    /// What a label's process has received, wherever it is.
    pub(crate) fn count_of(&self, label: &str) -> Counted {
        self.counted().remove(label).unwrap_or_default()
    }

    /// Takes in what a process elsewhere has received, for a load that asks.
    pub(crate) fn mirror(&self, label: &str, counted: &Counted) {
        let tally = self.state().mirrored.entry(label.to_owned()).or_default().clone();
        tally.set(counted);
    }
}
