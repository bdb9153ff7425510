//! Who is stopped and started when a child ends. A pure function: what happens then is `run`'s.

use std::ops::RangeInclusive;

use regatta_proto::reason::ExitReason;

use super::spec::{Restart, Strategy};

/// What the strategy needs to know of a child. Children are in the order of their start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) restart: Restart,
    pub(super) running: bool,
}

/// What follows from a child's end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Plan {
    /// To be stopped, in this order.
    pub(super) stop: Vec<usize>,
    /// To be forgotten, once stopped.
    pub(super) forget: Vec<usize>,
    /// To be started after that, in this order.
    pub(super) start: Vec<usize>,
}

/// Whether a child that ended with `reason` is started again.
pub(super) fn is_restarted(restart: Restart, reason: &ExitReason) -> bool {
    match restart {
        Restart::Permanent => true,
        Restart::Transient => !reason.is_orderly(),
        Restart::Temporary => false,
    }
}

/// What follows when the child `ended`, which runs no more, with `reason`.
pub(super) fn plan(strategy: Strategy, children: &[Member], ended: usize, reason: &ExitReason) -> Plan {
    let restart = children[ended].restart;
    if !is_restarted(restart, reason) {
        let forget = restart == Restart::Temporary || strategy == Strategy::Dynamic;
        return Plan { forget: forget.then_some(ended).into_iter().collect(), ..Plan::default() };
    }
    let last = children.len() - 1;
    let affected: RangeInclusive<usize> = match strategy {
        Strategy::OneForOne | Strategy::Dynamic => ended..=ended,
        Strategy::RestForOne => ended..=last,
        Strategy::OneForAll => 0..=last,
    };
    let is_temporary = |at: &usize| children[*at].restart == Restart::Temporary;
    Plan {
        stop: affected.clone().rev().filter(|at| *at != ended && children[*at].running).collect(),
        forget: affected.clone().filter(is_temporary).collect(),
        start: affected.filter(|at| !is_temporary(at)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::strategy::Strategy as _;

    use super::super::spec::Strategy;
    use super::*;

    fn member() -> impl proptest::strategy::Strategy<Value = Member> {
        let restarts = [Restart::Permanent, Restart::Transient, Restart::Temporary];
        (proptest::sample::select(restarts.to_vec()), any::<bool>())
            .prop_map(|(restart, running)| Member { restart, running })
    }

    fn family() -> impl proptest::strategy::Strategy<Value = (Vec<Member>, usize)> {
        proptest::collection::vec(member(), 1..12).prop_flat_map(|members| {
            let len = members.len();
            (Just(members), 0..len)
        })
    }

    fn strategies() -> impl proptest::strategy::Strategy<Value = Strategy> {
        let all = [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne, Strategy::Dynamic];
        proptest::sample::select(all.to_vec())
    }

    fn reasons() -> impl proptest::strategy::Strategy<Value = ExitReason> {
        proptest::sample::select(vec![
            ExitReason::Normal,
            ExitReason::Shutdown,
            ExitReason::Killed,
            ExitReason::NoConnection,
            ExitReason::Panic("oh".into()),
        ])
    }

    proptest! {
        #[test]
        fn who_is_not_restarted_changes_nothing_for_the_others(
            strategy in strategies(), (members, ended) in family(), reason in reasons(),
        ) {
            let plan = plan(strategy, &members, ended, &reason);
            if !is_restarted(members[ended].restart, &reason) {
                prop_assert!(plan.stop.is_empty() && plan.start.is_empty());
                prop_assert!(plan.forget.iter().all(|at| *at == ended));
            }
        }

        #[test]
        fn a_restart_stops_in_reverse_order_and_starts_in_order_exactly_whom_the_strategy_names(
            strategy in strategies(), (members, ended) in family(), reason in reasons(),
        ) {
            prop_assume!(is_restarted(members[ended].restart, &reason));
            let plan = plan(strategy, &members, ended, &reason);
            let named = |at: usize| match strategy {
                Strategy::OneForOne | Strategy::Dynamic => at == ended,
                Strategy::RestForOne => at >= ended,
                Strategy::OneForAll => true,
            };
            let all = || (0..members.len()).filter(|at| named(*at));
            let stop: Vec<_> = all().rev().filter(|at| *at != ended && members[*at].running).collect();
            prop_assert_eq!(&plan.stop, &stop);
            let stays = |at: &usize| members[*at].restart != Restart::Temporary;
            prop_assert_eq!(&plan.start, &all().filter(stays).collect::<Vec<_>>());
            prop_assert_eq!(&plan.forget, &all().filter(|at| !stays(at)).collect::<Vec<_>>());
            prop_assert!(plan.start.contains(&ended), "whoever is restarted is started");
        }
    }

    #[test]
    fn who_is_restarted_after_what_is_the_table_of_the_design_principles() {
        let crash = ExitReason::Panic("oh".into());
        for (restart, reason, expected) in [
            (Restart::Permanent, &ExitReason::Normal, true),
            (Restart::Permanent, &ExitReason::Shutdown, true),
            (Restart::Permanent, &crash, true),
            (Restart::Transient, &ExitReason::Normal, false),
            (Restart::Transient, &ExitReason::Shutdown, false),
            (Restart::Transient, &crash, true),
            (Restart::Transient, &ExitReason::Killed, true),
            (Restart::Transient, &ExitReason::NoConnection, true),
            (Restart::Temporary, &crash, false),
        ] {
            assert_eq!(is_restarted(restart, reason), expected, "{restart:?} after {reason}");
        }
    }
}
