//! Scenario files as tests: each file and matrix cell is one, by libtest-mimic, so that `cargo nextest run` sees them.

use std::num::NonZeroU32;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::behaviour::Behaviours;
use crate::report::folder;
use crate::report::terminal::Reporter;
use crate::run::many::Job;
use crate::run::{self, Outcome, RunOptions};
use crate::scenario::{self, Scenario, World};

/// The environment variable that says how many times as long things may take.
const TIME_FACTOR: &str = "REGATTA_TIME_FACTOR";
/// How many times as long they may take when it does not.
const TIME_FACTOR_DEFAULT: NonZeroU32 = NonZeroU32::new(4).expect("it is four");

/// The most of the machine's test slots that a test says it takes; what measures is alone anyway.
const WEIGHT_MAX: usize = 2;

/// Runs every scenario file below `folder` as a test: the body of a test target with `harness = false`.
///
/// A suite runs many tests beside each other, often in a debug build and on a busy machine. So where time is real, what must
/// happen within some time may take four times as long; the environment variable `REGATTA_TIME_FACTOR` says otherwise.
/// In `sim` every time is what the file says.
///
/// A test is called `area/name[cell]@world w=N`, where `w` is how many test slots it should take, and ends in ` long`
/// when the file is tagged so; `.config/nextest.toml` maps both.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     regatta_harness::suite("scenarios", regatta_harness::behaviour::Behaviours::default())
/// }
/// ```
pub fn suite(folder: impl AsRef<Path>, behaviours: Behaviours) -> ExitCode {
    if let Some(ended) = crate::world::process::be_a_node_if_asked(&behaviours) {
        return ended;
    }
    let arguments = Arguments::from_args();
    let trials = trials(folder.as_ref(), &behaviours);
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trials(folder: &Path, behaviours: &Behaviours) -> Vec<Trial> {
    let vocabulary = behaviours.vocabulary();
    let files = match scenario::discover([folder]) {
        Ok(files) => files,
        // A suite that finds nothing must not pass.
        Err(error) => return vec![broken("scenarios".to_owned(), error.to_string())],
    };
    let mut trials = Vec::new();
    for file in files {
        match scenario::load(&file, &vocabulary) {
            Ok(scenarios) => {
                for scenario in scenarios.into_iter().map(Arc::new) {
                    let worlds = scenario.worlds.iter();
                    trials.extend(worlds.map(|world| trial(scenario.clone(), *world, behaviours.clone())));
                }
            }
            Err(diagnostics) => {
                trials.push(broken(file.display().to_string(), diagnostics.render(false)));
            }
        }
    }
    trials
}

fn broken(name: String, why: String) -> Trial {
    Trial::test(name, move || Err(Failed::from(why)))
}

fn trial(scenario: Arc<Scenario>, world: World, behaviours: Behaviours) -> Trial {
    let name = name(&scenario, world);
    Trial::test(name, move || {
        let seed = scenario.seed.unwrap_or(1);
        let time_factor = Some(time_factor()?);
        let options = RunOptions { seed, behaviours, time_factor, ..RunOptions::default() };
        let mut report = run::run(scenario, world, &options);
        if report.outcome == Outcome::Pass {
            return Ok(());
        }
        // Without the folder the report is still there.
        report.folder = folder::write(&folder::root(), &report).ok().flatten();
        let mut text = Vec::new();
        let written = Reporter::new(&mut text, false, false, 0).end(&report);
        written.map_err(|error| Failed::from(error.to_string()))?;
        Err(Failed::from(String::from_utf8_lossy(&text).into_owned()))
    })
}

/// How many times as long things may take that must happen in time.
fn time_factor() -> Result<NonZeroU32, Failed> {
    let Some(text) = std::env::var_os(TIME_FACTOR) else { return Ok(TIME_FACTOR_DEFAULT) };
    let number = text.to_str().and_then(|text| text.parse().ok());
    number.ok_or_else(|| {
        Failed::from(format!("{TIME_FACTOR} is {}: it must be a whole number from 1 on", text.display()))
    })
}

fn name(scenario: &Arc<Scenario>, world: World) -> String {
    let job = Job { scenario: scenario.clone(), world, seed: 1, twice: false };
    let weight = job.weight(WEIGHT_MAX);
    let long = if scenario.is_long(world) { " long" } else { "" };
    format!("{}@{world} w={weight}{long}", scenario.full_title())
}
