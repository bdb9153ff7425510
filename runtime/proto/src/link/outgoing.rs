//! What the processes of a node have for one peer, and the engine has not taken yet.
//!
//! Senders encode their frames here, each into the lane of its serial, so that a message costs one copy and no
//! allocation of its own. The runtime keeps one of these per link behind a lock; the engine empties it in one go. A frame
//! is put whole or not at all, so a sender that is killed cannot cut one.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::unordered::Batches;
use crate::host::Delivery;
use crate::id::{Incarnation, Name, Pid, Reference};
use crate::limits::{BULK_BYTES_MIN, LANES};
use crate::signal::Signal;
use crate::wire::datagram;
use crate::wire::frame::{self, Carried, SpawnRefusal, SpawnRequest, To};

/// A body that was above the peer's limit. Nothing was queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge {
    /// The body's length in bytes.
    pub len: usize,
    /// What the peer takes.
    pub max: usize,
}

/// What the engine must remember about a frame, for when the link is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Track {
    /// A local process linked itself to a remote one, or let a remote one link to it.
    Linked { local: u64, remote: Pid },
    /// A local process took that link back; the peer is to acknowledge it.
    Unlinking { local: u64, remote: Pid, id: u64 },
    /// That link ended with the local process.
    Unlinked { local: u64, remote: Pid },
    /// A local process monitors a remote one.
    Monitoring { watcher: u64, reference: Reference, target: Pid },
    /// It no longer does.
    Demonitored { watcher: u64, reference: Reference },
    /// A local process waits for the answer to its request; a name has serial 0.
    Asking { caller: u64, reference: Reference, target: Pid },
    /// A local process ended and told its remote watcher.
    DownSent { target: u64, watcher: Pid, reference: Reference },
    /// A child that a peer asked for is monitored by it from the start.
    Watched { target: u64, watcher: Pid, reference: Reference },
    /// A remote spawn waits for its answer.
    Call { call: u64, from: u64, deadline_ms: u64, link: bool, monitor: Option<Reference> },
}

/// A body on its way to a stream of its own.
#[derive(Debug)]
pub(crate) struct BulkBody {
    pub(crate) lane: usize,
    pub(crate) id: u64,
    pub(crate) body: Bytes,
}

/// A message to a group, as any number of peers are sent it.
#[derive(Debug)]
pub struct Encoded {
    from: u64,
    group: Name,
    body: Bytes,
    /// The whole frame; empty if the body is so large that it travels apart.
    frame: BytesMut,
}

impl Encoded {
    /// Encodes a message of process `from`.
    #[must_use]
    pub fn new(from: u64, group: Name, body: Bytes) -> Self {
        let mut frame = BytesMut::new();
        if body.len() <= BULK_BYTES_MIN {
            frame::put_message(&mut frame, from, To::Group(group.as_str()), &body);
        }
        Self { from, group, body, frame }
    }
}

/// Frames that wait for one link, by lane.
#[derive(Debug)]
pub struct Outgoing {
    pub(crate) lanes: [BytesMut; LANES],
    /// Lanes that senders share now: a power of two.
    spread: usize,
    /// Bit per lane that has frames.
    pub(crate) occupied: u32,
    /// A fence is the last frame of every lane.
    pub(crate) fenced: bool,
    pub(crate) tracks: Vec<Track>,
    pub(crate) bulk: Vec<BulkBody>,
    pub(crate) unordered: Batches,
    pub(crate) datagrams: Vec<Bytes>,
    pub(crate) frames: u64,
    next_bulk: u64,
    message_bytes_max: usize,
}

impl Outgoing {
    /// An empty queue towards a peer that takes bodies of at most `message_bytes_max`.
    #[must_use]
    pub fn new(message_bytes_max: usize) -> Self {
        Self {
            lanes: std::array::from_fn(|_| BytesMut::new()),
            spread: LANES,
            occupied: 0,
            fenced: false,
            tracks: Vec::new(),
            bulk: Vec::new(),
            unordered: Batches::default(),
            datagrams: Vec::new(),
            frames: 0,
            next_bulk: 0,
            message_bytes_max,
        }
    }

    /// Whether no large body waits.
    pub(crate) fn has_no_bulk(&self) -> bool {
        self.bulk.is_empty()
    }

    /// Has senders share the first `lanes` lanes from now on, a power of two; returns the bytes that this adds to the queue.
    ///
    /// Until now a sender may have had another lane. Every lane gets a fence, and the peer reads on behind it only when it
    /// has come to the fences of all lanes: so whatever was sent before is there before whatever follows.
    pub(crate) fn spread(&mut self, lanes: usize) -> usize {
        debug_assert!(lanes.is_power_of_two() && lanes <= LANES);
        self.spread = lanes;
        if planted!(Unfenced) {
            return 0;
        }
        let before: usize = self.lanes.iter().map(BytesMut::len).sum();
        self.lanes.iter_mut().for_each(frame::put_fence);
        self.occupied = u32::MAX >> (u32::BITS as usize - LANES);
        self.fenced = true;
        self.lanes.iter().map(BytesMut::len).sum::<usize>() - before
    }

    /// The lane of a sender: every signal of one process to one node goes by the same one, until senders are spread anew.
    fn lane_of(&self, serial: u64) -> usize {
        serial as usize & (self.spread - 1)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.occupied == 0 && self.tracks.is_empty() && self.unordered.is_empty() && self.datagrams.is_empty()
    }

    /// Queues a message whose body is borrowed; returns the bytes that it adds to the queue.
    ///
    /// # Errors
    /// [`TooLarge`] when the peer does not take a body of this size.
    pub fn message(&mut self, from: u64, to: To<'_>, body: &[u8]) -> Result<usize, TooLarge> {
        if body.len() > BULK_BYTES_MIN {
            return self.bulk(from, to, Bytes::copy_from_slice(body), Carried::Message);
        }
        self.fits(body.len())?;
        Ok(self.put(from, |lane| frame::put_message(lane, from, to, body)))
    }

    /// Queues a message whose body is owned: a large one is not copied.
    ///
    /// # Errors
    /// [`TooLarge`] when the peer does not take a body of this size.
    pub fn message_owned(&mut self, from: u64, to: To<'_>, body: Bytes) -> Result<usize, TooLarge> {
        if body.len() > BULK_BYTES_MIN {
            self.bulk(from, to, body, Carried::Message)
        } else {
            self.message(from, to, &body)
        }
    }

    /// Queues a typed request to a process of the node that runs `at`; returns the bytes that it adds to the queue. With a
    /// reference, the loss of the link ends the call.
    ///
    /// # Errors
    /// [`TooLarge`] when the peer does not take a body of this size.
    pub fn request(
        &mut self,
        from: u64,
        to: To<'_>,
        at: Incarnation,
        reference: Option<Reference>,
        body: Bytes,
    ) -> Result<usize, TooLarge> {
        self.fits(body.len())?;
        if let Some(reference) = reference {
            let serial = if let To::Serial(serial) = to { serial } else { 0 };
            self.tracks.push(Track::Asking { caller: from, reference, target: Pid::new(at, serial) });
        }
        if body.len() > BULK_BYTES_MIN {
            return self.bulk(from, to, body, Carried::Request(reference));
        }
        Ok(self.put(from, |lane| frame::put_request(lane, from, to, reference, &body)))
    }

    /// Queues a message that was encoded for any number of peers; returns the bytes that it adds to the queue.
    ///
    /// # Errors
    /// [`TooLarge`] when the peer does not take a body of this size.
    pub fn encoded(&mut self, message: &Encoded) -> Result<usize, TooLarge> {
        self.fits(message.body.len())?;
        if message.frame.is_empty() {
            let to = To::Group(message.group.as_str());
            return self.bulk(message.from, to, message.body.clone(), Carried::Message);
        }
        Ok(self.put(message.from, |lane| lane.extend_from_slice(&message.frame)))
    }

    /// Queues a message that keeps no order with anything else of its sender; returns the bytes that it adds to the queue.
    ///
    /// # Errors
    /// [`TooLarge`] when the peer does not take a body of this size.
    pub fn message_unordered(&mut self, from: u64, to: To<'_>, body: &[u8]) -> Result<usize, TooLarge> {
        self.fits(body.len())?;
        self.frames += 1;
        Ok(self.unordered.put(|out| frame::put_message(out, from, to, body)))
    }

    /// Queues a message and the wish to know what became of it within `deadline`: the answer is that of a call with the
    /// number `call`. Returns the bytes that it adds to the queue.
    ///
    /// # Errors
    /// [`TooLarge`] when the peer does not take a body of this size.
    pub fn message_acked(
        &mut self,
        from: u64,
        to: To<'_>,
        body: Bytes,
        call: u64,
        deadline: Duration,
    ) -> Result<usize, TooLarge> {
        self.fits(body.len())?;
        // In the same lane, so right before it for whoever reads the sender's signals in order.
        let wish = self.put(from, |lane| frame::put_ack_wanted(lane, from, call));
        let message = self.message_owned(from, to, body)?;
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        self.tracks.push(Track::Call { call, from, deadline_ms, link: false, monitor: None });
        Ok(wish + message)
    }

    /// Queues the answer to a message whose sender wants to know; returns the bytes that it adds to the queue.
    pub fn acked(&mut self, call: u64, delivery: Delivery) -> usize {
        self.put(0, |lane| frame::put_acked(lane, call, delivery))
    }

    /// Queues a message that may be lost, in one datagram; returns the bytes that it adds to the queue.
    ///
    /// # Errors
    /// [`TooLarge`] when it does not fit into the smallest datagram.
    pub fn message_datagram(&mut self, from: u64, to: To<'_>, body: &[u8]) -> Result<usize, TooLarge> {
        let datagram = datagram::message(from, to, body)?;
        let bytes = datagram.len();
        self.frames += 1;
        self.datagrams.push(datagram);
        Ok(bytes)
    }

    /// Queues any signal to a process of the peer; returns the bytes that it adds to the queue.
    ///
    /// # Errors
    /// [`TooLarge`] for a message, request or answer that the peer does not take.
    pub fn signal(&mut self, from: u64, to: Pid, signal: Signal) -> Result<usize, TooLarge> {
        let track = match &signal {
            Signal::Message(body) => {
                let body = body.clone();
                return self.message_owned(from, To::Serial(to.serial()), body);
            }
            Signal::Request { reference, body } => {
                let body = body.clone();
                return self.request(from, To::Serial(to.serial()), to.incarnation(), *reference, body);
            }
            Signal::Reply { reference, result: Ok(body) } => {
                self.fits(body.len())?;
                if body.len() > BULK_BYTES_MIN {
                    let carried = Carried::Reply(*reference);
                    return self.bulk(from, To::Serial(to.serial()), body.clone(), carried);
                }
                None
            }
            Signal::Reply { .. } => None,
            Signal::Link => Some(Track::Linked { local: from, remote: to }),
            Signal::Unlink { id } => Some(Track::Unlinking { local: from, remote: to, id: *id }),
            Signal::LinkExit(_) => Some(Track::Unlinked { local: from, remote: to }),
            Signal::Monitor { reference } => {
                Some(Track::Monitoring { watcher: from, reference: *reference, target: to })
            }
            Signal::Demonitor { reference } => {
                Some(Track::Demonitored { watcher: from, reference: *reference })
            }
            Signal::Down { reference, .. } => {
                Some(Track::DownSent { target: from, watcher: to, reference: *reference })
            }
            Signal::UnlinkAck { .. } | Signal::Exit(_) => None,
        };
        self.tracks.extend(track);
        Ok(self.put(from, |lane| frame::put_signal(lane, from, to.serial(), &signal)))
    }

    /// Queues a remote spawn for process `from`; returns the bytes that it adds to the queue.
    ///
    /// # Errors
    /// [`TooLarge`] when the arguments are above what the peer takes in one frame.
    pub fn spawn(&mut self, from: u64, request: &SpawnRequest) -> Result<usize, TooLarge> {
        let max = self.message_bytes_max.min(BULK_BYTES_MIN);
        if request.args.len() > max {
            return Err(TooLarge { len: request.args.len(), max });
        }
        let deadline_ms = u64::try_from(request.deadline.as_millis()).unwrap_or(u64::MAX);
        let (call, link, monitor) = (request.call, request.link, request.monitor);
        self.tracks.push(Track::Call { call, from, deadline_ms, link, monitor });
        Ok(self.put(from, |lane| frame::put_spawn(lane, from, request)))
    }

    /// Queues the answer to a remote spawn as the first frame of `child` (0 if there is none), with the link and the
    /// monitor that the caller has on it from the start.
    pub fn spawned(
        &mut self,
        child: u64,
        caller: Pid,
        request: &SpawnRequest,
        result: &Result<(), SpawnRefusal>,
    ) -> usize {
        if result.is_ok() {
            if request.link {
                self.tracks.push(Track::Linked { local: child, remote: caller });
            }
            if let Some(reference) = request.monitor {
                self.tracks.push(Track::Watched { target: child, watcher: caller, reference });
            }
        }
        self.put(child, |lane| frame::put_spawned(lane, child, request.call, result))
    }

    fn bulk(&mut self, from: u64, to: To<'_>, mut body: Bytes, carried: Carried) -> Result<usize, TooLarge> {
        self.fits(body.len())?;
        if planted!(Truncated) && !self.bulk.is_empty() {
            body.truncate(body.len() - 1);
        }
        let (id, len) = (self.next_bulk, body.len());
        self.next_bulk += 1;
        self.bulk.push(BulkBody { lane: self.lane_of(from), id, body });
        Ok(self.put(from, |lane| frame::put_bulk(lane, from, to, id, len as u64, carried)) + len)
    }

    fn put(&mut self, from: u64, write: impl FnOnce(&mut BytesMut)) -> usize {
        let index = self.lane_of(if planted!(OrderBreak) { self.frames } else { from });
        let lane = &mut self.lanes[index];
        let before = lane.len();
        write(lane);
        self.occupied |= 1 << index;
        self.frames += 1;
        lane.len() - before
    }

    fn fits(&self, len: usize) -> Result<(), TooLarge> {
        let max = self.message_bytes_max;
        if len > max { Err(TooLarge { len, max }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_above_the_peers_limit_leaves_nothing_behind() {
        let mut out = Outgoing::new(100);
        assert_eq!(out.message(1, To::Serial(2), &[0; 101]), Err(TooLarge { len: 101, max: 100 }));
        assert!(out.is_empty());
        let mut out = Outgoing::new(BULK_BYTES_MIN * 2);
        let body = Bytes::from(vec![0; BULK_BYTES_MIN * 2 + 1]);
        assert!(out.message_owned(1, To::Serial(2), body).is_err());
        assert!(out.is_empty() && out.bulk.is_empty());
    }

    #[test]
    fn signals_of_one_sender_share_a_lane_and_a_large_body_leaves_a_stub_there() {
        let mut out = Outgoing::new(1 << 20);
        let peer = Pid::new(Incarnation::from_raw(9), 4);
        out.signal(17, peer, Signal::Link).expect("fits");
        out.message(17, To::Name("svc"), b"small").expect("fits");
        let large = Bytes::from(vec![0; BULK_BYTES_MIN + 1]);
        let bytes = out.message_owned(17, To::Serial(4), large).expect("fits");
        assert!(bytes > BULK_BYTES_MIN);
        assert_eq!(out.occupied, 1 << out.lane_of(17));
        assert_eq!(out.frames, 3);
        assert_eq!(out.bulk.len(), 1);
        assert_eq!(out.tracks, [Track::Linked { local: 17, remote: peer }]);
    }
}
