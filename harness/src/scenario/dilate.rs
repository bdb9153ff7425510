//! More time for the same scenario, where time is real: a busy machine is late, and that is no failure.

use std::num::NonZeroU32;

use super::Scenario;
use super::action::{Action, CallResult, ConfirmResult};
use super::model::Rule;

impl Scenario {
    /// The same scenario, in which everything that must happen within some time may take `factor` times as long, and so may
    /// the run. What must not happen, how long faults hold and how long loads last stays as it is, and so does a step whose
    /// call or name must be refused in time: it would only wait longer.
    #[must_use]
    pub fn dilated(&self, factor: NonZeroU32) -> Self {
        let mut dilated = self.clone();
        let factor = factor.get();
        dilated.timeout = dilated.timeout.saturating_mul(factor);
        for step in &mut dilated.steps {
            let is_refusal = matches!(
                step.action,
                Action::Call { expect: CallResult::Timeout, .. }
                    | Action::Confirm { expect: ConfirmResult::Refused, .. }
            );
            if !is_refusal {
                step.within = step.within.saturating_mul(factor);
            }
        }
        for expectation in &mut dilated.expectations {
            if let Rule::Eventually { within: Some(within), .. } = &mut expectation.rule {
                *within = within.saturating_mul(factor);
            }
        }
        dilated
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Vocabulary, load_str};
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn what_must_happen_in_time_may_take_longer_and_nothing_else_changes() {
        let text = r#"
            about = "x"
            timeout = "20s"

            [[node]]
            name = "n"
            count = 2

            [[process]]
            on = "n1"
            behaviour = "echo"
            label = "e"

            [[step]]
            await = "nodes.all(n, n.members.size() == 2)"
            for = "1s"
            within = "3s"

            [[step]]
            register = { process = "e", global = "svc", confirmed = true, expect = "refused" }
            within = "2s"

            [[step]]
            fault = { pause = "n2", hold = "2s" }

            [[expect]]
            id = "comes"
            eventually = "nodes.all(n, n.members.size() == 2)"
            within = "4s"

            [[expect]]
            id = "stays"
            always = "nodes.all(n, n.members.size() == 2)"
        "#;
        let plain = &load_str("x.toml", text, &Vocabulary::default()).expect("it is right")[0];
        let dilated = plain.dilated(NonZeroU32::new(3).expect("three"));
        assert_eq!(dilated.timeout, 60 * S);
        let within: Vec<Duration> = dilated.steps.iter().map(|step| step.within).collect();
        assert_eq!(within, [9 * S, 2 * S, 30 * S]);
        assert!(
            matches!(&dilated.expectations[0].rule, Rule::Eventually { within: Some(w), .. } if *w == 12 * S)
        );
        let actions = |of: &Scenario| of.steps.iter().map(|step| step.action.clone()).collect::<Vec<_>>();
        assert_eq!(actions(&dilated), actions(plain));
        assert_eq!(dilated.expectations[1], plain.expectations[1]);
    }
}
