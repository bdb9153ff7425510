//! QUIC's own settings, from our limits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn_proto::congestion::CubicConfig;
use quinn_proto::{AckFrequencyConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

use crate::limits::Limits;
use crate::link::tail::{Witness, Witnessed};

/// The datagram size that every path is taken to carry, and the one that is tried first.
const MTU: u16 = 1_200;
/// The largest datagram that path discovery tries: a page, which loopback and networks with jumbo frames carry. More is
/// slower on loopback than less.
pub(crate) const MTU_MAX: u16 = 4_096;
/// Datagrams that a new link may send before the first acknowledgement.
const INITIAL_WINDOW_DATAGRAMS: u64 = 10;
/// How long the peer may sit on an acknowledgement: the least that QUIC allows. Bounds how late the loss of a last packet
/// is noticed.
pub(crate) const ACK_DELAY_MAX: Duration = Duration::from_millis(1);
/// Packets that the peer may receive before it must acknowledge.
const ACK_ELICITING_THRESHOLD: u32 = 10;

/// Datagrams that wait to be sent, and that arrived and wait to be read; the oldest are dropped.
const DATAGRAM_BUFFER_BYTES: usize = 64 * 1024;
/// Later packets that make one lost (RFC 9002, section 6.1.1). A peer that sees as many behind a gap acknowledges at once,
/// and no sooner: an earlier acknowledgement would tell nobody of the loss.
pub(crate) const PACKET_THRESHOLD: u32 = 3;

/// The settings of one link, and who hears what its congestion controller is told. No streams may be opened before the hello is accepted, except the control stream.
pub(crate) fn config(limits: &Limits, now: Instant) -> (Arc<TransportConfig>, Arc<Witness>) {
    let mut config = TransportConfig::default();
    let mut cubic = CubicConfig::default();
    // quinn-proto's default is 12,000 bytes whatever the datagram size.
    cubic.initial_window(INITIAL_WINDOW_DATAGRAMS * u64::from(MTU));
    let witness = Witness::new(now);
    let congestion = Witnessed { inner: Arc::new(cubic), witness: witness.clone() };
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(MTU_MAX);
    let mut acks = AckFrequencyConfig::default();
    acks.max_ack_delay(Some(ACK_DELAY_MAX))
        .ack_eliciting_threshold(ACK_ELICITING_THRESHOLD.into())
        .reordering_threshold(PACKET_THRESHOLD.into());
    let idle = IdleTimeout::try_from(limits.idle_timeout).unwrap_or_else(|_| VarInt::MAX.into());
    config
        .max_concurrent_uni_streams(0u32.into())
        .max_concurrent_bidi_streams(1u32.into())
        .stream_receive_window(limits.stream_window_bytes.into())
        .receive_window(limits.link_window_bytes.into())
        .send_window(limits.send_window_bytes)
        .packet_threshold(PACKET_THRESHOLD)
        .send_fairness(false)
        .initial_mtu(MTU)
        .min_mtu(MTU)
        .mtu_discovery_config(Some(discovery))
        .max_idle_timeout(Some(idle))
        .keep_alive_interval((!planted!(NoKeepAlive)).then_some(limits.keep_alive))
        .ack_frequency_config(Some(acks))
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER_BYTES))
        .datagram_send_buffer_size(DATAGRAM_BUFFER_BYTES)
        .congestion_controller_factory(Arc::new(congestion));
    (Arc::new(config), witness)
}
