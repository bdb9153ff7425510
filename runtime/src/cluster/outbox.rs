//! The queue towards one peer: what processes have for it and the engine has not taken yet.
//!
//! A sender takes one lock, encodes its frame and lets go; nothing is awaited in between, so a sender that is killed
//! leaves the whole message or none. The first sender after the engine looked wakes the loop, the others only add.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use regatta_proto::host::LinkId;
use regatta_proto::id::NodeId;
use regatta_proto::link::budget::LinkBudget;
use regatta_proto::link::outgoing::{Outgoing, TooLarge};
use tokio::sync::Notify;

use crate::actor::SendError;

/// One live link as senders see it.
#[derive(Debug)]
pub(crate) struct PeerLink {
    pub(crate) peer: NodeId,
    pub(crate) link: LinkId,
    budget: Arc<LinkBudget>,
    /// `None` once the link is over.
    outgoing: Mutex<Option<Outgoing>>,
    /// In the list of links that the engine is to take from.
    scheduled: AtomicBool,
    room: Notify,
}

impl PeerLink {
    pub(crate) fn new(peer: NodeId, link: LinkId, budget: Arc<LinkBudget>, message_bytes_max: usize) -> Self {
        Self {
            peer,
            link,
            budget,
            outgoing: Mutex::new(Some(Outgoing::new(message_bytes_max))),
            scheduled: AtomicBool::new(false),
            room: Notify::new(),
        }
    }

    /// Queues what `put` puts; whether the loop must be told of this link.
    pub(crate) fn push(
        &self,
        put: impl FnOnce(&mut Outgoing) -> Result<usize, TooLarge>,
    ) -> Result<bool, SendError> {
        let mut outgoing = self.outgoing.lock();
        let Some(queue) = outgoing.as_mut() else { return Err(SendError::NoConnection) };
        let bytes = put(queue).map_err(|TooLarge { len, max }| SendError::TooLarge { len, max })?;
        // Counted under the lock: the engine cannot have taken it before it was counted.
        self.budget.add(bytes);
        drop(outgoing);
        Ok(!self.scheduled.swap(true, Ordering::AcqRel))
    }

    /// Lets the engine take what is queued.
    pub(crate) fn take(&self, take: impl FnOnce(&mut Outgoing)) {
        self.scheduled.store(false, Ordering::Release);
        if let Some(queue) = self.outgoing.lock().as_mut() {
            take(queue);
        }
    }

    /// The link is over: nothing can be queued any more; what was is given back.
    pub(crate) fn close(&self) -> Option<Outgoing> {
        let left = self.outgoing.lock().take();
        self.room.notify_waiters();
        left
    }

    /// Whether a message may be queued now. Signals other than messages always may.
    pub(crate) fn has_room(&self) -> bool {
        self.budget.has_room()
    }

    /// There is room again.
    pub(crate) fn writable(&self) {
        self.room.notify_waiters();
    }

    /// Resolves when a message may be queued, or the link is over.
    pub(crate) async fn ready(&self) {
        while !self.budget.has_room() {
            let mut room = std::pin::pin!(self.room.notified());
            room.as_mut().enable();
            // Asked again now that the notification cannot pass unseen.
            if self.budget.has_room() || self.outgoing.lock().is_none() {
                return;
            }
            room.await;
        }
    }
}
