//! One run of one scenario: start the nodes, do the steps, watch the cluster, judge.

mod changes;
pub mod detection;
pub(crate) mod faults;
pub mod hold;
mod judgement;
mod loads;
pub mod many;
mod nemesis;
mod points;
pub(crate) mod remains;
mod stage;
mod steps;
pub(crate) mod tasks;
#[cfg(test)]
mod tests;
pub mod timeline;
mod traffic;
pub mod turns;

use std::io;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub use stage::StepState;

use crate::behaviour::Behaviours;
use crate::behaviour::Scene;
use crate::fault::capture::Capture;
use crate::load::Figures;
use crate::logs::Logs;
use crate::record::Recorder;
use crate::scenario::{Scenario, World};
use crate::world::cluster::{Cluster, Ground};
use crate::world::inproc::{CAPTURE_BYTES, Inproc};
use crate::world::process::ProcessGround;
use crate::world::sim::{self, HarnessTasks, Sim, SimClock, SimGround};
use crate::world::wanted::Wanted;
use crate::world::{self, KeyLines, Means};
use remains::Remains;
use stage::Stage;
use tasks::OnTokio;

/// The outcome of a step that failed.
pub(crate) const FAILED: &str = "failed";
/// The command that knows the built-in behaviours.
pub(crate) const COMMAND: &str = "regatta";
/// How often the cluster is looked at, in real time, when nothing says that it changed.
const LOOK: Duration = Duration::from_millis(5);
/// The same in virtual time, where whatever changes says so.
const LOOK_SIM: Duration = Duration::from_millis(50);

/// How a run came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Everything held.
    Pass,
    /// Something did not.
    Fail,
    /// A load or fault did not take effect: the run proves nothing.
    Invalid,
    /// The world cannot do what the scenario asks.
    Unsupported,
    /// The harness itself failed.
    Internal,
    /// It was stopped from outside.
    Interrupted,
}

impl Outcome {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Invalid => "invalid",
            Self::Unsupported => "unsupported",
            Self::Internal => "internal",
            Self::Interrupted => "interrupted",
        }
    }

    /// The exit code for it.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Pass => crate::exit::PASS,
            Self::Fail => crate::exit::EXPECTATION_FAILED,
            Self::Invalid => crate::exit::INVALID,
            Self::Unsupported => crate::exit::UNSUPPORTED,
            Self::Internal => crate::exit::INTERNAL,
            Self::Interrupted => crate::exit::INTERRUPTED,
        }
    }
}

/// Something that went wrong in a run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// What it makes of the run.
    pub outcome: Outcome,
    /// The line of the file that it is about, if it is about one.
    pub line: Option<usize>,
    /// What it is about: a step, an expectation, a load.
    pub what: String,
    /// What happened.
    pub message: String,
    /// The values behind it: several lines.
    pub values: Option<String>,
}

/// A finished run.
#[derive(Debug, Clone)]
pub struct RunReport {
    /// The scenario.
    pub scenario: Arc<Scenario>,
    /// Where it ran.
    pub world: World,
    /// The seed of its choices.
    pub seed: u64,
    /// The name of the bug that the runtime had on purpose.
    pub planted: Option<&'static str>,
    /// How many times as long things might take that must happen in time; once when absent.
    pub time_factor: Option<NonZeroU32>,
    /// The command that runs scenarios here.
    pub command: Arc<str>,
    /// How it came out.
    pub outcome: Outcome,
    /// How long it took.
    pub duration: Duration,
    /// How much time passed in the run, where that is not the same.
    pub virtual_time: Option<Duration>,
    /// Equal for equal runs, where runs repeat: over the time, way and size of every datagram and what was delivered.
    pub digest: Option<u64>,
    /// What went wrong.
    pub findings: Vec<Finding>,
    /// What the loads measured, in the order of the file.
    pub figures: Vec<(String, Figures)>,
    /// How well nodes told which others were gone.
    pub detection: detection::Detection,
    /// When loads ran and faults were in force.
    pub timeline: timeline::Timeline,
    /// Texts that were accepted as snapshots.
    pub accepted: Vec<String>,
    /// Whatever explains a run that did not pass.
    pub(crate) remains: Option<Box<Remains>>,
    /// Where that was written.
    pub folder: Option<PathBuf>,
}

/// The choices of a run.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// The seed of what is chosen at random.
    pub seed: u64,
    /// Whether new snapshot texts are accepted.
    pub accept: bool,
    /// Whether a run that passes is to be explained too.
    pub explain: bool,
    /// What processes can do.
    pub behaviours: Behaviours,
    /// The command that runs scenarios with these behaviours, for whoever wants to run one again: `regatta` when absent.
    pub command: Option<Arc<str>>,
    /// The program that becomes a node in the world `process`; this one when absent.
    pub node_program: Option<PathBuf>,
    /// The bug that the runtime has, in the world `sim`.
    #[cfg(feature = "planted")]
    pub planted: Option<regatta::planted::Bug>,
    /// How many times as long things may take that must happen in time, where time is real; once when absent.
    pub time_factor: Option<NonZeroU32>,
    /// Where the run holds for somebody who wants to look. Where time is real, it then has no timeout.
    pub hold: Option<hold::Hold>,
    /// Who says when each slice of a load may begin. Where time is real, the run then has no timeout.
    pub turns: Option<Arc<dyn turns::Turns>>,
    /// Turns true when the run must stop; without one, nobody can ask for that.
    pub stop: Option<watch::Receiver<bool>>,
}

impl RunOptions {
    /// The name of the planted bug, if there is one.
    fn planted_name(&self) -> Option<&'static str> {
        #[cfg(feature = "planted")]
        let found = self.planted.and_then(|planted| {
            regatta::planted::Bug::ALL.iter().find(|(_, bug, _)| *bug == planted).map(|(name, ..)| *name)
        });
        #[cfg(not(feature = "planted"))]
        let found = None;
        found
    }

    /// Puts the planted bug with this name in force.
    ///
    /// # Errors
    /// Whether there is no such bug, or none at all in this build.
    pub(crate) fn plant(&mut self, name: &str) -> Result<(), String> {
        #[cfg(feature = "planted")]
        {
            let all = regatta::planted::Bug::ALL;
            let found = all.iter().find(|(known, ..)| *known == name).map(|(_, bug, _)| *bug);
            self.planted = Some(found.ok_or_else(|| {
                let names: Vec<_> = all.iter().map(|(name, ..)| *name).collect();
                format!("there is no planted bug `{name}`; the bugs are {}", names.join(", "))
            })?);
            Ok(())
        }
        #[cfg(not(feature = "planted"))]
        Err(format!("there is no planted bug `{name}` in this build: it needs the feature `planted`"))
    }
}

impl RunReport {
    /// Of a run that has not begun.
    pub(crate) fn new(scenario: Arc<Scenario>, world: World, seed: u64) -> Self {
        Self {
            scenario,
            world,
            seed,
            planted: None,
            time_factor: None,
            command: COMMAND.into(),
            outcome: Outcome::Pass,
            duration: Duration::ZERO,
            virtual_time: None,
            digest: None,
            findings: Vec::new(),
            figures: Vec::new(),
            detection: detection::Detection::default(),
            timeline: timeline::Timeline::default(),
            accepted: Vec::new(),
            remains: None,
            folder: None,
        }
    }

    /// Takes in what is known once all nodes have ended.
    fn gather(&mut self, keys: Option<&KeyLines>, ground: &dyn Ground) {
        if let Some(remains) = &mut self.remains {
            remains.keys = keys.map(KeyLines::take).unwrap_or_default();
            remains.logs = ground.logs();
        }
    }

    /// Adds something that went wrong.
    pub(crate) fn add(&mut self, outcome: Outcome, what: &str, message: String) {
        self.findings.push(Finding { outcome, line: None, what: what.to_owned(), message, values: None });
        self.judge();
    }

    /// The worst finding speaks for the run, in the order of the exit codes.
    fn judge(&mut self) {
        let code = crate::exit::combine(self.findings.iter().map(|finding| finding.outcome.code()));
        let all =
            [Outcome::Interrupted, Outcome::Internal, Outcome::Fail, Outcome::Invalid, Outcome::Unsupported];
        self.outcome = all.into_iter().find(|outcome| outcome.code() == code).unwrap_or(Outcome::Pass);
    }
}

/// Runs a scenario in a world, on a tokio runtime of its own.
#[must_use]
pub fn run(scenario: Arc<Scenario>, world: World, options: &RunOptions) -> RunReport {
    let begun = Instant::now();
    let time_factor = options.time_factor.filter(|_| world != World::Sim);
    let scenario = time_factor.map_or(scenario.clone(), |factor| Arc::new(scenario.dilated(factor)));
    let mut report = RunReport::new(scenario.clone(), world, options.seed);
    report.time_factor = time_factor;
    report.planted = options.planted_name();
    if let Some(command) = &options.command {
        report.command = command.clone();
    }
    let missing = world::unsupported(&scenario, world);
    if missing.is_empty() {
        let played = match world {
            World::Sim => in_virtual_time(scenario, options, &mut report),
            World::Inproc | World::Process => in_real_time(scenario, world, options, &mut report),
        };
        if let Err(error) = played {
            report.add(Outcome::Internal, "harness", format!("no tokio runtime: {error}"));
        }
    }
    for message in missing {
        report.add(Outcome::Unsupported, "world", message);
    }
    report.judge();
    report.duration = begun.elapsed();
    report
}

/// Plays a run with nodes that live in real time.
fn in_real_time(
    scenario: Arc<Scenario>,
    world: World,
    options: &RunOptions,
    report: &mut RunReport,
) -> io::Result<()> {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let scene = Arc::new(Scene::new(Arc::default()));
    let means = Arc::new(means(scenario.clone(), options, scene.clone()));
    let (keys, ground): (_, Arc<dyn Ground>) = (
        means.keys.clone(),
        match world {
            World::Process => Arc::new(ProcessGround::new(means, options.node_program.clone())),
            World::Inproc | World::Sim => Arc::new(Inproc::new(means)),
        },
    );
    let cluster = Cluster::new(scenario, ground.clone(), options.seed);
    let stage = Stage::new(options.clone(), world, scene, cluster, Arc::new(OnTokio), LOOK);
    *report = tokio.block_on(stage.play(report.clone()));
    tokio.shutdown_background();
    report.gather(keys.as_deref(), &*ground);
    Ok(())
}

/// Plays a run with nodes that live in virtual time.
fn in_virtual_time(scenario: Arc<Scenario>, options: &RunOptions, report: &mut RunReport) -> io::Result<()> {
    let capture = scenario.loads.is_empty().then(|| Capture::new(CAPTURE_BYTES));
    // Each run has its thread's bug set anew.
    #[cfg(feature = "planted")]
    regatta::planted::plant(options.planted);
    let sim = Sim::new(options.seed, capture);
    let recorder = Arc::new(Recorder::simulated(Arc::new(SimClock(sim.clone()))));
    let scene = Arc::new(Scene::new(recorder.clone()));
    let means = Arc::new(means(scenario.clone(), options, scene.clone()));
    let keys = means.keys.clone();
    let dispatch = means.logs.as_ref().map(|(_, dispatch)| dispatch.clone());
    let ground = Arc::new(SimGround::new(sim.clone(), means));
    let cluster = Cluster::new(scenario, ground.clone(), options.seed);
    let tasks = Arc::new(HarnessTasks(sim.clone()));
    let stage = Stage::new(options.clone(), World::Sim, scene, cluster, tasks, LOOK_SIM);
    let begun = report.clone();
    let play = || sim::block_on(&sim, async move { stage.play(begun).await });
    *report = match dispatch {
        Some(dispatch) => tracing::dispatcher::with_default(&dispatch, play)?,
        None => play()?,
    };
    recorder.mix(&[sim.digest()]);
    report.digest = Some(recorder.digest());
    report.virtual_time = Some(recorder.now());
    report.gather(keys.as_deref(), &*ground);
    Ok(())
}

/// What the nodes of a run are started with. A scenario that measures gets the plain path of its datagrams, unless it asks
/// for faults, and none of its messages or datagrams is kept.
fn means(scenario: Arc<Scenario>, options: &RunOptions, scene: Arc<Scene>) -> Means {
    let measures = !scenario.loads.is_empty();
    if measures {
        scene.recorder().skip_messages();
    }
    Means {
        behaviours: options.behaviours.clone(),
        seed: options.seed,
        started: scene.recorder().started(),
        taps: !measures || scenario.has_faults(),
        captures: !measures,
        wanted: if options.hold.is_some() { Wanted::ALL } else { Wanted::of(&scenario) },
        keys: (!measures).then(|| Arc::new(KeyLines::default())),
        logs: (!measures).then(|| {
            let logs = Logs::new(scene.recorder().clone());
            let dispatch = logs.dispatch();
            (logs, dispatch)
        }),
        scenario,
        scene,
    }
}
