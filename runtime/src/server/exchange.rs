//! A call on this node: the moved request, and where its caller waits.
//!
//! One allocation carries both ways. The request lies in it until the server takes it out, the answer until the caller does;
//! whoever comes second finds what the first has left.

use std::sync::Arc;
use std::task::{Poll, Waker};

use regatta_proto::id::Pid;
use regatta_proto::signal::Unanswered;

use super::Server;
use crate::actor::letter::Letter;
use crate::sync::Mutex;

/// One call.
pub(super) struct Exchange<S: Server> {
    pub(super) from: Pid,
    state: Mutex<State<S>>,
}

struct State<S: Server> {
    request: Option<S::Call>,
    answer: Option<Result<S::Reply, Lost>>,
    caller: Caller,
}

/// Who waits for the answer.
enum Caller {
    /// It has not looked yet.
    Here,
    Waits(Waker),
    /// It has given up.
    Left,
}

/// There will be no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) why: Unanswered,
    /// It was let go by a panic, which may be on its way to end the server.
    pub(super) panicking: bool,
}

impl<S: Server> Exchange<S> {
    pub(super) fn new(from: Pid, request: S::Call) -> Arc<Self> {
        let state = State { request: Some(request), answer: None, caller: Caller::Here };
        Arc::new(Self { from, state: Mutex::new(state) })
    }

    /// The request, for the server: once.
    pub(super) fn request(&self) -> Option<S::Call> {
        self.state.lock().request.take()
    }

    /// The answer, or why there is none; the first one counts.
    pub(super) fn answer(&self, answer: Result<S::Reply, Lost>) {
        let mut state = self.state.lock();
        let caller = match state.caller {
            // What was answered stays as it is, and what is too late is dropped below, outside of the lock.
            _ if state.answer.is_some() => None,
            Caller::Left => None,
            _ => Some(std::mem::replace(&mut state.caller, Caller::Here)),
        };
        let Some(caller) = caller else {
            drop(state);
            drop(answer);
            return;
        };
        state.answer = Some(answer);
        drop(state);
        if let Caller::Waits(waker) = caller {
            waker.wake();
        }
    }

    /// Whether somebody waits for the answer.
    pub(super) fn is_waiting(&self) -> bool {
        let state = self.state.lock();
        state.answer.is_none() && !matches!(state.caller, Caller::Left)
    }

    /// The answer, for the caller, who comes back for it until it is there.
    pub(super) fn poll(&self, waker: &Waker) -> Poll<Result<S::Reply, Lost>> {
        let mut state = self.state.lock();
        if let Some(answer) = state.answer.take() {
            // Nothing more is to come.
            state.caller = Caller::Left;
            return Poll::Ready(answer);
        }
        let before = match &state.caller {
            Caller::Waits(mine) if mine.will_wake(waker) => None,
            _ => Some(std::mem::replace(&mut state.caller, Caller::Waits(waker.clone()))),
        };
        drop(state);
        drop(before);
        Poll::Pending
    }

    /// The caller no longer waits. The request stays with the server.
    pub(super) fn leave(&self) {
        let mut state = self.state.lock();
        let left = (std::mem::replace(&mut state.caller, Caller::Left), state.answer.take());
        drop(state);
        drop(left);
    }
}

impl<S: Server> Letter for Exchange<S> {
    fn bytes(&self) -> u64 {
        size_of::<S::Call>() as u64
    }

    fn unanswered(&self, why: Unanswered) {
        self.answer(Err(Lost { why, panicking: std::thread::panicking() }));
    }
}

/// A request on this node that wants no answer.
pub(super) struct Cast<S: Server>(Mutex<Option<S::Cast>>);

impl<S: Server> Cast<S> {
    pub(super) fn new(request: S::Cast) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(request))))
    }

    /// The request, for the server: once.
    pub(super) fn request(&self) -> Option<S::Cast> {
        self.0.lock().take()
    }
}

impl<S: Server> Letter for Cast<S> {
    fn bytes(&self) -> u64 {
        size_of::<S::Cast>() as u64
    }

    fn unanswered(&self, _: Unanswered) {}
}
