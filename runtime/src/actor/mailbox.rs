//! The shared half of a mailbox: the inbox that senders fill, and its bounds.
//!
//! The other half is the receiver's own: [`Context`](super::Context) swaps the whole inbox for its empty queue and works
//! that off without a lock, so a flood costs the receiver one lock per batch. What it took still counts against the
//! bounds, because the receiver publishes what it handled in `Handled`, which it alone writes.
//!
//! - `pushed - handled` is the depth, always.
//! - Messages obey the bounds; exits and downs use reserved room and are never refused.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::error::SendError;
use super::received::Received;

/// What happens to a message that finds its receiver's mailbox at a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OverflowPolicy {
    /// The sender gets [`SendError::MailboxFull`]; the mailbox stays as it is.
    #[default]
    Reject,
}

/// The bounds of one mailbox. Exits and downs use reserved room: they are taken above the bounds too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailboxLimits {
    /// Most entries that wait. Default 1,000,000.
    pub messages_max: u64,
    /// Most bytes of message bodies that wait. Default 64 MiB.
    pub bytes_max: u64,
    /// What happens to a message above a bound. Default: the sender is told.
    pub policy: OverflowPolicy,
}

impl Default for MailboxLimits {
    fn default() -> Self {
        Self { messages_max: 1_000_000, bytes_max: 64 * 1024 * 1024, policy: OverflowPolicy::Reject }
    }
}

/// One entry. As large as a `Bytes`: what is rare is boxed, so that a queue of messages stays dense.
#[derive(Debug)]
pub(crate) enum Envelope {
    /// A message.
    Message(Bytes),
    /// An exit or a down.
    Signal(Box<Received>),
}

impl Envelope {
    /// Bytes that count against [`MailboxLimits::bytes_max`].
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Message(payload) => payload.len() as u64,
            Self::Signal(_) => 0,
        }
    }
}

impl From<Envelope> for Received {
    fn from(envelope: Envelope) -> Self {
        match envelope {
            Envelope::Message(payload) => Self::Message(payload),
            Envelope::Signal(signal) => *signal,
        }
    }
}

/// What the receiver has handled since its start. Written by the receiver alone, read by anyone.
#[derive(Debug, Default)]
pub(crate) struct Handled {
    count: AtomicU64,
    bytes: AtomicU64,
}

impl Handled {
    /// The receiver handled (or threw away) `count` entries with `bytes` bytes.
    pub(crate) fn add(&self, count: u64, bytes: u64) {
        // One writer: a load and a store are enough, and cheaper than a read-modify-write.
        self.count.store(self.count.load(Ordering::Relaxed) + count, Ordering::Relaxed);
        self.bytes.store(self.bytes.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
    }

    /// Entries handled so far.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// The inbox. Lives under the cell's lock.
#[derive(Debug)]
pub(crate) struct Mailbox {
    inbox: VecDeque<Envelope>,
    limits: MailboxLimits,
    pushed: u64,
    pushed_bytes: u64,
    /// What was handled when a push last looked: it looks again only when there seems to be no room, so that a sender
    /// and a receiver on two cores do not meet at each message.
    handled: u64,
    handled_bytes: u64,
}

impl Mailbox {
    /// An empty one with these bounds.
    pub(crate) fn new(limits: MailboxLimits) -> Self {
        Self { inbox: VecDeque::new(), limits, pushed: 0, pushed_bytes: 0, handled: 0, handled_bytes: 0 }
    }

    /// Takes a message in, within the bounds.
    ///
    /// On refusal the message comes back, to be dropped outside of the lock.
    pub(crate) fn push(&mut self, payload: Bytes, handled: &Handled) -> Result<(), (SendError, Bytes)> {
        let bytes = payload.len() as u64;
        if !self.has_room(bytes) {
            (self.handled, self.handled_bytes) = (handled.count(), handled.bytes());
            if !self.has_room(bytes) {
                match self.limits.policy {
                    OverflowPolicy::Reject => return Err((SendError::MailboxFull, payload)),
                }
            }
        }
        self.pushed_bytes += bytes;
        self.pushed += 1;
        self.inbox.push_back(Envelope::Message(payload));
        Ok(())
    }

    /// Whether a message with so many bytes fits, as far as is known.
    fn has_room(&self, bytes: u64) -> bool {
        self.pushed - self.handled < self.limits.messages_max
            && self.pushed_bytes - self.handled_bytes + bytes <= self.limits.bytes_max
    }

    /// Entries that have arrived so far.
    pub(crate) fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Takes an exit or a down in, whatever the bounds say.
    pub(crate) fn push_signal(&mut self, signal: Received) {
        self.pushed += 1;
        self.inbox.push_back(Envelope::Signal(Box::new(signal)));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inbox.is_empty()
    }

    /// Moves everything to the end of the receiver's own queue. Returns whether there was anything.
    pub(crate) fn take(&mut self, queue: &mut VecDeque<Envelope>) -> bool {
        if self.inbox.is_empty() {
            return false;
        }
        if queue.is_empty() {
            std::mem::swap(&mut self.inbox, queue);
        } else {
            queue.append(&mut self.inbox);
        }
        true
    }

    /// Takes every entry out, at the process's end.
    pub(crate) fn clear(&mut self) -> VecDeque<Envelope> {
        std::mem::take(&mut self.inbox)
    }

    /// Entries and body bytes that wait, the receiver's own queue included.
    pub(crate) fn depth(&self, handled: &Handled) -> (u64, u64) {
        (self.pushed.saturating_sub(handled.count()), self.pushed_bytes.saturating_sub(handled.bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_receiver_took_but_did_not_handle_still_counts() {
        let limits = MailboxLimits { messages_max: 2, ..MailboxLimits::default() };
        let (mut mailbox, handled, mut own) = (Mailbox::new(limits), Handled::default(), VecDeque::new());
        let push = |mailbox: &mut Mailbox| mailbox.push(Bytes::from_static(b"x"), &handled);
        assert!(push(&mut mailbox).is_ok());
        assert!(push(&mut mailbox).is_ok());
        assert!(mailbox.take(&mut own));
        assert!(push(&mut mailbox).is_err(), "two entries wait in the receiver's own queue");
        handled.add(1, 1);
        assert!(push(&mut mailbox).is_ok());
        assert_eq!(mailbox.depth(&handled), (2, 2));
    }

    #[test]
    fn an_entry_is_no_larger_than_a_message() {
        assert_eq!(size_of::<Envelope>(), size_of::<Bytes>());
    }
}
