//! Remote spawn: factories that this node was taught, and children that it asks others for.
//!
//! A request starts its child, links or monitors it, and registers it in one act: the child is held at its first poll
//! until all of that is done and the answer is queued in front of whatever it will send.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use regatta_proto::host::{CallError, CallOutcome, LinkId};
use regatta_proto::id::{Name, Pid, Reference};
use regatta_proto::signal::Signal;
use regatta_proto::wire::frame::{SpawnRefusal, SpawnRequest};
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

use super::conflict::OnConflict;
use super::core::{CallResult, Core};
use super::error::SpawnError;
use crate::actor::{Runtime, SendError};

/// A factory: given the runtime and the caller's bytes, it spawns one process and returns its pid.
pub type Spawnable = Arc<dyn Fn(&Runtime, Vec<u8>) -> Pid + Send + Sync>;

/// What goes with a remote spawn.
#[derive(Debug, Clone, Default)]
pub struct SpawnRemote {
    /// Link the child to the calling process. Ignored outside of a process. Default `false`.
    pub link: bool,
    /// Monitor the child from the calling process. Ignored outside of a process. Default `false`.
    pub monitor: bool,
    /// A global name that the child takes before it starts. Default none.
    pub register: Option<String>,
    /// When the call ends at the latest, counted from now. Default: the node's
    /// [`Limits::call_timeout`](crate::Limits::call_timeout), 5 s unless it was set.
    pub deadline: Option<Duration>,
}

/// A child on another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteChild {
    /// The process.
    pub pid: Pid,
    /// The monitor on it, if one was asked for.
    pub monitor: Option<Reference>,
}

/// What a node was taught, and what its processes asked others for.
#[derive(Default)]
pub(crate) struct Factories {
    taught: RwLock<FxHashMap<Name, Spawnable>>,
    /// Calls whose child is to be linked or monitored.
    wanted: parking_lot::Mutex<FxHashMap<u64, Wanted>>,
}

/// What a caller wants to have with its child.
struct Wanted {
    caller: u64,
    link: bool,
    monitor: Option<Reference>,
}

impl Factories {
    pub(crate) fn teach(&self, name: Name, factory: Spawnable) {
        self.taught.write().insert(name, factory);
    }
}

impl Core {
    /// Asks `node` to run `factory`.
    pub(crate) async fn spawn_remote(
        &self,
        node: &str,
        factory: &str,
        args: Vec<u8>,
        options: SpawnRemote,
    ) -> Result<RemoteChild, SpawnError> {
        let no_connection = || SpawnError::NoConnection { node: node.to_owned() };
        let (begun, within) = (tokio::time::Instant::now(), options.deadline.unwrap_or(self.call_timeout));
        let link = self.reach_within(node, within).await.ok_or_else(no_connection)?;
        let caller = self.caller();
        let monitor = (options.monitor && caller != 0).then(|| self.runtime.reference());
        let request = SpawnRequest {
            call: self.number(),
            factory: Name::new(factory)?,
            register: options.register.map(Name::new).transpose()?,
            link: options.link && caller != 0,
            monitor,
            deadline: within.saturating_sub(begun.elapsed()),
            args: args.into(),
        };
        let call = request.call;
        // From here on the call is the engine's: it ends in `call_ended`, also when the caller stops waiting or dies.
        let outcome = self.begin_call(call).map_err(|source| match source {
            CallError::NotSent => no_connection(),
            source => SpawnError::Call { node: node.to_owned(), factory: factory.to_owned(), source },
        })?;
        if request.link || monitor.is_some() {
            self.factories.wanted.lock().insert(call, Wanted { caller, link: request.link, monitor });
        }
        if let Err(error) = self.push(&link, |outgoing| outgoing.spawn(caller, &request)) {
            self.call_ended(call, Err(CallError::NotSent));
            return Err(match error {
                SendError::TooLarge { len, max } => SpawnError::TooLarge { len, max },
                _ => no_connection(),
            });
        }
        let outcome = outcome.await.unwrap_or(Err(CallError::LinkLost));
        let (node, factory) = (node.to_owned(), factory.to_owned());
        match outcome {
            Ok(CallOutcome::Spawned(Ok(pid))) => Ok(RemoteChild { pid, monitor }),
            Ok(CallOutcome::Spawned(Err(SpawnRefusal::NoFactory))) => {
                Err(SpawnError::NoFactory { node, factory })
            }
            Ok(CallOutcome::Spawned(Err(refusal))) => Err(SpawnError::Refused { node, factory, refusal }),
            Ok(CallOutcome::Answered(_) | CallOutcome::Delivery(_)) => {
                let source = CallError::Refused("the peer answered something else".to_owned());
                Err(SpawnError::Call { node, factory, source })
            }
            Err(CallError::NotSent) => Err(no_connection()),
            Err(source) => Err(SpawnError::Call { node, factory, source }),
        }
    }

    /// Notes a call and gives what will tell its outcome.
    ///
    /// # Errors
    /// [`CallError::TooMany`], [`CallError::NotSent`]: the call was not made.
    pub(crate) fn begin_call(&self, call: u64) -> Result<oneshot::Receiver<CallResult>, CallError> {
        let (done, outcome) = oneshot::channel();
        {
            let mut calls = self.calls.lock();
            if calls.len() >= self.calls_max {
                return Err(CallError::TooMany);
            }
            calls.insert(call, done);
        }
        // Asked after it was noted: the loop's end fails what it finds, and sets this first.
        if self.is_over() {
            self.calls.lock().remove(&call);
            return Err(CallError::NotSent);
        }
        Ok(outcome)
    }

    /// A call is over, however it ended. Sets up what its caller wanted to have with a child, before anything else of the
    /// child is delivered: its end may be the next frame. If the caller is gone, the child is told.
    pub(crate) fn call_ended(&self, call: u64, result: CallResult) {
        let wanted = self.factories.wanted.lock().remove(&call);
        if let (Some(Wanted { caller, link, monitor }), Ok(CallOutcome::Spawned(Ok(child)))) =
            (wanted, &result)
        {
            self.runtime.adopt_remote(caller, *child, link, monitor);
        }
        if let Some(caller) = self.calls.lock().remove(&call) {
            // Whoever called may have stopped waiting.
            let _ = caller.send(result);
        }
    }

    /// Runs a factory for a peer and answers.
    pub(crate) fn run_factory(&self, link: LinkId, caller: Pid, request: &SpawnRequest) {
        let Some(peer) = self.peers.by_link(link) else { return };
        let started = self.start(caller, request);
        let (child, result) = match started {
            Ok(child) => (child.serial(), Ok(())),
            Err(refusal) => (0, Err(refusal)),
        };
        // If the link is gone, its end has undone the caller's part; the child is left like any process whose caller is.
        let answered = self.push(&peer, |outgoing| Ok(outgoing.spawned(child, caller, request, &result)));
        if child != 0 {
            if answered.is_err() && request.link {
                let pid = Pid::new(self.id.incarnation, child);
                let gone = Signal::LinkExit(regatta_proto::reason::ExitReason::NoConnection);
                let _ = self.runtime.deliver(caller, pid.serial(), gone);
            }
            if answered.is_err()
                && let Some(reference) = request.monitor
            {
                self.runtime.forget_remote_watcher(child, caller, reference);
            }
            self.runtime.release(Pid::new(self.id.incarnation, child));
        }
    }

    /// Starts the child, held at its first poll, with the caller's link, monitor and name.
    fn start(&self, caller: Pid, request: &SpawnRequest) -> Result<Pid, SpawnRefusal> {
        let factory =
            self.factories.taught.read().get(&request.factory).cloned().ok_or(SpawnRefusal::NoFactory)?;
        let args = Vec::from(request.args.clone());
        let made = std::panic::catch_unwind(AssertUnwindSafe(|| {
            self.runtime.hold_spawned(|runtime| factory(runtime, args))
        }));
        let (child, mut held) = made.map_err(|panic| SpawnRefusal::Panicked(panic_text(&*panic)))?;
        // What else the factory spawned may run at once.
        held.retain(|pid| *pid != child);
        for other in held {
            self.runtime.release(other);
        }
        if let Some(name) = &request.register
            && self.register_global(name.clone(), child, OnConflict::default()).is_err()
        {
            self.runtime.kill(child);
            self.runtime.release(child);
            return Err(SpawnRefusal::NameTaken);
        }
        if request.link {
            let _ = self.runtime.deliver(caller, child.serial(), Signal::Link);
        }
        if let Some(reference) = request.monitor {
            let _ = self.runtime.deliver(caller, child.serial(), Signal::Monitor { reference });
        }
        Ok(child)
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no text".to_owned())
}
