//! Judging expectations, observation by observation. Pure: what it needs to know is passed in.

use std::sync::Arc;
use std::time::Duration;

use crate::condition::{Condition, Observation};
use crate::scenario::model::{Expectation, Rule};

/// What an expectation has come to so far.
#[derive(Debug, Default, Clone)]
pub(crate) struct Verdict {
    /// It cannot come out well any more; why.
    pub(crate) failed: Option<String>,
    /// It has been met: once and for all, or so far.
    met: bool,
    /// How many observations it was judged by.
    pub(crate) seen: u64,
    /// Its condition had a value in one of them.
    had_value: bool,
    /// Since when it has held, for `eventually`.
    holds_since: Option<Duration>,
    /// From when it has counted.
    since: Option<Duration>,
    /// Its `until` has been reached, or it was looked at for good.
    closed: bool,
    /// What was last seen not to hold, or to hold and must not. Explained only when somebody asks.
    last_unmet: Option<Arc<Observation>>,
}

/// Where an expectation's window stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// When it opened, if it has.
    pub(crate) since: Option<Duration>,
    /// Whether it has closed.
    pub(crate) closed: bool,
}

impl Verdict {
    /// Looks at one observation, taken at `now`. Whether the expectation has been met by it for the first time.
    pub(crate) fn look(
        &mut self,
        expectation: &Expectation,
        window: Window,
        now: Duration,
        observation: &Arc<Observation>,
    ) -> bool {
        let Some(since) = window.since else { return false };
        if self.closed || self.failed.is_some() {
            return false;
        }
        if let Rule::Finally { condition, after } = &expectation.rule {
            // Without a point of its own it is for the end.
            if after.is_none() {
                return false;
            }
            self.since = Some(since);
            self.closed = true;
            self.finally(condition, observation, "did not hold after its point");
            return self.failed.is_none();
        }
        if window.closed {
            self.closed = true;
            return false;
        }
        let since = *self.since.get_or_insert(since);
        let Some(condition) = expectation.rule.condition() else { return false };
        self.seen += 1;
        if self.met && matches!(expectation.rule, Rule::Sometimes(_)) {
            return false;
        }
        let value = condition.evaluate(observation);
        self.had_value |= value.is_ok();
        let holds = value.unwrap_or(false);
        if !holds {
            self.last_unmet = Some(observation.clone());
        }
        match &expectation.rule {
            Rule::Always(_) if !holds => {
                self.failed = Some(format!("did not hold {} s into the run", seconds(now)));
            }
            Rule::Never(_) if holds => {
                self.failed = Some(format!("held {} s into the run", seconds(now)));
                self.last_unmet = Some(observation.clone());
            }
            Rule::Sometimes(_) if holds => return !std::mem::replace(&mut self.met, true),
            Rule::Eventually { within, .. } => {
                if holds {
                    let first = *self.holds_since.get_or_insert(now);
                    if within.is_none_or(|within| first <= since + within) {
                        return !std::mem::replace(&mut self.met, true);
                    }
                } else {
                    self.holds_since = None;
                }
                if let Some(within) = within
                    && now > since + *within
                    && self.holds_since.is_none_or(|first| first > since + *within)
                {
                    self.failed = Some(format!("did not hold within {} s", seconds(*within)));
                }
            }
            _ => {}
        }
        false
    }

    /// Judges for good: `last` is the observation after the last step and load.
    pub(crate) fn end(
        &mut self,
        expectation: &Expectation,
        since: Option<Duration>,
        last: &Arc<Observation>,
    ) {
        if self.failed.is_some() {
            return;
        }
        let fail = |verdict: &mut Self, why: &str| verdict.failed = Some(why.to_owned());
        if since.is_none() && self.since.is_none() {
            fail(self, "was never judged: the point that it counts from was not reached");
            return;
        }
        match &expectation.rule {
            Rule::Finally { condition, .. } if !self.closed => {
                self.finally(condition, last, "does not hold at the end");
            }
            Rule::Sometimes(_) if !self.met => fail(self, "held in no observation"),
            Rule::Eventually { .. } if self.holds_since.is_none() => fail(self, "does not hold at the end"),
            Rule::Always(_) | Rule::Never(_) if self.seen == 0 => {
                fail(self, "was never judged: no observation fell into its window");
            }
            Rule::Never(_) if !self.had_value => {
                fail(self, "was never judged: the condition had a value in no observation");
            }
            _ => {}
        }
    }

    /// Looks once and for all.
    fn finally(&mut self, condition: &Condition, observation: &Arc<Observation>, otherwise: &str) {
        self.seen += 1;
        if !condition.evaluate(observation).unwrap_or(false) {
            self.last_unmet = Some(observation.clone());
            self.failed = Some(otherwise.to_owned());
        }
    }

    /// The values of the condition's parts when it was last seen not to hold.
    pub(crate) fn values(&self, expectation: &Expectation) -> Option<String> {
        Some(explain(expectation.rule.condition()?, self.last_unmet.as_ref()?))
    }
}

/// The condition's parts with their values.
pub(crate) fn explain(condition: &Condition, observation: &Observation) -> String {
    condition.explain(observation).to_string()
}

fn seconds(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::condition::Ids;
    use serde_json::json;

    fn expectation(rule: Rule) -> Expectation {
        Expectation { id: "e".to_owned(), line: 1, rule, since: None, until: None }
    }

    fn condition(source: &str) -> Condition {
        Condition::compile(source, &Ids::default()).expect("compiles")
    }

    fn nodes(count: usize) -> Arc<Observation> {
        let all: Vec<_> = (0..count).map(|n| json!({ "name": format!("n{n}") })).collect();
        Arc::new(Observation::new(&json!({ "nodes": all })).expect("an object"))
    }

    const OPEN: Window = Window { since: Some(Duration::ZERO), closed: false };

    fn judged(rule: Rule, counts: &[usize]) -> Verdict {
        let expectation = expectation(rule);
        let mut verdict = Verdict::default();
        for (second, count) in counts.iter().enumerate() {
            verdict.look(&expectation, OPEN, Duration::from_secs(second as u64), &nodes(*count));
        }
        verdict.end(&expectation, Some(Duration::ZERO), &nodes(*counts.last().expect("one")));
        verdict
    }

    #[test]
    fn always_fails_at_the_first_observation_that_breaks_it() {
        assert!(judged(Rule::Always(condition("nodes.size() == 2")), &[2, 2]).failed.is_none());
        let broken = judged(Rule::Always(condition("nodes.size() == 2")), &[2, 1, 2]);
        assert!(broken.failed.expect("fails").contains("1.00 s"));
    }

    #[test]
    fn never_and_sometimes_are_each_others_opposite() {
        assert!(judged(Rule::Never(condition("nodes.size() == 3")), &[1, 2]).failed.is_none());
        assert!(judged(Rule::Never(condition("nodes.size() == 2")), &[1, 2]).failed.is_some());
        assert!(judged(Rule::Sometimes(condition("nodes.size() == 2")), &[1, 2, 1]).failed.is_none());
        assert!(judged(Rule::Sometimes(condition("nodes.size() == 3")), &[1, 2]).failed.is_some());
    }

    #[test]
    fn eventually_must_come_in_time_and_stay() {
        let rule = |within| Rule::Eventually { condition: condition("nodes.size() == 2"), within };
        assert!(judged(rule(None), &[1, 2, 2]).failed.is_none());
        assert!(judged(rule(None), &[1, 2, 1]).failed.is_some(), "it must hold to the end");
        assert!(judged(rule(Some(Duration::from_secs(1))), &[1, 2, 2]).failed.is_none());
        assert!(judged(rule(Some(Duration::from_secs(1))), &[1, 1, 2, 2]).failed.is_some(), "too late");
        assert!(
            judged(rule(Some(Duration::from_secs(1))), &[2, 1, 2, 2]).failed.is_some(),
            "it came back too late"
        );
    }

    #[test]
    fn finally_after_a_point_is_judged_there_and_not_at_the_end() {
        let judged_at = |count: usize| {
            let rule =
                Rule::Finally { condition: condition("nodes.size() == 2"), after: Some("p".to_owned()) };
            let expectation = expectation(rule);
            let mut verdict = Verdict::default();
            let before = Window { since: None, closed: false };
            assert!(!verdict.look(&expectation, before, Duration::ZERO, &nodes(5)));
            let met = verdict.look(&expectation, OPEN, Duration::ZERO, &nodes(count));
            verdict.look(&expectation, OPEN, Duration::ZERO, &nodes(3 - count));
            verdict.end(&expectation, Some(Duration::ZERO), &nodes(3 - count));
            (met, verdict.failed.is_none())
        };
        assert_eq!(judged_at(2), (true, true), "it held at its point");
        assert_eq!(judged_at(1), (false, false), "it holds at the end only");
    }

    #[test]
    fn an_expectation_whose_window_never_opened_has_not_been_met() {
        let expectation = expectation(Rule::Always(condition("nodes.size() == 2")));
        let mut verdict = Verdict::default();
        verdict.look(&expectation, Window { since: None, closed: false }, Duration::ZERO, &nodes(2));
        verdict.end(&expectation, None, &nodes(2));
        assert!(verdict.failed.is_some());
    }

    #[test]
    fn a_condition_that_has_no_value_does_not_hold() {
        assert!(judged(Rule::Always(condition("nodes[5].name == 'n5'")), &[2]).failed.is_some());
        let never = || Rule::Never(condition("nodes[5].name == 'n5'"));
        let failed = judged(never(), &[2, 3]).failed.expect("it says nothing about anything");
        assert!(failed.contains("had a value in no observation"), "{failed}");
        assert!(judged(never(), &[2, 6, 2]).failed.is_some(), "it held");
        assert!(judged(Rule::Never(condition("nodes[1].name == 'n5'")), &[1, 2]).failed.is_none());
    }
}
