//! A node as claimant: the names that it wants a majority's word for, and those that it has it for.
//!
//! # What must stay true
//! - A name is held until a lease after the asking of the last round that a majority has granted, and no longer.
//! - A token that was given up is never used again.
//! - Every attempt ends: with the name, with a refusal, or by its deadline.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::{TOKEN_COUNTER_BITS, is_plausible, needed};
use crate::host::{ConfirmError, ConflictPolicy, FencingToken, Owner, Quorum};
use crate::id::{Incarnation, Name, NodeName, Pid};
use crate::wire::control::{Ballot, Released, Verdict, Vote};

/// The first round of an attempt that brings no majority is over after this; later ones take up to four times as long.
const ROUND: Duration = Duration::from_millis(250);
/// An attempt that met another one gives its votes back and rests for up to this; up to sixteen times as long if it
/// happens again and again, so that one of the two gets through however far the voters are.
const REST_MS_MAX: u64 = 60;
/// Rounds of one name whose votes still count.
const ROUNDS_MAX: usize = 6;
/// Renewals in one lease.
const RENEWALS: u32 = 4;

/// What the engine is to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// Ask all voters.
    Ask(Ballot),
    /// Tell all voters that a token is given up.
    Release(Released),
    /// The name is held.
    Confirmed { call: u64, name: Name, serial: u64, token: FencingToken, policy: ConflictPolicy },
    /// It is not, and will not be by this attempt.
    Refused { call: u64, error: ConfirmError },
    /// It was held, and is no longer.
    Lost { name: Name, serial: u64, token: FencingToken },
}

/// How many voters there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Electorate {
    /// All that this node knows.
    pub(crate) voters: usize,
    /// Those that it can ask now.
    pub(crate) reach: usize,
}

/// What a caller asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    pub(crate) call: u64,
    pub(crate) serial: u64,
    pub(crate) quorum: Quorum,
    pub(crate) policy: ConflictPolicy,
    pub(crate) deadline: Instant,
}

#[derive(Debug)]
struct Claim {
    serial: u64,
    quorum: Quorum,
    policy: ConflictPolicy,
    token: u64,
    state: State,
    /// The last ones, the latest at the end.
    rounds: VecDeque<Round>,
    /// When to ask again.
    due: Instant,
}

impl Claim {
    fn next_due(&self) -> Instant {
        match self.state {
            State::Trying { deadline, .. } => self.due.min(deadline),
            State::Held { until } => self.due.min(until),
        }
    }
}

#[derive(Debug)]
enum State {
    Trying {
        call: u64,
        deadline: Instant,
        /// Somebody else has a vote that this attempt needs.
        met: Option<Owner>,
        /// A voter has seen a higher token, or another claimant: this token is of no use.
        is_stale: bool,
        /// How often that was so.
        meetings: u32,
        /// Votes of the last round.
        granted: usize,
    },
    Held {
        until: Instant,
    },
}

#[derive(Debug)]
struct Round {
    number: u64,
    asked_at: Instant,
    /// Who has granted it, and how many voters each of them knows.
    granted: BTreeMap<NodeName, usize>,
    refused: BTreeSet<NodeName>,
}

#[derive(Debug)]
pub(crate) struct Claimant {
    lease: Duration,
    claims: BTreeMap<Name, Claim>,
    /// The highest token that was seen anywhere.
    seen: u64,
    rounds: u64,
    random: fastrand::Rng,
    /// Nothing is due before this.
    next: Option<Instant>,
}

impl Claimant {
    pub(crate) fn new(lease: Duration, seed: u64) -> Self {
        Self {
            lease,
            claims: BTreeMap::new(),
            seen: 0,
            rounds: 0,
            random: fastrand::Rng::with_seed(seed),
            next: None,
        }
    }

    /// The process here that wants or has the name.
    pub(crate) fn wanted_by(&self, name: &str) -> Option<u64> {
        self.claims.get(name).map(|claim| claim.serial)
    }

    /// Names that this node wants or has.
    pub(crate) fn len(&self) -> usize {
        self.claims.len()
    }

    /// Attempts that are under way.
    pub(crate) fn trying(&self) -> usize {
        self.claims.values().filter(|claim| matches!(claim.state, State::Trying { .. })).count()
    }

    /// Begins an attempt for a name that this node does not want yet.
    pub(crate) fn begin(&mut self, now: Instant, name: Name, attempt: Attempt) {
        let Attempt { call, serial, quorum, policy, deadline } = attempt;
        let state = State::Trying { call, deadline, met: None, is_stale: false, meetings: 0, granted: 0 };
        let rounds = VecDeque::new();
        self.claims.insert(name, Claim { serial, quorum, policy, token: 0, state, rounds, due: now });
        self.next = Some(now);
    }

    /// A token was seen.
    pub(crate) fn saw(&mut self, token: u64, wall_ms: u64) {
        if is_plausible(token, wall_ms) {
            self.seen = self.seen.max(token);
        }
    }

    /// The highest token that was seen.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.next
    }

    /// Time has come: asks, gives up, goes without. `owner` tells who else is known to hold a name by a majority.
    pub(crate) fn tick(
        &mut self,
        now: Instant,
        wall_ms: u64,
        electorate: Electorate,
        owner: impl Fn(&Name) -> Option<Owner>,
    ) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.next.is_none_or(|next| next > now) {
            return steps;
        }
        let due = self.claims.iter().filter(|(_, claim)| claim.next_due() <= now);
        let names: Vec<Name> = due.map(|(name, _)| name.clone()).collect();
        for name in names {
            let claim = self.claims.get_mut(&name).expect("still there");
            match &mut claim.state {
                State::Held { until } if *until <= now => {
                    let (serial, token) = (claim.serial, claim.token);
                    self.claims.remove(&name);
                    steps.push(Step::Release(Released { name: name.to_string(), token }));
                    steps.push(Step::Lost { name, serial, token: FencingToken::from_raw(token) });
                }
                State::Held { .. } if claim.due <= now => {
                    claim.due = now + self.lease / RENEWALS;
                    steps.push(self.ask(now, &name, true));
                }
                State::Trying { deadline, met, is_stale, meetings, granted, .. } => {
                    *granted = claim.rounds.back().map_or(*granted, |round| round.granted.len());
                    let taken = owner(&name);
                    if taken.is_some() || *deadline <= now {
                        let needed = self.needed(&name, electorate);
                        let claim = self.claims.remove(&name).expect("still there");
                        let State::Trying { call, met, granted, .. } = claim.state else {
                            unreachable!("matched above")
                        };
                        let error = match taken.or(met) {
                            Some(owner) => ConfirmError::Taken(owner),
                            None => ConfirmError::NoQuorum { granted, needed },
                        };
                        steps.extend(release(&name, claim.token));
                        steps.push(Step::Refused { call, error });
                        continue;
                    }
                    if claim.due > now {
                        continue;
                    }
                    if std::mem::take(is_stale) {
                        steps.extend(release(&name, claim.token));
                        claim.token = 0;
                        claim.rounds.clear();
                        let rest_ms = REST_MS_MAX << (*meetings).min(4);
                        claim.due = now + Duration::from_millis(self.random.u64(1..=rest_ms));
                        *meetings += 1;
                        continue;
                    }
                    claim.due = now + ROUND * (1 + (*meetings).min(3));
                    if claim.token > 0 {
                        *met = None;
                    } else {
                        self.seen = (wall_ms << TOKEN_COUNTER_BITS).max(self.seen + 1);
                        claim.token = self.seen;
                    }
                    steps.push(self.ask(now, &name, false));
                }
                State::Held { .. } => {}
            }
        }
        self.next = self.claims.values().map(Claim::next_due).min();
        steps
    }

    fn ask(&mut self, now: Instant, name: &Name, renews: bool) -> Step {
        self.rounds += 1;
        let claim = self.claims.get_mut(name).expect("asked for a claim");
        let number = self.rounds;
        let round = Round { number, asked_at: now, granted: BTreeMap::new(), refused: BTreeSet::new() };
        claim.rounds.push_back(round);
        if claim.rounds.len() > ROUNDS_MAX {
            claim.rounds.pop_front();
        }
        Step::Ask(Ballot {
            name: name.to_string(),
            serial: claim.serial,
            token: claim.token,
            lease_ms: u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX),
            round: number,
            renews,
        })
    }

    fn needed(&self, name: &Name, electorate: Electorate) -> usize {
        let claim = &self.claims[name];
        // A voter that knows more of them than this node is believed.
        let heard = claim.rounds.iter().flat_map(|round| round.granted.values()).max().copied().unwrap_or(0);
        needed(claim.quorum, electorate.voters.max(heard))
    }

    /// A voter has answered; it knows of so many voters.
    pub(crate) fn voted(
        &mut self,
        (now, wall_ms): (Instant, u64),
        from: &NodeName,
        voters: usize,
        vote: &Vote,
        electorate: Electorate,
    ) -> Option<Step> {
        self.saw(vote.highest, wall_ms);
        let (name, claim) = self.claims.get_key_value(vote.name.as_str())?;
        let name = name.clone();
        if claim.token != vote.token {
            return None;
        }
        let claim = self.claims.get_mut(&name).expect("just found");
        let round = claim.rounds.iter_mut().find(|round| round.number == vote.round)?;
        if vote.verdict() == Verdict::Granted {
            round.granted.insert(from.clone(), voters);
        } else {
            round.refused.insert(from.clone());
        }
        if let State::Trying { met, is_stale, .. } = &mut claim.state {
            match vote.verdict() {
                Verdict::Held => {
                    *is_stale = true;
                    *met = NodeName::new(&vote.holder).ok().map(|node| Owner {
                        node,
                        pid: Pid::new(Incarnation::from_raw(vote.holder_incarnation), vote.holder_serial),
                        token: None,
                    });
                }
                Verdict::Behind => *is_stale = true,
                Verdict::Granted | Verdict::TooYoung | Verdict::Refused => {}
            }
        }
        let needed = self.needed(&name, electorate);
        let claim = self.claims.get_mut(&name).expect("just found");
        let round = claim.rounds.iter().find(|round| round.number == vote.round).expect("just found");
        let until = round.asked_at + self.lease;
        if round.granted.len() < needed {
            let answered = round.granted.len() + round.refused.len();
            if let State::Trying { is_stale, .. } = claim.state
                && is_stale
                && answered >= electorate.reach
            {
                // Nobody is left to answer.
                claim.due = now;
                self.next = Some(now);
            }
            return None;
        }
        match &mut claim.state {
            State::Held { until: before } => {
                *before = until.max(*before);
                None
            }
            // It came too late to be of use.
            State::Trying { .. } if until <= now => None,
            State::Trying { call, .. } => {
                let call = *call;
                claim.state = State::Held { until };
                claim.due = round.asked_at + self.lease / RENEWALS;
                self.next = self.next.map(|next| next.min(claim.due));
                let (serial, policy, token) =
                    (claim.serial, claim.policy, FencingToken::from_raw(claim.token));
                Some(Step::Confirmed { call, name, serial, token, policy })
            }
        }
    }

    /// Gives a name up that this process wants or holds.
    pub(crate) fn release(&mut self, name: &str, serial: u64) -> Vec<Step> {
        let Some((name, claim)) = self.claims.remove_entry(name) else { return Vec::new() };
        if claim.serial != serial {
            self.claims.insert(name, claim);
            return Vec::new();
        }
        let mut steps: Vec<Step> = release(&name, claim.token).into_iter().collect();
        if let State::Trying { call, .. } = claim.state {
            steps.push(Step::Refused { call, error: ConfirmError::NoProc });
        }
        steps
    }

    /// A process has ended: gives up all that it wants or holds.
    pub(crate) fn process_ended(&mut self, serial: u64) -> Vec<Step> {
        let names = self.claims.iter().filter(|(_, claim)| claim.serial == serial);
        let names: Vec<Name> = names.map(|(name, _)| name.clone()).collect();
        names.iter().flat_map(|name| self.release(name.as_str(), serial)).collect()
    }

    /// The node leaves: gives up everything.
    pub(crate) fn leave(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (name, claim) in std::mem::take(&mut self.claims) {
            let Claim { serial, token, state, .. } = claim;
            steps.extend(release(&name, token));
            steps.push(match state {
                State::Trying { call, .. } => Step::Refused { call, error: ConfirmError::Shutdown },
                State::Held { .. } => Step::Lost { name, serial, token: FencingToken::from_raw(token) },
            });
        }
        steps
    }

    /// Until when the name is held.
    #[cfg(test)]
    pub(super) fn held_until(&self, name: &str) -> Option<Instant> {
        match self.claims.get(name)?.state {
            State::Held { until } => Some(until),
            State::Trying { .. } => None,
        }
    }
}

fn release(name: &Name, token: u64) -> Option<Step> {
    (token > 0).then(|| Step::Release(Released { name: name.to_string(), token }))
}
