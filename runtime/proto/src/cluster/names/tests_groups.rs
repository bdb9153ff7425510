use super::*;
use proptest::prelude::*;

fn node(name: &str) -> NodeId {
    let incarnation = Incarnation::from_raw(name.bytes().map(u64::from).sum());
    NodeId { name: NodeName::new(name).unwrap(), incarnation }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// All that `to` needs to hold what `from` says, in pages if it holds nothing; what changed for it.
fn catch_up(from: &Names, to: &mut Names) -> Vec<Change> {
    let id = from.holding(OWN).id.clone();
    let messages = from.since(&to.held(&id)).unwrap_or_else(|| {
        let (page, mut next) = from.page(None);
        let mut pages = vec![page];
        while let Some(after) = next {
            let (page, more) = from.page(Some(&after));
            pages.push(page);
            next = more;
        }
        pages
    });
    messages.into_iter().flat_map(|message| to.heard(&id, message, 0).expect("within the bound")).collect()
}

/// What `to` holds of the memberships of `from`'s processes.
fn held(to: &Names, from: &str) -> Vec<(String, u64, u32)> {
    let all = to.number(&node(from)).map_or_else(Vec::new, |number| to.memberships_of(number));
    all.into_iter().map(|(group, serial, count)| (group.to_string(), serial, count)).collect()
}

fn member(group: &str, serial: u64, count: u32) -> Change {
    Change::Member { group: name(group), pid: Pid::new(node("a").incarnation, serial), count }
}

#[test]
fn memberships_are_told_as_they_change_and_vanish_with_their_node() {
    let (mut a, mut b) = (Names::new(node("a"), 10), Names::new(node("b"), 10));
    assert!(a.set_membership(name("g"), 1, 1));
    assert!(a.set_membership(name("g"), 1, 2));
    assert!(!a.set_membership(name("g"), 1, 2), "that is no news");
    assert!(!a.set_membership(name("g"), 9, 0), "nor is this");
    a.take_news();
    assert_eq!(catch_up(&a, &mut b), [member("g", 1, 2)], "only how it is now");
    assert_eq!(catch_up(&a, &mut b), []);
    a.set_membership(name("g"), 1, 1);
    a.set_membership(name("h"), 2, 1);
    a.take_news();
    assert_eq!(catch_up(&a, &mut b), [member("g", 1, 1), member("h", 2, 1)]);
    a.set_membership(name("g"), 1, 0);
    a.take_news();
    assert_eq!(catch_up(&a, &mut b), [member("g", 1, 0)]);
    assert_eq!(b.peer_gone(&node("a").name), [member("h", 2, 0)]);
    assert_eq!(b.peer_gone(&node("a").name), []);
}

#[test]
fn a_peer_speaks_of_its_own_processes_alone_and_of_so_many() {
    let mut b = Names::new(node("b"), 3);
    let said = |serial, count| control::Membership { group: "g".into(), serial, count };
    let first = control::Names { memberships: vec![said(1, 1)], version: 1, ..control::Names::default() };
    assert_eq!(b.heard(&node("a"), first, 0), Ok(vec![member("g", 1, 1)]));
    let other = control::Names { memberships: vec![said(1, 0)], version: 1, ..control::Names::default() };
    assert_eq!(b.heard(&node("c"), other, 0), Ok(vec![]), "that is a process of its own");
    assert_eq!(held(&b, "a"), [("g".to_owned(), 1, 1)]);
    let many = (1..=4).map(|serial| said(serial, 1)).collect();
    let many = control::Names { memberships: many, version: 2, base: 1, ..control::Names::default() };
    assert_eq!(b.heard(&node("a"), many, 0), Err(TooMany));
}

#[test]
fn pages_of_everything_go_on_from_names_to_memberships_and_replace_what_was_held() {
    let (mut a, mut b) = (Names::new(node("a"), 5_000), Names::new(node("b"), 5_000));
    let ghost = control::Membership { group: "ghost".into(), serial: 1, count: 1 };
    let ghost = control::Names { memberships: vec![ghost], version: 1, ..control::Names::default() };
    b.heard(&node("a"), ghost, 0).unwrap();
    for n in 0..901 {
        a.claim(name(&format!("n{n}")), n, ConflictPolicy::default(), 0).unwrap();
        a.set_membership(name(&format!("g{}", n % 7)), n, 1 + n as u32 % 3);
    }
    // More changes than are remembered: nothing but everything helps.
    for turn in 0..5_000 {
        a.set_membership(name("g0"), 0, 1 + turn % 2);
    }
    assert!(a.take_news().is_none());
    catch_up(&a, &mut b);
    let (version, digest) = a.told();
    assert_eq!(b.held(&node("a")), control::Held { version, digest });
    assert_eq!(held(&b, "a").len(), 901);
    assert!(held(&b, "a").iter().all(|(group, ..)| group != "ghost"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// Whatever changed and however often it was told, a copy that was caught up is the same as the original, digest
    /// and all; what was told on the way adds up to it.
    #[test]
    fn a_copy_of_a_nodes_memberships_is_exact_however_often_it_is_caught_up(
        changes in prop::collection::vec((0u64..4, 0u64..3, 0u32..3, 0u8..4), 1..60),
    ) {
        let (mut a, mut b) = (Names::new(node("a"), 100), Names::new(node("b"), 100));
        let mut shown: BTreeMap<(String, u64), u32> = BTreeMap::new();
        for (serial, group, count, what) in changes {
            a.set_membership(name(&format!("g{group}")), serial, count);
            // It may hold it already.
            let _ = a.claim(name(&format!("n{group}")), serial, ConflictPolicy::default(), 0);
            if what == 0 {
                a.process_ended(serial);
            }
            let told = match what {
                1 => b.peer_gone(&node("a").name),
                2 => {
                    a.take_news();
                    catch_up(&a, &mut b)
                }
                _ => continue,
            };
            for change in told {
                if let Change::Member { group, pid, count } = change {
                    shown.insert((group.to_string(), pid.serial()), count);
                }
            }
            shown.retain(|_, count| *count > 0);
            let all = held(&b, "a").into_iter().map(|(group, serial, count)| ((group, serial), count));
            prop_assert_eq!(&shown, &all.collect());
            if what == 2 {
                let (version, digest) = a.told();
                prop_assert_eq!(b.held(&node("a")), control::Held { version, digest });
                let own: Vec<_> = a.own.memberships().collect();
                let copied = held(&b, "a");
                prop_assert_eq!(own, copied);
            }
        }
    }
}
