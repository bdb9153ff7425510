//! A lost last datagram is noticed soon.
//!
//! QUIC learns of a loss from acknowledgements of later packets. When the last packets of a batch are lost there are no
//! later ones, and the loss shows only when the probe timeout fires: after the round-trip time, at least a millisecond for
//! its variation, and the peer's acknowledgement delay (RFC 9002, section 6.2). A batch that carries the messages of many
//! senders makes all of them wait for that.
//!
//! So on a path that has lost something lately, what was written last is followed by a few small packets (pings) if it was
//! not acknowledged in good time: the thought of the tail loss probe (RACK-TLP, RFC 8985, section 7). With them there are
//! later packets, as many as it takes for QUIC's packet threshold to tell a loss from a reordering, and a peer that sees
//! so many behind a gap acknowledges at once. As QUIC's own probes they are not held back by the congestion window
//! (RFC 9002, section 7.5). On a path that loses nothing there are none.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use quinn_proto::congestion::{Controller, ControllerFactory, ControllerMetrics};
use quinn_proto::{Connection, RttEstimator};

use crate::transport::{ACK_DELAY_MAX, MTU_MAX, PACKET_THRESHOLD};

/// How long a loss is remembered.
const LOSSY_FOR: Duration = Duration::from_secs(10);
/// The window of a link that was closed: more than any path has in flight, and of a size that QUIC does not pace.
const CLOSED_WINDOW: u64 = 1 << 40;
/// What pings may add to the congestion window.
const PROBE_BYTES: u64 = PACKET_THRESHOLD as u64 * MTU_MAX as u64;
/// The least time that an acknowledgement is given.
const PATIENCE_MIN: Duration = Duration::from_micros(200);

/// How long an acknowledgement may take before it is asked after.
fn patience(rtt: Duration) -> Duration {
    // On a short path the peer's acknowledgement delay is many round-trip times: not waiting for it costs a few pings. On a
    // long one it is a small part.
    (2 * rtt).min(rtt + rtt / 4 + ACK_DELAY_MAX).max(PATIENCE_MIN)
}

/// What a link's congestion controller is told, for those who are not it.
#[derive(Debug)]
pub(crate) struct Witness {
    began: Instant,
    /// The highest packet number that was sent.
    sent: AtomicU64,
    /// One more than the highest packet number that the peer acknowledged; 0 if none was.
    acknowledged: AtomicU64,
    /// One more than the microsecond since `began` in which the last loss was noticed; 0 if none was.
    lost_us: AtomicU64,
    /// Whether pings wait.
    probing: AtomicBool,
    /// Whether the link was closed.
    closed: AtomicBool,
}

impl Witness {
    pub(crate) fn new(now: Instant) -> Arc<Self> {
        let [sent, acknowledged, lost_us] = [0, 0, 0].map(AtomicU64::new);
        let [probing, closed] = [false, false].map(AtomicBool::new);
        Arc::new(Self { began: now, sent, acknowledged, lost_us, probing, closed })
    }

    fn lossy(&self, now: Instant) -> bool {
        match self.lost_us.load(Ordering::Relaxed) {
            0 => false,
            us => now.saturating_duration_since(self.began + Duration::from_micros(us - 1)) < LOSSY_FOR,
        }
    }
}

/// When the last of what was written is asked after.
#[derive(Debug)]
pub(crate) struct Tail {
    witness: Arc<Witness>,
    /// The packet that must be acknowledged, and by when.
    open: Option<(u64, Instant)>,
    /// Frames of streams that had been sent when this was last looked at.
    frames: u64,
    /// Pings to be sent now.
    pings: u32,
}

impl Tail {
    pub(crate) fn new(witness: Arc<Witness>) -> Self {
        Self { witness, open: None, frames: 0, pings: 0 }
    }

    /// All that was written has been sent, and QUIC has its own from here on.
    pub(crate) fn sent(&mut self, now: Instant, connection: &Connection) {
        if !self.witness.lossy(now) {
            return;
        }
        let stats = connection.stats();
        if std::mem::replace(&mut self.frames, stats.frame_tx.stream) != stats.frame_tx.stream {
            let patience = patience(stats.path.rtt);
            self.open = Some((self.witness.sent.load(Ordering::Relaxed), now + patience));
        }
    }

    /// When [`expired`](Self::expired) is to be called.
    pub(crate) fn due(&self) -> Option<Instant> {
        let (packet, by) = self.open?;
        (self.witness.acknowledged.load(Ordering::Relaxed) <= packet).then_some(by)
    }

    /// Time has come. Returns whether there are pings to be sent.
    pub(crate) fn expired(&mut self) -> bool {
        let missing = self.due().is_some();
        self.open = None;
        if missing {
            self.pings = PACKET_THRESHOLD;
            self.witness.probing.store(true, Ordering::Relaxed);
        }
        missing
    }

    /// The link is to be closed. What is left to send is one packet with the word of it, which is not in flight and so not
    /// the congestion window's to hold back (RFC 9002, sections 2 and 7); QUIC holds it back all the same while data waits.
    pub(crate) fn closed(&self) {
        self.witness.closed.store(true, Ordering::Relaxed);
    }

    /// Before each look whether there is something to send: adds a ping if one waits.
    pub(crate) fn ping(&self, connection: &mut Connection) {
        if self.pings > 0 {
            connection.ping();
        }
    }

    /// Something was sent, and a ping with it if one waited.
    pub(crate) fn pinged(&mut self) {
        if self.pings > 0 {
            self.pings -= 1;
            self.witness.probing.store(self.pings > 0, Ordering::Relaxed);
        }
    }
}

/// Makes controllers that tell a witness.
pub(crate) struct Witnessed {
    pub(crate) inner: Arc<dyn ControllerFactory + Send + Sync>,
    pub(crate) witness: Arc<Witness>,
}

impl ControllerFactory for Witnessed {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let inner = self.inner.clone().build(now, current_mtu);
        Box::new(Telling { inner, witness: self.witness.clone() })
    }
}

/// A congestion controller that also tells a witness.
struct Telling {
    inner: Box<dyn Controller>,
    witness: Arc<Witness>,
}

impl Controller for Telling {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.witness.sent.store(last_packet_number, Ordering::Relaxed);
        self.inner.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.inner.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        if let Some(largest) = largest_packet_num_acked {
            self.witness.acknowledged.fetch_max(largest + 1, Ordering::Relaxed);
        }
        self.inner.on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent: bool, lost_bytes: u64) {
        if lost_bytes > 0 {
            let us = now.saturating_duration_since(self.witness.began).as_micros();
            self.witness.lost_us.store(u64::try_from(us).unwrap_or(u64::MAX - 1) + 1, Ordering::Relaxed);
        }
        self.inner.on_congestion_event(now, sent, is_persistent, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.inner.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        if self.witness.closed.load(Ordering::Relaxed) {
            return CLOSED_WINDOW;
        }
        let more = if self.witness.probing.load(Ordering::Relaxed) { PROBE_BYTES } else { 0 };
        self.inner.window() + more
    }

    fn metrics(&self) -> ControllerMetrics {
        self.inner.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self { inner: self.inner.clone_box(), witness: self.witness.clone() })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
