//! What a body can do: the owner's end of a process.
//!
//! The context holds the receiver's half of the mailbox: the entries taken out of the inbox and not yet handled. It
//! belongs to the body and is dropped with it; kept alive beyond the process's end it receives nothing any more.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use bytes::Bytes;
use regatta_proto::id::{Pid, Reference};
use regatta_proto::reason::ExitReason;

use super::cell::{Cell, ENDING, STOP, SUSPENDED, TRAPS};
use super::error::{AckError, RegisterError, SendError};
use super::letter::Posted;
use super::mailbox::{Envelope, Other, OverflowPolicy};
use super::marks::{Mark, Marks};
use super::process::{IntoExit, ProcessHandle};
use super::received::Received;
use super::runtime::{Runtime, SpawnOptions};
use super::timers::Deadline;
use super::{links, watch};
use crate::sync::atomic::Ordering;

/// A process as its own body sees it.
///
/// ```
/// use regatta::{ExitReason, Received, Runtime};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let rt = Runtime::new();
/// let parent = rt.spawn(|mut ctx| async move {
///     ctx.trap_exit(true);
///     let child = ctx.spawn_link(|mut ctx| async move {
///         let order = ctx.recv().await.message();
///         assert_eq!(order.as_deref(), Some(&b"fail"[..]));
///         ExitReason::custom("as ordered")
///     });
///     ctx.send(child.pid(), "fail").await.expect("the child is alive");
///     let exit = Received::Exit { from: child.pid(), reason: ExitReason::custom("as ordered") };
///     assert_eq!(ctx.recv().await, exit);
/// });
/// assert_eq!(parent.join().await, ExitReason::Normal);
/// # }
/// ```
pub struct Context {
    cell: Arc<Cell>,
    queue: VecDeque<Envelope>,
    /// Receives left until the process lets others run.
    budget: u16,
    /// A sub-executor's receive may be registered.
    foreign: bool,
    /// Made with the first mark.
    marks: Option<Box<Marks>>,
}

impl Context {
    pub(crate) fn new(cell: Arc<Cell>) -> Self {
        Self { cell, queue: VecDeque::new(), budget: RECEIVES_PER_TURN, foreign: false, marks: None }
    }

    /// This process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.cell.pid()
    }

    /// The runtime that it lives in.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        self.cell.runtime()
    }

    /// The next entry of the mailbox, in the order of arrival. Dropping the future loses nothing.
    ///
    /// After [`RECEIVES_PER_TURN`] receives without a wait, the process lets others run first.
    pub fn recv(&mut self) -> impl Future<Output = Received> + Send {
        poll_fn(|poller| self.poll_recv(poller))
    }

    /// [`Context::recv`] that gives up after `timeout`: `None`. With a timeout of zero it takes what is there already, and
    /// needs no timer.
    ///
    /// The time is that of the runtime's clock, and costs no task.
    pub async fn recv_timeout(&mut self, timeout: Duration) -> Option<Received> {
        if timeout.is_zero() {
            return self.recv_now().await;
        }
        let cell = Arc::clone(&self.cell);
        let mut deadline = pin!(Deadline::after(cell.runtime(), Some(&cell), timeout));
        poll_fn(|poller| match self.poll_recv(poller) {
            Poll::Pending => deadline.as_mut().poll(poller).map(|()| None),
            received => received.map(Some),
        })
        .await
    }

    /// What is there at the first look. If nothing is, others run before the answer: a body that asks again and again
    /// neither holds its thread nor misses its end.
    async fn recv_now(&mut self) -> Option<Received> {
        self.now(Self::poll_recv).await
    }

    async fn now(
        &mut self,
        mut poll: impl FnMut(&mut Self, &mut Poller<'_>) -> Poll<Received>,
    ) -> Option<Received> {
        let mut looked = false;
        poll_fn(|poller| {
            if looked {
                return Poll::Ready(None);
            }
            let turn_is_over = self.budget == 0;
            let received = poll(self, poller).map(Some);
            if received.is_pending() && !turn_is_over {
                looked = true;
                poller.waker().wake_by_ref();
            }
            received
        })
        .await
    }

    /// The first entry, in the order of arrival, that `wanted` takes; the others stay, in their order. Each entry is
    /// looked at once. Dropping the future loses nothing.
    ///
    /// What waits already is looked at from the front each time. Who asks something behind a full mailbox, and waits for the
    /// answer, takes a [`mark`](Self::mark) first.
    pub async fn recv_match(&mut self, mut wanted: impl FnMut(&Received) -> bool) -> Received {
        let mut seen = 0;
        poll_fn(|poller| self.poll_match(&mut seen, &mut wanted, poller)).await
    }

    /// This moment: what is in the mailbox already lies before it. The four latest marks of a process are kept; with an older
    /// one, a receive begins at the front. So it does for a mailbox that drops its oldest messages
    /// ([`OverflowPolicy::DropOldest`]): what waits there may yet go.
    ///
    /// ```
    /// use std::time::Duration;
    /// use regatta::{ExitReason, Runtime};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let rt = Runtime::new();
    /// let asks = rt.spawn(|mut ctx| async move {
    ///     ctx.try_send(ctx.pid(), "of before").expect("there is room");
    ///     let mark = ctx.mark();
    ///     ctx.try_send(ctx.pid(), "of after").expect("there is room");
    ///     let mut any = |_: &_| true;
    ///     assert_eq!(ctx.recv_match_after(mark, &mut any).await.message().as_deref(), Some(&b"of after"[..]));
    ///     assert_eq!(ctx.recv_match_after_timeout(mark, Duration::ZERO, &mut any).await, None);
    ///     assert_eq!(ctx.recv().await.message().as_deref(), Some(&b"of before"[..]));
    /// });
    /// assert_eq!(asks.join().await, ExitReason::Normal);
    /// # }
    /// ```
    pub fn mark(&mut self) -> Mark {
        let mut state = self.cell.lock();
        state.mailbox.take(&mut self.queue);
        let may_yet_go = state.mailbox.policy() == OverflowPolicy::DropOldest;
        drop(state);
        self.marks.get_or_insert_default().make(if may_yet_go { 0 } else { self.queue.len() })
    }

    /// [`Context::recv_match`] among what has arrived after `mark`, a mark of this process.
    pub async fn recv_match_after(
        &mut self,
        mark: Mark,
        mut wanted: impl FnMut(&Received) -> bool,
    ) -> Received {
        let mut seen = self.place_of(mark);
        poll_fn(|poller| self.poll_match(&mut seen, &mut wanted, poller)).await
    }

    /// [`Context::recv_match_timeout`] among what has arrived after `mark`, a mark of this process.
    pub async fn recv_match_after_timeout(
        &mut self,
        mark: Mark,
        timeout: Duration,
        wanted: impl FnMut(&Received) -> bool,
    ) -> Option<Received> {
        let seen = self.place_of(mark);
        self.match_within(seen, timeout, wanted).await
    }

    /// [`Context::recv_match`] that gives up after `timeout`: `None`. With a timeout of zero it takes what is there already.
    pub async fn recv_match_timeout(
        &mut self,
        timeout: Duration,
        wanted: impl FnMut(&Received) -> bool,
    ) -> Option<Received> {
        self.match_within(0, timeout, wanted).await
    }

    /// The first entry that fits, behind the first `seen` ones.
    async fn match_within(
        &mut self,
        mut seen: usize,
        timeout: Duration,
        mut wanted: impl FnMut(&Received) -> bool,
    ) -> Option<Received> {
        if timeout.is_zero() {
            return self.now(|this, poller| this.poll_match(&mut seen, &mut wanted, poller)).await;
        }
        let cell = Arc::clone(&self.cell);
        let mut deadline = pin!(Deadline::after(cell.runtime(), Some(&cell), timeout));
        poll_fn(|poller| match self.poll_match(&mut seen, &mut wanted, poller) {
            Poll::Pending => deadline.as_mut().poll(poller).map(|()| None),
            received => received.map(Some),
        })
        .await
    }

    /// Sends `payload` to a process, here or on another node. Waits for room on the link, never on a local mailbox.
    ///
    /// # Errors
    /// [`SendError`]; the message was then not sent.
    pub fn send(
        &self,
        to: Pid,
        payload: impl Into<Bytes>,
    ) -> impl Future<Output = Result<(), SendError>> + Send {
        self.runtime().send_from(self.cell.serial(), to, payload.into())
    }

    /// [`Context::send`] that never waits.
    ///
    /// # Errors
    /// [`SendError`]; the message was then not sent.
    pub fn try_send(&self, to: Pid, payload: impl Into<Bytes>) -> Result<(), SendError> {
        self.runtime().try_send_from(self.cell.serial(), to, payload.into())
    }

    /// [`Context::send`] without order: the message may overtake what this process has sent before, and be overtaken. A
    /// lost packet delays only the messages that were in it.
    ///
    /// # Errors
    /// [`SendError`]; the message was then not sent.
    pub fn send_unordered(
        &self,
        to: Pid,
        payload: impl Into<Bytes>,
    ) -> impl Future<Output = Result<(), SendError>> + Send {
        self.runtime().send_unordered_from(self.cell.serial(), to, payload.into())
    }

    /// Sends `payload` in one datagram: it may be lost or overtake others, but never comes twice. Never waits. Across nodes
    /// at most about 1,100 bytes fit; the error says how many.
    ///
    /// # Errors
    /// [`SendError`]; the message was then not sent.
    pub fn send_datagram(&self, to: Pid, payload: impl Into<Bytes>) -> Result<(), SendError> {
        self.runtime().send_datagram_from(self.cell.serial(), to, payload.into())
    }

    /// [`Context::send`] that resolves when the message is in the receiver's mailbox, in order with what else this process
    /// has sent to it. Says nothing of whether the receiver reads it. Waits for `timeout` at most. If the future is dropped,
    /// the message is sent or not, as a whole.
    ///
    /// # Errors
    /// [`AckError`], which says whether the message may have been delivered all the same.
    pub fn send_acked(
        &self,
        to: Pid,
        payload: impl Into<Bytes>,
        timeout: Duration,
    ) -> impl Future<Output = Result<(), AckError>> + Send {
        self.runtime().send_acked_from(self.cell.serial(), to, payload.into(), timeout)
    }

    /// Sends `payload` to whoever holds the local name now. Never waits.
    ///
    /// # Errors
    /// [`SendError::NoProc`] if nobody holds it, [`SendError::MailboxFull`].
    pub fn send_named(&self, name: impl AsRef<str>, payload: impl Into<Bytes>) -> Result<(), SendError> {
        self.runtime().send_named(name, payload)
    }

    /// Links this process to `other`, here or on another node: the end of one ends the other, unless it is a normal one
    /// or the other traps exits. Linking twice is linking once. A process that is gone gives this one an exit with
    /// [`ExitReason::NoProc`], one that cannot be reached with [`ExitReason::NoConnection`].
    pub fn link(&self, other: Pid) {
        links::link(&self.cell, other);
    }

    /// Takes the link back. From here on the other's end does nothing to this process; an exit that is in the mailbox
    /// already stays there. Returns whether there was a link: then no exit of it has come, and none will.
    pub fn unlink(&self, other: Pid) -> bool {
        links::unlink(&self.cell, other)
    }

    /// Watches `target`, here or on another node: exactly one [`Received::Down`] when it ends, at once if it is gone
    /// ([`ExitReason::NoProc`]) or cannot be reached ([`ExitReason::NoConnection`]).
    pub fn monitor(&self, target: Pid) -> Reference {
        let reference = self.runtime().reference();
        watch::monitor(&self.cell, target, reference);
        reference
    }

    /// Takes a monitor back, with its `Down` if that is in the mailbox already: from here on this process does not see
    /// one. Returns whether the monitor had not fired.
    pub fn demonitor(&mut self, reference: Reference) -> bool {
        let was = watch::demonitor(&self.cell, reference);
        if !was {
            self.cell.lock().mailbox.take(&mut self.queue);
            let fired = self.queue.iter().position(|envelope| match envelope {
                Envelope::Other(Other::Signal(signal)) => {
                    matches!(&**signal, Received::Down { reference: r, .. } if *r == reference)
                }
                _ => false,
            });
            if let Some(at) = fired {
                self.take_out(at);
                self.cell.own.handled.add(1, 0);
            }
        }
        was
    }

    /// Whether exits of linked processes, and requests to end, come as [`Received::Exit`] instead of ending this
    /// process. [`ExitReason::Killed`] sent to this process ends it all the same.
    pub fn trap_exit(&self, trap: bool) {
        if trap {
            self.cell.set(TRAPS);
        } else {
            self.cell.clear(TRAPS);
        }
    }

    /// Asks a process, here or on another node, to end with `reason` (Erlang's `exit/2`). Returns whether it was alive,
    /// or the request is on its way. A process that asks itself ends at its next await point.
    pub fn exit(&self, pid: Pid, reason: ExitReason) -> bool {
        self.runtime().exit_from(self.pid(), pid, reason)
    }

    /// Starts a process with this one as its parent.
    pub fn spawn<B, F>(&self, body: B) -> ProcessHandle
    where
        B: FnOnce(Context) -> F,
        F: Future<Output: IntoExit> + Send + 'static,
    {
        self.runtime().spawn_with(self.child(), body)
    }

    /// Starts a process that is linked to this one from its first moment.
    pub fn spawn_link<B, F>(&self, body: B) -> ProcessHandle
    where
        B: FnOnce(Context) -> F,
        F: Future<Output: IntoExit> + Send + 'static,
    {
        self.runtime().spawn_with(SpawnOptions { link: Some(self.pid()), ..self.child() }, body)
    }

    /// Starts a process that this one watches from its first moment.
    pub fn spawn_monitor<B, F>(&self, body: B) -> (ProcessHandle, Reference)
    where
        B: FnOnce(Context) -> F,
        F: Future<Output: IntoExit> + Send + 'static,
    {
        let reference = self.runtime().reference();
        let options = SpawnOptions { monitor: Some((self.pid(), reference)), ..self.child() };
        (self.runtime().spawn_with(options, body), reference)
    }

    /// Gives this process a name in its runtime.
    ///
    /// # Errors
    /// [`RegisterError`]; the registry is then as it was.
    pub fn register(&self, name: impl AsRef<str>) -> Result<(), RegisterError> {
        self.runtime().register(name, self.pid())
    }

    /// Takes a name back. Returns whether this process held it.
    pub fn unregister(&self, name: impl AsRef<str>) -> bool {
        self.runtime().unregister(name, self.pid())
    }

    /// Says what this process is, for people who look at it; cut to 255 bytes.
    pub fn set_label(&self, label: impl AsRef<str>) {
        self.runtime().set_label(self.pid(), label);
    }

    /// Lets the other processes that are ready run first (Erlang's `yield/0`). A body that sends much and waits for nothing does
    /// this now and then: those it sends to can begin. `tokio::task::yield_now` does too, but only once the scheduler has
    /// nothing else to run, and at the price of a look at the network.
    ///
    /// ```
    /// use regatta::{ExitReason, Runtime};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let rt = Runtime::new();
    /// let sink = rt.spawn(|mut ctx| async move { while ctx.recv().await.message() != Some("last".into()) {} });
    /// let to = sink.pid();
    /// rt.spawn(move |ctx| async move {
    ///     for _ in 0..100 {
    ///         for _ in 0..256 {
    ///             ctx.try_send(to, "one of many").expect("there is room");
    ///         }
    ///         ctx.yield_now().await;
    ///     }
    ///     ctx.try_send(to, "last").expect("there is room");
    /// });
    /// assert_eq!(sink.join().await, ExitReason::Normal);
    /// # }
    /// ```
    pub async fn yield_now(&self) {
        let mut yielded = false;
        poll_fn(|poller| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            poller.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    fn child(&self) -> SpawnOptions {
        SpawnOptions { parent: Some(self.pid()), ..SpawnOptions::default() }
    }

    #[inline]
    fn poll_recv(&mut self, poller: &mut Poller<'_>) -> Poll<Received> {
        if !self.may_receive(poller) {
            return Poll::Pending;
        }
        if self.queue.is_empty() && !self.refill(poller) {
            return Poll::Pending;
        }
        if self.queue.front().is_some_and(Envelope::is_letter) {
            // A server that receives inside of a call: what is for its loop stays for that.
            return self.poll_match(&mut 0, &mut |_| true, poller);
        }
        let envelope = self.take_first();
        Poll::Ready(self.hand_over(envelope))
    }

    /// The next entry, typed messages included.
    pub(crate) async fn next(&mut self) -> Result<Received, Posted> {
        poll_fn(|poller| {
            if !self.may_receive(poller) || self.queue.is_empty() && !self.refill(poller) {
                return Poll::Pending;
            }
            let envelope = self.take_first();
            self.count(&envelope);
            Poll::Ready(envelope.received())
        })
        .await
    }

    /// The body is over: what it lets go from here on it lets go by its end.
    pub(crate) fn ends(&self) {
        self.cell.set(ENDING);
    }

    pub(crate) fn cell(&self) -> &Arc<Cell> {
        &self.cell
    }

    fn poll_match(
        &mut self,
        seen: &mut usize,
        wanted: &mut impl FnMut(&Received) -> bool,
        poller: &mut Poller<'_>,
    ) -> Poll<Received> {
        if !self.may_receive(poller) {
            return Poll::Pending;
        }
        loop {
            while let Some(envelope) = self.queue.get_mut(*seen) {
                if matches(envelope, wanted) {
                    let envelope = self.take_out(*seen);
                    return Poll::Ready(self.hand_over(envelope));
                }
                *seen += 1;
            }
            if !self.refill(poller) {
                return Poll::Pending;
            }
        }
    }

    /// Takes the first entry of the queue, which has one.
    #[inline]
    fn take_first(&mut self) -> Envelope {
        if let Some(marks) = &mut self.marks {
            marks.taken(0);
        }
        self.queue.pop_front().expect("a refill that says so put something in")
    }

    /// Takes the entry at this index out of the queue.
    fn take_out(&mut self, at: usize) -> Envelope {
        if let Some(marks) = &mut self.marks {
            marks.taken(at);
        }
        self.queue.remove(at).expect("it was there a moment ago")
    }

    fn place_of(&self, mark: Mark) -> usize {
        self.marks.as_ref().map_or(0, |marks| marks.find(mark))
    }

    /// Whether an entry may be taken now; if not, the process is woken when it may.
    #[inline]
    fn may_receive(&mut self, poller: &mut Poller<'_>) -> bool {
        if self.cell.has(STOP | SUSPENDED) || self.budget == 0 {
            return self.may_receive_after_all(poller);
        }
        true
    }

    #[cold]
    fn may_receive_after_all(&mut self, poller: &mut Poller<'_>) -> bool {
        // Whoever resumes it wakes the process; a receive in a sub-executor has a waker of its own.
        if !self.cell.is_woken_by(poller.waker()) {
            let mut state = self.cell.lock();
            let before = if self.cell.has(STOP | SUSPENDED) { state.wait(poller.waker()) } else { None };
            drop(state);
            drop(before);
            self.foreign = true;
        }
        if self.cell.has(STOP | SUSPENDED) {
            return false;
        }
        if self.budget == 0 {
            self.budget = RECEIVES_PER_TURN;
            poller.waker().wake_by_ref();
            return false;
        }
        true
    }

    /// Takes what is in the inbox; if nothing is, waits for the next push.
    #[inline]
    fn refill(&mut self, poller: &mut Poller<'_>) -> bool {
        let taken = self.cell.own.handled.count() + self.queue.len() as u64;
        // Seen without the lock, that nothing has come may be old news; the scheduler looks again before it parks us.
        let nothing = self.cell.shared.arrived.load(Ordering::Relaxed) == taken
            && !self.foreign
            && (self.queue.capacity() <= QUEUE_KEPT || !self.queue.is_empty())
            && self.cell.is_woken_by(poller.waker());
        if !nothing {
            return self.refill_locked(poller);
        }
        self.wants();
        false
    }

    fn refill_locked(&mut self, poller: &mut Poller<'_>) -> bool {
        let own = self.cell.is_woken_by(poller.waker());
        let mut state = self.cell.lock();
        if state.mailbox.take(&mut self.queue) {
            return true;
        }
        let before = if own { state.receiver.take() } else { state.wait(poller.waker()) };
        // After a flood: its memory is not kept while we wait.
        let large = self.queue.is_empty() && self.queue.capacity() > QUEUE_KEPT;
        let spare = if large { state.mailbox.shrink(QUEUE_KEPT) } else { VecDeque::new() };
        drop(state);
        drop((before, spare));
        if large {
            self.queue.shrink_to(QUEUE_KEPT);
        }
        self.foreign = !own;
        if own {
            self.wants();
        }
        self.budget = RECEIVES_PER_TURN;
        false
    }

    /// The process waits for a message.
    #[inline]
    fn wants(&mut self) {
        self.cell.own.wants.store(true, Ordering::Relaxed);
        self.budget = RECEIVES_PER_TURN;
    }

    #[inline]
    fn hand_over(&mut self, envelope: Envelope) -> Received {
        self.count(&envelope);
        envelope.received().expect("letters are for the server's loop alone")
    }

    #[inline]
    fn count(&mut self, envelope: &Envelope) {
        self.budget -= 1;
        self.cell.own.handled.add(1, envelope.bytes());
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Context").field(&self.pid()).finish()
    }
}

fn matches(envelope: &mut Envelope, wanted: &mut impl FnMut(&Received) -> bool) -> bool {
    match envelope {
        Envelope::Other(Other::Signal(signal)) => wanted(signal),
        Envelope::Other(Other::Letter(_)) => false,
        Envelope::Message(payload) => {
            let entry = Received::Message(std::mem::take(payload));
            let matched = wanted(&entry);
            *payload = entry.message().expect("it was made from a message");
            matched
        }
    }
}

/// Receives without a wait after which a process lets others run.
pub const RECEIVES_PER_TURN: u16 = 256;
/// Entries that the receiver's queue keeps room for while it waits.
const QUEUE_KEPT: usize = 1_024;
