//! Scenario files as tests: each file and matrix cell is one, by libtest-mimic, so that `cargo nextest run` sees them.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::behaviour::Behaviours;
use crate::cli;
use crate::report::folder;
use crate::report::terminal::{Reporter, quoted};
use crate::run::many::Job;
use crate::run::{self, COMMAND, Outcome, RunOptions};
use crate::scenario::{self, Scenario, Vocabulary, World};

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
/// The target is the `regatta` command too, with these behaviours: `cargo test --test scenarios -- regatta run scenarios --world
/// sim --seeds 0..1000`, and likewise `check`, `replay` and `shrink`. What a failing test says to run again is such a line.
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
    let command = command(&behaviours);
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == COMMAND) {
        let arguments = [COMMAND.into()].into_iter().chain(arguments);
        return ExitCode::from(cli::main_with(arguments, &behaviours, &command));
    }
    let arguments = Arguments::from_args();
    let mut trials = trials(folder.as_ref(), &behaviours, &command);
    if std::env::var_os("NEXTEST").is_some() {
        let names: Vec<&str> = trials.iter().map(Trial::name).collect();
        let missing = unmapped(&names, nextest_config().as_deref().unwrap_or_default());
        trials.extend(missing.map(|missing| broken("nextest's mapping".to_owned(), missing)));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The command that runs a scenario of this suite by itself.
fn command(behaviours: &Behaviours) -> Arc<str> {
    if behaviours.vocabulary() == Vocabulary::default() {
        return COMMAND.into();
    }
    let program = std::env::current_exe().unwrap_or_default();
    let stem = program.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    // Behind the last dash cargo puts a number.
    let target = stem.rsplit_once('-').map_or(&*stem, |(target, _)| target);
    match std::env::var("CARGO_PKG_NAME") {
        Ok(package) => format!("cargo test -p {package} --test {target} -- {COMMAND}").into(),
        Err(_) => format!("{} {COMMAND}", quoted(&program.display().to_string())).into(),
    }
}

/// The text of the nextest configuration that holds for the crate under test.
fn nextest_config() -> Option<String> {
    let crate_folder = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?);
    let places = crate_folder.ancestors().map(|folder| folder.join(".config/nextest.toml"));
    places.filter_map(|place| std::fs::read_to_string(place).ok()).next()
}

/// What a configuration does not say of tests with these names: nextest reads weights and the like from names alone.
fn unmapped(names: &[&str], config: &str) -> Option<String> {
    let weight = format!("w={WEIGHT_MAX}");
    let (heavy, long) = (format!(" {weight}"), " long");
    let mut missing = String::new();
    if names.iter().any(|name| name.contains(&heavy)) && !config.contains(&weight) {
        missing.push_str(&format!(
            "[[profile.default.overrides]]\nfilter = \"test(/{heavy}/)\"\nthreads-required = {WEIGHT_MAX}\n"
        ));
    }
    if names.iter().any(|name| name.ends_with(long)) && !config.contains(long) {
        missing.push_str(&format!(
            "[profile.default]\ndefault-filter = \"not test(/{long}$/)\"\n[profile.long]\ndefault-filter = \"all()\"\n"
        ));
    }
    (!missing.is_empty())
        .then(|| format!(".config/nextest.toml does not map what test names say; add:\n\n{missing}"))
}

fn trials(folder: &Path, behaviours: &Behaviours, command: &Arc<str>) -> Vec<Trial> {
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
                    trials.extend(
                        worlds.map(|world| {
                            trial(scenario.clone(), *world, behaviours.clone(), command.clone())
                        }),
                    );
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

fn trial(scenario: Arc<Scenario>, world: World, behaviours: Behaviours, command: Arc<str>) -> Trial {
    let name = name(&scenario, world);
    Trial::test(name, move || {
        let seed = scenario.seed.unwrap_or(1);
        let time_factor = Some(time_factor()?);
        let command = Some(command);
        let options = RunOptions { seed, behaviours, command, time_factor, ..RunOptions::default() };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nextest_is_not_told_of_weights_and_long_tests_is_missed() {
        let names = ["a/b@sim w=1", "load/c@inproc w=2", "a/d@process w=1 long"];
        let missing = unmapped(&names, "").expect("both");
        assert!(
            missing.contains("threads-required = 2") && missing.contains("not test(/ long$/)"),
            "{missing}"
        );
        assert_eq!(unmapped(&names[..1], ""), None, "there is nothing to map");
        let config = include_str!("../../.config/nextest.toml");
        assert_eq!(unmapped(&names, config), None);
        assert_eq!(unmapped(&names, include_str!("../../examples/own-cluster/.config/nextest.toml")), None);
    }
}
