use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::claimant::{Attempt, Claimant, Electorate, Step};
use super::voter::Voter;
use super::voters_lease;
use crate::host::{ConfirmError, ConflictPolicy, Quorum};
use crate::id::{Incarnation, Name, NodeId, NodeName};
use crate::wire::control::{Ballot, Released, Verdict, Vote};

const LEASE: Duration = Duration::from_secs(3);
const NAME: &str = "leader";

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
    Instant::now()
}

fn node(index: usize, life: u64) -> NodeId {
    let name = NodeName::new(format!("n{index}")).expect("a name");
    NodeId { name, incarnation: Incarnation::from_raw(life * 100 + index as u64 + 1) }
}

fn ballot(token: u64, renews: bool) -> Ballot {
    let lease_ms = LEASE.as_millis() as u64;
    Ballot { name: NAME.into(), serial: 1, token, lease_ms, round: 1, renews }
}

/// A voter that has run long enough to vote.
fn voter(now: Instant, names_max: usize) -> Voter {
    let mut voter = Voter::new(LEASE, names_max);
    voter.runs(now.checked_sub(voters_lease(LEASE)).expect("the clock began earlier"));
    voter
}

#[test]
fn a_voter_that_has_just_started_does_not_vote_until_its_earlier_grants_have_run_out() {
    let now = start();
    let mut voter = Voter::new(LEASE, 10);
    assert_eq!(voter.ask(now, 0, &node(0, 1), &ballot(1, false)).verdict(), Verdict::TooYoung);
    voter.runs(now);
    let soon = now + voters_lease(LEASE);
    voter.runs(soon);
    let early = voter.ask(soon - Duration::from_millis(1), 0, &node(0, 1), &ballot(1, false));
    assert_eq!(early.verdict(), Verdict::TooYoung);
    assert_eq!(voter.ask(soon, 0, &node(0, 1), &ballot(1, false)).verdict(), Verdict::Granted);
}

#[test]
fn a_grant_stands_until_it_runs_out_or_is_given_back() {
    let now = start();
    let mut voter = voter(now, 10);
    let ask = |voter: &mut Voter, at: Instant, who: usize, token: u64, renews: bool| {
        voter.ask(at, 0, &node(who, 1), &ballot(token, renews)).verdict()
    };
    assert_eq!(ask(&mut voter, now, 0, 5, false), Verdict::Granted);
    assert_eq!(ask(&mut voter, now, 1, 9, false), Verdict::Held);
    let held = voter.ask(now, 0, &node(1, 1), &ballot(9, false));
    assert_eq!((held.holder.as_str(), held.holder_serial, held.highest), ("n0", 1, 5));
    // The lease that the voter keeps is longer than the one that it granted.
    let end = now + LEASE;
    assert_eq!(ask(&mut voter, end, 1, 9, false), Verdict::Held);
    assert_eq!(ask(&mut voter, end, 0, 5, true), Verdict::Granted, "renewed");
    let over = end + voters_lease(LEASE);
    assert_eq!(ask(&mut voter, over, 1, 5, false), Verdict::Behind, "that token was granted before");
    assert_eq!(ask(&mut voter, over, 1, 6, false), Verdict::Granted);
    voter.released(&node(0, 1), NAME, 9);
    assert_eq!(ask(&mut voter, over, 0, 9, false), Verdict::Held, "nobody gives back what another one has");
    voter.released(&node(1, 1), NAME, 5);
    assert_eq!(ask(&mut voter, over, 0, 9, false), Verdict::Held, "nor a later token with an earlier one");
    voter.released(&node(1, 1), NAME, 6);
    assert_eq!(ask(&mut voter, over, 0, 9, false), Verdict::Granted);
    voter.over(&node(0, 1));
    assert_eq!(ask(&mut voter, over, 1, 10, false), Verdict::Granted, "that start of the node is over");
}

#[test]
fn a_later_start_of_the_holder_takes_over_from_the_earlier_one_and_not_the_other_way_round() {
    let now = start();
    let mut voter = voter(now, 10);
    assert_eq!(voter.ask(now, 0, &node(0, 1), &ballot(1, false)).verdict(), Verdict::Granted);
    assert_eq!(voter.ask(now, 0, &node(0, 2), &ballot(2, false)).verdict(), Verdict::Granted);
    assert_eq!(voter.ask(now, 0, &node(0, 1), &ballot(3, true)).verdict(), Verdict::Held);
}

#[test]
fn a_token_far_ahead_of_the_voters_clock_and_a_lease_above_its_own_are_refused() {
    let now = start();
    let mut voter = voter(now, 10);
    assert_eq!(voter.ask(now, 0, &node(0, 1), &ballot(u64::MAX, false)).verdict(), Verdict::Refused);
    let long = Ballot { lease_ms: LEASE.as_millis() as u64 + 1, ..ballot(1, false) };
    assert_eq!(voter.ask(now, 0, &node(0, 1), &long).verdict(), Verdict::Refused);
    let nameless = Ballot { name: String::new(), ..ballot(1, false) };
    assert_eq!(voter.ask(now, 0, &node(0, 1), &nameless).verdict(), Verdict::Refused);
}

#[test]
fn a_voter_remembers_so_many_names_and_of_the_others_the_highest_token() {
    let now = start();
    let mut voter = voter(now, 2);
    let of = |name: &str, token| Ballot { name: name.into(), ..ballot(token, false) };
    let mut ask = |at, name: &str, token| voter.ask(at, 0, &node(0, 1), &of(name, token)).verdict();
    assert_eq!(ask(now, "a", 7), Verdict::Granted);
    assert_eq!(ask(now, "b", 3), Verdict::Granted);
    assert_eq!(ask(now, "c", 9), Verdict::Refused, "both are held");
    let over = now + voters_lease(LEASE);
    assert_eq!(ask(over, "c", 7), Verdict::Behind, "as high as a forgotten one");
    assert_eq!(ask(over, "c", 8), Verdict::Granted);
}

// ------------------------------------------------------------------------------------------------------ a world

/// A message under way.
#[derive(Debug, Clone)]
enum Said {
    Ballot(Ballot),
    Released(Released),
    Vote(Vote),
}

#[derive(Debug)]
struct Node {
    id: NodeId,
    claimant: Claimant,
    voter: Voter,
    /// How far its clock is off, in milliseconds.
    skew_ms: u64,
    life: u64,
    calls: u64,
}

/// Nodes that ask each other over a network that delays, reorders and cuts.
struct World {
    start: Instant,
    now: Instant,
    nodes: Vec<Node>,
    flying: BTreeMap<(Instant, u64), (usize, usize, Said)>,
    sent: u64,
    /// On which side of the cut each node is.
    side: Vec<bool>,
    random: fastrand::Rng,
    /// All tokens that were confirmed, in order of time.
    confirmed: Vec<u64>,
    refused: Vec<ConfirmError>,
}

impl World {
    fn new(nodes: usize, seed: u64) -> Self {
        let start = start();
        let mut random = fastrand::Rng::with_seed(seed);
        let nodes: Vec<Node> = (0..nodes)
            .map(|index| Node {
                id: node(index, 1),
                claimant: Claimant::new(LEASE, seed + index as u64),
                voter: Voter::new(LEASE, 4),
                skew_ms: random.u64(..2_000),
                life: 1,
                calls: 0,
            })
            .collect();
        let side = vec![false; nodes.len()];
        let mut world = Self {
            start,
            now: start,
            nodes,
            flying: BTreeMap::new(),
            sent: 0,
            side,
            random,
            confirmed: Vec::new(),
            refused: Vec::new(),
        };
        world.nodes.iter_mut().for_each(|node| node.voter.runs(start));
        world
    }

    fn wall_ms(&self, node: usize) -> u64 {
        (self.now - self.start).as_millis() as u64 + self.nodes[node].skew_ms
    }

    fn electorate(&self, node: usize) -> Electorate {
        let reach = self.side.iter().filter(|side| **side == self.side[node]).count();
        Electorate { voters: self.nodes.len(), reach }
    }

    fn say(&mut self, from: usize, to: usize, said: Said) {
        if self.side[from] != self.side[to] {
            return;
        }
        self.sent += 1;
        let delay = Duration::from_millis(self.random.u64(1..400));
        self.flying.insert((self.now + delay, self.sent), (from, to, said));
    }

    fn claim(&mut self, at: usize, deadline: Duration) {
        let node = &mut self.nodes[at];
        if node.claimant.wanted_by(NAME).is_some() {
            return;
        }
        node.calls += 1;
        let (call, quorum, policy) = (node.calls, Quorum::Majority, ConflictPolicy::NotifyLoser);
        let attempt = Attempt { call, serial: call, quorum, policy, deadline: self.now + deadline };
        node.claimant.begin(self.now, Name::new(NAME).expect("a name"), attempt);
        self.tick(at);
    }

    fn release(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let steps = node.claimant.release(NAME, node.calls);
        self.take(at, steps);
    }

    /// All that the node knew is gone, and its process with it.
    fn restart(&mut self, at: usize) {
        let seed = self.random.u64(..);
        let node = &mut self.nodes[at];
        node.life += 1;
        node.id = self::node(at, node.life);
        node.claimant = Claimant::new(LEASE, seed);
        node.voter = Voter::new(LEASE, 4);
        node.voter.runs(self.now);
        self.flying.retain(|_, (from, to, _)| *from != at && *to != at);
    }

    fn tick(&mut self, at: usize) {
        let (wall_ms, electorate) = (self.wall_ms(at), self.electorate(at));
        let node = &mut self.nodes[at];
        node.voter.runs(self.now);
        let steps = node.claimant.tick(self.now, wall_ms, electorate, |_| None);
        self.take(at, steps);
    }

    fn take(&mut self, at: usize, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Ask(ballot) => {
                    (0..self.nodes.len()).for_each(|to| self.say(at, to, Said::Ballot(ballot.clone())));
                }
                Step::Release(released) => {
                    (0..self.nodes.len()).for_each(|to| self.say(at, to, Said::Released(released.clone())));
                }
                Step::Confirmed { token, .. } => self.confirmed.push(token.raw()),
                Step::Refused { error, .. } => self.refused.push(error),
                Step::Lost { .. } => {}
            }
        }
        self.check();
    }

    fn arrives(&mut self, from: usize, to: usize, said: Said) {
        let (wall_ms, electorate, now) = (self.wall_ms(to), self.electorate(to), self.now);
        let (voters, id) = (self.nodes.len(), self.nodes[from].id.clone());
        let node = &mut self.nodes[to];
        match said {
            Said::Ballot(ballot) => {
                let vote = node.voter.ask(now, wall_ms, &id, &ballot);
                self.say(to, from, Said::Vote(vote));
            }
            Said::Released(released) => node.voter.released(&id, &released.name, released.token),
            Said::Vote(vote) => {
                let step = node.claimant.voted((now, wall_ms), &id.name, voters, &vote, electorate);
                self.take(to, step.into_iter().collect());
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let packet = self.flying.keys().next().map(|(at, _)| *at);
            let due = self.nodes.iter().filter_map(|node| node.claimant.next_due()).min();
            let Some(next) = packet.into_iter().chain(due).min().filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            while let Some(entry) = self.flying.first_entry()
                && entry.key().0 <= self.now
            {
                let (from, to, said) = entry.remove();
                self.arrives(from, to, said);
            }
            for at in 0..self.nodes.len() {
                self.tick(at);
            }
        }
        self.now = end;
        (0..self.nodes.len()).for_each(|at| self.tick(at));
    }

    fn holders(&self) -> Vec<usize> {
        let holds =
            |at: &usize| self.nodes[*at].claimant.held_until(NAME).is_some_and(|until| until > self.now);
        (0..self.nodes.len()).filter(holds).collect()
    }

    /// What must be true at any moment.
    fn check(&self) {
        assert!(
            self.holders().len() <= 1,
            "{:?} hold the name at {:?}",
            self.holders(),
            self.now - self.start
        );
        assert!(self.confirmed.is_sorted_by(|one, next| one < next), "tokens grow: {:?}", self.confirmed);
    }
}

#[derive(Debug, Clone)]
enum Act {
    Claim(usize),
    Release(usize),
    Restart(usize),
    Cut(u8),
    Heal,
    Run(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0usize..5).prop_map(Act::Claim),
        1 => (0usize..5).prop_map(Act::Release),
        1 => (0usize..5).prop_map(Act::Restart),
        2 => any::<u8>().prop_map(Act::Cut),
        2 => Just(Act::Heal),
        6 => (1u64..4_000).prop_map(Act::Run),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 2_000 }))]

    /// At any moment one process at most holds the name, and each later holder has a higher token. Once the network is
    /// whole and nobody else wants it, whoever asks gets it.
    #[test]
    fn never_two_hold_a_name_and_tokens_grow(
        seed in any::<u64>(),
        acts in prop::collection::vec(act(), 1..40),
        nodes in 2usize..6,
    ) {
        let mut world = World::new(nodes, seed);
        world.run(voters_lease(LEASE));
        for act in acts {
            match act {
                Act::Claim(at) => world.claim(at % nodes, Duration::from_secs(2)),
                Act::Release(at) => world.release(at % nodes),
                Act::Restart(at) => world.restart(at % nodes),
                Act::Cut(sides) => (0..nodes).for_each(|at| world.side[at] = sides >> at & 1 == 1),
                Act::Heal => world.side.fill(false),
                Act::Run(ms) => world.run(Duration::from_millis(ms)),
            }
            world.check();
        }
        world.side.fill(false);
        world.run(3 * LEASE);
        (0..nodes).for_each(|at| world.release(at));
        world.run(Duration::from_secs(1));
        world.claim(0, Duration::from_secs(10));
        world.run(Duration::from_secs(10));
        prop_assert_eq!(world.holders(), [0]);
    }

    /// All want the name at once: one of them gets it, soon.
    #[test]
    fn of_all_that_ask_at_once_one_gets_the_name(seed in any::<u64>(), nodes in 2usize..6) {
        let mut world = World::new(nodes, seed);
        world.run(voters_lease(LEASE));
        (0..nodes).for_each(|at| world.claim(at, Duration::from_secs(20)));
        world.run(Duration::from_secs(20));
        prop_assert_eq!(world.holders().len(), 1);
        let taken = world.refused.iter().filter(|error| matches!(error, ConfirmError::Taken(_))).count();
        prop_assert_eq!(taken, nodes - 1, "{:?}", world.refused);
    }

    /// Whoever is cut off with fewer than half of the others gets no name and loses the one that it has.
    #[test]
    fn a_minority_holds_no_name_after_a_lease(seed in any::<u64>(), holder in 0usize..5) {
        let mut world = World::new(5, seed);
        world.run(voters_lease(LEASE));
        world.claim(holder, Duration::from_secs(10));
        world.run(Duration::from_secs(2));
        prop_assert_eq!(world.holders(), [holder]);
        let other = (holder + 1) % 5;
        for at in [holder, other] {
            world.side[at] = true;
        }
        world.run(LEASE);
        prop_assert_eq!(world.holders(), []);
        world.claim(other, Duration::from_secs(2));
        world.run(Duration::from_secs(2));
        let refused = |error: &ConfirmError| matches!(error, ConfirmError::NoQuorum { needed: 3, .. } | ConfirmError::Taken(_));
        prop_assert!(world.refused.iter().any(refused), "{:?}", world.refused);
        let third = (holder + 2) % 5;
        world.claim(third, Duration::from_secs(10));
        world.run(Duration::from_secs(10));
        prop_assert_eq!(world.holders(), [third]);
        world.side.fill(false);
        world.run(LEASE);
        prop_assert_eq!(world.holders(), [third]);
    }
}
