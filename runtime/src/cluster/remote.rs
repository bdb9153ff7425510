//! The runtime's way to other nodes: signals of its processes go to the queue of the right link.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use regatta_proto::host::Delivery;
use regatta_proto::id::{Incarnation, Name, NodeName, Pid, Reference};
use regatta_proto::link::outgoing::Encoded;
use regatta_proto::signal::Signal;
use regatta_proto::wire::frame::To;
use tokio::time::{Instant, timeout_at};

use super::core::Core;
use crate::actor::{AckError, Acked, Remote, SendError, Way};

/// What the actor core sees of a node. The node owns its runtime, so this way back does not own the node.
pub(crate) struct Wire(pub(crate) Weak<Core>);

impl Wire {
    fn core(&self) -> Result<Arc<Core>, SendError> {
        self.0.upgrade().ok_or(SendError::NoConnection)
    }
}

impl Remote for Wire {
    fn signal(&self, from: u64, to: Pid, signal: Signal) -> Result<(), SendError> {
        let core = self.core()?;
        // Only messages wait, for a dial and for room: what ends or watches processes must get through, or fail at once.
        let is_message = matches!(signal, Signal::Message(_));
        let link =
            if is_message { core.link_to(to.incarnation())? } else { core.peers.find(to.incarnation())? };
        if is_message && !link.has_room() {
            return Err(SendError::Busy);
        }
        core.push(&link, |outgoing| outgoing.signal(from, to, signal))
    }

    fn request(
        &self,
        from: u64,
        to: Pid,
        name: Option<&Name>,
        reference: Option<Reference>,
        body: Bytes,
    ) -> Result<(), SendError> {
        let core = self.core()?;
        let link = core.link_to(to.incarnation())?;
        if !link.has_room() {
            return Err(SendError::Busy);
        }
        let target = name.map_or(To::Serial(to.serial()), |name| To::Name(name.as_str()));
        core.push(&link, |outgoing| outgoing.request(from, target, to.incarnation(), reference, body))
    }

    fn node(&self, name: &NodeName) -> Option<Incarnation> {
        let core = self.core().ok()?;
        if core.id.name == *name {
            return Some(core.id.incarnation);
        }
        if let Some(link) = core.peers.by_name(name.as_str()) {
            return Some(link.peer.incarnation);
        }
        // One that it has heard of can be dialled.
        core.heard_of(name)
    }

    fn whereis_global(&self, name: &Name) -> Option<Pid> {
        let core = self.core().ok()?;
        let names = core.names.read();
        names.get(name.as_str()).map(|owner| owner.pid)
    }

    fn message(&self, from: u64, to: Pid, payload: Bytes, way: Way) -> Result<(), SendError> {
        let core = self.core()?;
        let link = core.link_to(to.incarnation())?;
        if !link.has_room() {
            return Err(SendError::Busy);
        }
        let to = To::Serial(to.serial());
        core.push(&link, |outgoing| match way {
            Way::Unordered => outgoing.message_unordered(from, to, &payload),
            Way::Datagram => outgoing.message_datagram(from, to, &payload),
        })
    }

    fn acked(&self, from: u64, to: Pid, payload: Bytes, timeout: Duration) -> Acked<'_> {
        Box::pin(async move {
            let deadline = Instant::now() + timeout;
            let core = self.core()?;
            let link = match core.link_to(to.incarnation()) {
                Err(SendError::Busy) => {
                    let dialled = Core::dialled(self.0.clone(), to.incarnation());
                    timeout_at(deadline, dialled).await.map_err(|_| SendError::Busy)?;
                    core.peers.find(to.incarnation())?
                }
                found => found?,
            };
            match core.acked(from, &link, To::Serial(to.serial()), payload, deadline).await? {
                Delivery::Delivered => Ok(()),
                Delivery::NoProc => Err(AckError::NoProc),
                Delivery::MailboxFull => Err(AckError::MailboxFull),
            }
        })
    }

    fn ready(&self, to: Pid) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            // The node is let go before the wait: it may shut down meanwhile.
            let link = self.core().and_then(|core| core.link_to(to.incarnation()));
            match link {
                Ok(link) => link.ready().await,
                Err(SendError::Busy) => Core::dialled(self.0.clone(), to.incarnation()).await,
                Err(_) => {}
            }
        })
    }

    fn membership(&self, group: &Name, serial: u64, count: u32) {
        if let Ok(core) = self.core() {
            core.membership(group, serial, count);
        }
    }

    fn broadcast(&self, from: u64, group: &Name, payload: &Bytes, to: &[Pid]) -> Vec<Result<(), SendError>> {
        let core = match self.core() {
            Ok(core) => core,
            Err(error) => return vec![Err(error); to.len()],
        };
        let message = Encoded::new(from, group.clone(), payload.clone());
        let send = |pid: &Pid| {
            let link = core.peers.find(pid.incarnation())?;
            if !link.has_room() {
                return Err(SendError::Busy);
            }
            core.push(&link, |outgoing| outgoing.encoded(&message))
        };
        to.iter().map(send).collect()
    }

    fn ended(&self, serial: u64) {
        if let Ok(core) = self.core() {
            core.process_ended(serial);
        }
    }
}
