//! Making a failure small: the fewest faults, steps, processes and nodes with which a scenario still fails the same way.
//!
//! A run in the world `sim` is played once, and what it chose at random is written out: each strike of a nemesis with its
//! time and its nodes. Then parts are taken out by delta debugging, and values made simpler, for as long as the run fails
//! with the same finding and with no other one. What comes out is a scenario file of its own.
//!
//! A scenario that has lost a part may fail for that alone: a node that is not there is never a member. Where a
//! finding could come from that, a candidate must pass without its faults; and if even the whole file does not, only
//! faults and values are made smaller.

mod ddmin;
mod same;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::run::{self, Finding, Outcome, RunOptions, RunReport};
use crate::scenario::draft::{Chosen, Draft, Part};
use crate::scenario::{self, Scenario, World};
use ddmin::ddmin;
use same::{Same, is_universal};

/// Runs that are made when nothing else is asked for.
pub const RUNS_DEFAULT: usize = 1000;

/// Rounds over all kinds of parts: what one takes out may make room for another.
const ROUNDS_MAX: usize = 5;
/// How often one value is made simpler in a round.
const SIMPLER_MAX: usize = 4;

/// How large a scenario is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Strikes of nemeses.
    pub strikes: usize,
    /// Steps, those that begin a fault included.
    pub steps: usize,
    /// Processes, as the file lists them.
    pub processes: usize,
    /// Nodes.
    pub nodes: u64,
    /// Expectations.
    pub expectations: usize,
}

/// How far it has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Runs so far.
    pub runs: usize,
    /// How many it may become.
    pub runs_max: usize,
    /// The smallest scenario so far that fails the same way.
    pub best: Size,
}

/// Why it came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Nothing that was tried makes it smaller.
    Minimal,
    /// The runs that it may make are used up.
    Runs,
    /// It was stopped from outside.
    Interrupted,
}

/// A scenario that was made small.
#[derive(Debug, Clone)]
pub struct Shrunk {
    draft: Draft,
    /// What it fails with.
    pub finding: Finding,
    /// How large it was, with what was chosen at random written out.
    pub before: Size,
    /// How large it is.
    pub after: Size,
    /// How many runs it took.
    pub runs: usize,
    /// Why there are not more.
    pub ended: Ended,
    /// Whether it passes without its faults; nothing where that was not asked.
    pub passes_without_faults: Option<bool>,
    /// Whether what was chosen at random could be written out.
    pub explicit: bool,
}

/// Why a run cannot be made smaller. Nothing was written.
#[derive(Debug, Error)]
pub enum ShrinkError {
    /// It does not fail.
    #[error("the run is not one that fails: it came out as `{0}`")]
    DoesNotFail(&'static str),
    /// It fails by a snapshot.
    #[error(
        "{0} is what fails: a view has to be compared with its accepted text, and cannot be made smaller"
    )]
    Snapshot(String),
    /// The same file, written anew, does not fail in the same way.
    #[error(
        "the file does not fail in the same way when it is written anew, so nothing can be taken out of it"
    )]
    Unrepeatable,
    /// Not all forms of the file could be tried.
    #[error(
        "there were too few runs to find out whether the file fails in the same way when it is written anew"
    )]
    TooFewRuns,
    /// It was stopped before anything was known.
    #[error("interrupted before the first run was over")]
    Interrupted,
}

impl Shrunk {
    /// The text of the file, with this `about`.
    #[must_use]
    pub fn text(&self, about: &str) -> String {
        self.draft.about(about).text()
    }
}

/// Makes a failing run of the world `sim` as small as it can, within so many runs; `tell` hears of each of them. With
/// `options.stop` it ends early, and what it has by then comes out. The seed is that of the options.
///
/// # Errors
/// [`ShrinkError`] when the run does not fail, or fails by what cannot be made smaller.
pub fn shrink(
    scenario: &Arc<Scenario>,
    options: &RunOptions,
    runs_max: usize,
    tell: &mut dyn FnMut(&Progress),
) -> Result<Shrunk, ShrinkError> {
    let first = run::run(scenario.clone(), World::Sim, &RunOptions { explain: true, ..options.clone() });
    match first.outcome {
        Outcome::Fail | Outcome::Internal => {}
        Outcome::Interrupted => return Err(ShrinkError::Interrupted),
        other => return Err(ShrinkError::DoesNotFail(other.name())),
    }
    let finding = first.findings[0].clone();
    if finding.what.starts_with("snapshot ") {
        return Err(ShrinkError::Snapshot(finding.what));
    }
    let plain = Draft::of(scenario, options.seed);
    let whole = plain.explicit(&chosen(&first));
    let wanted = first.findings.iter().map(|finding| Same::of(finding, scenario, None)).collect();
    let mut search = Search {
        file: &scenario.file,
        options,
        runs_max,
        runs: 1,
        tried: HashSet::new(),
        wanted,
        controlled: false,
        best: whole.clone(),
        tell,
    };
    let explicit = search.takes(whole);
    if !explicit && !search.takes(plain) {
        return Err(match search.ended() {
            Ended::Interrupted => ShrinkError::Interrupted,
            Ended::Runs => ShrinkError::TooFewRuns,
            Ended::Minimal => ShrinkError::Unrepeatable,
        });
    }
    let before = size(&search.best);
    let passes_without_faults = search.all(is_universal(&finding, scenario));
    let after = size(&search.best);
    Ok(Shrunk {
        finding,
        before,
        after,
        runs: search.runs,
        ended: search.ended(),
        passes_without_faults,
        explicit,
        draft: search.best,
    })
}

/// What a run chose at random.
fn chosen(report: &RunReport) -> Chosen {
    let Some(remains) = &report.remains else { return Chosen::default() };
    let count = report.scenario.nemeses.len();
    let mut chosen =
        Chosen { begun: vec![Duration::ZERO; count], strikes: vec![Vec::new(); count], steps: Vec::new() };
    for (nemesis, begun) in &remains.nemeses {
        chosen.begun[*nemesis] = begun.saturating_sub(remains.begun);
    }
    for (_, record, _) in &remains.faults {
        match record.by {
            run::faults::Source::Nemesis(nemesis) => {
                let since = remains.nemeses.get(&nemesis).copied().unwrap_or_default();
                chosen.strikes[nemesis].push((record.begun.saturating_sub(since), record.as_it_was()));
            }
            run::faults::Source::Hand => {}
            run::faults::Source::Step(step) => chosen.steps.push((step, record.fault.clone())),
        }
    }
    chosen
}

fn size(draft: &Draft) -> Size {
    Size {
        strikes: draft.count(Part::Strike),
        steps: draft.count(Part::Step),
        processes: draft.count(Part::Process),
        nodes: draft.nodes(),
        expectations: draft.count(Part::Expect),
    }
}

/// The search for smaller scenarios.
struct Search<'a> {
    file: &'a str,
    options: &'a RunOptions,
    runs_max: usize,
    runs: usize,
    /// Texts that were tried.
    tried: HashSet<String>,
    /// What the first run fails with; the first of them is what is looked for.
    wanted: Vec<Same>,
    /// Whether a candidate must pass without its faults.
    controlled: bool,
    /// The smallest that fails the same way.
    best: Draft,
    tell: &'a mut dyn FnMut(&Progress),
}

impl Search<'_> {
    /// Takes out whatever can be, in rounds. Whether the file passes without its faults, if that had to be asked.
    fn all(&mut self, universal: bool) -> Option<bool> {
        self.parts(Part::Expect);
        self.parts(Part::Load);
        let mut whole_only = false;
        let mut passes = None;
        if !universal {
            passes = self.control(&self.best.clone());
            self.controlled = passes == Some(true);
            whole_only = !self.controlled;
        }
        for _ in 0..ROUNDS_MAX {
            let before = self.best.text();
            self.parts(Part::Strike);
            if !whole_only {
                self.parts(Part::Step);
                self.parts(Part::Process);
                while self.first_of(self.best.with_a_node_less()) {}
                self.first_of(self.best.without_network());
            }
            self.values();
            if self.is_over() || self.best.text() == before {
                break;
            }
        }
        passes
    }

    /// Takes out parts of one kind.
    fn parts(&mut self, part: Part) {
        let from = self.best.clone();
        ddmin(from.count(part), |kept| self.takes(from.keep(part, kept)));
    }

    /// Makes values simpler.
    fn values(&mut self) {
        for place in self.best.places() {
            for _ in 0..SIMPLER_MAX {
                if !self.first_of(self.best.simpler(&place)) {
                    break;
                }
            }
        }
    }

    /// Takes the first of several candidates that fails the same way, if one does.
    fn first_of(&mut self, candidates: impl IntoIterator<Item = Draft>) -> bool {
        candidates.into_iter().any(|draft| self.takes(draft))
    }

    /// Tries a candidate, and makes it the best one if it fails the same way.
    fn takes(&mut self, draft: Draft) -> bool {
        let fails = self.fails_the_same(&draft) && (!self.controlled || self.passes_without_faults(&draft));
        if fails {
            self.best = draft;
        }
        fails
    }

    fn fails_the_same(&mut self, draft: &Draft) -> bool {
        let Some(report) = self.play(draft) else { return false };
        let found: Vec<Same> =
            report.findings.iter().map(|finding| Same::of(finding, &report.scenario, Some(draft))).collect();
        found.contains(&self.wanted[0]) && found.iter().all(|same| self.wanted.contains(same))
    }

    fn passes_without_faults(&mut self, draft: &Draft) -> bool {
        self.control(draft) == Some(true)
    }

    /// Whether a draft that fails passes without its faults; nothing when that could not be seen.
    fn control(&mut self, draft: &Draft) -> Option<bool> {
        if !draft.has_faults() {
            // It is known to fail.
            return Some(false);
        }
        let control = draft.without_faults();
        // Several candidates may have the same one.
        self.tried.remove(&control.text());
        self.play(&control).map(|report| report.outcome == Outcome::Pass)
    }

    /// Runs a draft; nothing when it is no scenario, was tried before, or no run may be made any more.
    fn play(&mut self, draft: &Draft) -> Option<RunReport> {
        let text = draft.text();
        if self.is_over() || self.tried.contains(&text) {
            return None;
        }
        let loaded = scenario::load_str(self.file, &text, &self.options.behaviours.vocabulary());
        self.tried.insert(text);
        let scenario = Arc::new(loaded.ok()?.swap_remove(0));
        let report = run::run(scenario, World::Sim, self.options);
        self.runs += 1;
        (self.tell)(&Progress { runs: self.runs, runs_max: self.runs_max, best: size(&self.best) });
        Some(report)
    }

    fn is_stopped(&self) -> bool {
        self.options.stop.as_ref().is_some_and(|stop| *stop.borrow())
    }

    fn is_over(&self) -> bool {
        self.runs >= self.runs_max || self.is_stopped()
    }

    fn ended(&self) -> Ended {
        match self.is_stopped() {
            true => Ended::Interrupted,
            false if self.runs >= self.runs_max => Ended::Runs,
            false => Ended::Minimal,
        }
    }
}
