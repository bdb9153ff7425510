//! What becomes of each datagram: pure, with time and chance passed in. A socket asks it below QUIC, and so does the
//! virtual network.
//!
//! The rules are asked in order. One that drops ends the matter; what the others add is summed up. Every rule counts what
//! it did, under the key of its fault.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::network::{Effect, Key, Network, NodeIndex, Packet};
use crate::random::Random;

/// What a rule has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Datagrams that it did something to.
    pub(crate) hits: u64,
    /// Those that it dropped.
    pub(crate) dropped: u64,
    /// Those that it made late.
    pub(crate) delayed: u64,
    /// Those that it sent twice.
    pub(crate) duplicated: u64,
    /// Those that it changed.
    pub(crate) corrupted: u64,
}

impl Counts {
    /// Adds what another place has counted.
    pub(crate) fn add(&mut self, other: &Self) {
        self.hits += other.hits;
        self.dropped += other.dropped;
        self.delayed += other.delayed;
        self.duplicated += other.duplicated;
        self.corrupted += other.corrupted;
    }
}

/// What becomes of one datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes on as if there were no rules.
    Pass,
    /// A rule of this key has dropped it.
    Dropped(Key),
    /// It arrives in these copies, at least one.
    Copies(Vec<Copy>),
}

/// One copy of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Copy {
    /// How late it is.
    pub(crate) late: Duration,
    /// The bit that is flipped.
    pub(crate) flipped: Option<usize>,
}

/// What one rule remembers of one direction.
#[derive(Debug, Default)]
struct Memory {
    /// In a burst of losses.
    bursting: bool,
    /// When the line is free again.
    free_at: Duration,
    /// Datagrams of the kind so far, by the sender's connection id.
    seen: BTreeMap<Vec<u8>, u64>,
}

/// The rules in force, and what they remember.
#[derive(Debug)]
pub(crate) struct Wire {
    network: Network,
    /// The nodes at the network's addresses.
    nodes: BTreeMap<SocketAddr, NodeIndex>,
    memory: BTreeMap<(usize, NodeIndex, NodeIndex), Memory>,
    counts: BTreeMap<Key, Counts>,
    random: Random,
}

impl Wire {
    pub(crate) const fn new(random: Random) -> Self {
        Self {
            network: Network { addresses: Vec::new(), rules: Vec::new() },
            nodes: BTreeMap::new(),
            memory: BTreeMap::new(),
            counts: BTreeMap::new(),
            random,
        }
    }

    /// From now on the network is like this. Rules that stay keep what they remember.
    pub(crate) fn set(&mut self, network: Network) {
        let mut memory = BTreeMap::new();
        for (index, rule) in network.rules.iter().enumerate() {
            let Some(before) = self.network.rules.iter().position(|old| old == rule) else { continue };
            let of_rule: Vec<_> = self.memory.keys().filter(|key| key.0 == before).copied().collect();
            for key in of_rule {
                let remembered = self.memory.remove(&key).expect("just listed");
                memory.insert((index, key.1, key.2), remembered);
            }
        }
        self.memory = memory;
        // The latest counts: an address may have had another node before.
        self.nodes = network.addresses.iter().copied().collect();
        self.network = network;
    }

    /// Whether there is any rule.
    pub(crate) fn has_rules(&self) -> bool {
        !self.network.rules.is_empty()
    }

    /// The node at an address, if one is or was there.
    pub(crate) fn node_at(&self, addr: SocketAddr) -> Option<NodeIndex> {
        self.nodes.get(&addr).copied()
    }

    /// What the rules have done, by fault.
    pub(crate) const fn counts(&self) -> &BTreeMap<Key, Counts> {
        &self.counts
    }

    /// What becomes of a datagram that one node sends to another at `now`, counted from any fixed moment.
    pub(crate) fn judge(&mut self, now: Duration, from: NodeIndex, to: NodeIndex, datagram: &[u8]) -> Fate {
        let mut late = Duration::ZERO;
        let (mut touched, mut flipped, mut twice) = (false, None, false);
        for (index, rule) in self.network.rules.iter().enumerate() {
            if !rule.pairs.hold(from, to) {
                continue;
            }
            let memory = self.memory.entry((index, from, to)).or_default();
            let answer = rule.effect.look(now, datagram, memory, &mut self.random);
            if answer == Look::Nothing {
                continue;
            }
            touched = true;
            let counts = self.counts.entry(rule.key).or_default();
            counts.hits += 1;
            match answer {
                Look::Nothing => {}
                Look::Drop => {
                    counts.dropped += 1;
                    return Fate::Dropped(rule.key);
                }
                Look::Late(by) => {
                    counts.delayed += 1;
                    late += by;
                }
                Look::Twice => {
                    counts.duplicated += 1;
                    twice = true;
                }
                Look::Flip(bit) => {
                    counts.corrupted += 1;
                    flipped = Some(bit);
                }
            }
        }
        if !touched {
            return Fate::Pass;
        }
        let mut copies = vec![Copy { late, flipped }];
        if twice {
            copies.push(Copy { late: late + self.random.up_to(SECOND_COPY_LATE), flipped });
        }
        Fate::Copies(copies)
    }
}

/// A rule's answer about one datagram.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    Nothing,
    Drop,
    Late(Duration),
    Twice,
    Flip(usize),
}

impl Effect {
    fn look(&self, now: Duration, datagram: &[u8], memory: &mut Memory, random: &mut Random) -> Look {
        let drop_if = |yes: bool| if yes { Look::Drop } else { Look::Nothing };
        match self {
            Self::Cut => Look::Drop,
            Self::Loss(share) => drop_if(random.happens(*share)),
            Self::Burst { share, mean } => {
                // Two states (Gilbert, 1960): bursts of the mean length, as often as makes up the share.
                let stops = 1.0 / mean.max(1.0);
                let starts = if *share >= 1.0 { 1.0 } else { (share * stops / (1.0 - share)).min(1.0) };
                memory.bursting = if memory.bursting {
                    *share >= 1.0 || !random.happens(stops)
                } else {
                    random.happens(starts)
                };
                drop_if(memory.bursting)
            }
            Self::Latency(by) => Look::Late(*by),
            Self::Jitter(max) => Look::Late(random.up_to(*max)),
            Self::Reorder(share) => {
                if random.happens(*share) {
                    Look::Late(OVERTAKEN_LATE_MIN + random.up_to(OVERTAKEN_LATE_MORE))
                } else {
                    Look::Nothing
                }
            }
            Self::Duplicate(share) => {
                if random.happens(*share) {
                    Look::Twice
                } else {
                    Look::Nothing
                }
            }
            Self::Corrupt(share) => {
                if random.happens(*share) && !datagram.is_empty() {
                    Look::Flip(random.below(datagram.len() as u64 * 8) as usize)
                } else {
                    Look::Nothing
                }
            }
            Self::Bandwidth(bits) => {
                let nanos = (datagram.len() as u128 * 8 * 1_000_000_000 / u128::from((*bits).max(1))) as u64;
                let begins = memory.free_at.max(now);
                if begins - now > QUEUE_TIME_MAX {
                    return Look::Drop;
                }
                memory.free_at = begins + Duration::from_nanos(nanos);
                Look::Late(memory.free_at - now)
            }
            Self::Mtu(bytes) => drop_if(datagram.len() as u64 > *bytes),
            Self::Nth { nth, kind } => {
                let Some(sender) = kind.sender(datagram) else { return Look::Nothing };
                if memory.seen.len() >= SEEN_MAX {
                    memory.seen.pop_first();
                }
                let seen = memory.seen.entry(sender.to_vec()).or_default();
                *seen += 1;
                drop_if(*seen == *nth)
            }
        }
    }
}

impl Packet {
    /// The sender's connection id in a datagram whose first packet is of this kind: what tells one handshake from
    /// another (RFC 9000, section 17.2). A short header carries none, so all are counted together.
    fn sender(self, datagram: &[u8]) -> Option<&[u8]> {
        let first = *datagram.first()?;
        if first & 0x80 == 0 {
            return (self == Self::Data).then_some(&[]);
        }
        let matches = match self {
            Self::Opening => true,
            Self::Initial => first & 0x30 == 0x00,
            Self::Handshake => first & 0x30 == 0x20,
            Self::Retry => first & 0x30 == 0x30,
            Self::Data => false,
        };
        let receiver_len = usize::from(*datagram.get(5)?);
        let sender_len = usize::from(*datagram.get(6 + receiver_len)?);
        let at = 7 + receiver_len;
        datagram.get(at..at + sender_len).filter(|_| matches)
    }
}

/// How late a second copy may be.
const SECOND_COPY_LATE: Duration = Duration::from_millis(2);
/// How late a datagram is that others overtake: from this, to this and the next.
const OVERTAKEN_LATE_MIN: Duration = Duration::from_millis(2);
const OVERTAKEN_LATE_MORE: Duration = Duration::from_millis(8);
/// How long a datagram may wait for a slow line; behind that the queue is full.
const QUEUE_TIME_MAX: Duration = Duration::from_millis(200);
/// Handshakes in one direction whose packets are told apart.
const SEEN_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::network::{Pairs, Rule};

    const ALL: Pairs = Pairs::Path { from: None, to: None };

    fn wire(effects: &[Effect]) -> Wire {
        let mut wire = Wire::new(Random::new(7));
        let rule = |(index, effect): (usize, &Effect)| Rule {
            key: index as Key + 1,
            pairs: ALL,
            effect: effect.clone(),
        };
        wire.set(Network { addresses: vec![], rules: effects.iter().enumerate().map(rule).collect() });
        wire
    }

    fn fates(wire: &mut Wire, count: usize, size: usize) -> Vec<Fate> {
        (0..count).map(|at| wire.judge(Duration::from_millis(at as u64), 0, 1, &vec![0; size])).collect()
    }

    fn dropped(fates: &[Fate]) -> usize {
        fates.iter().filter(|fate| matches!(fate, Fate::Dropped(_))).count()
    }

    #[test]
    fn without_rules_a_datagram_passes_untouched() {
        assert_eq!(wire(&[]).judge(Duration::ZERO, 0, 1, b"x"), Fate::Pass);
        assert!(
            fates(&mut wire(&[Effect::Loss(0.0), Effect::Mtu(100)]), 100, 100)
                .iter()
                .all(|it| *it == Fate::Pass)
        );
    }

    #[test]
    fn a_loss_takes_its_share_and_a_burst_the_same_share_in_a_row() {
        let mut single = wire(&[Effect::Loss(0.1)]);
        let mut burst = wire(&[Effect::Burst { share: 0.1, mean: 8.0 }]);
        let (single, burst) = (fates(&mut single, 50_000, 100), fates(&mut burst, 50_000, 100));
        for fates in [&single, &burst] {
            assert!((4_000..6_000).contains(&dropped(fates)), "{}", dropped(fates));
        }
        let runs = |fates: &[Fate]| {
            let is = |fate: &Fate| matches!(fate, Fate::Dropped(_));
            fates.windows(2).filter(|pair| !is(&pair[0]) && is(&pair[1])).count()
        };
        let mean = dropped(&burst) as f64 / runs(&burst) as f64;
        assert!((6.0..10.0).contains(&mean), "bursts of {mean} on average");
        assert!(runs(&single) > 3 * runs(&burst));
    }

    #[test]
    fn delays_of_several_rules_add_up_and_are_counted_apart() {
        let ms = Duration::from_millis;
        let mut wire = wire(&[Effect::Latency(ms(5)), Effect::Latency(ms(3))]);
        let copy = Copy { late: ms(8), flipped: None };
        assert_eq!(wire.judge(ms(0), 0, 1, b"x"), Fate::Copies(vec![copy]));
        let counts = Counts { hits: 1, delayed: 1, ..Counts::default() };
        assert_eq!(wire.counts().values().copied().collect::<Vec<_>>(), [counts, counts]);
    }

    #[test]
    fn a_slow_line_spaces_datagrams_out_and_then_its_queue_is_full() {
        // 1,000 bytes take 8 ms; 100 of them at once fill 200 ms of queue.
        let mut wire = wire(&[Effect::Bandwidth(1_000_000)]);
        let fates: Vec<_> = (0..100).map(|_| wire.judge(Duration::ZERO, 0, 1, &[0; 1_000])).collect();
        let late = |fate: &Fate| match fate {
            Fate::Copies(copies) => Some(copies[0].late),
            _ => None,
        };
        assert_eq!(late(&fates[0]), Some(Duration::from_millis(8)));
        assert_eq!(late(&fates[9]), Some(Duration::from_millis(80)));
        assert!((70..80).contains(&dropped(&fates)), "{}", dropped(&fates));
        assert_eq!(
            late(&wire.judge(Duration::from_secs(1), 0, 1, &[0; 1_000])),
            Some(Duration::from_millis(8))
        );
    }

    #[test]
    fn a_share_is_doubled_changed_or_overtaken() {
        let mut doubled = wire(&[Effect::Duplicate(0.5)]);
        fates(&mut doubled, 1_000, 10);
        assert!((400..600).contains(&doubled.counts()[&1].duplicated));
        let mut changed = wire(&[Effect::Corrupt(1.0)]);
        let bits = fates(&mut changed, 100, 10).into_iter().filter_map(|fate| match fate {
            Fate::Copies(copies) => copies[0].flipped,
            _ => None,
        });
        assert!(bits.clone().all(|bit| bit < 80) && bits.count() == 100);
        let mut overtaken = wire(&[Effect::Reorder(1.0)]);
        assert!(
            matches!(&fates(&mut overtaken, 1, 10)[0], Fate::Copies(copies) if copies[0].late >= OVERTAKEN_LATE_MIN)
        );
    }

    #[test]
    fn the_nth_packet_of_each_handshake_is_dropped() {
        let initial = |sender: u8| [0xc0, 0, 0, 0, 1, 1, 9, 1, sender, 0, 0];
        let mut wire = wire(&[Effect::Nth { nth: 2, kind: Packet::Initial }]);
        let mut look = |bytes: &[u8]| wire.judge(Duration::ZERO, 0, 1, bytes);
        assert_eq!(look(&initial(1)), Fate::Pass);
        assert_eq!(look(&initial(2)), Fate::Pass, "another handshake");
        assert_eq!(look(&[0xe0, 0, 0, 0, 1, 1, 9, 1, 1, 0, 0]), Fate::Pass, "another kind");
        assert_eq!(look(&initial(1)), Fate::Dropped(1));
        assert_eq!(look(&initial(1)), Fate::Pass, "the third");
        assert_eq!(look(&[0x40, 1, 2]), Fate::Pass, "no handshake at all");
        assert_eq!(look(&[0xc0, 0]), Fate::Pass, "too short to tell");
    }

    #[test]
    fn a_rule_that_stays_keeps_what_it_remembers_when_others_come_and_go() {
        let nth = Rule { key: 1, pairs: ALL, effect: Effect::Nth { nth: 2, kind: Packet::Data } };
        let cut = Rule { key: 2, pairs: Pairs::Touching([5].into()), effect: Effect::Cut };
        let network = |rules: &[&Rule]| Network {
            addresses: vec![],
            rules: rules.iter().map(|rule| (*rule).clone()).collect(),
        };
        let mut wire = Wire::new(Random::new(1));
        wire.set(network(&[&nth]));
        assert_eq!(wire.judge(Duration::ZERO, 0, 1, &[0x40]), Fate::Pass);
        wire.set(network(&[&cut, &nth]));
        assert_eq!(wire.judge(Duration::ZERO, 5, 1, &[0x40]), Fate::Dropped(2));
        assert_eq!(wire.judge(Duration::ZERO, 0, 1, &[0x40]), Fate::Dropped(1), "the second");
    }
}
