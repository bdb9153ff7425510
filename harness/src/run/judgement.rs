//! The end of a run: what was expected is judged for good, by the last look and by the recorded history.

use std::collections::BTreeMap;
use std::time::Duration;

use super::stage::{Stage, State};
use super::{Finding, Outcome};
use crate::condition::Condition;
use crate::expect::history::History;
use crate::record::EVENTS_MAX;
use crate::scenario::model::{Expectation, Rule};

impl Stage {
    /// Judges for good. In a run that went wrong, only what has been broken already is told: the rest did not get the
    /// time to come true.
    pub(super) fn judge(&self, until: Duration) {
        let last = self.observe();
        let whole = !self.has_findings();
        let asked = self.scenario.expectations.iter().any(|it| matches!(it.rule, Rule::History { .. }));
        let history = if asked && whole { Some(self.history(until)) } else { None };
        let mut state = self.state();
        let State { verdicts, findings, taken, .. } = &mut *state;
        for (expectation, verdict) in self.scenario.expectations.iter().zip(verdicts) {
            let since = self.since(expectation);
            if whole {
                verdict.end(expectation, since, &last);
                if let Rule::History { checker } = &expectation.rule {
                    findings.extend(self.check_history(expectation, checker, &history));
                }
            }
            if let Some(failed) = &verdict.failed {
                let condition = expectation.rule.condition().map(Condition::source).unwrap_or_default();
                findings.push(Finding {
                    outcome: Outcome::Fail,
                    line: Some(expectation.line),
                    what: format!("expectation `{}`", expectation.id),
                    message: format!("`{}` {failed}: {}", expectation.rule.kind(), condition.trim()),
                    values: verdict.values(expectation),
                });
            }
        }
        let missing = self.scenario.snapshots.iter().zip(taken).filter(|(_, taken)| whole && !**taken);
        for (snapshot, _) in missing {
            findings.push(Finding {
                outcome: Outcome::Fail,
                line: None,
                what: format!("snapshot `{}`", snapshot.id),
                message: format!("was never taken: the point `{}` was not reached", snapshot.after),
                values: None,
            });
        }
    }

    /// What was recorded until then, for checkers; nothing if there was too much of it. What came later may be known of
    /// some nodes and not of others: an arrival without its sending.
    fn history(&self, until: Duration) -> Option<History> {
        let (mut events, forgotten) = self.scene.recorder().events();
        if forgotten > 0 {
            return None;
        }
        events.retain(|event| u128::from(event.at_ns) <= until.as_nanos());
        let labels: BTreeMap<_, _> = self.scene.owners();
        let is_node = |label: &String| self.scenario.node(label).is_some();
        let nodes = labels.iter().filter(|(_, label)| is_node(label));
        Some(History {
            events,
            nodes: nodes.map(|(pid, label)| (pid.incarnation(), label.clone())).collect(),
            running: self.cluster.seats().iter().map(|seat| seat.control.incarnation()).collect(),
            labels,
        })
    }

    fn check_history(
        &self,
        expectation: &Expectation,
        name: &str,
        history: &Option<Option<History>>,
    ) -> Option<Finding> {
        let finding = |outcome, message: String, values| Finding {
            outcome,
            line: Some(expectation.line),
            what: format!("expectation `{}`", expectation.id),
            message,
            values,
        };
        let Some(history) = history.as_ref()? else {
            let message =
                format!("the history is too long to be checked: at most {EVENTS_MAX} events are kept");
            return Some(finding(Outcome::Invalid, message, None));
        };
        let Some(checker) = self.options.behaviours.checker(name) else {
            return Some(finding(Outcome::Internal, format!("nobody added a checker `{name}`"), None));
        };
        let wrong = checker(history).err()?;
        Some(finding(Outcome::Fail, format!("the history is not as `{name}` wants it"), Some(wrong)))
    }
}
