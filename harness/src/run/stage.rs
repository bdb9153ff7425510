//! What a run plays on: the cluster, the observer, and what has come out so far.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::changes::Seen;
use super::detection::Watch;
use super::faults::{Faults, Source};
use super::points::Points;
use super::tasks::{Run, Task};
use super::timeline::Timeline;
use super::{FAILED, Finding, Outcome, RunOptions, RunReport};
use crate::behaviour::Scene;
use crate::condition::observation::value_of;
use crate::condition::{self, Condition, Observation};
use crate::expect::judge::{Verdict, Window, explain};
use crate::load::Figures;
use crate::load::allocation::uncounted;
use crate::observe::{Observer, Views};
use crate::random::Random;
use crate::record::What;
use crate::scenario::action::{Address, ScopedName};
use crate::scenario::load::Load;
use crate::scenario::model::{Expectation, Point, Rule, StartMode, View};
use crate::scenario::{Scenario, World};
use crate::snapshot::{self, Comparison};
use crate::world::cluster::{Cluster, WorldError};
use crate::world::order::{Answer, Order};
use crate::world::wanted::words;

/// How often the cluster is looked at while a load runs: looking costs time that the load should have.
const LOOK_UNDER_LOAD: Duration = Duration::from_millis(100);

/// How long a look waits for more changes, at least.
const SWARM: Duration = Duration::from_millis(1);
/// Pairs of nodes, of which each has something to show, that cost a look another such wait: it is taken seldom enough to be
/// a small part of the run.
const SWARM_PAIRS: u32 = 1_000;

/// How long a run may take that holds for somebody: he has the day.
const TIMEOUT_HELD: Duration = Duration::from_secs(24 * 3600);
/// How long the nodes may take to end after a run.
const END_WITHIN: Duration = Duration::from_secs(30);
/// How long nodes may take to tell what has happened on them.
const HEARD_WITHIN: Duration = Duration::from_secs(5);

/// How far a step has come.
#[derive(Debug, Clone, Default)]
pub struct StepState {
    /// `pending`, `running`, `ok`, `failed`, or the expected word.
    pub outcome: &'static str,
    /// What came back.
    pub reply: Value,
    /// What went wrong.
    pub error: String,
}

/// The stage of one run.
pub(super) struct Stage {
    pub(super) scenario: Arc<Scenario>,
    pub(super) options: RunOptions,
    pub(super) world: World,
    /// Whether the run holds before the next step too.
    pub(super) holds_next: AtomicBool,
    /// Whether somebody has begun or lifted a fault by hand.
    pub(super) touched: AtomicBool,
    pub(super) scene: Arc<Scene>,
    pub(super) cluster: Cluster,
    pub(super) points: Points,
    random: Mutex<Random>,
    pub(super) faults: Faults,
    /// Held while a nemesis strikes.
    pub(super) striking: tokio::sync::Mutex<()>,
    /// Whether nothing may strike any more.
    pub(super) nemesis_over: watch::Sender<bool>,
    run: Arc<dyn Run>,
    /// How often the cluster is looked at when nothing says that it changed.
    look: Duration,
    /// The next number of each row of messages. By pid: one that starts again begins a new row.
    pub(super) sequences: Mutex<HashMap<(regatta::Pid, regatta::Pid), u64>>,
    state: Mutex<State>,
    latest: watch::Sender<Arc<Observation>>,
    pub(super) loads_running: AtomicU32,
    /// Held by the load that has its turn.
    pub(super) taking_turn: tokio::sync::Mutex<()>,
    /// The variables that conditions speak of.
    variables: BTreeSet<&'static str>,
    /// How long a look waits for more changes.
    swarm: Duration,
}

#[derive(Default)]
pub(super) struct State {
    steps: Vec<StepState>,
    pub(super) loads: BTreeMap<String, Figures>,
    pub(super) verdicts: Vec<Verdict>,
    pub(super) findings: Vec<Finding>,
    /// Which snapshots were taken.
    pub(super) taken: Vec<bool>,
    accepted: Vec<String>,
    seen: Seen,
    detection: Watch,
    observer: Option<Observer>,
    /// The step that fails does so because the harness could not do its part.
    unable: bool,
}

impl Stage {
    pub(super) fn new(
        options: RunOptions,
        world: World,
        scene: Arc<Scene>,
        cluster: Cluster,
        run: Arc<dyn Run>,
        look: Duration,
    ) -> Arc<Self> {
        let scenario = cluster.scenario().clone();
        let state = State {
            steps: vec![StepState { outcome: "pending", ..StepState::default() }; scenario.steps.len()],
            verdicts: vec![Verdict::default(); scenario.expectations.len()],
            taken: vec![false; scenario.snapshots.len()],
            ..State::default()
        };
        let words = words(&scenario);
        // Who holds a run before a step may ask for anything.
        let wanted = |variable: &&'static str| options.hold.is_some() || words.contains(variable);
        let variables: BTreeSet<&'static str> = condition::variables().filter(wanted).collect();
        let nodes = u32::try_from(scenario.nodes.len()).unwrap_or(u32::MAX);
        let state =
            State { observer: Some(Observer::new(scenario.clone(), variables.contains("names"))), ..state };
        let empty = Observation::of([]);
        Arc::new(Self {
            variables,
            swarm: SWARM * (nodes.saturating_mul(nodes) / SWARM_PAIRS).max(1),
            random: Mutex::new(Random::new(options.seed)),
            points: Points::new(scene.recorder().clone()),
            scenario,
            options,
            world,
            holds_next: AtomicBool::new(false),
            touched: AtomicBool::new(false),
            scene,
            cluster,
            faults: Faults::default(),
            striking: tokio::sync::Mutex::default(),
            nemesis_over: watch::Sender::new(false),
            run,
            look,
            sequences: Mutex::default(),
            state: Mutex::new(state),
            latest: watch::Sender::new(Arc::new(empty)),
            loads_running: AtomicU32::new(0),
            taking_turn: tokio::sync::Mutex::default(),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Kills a node.
    ///
    /// # Errors
    /// It does not run.
    pub(super) async fn kill(&self, node: &str) -> Result<(), WorldError> {
        let at = self.scene.recorder().now();
        self.cluster.kill(node).await?;
        self.state().detection.killed(at, node);
        Ok(())
    }

    /// Starts a task of the harness.
    pub(super) fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> Task<T> {
        Task::start(&self.run, task)
    }

    /// What the seed chooses next.
    pub(super) fn random(&self) -> MutexGuard<'_, Random> {
        self.random.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The nodes of the scenario that run, in its order.
    pub(super) fn running(&self) -> Vec<String> {
        let all = self.scenario.nodes.iter().map(|node| node.name.clone());
        all.filter(|name| self.cluster.is_running(name)).collect()
    }

    /// Plays the scenario to its end and puts what came out into the report.
    pub(super) async fn play(self: Arc<Self>, mut report: RunReport) -> RunReport {
        let held = (self.options.hold.is_some() || self.options.turns.is_some()) && self.world != World::Sim;
        let timeout = if held { TIMEOUT_HELD } else { self.scenario.timeout };
        let stage = self.clone();
        let observer = self.spawn(async move { stage.watch().await });
        let nemeses: Vec<Task<()>> =
            (0..self.scenario.nemeses.len()).map(|index| self.spawn(self.clone().nemesis(index))).collect();
        let played = tokio::select! {
            biased;
            () = stopped(self.options.stop.clone()) => {
                observer.abort();
                self.find(Outcome::Interrupted, None, "interrupted", self.meanwhile().1, None);
                report.findings = std::mem::take(&mut self.state().findings);
                self.cluster.abandon();
                return report;
            }
            played = tokio::time::timeout(timeout, self.acts()) => played,
        };
        self.nemesis_over.send_replace(true);
        for nemesis in nemeses {
            nemesis.join().await;
        }
        if played.is_err() {
            let (line, meanwhile) = self.meanwhile();
            let message = format!(
                "the run was given up after {} s, {meanwhile}; `timeout` sets how long it may take",
                timeout.as_secs_f64(),
            );
            self.find(Outcome::Fail, line, "timeout", message, None);
        }
        observer.abort();
        let until = self.scene.recorder().now();
        self.hear_all().await;
        self.judge(until);
        for (label, what) in self.scene.broken() {
            let message = format!("`{label}` received {what}");
            self.find(Outcome::Fail, None, "always on: whole, once, in order", message, None);
        }
        self.look_for_lost_messages();
        self.look_for_idle_faults();
        // A failed run may have left anything behind; its own finding is the one to read.
        let clean = !self.has_findings();
        report.remains =
            if clean && !self.options.explain { None } else { Some(Box::new(self.remains().await)) };
        let left = match tokio::time::timeout(END_WITHIN, self.end()).await {
            Ok(left) => left,
            Err(_) => {
                let message = format!("the nodes had not ended after {} s", END_WITHIN.as_secs());
                self.find(Outcome::Fail, None, "always on: nothing is left", message, None);
                Vec::new()
            }
        };
        for error in left.into_iter().filter(|_| clean) {
            self.find(Outcome::Fail, None, "always on: nothing is left", error.to_string(), None);
        }
        let mut state = self.state();
        report.findings = std::mem::take(&mut state.findings);
        report.accepted = std::mem::take(&mut state.accepted);
        report.detection = state.detection.end(until);
        let order = |id: &String| self.scenario.loads.iter().position(|load| load.id == *id);
        report.figures = std::mem::take(&mut state.loads).into_iter().collect();
        report.figures.sort_by_key(|(id, _)| order(id));
        drop(state);
        report.timeline = Timeline::of(&self.scenario, &self.scene.recorder().events().0);
        report
    }

    /// Waits until every node that can has told what happened on it so far: other processes do so a little late.
    async fn hear_all(&self) {
        let paused = self.cluster.paused();
        let seats = self.cluster.seats().into_iter().filter(|seat| !paused.contains(&seat.name));
        // A node tells what it did before it answers. One that ends meanwhile has told all that it ever will.
        let told = join_all(seats.map(|seat| seat.ask(Order::Still)));
        let _ = tokio::time::timeout(HEARD_WITHIN, told).await;
    }

    /// Ends what still goes on.
    async fn end(self: &Arc<Self>) -> Vec<WorldError> {
        for node in self.cluster.paused() {
            // It ends the harder way below if it cannot go on.
            let _ = self.cluster.pause(&node, false).await;
        }
        self.cluster.end().await
    }

    /// Tells of messages that are missing where nothing explains it: every loss is with a link or a node, or counted.
    fn look_for_lost_messages(&self) {
        let views = self.cluster.views();
        let explained = self.cluster.ended()
            + views.values().map(|view| view.links_down + view.messages_dropped).sum::<u64>();
        if explained > 0 || self.has_findings() {
            return;
        }
        for (label, gaps) in self.scene.missing() {
            let message = format!(
                "`{label}` misses {gaps} messages, and no link was lost, no node ended, and nobody counted a drop"
            );
            self.find(Outcome::Fail, None, "always on: a loss is counted", message, None);
        }
    }

    /// Tells of faults that did nothing: the run proves nothing then.
    fn look_for_idle_faults(&self) {
        if self.has_findings() {
            return;
        }
        if self.touched.load(Relaxed) {
            let message =
                "a fault was begun or lifted at the prompt: what came out is not what the file says";
            self.find(Outcome::Invalid, None, "by hand", message.to_owned(), None);
            return;
        }
        for (by, what) in self.faults.idle(self.scenario.nemeses.len(), &self.cluster.counts()) {
            let line = match by {
                Source::Step(step) => self.scenario.steps.get(step).map(|step| step.line),
                Source::Nemesis(_) | Source::Hand => None,
            };
            let message = format!("{what} did nothing: no datagram or node met it");
            self.find(Outcome::Invalid, line, "fault", message, None);
        }
    }

    /// What the run is at: the line that it waits for, and a text.
    fn meanwhile(&self) -> (Option<usize>, String) {
        let state = self.state();
        if let Some(index) = state.steps.iter().position(|step| step.outcome == "running") {
            let step = &self.scenario.steps[index];
            let of = self.scenario.steps.len();
            return (Some(step.line), format!("in step {} of {of}, `{}`", index + 1, step.action.verb()));
        }
        let idle = |load: &&Load| {
            !state.loads.contains_key(&load.id) && self.points.when(&self.scenario, &load.id).is_none()
        };
        let waits = |load: &&Load| {
            load.after.as_ref().is_some_and(|after| self.points.when(&self.scenario, after).is_none())
        };
        if let Some(load) = self.scenario.loads.iter().filter(idle).find(waits) {
            let after = load.after.as_deref().unwrap_or_default();
            return (
                Some(load.line),
                format!("while load `{}` waited for `{after}`, which did not come", load.id),
            );
        }
        match self.scenario.loads.iter().find(idle) {
            Some(load) => (Some(load.line), format!("while load `{}` ran", load.id)),
            None => (None, "while the nodes started".to_owned()),
        }
    }

    async fn acts(self: &Arc<Self>) {
        let auto = self.scenario.nodes.iter().filter(|node| node.start == StartMode::Auto);
        if let Err(error) = self.cluster.start_all(auto.map(|node| node.name.as_str())).await {
            self.find(Outcome::Internal, None, "start", error.to_string(), None);
            return;
        }
        self.points.begin();
        self.observe();
        let mut waiting = Vec::new();
        for (index, load) in self.scenario.loads.iter().enumerate() {
            if let Some(after) = load.after.clone() {
                let stage = self.clone();
                waiting.push(self.spawn(async move {
                    stage.points.wait(&stage.scenario, &after).await;
                    stage.load(index).await;
                }));
            }
        }
        let scenario = self.scenario.clone();
        for (index, step) in scenario.steps.iter().enumerate() {
            if self.hold(index).await {
                waiting.iter().for_each(Task::abort);
                return;
            }
            self.state().steps[index].outcome = "running";
            self.scene.recorder().note(What::StepBegun { step: index });
            let done = self.step(index, step).await;
            let failed = done.is_err();
            let outcome = done.as_ref().map_or(FAILED, |(outcome, _)| outcome).to_owned();
            self.scene.recorder().note(What::StepEnded { step: index, outcome });
            {
                let mut state = self.state();
                let of = &mut state.steps[index];
                match done {
                    Ok((outcome, reply)) => (of.outcome, of.reply) = (outcome, reply),
                    Err((message, values)) => {
                        (of.outcome, of.error) = (FAILED, message.clone());
                        let what = match &step.id {
                            Some(id) => format!("step `{}` (`{id}`)", step.action.verb()),
                            None => format!("step `{}`", step.action.verb()),
                        };
                        let outcome =
                            if std::mem::take(&mut state.unable) { Outcome::Internal } else { Outcome::Fail };
                        state.findings.push(Finding {
                            outcome,
                            line: Some(step.line),
                            what,
                            message,
                            values,
                        });
                    }
                }
            }
            if failed {
                waiting.iter().for_each(Task::abort);
                return;
            }
            self.points.reach(Point::Step(index));
            self.observe();
        }
        if self.hold(scenario.steps.len()).await {
            waiting.iter().for_each(Task::abort);
            return;
        }
        for task in waiting {
            // A load that panicked has no figures, which `finally` notices; it is told here too.
            if task.join().await.is_none() {
                self.find(Outcome::Internal, None, "load", "it ended early".to_owned(), None);
            }
        }
        self.observe();
    }

    /// The process that is meant, as `node` sees the cluster now.
    pub(super) async fn resolve(&self, node: &str, to: &Address) -> Option<regatta::Pid> {
        let (on, name) = match to {
            Address::Label(label) => return self.scene.pid(label),
            Address::Global(name) => (node, ScopedName::Global(name.clone())),
            Address::Local { name, node } => (node.as_str(), ScopedName::Local(name.clone())),
        };
        match self.cluster.seat(on)?.ask(Order::Whereis(name)).await {
            Ok(Answer::Pid(pid)) => pid.map(|pid| pid.0),
            _ => None,
        }
    }

    /// Looks at the cluster for as long as the run lasts.
    async fn watch(&self) {
        let mut changes = self.scene.changes();
        loop {
            let under_load = self.loads_running.load(Relaxed) > 0;
            let pause = tokio::time::sleep(if under_load { LOOK_UNDER_LOAD } else { self.look });
            tokio::select! {
                biased;
                _ = changes.changed(), if !under_load => {}
                () = pause => {}
            }
            self.observe();
            // Changes come in swarms: they are looked at together.
            tokio::time::sleep(self.swarm).await;
        }
    }

    /// Takes an observation, judges by it, and shows it to whoever waits.
    pub(super) fn observe(&self) -> Arc<Observation> {
        uncounted(|| self.look())
    }

    fn look(&self) -> Arc<Observation> {
        // The state is held throughout, so that observations are judged in the order in which they were taken.
        let mut state = self.state();
        let views = self.cluster.views();
        let apart = self.faults.keep_apart() || !self.cluster.paused().is_empty();
        let State { seen, detection, .. } = &mut *state;
        detection.look(self.scene.recorder().now(), seen.views(), &views, apart);
        seen.look(&views, self.scene.recorder());
        let observer = state.observer.as_mut().expect("there from the start");
        let (nodes, names) = observer.cluster(&views, |pid| self.scene.label(pid));
        let others = self.variables.iter().filter_map(|variable| {
            let shown = match *variable {
                "received" => self.scene.received(),
                "steps" => self.steps_shown(&state),
                "downs" => self.scene.downs(),
                "faults" => self.faults_shown(),
                "loads" => self.loads_shown(&state),
                _ => return None,
            };
            Some((*variable, value_of(&shown)))
        });
        let observation =
            Arc::new(Observation::of([("nodes", nodes), ("names", names)].into_iter().chain(others)));
        let now = self.points.now();
        for (index, expectation) in self.scenario.expectations.iter().enumerate() {
            let window = Window {
                since: self.since(expectation),
                closed: expectation
                    .until
                    .as_ref()
                    .is_some_and(|id| self.points.when(&self.scenario, id).is_some()),
            };
            let verdict = &mut state.verdicts[index];
            let was_broken = verdict.failed.is_some();
            if verdict.look(expectation, window, now, &observation) {
                self.points.reach(Point::Expectation(index));
                self.scene.recorder().note(What::Expectation { id: expectation.id.clone(), met: true });
            } else if !was_broken && verdict.failed.is_some() {
                self.scene.recorder().note(What::Expectation { id: expectation.id.clone(), met: false });
            }
        }
        for (index, snapshot) in self.scenario.snapshots.iter().enumerate() {
            if !state.taken[index] && self.points.when(&self.scenario, &snapshot.after).is_some() {
                state.taken[index] = true;
                let State { seen, accepted, .. } = &mut *state;
                let found = self.compare(&snapshot.id, snapshot.view, seen.views(), accepted);
                state.findings.extend(found);
            }
        }
        drop(state);
        self.latest.send_replace(observation.clone());
        observation
    }

    /// The steps that have ids, as conditions see them.
    fn steps_shown(&self, state: &State) -> Value {
        let all = self.scenario.steps.iter().zip(&state.steps).filter_map(|(step, of)| {
            let shown = json!({ "outcome": of.outcome, "reply": of.reply, "error": of.error });
            Some((step.id.clone()?, shown))
        });
        Value::Object(all.collect())
    }

    /// The loads, as conditions see them.
    fn loads_shown(&self, state: &State) -> Value {
        let all = self.scenario.loads.iter().map(|load| {
            let mut figures = state.loads.get(&load.id).cloned().unwrap_or_default();
            // Conditions do not see them, and they are long.
            figures.log.clear();
            figures.ladder.clear();
            (load.id.clone(), serde_json::to_value(figures).unwrap_or(Value::Null))
        });
        Value::Object(all.collect())
    }

    /// The faults, as conditions see them.
    fn faults_shown(&self) -> Value {
        let ids = self.scenario.fault_ids();
        Value::Object(self.faults.json(ids.into_iter(), &self.cluster.counts(), self.points.now()))
    }

    /// Compares what the nodes show now with its accepted text.
    pub(super) fn compare_now(&self, id: &str, view: View, accepted: &mut Vec<String>) -> Option<Finding> {
        self.observe();
        let views = self.state().seen.views().clone();
        self.compare(id, view, &views, accepted)
    }

    /// Compares a view with its accepted text.
    fn compare(&self, id: &str, view: View, views: &Views, accepted: &mut Vec<String>) -> Option<Finding> {
        let text = crate::observe::view(view, &self.scenario, views);
        let finding = |outcome, message, values| Finding {
            outcome,
            line: None,
            what: format!("snapshot `{id}`"),
            message,
            values,
        };
        match snapshot::compare(&self.scenario, id, &text, self.options.accept) {
            Ok(Comparison::Same) => None,
            Ok(Comparison::Accepted(path)) => {
                accepted.push(path.display().to_string());
                None
            }
            Ok(Comparison::Different { accepted, waiting }) => {
                let message = match &accepted {
                    Some(_) => "is not what was accepted (-)",
                    None => "has no accepted text yet",
                };
                let message = format!("{message}; accept it with --accept, or review {}", waiting.display());
                let values = snapshot::difference(accepted.as_deref().unwrap_or_default(), &text);
                Some(finding(Outcome::Fail, message, Some(values)))
            }
            Err(error) => {
                let message = format!("its text could not be read or written: {error}");
                Some(finding(Outcome::Internal, message, None))
            }
        }
    }

    /// Waits until a condition holds, and has held for `hold` without a break.
    ///
    /// # Errors
    /// The values of its parts, when `within` is over first.
    pub(super) async fn until(
        &self,
        condition: &Condition,
        hold: Option<Duration>,
        within: Duration,
    ) -> Result<(), String> {
        let mut latest = self.latest.subscribe();
        self.observe();
        let holds = async {
            let mut since = None;
            loop {
                let observation = latest.borrow_and_update().clone();
                if condition.evaluate(&observation).unwrap_or(false) {
                    let since = *since.get_or_insert_with(|| self.points.now());
                    if self.points.now() - since >= hold.unwrap_or_default() {
                        return;
                    }
                } else {
                    since = None;
                }
                if latest.changed().await.is_err() {
                    return;
                }
            }
        };
        let waited = tokio::time::timeout(within, holds).await;
        waited.map_err(|_| explain(condition, &self.latest.borrow()))
    }

    /// When an expectation began to count, if it did.
    pub(super) fn since(&self, expectation: &Expectation) -> Option<Duration> {
        let after = match &expectation.rule {
            Rule::Finally { after, .. } => after.as_ref(),
            _ => None,
        };
        match after.or(expectation.since.as_ref()) {
            Some(id) => self.points.when(&self.scenario, id),
            None => self.points.begun(),
        }
    }

    /// Something that goes on beside the steps could not be done.
    pub(super) fn find_unable(&self, what: &str, message: String) {
        self.find(Outcome::Internal, None, what, message, None);
    }

    /// What failed is the harness, not the scenario.
    pub(super) fn note_unable(&self) {
        self.state().unable = true;
    }

    pub(super) fn note_accepted(&self, accepted: Vec<String>) {
        self.state().accepted.extend(accepted);
    }

    pub(super) fn has_findings(&self) -> bool {
        !self.state().findings.is_empty()
    }

    pub(super) fn find(
        &self,
        outcome: Outcome,
        line: Option<usize>,
        what: &str,
        message: String,
        values: Option<String>,
    ) {
        self.state().findings.push(Finding { outcome, line, what: what.to_owned(), message, values });
    }
}

/// Waits until the run is asked to stop; for ever when nobody can ask.
async fn stopped(stop: Option<watch::Receiver<bool>>) {
    if let Some(mut stop) = stop
        && stop.wait_for(|stop| *stop).await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// An address as messages show it.
pub(super) fn name_of(address: &Address) -> String {
    match address {
        Address::Global(name) => format!("global name `{name}`"),
        Address::Label(label) => format!("process `{label}`"),
        Address::Local { name, node } => format!("`{name}` on `{node}`"),
    }
}
