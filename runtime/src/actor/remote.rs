//! The seam to other nodes: what the actor core asks of the network side, and what that side brings in.
//!
//! Out: every signal to a pid of another incarnation goes through [`Remote::signal`]. In: [`Runtime::deliver`] and
//! [`Runtime::deliver_named`], one table look-up, one lock and at most one wake-up each. A signal to a process that is
//! gone is answered as the semantics say: a link with an exit and a monitor with a down, both `NoProc`, an unlink with
//! its acknowledgement. `Remote` is never called with a cell locked, but `signal` may be called from inside `deliver`.
//!
//! When a connection is lost the network side tells each process: [`Signal::LinkExit`] and [`Signal::Down`] with
//! `NoConnection` to those whose other end is lost, and [`Runtime::forget_remote_watcher`] for watchers that are gone.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use regatta_proto::id::{Incarnation, Name, NodeName, Pid, Reference};
use regatta_proto::reason::ExitReason;
use regatta_proto::signal::{Signal, Unanswered};

use super::cell::{Cell, SERVES, TRACKED};
use super::error::{AckError, SendError};
use super::exit;
use super::letter::{Posted, Request};
use super::links;
use super::pending::Ended;
use super::received::Received;
use super::runtime::Runtime;
use super::watch;

/// How a message without order travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It arrives, unless the link is lost.
    Unordered,
    /// In one datagram, which may be lost.
    Datagram,
}

/// Word of what became of a message.
pub type Acked<'a> = Pin<Box<dyn Future<Output = Result<(), AckError>> + Send + 'a>>;

/// What reaches processes of other incarnations.
pub trait Remote: Send + Sync + 'static {
    /// Queues one signal of local process `from` (serial 0: the node itself) to `to`, a process of another
    /// incarnation. Never blocks, never waits, and may be called from inside [`Runtime::deliver`].
    ///
    /// # Errors
    /// [`SendError::Busy`] and [`SendError::TooLarge`] are for messages alone: any other signal is queued, or there is
    /// no link to queue it on ([`SendError::NoConnection`], [`SendError::StaleIncarnation`]).
    fn signal(&self, from: u64, to: Pid, signal: Signal) -> Result<(), SendError>;

    /// Queues a typed request of local process `from` to `to`, or, if there is a name, to whoever holds it on the node of
    /// `to`. With a reference, the end of the link ends the call: the runtime is given a down with it.
    ///
    /// # Errors
    /// As for a message.
    fn request(
        &self,
        from: u64,
        to: Pid,
        name: Option<&Name>,
        reference: Option<Reference>,
        body: Bytes,
    ) -> Result<(), SendError>;

    /// The present start of a node: of a linked one, of one that is dialled when something is sent to it, or of this one.
    fn node(&self, name: &NodeName) -> Option<Incarnation>;

    /// Who holds a global name, as this node sees it.
    fn whereis_global(&self, name: &Name) -> Option<Pid>;

    /// Queues a message of local process `from` that keeps no order with anything else. Never blocks, never waits.
    ///
    /// # Errors
    /// [`SendError`]; it was then not queued.
    fn message(&self, from: u64, to: Pid, payload: Bytes, way: Way) -> Result<(), SendError>;

    /// Sends a message of local process `from` and resolves with what became of it, at the latest after `timeout`.
    fn acked(&self, from: u64, to: Pid, payload: Bytes, timeout: Duration) -> Acked<'_>;

    /// Resolves when the link towards `to` has room: at once if it has, or if there is no link.
    fn ready(&self, to: Pid) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// A local process is so often a member of a group now. Called in the order of the changes, with the table of
    /// groups locked: only notes it.
    fn membership(&self, group: &Name, serial: u64, count: u32);

    /// Queues one message of local process `from` for the members of a group on other nodes, of each of which `to` has
    /// one process; encodes it once. Never blocks, never waits. The results are those of [`signal`](Self::signal), in
    /// the order of `to`.
    fn broadcast(&self, from: u64, group: &Name, payload: &Bytes, to: &[Pid]) -> Vec<Result<(), SendError>>;

    /// A tracked local process ended ([`Runtime::track`]); its exits and downs have been queued before.
    fn ended(&self, serial: u64);
}

impl Runtime {
    /// Gives the runtime its way to other nodes. Returns `false`, and changes nothing, if it has one.
    pub fn attach_remote(&self, remote: Arc<dyn Remote>) -> bool {
        let is_first = self.set_remote(remote);
        if is_first {
            self.groups().announce(self);
        }
        is_first
    }

    /// Makes [`Remote::ended`] be called when the process ends, exactly once however often it was tracked. Returns
    /// `false`, and nothing will be called, if it is not alive here.
    pub fn track(&self, pid: Pid) -> bool {
        let Some(cell) = self.local(pid) else { return false };
        let state = cell.lock();
        let alive = state.cold().is_ok();
        if alive {
            cell.set(TRACKED);
        }
        alive
    }

    /// Takes in a signal of the remote process `from` for the local process with serial `to`.
    ///
    /// # Errors
    /// [`SendError::NoProc`] if there is no such process (whoever must be told has been told by then), and
    /// [`SendError::MailboxFull`] for a message that the mailbox rejects.
    pub fn deliver(&self, from: Pid, to: u64, signal: Signal) -> Result<(), SendError> {
        match signal {
            Signal::Message(payload) => self.send_to(to, payload),
            signal => self.take(from, to, self.table().find(to), signal),
        }
    }

    /// Takes in a signal for whoever holds the local name now.
    ///
    /// # Errors
    /// As [`Runtime::deliver`]; `NoProc` also if nobody holds the name. The answer then comes from serial 0.
    pub fn deliver_named(&self, from: Pid, to: &str, signal: Signal) -> Result<(), SendError> {
        let cell = self.registry().find(to);
        if let Signal::Message(payload) = signal {
            return self.push(cell.as_ref(), payload);
        }
        let serial = cell.as_ref().map_or(0, |cell| cell.serial());
        self.take(from, serial, cell, signal)
    }

    /// A remote spawn that the local process `caller` asked for has made `child`, linked to it or watched by it: makes
    /// the caller's half of both. If the caller has ended meanwhile, the child is told.
    pub(crate) fn adopt_remote(&self, caller: u64, child: Pid, link: bool, monitor: Option<Reference>) {
        let cell = self.table().find(caller);
        if link && !cell.as_ref().is_some_and(|cell| links::take_link(cell, child)) {
            self.signal(caller, child, Signal::LinkExit(ExitReason::NoProc));
        }
        if let Some(reference) = monitor
            && !cell.as_ref().is_some_and(|cell| watch::expect_down(cell, child, reference))
        {
            self.signal(caller, child, Signal::Demonitor { reference });
        }
    }

    /// A remote spawn that the local process `caller` asked for has made `child` after the caller was told that there
    /// was no answer: takes back the child's half of link and monitor. To a linked child the caller is out of reach.
    pub(crate) fn disown_remote(&self, caller: u64, child: Pid, link: bool, monitor: Option<Reference>) {
        // The caller may have found the child by its name and linked itself to it: that link stands.
        let known = || self.table().find(caller).is_some_and(|cell| links::has(&cell, child));
        if link && !known() {
            self.signal(caller, child, Signal::LinkExit(ExitReason::NoConnection));
        }
        if let Some(reference) = monitor {
            self.signal(caller, child, Signal::Demonitor { reference });
        }
    }

    /// Tells the local process `pid` something that its node has noticed.
    pub(crate) fn notify(&self, pid: Pid, what: Received) {
        if let Some(cell) = self.local(pid) {
            exit::tell(&cell, what);
        }
    }

    /// A remote watcher of the local process `target` is gone: removes its monitor, and nothing fires.
    pub fn forget_remote_watcher(&self, target: u64, watcher: Pid, reference: Reference) {
        if let Some(cell) = self.table().find(target) {
            watch::take_demonitor(&cell, watcher, reference);
        }
    }

    fn take_request(
        &self,
        from: Pid,
        to: u64,
        cell: Option<Arc<Cell>>,
        reference: Option<Reference>,
        body: Bytes,
    ) -> Result<(), SendError> {
        let refuse = |why| {
            if let Some(reference) = reference {
                self.signal(to, from, Signal::Reply { reference, result: Err(why) });
            }
        };
        let Some(cell) = cell else {
            refuse(Unanswered::NoProc);
            return self.count(Err(SendError::NoProc));
        };
        if !cell.has(SERVES) {
            refuse(Unanswered::NoServer);
            return Ok(());
        }
        let letter = Posted::new(Arc::new(Request::new(Arc::clone(&cell), from, reference, body)));
        let Err((error, letter)) = cell.post(letter) else { return Ok(()) };
        match error {
            SendError::MailboxFull => letter.refuse(Unanswered::MailboxFull),
            _ => letter.refuse(Unanswered::NoProc),
        }
        self.count(Err(error))
    }

    fn take(&self, from: Pid, to: u64, cell: Option<Arc<Cell>>, signal: Signal) -> Result<(), SendError> {
        let signal = match signal {
            Signal::Down { reference, reason } => match self.pending().end(reference, Ended::Down(reason)) {
                Err(Ended::Down(reason)) => Signal::Down { reference, reason },
                _ => return Ok(()),
            },
            signal => signal,
        };
        let alive = match (signal, cell) {
            (Signal::Message(payload), cell) => return self.push(cell.as_ref(), payload),
            (Signal::Request { reference, body }, cell) => {
                return self.take_request(from, to, cell, reference, body);
            }
            // Too late for a call that is over: nobody's.
            (Signal::Reply { reference, result }, _) => {
                let ended = result.map_or_else(Ended::Unanswered, Ended::Reply);
                return self.pending().end(reference, ended).map_err(|_late| SendError::NoProc);
            }
            (Signal::Link, cell) => {
                let alive = cell.is_some_and(|cell| links::take_link(&cell, from));
                if !alive {
                    self.signal(to, from, Signal::LinkExit(ExitReason::NoProc));
                }
                alive
            }
            (Signal::Unlink { id }, cell) => {
                if let Some(cell) = &cell {
                    links::take_unlink(cell, from);
                }
                self.signal(to, from, Signal::UnlinkAck { id });
                cell.is_some()
            }
            (Signal::Monitor { reference }, cell) => {
                let alive = cell.is_some_and(|cell| watch::take_monitor(&cell, from, reference));
                if !alive {
                    self.signal(to, from, Signal::Down { reference, reason: ExitReason::NoProc });
                }
                alive
            }
            (Signal::Exit(reason), Some(cell)) => exit::take_exit(&cell, from, reason),
            (Signal::UnlinkAck { id }, Some(cell)) => {
                links::take_unlink_ack(&cell, from, id);
                true
            }
            (Signal::Demonitor { reference }, Some(cell)) => {
                watch::take_demonitor(&cell, from, reference);
                true
            }
            (Signal::LinkExit(reason), Some(cell)) => {
                exit::take_link_exit(&cell, from, reason);
                true
            }
            (Signal::Down { reference, reason }, Some(cell)) => {
                exit::take_down(&cell, from, reference, reason);
                true
            }
            (_, None) => false,
        };
        if alive { Ok(()) } else { Err(SendError::NoProc) }
    }

    /// Queues a signal to another node.
    pub(crate) fn try_signal(&self, from: u64, to: Pid, signal: Signal) -> Result<(), SendError> {
        self.remote().ok_or(SendError::NoConnection)?.signal(from, to, signal)
    }

    /// Queues a signal to another node; without a link it is lost with the link, and the loss tells both ends.
    pub(crate) fn signal(&self, from: u64, to: Pid, signal: Signal) {
        let _lost = self.try_signal(from, to, signal);
    }
}

/// What a link or monitor that could not be sent fires with.
pub(crate) fn reason_of(error: &SendError) -> ExitReason {
    match error {
        SendError::NoProc | SendError::StaleIncarnation => ExitReason::NoProc,
        _ => ExitReason::NoConnection,
    }
}
