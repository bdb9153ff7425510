//! When two findings are the same failure.

use crate::run::{Finding, Outcome};
use crate::scenario::Scenario;
use crate::scenario::draft::Draft;
use crate::scenario::model::Rule;

/// A failure, without what differs from run to run: its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Same {
    outcome: Outcome,
    /// The expectation, the step, or what always holds.
    what: String,
    /// What happened, with `#` for numbers: times, and how many nodes there are.
    message: String,
    /// Which of the first file's steps, if it is a step.
    step: Option<usize>,
}

impl Same {
    /// The failure that a finding tells of. Steps are those of `draft`, or of the first file.
    pub(super) fn of(finding: &Finding, scenario: &Scenario, draft: Option<&Draft>) -> Self {
        let on_line = |line| scenario.steps.iter().position(|step| step.line == line);
        let index = finding.line.and_then(on_line);
        Self {
            outcome: finding.outcome,
            what: finding.what.clone(),
            message: masked(&finding.message),
            step: index.and_then(|index| draft.map_or(Some(index), |draft| draft.step(index))),
        }
    }
}

/// Whether a failure can only come from the cluster, and not from a scenario that has lost a part which it needs: what
/// always holds, a checker over the history, and conditions that count from the first step on.
pub(super) fn is_universal(finding: &Finding, scenario: &Scenario) -> bool {
    let expectation =
        scenario.expectations.iter().find(|it| finding.what == format!("expectation `{}`", it.id));
    match expectation {
        Some(expectation) => match expectation.rule {
            Rule::History { .. } => true,
            Rule::Always(_) | Rule::Never(_) => expectation.since.is_none(),
            _ => false,
        },
        None => finding.what.starts_with("always on") || finding.outcome == Outcome::Internal,
    }
}

fn masked(message: &str) -> String {
    let mut masked = String::new();
    for character in message.chars() {
        match character {
            '0'..='9' if masked.ends_with('#') => {}
            '0'..='9' => masked.push('#'),
            other => masked.push(other),
        }
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_make_no_other_failure_and_words_do() {
        assert_eq!(masked("did not hold 3.03 s into the run"), masked("did not hold 12.5 s into the run"));
        assert_ne!(masked("held 3 s into the run"), masked("was never judged"));
    }
}
