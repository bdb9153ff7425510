use super::*;
use crate::id::Incarnation;

const TIMING: Timing = Timing {
    suspect: Duration::from_millis(2_000),
    denied: Duration::from_millis(3_000),
    unanswered: Duration::from_millis(4_000),
    ask_every: Duration::from_millis(250),
    life: Duration::from_millis(1_250),
};

/// Who is linked with whom, beside this node.
struct Links(Vec<(u64, u64)>);

impl Links {
    fn has(&self, one: Incarnation, other: Incarnation) -> bool {
        let (one, other) = (one.raw(), other.raw());
        self.0.contains(&(one.min(other), one.max(other)))
    }
}

impl Graph for Links {
    fn is_linked_with(&self, peer: &NodeId, node: &NodeId) -> bool {
        self.has(peer.incarnation, node.incarnation)
    }

    fn reached_through(
        &self,
        peers: &[NodeId],
        denied: &dyn Fn(Incarnation, Incarnation) -> bool,
    ) -> BTreeSet<Incarnation> {
        let mut reached: BTreeSet<Incarnation> = peers.iter().map(|peer| peer.incarnation).collect();
        for _ in 0..9 {
            for other in (1..9).map(Incarnation::from_raw) {
                if reached.iter().any(|one| self.has(*one, other) && !denied(*one, other)) {
                    reached.insert(other);
                }
            }
        }
        reached
    }
}

/// Peers `b`, `c` … of this node, all heard at the start; incarnation 1 is `b`'s.
struct World {
    start: Instant,
    detector: Detector,
    links: Links,
}

fn id(raw: u64) -> NodeId {
    let letter = char::from(b'a' + u8::try_from(raw).unwrap());
    NodeId { name: NodeName::new(letter.to_string()).unwrap(), incarnation: Incarnation::from_raw(raw) }
}

impl World {
    fn new(peers: u64) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
        let start = Instant::now();
        let mut detector = Detector::new(1);
        for peer in 1..=peers {
            detector.link_up(&id(peer), peer, start);
        }
        let pairs = (1..=peers).flat_map(|one| (one + 1..=peers).map(move |other| (one, other)));
        Self { start, detector, links: Links(pairs.collect()) }
    }

    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    fn review(&mut self, ms: u64) -> Vec<Finding> {
        let now = self.at(ms);
        self.detector.review(now, &TIMING, &self.links)
    }

    fn hear(&mut self, peer: u64, ms: u64) {
        let at = self.at(ms);
        self.detector.heard(&id(peer).name, at);
    }

    fn hear_all_but(&mut self, silent: u64, peers: u64, ms: u64) {
        (1..=peers).filter(|peer| *peer != silent).for_each(|peer| self.hear(peer, ms));
    }

    fn answer(&mut self, from: u64, about: u64, heard_ms: Option<u64>) {
        let heard = heard_ms.map(|ms| self.at(ms));
        self.detector.answered(&id(from).name, about, heard);
    }
}

fn asked(findings: &[Finding]) -> Vec<&str> {
    let asked = findings.iter().filter_map(|finding| match finding {
        Finding::Ask { helper, .. } => Some(helper.as_str()),
        _ => None,
    });
    asked.collect()
}

/// The verdict among the findings: whether it is a cut, and of whom.
fn verdicts(findings: &[Finding]) -> Vec<(bool, u64)> {
    let verdicts = findings.iter().filter_map(|finding| match finding {
        Finding::Cut { node, .. } => Some((true, node.incarnation.raw())),
        Finding::Gone { node, .. } => Some((false, node.incarnation.raw())),
        _ => None,
    });
    verdicts.collect()
}

#[test]
fn a_silent_node_is_suspected_after_two_seconds_and_gone_after_three_if_all_who_are_asked_deny_it() {
    let mut world = World::new(4);
    world.hear_all_but(1, 4, 1_900);
    assert_eq!(world.review(1_999), []);
    let findings = world.review(2_000);
    assert_eq!(findings[0], Finding::Suspect(id(1)));
    let mut helpers = asked(&findings);
    helpers.sort_unstable();
    assert_eq!(helpers, ["c", "d", "e"]);
    // They last heard it at about the same time: no sign of life.
    world.answer(2, 1, Some(400));
    world.answer(3, 1, Some(0));
    world.hear_all_but(1, 4, 2_900);
    assert_eq!(verdicts(&world.review(3_000)), [], "one has not answered");
    world.answer(4, 1, None);
    assert_eq!(verdicts(&world.review(3_001)), [(false, 1)]);
}

#[test]
fn a_node_that_another_heard_well_after_this_one_is_cut_and_not_gone() {
    let mut world = World::new(4);
    world.hear_all_but(1, 4, 2_900);
    world.review(2_000);
    world.answer(2, 1, Some(0));
    world.answer(3, 1, Some(2_600));
    assert_eq!(verdicts(&world.review(2_999)), []);
    let findings = world.review(3_000);
    assert_eq!(verdicts(&findings), [(true, 1)]);
    let Some(Finding::Cut { asked, generation: 1, .. }) = findings.last() else { panic!("{findings:?}") };
    let said: Vec<_> = asked.iter().map(|(name, said)| (name.as_str(), *said)).collect();
    let ago = |ms| Testimony::HeardAgo(Duration::from_millis(ms));
    assert_eq!(said, [("c", ago(3_000)), ("d", ago(400)), ("e", Testimony::NoAnswer)]);
}

#[test]
fn without_answers_a_node_is_gone_after_four_seconds() {
    for peers in [1, 4] {
        let mut world = World::new(peers);
        for ms in (2_000..4_000).step_by(100) {
            world.hear_all_but(1, peers, ms - 50);
            assert_eq!(verdicts(&world.review(ms)), [], "{peers} peers, at {ms} ms");
        }
        world.hear_all_but(1, peers, 3_990);
        assert_eq!(verdicts(&world.review(4_000)), [(false, 1)]);
    }
}

#[test]
fn whoever_is_suspected_itself_is_not_waited_for() {
    let mut world = World::new(3);
    // c is heard for a little longer, and is asked; then it is silent too.
    world.hear(2, 500);
    world.hear(3, 2_900);
    assert_eq!(asked(&world.review(2_000)).len(), 2);
    world.answer(3, 1, Some(0));
    assert_eq!(world.review(2_500)[0], Finding::Suspect(id(2)));
    world.answer(3, 2, Some(600));
    assert_eq!(verdicts(&world.review(3_000)), [(false, 1)], "d alone is left, and denies it");
}

#[test]
fn a_packet_ends_the_suspicion_and_a_new_one_begins_anew() {
    let mut world = World::new(2);
    world.hear(2, 9_000);
    assert_eq!(world.review(2_500).len(), 2);
    world.answer(2, 1, None);
    world.hear(1, 2_600);
    assert_eq!(world.review(2_700), [Finding::Trusted(id(1))]);
    assert_eq!(world.review(4_599), []);
    assert_eq!(asked(&world.review(4_600)), ["c"]);
    assert_eq!(verdicts(&world.review(5_600)), [], "the old answer does not count");
}

#[test]
fn questions_are_repeated_and_after_a_while_put_to_all() {
    let mut world = World::new(9);
    let mut counts = Vec::new();
    for ms in (2_000..3_000).step_by(50) {
        world.hear_all_but(1, 9, ms);
        counts.push(asked(&world.review(ms)).len());
    }
    let asked: Vec<usize> = counts.into_iter().filter(|count| *count > 0).collect();
    assert_eq!(asked, [3, 3, 8, 8]);
}

#[test]
fn only_those_who_say_that_they_are_linked_with_it_are_asked() {
    let mut world = World::new(4);
    world.hear_all_but(1, 4, 1_900);
    world.links = Links(vec![(1, 3)]);
    assert_eq!(asked(&world.review(2_000)), ["d"]);
}

#[test]
fn a_node_that_is_seen_only_by_those_whom_others_see_is_cut_once_there_was_time_for_news() {
    let mut world = World::new(3);
    // A chain: b - c - d, of which this node hears b alone; all were linked before.
    world.links = Links(vec![(1, 2), (2, 3), (1, 3)]);
    for ms in (2_000..4_000).step_by(50) {
        world.hear(1, ms);
        let findings = world.review(ms);
        assert!(ms < 3_000 || findings.iter().all(|finding| !matches!(finding, Finding::Gone { .. })));
        // b has lost d too, and hears c.
        world.answer(1, 3, Some(0));
        world.answer(1, 2, Some(ms));
        if ms >= 3_000 {
            assert_eq!(verdicts(&findings), [(true, 2)], "of d there may be news yet");
        }
    }
    world.hear(1, 4_000);
    let mut found = verdicts(&world.review(4_000));
    found.sort_unstable();
    assert_eq!(found, [(true, 2), (true, 3)]);
}

#[test]
fn two_sides_of_a_split_do_not_keep_each_other_alive_by_what_they_said_before() {
    let mut world = World::new(4);
    for ms in (2_000..3_000).step_by(50) {
        world.hear(1, ms);
        assert_eq!(verdicts(&world.review(ms)), []);
        (2..=4).for_each(|lost| world.answer(1, lost, Some(100)));
    }
    world.hear(1, 3_000);
    assert_eq!(verdicts(&world.review(3_000)), [(false, 2), (false, 3), (false, 4)]);
}

#[test]
fn a_node_that_stood_still_gives_everybody_a_new_grace_period() {
    let mut world = World::new(2);
    assert_eq!(world.review(2_100).len(), 2);
    let now = world.at(30_000);
    world.detector.forgive(world.at(2_100), now);
    let trusted = [Finding::Trusted(id(1)), Finding::Trusted(id(2))];
    assert_eq!(world.review(30_000), trusted);
    assert_eq!(world.review(31_999), []);
    assert_eq!(world.review(32_000).len(), 2, "a full one");
}

#[test]
fn what_was_read_after_a_standstill_proves_nothing_to_others() {
    let mut world = World::new(2);
    let says = |world: &World, peer: u64| world.detector.testimony(&id(peer).name);
    (1..=2).for_each(|peer| world.hear(peer, 1_000));
    assert_eq!(says(&world, 1), Some(world.at(1_000)));
    // Read before the standstill was noticed, and after; then something new.
    world.hear(1, 4_000);
    world.detector.forgive(world.at(1_500), world.at(4_001));
    assert_eq!([says(&world, 1), says(&world, 2)], [None; 2]);
    world.hear(2, 4_200);
    assert_eq!(says(&world, 2), None);
    world.hear(1, 4_300);
    assert_eq!([says(&world, 1), says(&world, 2)], [Some(world.at(4_300)), None]);
    // A second one, while what had come in the first was still read, is one with it.
    world.detector.forgive(world.at(4_200), world.at(5_000));
    world.hear(1, 5_100);
    assert_eq!([says(&world, 1), says(&world, 2)], [None; 2]);
    (1..=2).for_each(|peer| world.hear(peer, 5_300));
    assert_eq!([says(&world, 1), says(&world, 2)], [Some(world.at(5_300)); 2]);
}

#[test]
fn the_next_look_is_due_when_something_can_change() {
    let mut world = World::new(1);
    let due = |world: &World, ms| {
        let due = world.detector.next_due(world.at(ms), &TIMING).unwrap();
        (due - world.start).as_millis()
    };
    assert_eq!(due(&world, 0), 2_000);
    world.review(2_000);
    assert_eq!(due(&world, 2_000), 2_250);
    world.review(2_900);
    assert_eq!(due(&world, 2_900), 3_000);
    world.review(3_900);
    assert_eq!(due(&world, 3_900), 4_000);
}

#[test]
fn an_old_links_end_does_not_touch_the_new_one() {
    let mut world = World::new(1);
    let now = world.at(100);
    world.detector.link_up(&id(1), 7, now);
    world.detector.link_down(&id(1).name, 1);
    assert_eq!(world.detector.testimony(&id(1).name), Some(now));
    world.detector.link_down(&id(1).name, 7);
    assert_eq!(world.detector.testimony(&id(1).name), None);
}
