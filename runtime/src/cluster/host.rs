//! The node as its engine sees it: deliveries go to the runtime, events to whoever waits for them.

use std::time::Instant;

use regatta_proto::host::{Delivery, Event, Host, LinkId};
use regatta_proto::id::Pid;
use regatta_proto::link::outgoing::Outgoing;
use regatta_proto::signal::Signal;
use regatta_proto::wire::frame::To;

use super::core::{Core, Work};
use super::events::NodeEvent;
use super::outbox::PeerLink;
use crate::actor::SendError;

/// The host of one call into the engine.
pub(crate) struct NodeHost<'a> {
    core: &'a Core,
    now: Instant,
    work: Vec<Work>,
    abandoned: Vec<(LinkId, Outgoing)>,
}

impl<'a> NodeHost<'a> {
    pub(crate) fn new(core: &'a Core, now: Instant) -> Self {
        Self { core, now, work: Vec::new(), abandoned: Vec::new() }
    }

    /// What was queued for links that ended.
    pub(crate) fn take_abandoned(&mut self) -> Vec<(LinkId, Outgoing)> {
        std::mem::take(&mut self.abandoned)
    }

    pub(crate) fn into_work(self) -> Vec<Work> {
        self.work
    }

    fn changed(&self) {
        self.core.changes.send_modify(|count| *count += 1);
    }
}

impl Host for NodeHost<'_> {
    fn deliver(&mut self, from: Pid, to: To<'_>, signal: Signal) -> Delivery {
        let delivered = match to {
            To::Serial(serial) => self.core.runtime.deliver(from, serial, signal),
            To::Name(name) => self.core.runtime.deliver_named(from, name, signal),
            To::Group(group) => {
                if let Signal::Message(payload) = signal {
                    self.core.runtime.deliver_group(group, &payload);
                }
                Ok(())
            }
        };
        // What cannot be delivered is counted by the runtime.
        match delivered {
            Ok(()) => Delivery::Delivered,
            Err(SendError::MailboxFull) => Delivery::MailboxFull,
            Err(_) => Delivery::NoProc,
        }
    }

    fn event(&mut self, event: Event) {
        let core = self.core;
        match event {
            Event::Dialed { token, result } => {
                if let Some(dial) = core.dials.lock().remove(&token) {
                    // Whoever dialled may have stopped waiting.
                    let _ = dial.send(result);
                }
            }
            Event::Up { peer, link, dialed, budget, message_bytes_max } => {
                tracing::info!(node = %core.id.name, %peer, generation = link.generation, dialed, "link up");
                core.peers.up(PeerLink::new(peer, link, budget, message_bytes_max));
                self.changed();
            }
            Event::Down { peer, link, cause } => {
                tracing::info!(node = %core.id.name, %peer, generation = link.generation, %cause, "link down");
                let left = core.peers.down(link).and_then(|peer| peer.close());
                self.abandoned.extend(left.map(|outgoing| (link, outgoing)));
                self.changed();
            }
            Event::Node { node, change } => {
                tracing::info!(node = %core.id.name, peer = %node, %change, "member");
                core.events.publish(NodeEvent::new(node, change));
                self.changed();
            }
            Event::Unreached { node } => {
                tracing::info!(node = %core.id.name, peer = %node, "a node that was to be sent to does not answer");
                self.changed();
            }
            Event::View => self.changed(),
            Event::Rejected { addr, detail } => {
                if let Some(left_out) = core.rejections.lock().admit(self.now) {
                    tracing::warn!(node = %core.id.name, %addr, %detail, left_out, "a peer was turned away");
                }
                self.changed();
            }
            Event::Writable { link } => {
                if let Some(peer) = core.peers.by_link(link) {
                    peer.writable();
                }
            }
            Event::Name { name, owner } => {
                let mut names = core.names.write();
                match owner {
                    Some(owner) => names.insert(name, owner),
                    None => names.remove(name.as_str()),
                }
                drop(names);
                self.changed();
            }
            Event::Member { group, pid, count } => {
                core.runtime.remote_membership(&group, pid, count);
                self.changed();
            }
            Event::NameLost { name, serial, winner, policy } => {
                self.work.push(Work::NameLost { name, serial, winner, policy });
            }
            Event::NameKept { name, serial, loser, policy } => {
                self.work.push(Work::NameKept { name, serial, loser, policy });
            }
            Event::NameClash { name, serial, other, claimed_at } => {
                self.work.push(Work::NameClash { name, serial, other, claimed_at });
            }
            Event::Confirmed { call, result } => {
                if let Some(confirm) = core.confirms.lock().remove(&call) {
                    // Whoever asked may have stopped waiting, and then gives the name up.
                    let _ = confirm.send(result);
                }
            }
            Event::NameUnconfirmed { name, serial, token, policy } => {
                self.work.push(Work::NameUnconfirmed { name, serial, token, policy });
            }
            Event::SpawnRequested { link, caller, request } => {
                self.work.push(Work::Spawn { link, caller, request });
            }
            Event::AckWanted { link, call, delivery } => {
                if let Some(peer) = core.peers.by_link(link) {
                    // Without the link there is nobody to answer.
                    let _ = core.push(&peer, |outgoing| Ok(outgoing.acked(call, delivery)));
                }
            }
            Event::Asked { link, stream, question } => {
                self.work.push(Work::Answer { link, stream, question });
            }
            Event::Called { call, result } => core.call_ended(call, result),
            Event::SpawnedLate { caller, child, link, monitor } => {
                core.runtime.disown_remote(caller, child, link, monitor);
            }
            Event::WatcherLost { target, watcher, reference } => {
                core.runtime.forget_remote_watcher(target, watcher, reference);
            }
        }
    }

    fn wall_ms(&self) -> u64 {
        self.core.runtime.clock().unix_us() / 1_000
    }
}
