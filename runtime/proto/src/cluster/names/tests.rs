use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

const POLICY: ConflictPolicy = ConflictPolicy::NotifyLoser;

fn node(name: &str) -> NodeId {
    let incarnation = Incarnation::from_raw(name.bytes().map(u64::from).sum());
    NodeId { name: NodeName::new(name).unwrap(), incarnation }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn claim(name: &str, serial: u64, claimed_at: u64) -> control::Claim {
    control::Claim { name: name.into(), serial, claimed_at, ..control::Claim::default() }
}

/// What a peer says when it has claimed this and nothing before.
fn first(claimed: Vec<control::Claim>) -> control::Names {
    control::Names { claimed, version: 1, ..control::Names::default() }
}

fn tell(names: &mut Names, from: &str, claim: &control::Claim) -> Vec<Change> {
    names.heard(&node(from), first(vec![claim.clone()]), 1_000).expect("within the bound")
}

/// Claims a name and gives what the peers are told.
fn claimed(names: &mut Names, text: &str, serial: u64, wall_ms: u64) -> control::Claim {
    names.claim(name(text), serial, POLICY, wall_ms).unwrap();
    let mut news = names.take_news().expect("few changes");
    assert_eq!(news.len(), 1);
    news.remove(0).claimed.remove(0)
}

/// Everything, as it is sent to who holds nothing.
fn everything(names: &Names) -> Vec<control::Names> {
    let (page, mut next) = names.page(None);
    let mut pages = vec![page];
    while let Some(after) = next {
        let (page, more) = names.page(Some(&after));
        pages.push(page);
        next = more;
    }
    pages
}

/// All that `to` needs to hold what `from` claims, by what it holds.
fn catch_up(from: &Names, to: &mut Names) -> Vec<Change> {
    let held = to.held(&from.holding(OWN).id);
    let messages = from.since(&held).unwrap_or_else(|| everything(from));
    let heard = messages.into_iter().map(|message| to.heard(&from.holding(OWN).id, message, 0));
    heard.flat_map(|changes| changes.expect("within the bound")).collect()
}

#[test]
fn a_process_loses_its_names_with_its_end_and_no_other() {
    let mut names = Names::new(node("a"), 10);
    names.claim(name("x"), 1, POLICY, 0).unwrap();
    names.claim(name("y"), 1, POLICY, 0).unwrap();
    names.claim(name("z"), 2, POLICY, 0).unwrap();
    assert_eq!(names.claim(name("x"), 2, POLICY, 0).unwrap_err().pid.serial(), 1);
    assert!(names.withdraw("x", 2).is_none(), "only its owner may withdraw it");
    assert_eq!(names.process_ended(1).len(), 2);
    assert_eq!(names.owner("x"), None);
    assert_eq!(names.owner("z").map(|owner| owner.pid.serial()), Some(2));
}

#[test]
fn a_peer_can_neither_claim_nor_withdraw_for_another() {
    let mut names = Names::new(node("a"), 10);
    names.claim(name("mine"), 1, POLICY, 5).unwrap();
    tell(&mut names, "b", &claim("theirs", 9, 1));
    let withdrawn = vec!["mine".into(), "theirs".into()];
    let withdraw = control::Names { withdrawn, version: 1, ..control::Names::default() };
    assert_eq!(names.heard(&node("c"), withdraw, 0), Ok(vec![]));
    let nothing = control::Names { all: true, version: 2, ..control::Names::default() };
    assert_eq!(names.heard(&node("c"), nothing, 0), Ok(vec![]));
    assert_eq!(names.owner("theirs").unwrap().node.as_str(), "b");
    assert_eq!(names.owner("mine").unwrap().node.as_str(), "a");
}

#[test]
fn the_earliest_claim_wins_and_only_the_losers_node_withdraws() {
    let (mut a, mut b) = (Names::new(node("a"), 10), Names::new(node("b"), 10));
    let late = claimed(&mut a, "x", 1, 200);
    let early = claimed(&mut b, "x", 7, 100);
    let winner = Owner { node: node("b").name, pid: Pid::new(node("b").incarnation, 7), token: None };
    let owner = Change::Owner { name: name("x"), owner: Some(winner.clone()) };
    let lost = Change::Lost { name: name("x"), serial: 1, claimed_at: 200 << 16, winner, policy: POLICY };
    assert_eq!(tell(&mut a, "b", &early), [owner, lost]);
    let loser = Owner { node: node("a").name, pid: Pid::new(node("a").incarnation, 1), token: None };
    let kept = Change::Kept { name: name("x"), serial: 7, loser, policy: POLICY };
    assert_eq!(tell(&mut b, "a", &late), [kept], "for the winner it has no other owner");
    assert_eq!(tell(&mut b, "a", &late), [], "and it hears of that claim once");
    assert_eq!(a.owner("x"), b.owner("x"));
    assert_eq!(everything(&a)[0].claimed, [], "the loser claims it no more");
    assert_eq!(a.take_news().unwrap()[0].withdrawn, ["x"]);
}

#[test]
fn a_lost_peers_names_vanish_and_the_next_claim_takes_over() {
    let mut names = Names::new(node("a"), 10);
    for (peer, claimed_at) in [("b", 1), ("c", 2)] {
        tell(&mut names, peer, &claim("x", 1, claimed_at));
    }
    let owners = |changes: Vec<Change>| {
        let owners = changes.into_iter().map(|change| match change {
            Change::Owner { owner, .. } => owner.map(|owner| owner.node.to_string()),
            other => panic!("{other:?}"),
        });
        owners.collect::<Vec<_>>()
    };
    assert_eq!(owners(names.peer_gone(&node("b").name)), [Some("c".to_owned())]);
    assert_eq!(owners(names.peer_gone(&node("c").name)), [None]);
    assert_eq!(names.peer_gone(&node("c").name), []);
}

#[test]
fn a_later_start_of_a_peer_does_not_inherit_what_its_earlier_one_claimed() {
    let mut names = Names::new(node("a"), 10);
    tell(&mut names, "b", &claim("x", 1, 1));
    let again = NodeId { incarnation: Incarnation::from_raw(9_999), ..node("b") };
    assert_eq!(names.held(&again), control::Held::default());
    let changes = names.heard(&again, first(vec![claim("y", 2, 2)]), 0).unwrap();
    assert!(matches!(&changes[..], [
        Change::Owner { name: x, owner: None },
        Change::Owner { name: y, owner: Some(_) },
    ] if x.as_str() == "x" && y.as_str() == "y"));
}

#[test]
fn a_peer_that_claims_too_much_is_noticed() {
    let mut names = Names::new(node("a"), 2);
    let two = first(["x", "y", "x"].map(|name| claim(name, 1, 1)).into());
    assert!(names.heard(&node("b"), two, 0).is_ok());
    assert_eq!(names.heard(&node("b"), first(vec![claim("z", 1, 1)]), 0), Err(TooMany));
}

#[test]
fn pages_and_changes_fit_into_control_frames_whatever_the_names() {
    use prost::Message;
    let mut names = Names::new(node("a"), 10);
    for n in 0..1_000u64 {
        names.claim(name(&format!("{n:0>255}")), n, POLICY, 0).unwrap();
    }
    let changes = names.take_news().unwrap();
    for messages in [everything(&names), changes] {
        assert_eq!(messages.iter().map(|message| message.claimed.len()).sum::<usize>(), 1_000);
        assert!(messages.iter().rev().skip(1).all(|message| message.more));
        assert!(!messages.last().unwrap().more);
        let largest = messages.iter().map(Message::encoded_len).max().unwrap();
        assert!(largest < crate::limits::CONTROL_FRAME_BYTES_MAX - 64, "{largest}");
    }
}

#[test]
fn a_peer_is_sent_only_what_it_does_not_hold() {
    let (mut a, mut b) = (Names::new(node("a"), 100_000), Names::new(node("b"), 100_000));
    for n in 0..500 {
        a.claim(name(&format!("n{n}")), n, POLICY, 0).unwrap();
    }
    a.take_news();
    assert_eq!(a.since(&b.held(&node("a"))), None, "it holds nothing: everything");
    catch_up(&a, &mut b);
    assert_eq!(a.since(&b.held(&node("a"))), Some(vec![]), "it holds everything: nothing");
    a.withdraw("n7", 7).unwrap();
    a.claim(name("new"), 9, POLICY, 0).unwrap();
    a.take_news();
    let changes = a.since(&b.held(&node("a"))).unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].claimed.len(), &changes[0].withdrawn[..]), (1, &["n7".to_owned()][..]));
    catch_up(&a, &mut b);
    assert_eq!((b.owner("n7"), b.owner("new").unwrap().pid.serial()), (None, 9));
    for n in 0..5_000 {
        a.claim(name(&format!("m{n}")), n, POLICY, 0).unwrap();
    }
    assert_eq!(a.take_news(), None, "more changes than are remembered");
    assert_eq!(a.since(&b.held(&node("a"))), None);
    catch_up(&a, &mut b);
    assert_eq!(b.held(&node("a")).digest, a.told().1);
}

/// What so many pulses in a row of `a` come to.
fn pulses(names: &mut Names, count: usize, version: u64, digest: u64) -> Vec<bool> {
    (0..count).map(|_| names.is_astray(&node("a"), version, digest, &mut Vec::new())).collect()
}

#[test]
fn the_first_pulse_of_a_later_start_ends_the_claims_of_the_earlier_one() {
    let mut b = Names::new(node("b"), 10);
    tell(&mut b, "a", &claim("x", 1, 1));
    let later = NodeId { incarnation: Incarnation::from_raw(1_000), ..node("a") };
    let mut changes = Vec::new();
    b.is_astray(&later, 7, 7, &mut changes);
    assert_eq!(changes, [Change::Owner { name: name("x"), owner: None }]);
    // The later start's claim is the later one: were the earlier one still there, it would win.
    b.heard(&later, first(vec![claim("x", 2, 2)]), 1_000).unwrap();
    assert_eq!(b.owner("x").unwrap().pid, Pid::new(later.incarnation, 2));
}

#[test]
fn whoever_holds_something_else_than_the_pulse_says_asks_for_everything_once_it_had_time() {
    let (mut a, mut b) = (Names::new(node("a"), 10), Names::new(node("b"), 10));
    a.claim(name("x"), 1, POLICY, 0).unwrap();
    a.take_news();
    let (version, digest) = a.told();
    assert_eq!(pulses(&mut b, 6, version, digest), [false, false, true, false, false, true]);
    catch_up(&a, &mut b);
    assert_eq!(pulses(&mut b, 3, version, digest), [false; 3]);
    assert_eq!(
        pulses(&mut b, 3, version, digest + 1),
        [false, false, true],
        "the same version with another digest"
    );
    // What was claimed in between is not missed when everything is said again.
    b.heard(&node("a"), first(vec![claim("ghost", 3, 3)]), 0).unwrap();
    for page in everything(&a) {
        b.heard(&node("a"), page, 0).unwrap();
    }
    assert_eq!((b.owner("ghost"), b.owner("x").is_some()), (None, true));
    assert_eq!(b.held(&node("a")), control::Held { version, digest });
}

#[test]
fn changes_between_the_pages_are_not_lost() {
    let (mut a, mut b) = (Names::new(node("a"), 10_000), Names::new(node("b"), 10_000));
    for n in 100..1_000 {
        a.claim(name(&format!("n{n}")), n, POLICY, 0).unwrap();
    }
    a.take_news();
    let mut after = None;
    for turn in 0.. {
        let (page, next) = a.page(after.as_ref());
        b.heard(&node("a"), page, 0).unwrap();
        // In front of the page and behind it: one name goes, one comes.
        for (gone, new) in [(100 + turn, format!("a{turn}")), (999 - turn, format!("z{turn}"))] {
            a.withdraw(&format!("n{gone}"), gone).unwrap();
            a.claim(name(&new), gone, POLICY, 0).unwrap();
        }
        for message in a.take_news().unwrap() {
            b.heard(&node("a"), message, 0).unwrap();
        }
        after = next;
        if after.is_none() {
            break;
        }
    }
    let (version, digest) = a.told();
    assert_eq!(b.held(&node("a")), control::Held { version, digest });
    let names = |names: &Names| names.claims.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&a), names(&b));
}

/// A node with 900 names, and the pages in which it says them.
fn many() -> (Names, Vec<control::Names>) {
    let mut a = Names::new(node("a"), 10_000);
    for n in 100..1_000 {
        a.claim(name(&format!("n{n}")), n, POLICY, 0).unwrap();
    }
    a.take_news();
    let pages = everything(&a);
    assert!(pages.len() > 4);
    (a, pages)
}

#[test]
fn what_came_of_pages_that_broke_off_and_was_withdrawn_is_gone_with_the_next_ones() {
    for cut in 1..5 {
        let (mut a, pages) = many();
        let mut b = Names::new(node("b"), 10_000);
        for page in pages.into_iter().take(cut) {
            b.heard(&node("a"), page, 0).unwrap();
        }
        // The link is lost meanwhile, so nobody hears of this.
        for n in 100..200 {
            a.withdraw(&format!("n{n}"), n).unwrap();
        }
        a.take_news();
        assert_eq!(b.held(&node("a")), control::Held::default());
        for page in everything(&a) {
            b.heard(&node("a"), page, 0).unwrap();
        }
        assert_eq!(view(&a), view(&b), "cut after {cut} pages");
        let (version, digest) = a.told();
        assert_eq!(b.held(&node("a")), control::Held { version, digest });
    }
}

#[test]
fn a_wrong_copy_is_noticed_however_many_changes_go_on_to_come() {
    let (mut a, pages) = many();
    let mut b = Names::new(node("b"), 10_000);
    for page in pages {
        b.heard(&node("a"), page, 0).unwrap();
    }
    let (version, _) = a.told();
    let ghost = control::Names { base: version, version, ..first(vec![claim("ghost", 3, 3)]) };
    b.heard(&node("a"), ghost, 0).unwrap();
    let mut asked = 0;
    for n in 0..6 {
        a.claim(name(&format!("new{n}")), n, POLICY, 0).unwrap();
        tell_news(&mut a, &mut b);
        let (version, digest) = a.told();
        asked += pulses(&mut b, 1, version, digest).into_iter().filter(|asks| *asks).count();
    }
    assert_eq!(asked, 2, "once in three pulses");
}

#[test]
fn a_claim_in_place_of_another_one_of_the_same_node_leaves_nothing_of_that() {
    let mut a = Names::new(node("a"), 10);
    a.claim(name("x"), 1, POLICY, 0).unwrap();
    a.claim_confirmed(name("x"), 2, POLICY, FencingToken::from_raw(1), 0);
    assert_eq!(a.process_ended(1), []);
    assert_eq!(a.owner("x").map(|owner| owner.pid.serial()), Some(2));
    let mut b = Names::new(node("b"), 10);
    tell_news(&mut a, &mut b);
    assert_eq!(b.held(&node("a")).digest, a.told().1);
    assert_eq!(a.process_ended(2).len(), 1);
    assert_eq!(a.own_count(), 0);
}

/// Two nodes that have claimed a name with a resolver, `b` earlier; each has heard of the other's claim.
fn clashed() -> (Names, Names) {
    let (mut a, mut b) = (Names::new(node("a"), 10), Names::new(node("b"), 10));
    b.claim(name("x"), 7, ConflictPolicy::Resolve, 100).unwrap();
    a.claim(name("x"), 1, ConflictPolicy::Resolve, 200).unwrap();
    let (at_a, at_b) = (tell_news(&mut b, &mut a), tell_news(&mut a, &mut b));
    assert!(matches!(&at_a[..], [Change::Owner { owner: Some(owner), .. }] if owner.pid.serial() == 7));
    assert!(matches!(&at_b[..], [Change::Clash { serial: 7, claimed_at, .. }] if *claimed_at == 200 << 16));
    (a, b)
}

/// What `from` has not told yet reaches `to`.
fn tell_news(from: &mut Names, to: &mut Names) -> Vec<Change> {
    let news = from.take_news().expect("few changes");
    news.into_iter().flat_map(|message| to.heard(&from.holding(OWN).id, message, 0).unwrap()).collect()
}

fn owner_of(names: &Names, name: &str) -> Option<u64> {
    names.owner(name).map(|owner| owner.pid.serial())
}

#[test]
fn a_loser_waits_for_the_resolver_of_the_earlier_claim_and_withdraws_when_that_keeps_it() {
    let (mut a, mut b) = clashed();
    assert_eq!(
        (owner_of(&a, "x"), owner_of(&b, "x")),
        (Some(7), Some(7)),
        "meanwhile the earlier one has it"
    );
    assert_eq!(b.resolve("x", 7, 200 << 16, true), []);
    assert!(matches!(&tell_news(&mut b, &mut a)[..], [Change::Lost { serial: 1, .. }]));
    tell_news(&mut a, &mut b);
    assert_eq!((owner_of(&a, "x"), owner_of(&b, "x")), (Some(7), Some(7)));
    assert!(a.own.holder("x").is_none());
    assert_eq!(b.held(&node("a")).digest, a.told().1);
}

#[test]
fn a_resolver_may_yield_the_name_to_the_later_claim() {
    let (mut a, mut b) = clashed();
    let changes = b.resolve("x", 7, 200 << 16, false);
    assert!(matches!(&changes[..], [
        Change::Owner { owner: Some(owner), .. },
        Change::Lost { serial: 7, .. },
    ] if owner.pid.serial() == 1));
    assert!(
        matches!(&tell_news(&mut b, &mut a)[..], [Change::Owner { owner: Some(owner), .. }] if owner.pid.serial() == 1)
    );
    assert_eq!((owner_of(&a, "x"), owner_of(&b, "x")), (Some(1), Some(1)));
}

#[test]
fn a_resolver_yields_to_nobody_who_has_gone_meanwhile() {
    let (mut a, mut b) = clashed();
    a.process_ended(1);
    tell_news(&mut a, &mut b);
    assert_eq!(b.resolve("x", 7, 200 << 16, false), []);
    assert_eq!(owner_of(&b, "x"), Some(7));
}

#[test]
fn a_claim_without_a_resolver_gives_way_at_once() {
    let (mut a, mut b) = (Names::new(node("a"), 10), Names::new(node("b"), 10));
    b.claim(name("x"), 7, ConflictPolicy::Resolve, 100).unwrap();
    a.claim(name("x"), 1, ConflictPolicy::NotifyBoth, 200).unwrap();
    let lost = tell_news(&mut b, &mut a);
    assert!(matches!(&lost[1..], [Change::Lost { policy: ConflictPolicy::NotifyBoth, .. }]));
}

/// One step of a history.
#[derive(Debug, Clone)]
enum Step {
    /// A node claims a name, if it sees no holder.
    Claim { node: usize, name: usize, wall_ms: u64 },
    /// A process ends.
    End { node: usize, serial: u64 },
    /// A node tells another what has changed, or, if that one holds something else, whatever it needs.
    Meet { from: usize, to: usize },
    /// A node takes another for lost.
    Lose { at: usize, peer: usize },
    /// A majority confirms a name for a node, if that sees no holder.
    Confirm { node: usize, name: usize },
    /// A node is started again: it holds and knows nothing.
    Restart { node: usize },
}

fn step(nodes: usize) -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..nodes, 0..4usize, 0..50u64)
            .prop_map(|(node, name, wall_ms)| Step::Claim { node, name, wall_ms }),
        1 => (0..nodes, 0..4u64).prop_map(|(node, serial)| Step::End { node, serial }),
        4 => (0..nodes, 0..nodes).prop_map(|(from, to)| Step::Meet { from, to }),
        1 => (0..nodes, 0..nodes).prop_map(|(at, peer)| Step::Lose { at, peer }),
        1 => (0..nodes, 0..4usize).prop_map(|(node, name)| Step::Confirm { node, name }),
        1 => (0..nodes).prop_map(|node| Step::Restart { node }),
    ]
}

const NODES: [&str; 3] = ["a", "b", "c"];

fn play(history: &[Step]) -> Vec<Names> {
    let mut all: Vec<Names> = NODES.iter().map(|name| Names::new(node(name), 100)).collect();
    for (at, step) in history.iter().enumerate() {
        // Each later holder has a higher token, and each later start a higher incarnation.
        let later = at as u64 + 1;
        match *step {
            Step::Confirm { node, name: n } => {
                let name = name(&format!("n{n}"));
                if all[node].owner(name.as_str()).is_none() {
                    all[node].claim_confirmed(name, n as u64, POLICY, FencingToken::from_raw(later), 0);
                }
            }
            Step::Restart { node: at } => {
                let NodeId { name, incarnation } = node(NODES[at]);
                let incarnation = Incarnation::from_raw(incarnation.raw() + 1_000 * later);
                all[at] = Names::new(NodeId { name, incarnation }, 100);
            }
            Step::Claim { node, name: n, wall_ms } => {
                // Somebody may hold it already.
                let _ = all[node].claim(name(&format!("n{n}")), n as u64, POLICY, wall_ms);
            }
            Step::End { node, serial } => drop(all[node].process_ended(serial)),
            Step::Meet { from, to } => drop(meet(&mut all, from, to)),
            Step::Lose { at, peer } if at != peer => drop(all[at].peer_gone(&node(NODES[peer]).name)),
            Step::Lose { .. } => {}
        }
    }
    all
}

fn meet(all: &mut [Names], from: usize, to: usize) -> Vec<Change> {
    let Ok([from, to]) = all.get_disjoint_mut([from, to]) else { return Vec::new() };
    from.take_news();
    // A link with a later start of a node is the end of the earlier one.
    let peer = from.holding(OWN).id.clone();
    if to.number(&peer).is_none() {
        to.peer_gone(&peer.name);
    }
    catch_up(from, to)
}

/// Lets all nodes meet until nobody has anything to tell.
fn converge(all: &mut [Names], order: &[(usize, usize)]) {
    for _ in 0..4 {
        for (from, to) in order {
            meet(all, *from, *to);
        }
    }
}

fn view(names: &Names) -> Vec<(Name, Owner)> {
    names.claims.iter().map(|(name, claimants)| (name.clone(), names.winner(claimants))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// Commutative, associative and idempotent: after any history, in whatever order nodes then meet, and however
    /// often, all see the same owners, each name has one, and it is a process whose own node says so.
    #[test]
    fn whatever_happened_all_nodes_end_with_the_same_owners_in_whatever_order_they_meet(
        history in prop::collection::vec(step(3), 0..40),
        shuffle in prop::collection::vec(any::<prop::sample::Index>(), 6),
    ) {
        let pairs = [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)];
        let mut shuffled: Vec<(usize, usize)> = pairs.to_vec();
        for (at, index) in shuffle.iter().enumerate() {
            shuffled.swap(at, index.index(pairs.len()));
        }
        // The same pair again and again is as good as once.
        let repeated: Vec<_> = shuffled.iter().flat_map(|pair| [*pair, *pair]).collect();
        let mut ends = Vec::new();
        for order in [&pairs[..], &shuffled, &repeated] {
            let mut all = play(&history);
            converge(&mut all, order);
            let views: Vec<_> = all.iter().map(view).collect();
            prop_assert_eq!(&views[0], &views[1]);
            prop_assert_eq!(&views[1], &views[2]);
            for (name, owner) in &views[0] {
                let at = NODES.iter().position(|node| *node == owner.node.as_str()).unwrap();
                prop_assert_eq!(all[at].own.holder(name.as_str()), Some(owner.pid.serial()));
                let holders = all.iter().filter(|names| names.own.holder(name.as_str()).is_some()).count();
                prop_assert_eq!(holders, 1, "{} has one holder", name);
            }
            ends.push(views);
        }
        prop_assert_eq!(&ends[0], &ends[1]);
        prop_assert_eq!(&ends[1], &ends[2]);
    }

    /// With resolvers that decide sooner or later, and one way or the other: at the end each name has one claim, and
    /// all see it.
    #[test]
    fn whatever_resolvers_decide_each_name_ends_with_one_claim(
        history in prop::collection::vec((step(3), any::<bool>(), any::<bool>()), 0..40),
    ) {
        let mut world: Vec<Names> = NODES.iter().map(|name| Names::new(node(name), 100)).collect();
        let mut clashes: VecDeque<(usize, Name, u64, u64)> = VecDeque::new();
        let keep = |at: usize, changes: Vec<Change>, clashes: &mut VecDeque<_>| {
            for change in changes {
                if let Change::Clash { name, serial, claimed_at, .. } = change {
                    clashes.push_back((at, name, serial, claimed_at));
                }
            }
        };
        for (step, decides, keeps) in history {
            match step {
                Step::Claim { node, name: n, wall_ms } => {
                    let policy = if n < 3 { ConflictPolicy::Resolve } else { POLICY };
                    let _ = world[node].claim(name(&format!("n{n}")), n as u64, policy, wall_ms);
                }
                Step::Meet { from, to } => {
                    let changes = meet(&mut world, from, to);
                    keep(to, changes, &mut clashes);
                }
                Step::End { node, serial } => drop(world[node].process_ended(serial)),
                Step::Lose { at, peer } if at != peer => {
                    let changes = world[at].peer_gone(&node(NODES[peer]).name);
                    keep(at, changes, &mut clashes);
                }
                // Confirmed claims have no resolver.
                Step::Lose { .. } | Step::Confirm { .. } | Step::Restart { .. } => {}
            }
            if decides && let Some((at, name, serial, claimed_at)) = clashes.pop_front() {
                world[at].resolve(name.as_str(), serial, claimed_at, keeps);
            }
        }
        for round in 0..8 {
            for (from, to) in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)] {
                let changes = meet(&mut world, from, to);
                keep(to, changes, &mut clashes);
            }
            while let Some((at, name, serial, claimed_at)) = clashes.pop_front() {
                world[at].resolve(name.as_str(), serial, claimed_at, round % 2 == 0);
            }
        }
        let views: Vec<_> = world.iter().map(view).collect();
        prop_assert!(views[0] == views[1] && views[1] == views[2], "{:?}", views);
        for (name, _) in &views[0] {
            let holders = world.iter().filter(|names| names.own.holder(name.as_str()).is_some()).count();
            prop_assert_eq!(holders, 1, "{} has one holder", name);
        }
    }

    /// What is held of a peer is the same whichever of its messages came on the way, twice, or not at all.
    #[test]
    fn a_copy_of_a_nodes_claims_is_exact_however_often_it_is_caught_up(
        changes in prop::collection::vec((0u64..6, any::<bool>(), any::<bool>()), 1..60),
    ) {
        let (mut a, mut b) = (Names::new(node("a"), 100), Names::new(node("b"), 100));
        for (n, claims, meets) in changes {
            let text = format!("n{n}");
            if claims {
                // It may hold it already.
                let _ = a.claim(name(&text), n, POLICY, 0);
            } else {
                a.withdraw(&text, n);
            }
            if meets {
                a.take_news();
                catch_up(&a, &mut b);
                let (version, digest) = a.told();
                prop_assert_eq!(b.held(&node("a")), control::Held { version, digest });
                prop_assert_eq!(view(&a), view(&b));
            }
        }
    }
}
