//! Every bound of the engine, by name, with its default.
//!
//! Nothing in the engine grows without one of these. Sizes are in bytes.

use std::time::Duration;

/// Lanes a link has in each direction. Signals of one process to one node share a lane, and move to another one together.
pub const LANES: usize = 16;
/// Lanes that the senders of a near path share: a power of two, as is [`LANES`].
pub const LANES_NEAR: usize = 4;
/// Uni-streams a peer may have open beside its lanes: large bodies, and messages without order.
pub const UNI_STREAMS: u32 = 1_024;
/// Bidirectional streams a peer may have open: the control stream and its questions.
pub const BIDI_STREAMS: u32 = 32;
/// A body above this travels on a stream of its own, so that it holds nobody else up.
pub const BULK_BYTES_MIN: usize = 64 * 1024;
/// Largest datagram that a link sends: 1,200 bytes, which every path carries, less what QUIC puts around it.
pub const DATAGRAM_BYTES_MAX: usize = 1_150;
/// Messages without order share a stream up to so many bytes: what fits into one packet.
pub const UNORDERED_BYTES_MAX: usize = 1_100;
/// Frames a lane may carry behind a large body that has not arrived yet. The receiver must hold them.
pub const BEHIND_BULK_BYTES_MAX: usize = 1024 * 1024;
/// Large bodies that a link sends at the same time, in bytes; a single larger one is let through alone. Half of the
/// windows of a link by default, so that lanes and the control stream have the other half.
pub const BULK_IN_FLIGHT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Messages of one peer that are to be acknowledged and have not come yet, behind the wish for it: large bodies, mostly.
pub const ACKS_WANTED_MAX: usize = 65_536;
/// Largest frame on a control stream or in a question.
pub const CONTROL_FRAME_BYTES_MAX: usize = 64 * 1024;
/// Bytes that may wait on a control stream; a peer that reads more slowly is cut off.
pub const CONTROL_QUEUE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The largest message that any configuration allows.
pub const MESSAGE_BYTES_CEILING: usize = 16 * 1024 * 1024;
/// What a frame may need beside its body: kind, serials, a name, a reason.
pub const FRAME_OVERHEAD_BYTES_MAX: usize = 8 * 1024;

/// The bounds that a node's owner may set.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest body of one message. Default 1 MiB; a node with more than [`MESSAGE_BYTES_CEILING`] does not start.
    pub message_bytes_max: usize,
    /// Bytes of unfinished large bodies and of frames held behind them, for one peer. Default 32 MiB.
    pub reassembly_bytes_max: usize,
    /// Queued bytes of a link above which senders wait. Default 4 MiB.
    pub queue_bytes_high: usize,
    /// Queued bytes of a link below which waiting senders go on. Default 1 MiB.
    pub queue_bytes_low: usize,
    /// How much of one stream may be in flight to us. Default 1 MiB.
    pub stream_window_bytes: u32,
    /// How much of one link may be in flight to us. Default 8 MiB.
    pub link_window_bytes: u32,
    /// How much of one link we keep unacknowledged. Default 8 MiB.
    pub send_window_bytes: u64,
    /// Round trip below which a path is near, so that a link's senders share few lanes: fewer frames, and what a lost packet
    /// holds up waits no longer than that. Where it has been four times of it or more for five seconds, they are spread over all
    /// lanes again. Default 1 ms; zero for never.
    pub near_rtt: Duration,
    /// Silence after which a link ends. Default 10 s.
    pub idle_timeout: Duration,
    /// Pause after which a quiet link is kept alive, from both sides. Default 2 s.
    pub keep_alive: Duration,
    /// Between two pulses of a node to its peers. Default 500 ms.
    pub pulse: Duration,
    /// Silence after which a node is suspected and others are asked about it. Default 2 s. This and the next two grow
    /// with this node's own lateness, up to eight times, and with the logarithm of the cluster's size above 100 nodes.
    pub suspect_after: Duration,
    /// Silence after which a suspect is down if all who were asked have answered that they hear nothing either. Default
    /// 3 s.
    pub down_denied_after: Duration,
    /// Silence after which a suspect is down if there was no answer. Default 4 s.
    pub down_unanswered_after: Duration,
    /// From the first packet to the end of the hello. Default 3 s.
    pub handshake_timeout: Duration,
    /// From the first packet of a dial of the engine's own until the peer answers; then [`handshake_timeout`] counts.
    /// Default 1 s.
    ///
    /// [`handshake_timeout`]: Self::handshake_timeout
    pub redial_timeout: Duration,
    /// How long a node that shuts down waits for its peers to have what was sent to them. Default 80 ms.
    pub leave_timeout: Duration,
    /// How long a node that was lost is dialled, and one that has left is remembered. A lost one that votes on names is forgotten
    /// only where most voters are linked. Default 24 h.
    pub forget_after: Duration,
    /// A question or a remote spawn without a deadline of its own ends by then. Default 5 s.
    pub call_timeout: Duration,
    /// Half-open links above which a caller must prove its address first (QUIC Retry). Default 64.
    pub half_open_retry: usize,
    /// Half-open links above which callers are refused. Default 512.
    pub half_open_max: usize,
    /// Half-open links from one unproven address above which it must prove itself. Default 16.
    pub half_open_retry_per_address: usize,
    /// Half-open links from one proven address above which it is refused. Default 128.
    pub half_open_max_per_address: usize,
    /// Links and monitors across one link, with unlinks and spawns past their deadline that the peer has yet to answer.
    /// Default 1,048,576.
    pub watches_per_link_max: usize,
    /// Other nodes that are known, linked or not. Default 4,096.
    pub members_max: usize,
    /// Global names that one peer may claim, and memberships of groups that its processes may have, together. Default
    /// 262,144.
    pub names_per_peer_max: usize,
    /// How long a confirmed name is held after a majority was last asked for it with success; it is asked four times as
    /// often. The same on all nodes. A node that has just started does not vote for as long. Default 3 s: a name whose
    /// node has crashed is free when the others find that node to be down.
    pub lease: Duration,
    /// Confirmed names for which this node votes, and remembers its vote. Default 65,536.
    pub confirmed_names_max: usize,
    /// Questions and remote spawns that wait for their answer. Default 65,536.
    pub calls_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 1024 * 1024,
            reassembly_bytes_max: 32 * 1024 * 1024,
            queue_bytes_high: 4 * 1024 * 1024,
            queue_bytes_low: 1024 * 1024,
            stream_window_bytes: 1024 * 1024,
            link_window_bytes: 8 * 1024 * 1024,
            send_window_bytes: 8 * 1024 * 1024,
            near_rtt: Duration::from_millis(1),
            idle_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(2),
            pulse: Duration::from_millis(500),
            suspect_after: Duration::from_secs(2),
            down_denied_after: Duration::from_secs(3),
            down_unanswered_after: Duration::from_secs(4),
            handshake_timeout: Duration::from_secs(3),
            redial_timeout: Duration::from_secs(1),
            leave_timeout: Duration::from_millis(80),
            forget_after: Duration::from_secs(24 * 3_600),
            call_timeout: Duration::from_secs(5),
            half_open_retry: 64,
            half_open_max: 512,
            half_open_retry_per_address: 16,
            half_open_max_per_address: 128,
            watches_per_link_max: 1 << 20,
            members_max: 4_096,
            names_per_peer_max: 1 << 18,
            lease: Duration::from_secs(3),
            confirmed_names_max: 1 << 16,
            calls_max: 1 << 16,
        }
    }
}
