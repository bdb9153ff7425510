//! Who is known, who is told, and who is dialled.

use super::dials::WANTED_FOR;
use super::entry::ADDRS_MAX;
use super::hearsay::TELL_DELAY;
use super::*;
use crate::id::Incarnation;
use crate::limits::CONTROL_FRAME_BYTES_MAX;
use crate::wire::{address, control};
use prost::Message;

const DAY: Duration = Duration::from_secs(24 * 3_600);
const ANY: Families = Families { v4: true, v6: true };

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
    Instant::now()
}

fn node(name: &str, incarnation: u64) -> NodeId {
    NodeId { name: NodeName::new(name).unwrap(), incarnation: Incarnation::from_raw(incarnation) }
}

fn addr(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 4_000))
}

fn member(name: &str, incarnation: u64, last: u8) -> control::Member {
    control::Member {
        node: name.into(),
        incarnation,
        version: 1,
        addrs: vec![address::bytes(&addr(last))],
        ..control::Member::default()
    }
}

fn says(members: Vec<control::Member>) -> control::Members {
    control::Members { members }
}

/// Node `b`, which knows nobody.
fn members() -> Members {
    Members::new(node("b", 1), Membership::default(), ANY, 10, DAY)
}

/// Runs until `end`, with every dial in vain; gives the dials: when, whom, where.
fn dials(members: &mut Members, now: &mut Instant, end: Instant) -> Vec<(Instant, String, SocketAddr)> {
    let mut dials = Vec::new();
    while let Some(due) = members.next_due().filter(|due| *due <= end) {
        *now = due.max(*now);
        members.take_news(*now);
        while let Some((name, addr)) = members.take_due(*now) {
            dials.push((*now, name.to_string(), addr));
            members.dial_ended(&name, false, *now + Duration::from_secs(1));
        }
    }
    *now = end;
    dials
}

fn standing(members: &Members, name: &str) -> Option<Standing> {
    members.all().find(|member| member.id.name.as_str() == name).map(|member| member.standing)
}

#[test]
fn who_is_heard_of_is_dialled_where_it_says_and_told_to_the_others_once() {
    let (mut members, mut now) = (members(), start());
    members.link_up(&node("a", 1), 1, addr(1), now);
    members.heard(&node("a", 1), &says(vec![member("a", 1, 1), member("c", 1, 3), member("b", 9, 9)]), now);
    members.heard(&node("a", 1), &says(vec![member("c", 1, 3)]), now);
    now += TELL_DELAY;
    let told: Vec<(String, String)> =
        members.take_news(now).into_iter().map(|(from, member)| (from.to_string(), member.node)).collect();
    assert_eq!(told, [("a".into(), "a".into()), ("a".into(), "c".into())], "with who need not be told");
    let end = now + Duration::from_millis(400);
    let dials = dials(&mut members, &mut now, end);
    assert_eq!(dials.iter().map(|(_, name, at)| (name.as_str(), *at)).collect::<Vec<_>>(), [("c", addr(3))]);
    assert_eq!(standing(&members, "c"), Some(Standing::Heard), "hearsay makes nobody a peer");
}

#[test]
fn a_lost_node_is_dialled_about_once_a_second_and_forgotten_after_a_day() {
    let (mut members, mut now) = (members(), start());
    let start = now;
    // A majority is linked.
    members.link_up(&node("c", 1), 9, addr(3), now);
    members.link_up(&node("a", 1), 1, addr(1), now);
    members.link_down(&node("a", 1), 1, Loss::Down, false, now);
    let minute = dials(&mut members, &mut now, start + Duration::from_secs(60));
    assert!((28..=70).contains(&minute.len()), "attempts of a second, pauses of up to one: {}", minute.len());
    dials(&mut members, &mut now, start + Duration::from_secs(660));
    let hour = dials(&mut members, &mut now, start + Duration::from_secs(660 + 3_600));
    assert!((110..=240).contains(&hour.len()), "about twice a minute: {}", hour.len());
    assert_eq!(standing(&members, "a"), Some(Standing::Down));
    let rest = dials(&mut members, &mut now, start + 2 * DAY);
    assert!(rest.last().is_some_and(|(at, _, _)| *at <= start + DAY));
    assert_eq!(standing(&members, "a"), None);
}

#[test]
fn who_has_left_is_not_dialled_and_only_a_later_start_brings_it_back() {
    let (mut members, mut now) = (members(), start());
    members.link_up(&node("a", 5), 1, addr(1), now);
    members.heard(&node("a", 5), &says(vec![member("a", 5, 1)]), now);
    members.link_down(&node("a", 5), 1, Loss::Left, false, now);
    members.link_up(&node("c", 1), 2, addr(3), now);
    members.heard(&node("c", 1), &says(vec![member("a", 5, 1), member("a", 4, 1)]), now);
    let end = now + Duration::from_secs(60);
    assert_eq!(dials(&mut members, &mut now, end), []);
    assert_eq!(standing(&members, "a"), Some(Standing::Left));
    members.heard(&node("c", 1), &says(vec![member("a", 6, 7)]), now);
    let end = now + Duration::from_secs(1);
    let dials = dials(&mut members, &mut now, end);
    assert!(
        !dials.is_empty() && dials.iter().all(|(_, name, at)| name == "a" && *at == addr(7)),
        "{dials:?}"
    );
}

#[test]
fn hearsay_that_a_node_has_left_ends_its_dials_but_not_its_link() {
    let (mut members, mut now) = (members(), start());
    let left = |name| says(vec![control::Member { left: true, ..member(name, 1, 1) }]);
    for (name, generation) in [("a", 1), ("c", 2)] {
        members.link_up(&node(name, 1), generation, addr(1), now);
        members.heard(&node("d", 1), &left(name), now);
        assert_eq!(standing(&members, name), Some(Standing::Up), "it speaks for itself");
    }
    members.link_down(&node("a", 1), 1, Loss::Down, false, now);
    members.heard(&node("d", 1), &left("a"), now);
    assert_eq!(standing(&members, "a"), Some(Standing::Left));
    let end = now + Duration::from_secs(60);
    assert_eq!(dials(&mut members, &mut now, end), []);
}

#[test]
fn who_has_moved_is_told_to_the_others_with_where_it_is_now() {
    let (mut members, mut now) = (members(), start());
    members.link_up(&node("a", 1), 1, addr(1), now);
    members.heard(&node("a", 1), &says(vec![member("a", 1, 1)]), now);
    now += TELL_DELAY;
    assert_eq!(members.take_news(now).len(), 1);
    members.link_down(&node("a", 1), 1, Loss::Down, false, now);
    members.link_up(&node("a", 1), 2, addr(1), now);
    now += TELL_DELAY;
    assert_eq!(members.take_news(now), [], "it is where it was");
    members.link_down(&node("a", 1), 2, Loss::Down, false, now);
    members.link_up(&node("a", 1), 3, addr(9), now);
    now += TELL_DELAY;
    let told = members.take_news(now);
    assert_eq!(told.len(), 1);
    assert_eq!(
        (&told[0].1.addrs[..], &told[0].1.seen),
        (&[address::bytes(&addr(1))][..], &address::bytes(&addr(9)))
    );
    let newcomers = members.introduction(&NodeName::new("c").unwrap(), now);
    assert_eq!(newcomers[0].members[1], told[0].1, "newcomers too");
}

#[test]
fn a_lost_node_is_dialled_where_others_have_it() {
    let (mut members, mut now) = (members(), start());
    members.link_up(&node("c", 1), 1, addr(3), now);
    members.heard(&node("c", 1), &says(vec![member("c", 1, 3)]), now);
    members.link_down(&node("c", 1), 1, Loss::Down, false, now);
    let end = now + Duration::from_secs(5);
    let in_vain = dials(&mut members, &mut now, end);
    assert!(in_vain.iter().all(|(_, _, at)| *at == addr(3)), "{in_vain:?}");
    let moved = control::Member { seen: address::bytes(&addr(9)), ..member("c", 1, 3) };
    members.heard(&node("a", 1), &says(vec![moved]), now);
    // Another one has not found it yet: that says nothing.
    members.heard(&node("d", 1), &says(vec![member("c", 1, 3)]), now);
    let end = now + Duration::from_secs(5);
    let found = dials(&mut members, &mut now, end);
    assert!([3, 9].iter().all(|last| found.iter().any(|(_, _, at)| *at == addr(*last))), "{found:?}");
    let retold = members.introduction(&node("e", 1).name, now);
    assert!(retold[0].members.iter().all(|member| member.seen.is_empty()), "only who sees it says where");
}

#[test]
fn where_others_have_found_a_node_is_kept_until_its_dead_link_is_given_up() {
    let (mut members, mut now) = (members(), start());
    members.link_up(&node("c", 1), 1, addr(3), now);
    members.heard(&node("c", 1), &says(vec![member("c", 1, 3)]), now);
    let moved = control::Member { seen: address::bytes(&addr(9)), ..member("c", 1, 3) };
    members.heard(&node("a", 1), &says(vec![moved]), now);
    assert_eq!(standing(&members, "c"), Some(Standing::Up));
    now += Duration::from_secs(1);
    members.link_down(&node("c", 1), 1, Loss::Down, false, now);
    let end = now + Duration::from_secs(1);
    let found = dials(&mut members, &mut now, end);
    assert_eq!(found[0].2, addr(9), "{found:?}");
    // Long ago says nothing.
    members.link_up(&node("c", 1), 2, addr(3), now);
    let moved = control::Member { seen: address::bytes(&addr(9)), ..member("c", 1, 3) };
    members.heard(&node("a", 1), &says(vec![moved]), now);
    now += SIGHTED_FOR + Duration::from_millis(1);
    members.link_down(&node("c", 1), 2, Loss::Down, false, now);
    let end = now + Duration::from_secs(5);
    let found = dials(&mut members, &mut now, end);
    assert!(found.iter().all(|(_, _, at)| *at == addr(3)), "{found:?}");
}

#[test]
fn an_old_links_end_takes_nobody_down() {
    let (mut members, now) = (members(), start());
    members.link_up(&node("a", 1), 1, addr(1), now);
    members.link_up(&node("a", 1), 2, addr(1), now);
    members.link_down(&node("a", 1), 1, Loss::Down, false, now);
    assert_eq!(standing(&members, "a"), Some(Standing::Up));
    members.link_down(&node("a", 1), 2, Loss::Down, false, now);
    assert_eq!(standing(&members, "a"), Some(Standing::Down));
}

#[test]
fn a_rumour_of_a_later_start_is_worth_one_dial_while_the_earlier_one_is_linked() {
    let (mut members, mut now) = (members(), start());
    members.link_up(&node("a", 1), 1, addr(1), now);
    members.heard(&node("c", 1), &says(vec![member("a", 2, 7)]), now);
    let end = now + Duration::from_secs(60);
    let dials = dials(&mut members, &mut now, end);
    assert_eq!(dials.iter().map(|(_, _, at)| *at).collect::<Vec<_>>(), [addr(7)]);
    assert_eq!(standing(&members, "a"), Some(Standing::Up));
    members.link_down(&node("a", 1), 1, Loss::Down, false, now);
    assert!(members.next_due().is_some(), "and when it is lost, it is dialled where it was");
}

#[test]
fn a_link_that_breaks_at_once_does_not_start_the_dials_anew() {
    let (mut members, mut now) = (members(), start());
    let mut dials = 0;
    let end = now + Duration::from_secs(60);
    members.link_up(&node("a", 1), 0, addr(1), now);
    members.link_down(&node("a", 1), 0, Loss::Down, false, now);
    while let Some(due) = members.next_due().filter(|due| *due <= end) {
        now = due;
        let (name, addr) = members.take_due(now).expect("it is due");
        dials += 1;
        members.link_up(&node("a", 1), dials, addr, now);
        members.dial_ended(&name, false, now);
        members.link_down(&node("a", 1), dials, Loss::Down, false, now);
    }
    assert!(dials < 130, "it is refused at once each time: {dials} dials in a minute");
}

#[test]
fn a_node_that_does_not_connect_to_all_dials_only_whom_it_was_linked_with() {
    let membership = Membership { connect_all: false, ..Membership::default() };
    let mut now = start();
    let mut members = Members::new(node("b", 1), membership, ANY, 10, DAY);
    members.link_up(&node("a", 1), 1, addr(1), now);
    members.heard(&node("a", 1), &says(vec![member("c", 1, 3)]), now);
    let end = now + Duration::from_secs(60);
    assert_eq!(dials(&mut members, &mut now, end), []);
    assert_eq!(standing(&members, "c"), Some(Standing::Heard), "it knows of it all the same");
    members.link_down(&node("a", 1), 1, Loss::Down, false, now);
    let end = now + Duration::from_secs(1);
    assert!(!dials(&mut members, &mut now, end).is_empty());
}

#[test]
fn a_node_that_does_not_connect_to_all_dials_whom_somebody_wants() {
    let membership = Membership { connect_all: false, ..Membership::default() };
    let mut now = start();
    let mut members = Members::new(node("b", 1), membership, ANY, 10, DAY);
    members.heard(&node("a", 1), &says(vec![member("c", 1, 3)]), now);
    let c = |id: &NodeId| id.name.as_str() == "c";
    assert!(!members.want(|id| id.name.as_str() == "nobody", now));
    assert!(members.want(c, now));
    assert_eq!(members.take_due(now).map(|(_, at)| at), Some(addr(3)), "at once");
    assert!(members.want(c, now), "it is under way");
    assert_eq!(members.take_due(now), None, "once");

    // It does not answer: for two seconds it is tried again, then whoever waits is told, once, and it is left alone.
    let name = NodeName::new("c").unwrap();
    let begun = now;
    now += Duration::from_secs(1);
    members.dial_ended(&name, false, now);
    let mut in_vain = !members.take_given_up().is_empty();
    while let Some(due) = members.next_due().filter(|due| *due <= begun + Duration::from_secs(60)) {
        assert!(!in_vain, "nobody wants it any more");
        now = due;
        members.take_news(now);
        if members.take_due(now).is_some() {
            members.dial_ended(&name, false, now);
            in_vain = members.take_given_up() == std::slice::from_ref(&name);
        }
    }
    assert!(in_vain && now >= begun + WANTED_FOR && now < begun + 2 * WANTED_FOR, "{:?}", now - begun);
    assert!(!members.want(c, now), "it has just not answered");
    now += Duration::from_secs(1);
    assert!(members.want(c, now));
    members.take_due(now).expect("and is dialled anew");
    members.dial_ended(&name, true, now);
    assert_eq!(members.take_given_up(), std::slice::from_ref(&name), "a no is an answer");
    now += Duration::from_secs(60);
    assert!(members.want(c, now));
    members.link_up(&node("c", 1), 1, addr(3), now);
    assert!(!members.want(c, now), "it is linked");
    members.link_down(&node("c", 1), 1, Loss::Down, false, now);
    assert!(!members.want(c, now), "who was linked is dialled anyway, and who sends is told that it is lost");
}

#[test]
fn whoever_wants_a_link_that_cannot_be_is_told() {
    let membership = Membership { connect_all: false, ..Membership::default() };
    let now = start();
    let mut members = Members::new(node("b", 1), membership, ANY, 10, DAY);
    let nowhere = control::Member { addrs: Vec::new(), ..member("n", 1, 1) };
    members.heard(&node("a", 1), &says(vec![member("c", 1, 3), member("d", 1, 4), nowhere]), now);
    assert!(!members.want(|id| id.name.as_str() == "n", now), "nobody knows where it is");
    assert!(
        members.want(|id| id.name.as_str() == "c", now) && members.want(|id| id.name.as_str() == "d", now)
    );
    let left = control::Member { left: true, ..member("c", 1, 3) };
    members.heard(&node("a", 1), &says(vec![left, member("d", 2, 4)]), now);
    assert_eq!(
        members.take_given_up(),
        ["c", "d"].map(|name| node(name, 1).name),
        "one has left, one began anew"
    );
    assert!(members.want(|id| id.incarnation == Incarnation::from_raw(2), now), "the new one may be wanted");
}

#[test]
fn in_a_full_mesh_nobody_need_be_wanted() {
    let (mut members, now) = (members(), start());
    members.heard(&node("a", 1), &says(vec![member("c", 1, 3)]), now);
    assert!(!members.is_sparse() && !members.want(|_| true, now), "it is dialled anyway");
    // What was a member of the mesh is started again as one that links with few.
    members.heard(&node("a", 1), &says(vec![member("s", 1, 4)]), now);
    assert!(!members.is_sparse());
    members.heard(&node("a", 1), &says(vec![control::Member { sparse: true, ..member("s", 2, 4) }]), now);
    assert!(members.is_sparse() && members.want(|id| id.name.as_str() == "s", now));
}

#[test]
fn who_keeps_to_itself_or_links_with_few_is_not_dialled_on_hearsay() {
    let (mut members, mut now) = (members(), start());
    let sparse = control::Member { sparse: true, ..member("c", 1, 3) };
    let hidden = control::Member { hidden: true, ..member("d", 1, 4) };
    members.heard(&node("a", 1), &says(vec![sparse, hidden]), now);
    let end = now + Duration::from_secs(60);
    assert_eq!(dials(&mut members, &mut now, end), []);
    assert_eq!(standing(&members, "d"), None);
}

#[test]
fn a_hidden_node_is_told_to_nobody_and_tells_nobody_of_others() {
    let (mut members, now) = (members(), start());
    members.link_up(&node("a", 1), 1, addr(1), now);
    let hidden = control::Member { hidden: true, ..member("a", 1, 1) };
    members.heard(&node("a", 1), &says(vec![hidden]), now);
    assert_eq!(members.take_news(now + TELL_DELAY), []);
    let names = |messages: Vec<control::Members>| -> Vec<String> {
        messages.into_iter().flat_map(|message| message.members).map(|member| member.node).collect()
    };
    assert_eq!(names(members.introduction(&node("c", 1).name, now)), ["b"]);
    let membership = Membership { hidden: true, ..Membership::default() };
    let mut members = Members::new(node("b", 1), membership, ANY, 10, DAY);
    members.link_up(&node("a", 1), 1, addr(1), now);
    members.heard(&node("a", 1), &says(vec![member("a", 1, 1), member("c", 1, 3)]), now);
    assert_eq!(members.take_news(now + TELL_DELAY), []);
    assert_eq!(names(members.introduction(&node("d", 1).name, now)), ["b"]);
}

#[test]
fn what_a_peer_makes_up_is_bounded_and_never_dialled_where_nobody_can_be() {
    let (mut members, mut now) = (members(), start());
    let mut many: Vec<control::Member> = (0..50).map(|n| member(&format!("n{n}"), 1, 1)).collect();
    many[0].addrs = vec![
        vec![],
        vec![1, 2, 3],
        vec![0, 0, 0, 0, 1, 1],
        vec![224, 0, 0, 1, 1, 1],
        vec![10, 0, 0, 1, 0, 0],
    ];
    many[1].node = "not a name".into();
    many[2].addrs = vec![address::bytes(&addr(1)); 1_000];
    members.heard(&node("a", 1), &says(many), now);
    assert_eq!(members.all().count(), 10);
    assert!(members.all().all(|member| member.addrs.len() <= ADDRS_MAX));
    let end = now + Duration::from_secs(5);
    assert!(dials(&mut members, &mut now, end).iter().all(|(_, name, _)| name != "n0"));
}

#[test]
fn an_introduction_fits_into_control_frames_whatever_the_members() {
    let mut members = Members::new(node("b", 1), Membership::default(), ANY, 5_000, DAY);
    let now = start();
    let many = (0..1_000u32).map(|n| control::Member {
        incarnation: u64::MAX,
        version: u64::MAX,
        addrs: vec![vec![0xff; 18]; ADDRS_MAX],
        ..member(&format!("{n:0>63}"), 1, 1)
    });
    members.heard(&node("a", 1), &says(many.collect()), now);
    let messages = members.introduction(&node("c", 1).name, now);
    assert_eq!(messages.iter().map(|message| message.members.len()).sum::<usize>(), 1_001);
    assert!(messages.iter().all(|message| message.encoded_len() < CONTROL_FRAME_BYTES_MAX - 64));
}

#[test]
fn hearsay_alone_keeps_nobody_known() {
    let (mut members, mut now) = (members(), start());
    now += DAY;
    let told = |unlinked_s| says(vec![control::Member { unlinked_s, ..member("c", 1, 3) }]);
    members.link_up(&node("a", 1), 1, addr(1), now);
    let begun = now;
    members.heard(&node("a", 1), &told(3_600), now);
    let again = members.introduction(&node("d", 1).name, now + Duration::from_secs(60));
    assert_eq!(again[0].members[1].unlinked_s, 3_660, "with how long ago that is");
    // However often it is told, it is over a day after anybody was linked with it.
    for hours in 2..24 {
        let until = begun + Duration::from_secs(hours * 3_600 - 3_600);
        dials(&mut members, &mut now, until);
        members.heard(&node("a", 1), &told(hours * 3_600), now);
        assert_eq!(standing(&members, "c"), Some(Standing::Heard));
    }
    dials(&mut members, &mut now, begun + Duration::from_secs(23 * 3_600 + 60));
    assert_eq!(standing(&members, "c"), None);
    members.heard(&node("a", 1), &told(24 * 3_600 + 60), now);
    assert_eq!(standing(&members, "c"), None, "nor does it come back");
}

#[test]
fn a_minority_does_not_become_a_majority_by_forgetting() {
    let (mut members, mut now) = (members(), start());
    let names = ["a", "c", "d", "e"];
    for (name, generation) in names.iter().zip(1..) {
        members.link_up(&node(name, 1), generation, addr(1), now);
    }
    // Of five, three are lost.
    for (name, generation) in names[1..].iter().zip(2..) {
        members.link_down(&node(name, 1), generation, Loss::Down, false, now);
    }
    let end = now + 3 * DAY;
    dials(&mut members, &mut now, end);
    assert_eq!(members.voters(now, DAY), 5);
    // With three of five it is a majority, and the other two are forgotten.
    members.link_up(&node("c", 1), 9, addr(1), now);
    let end = now + DAY;
    dials(&mut members, &mut now, end);
    assert_eq!(members.voters(now, DAY), 3);
    assert_eq!(names.map(|name| standing(&members, name).is_some()), [true, true, false, false]);
}

#[test]
fn a_lost_node_is_forgotten_on_demand_and_the_others_hear_that_it_is_over() {
    let (mut members, mut now) = (members(), start());
    members.link_up(&node("a", 1), 1, addr(1), now);
    members.heard(&node("a", 1), &says(vec![member("a", 1, 1)]), now);
    assert_eq!(members.forget("a", now), Err(node("a", 1)), "it is linked");
    assert_eq!(members.forget("nobody", now), Ok(None));
    members.link_down(&node("a", 1), 1, Loss::Down, false, now);
    members.take_news(now + TELL_DELAY);
    assert_eq!(members.forget("a", now), Ok(Some(node("a", 1))));
    now += TELL_DELAY;
    let told = members.take_news(now);
    assert!(told.len() == 1 && told[0].1.left, "{told:?}");
    assert_eq!(members.voters(now + DAY, DAY), 1);
    let end = now + Duration::from_secs(60);
    assert_eq!(dials(&mut members, &mut now, end), []);
}

#[test]
fn a_node_that_is_unreachable_is_not_forgotten_without_a_word() {
    let (mut members, mut now) = (members(), start());
    members.link_up(&node("a", 1), 1, addr(1), now);
    members.link_down(&node("a", 1), 1, Loss::Unreachable(now), false, now);
    let end = now + 2 * DAY;
    dials(&mut members, &mut now, end);
    assert_eq!(standing(&members, "a"), Some(Standing::Unreachable));
}

#[test]
fn a_linked_node_takes_the_place_of_a_lost_one_and_there_are_never_more_than_may_be() {
    let (mut members, now) = (members(), start());
    let name = |n: u64| NodeName::new(format!("n{n}")).unwrap();
    for n in 0..10 {
        members.make_room(&name(n));
        members.link_up(&node(name(n).as_str(), 1), n, addr(1), now);
    }
    members.link_down(&node("n3", 1), 3, Loss::Down, false, now);
    members.link_down(&node("n4", 1), 4, Loss::Left, false, now);
    members.make_room(&name(5));
    assert_eq!(members.all().count(), 10, "it is known");
    members.make_room(&name(10));
    assert_eq!((standing(&members, "n4"), standing(&members, "n3")), (None, Some(Standing::Down)));
    members.link_up(&node("n10", 1), 10, addr(1), now);
    members.make_room(&name(11));
    assert_eq!(standing(&members, "n3"), None, "a majority is linked");
    members.link_up(&node("n11", 1), 11, addr(1), now);
    // Whose majority is lost keeps those who vote.
    for (name, generation) in [("n0", 0), ("n1", 1), ("n2", 2), ("n5", 5), ("n6", 6), ("n7", 7)] {
        members.link_down(&node(name, 1), generation, Loss::Down, false, now);
    }
    members.make_room(&name(12));
    assert_eq!(members.all().count(), 10);
}

#[test]
fn a_node_is_dialled_only_where_the_socket_can_send() {
    let v6 = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 4_000));
    let both =
        control::Member { addrs: vec![address::bytes(&v6), address::bytes(&addr(3))], ..member("c", 1, 3) };
    for (families, expected) in [
        (Families::of(addr(1)), vec![addr(3)]),
        (Families::of(v6), vec![v6]),
        (Families::of(SocketAddr::from(([0u16; 8], 1))), vec![v6, addr(3)]),
    ] {
        let mut now = start();
        let mut members = Members::new(node("b", 1), Membership::default(), families, 10, DAY);
        members.heard(&node("a", 1), &says(vec![both.clone()]), now);
        let end = now + Duration::from_secs(10);
        let mut dialled: Vec<_> =
            dials(&mut members, &mut now, end).into_iter().map(|(_, _, at)| at).collect();
        dialled.sort();
        dialled.dedup();
        let mut expected = expected;
        expected.sort();
        assert_eq!(dialled, expected);
    }
}
