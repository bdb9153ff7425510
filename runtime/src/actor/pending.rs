//! Calls to other nodes that wait for their answer.
//!
//! A call has a reference of its own. Its answer, or the down that ends it, goes straight to whoever waits: it never reaches
//! a mailbox, so an answer that comes too late meets nobody (the rule of OTP's aliases).

use std::sync::Arc;
use std::task::{Poll, Waker};

use bytes::Bytes;
use regatta_proto::id::Reference;
use regatta_proto::reason::ExitReason;
use regatta_proto::signal::Unanswered;
use rustc_hash::FxHashMap;

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// The calls of one runtime that are under way on other nodes.
#[derive(Default)]
pub(crate) struct Pending {
    calls: Mutex<FxHashMap<Reference, Arc<Slot>>>,
    /// How many there are, for a look without the lock.
    len: AtomicUsize,
}

/// How a call to another node ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// With an answer.
    Reply(Bytes),
    /// The process was reached and gave none.
    Unanswered(Unanswered),
    /// The process ended, or the link to its node did.
    Down(ExitReason),
}

/// Where one call waits.
#[derive(Default)]
pub(crate) struct Slot(Mutex<(Option<Ended>, Option<Waker>)>);

impl Slot {
    pub(crate) fn poll(&self, waker: &Waker) -> Poll<Ended> {
        let mut slot = self.0.lock();
        if let Some(ended) = slot.0.take() {
            return Poll::Ready(ended);
        }
        let before = match &slot.1 {
            Some(mine) if mine.will_wake(waker) => None,
            _ => slot.1.replace(waker.clone()),
        };
        drop(slot);
        drop(before);
        Poll::Pending
    }
}

impl Pending {
    /// A call begins. `None`: there are as many as there may be.
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub(crate) fn begin(&self, reference: Reference) -> Option<Arc<Slot>> {
        let mut calls = self.calls.lock();
        if calls.len() >= CALLS_MAX {
            return None;
        }
        let slot = Arc::<Slot>::default();
        calls.insert(reference, Arc::clone(&slot));
        self.len.store(calls.len(), Ordering::Relaxed);
        Some(slot)
    }

    /// The call is over. Returns whether it still was under way.
    pub(crate) fn forget(&self, reference: Reference) -> bool {
        let mut calls = self.calls.lock();
        let slot = calls.remove(&reference);
        self.len.store(calls.len(), Ordering::Relaxed);
        drop(calls);
        slot.is_some()
    }

    /// Ends a call. Gives back what is no call's, or no longer.
    pub(crate) fn end(&self, reference: Reference, ended: Ended) -> Result<(), Ended> {
        if self.len.load(Ordering::Relaxed) == 0 {
            return Err(ended);
        }
        let mut calls = self.calls.lock();
        let slot = calls.remove(&reference);
        self.len.store(calls.len(), Ordering::Relaxed);
        drop(calls);
        let Some(slot) = slot else { return Err(ended) };
        let mut state = slot.0.lock();
        state.0 = Some(ended);
        let waker = state.1.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        Ok(())
    }
}

/// Most calls of one runtime that may wait for other nodes at the same time.
pub(crate) const CALLS_MAX: usize = 1_000_000;
