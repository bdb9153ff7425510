//! The workload, written once: what a system must offer, and the processes that run on it.
//!
//! Every process body below is generic over [`System`] and compiled for each of them, so all systems do the same work
//! in the same order, and neither pays for a virtual call. What must stay true: a body uses nothing but the system's
//! own mailbox and its own named send, and it counts only what really arrived.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use thiserror::Error;

/// Bytes in each message.
pub(crate) const PAYLOAD_BYTES: usize = 64;
/// Bytes of a large message.
pub(crate) const BULK_BYTES: usize = 1 << 20;
/// The node that asks and measures.
pub(crate) const NEAR: &str = "near";

/// The node that answers and counts, at the far end of link `link`.
pub(crate) fn far(link: u32) -> String {
    format!("far-{link}")
}

/// Why a trial has no figure. The trial is over and its process ends.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// A call of the system under test returned an error.
    #[error("{act}: {detail}")]
    System {
        /// What was attempted.
        act: &'static str,
        /// The system's own words.
        detail: String,
    },
    /// The operating system refused something.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Something did not happen in time.
    #[error("{0} did not happen in time")]
    Late(&'static str),
    /// A process of the workload gave up, in its own words.
    #[error("{0}")]
    Process(String),
    /// The far nodes' operating-system process failed or answered out of turn.
    #[error("far nodes: {0}")]
    Far(String),
}

impl Failure {
    /// The error `detail` that the system gave when `act` was attempted.
    pub(crate) fn system(act: &'static str, detail: impl std::fmt::Display) -> Self {
        Self::System { act, detail: format!("{detail:#}") }
    }
}

/// What a system can do beyond sending to a process by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offers {
    /// Starting a process on another node.
    pub(crate) spawn: bool,
    /// A link that is shaken hands over.
    pub(crate) handshake: bool,
    /// Messages of 1 MiB.
    pub(crate) bulk: bool,
    /// What is lost on the way is sent again.
    pub(crate) reliable: bool,
}

/// A process's own end of its mailbox.
pub(crate) trait Mailbox: Send + 'static {
    /// A message as the system hands it over.
    type Message: AsRef<[u8]> + Send;

    /// The next message; `None` if something else arrived.
    fn recv(&mut self) -> impl Future<Output = Option<Self::Message>> + Send;
}

/// A cluster system under test: one value is one node, cheap to clone. Everything but the making of
/// certificates is called on a thread of the node's tokio runtime.
pub(crate) trait System: Clone + Send + Sync + 'static {
    /// The system's name in every result.
    const NAME: &'static str;
    /// What it can do beyond sending.
    const OFFERS: Offers;
    /// What the nodes of a cluster trust.
    type Authority: Send + Sync + 'static;
    /// What a node proves itself with.
    type Identity: Send + 'static;
    /// What a process receives from.
    type Mailbox: Mailbox;

    /// A fresh certificate authority.
    fn authority() -> Result<Self::Authority, Failure>;
    /// A fresh key and certificate for the node `name`.
    fn issue(authority: &Self::Authority, name: &str) -> Result<Self::Identity, Failure>;
    /// Starts a node on a loopback port of the system's choice.
    fn start(name: &str, identity: &Self::Identity) -> Result<Self, Failure>;
    /// Where the node listens.
    fn address(&self) -> Result<SocketAddr, Failure>;
    /// Links to the node at `address`; the handshake is over when this returns.
    fn connect(&self, address: SocketAddr) -> impl Future<Output = Result<(), Failure>> + Send;
    /// Whether this node holds a link to `peer`.
    fn sees(&self, peer: &str) -> bool;
    /// Starts a process and registers it under `name`.
    fn process<F, Fut>(&self, name: &str, body: F) -> Result<(), Failure>
    where
        F: FnOnce(Self::Mailbox) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static;
    /// Sends to the process `name` on node `to`.
    fn send(&self, to: &str, name: &str, payload: &[u8]) -> impl Future<Output = Result<(), Failure>> + Send;
    /// Teaches the node to start a process that ends at once, for [`System::spawn_remote`].
    fn offer_spawn(&self) -> Result<(), Failure>;
    /// Starts such a process on node `to` and waits for its pid.
    fn spawn_remote(&self, to: &str) -> impl Future<Output = Result<(), Failure>> + Send;
    /// Ends the node.
    fn shutdown(self) -> impl Future<Output = ()> + Send;
}

/// A counter on cache lines of its own, so that counting costs the same on one core and on two.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Counts one. Only the counter's one process calls this, so no read-modify-write is needed.
    fn one_more(&self) {
        self.0.store(self.0.load(Relaxed) + 1, Relaxed);
    }

    /// How many so far.
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The times of one client's round trips.
pub(crate) struct Times(Mutex<Histogram<u64>>);

impl Default for Times {
    fn default() -> Self {
        Self(Mutex::new(nanoseconds()))
    }
}

impl Times {
    fn note(&self, ns: u64) {
        self.0.lock().expect("nobody panics with it").saturating_record(ns);
    }

    /// What was noted since this was last called.
    pub(crate) fn take(&self) -> Histogram<u64> {
        std::mem::replace(&mut *self.0.lock().expect("nobody panics with it"), nanoseconds())
    }
}

/// What the near node's processes share with the measuring thread: when to stop, and the first failure.
#[derive(Default)]
pub(crate) struct Course {
    stop: AtomicBool,
    failure: OnceLock<Failure>,
}

impl Course {
    /// Asks all processes to end after their present message.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Relaxed);
    }

    /// The first failure, if there was one.
    pub(crate) fn check(self: &Arc<Self>) -> Result<(), Failure> {
        self.failure.get().map_or(Ok(()), |failure| Err(Failure::Process(failure.to_string())))
    }

    fn runs(&self) -> bool {
        !self.stop.load(Relaxed)
    }

    fn fail(&self, failure: Failure) {
        let _ = self.failure.set(failure);
        self.stop();
    }
}

/// What a sink saw of its one sender.
#[derive(Default)]
pub(crate) struct Tally {
    /// Messages.
    pub(crate) received: Counter,
    /// Messages that came after a later one of the same sender.
    pub(crate) out_of_order: Counter,
}

/// Starts echo `index` on a far node: it returns each message to client `index` of the near node.
pub(crate) fn echo<S: System>(node: &S, index: u32) -> Result<(), Failure> {
    echo_to(node, &echo_name(index), client_name(index))
}

/// Starts the echo of link `link` that the latency probe asks: it returns each message to client 0 of the near node.
pub(crate) fn probe_echo<S: System>(node: &S, link: u32) -> Result<(), Failure> {
    echo_to(node, &probe_echo_name(link), client_name(0))
}

fn echo_to<S: System>(node: &S, name: &str, client: String) -> Result<(), Failure> {
    let sender = node.clone();
    node.process(name, move |mut mailbox| async move {
        while let Some(message) = mailbox.recv().await {
            if let Err(failure) = sender.send(NEAR, &client, message.as_ref()).await {
                // The client hears nothing more and the trial's deadline ends it; the cause must not get lost.
                return eprintln!("{}: an echo cannot reply: {failure}", S::NAME);
            }
        }
    })
}

/// Starts client `index` on the near node: one message in flight to echo `index` on link `index` modulo `links`, round
/// after round, each counted in `done`.
pub(crate) fn client<S: System>(
    node: &S,
    index: u32,
    links: u32,
    course: Arc<Course>,
    done: Arc<Counter>,
) -> Result<(), Failure> {
    let (sender, far, echo) = (node.clone(), far(index % links), echo_name(index));
    node.process(&client_name(index), move |mut mailbox| async move {
        while course.runs() {
            match round_trip(&sender, &mut mailbox, &far, &echo).await {
                Ok(()) => done.one_more(),
                Err(failure) => return course.fail(failure),
            }
        }
    })
}

/// [`client`] that notes how long each round trip took.
pub(crate) fn timed_client<S: System>(
    node: &S,
    index: u32,
    links: u32,
    course: Arc<Course>,
    done: Arc<Counter>,
    times: Arc<Times>,
) -> Result<(), Failure> {
    let (sender, far, echo) = (node.clone(), far(index % links), echo_name(index));
    node.process(&client_name(index), move |mut mailbox| async move {
        while course.runs() {
            let begin = Instant::now();
            match round_trip(&sender, &mut mailbox, &far, &echo).await {
                Ok(()) => times.note(elapsed_ns(begin)),
                Err(failure) => return course.fail(failure),
            }
            done.one_more();
        }
    })
}

/// Starts client 0 as a latency probe: one message in flight, over each of the `links` in turn; round trips that begin
/// after `warm_up` and before `window` is over are recorded in nanoseconds and handed to `report`.
pub(crate) fn probe<S: System>(
    node: &S,
    links: u32,
    warm_up: Duration,
    window: Duration,
    report: mpsc::Sender<Result<Histogram<u64>, Failure>>,
) -> Result<(), Failure> {
    let sender = node.clone();
    let ends: Vec<_> = (0..links).map(|link| (far(link), probe_echo_name(link))).collect();
    node.process(&client_name(0), move |mut mailbox| async move {
        let mut histogram = nanoseconds();
        let begin = Instant::now();
        for (far, echo) in ends.iter().cycle() {
            let sent = Instant::now();
            if sent - begin >= warm_up + window {
                let _ = report.send(Ok(histogram));
                return;
            }
            if let Err(failure) = round_trip(&sender, &mut mailbox, far, echo).await {
                let _ = report.send(Err(failure));
                return;
            }
            if sent - begin >= warm_up {
                histogram.saturating_record(elapsed_ns(sent));
            }
        }
    })
}

/// Starts sink `index` on a far node: it counts the messages of sender `index` and those that came too late.
pub(crate) fn sink<S: System>(node: &S, index: u32, tally: Arc<Tally>) -> Result<(), Failure> {
    node.process(&sink_name(index), move |mut mailbox| async move {
        let mut next = 0u64;
        while let Some(message) = mailbox.recv().await {
            let Some(sequence) = message.as_ref().first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
            else {
                continue;
            };
            if sequence < next {
                tally.out_of_order.one_more();
            }
            next = next.max(sequence + 1);
            tally.received.one_more();
        }
    })
}

/// Starts sender `index` on the near node: message after message to sink `index` on link `index` modulo `links`,
/// numbered from 0, each counted in `sent`. Nothing but the system's own back-pressure slows it; it takes part in tokio's cooperative budget, as any
/// body that also did other work would.
pub(crate) fn flood_sender<S: System>(
    node: &S,
    index: u32,
    links: u32,
    payload: usize,
    course: Arc<Course>,
    sent: Arc<Counter>,
) -> Result<(), Failure> {
    let (sender, far, sink) = (node.clone(), far(index % links), sink_name(index));
    node.process(&format!("sender-{index}"), move |_mailbox| async move {
        let mut payload = vec![7u8; payload];
        while course.runs() {
            payload[..8].copy_from_slice(&sent.count().to_le_bytes());
            if let Err(failure) = sender.send(&far, &sink, &payload).await {
                return course.fail(failure);
            }
            sent.one_more();
            tokio::task::consume_budget().await;
        }
    })
}

/// A histogram of nanoseconds with three significant digits, up to a minute.
pub(crate) fn nanoseconds() -> Histogram<u64> {
    Histogram::new_with_max(60_000_000_000, 3).expect("the bounds are constants and valid")
}

/// Nanoseconds since `begin`.
pub(crate) fn elapsed_ns(begin: Instant) -> u64 {
    u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

async fn round_trip<S: System>(
    node: &S,
    mailbox: &mut S::Mailbox,
    far: &str,
    echo: &str,
) -> Result<(), Failure> {
    node.send(far, echo, &[7u8; PAYLOAD_BYTES]).await?;
    match mailbox.recv().await {
        Some(reply) if reply.as_ref().len() == PAYLOAD_BYTES => Ok(()),
        _ => Err(Failure::Process("the reply is not what was sent".into())),
    }
}

fn echo_name(index: u32) -> String {
    format!("echo-{index}")
}

fn probe_echo_name(link: u32) -> String {
    format!("probe-echo-{link}")
}

fn client_name(index: u32) -> String {
    format!("client-{index}")
}

fn sink_name(index: u32) -> String {
    format!("sink-{index}")
}
