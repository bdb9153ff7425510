//! Names and groups while their holders end.

use super::{Witness, all, aside, check, end, end_of, parked};
use crate::actor::Received;

#[test]
fn a_name_that_two_take_has_one_holder_and_is_free_after_its_end() {
    check(|rt| {
        let (one, other) = (parked(rt), parked(rt));
        let (a, b) = (one.pid(), other.pid());
        let takers = [aside(rt, move |rt| rt.register("n", a)), aside(rt, move |rt| rt.register("n", b))];
        end(&one);
        let [first, second] = all(takers);
        let holder = rt.whereis("n");
        assert_ne!(holder, Some(a), "it has ended");
        assert_eq!(holder.is_some(), second.is_ok(), "{first:?} {second:?}");
        end(&other);
        assert_eq!(rt.registered(), []);
        let heir = parked(rt);
        rt.register("n", heir.pid()).expect("it is free");
        end(&heir);
    });
}

#[test]
fn a_name_goes_over_while_its_holder_ends() {
    check(|rt| {
        let (one, other) = (parked(rt), parked(rt));
        rt.register("n", one.pid()).expect("it is free");
        let b = other.pid();
        let taker = aside(rt, move |rt| rt.register("n", b));
        end(&one);
        let taken = taker.join().expect("it registers").is_ok();
        assert_eq!(rt.whereis("n"), taken.then_some(b), "the end of the one takes nothing from the other");
        end(&other);
        assert_eq!(rt.registered(), []);
    });
}

#[test]
fn a_group_that_is_joined_by_who_ends_is_left_as_often() {
    check(|rt| {
        let (witness, member) = (Witness::start(rt), parked(rt));
        rt.monitor_group(witness.pid(), "g").expect("it lives");
        let pid = member.pid();
        let joiner = aside(rt, move |rt| (0..2).filter(|_| rt.join_group("g", pid).is_ok()).count());
        member.kill();
        let joined = joiner.join().expect("it joins");
        end_of(&member);
        assert_eq!(rt.group_members("g"), []);
        let seen = witness.stop(rt);
        let count = |of: fn(&Received) -> Option<usize>| seen.iter().filter_map(of).sum::<usize>();
        let came = count(|received| match received {
            Received::GroupJoined { pids, .. } => Some(pids.len()),
            _ => None,
        });
        let went = count(|received| match received {
            Received::GroupLeft { pids, .. } => Some(pids.len()),
            _ => None,
        });
        assert_eq!((came, went), (joined, joined), "{seen:?}");
    });
}
