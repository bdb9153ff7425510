//! What the processes and nodes of one run share with the harness: who is who, what arrived, who was told of ends.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use regatta::{ClusterNode, ExitReason, Pid, Reference, Runtime};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::exchange::{Counted, Shared, ToldOf};
use super::message::{self, Kind, Message};
use crate::record::{Passage, Recorder, What};
use crate::world::order::PidText;

/// A piece of work that a process does in its own name.
pub type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What one process received, counted.
#[derive(Debug, Default)]
pub struct Tally {
    pub(crate) messages: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) senders: AtomicU64,
    pub(crate) out_of_order: AtomicU64,
    pub(crate) corrupt: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    pub(crate) gaps: AtomicU64,
    /// Exits of processes that it had taken its link with back.
    pub(crate) uninvited: AtomicU64,
    /// Calls that it made, and that have ended.
    pub(crate) calls: AtomicU64,
    /// Those of them that had no reply by their deadline.
    pub(crate) calls_failed: AtomicU64,
}

impl Tally {
    /// Messages so far.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.messages.load(Relaxed)
    }
}

/// An end that a process was told of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Down {
    /// Who was told: a process's label, or a node's name for its control process.
    watcher: String,
    /// Whose end it was.
    process: Pid,
    /// `monitor` or `link`.
    kind: &'static str,
    /// The reason.
    reason: String,
}

/// A process that is known by some name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) pid: Pid,
    /// Whether it runs in this OS process.
    pub(super) here: bool,
}

impl Known {
    pub(super) const fn here(pid: Pid) -> Self {
        Self { pid, here: true }
    }

    pub(super) const fn elsewhere(pid: Pid) -> Self {
        Self { pid, here: false }
    }
}

/// How often the same watcher was told the same, in the order of their first arrival.
#[derive(Debug, Default)]
pub(super) struct Downs {
    places: HashMap<Down, usize>,
    all: Vec<(Down, u64)>,
}

impl Downs {
    fn add(&mut self, down: Down, count: u64) {
        let place = *self.places.entry(down.clone()).or_insert_with(|| {
            self.all.push((down, 0));
            self.all.len() - 1
        });
        self.all[place].1 += count;
    }

    /// As data.
    pub(super) fn told(&self) -> Vec<ToldOf> {
        let told = self.all.iter().map(|(down, count)| ToldOf {
            watcher: down.watcher.clone(),
            process: PidText(down.process),
            kind: down.kind.to_owned(),
            reason: down.reason.clone(),
            count: *count,
        });
        told.collect()
    }
}

/// The shared state of one run.
#[derive(Debug)]
pub struct Scene {
    state: Mutex<State>,
    recorder: Arc<Recorder>,
    numbers: AtomicU64,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) labels: BTreeMap<String, Known>,
    pub(super) owners: HashMap<Pid, String>,
    pub(super) tallies: BTreeMap<String, Arc<Tally>>,
    /// What processes of other OS processes have received, for loads that ask.
    pub(super) mirrored: BTreeMap<String, Arc<Tally>>,
    pub(super) downs: Downs,
    /// Local names that the harness knows of: node and name.
    pub(super) locals: BTreeMap<(String, String), Known>,
    /// What the scenes of other OS processes know, by the start of a node.
    pub(super) elsewhere: BTreeMap<u64, Shared>,
    jobs: HashMap<u64, Job>,
    nodes: BTreeMap<String, ClusterNode>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("labels", &self.labels)
            .field("nodes", &self.nodes)
            .finish_non_exhaustive()
    }
}

impl Default for Scene {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl Scene {
    /// An empty scene whose events go to this recorder.
    pub(crate) fn new(recorder: Arc<Recorder>) -> Self {
        Self { state: Mutex::default(), recorder, numbers: AtomicU64::new(1), changes: watch::Sender::new(0) }
    }

    /// Where events go.
    pub(crate) fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Something that others look at has changed elsewhere.
    pub(crate) fn touch(&self) {
        self.changed();
    }

    /// Changes whenever something is noted here.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// A number that is not given out again.
    pub fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Relaxed)
    }

    /// Notes that `label` is this process from now on, and gives its tally.
    pub fn enter(&self, label: &str, pid: Pid) -> Arc<Tally> {
        let mut state = self.state();
        state.labels.insert(label.to_owned(), Known::here(pid));
        state.owners.insert(pid, label.to_owned());
        let tally = state.tallies.entry(label.to_owned()).or_default().clone();
        drop(state);
        self.changed();
        tally
    }

    /// Notes who a label's process is; its tally stays where the process is.
    pub(crate) fn name_process(&self, label: &str, pid: Pid) {
        let mut state = self.state();
        state.labels.insert(label.to_owned(), Known::elsewhere(pid));
        state.owners.insert(pid, label.to_owned());
    }

    /// Notes a message that leaves.
    pub(crate) fn sent(&self, bytes: &[u8], to: Pid) {
        if self.recorder.notes_messages()
            && let Some(message) = Message::read(bytes.to_vec().into())
        {
            self.passed(false, &message, to);
        }
    }

    /// Notes a message at one of its ends.
    pub(crate) fn passed(&self, received: bool, message: &Message, to: Pid) {
        if message.kind == Kind::Job {
            return;
        }
        let recorder = &self.recorder;
        recorder.mix_now(&[
            u64::from(received),
            message.kind as u64,
            message.from.serial(),
            to.serial(),
            message.number,
            message.size() as u64,
        ]);
        if !recorder.notes_messages() {
            return;
        }
        let passage = Passage {
            from: PidText(message.from),
            to: PidText(to),
            kind: message.kind.word().to_owned(),
            number: message.number,
            bytes: message.size() as u64,
        };
        recorder.note(if received { What::Received(passage) } else { What::Sent(passage) });
    }

    /// The process with this label.
    #[must_use]
    pub fn pid(&self, label: &str) -> Option<Pid> {
        self.state().labels.get(label).map(|known| known.pid)
    }

    /// The tally of the process with this label.
    #[must_use]
    pub fn tally(&self, label: &str) -> Option<Arc<Tally>> {
        let state = self.state();
        state.tallies.get(label).or_else(|| state.mirrored.get(label)).cloned()
    }

    /// What the scenario calls a process; its pid when it has no name there.
    #[must_use]
    pub fn label(&self, pid: Pid) -> String {
        self.state().owners.get(&pid).cloned().unwrap_or_else(|| pid.to_string())
    }

    /// What the scenario calls every process that it has a name for.
    pub(crate) fn owners(&self) -> BTreeMap<Pid, String> {
        self.state().owners.iter().map(|(pid, label)| (*pid, label.clone())).collect()
    }

    /// Notes that a process was told of an end.
    pub(crate) fn told(
        &self,
        watcher: Pid,
        of: Pid,
        kind: &'static str,
        reason: &ExitReason,
        monitor: Option<Reference>,
    ) {
        let reason = word(reason);
        self.recorder.note(What::Told {
            watcher: PidText(watcher),
            process: PidText(of),
            kind: kind.to_owned(),
            reason: reason.clone(),
            monitor: monitor.map(Reference::raw),
        });
        let watcher = self.label(watcher);
        self.state().downs.add(Down { watcher, process: of, kind, reason }, 1);
        self.changed();
    }

    /// Notes that a process has this name on its node, so that processes of other nodes can be told by it.
    pub(crate) fn name_local(&self, name: &str, node: &str, pid: Pid) {
        self.state().locals.insert((node.to_owned(), name.to_owned()), Known::here(pid));
    }

    /// Notes that nobody has this name on its node any more.
    pub(crate) fn unname_local(&self, name: &str, node: &str) {
        self.state().locals.remove(&(node.to_owned(), name.to_owned()));
    }

    /// The process that has this name on its node, as far as the harness knows.
    #[must_use]
    pub fn local(&self, name: &str, node: &str) -> Option<Pid> {
        self.state().locals.get(&(node.to_owned(), name.to_owned())).map(|known| known.pid)
    }

    /// Makes the process `pid` do a job in its own name, after what waits in its mailbox. Whether it lives.
    pub fn ask(&self, runtime: &Runtime, pid: Pid, job: Job) -> bool {
        let number = self.number();
        self.state().jobs.insert(number, job);
        let sent = runtime.try_send(pid, message::write(Kind::Job, runtime.node_pid(), number, &[]));
        if sent.is_err() {
            self.state().jobs.remove(&number);
        }
        sent.is_ok()
    }

    /// The job with this number, once.
    pub(crate) fn job(&self, number: u64) -> Option<Job> {
        self.state().jobs.remove(&number)
    }

    /// A node runs.
    pub fn node_up(&self, name: &str, node: ClusterNode) {
        self.state().nodes.insert(name.to_owned(), node);
        self.changed();
    }

    /// A node is gone.
    pub fn node_gone(&self, name: &str) -> Option<ClusterNode> {
        let node = self.state().nodes.remove(name);
        self.changed();
        node
    }

    /// The running node of this name, if it runs in this process.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<ClusterNode> {
        self.state().nodes.get(name).cloned()
    }

    /// What the labelled processes received, by label, wherever they are.
    pub(super) fn counted(&self) -> BTreeMap<String, Counted> {
        let state = self.state();
        let mut all: BTreeMap<String, Counted> = BTreeMap::new();
        let here = state.tallies.iter().map(|(label, tally)| (label, tally.counted()));
        let elsewhere = state.elsewhere.values().flat_map(|shared| &shared.tallies);
        for (label, counted) in here.chain(elsewhere.map(|(label, counted)| (label, *counted))) {
            all.entry(label.clone()).or_default().add(&counted);
        }
        all
    }

    /// What the labelled processes received, for observations.
    #[must_use]
    pub fn received(&self) -> Value {
        serde_json::to_value(self.counted()).unwrap_or_default()
    }

    /// The ends that processes were told of, for observations.
    #[must_use]
    pub fn downs(&self) -> Value {
        let state = self.state();
        let label = |pid: &Pid| state.owners.get(pid).cloned().unwrap_or_else(|| pid.to_string());
        let here = state.downs.told();
        let all = here.iter().chain(state.elsewhere.values().flat_map(|shared| &shared.downs));
        let downs = all.map(|down| {
            json!({
                "watcher": down.watcher,
                "process": label(&down.process.0),
                "kind": down.kind,
                "reason": down.reason,
                "count": down.count,
            })
        });
        downs.collect()
    }

    /// The labels that miss messages of a row, with how many.
    pub(crate) fn missing(&self) -> Vec<(String, u64)> {
        let missing = self.counted().into_iter().map(|(label, counted)| (label, counted.gaps));
        missing.filter(|(_, gaps)| *gaps > 0).collect()
    }

    /// The labels whose deliveries broke a promise that holds in every scenario, with what was broken.
    #[must_use]
    pub fn broken(&self) -> Vec<(String, String)> {
        let broken = self.counted().into_iter().filter_map(|(label, counted)| {
            let all = [
                (counted.out_of_order, "messages out of order"),
                (counted.corrupt, "corrupt messages"),
                (counted.duplicates, "messages twice"),
                (counted.uninvited, "exits over links that it had taken back"),
            ];
            let broken: Vec<_> = all
                .into_iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, what)| format!("{count} {what}"))
                .collect();
            (!broken.is_empty()).then(|| (label, broken.join(", ")))
        });
        broken.collect()
    }
}

/// A reason as conditions write it: one word for each that the runtime gives, or else its text.
fn word(reason: &ExitReason) -> String {
    match reason {
        ExitReason::Normal => "normal".to_owned(),
        ExitReason::Killed => "killed".to_owned(),
        ExitReason::Shutdown => "shutdown".to_owned(),
        ExitReason::NoProc => "noproc".to_owned(),
        ExitReason::NoConnection => "noconnection".to_owned(),
        ExitReason::Custom(text) => text.escape_ascii().to_string(),
        other => other.to_string(),
    }
}
