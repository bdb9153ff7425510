//! All nodes in this thread, on a virtual network and in virtual time: the same seed gives the same run.
//!
//! | File | Its one job |
//! |---|---|
//! | `chance` | cryptography that follows from the seed |
//! | `executor` | tasks: who is ready, who runs next, who stands still |
//! | `time` | the clock, its timers, and the queue of events |
//! | `net` | sockets and the datagrams under way |
//! | `ground` | nodes: launched, held, ended |
//! | `run` | the loop: run what is ready, then let the next thing happen |
//!
//! # What makes a run repeat
//! - One thread. Which tasks are ready is a set, and the seed chooses the order within each turn: it does not matter in
//!   which order tasks were woken. The processes of one node are one task, its scheduler, and run first in, first out.
//! - The simulator owns a queue of events in nanoseconds; a node's engine gets the event's time. Processes' own timers are
//!   tokio's, on its paused clock, which goes in whole milliseconds: a timer for a millisecond fires before any event of
//!   it.
//! - A turn in which anything ran takes a microsecond, so that no process can run for ever at one moment.
//! - Certificates, keys and random numbers follow from the seed: every byte of every datagram repeats.
//!
//! The limit: a body that draws its own randomness, or reads the system's clock, does not repeat, nor does one with an
//! unbiased `select!` (`tokio::select!` without `biased;`). Running twice shows it: the digests differ.

mod chance;
mod executor;
mod ground;
mod net;
mod run;
mod time;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::fault::capture::Capture;
use crate::fault::wire::Wire;
use crate::random::Random;
use executor::{OwnerId, TaskId};
use net::Sockets;
use time::Timeline;

pub(crate) use executor::HarnessTasks;
pub(crate) use ground::SimGround;
pub(crate) use run::block_on;
pub(crate) use time::SimClock;

/// One simulation.
pub(crate) struct Sim {
    /// The moment that virtual time begins at.
    base: Instant,
    seed: u64,
    state: Mutex<State>,
    /// Who is ready. Apart from the rest, as wakers are called from anywhere.
    ready: Mutex<Ready>,
}

struct State {
    timeline: Timeline,
    sockets: Sockets,
    wire: Wire,
    capture: Option<Capture>,
    owners: BTreeMap<OwnerId, executor::Owner>,
    tasks: BTreeMap<TaskId, executor::Slot>,
    next_task: u64,
    /// The microseconds in which nodes have started.
    starts_us: BTreeSet<u64>,
    /// Chooses the order of a turn.
    order: Random,
    /// Over every datagram: when, from whom to whom, how large, what became of it.
    digest: crate::record::Digest,
}

#[derive(Default)]
struct Ready {
    tasks: BTreeSet<TaskId>,
    /// Who runs the simulation, while it sleeps.
    runner: Option<std::task::Waker>,
}

impl Sim {
    /// A simulation whose clock stands at its beginning.
    pub(crate) fn new(seed: u64, capture: Option<Capture>) -> Arc<Self> {
        let state = State {
            timeline: Timeline::default(),
            sockets: Sockets::default(),
            wire: Wire::new(Random::apart(seed, "wire")),
            capture,
            owners: BTreeMap::from([(OwnerId::HARNESS, executor::Owner::default())]),
            tasks: BTreeMap::new(),
            next_task: 0,
            starts_us: BTreeSet::new(),
            order: Random::apart(seed, "order"),
            digest: crate::record::Digest::default(),
        };
        Arc::new(Self { base: Instant::now(), seed, state: Mutex::new(state), ready: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ready(&self) -> MutexGuard<'_, Ready> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The microsecond of a node's start: one in which no other has started. A start takes no virtual time, and two nodes of
    /// one microsecond would be told apart by twelve bits of chance only.
    fn starts_at(&self, now_us: u64) -> u64 {
        let mut state = self.state();
        let mut at_us = now_us;
        while !state.starts_us.insert(at_us) {
            at_us += 1;
        }
        at_us
    }

    /// The digest of all datagrams so far.
    pub(crate) fn digest(&self) -> u64 {
        self.state().digest.0
    }
}
