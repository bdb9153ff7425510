//! Links, monitors, and what the end of a process tells.

use regatta_proto::reason::ExitReason;

use super::{Witness, all, aside, check, end, end_of, parked};
use crate::actor::Received;

fn exits(seen: &[Received]) -> usize {
    seen.iter().filter(|received| matches!(received, Received::Exit { .. })).count()
}

fn downs(seen: &[Received]) -> usize {
    seen.iter().filter(|received| matches!(received, Received::Down { .. })).count()
}

#[test]
fn a_link_to_a_process_that_ends_fires_once() {
    check(|rt| {
        let (witness, other) = (Witness::start(rt), parked(rt));
        let (me, pid) = (witness.pid(), other.pid());
        let linker = aside(rt, move |rt| rt.link(me, pid));
        other.kill();
        linker.join().expect("it links");
        end_of(&other);
        let seen = witness.stop(rt);
        assert_eq!(exits(&seen), 1, "{seen:?}");
    });
}

#[test]
fn nothing_comes_after_an_unlink() {
    check(|rt| {
        let (witness, other) = (Witness::start(rt), parked(rt));
        let (me, pid) = (witness.pid(), other.pid());
        rt.link(me, pid);
        let unlinker = aside(rt, move |rt| {
            rt.unlink(me, pid);
            rt.try_send(me, "unlinked").expect("it lives");
        });
        end(&other);
        unlinker.join().expect("it unlinks");
        let seen = witness.stop(rt);
        let at =
            seen.iter().position(|received| matches!(received, Received::Message(_))).expect("it was sent");
        assert_eq!(exits(&seen[at..]), 0, "{seen:?}");
        assert!(exits(&seen) <= 1, "{seen:?}");
    });
}

#[test]
fn processes_that_are_linked_crosswise_end_at_once_and_each_is_told() {
    check(|rt| {
        let (witness, one, other) = (Witness::start(rt), parked(rt), parked(rt));
        for (a, b) in [(one.pid(), other.pid()), (witness.pid(), one.pid()), (witness.pid(), other.pid())] {
            rt.link(a, b);
        }
        let (a, b) = (one.pid(), other.pid());
        let killers = [aside(rt, move |rt| rt.kill(a)), aside(rt, move |rt| rt.kill(b))];
        assert_eq!(end_of(&one), ExitReason::Killed);
        assert_eq!(end_of(&other), ExitReason::Killed);
        all(killers);
        let seen = witness.stop(rt);
        assert_eq!(exits(&seen), 2, "{seen:?}");
    });
}

#[test]
fn two_that_link_to_each_other_at_once_have_one_link() {
    check(|rt| {
        let (witness, other) = (Witness::start(rt), Witness::start(rt));
        let (me, pid) = (witness.pid(), other.pid());
        let linkers = [aside(rt, move |rt| rt.link(me, pid)), aside(rt, move |rt| rt.link(pid, me))];
        all(linkers);
        rt.unlink(me, pid);
        end(&other.process);
        assert_eq!(exits(&witness.stop(rt)), 0, "an unlink takes it back at both ends");
    });
}

#[test]
fn a_monitor_fires_once_or_was_taken_back() {
    check(|rt| {
        let (witness, other) = (Witness::start(rt), parked(rt));
        let (me, pid) = (witness.pid(), other.pid());
        let watcher = aside(rt, move |rt| {
            let reference = rt.monitor(me, pid).expect("it lives");
            rt.demonitor(me, reference)
        });
        end(&other);
        let taken_back = watcher.join().expect("it watches");
        let seen = witness.stop(rt);
        assert_eq!(downs(&seen), usize::from(!taken_back), "{seen:?}");
    });
}

#[test]
fn a_monitor_on_a_process_that_ends_fires_once() {
    check(|rt| {
        let (witness, other) = (Witness::start(rt), parked(rt));
        let (me, pid) = (witness.pid(), other.pid());
        let watcher = aside(rt, move |rt| rt.monitor(me, pid).expect("it lives"));
        end(&other);
        watcher.join().expect("it watches");
        let seen = witness.stop(rt);
        assert_eq!(downs(&seen), 1, "{seen:?}");
    });
}
