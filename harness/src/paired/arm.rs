//! One trial: a build runs the gate's scenario in a process of its own, and hands in its figures.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;

use crate::gate::Metric;
use crate::scenario::load::GateRule;
use crate::scenario::{self, Scenario, Vocabulary, World};

/// A build that can run a scenario, and the file that it runs.
#[derive(Debug, Clone)]
pub struct Arm {
    /// The `regatta` command of the build.
    pub program: PathBuf,
    /// The scenario file.
    pub scenario: PathBuf,
    /// Where it runs; the file's own first world when absent.
    pub world: Option<World>,
}

/// One run of a cell, as the process told it.
#[derive(Debug, Clone, PartialEq)]
pub struct CellRun {
    /// The cell, as `[nodes=3]`.
    pub cell: String,
    /// Its figures.
    pub figures: Figures,
}

/// Figures by name: `latency.p50_us`.
pub type Figures = BTreeMap<String, f64>;

/// Why a trial gave no figures.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrialError {
    /// The process could not be started.
    #[error("`{program}` could not be started: {source}")]
    Start {
        /// The command.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It did not end in time, and was ended.
    #[error("the trial, or a turn of it, had not ended after {0} s, and was cut")]
    Hung(u64),
    /// It failed; nothing was measured.
    #[error("the scenario came out as `{outcome}`: {detail}")]
    Failed {
        /// Its outcome.
        outcome: String,
        /// What it said.
        detail: String,
    },
    /// What it printed is none of ours: most likely it is too old for this scenario.
    #[error("the build printed no results (exit code {code}); {detail}")]
    Unreadable {
        /// Its exit code, or what ended it.
        code: String,
        /// The end of what it said.
        detail: String,
    },
}

impl Arm {
    /// Runs every cell once and waits for their figures.
    ///
    /// # Errors
    /// [`TrialError`]; the process has ended in every case.
    pub fn runs(&self, seed: u64) -> Result<Vec<CellRun>, TrialError> {
        let (text, said, code) = self.document(seed, &[], TRIAL_WITHIN)?;
        read(&text, &said, code)
    }

    /// Runs every cell once: the document that came of it, what was said beside it, and the exit code.
    ///
    /// # Errors
    /// [`TrialError::Start`] and [`TrialError::Hung`]; the process has ended in every case.
    pub fn document(
        &self,
        seed: u64,
        more: &[String],
        within: Duration,
    ) -> Result<(String, String, String), TrialError> {
        let mut command = self.command(seed);
        command.args(more);
        let mut child =
            command.spawn().map_err(|source| TrialError::Start { program: self.program.clone(), source })?;
        let (tell, told) = mpsc::channel();
        let said = listen(child.stderr.take());
        let text = listen(child.stdout.take());
        thread::spawn(move || {
            let both = (text.join().unwrap_or_default(), said.join().unwrap_or_default());
            // Nobody may wait any more.
            let _ = tell.send(both);
        });
        let Ok((text, said)) = told.recv_timeout(within) else {
            // It may have ended just now.
            let _ = child.kill();
            let _ = child.wait();
            return Err(TrialError::Hung(within.as_secs()));
        };
        Ok((text, said, code(&mut child)))
    }

    /// The command of a trial, with its document on the standard output.
    pub(super) fn command(&self, seed: u64) -> Command {
        let scenario: OsString = self.scenario.clone().into();
        let mut command = Command::new(&self.program);
        command.arg("run").arg(scenario).args(["--json", "-", "--seed", &seed.to_string()]);
        if let Some(world) = self.world {
            command.args(["--world", world.name()]);
        }
        // What it would write into `results/runs` of this folder is one file for each trial.
        command.current_dir(std::env::temp_dir());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// Reads what a process says to its end, on a thread of its own: a pipe that nobody reads would hold the process up.
pub(super) fn listen(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        // What cannot be read is empty, which the reader of the figures notices.
        let _ = pipe.map(|mut pipe| pipe.read_to_string(&mut text));
        text
    })
}

/// The exit code of a process that has ended or is about to, or what ended it.
pub(super) fn code(child: &mut Child) -> String {
    child.wait().map_or_else(
        |error| error.to_string(),
        |status| match status.code() {
            Some(code) => code.to_string(),
            None => status.to_string(),
        },
    )
}

pub(super) fn read(text: &str, said: &str, code: String) -> Result<Vec<CellRun>, TrialError> {
    let tail = || {
        let error = said.lines().find(|line| line.trim_start().starts_with("error:"));
        let too_old = if said.contains(IN_TURNS) { "; it is too old to take turns with others" } else { "" };
        let end = || said.trim().lines().rev().take(3).collect::<Vec<_>>().join(" | ");
        format!("{}{too_old}", error.map_or_else(end, |error| error.trim().to_owned()))
    };
    let document: Value = serde_json::from_str(text)
        .map_err(|_| TrialError::Unreadable { code: code.clone(), detail: tail() })?;
    let runs = document["scenarios"].as_array().map_or(&[][..], Vec::as_slice);
    if runs.is_empty() {
        // A file with keys that the build does not know is not run at all.
        return Err(TrialError::Unreadable { code, detail: tail() });
    }
    runs.iter().map(cell_run).collect()
}

fn cell_run(run: &Value) -> Result<CellRun, TrialError> {
    let outcome = run["outcome"].as_str().unwrap_or("missing");
    let failed = |detail: String| TrialError::Failed { outcome: outcome.to_owned(), detail };
    if outcome != "pass" {
        let findings = run["findings"].as_array().into_iter().flatten();
        let messages: Vec<&str> = findings.filter_map(|finding| finding["message"].as_str()).collect();
        return Err(failed(messages.join("; ")));
    }
    let mut figures = Figures::new();
    for (load, of) in run["figures"].as_object().into_iter().flatten() {
        for (figure, value) in of.as_object().into_iter().flatten() {
            if let Some(value) = value.as_f64() {
                figures.insert(format!("{load}.{figure}"), value);
            }
        }
    }
    if figures.is_empty() {
        return Err(failed("it measured nothing".to_owned()));
    }
    Ok(CellRun { cell: run["cell"].as_str().unwrap_or_default().to_owned(), figures })
}

/// Reads a gate's scenario: its paired metrics, and the scenario.
///
/// # Errors
/// What is wrong with the file, rendered.
pub fn gates(file: &Path) -> Result<(Scenario, Vec<Metric>), String> {
    let scenarios = scenario::load(file, &Vocabulary::default()).map_err(|wrong| wrong.render(false))?;
    let [scenario] = <[Scenario; 1]>::try_from(scenarios).map_err(|all| {
        format!("{}: a gate compares one cell, and this file has {}", file.display(), all.len())
    })?;
    let metrics = scenario.gates.iter().filter_map(|gate| {
        let (higher_is_better, threshold) = match gate.rule {
            GateRule::Paired { max_decrease: Some(share), .. } => (true, share),
            GateRule::Paired { max_increase: Some(share), .. } => (false, share),
            _ => return None,
        };
        let name = format!("{}.{}", gate.load, gate.figure);
        Some(Metric { name, higher_is_better, threshold, level: gate.level })
    });
    let metrics: Vec<Metric> = metrics.collect();
    if metrics.is_empty() {
        return Err(format!("{}: it has no paired [[gate]]", file.display()));
    }
    Ok((scenario, metrics))
}

/// The option with which a run takes turns.
pub(super) const IN_TURNS: &str = "--in-turns";
/// How long a trial, or one of its turns, may take before it is ended.
pub(super) const TRIAL_WITHIN: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_by_load_and_name_and_only_of_a_run_that_passed() {
        let text = |outcome: &str| {
            format!(
                r#"{{"scenarios":[{{"outcome":"{outcome}","figures":{{"latency":{{"p50_us":12.5,"model":"closed"}}}},
                   "findings":[{{"message":"why"}}]}}]}}"#
            )
        };
        let runs = read(&text("pass"), "", "0".into()).expect("figures");
        assert_eq!(
            runs[0].figures.clone().into_iter().collect::<Vec<_>>(),
            [("latency.p50_us".to_owned(), 12.5)]
        );
        let failed = read(&text("fail"), "", "1".into()).expect_err("no figures");
        assert_eq!(failed.to_string(), "the scenario came out as `fail`: why");
    }

    #[test]
    fn a_build_that_does_not_know_the_scenario_is_told_apart_from_a_failure() {
        let error = read("", "error: unknown key `work`", "65".into()).expect_err("no figures");
        assert_eq!(
            error.to_string(),
            "the build printed no results (exit code 65); error: unknown key `work`"
        );
    }
}
