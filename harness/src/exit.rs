//! What the `regatta` command answers to its caller.
//!
//! The numbers are an interface: scripts and CI branch on them, so a number never changes its meaning. 64, 65, 69 and
//! 70 are those of BSD's `sysexits.h`; 130 is the shell's for a process that was interrupted.

/// Everything that was asked for holds.
pub const PASS: u8 = 0;
/// An expectation of a scenario was not met.
pub const EXPECTATION_FAILED: u8 = 1;
/// A run proves nothing: a fault or a load did not take effect, or the run ended before it could be judged.
pub const INVALID: u8 = 2;
/// A figure is worse than its gate allows.
pub const REGRESSION: u8 = 3;
/// The command line is wrong.
pub const USAGE: u8 = 64;
/// A scenario file is wrong.
pub const BAD_SCENARIO: u8 = 65;
/// The chosen world cannot do what a scenario asks of it.
pub const UNSUPPORTED: u8 = 69;
/// The harness itself failed; the scenario is neither met nor unmet.
pub const INTERNAL: u8 = 70;
/// Stopped from outside.
pub const INTERRUPTED: u8 = 130;

/// The order in which one code speaks for many: a broken harness hides everything else, a broken file hides every
/// outcome, a failure hides what could not be judged.
const PRIORITY: [u8; 7] =
    [INTERNAL, BAD_SCENARIO, EXPECTATION_FAILED, REGRESSION, INVALID, UNSUPPORTED, PASS];

/// The code that speaks for all of `codes`: the first of 70, 65, 1, 3, 2, 69 and 0 that occurs among them.
///
/// No code at all is a pass. [`INTERRUPTED`] wins over everything, as the rest of the run is unknown then; a code that
/// is none of this module's is an internal error.
#[must_use]
pub fn combine(codes: impl IntoIterator<Item = u8>) -> u8 {
    let rank = |code: u8| PRIORITY.iter().position(|&known| known == code).unwrap_or(0);
    let mut worst = PASS;
    for code in codes {
        if code == INTERRUPTED {
            return INTERRUPTED;
        }
        if rank(code) < rank(worst) {
            worst = if PRIORITY.contains(&code) { code } else { INTERNAL };
        }
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_code_speaks_for_all_whatever_the_order() {
        let ascending = [PASS, UNSUPPORTED, INVALID, REGRESSION, EXPECTATION_FAILED, BAD_SCENARIO, INTERNAL];
        for (index, &expected) in ascending.iter().enumerate() {
            assert_eq!(combine(ascending[..=index].iter().copied()), expected);
            assert_eq!(combine(ascending[..=index].iter().rev().copied()), expected);
        }
    }

    #[test]
    fn no_scenario_at_all_is_a_pass() {
        assert_eq!(combine([]), PASS);
    }

    #[test]
    fn an_interruption_hides_every_outcome() {
        assert_eq!(combine([EXPECTATION_FAILED, INTERRUPTED, INTERNAL]), INTERRUPTED);
    }

    #[test]
    fn a_code_that_nobody_defined_is_an_internal_error() {
        assert_eq!(combine([PASS, 42]), INTERNAL);
    }
}
