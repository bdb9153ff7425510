//! The seam for typed messages: an entry of a mailbox that carries a moved value instead of bytes.
//!
//! The core knows of a letter only how large it is, and that somebody may wait for its answer; what is in it, the server
//! that it is for finds out (`crate::server`). A letter that nobody opens (its process ended, or its mailbox was full) says
//! so to whoever waits: dropping a [`Posted`] is enough.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use regatta_proto::id::{Pid, Reference};
use regatta_proto::signal::{Signal, Unanswered};

use super::cell::{Cell, ENDING, STOP};
use super::error::SendError;
use super::watch;
use crate::sync::atomic::{AtomicU64, Ordering};

/// What a typed message is to the core.
pub(crate) trait Letter: Any + Send + Sync {
    /// Bytes that count against the mailbox's bound.
    fn bytes(&self) -> u64;

    /// There will be no answer.
    fn unanswered(&self, why: Unanswered);
}

/// A letter that was not opened yet.
pub(crate) struct Posted(Option<Arc<dyn Letter>>);

impl Posted {
    pub(crate) fn new(letter: Arc<dyn Letter>) -> Self {
        Self(Some(letter))
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, |letter| letter.bytes())
    }

    /// Takes the letter out: from here on whoever has it sees to its answer.
    pub(crate) fn open(mut self) -> Arc<dyn Letter> {
        self.0.take().expect("it is opened once")
    }

    /// Says why there will be no answer.
    pub(crate) fn refuse(self, why: Unanswered) {
        self.open().unanswered(why);
    }
}

impl Drop for Posted {
    fn drop(&mut self) {
        if let Some(letter) = self.0.take() {
            letter.unanswered(Unanswered::NoReply);
        }
    }
}

impl fmt::Debug for Posted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Posted").field("bytes", &self.bytes()).finish()
    }
}

/// A request of a process of another node, encoded. If it is dropped unanswered, its caller is told.
pub(crate) struct Request {
    /// The server.
    cell: Arc<Cell>,
    /// The caller.
    pub(crate) from: Pid,
    /// The number of the call; 0: nobody waits for an answer, or it was given.
    reference: AtomicU64,
    pub(crate) body: Bytes,
}

impl Request {
    pub(crate) fn new(cell: Arc<Cell>, from: Pid, reference: Option<Reference>, body: Bytes) -> Self {
        let reference = AtomicU64::new(reference.map_or(0, Reference::raw));
        Self { cell, from, reference, body }
    }

    /// Whether an answer is wanted.
    pub(crate) fn is_call(&self) -> bool {
        self.reference.load(Ordering::Relaxed) != 0
    }

    /// Gives the answer. The first one counts.
    pub(crate) fn answer(&self, result: Result<Bytes, Unanswered>) {
        if let Some(reference) = self.take() {
            self.send(reference, result);
        }
    }

    fn take(&self) -> Option<Reference> {
        let reference = self.reference.swap(0, Ordering::Relaxed);
        (reference != 0).then(|| Reference::from_raw(reference))
    }

    fn send(&self, reference: Reference, result: Result<Bytes, Unanswered>) {
        let (rt, from) = (self.cell.runtime(), self.cell.serial());
        let sent = rt.try_signal(from, self.from, Signal::Reply { reference, result });
        if let Err(SendError::TooLarge { .. }) = sent {
            rt.signal(from, self.from, Signal::Reply { reference, result: Err(Unanswered::BadReply) });
        }
    }

    /// There will be no answer because nobody is there to give it, or nobody cared.
    fn give_up(&self, reference: Reference, why: Unanswered) {
        // A panic may be on its way to end the process.
        let ends = why == Unanswered::NoReply && (self.cell.has(ENDING | STOP) || std::thread::panicking());
        if !ends {
            return self.send(reference, Err(why));
        }
        if !watch::take_monitor(&self.cell, self.from, reference) {
            let reason = self.cell.lock().cold().err().cloned();
            if let Some(reason) = reason {
                let down = Signal::Down { reference, reason };
                self.cell.runtime().signal(self.cell.serial(), self.from, down);
            }
        }
    }
}

impl Letter for Request {
    fn bytes(&self) -> u64 {
        self.body.len() as u64
    }

    fn unanswered(&self, why: Unanswered) {
        if let Some(reference) = self.take() {
            self.give_up(reference, why);
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.unanswered(Unanswered::NoReply);
    }
}
