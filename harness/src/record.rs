//! What happened in a run, as a bounded list of events: what history checkers read, and what reports draw.
//!
//! Processes note messages and ends; the harness notes steps, faults and what it saw change. In a scenario with loads
//! single messages are not noted: there are too many, and noting them would be measured too.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use regatta::{Clock, SystemClock};
use serde::{Deserialize, Serialize};

use crate::fault::network::Key;
use crate::world::order::PidText;

/// Events that are kept; the oldest give way, and are counted.
pub(crate) const EVENTS_MAX: usize = 200_000;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, in nanoseconds since the run's start.
    pub at_ns: u64,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum What {
    /// The step with this index began.
    StepBegun {
        /// The step.
        step: usize,
    },
    /// The step with this index ended.
    StepEnded {
        /// The step.
        step: usize,
        /// Its outcome.
        outcome: String,
    },
    /// A fault began.
    FaultBegun {
        /// Its number in this run.
        key: u32,
        /// Its id, or its kind.
        name: String,
        /// The nodes that it is about; empty for all.
        nodes: Vec<String>,
    },
    /// A fault ended.
    FaultEnded {
        /// Its number in this run.
        key: u32,
    },
    /// The load with this index began, with its warm-up.
    LoadBegun {
        /// The load.
        load: usize,
    },
    /// The load with this index ended.
    LoadEnded {
        /// The load.
        load: usize,
    },
    /// A node was seen to run, or not to run any more.
    Node {
        /// The node.
        node: String,
        /// Whether it runs.
        runs: bool,
    },
    /// A node was seen to have a link with another, or not to have it any more.
    Link {
        /// The node.
        node: String,
        /// Its peer.
        peer: String,
        /// Whether it is there.
        up: bool,
    },
    /// A node was seen to take another node, or none, for the owner of a global name.
    Name {
        /// The node.
        node: String,
        /// The name.
        name: String,
        /// The owner's node.
        owner: Option<String>,
    },
    /// A process sent a message.
    Sent(Passage),
    /// A process received a message.
    Received(Passage),
    /// A process was told of an end.
    Told {
        /// Who was told.
        watcher: PidText,
        /// Whose end it was.
        process: PidText,
        /// `monitor` or `link`.
        kind: String,
        /// The reason.
        reason: String,
        /// The monitor that fired: each fires once. Nothing for a link.
        monitor: Option<u64>,
    },
    /// A process began to watch another, at the harness's order.
    Watched {
        /// Who watches.
        watcher: PidText,
        /// Whom.
        process: PidText,
        /// The monitor.
        monitor: u64,
    },
    /// A client asked something of a register.
    Asked {
        /// The client.
        client: PidText,
        /// Its operation, counted by the client.
        operation: u64,
        /// What it asked.
        ask: Ask,
    },
    /// A register's answer reached the client. An operation without an answer may have been carried out.
    Answered {
        /// The client.
        client: PidText,
        /// The operation.
        operation: u64,
        /// The value that was read; nothing for a write.
        value: Option<u64>,
    },
    /// An expectation was met, or broken.
    Expectation {
        /// Its id.
        id: String,
        /// Whether it was met.
        met: bool,
    },
}

/// What a client asks of a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Its value.
    Read,
    /// To take this value.
    Write(u64),
}

/// A message at one of its ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// Who sent it.
    pub from: PidText,
    /// Who receives it.
    pub to: PidText,
    /// `data`, `request` or `reply`.
    pub kind: String,
    /// Its number: in the row of its sender, or of the call.
    pub number: u64,
    /// Header and body.
    pub bytes: u64,
}

/// Keeps events.
pub struct Recorder {
    clock: Arc<dyn Clock>,
    started: Instant,
    messages: AtomicBool,
    /// Whether the same seed gives the same times.
    repeats: bool,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    events: VecDeque<Event>,
    forgotten: u64,
    /// Over everything that was noted, whether it is kept or not.
    digest: Digest,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

impl Recorder {
    /// A recorder whose time begins now, by this clock.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let started = clock.now();
        Self::since(clock, started)
    }

    /// A recorder in virtual time.
    pub(crate) fn simulated(clock: Arc<dyn Clock>) -> Self {
        Self { repeats: true, ..Self::new(clock) }
    }

    /// A recorder whose time began then.
    pub(crate) fn since(clock: Arc<dyn Clock>, started: Instant) -> Self {
        Self { clock, started, messages: AtomicBool::new(true), repeats: false, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.clock.now().saturating_duration_since(self.started)
    }

    /// The start.
    pub(crate) const fn started(&self) -> Instant {
        self.started
    }

    /// Leaves single messages out from now on.
    pub(crate) fn skip_messages(&self) {
        self.messages.store(false, Relaxed);
    }

    /// Whether single messages are noted.
    pub(crate) fn notes_messages(&self) -> bool {
        self.messages.load(Relaxed)
    }

    /// Notes something that happens now.
    pub(crate) fn note(&self, what: What) {
        let at_ns = u64::try_from(self.now().as_nanos()).unwrap_or(u64::MAX);
        self.put(Event { at_ns, what });
    }

    /// Notes what another process has noted.
    pub(crate) fn put(&self, event: Event) {
        let mut kept = self.kept();
        kept.events.push_back(event);
        if kept.events.len() > EVENTS_MAX {
            kept.events.pop_front();
            kept.forgotten += 1;
        }
    }

    /// Takes something into the digest.
    pub(crate) fn mix(&self, words: &[u64]) {
        let mut kept = self.kept();
        words.iter().for_each(|word| kept.digest.mix(*word));
    }

    /// Takes something that happens now into the digest. Only a simulation's time is worth that; elsewhere nothing is
    /// done.
    pub(crate) fn mix_now(&self, words: &[u64]) {
        if self.repeats {
            self.mix(&[u64::try_from(self.now().as_nanos()).unwrap_or(u64::MAX)]);
            self.mix(words);
        }
    }

    /// The digest so far.
    pub(crate) fn digest(&self) -> u64 {
        self.kept().digest.0
    }

    /// What is kept, in the order of time, and how many older events there were.
    pub(crate) fn events(&self) -> (Vec<Event>, u64) {
        let kept = self.kept();
        let mut events: Vec<Event> = kept.events.iter().cloned().collect();
        let forgotten = kept.forgotten;
        drop(kept);
        // Other processes' events come in a little late.
        events.sort_by_key(|event| event.at_ns);
        (events, forgotten)
    }

    /// Takes what is kept out.
    pub(crate) fn drain(&self) -> Vec<Event> {
        self.kept().events.drain(..).collect()
    }

    /// A fault began.
    pub(crate) fn fault_begun(&self, key: Key, name: String, nodes: Vec<String>) {
        self.note(What::FaultBegun { key, name, nodes });
    }
}

/// A short number that is equal for equal histories: FNV-1a over words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Digest(pub(crate) u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    pub(crate) const fn mix(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0100_0000_01b3);
        self.0 ^= self.0 >> 29;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_events_give_way_and_are_counted() {
        let recorder = Recorder::default();
        for step in 0..EVENTS_MAX + 10 {
            recorder.put(Event { at_ns: step as u64, what: What::StepBegun { step } });
        }
        let (events, forgotten) = recorder.events();
        assert_eq!((events.len(), events[0].at_ns, forgotten), (EVENTS_MAX, 10, 10));
    }

    #[test]
    fn a_digest_tells_histories_apart_by_content_and_by_order() {
        let digest = |words: &[u64]| {
            let recorder = Recorder::default();
            recorder.mix(words);
            recorder.digest()
        };
        assert_eq!(digest(&[1, 2]), digest(&[1, 2]));
        assert_ne!(digest(&[1, 2]), digest(&[2, 1]));
        assert_ne!(digest(&[1, 2]), digest(&[1, 2, 0]));
    }
}
