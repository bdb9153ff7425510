//! The shared half of a mailbox: the inbox that senders fill, and its bounds.
//!
//! The other half is the receiver's own: [`Context`](super::Context) swaps the whole inbox for its empty queue and works
//! that off without a lock, so a flood costs the receiver one lock per batch. What it took still counts against the
//! bounds, because the receiver publishes what it handled in `Handled`, which it alone writes.
//!
//! - `pushed - handled` is the depth, always.
//! - Messages obey the bounds; exits and downs use reserved room and are never refused.

use std::collections::VecDeque;

use bytes::Bytes;

#[cfg(doc)]
use super::error::SendError;
use super::letter::Posted;
use super::received::Received;
use crate::sync::atomic::{AtomicU64, Ordering};

/// What happens to a message that finds its receiver's mailbox at a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OverflowPolicy {
    /// The sender gets [`SendError::MailboxFull`]; the mailbox stays as it is.
    #[default]
    Reject,
    /// The message is dropped and counted ([`RuntimeStats::dropped_overflow`](super::RuntimeStats::dropped_overflow)); its sender
    /// is told nothing. A call is refused all the same: its caller waits.
    DropNewest,
    /// The messages that have waited longest are dropped and counted, until it fits. What a selective receive has passed over
    /// stays; if nothing else is there, the new message is dropped. The receiver takes messages one by one, which costs it a lock
    /// each.
    DropOldest,
    /// The receiver ends with the custom reason `mailbox overflow`, whether it traps exits or not. The
    /// sender gets [`SendError::MailboxFull`].
    ExitReceiver,
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
    /// Anything else.
    Other(Other),
}

/// An entry that is no message.
#[derive(Debug)]
pub(crate) enum Other {
    /// An exit or a down.
    Signal(Box<Received>),
    /// A typed message, for a server.
    Letter(Posted),
}

impl Envelope {
    /// Bytes that count against [`MailboxLimits::bytes_max`].
    #[inline]
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Message(payload) => payload.len() as u64,
            Self::Other(Other::Signal(_)) => 0,
            Self::Other(Other::Letter(letter)) => letter.bytes(),
        }
    }

    /// What a body may see of it.
    pub(crate) fn received(self) -> Result<Received, Posted> {
        match self {
            Self::Message(payload) => Ok(Received::Message(payload)),
            Self::Other(Other::Signal(signal)) => Ok(*signal),
            Self::Other(Other::Letter(letter)) => Err(letter),
        }
    }

    pub(crate) fn is_letter(&self) -> bool {
        matches!(self, Self::Other(Other::Letter(_)))
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
    #[inline]
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
    /// If there is no room, the message comes back: what becomes of it is the policy's.
    #[inline]
    pub(crate) fn push(&mut self, message: Envelope, handled: &Handled) -> Result<(), Envelope> {
        let bytes = message.bytes();
        if !self.has_room(bytes) {
            (self.handled, self.handled_bytes) = (handled.count(), handled.bytes());
            if !self.has_room(bytes) {
                return Err(message);
            }
        }
        self.pushed_bytes += bytes;
        self.pushed += 1;
        self.inbox.push_back(message);
        Ok(())
    }

    pub(crate) fn policy(&self) -> OverflowPolicy {
        self.limits.policy
    }

    /// Takes out the messages that have waited longest, until one of so many bytes fits or none is left. To be called after a
    /// push that found no room.
    pub(crate) fn evict(&mut self, bytes: u64) -> Vec<Envelope> {
        let mut evicted = Vec::new();
        let mut at = 0;
        while !self.has_room(bytes) && at < self.inbox.len() {
            if let Envelope::Other(Other::Signal(_)) = self.inbox[at] {
                at += 1;
                continue;
            }
            evicted.extend(self.inbox.remove(at).inspect(|message| {
                // As if it had never come: what came is what was handled, what the receiver has, and what is here.
                self.pushed -= 1;
                self.pushed_bytes -= message.bytes();
            }));
        }
        evicted
    }

    /// Whether a message with so many bytes fits, as far as is known.
    #[inline]
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
        self.inbox.push_back(Envelope::Other(Other::Signal(Box::new(signal))));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inbox.is_empty()
    }

    /// Moves everything to the end of the receiver's own queue, or one entry if the oldest may yet be dropped. Returns whether
    /// there was anything.
    #[inline]
    pub(crate) fn take(&mut self, queue: &mut VecDeque<Envelope>) -> bool {
        if self.inbox.is_empty() {
            return false;
        }
        if self.limits.policy == OverflowPolicy::DropOldest {
            queue.extend(self.inbox.pop_front());
            return true;
        }
        if queue.is_empty() {
            std::mem::swap(&mut self.inbox, queue);
        } else {
            queue.append(&mut self.inbox);
        }
        true
    }

    /// Gives the room of an empty inbox away, if it is for more than `kept` entries.
    pub(crate) fn shrink(&mut self, kept: usize) -> VecDeque<Envelope> {
        let large = self.inbox.is_empty() && self.inbox.capacity() > kept;
        if large { std::mem::take(&mut self.inbox) } else { VecDeque::new() }
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
        let push =
            |mailbox: &mut Mailbox| mailbox.push(Envelope::Message(Bytes::from_static(b"x")), &handled);
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
