//! Calls and casts, from the caller's side.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use regatta_proto::id::{Name, Pid, Reference};
use regatta_proto::reason::ExitReason;
use regatta_proto::signal::{Signal, Unanswered};

use super::exchange::{Cast, Exchange, Lost};
use super::reference::{ServerPlace, ServerRef};
use super::{CallError, Server};
use crate::actor::cell::{Cell, ENDING, SERVES, STOP};
use crate::actor::letter::Posted;
use crate::actor::pending::Ended;
use crate::actor::timers::Deadline;
use crate::actor::{Context, ProcessHandle, Runtime, SendError};

/// Where a request goes.
enum Route<'a> {
    /// To a process of this runtime.
    Here(Arc<Cell>),
    /// To a process of another node, or to whoever holds the name there.
    Away(Pid, Option<&'a Name>),
}

impl Runtime {
    /// Calls a server, wherever it is, and waits for its answer for at most [`CALL_TIMEOUT`].
    ///
    /// # Errors
    /// [`CallError`]. It says whether the server may have acted.
    pub fn call<S: Server>(
        &self,
        server: &ServerRef<S>,
        request: S::Call,
    ) -> impl Future<Output = Result<S::Reply, CallError>> + Send {
        self.call_within(server, request, CALL_TIMEOUT)
    }

    /// [`Runtime::call`] with a deadline of its own, from the first poll of the future on.
    ///
    /// Dropping the future gives the call up: the server may act on it all the same.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call_within<S: Server>(
        &self,
        server: &ServerRef<S>,
        request: S::Call,
        timeout: Duration,
    ) -> Result<S::Reply, CallError> {
        self.call_from(None, server, request, timeout).await
    }

    /// Asks a server something that has no answer. Waits for room on the link, never on a local mailbox.
    ///
    /// # Errors
    /// [`CallError`]; it was then not sent.
    pub async fn cast<S: Server>(&self, server: &ServerRef<S>, request: S::Cast) -> Result<(), CallError> {
        self.cast_from(self.sender(), server, request).await
    }

    pub(crate) fn find_server<S: Server>(&self, server: &ServerRef<S>) -> Option<Arc<Cell>> {
        match self.route(server).ok()? {
            Route::Here(cell) => Some(cell),
            Route::Away(..) => None,
        }
    }

    fn route<'a, S: Server>(&self, server: &'a ServerRef<S>) -> Result<Route<'a>, SendError> {
        let remote = || self.remote().ok_or(SendError::NoConnection);
        match server.place() {
            ServerPlace::Pid(pid) => self.route_to(*pid),
            ServerPlace::Local(name) => self.route_by_name(name),
            ServerPlace::Node(node, name) => match remote()?.node(node).ok_or(SendError::NoConnection)? {
                here if here == self.incarnation() => self.route_by_name(name),
                there => Ok(Route::Away(Pid::new(there, 0), Some(name))),
            },
            ServerPlace::Global(name) => {
                self.route_to(remote()?.whereis_global(name).ok_or(SendError::NoProc)?)
            }
        }
    }

    fn route_to<'a>(&self, pid: Pid) -> Result<Route<'a>, SendError> {
        if !self.is_here(pid) {
            return Ok(Route::Away(pid, None));
        }
        self.reach(pid.serial(), Arc::clone).map(Route::Here).ok_or(SendError::NoProc)
    }

    fn route_by_name<'a>(&self, name: &Name) -> Result<Route<'a>, SendError> {
        self.registry().find(name.as_str()).map(Route::Here).ok_or(SendError::NoProc)
    }

    /// `caller` is the process that waits, where it is known.
    async fn call_from<S: Server>(
        &self,
        caller: Option<&Arc<Cell>>,
        server: &ServerRef<S>,
        request: S::Call,
        timeout: Duration,
    ) -> Result<S::Reply, CallError> {
        match self.counted(self.route(server))? {
            Route::Here(cell) => self.call_here::<S>(caller, cell, request, timeout).await,
            Route::Away(to, name) => {
                let body = S::encode(&request).map_err(CallError::Encode)?;
                drop(request);
                let answer = self.call_away(caller, to, name, body.into(), timeout).await?;
                S::decode(&answer).map_err(|_| CallError::BadReply)
            }
        }
    }

    async fn call_here<S: Server>(
        &self,
        caller: Option<&Arc<Cell>>,
        cell: Arc<Cell>,
        request: S::Call,
        timeout: Duration,
    ) -> Result<S::Reply, CallError> {
        let from = caller.map_or_else(|| self.sender(), |caller| caller.serial());
        let exchange = Exchange::<S>::new(Pid::new(self.incarnation(), from), request);
        if cell.serial() == from {
            return Err(CallError::CallsItself);
        }
        self.post(&cell, Posted::new(Arc::clone(&exchange) as _))?;
        let waiting = Waiting(&exchange);
        let mut deadline = pin!(Deadline::after(self, caller, timeout));
        let lost = poll_fn(|poller| match waiting.0.poll(poller.waker()) {
            Poll::Ready(Ok(answer)) => Poll::Ready(Ok(answer)),
            Poll::Ready(Err(lost)) => Poll::Ready(Err(Some(lost))),
            Poll::Pending => deadline.as_mut().poll(poller).map(|()| Err(None)),
        });
        let Lost { why, panicking } = match lost.await {
            Ok(answer) => return Ok(answer),
            Err(None) => return Err(CallError::Timeout),
            Err(Some(lost)) => lost,
        };
        if why != Unanswered::NoReply || !panicking && !cell.has(ENDING | STOP) {
            return Err(unanswered(why));
        }
        // It was let go by the server's end: the reason is known in a moment.
        let process = ProcessHandle { cell };
        let mut end = pin!(process.join());
        poll_fn(|poller| match end.as_mut().poll(poller) {
            Poll::Ready(reason) => Poll::Ready(Err(CallError::Down(reason))),
            Poll::Pending => deadline.as_mut().poll(poller).map(|()| Err(CallError::Timeout)),
        })
        .await
    }

    async fn call_away(
        &self,
        caller: Option<&Arc<Cell>>,
        to: Pid,
        name: Option<&Name>,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, CallError> {
        let from = caller.map_or_else(|| self.sender(), |caller| caller.serial());
        let remote = self.remote().ok_or(SendError::NoConnection)?;
        let reference = self.reference();
        let slot = self.pending().begin(reference).ok_or(CallError::TooMany)?;
        let mut under_way = UnderWay { rt: self, from, to, reference, sent: false };
        let mut deadline = pin!(Deadline::after(self, caller, timeout));
        loop {
            match remote.request(from, to, name, Some(reference), body.clone()) {
                Err(SendError::Busy) => {}
                sent => {
                    sent?;
                    break;
                }
            }
            let mut room = pin!(remote.ready(to));
            let waited = poll_fn(|poller| match room.as_mut().poll(poller) {
                Poll::Ready(()) => Poll::Ready(Ok(())),
                Poll::Pending => deadline.as_mut().poll(poller).map(|()| Err(SendError::Busy)),
            });
            waited.await?;
        }
        under_way.sent = true;
        let ended = poll_fn(|poller| match slot.poll(poller.waker()) {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            Poll::Pending => deadline.as_mut().poll(poller).map(|()| None),
        });
        match ended.await {
            Some(Ended::Reply(answer)) => Ok(answer),
            Some(Ended::Unanswered(why)) => Err(unanswered(why)),
            Some(Ended::Down(ExitReason::NoConnection)) => Err(CallError::NoConnection),
            Some(Ended::Down(reason)) => Err(CallError::Down(reason)),
            None => Err(CallError::Timeout),
        }
    }

    async fn cast_from<S: Server>(
        &self,
        from: u64,
        server: &ServerRef<S>,
        request: S::Cast,
    ) -> Result<(), CallError> {
        match self.counted(self.route(server))? {
            Route::Here(cell) => self.post(&cell, Posted::new(Cast::<S>::new(request))),
            Route::Away(to, name) => {
                let body = Bytes::from(S::encode(&request).map_err(CallError::Encode)?);
                drop(request);
                let remote = self.remote().ok_or(SendError::NoConnection)?;
                loop {
                    match remote.request(from, to, name, None, body.clone()) {
                        Err(SendError::Busy) => remote.ready(to).await,
                        sent => return Ok(sent?),
                    }
                }
            }
        }
    }

    /// Puts a letter into the mailbox of a server of this node.
    fn post(&self, cell: &Arc<Cell>, letter: Posted) -> Result<(), CallError> {
        if !cell.has(SERVES) {
            return Err(CallError::NoServer);
        }
        cell.post(letter).map_err(|(error, _)| {
            let _counted = self.count(Err(error.clone()));
            CallError::NotSent(error)
        })
    }

    fn counted<T>(&self, route: Result<T, SendError>) -> Result<T, SendError> {
        if let Err(error) = &route {
            let _counted = self.count(Err(error.clone()));
        }
        route
    }
}

impl Context {
    /// Calls a server, wherever it is, and waits for its answer for at most [`CALL_TIMEOUT`]. What arrives meanwhile stays in
    /// the mailbox.
    ///
    /// # Errors
    /// [`CallError`]. It says whether the server may have acted.
    pub fn call<S: Server>(
        &self,
        server: &ServerRef<S>,
        request: S::Call,
    ) -> impl Future<Output = Result<S::Reply, CallError>> + Send {
        self.call_within(server, request, CALL_TIMEOUT)
    }

    /// [`Context::call`] with a deadline of its own, from the first poll of the future on.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn call_within<S: Server>(
        &self,
        server: &ServerRef<S>,
        request: S::Call,
        timeout: Duration,
    ) -> impl Future<Output = Result<S::Reply, CallError>> + Send {
        self.runtime().call_from(Some(self.cell()), server, request, timeout)
    }

    /// Asks a server something that has no answer: see [`Runtime::cast`].
    ///
    /// # Errors
    /// [`CallError`]; it was then not sent.
    pub fn cast<S: Server>(
        &self,
        server: &ServerRef<S>,
        request: S::Cast,
    ) -> impl Future<Output = Result<(), CallError>> + Send {
        self.runtime().cast_from(self.cell().serial(), server, request)
    }
}

/// A caller on this node, until it has its answer or gives up.
struct Waiting<'a, S: Server>(&'a Exchange<S>);

impl<S: Server> Drop for Waiting<'_, S> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// A call to another node, until it is over or given up.
struct UnderWay<'a> {
    rt: &'a Runtime,
    from: u64,
    to: Pid,
    reference: Reference,
    sent: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if self.rt.pending().forget(self.reference) && self.sent {
            // The link need not remember it any more.
            self.rt.signal(self.from, self.to, Signal::Demonitor { reference: self.reference });
        }
    }
}

fn unanswered(why: Unanswered) -> CallError {
    match why {
        Unanswered::NoReply => CallError::NoReply,
        Unanswered::NoServer => CallError::NoServer,
        Unanswered::MailboxFull => CallError::NotSent(SendError::MailboxFull),
        Unanswered::NoProc => CallError::NotSent(SendError::NoProc),
        Unanswered::BadRequest => CallError::BadRequest,
        Unanswered::BadReply => CallError::BadReply,
    }
}

/// How long a call waits for its answer, unless it says otherwise (as OTP's).
pub const CALL_TIMEOUT: Duration = Duration::from_secs(5);
