//! Signals that arrive on a link: from the bytes of its lanes to the host.

use bytes::Bytes;
use quinn_proto::{ReadError, StreamId};
use rustc_hash::FxHashMap;

use super::link::Link;
use super::open::protocol;
use super::{Engine, Stop};
use crate::cluster::calls::Calls;
use crate::cluster::watch::{SpawnWatches, Wanted, Watches};
use crate::host::{CallOutcome, Event, Host, LinkId};
use crate::id::{NodeId, Pid};
use crate::limits::ACKS_WANTED_MAX;
use crate::link::close::CloseCode;
use crate::link::handshake::Refusal;
use crate::link::receiver::{Ready, ReceiveError, Stream};
use crate::signal::Signal;
use crate::wire::frame::{self, Body, Frame, To};

impl Engine {
    /// There is something to read on a lane or on the stream of a large body.
    pub(super) fn read_signals(
        &mut self,
        link: &mut Link,
        id: StreamId,
        host: &mut impl Host,
    ) -> Result<(), Stop> {
        self.read_stream(link, id, false, host)?;
        while link.receiver.passes_fences() {
            // Nobody will say again that there is something to read on those that were held at their fence.
            let lane = |(id, stream): (&StreamId, &Stream)| match stream {
                Stream::Lane { lane, .. } => Some((*lane, *id)),
                _ => None,
            };
            let mut lanes: Vec<(u8, StreamId)> = link.streams.iter().filter_map(lane).collect();
            lanes.sort_unstable();
            for (_, id) in lanes {
                self.read_stream(link, id, true, host)?;
            }
        }
        Ok(())
    }

    /// Reads one stream as far as it goes; one that `resumes` was held at its fence.
    fn read_stream(
        &mut self,
        link: &mut Link,
        id: StreamId,
        resumes: bool,
        host: &mut impl Host,
    ) -> Result<(), Stop> {
        let Some(stream) = link.streams.get_mut(&id) else { return Ok(()) };
        if link.receiver.holds(stream) {
            return Ok(());
        }
        let peer = &link.peer.as_ref().expect("streams are read on live links only").id;
        let mut inbox = Inbox {
            host,
            peer,
            link: link.id,
            watches: &mut link.watches,
            calls: &mut self.calls,
            spawn_watches: &mut self.spawn_watches,
            acks_wanted: &mut link.acks_wanted,
            signals: 0,
        };
        let mut receive = link.connection.recv_stream(id);
        let Ok(mut chunks) = receive.read(true) else {
            link.streams.remove(&id);
            return Ok(());
        };
        let mut deliver = |ready: Ready<'_>| inbox.ready(ready);
        let resumed = if resumes { link.receiver.resume_lane(stream, &mut deliver) } else { Ok(()) };
        let result = loop {
            if let Err(error) = &resumed {
                break Err(refusal(error));
            }
            if link.receiver.holds(stream) {
                break Ok(false);
            }
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => {
                    if let Err(error) = link.receiver.chunk(stream, chunk.bytes, &mut deliver) {
                        break Err(refusal(&error));
                    }
                }
                Ok(None) => break Ok(true),
                Err(ReadError::Blocked) => break Ok(false),
                Err(ReadError::Reset(_)) => break Err(protocol("the peer reset a stream of signals")),
            }
        };
        // What flow control has to say goes out with the next datagram: the link is being looked at.
        let _ = chunks.finalize();
        let goes_on = matches!(result, Ok(false));
        let ended = if goes_on { None } else { link.streams.remove(&id) };
        let result = match (result, ended) {
            (Ok(_), Some(ended)) => link.receiver.end(ended, &mut deliver).map_err(|error| refusal(&error)),
            (result, _) => result.map(|_| ()),
        };
        self.stats.signals_received += inbox.signals;
        result?;
        if link.watches.len() > self.limits.watches_per_link_max {
            return Err(Refusal::new(CloseCode::Limit, "too many links and monitors across one link").into());
        }
        Ok(())
    }
}

fn refusal(error: &ReceiveError) -> Refusal {
    Refusal::new(if error.is_limit() { CloseCode::Limit } else { CloseCode::Protocol }, error)
}

/// What one frame needs to reach the host.
struct Inbox<'a, H> {
    host: &'a mut H,
    peer: &'a NodeId,
    link: LinkId,
    watches: &'a mut Watches,
    calls: &'a mut Calls,
    spawn_watches: &'a mut SpawnWatches,
    acks_wanted: &'a mut FxHashMap<u64, u64>,
    signals: u64,
}

impl<H: Host> Inbox<'_, H> {
    fn ready(&mut self, ready: Ready<'_>) -> Result<(), ReceiveError> {
        let (frame, body) = match ready {
            Ready::Message { from, to, body, ordered } => {
                let from = Pid::new(self.peer.incarnation, from);
                self.signal(from, to, Signal::Message(body), ordered);
                return Ok(());
            }
            Ready::Frame { frame, body } => (frame, body),
        };
        let Frame { from, body: content } = frame::read(&frame)?;
        let from = Pid::new(self.peer.incarnation, from);
        match content {
            Body::Signal { to, signal } => self.signal(from, to, signal, true),
            Body::Bulk { to, carried, .. } => {
                let body: Bytes = body.expect("a stub is ready with its body");
                self.signal(from, to, carried.with(body), true);
            }
            Body::Spawn(request) => {
                self.host.event(Event::SpawnRequested { link: self.link, caller: from, request });
            }
            Body::Spawned { call, result } => self.spawned(call, result.map(|()| from)),
            Body::AckWanted { call } => self.ack_wanted(from.serial(), call)?,
            Body::Acked { call, delivery } => {
                // After the deadline it is nobody's.
                if self.calls.answered(call, self.link.index) {
                    self.spawn_watches.take(call);
                    self.host.event(Event::Called { call, result: Ok(CallOutcome::Delivery(delivery)) });
                }
            }
            Body::Skipped => {}
        }
        Ok(())
    }

    fn signal(&mut self, from: Pid, to: To<'_>, signal: Signal, ordered: bool) {
        self.signals += 1;
        if let (To::Serial(to), false) = (to, matches!(signal, Signal::Message(_)))
            && !self.watches.received(from.serial(), to, &signal)
        {
            return;
        }
        let message = matches!(signal, Signal::Message(_));
        let delivery = self.host.deliver(from, to, signal);
        if message
            && ordered
            && !self.acks_wanted.is_empty()
            && let Some(call) = self.acks_wanted.remove(&from.serial())
        {
            self.host.event(Event::AckWanted { link: self.link, call, delivery });
        }
    }

    /// The sender's next message comes right behind this, as both keep the sender's order; a large body takes its time.
    fn ack_wanted(&mut self, from: u64, call: u64) -> Result<(), ReceiveError> {
        if self.acks_wanted.insert(from, call).is_some() {
            return Err(ReceiveError::NoMessage);
        }
        let max = ACKS_WANTED_MAX;
        if self.acks_wanted.len() > max { Err(ReceiveError::AcksWanted { max }) } else { Ok(()) }
    }

    fn spawned(&mut self, call: u64, result: Result<Pid, frame::SpawnRefusal>) {
        if !self.calls.answered(call, self.link.index) {
            // After the deadline, or to a call that was never made to this peer: nobody's.
            if let (Some(Wanted { caller, link, monitor }), Ok(child)) =
                (self.watches.answered_late(call), result)
            {
                self.host.event(Event::SpawnedLate { caller, child, link, monitor });
            }
            return;
        }
        if let (Some(wanted), Ok(child)) = (self.spawn_watches.take(call), &result) {
            self.watches.spawned(wanted, *child);
        }
        self.host.event(Event::Called { call, result: Ok(CallOutcome::Spawned(result)) });
    }
}
