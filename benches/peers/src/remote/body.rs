//! A body that awaits its messages, run by the handler that an actor is called with for each.
//!
//! No task and no channel stands between the two. The actor owns the body's future and shares a slot for one message with
//! the body's mailbox. [`Body::handle`] puts a message into the slot and polls the future until it waits for the next one,
//! or has ended, all within the actor's own task. Whatever else the body awaits holds the handler, and with it the messages
//! that follow.
//!
//! What must stay true: the slot is empty whenever no handler runs, so no message is ever overwritten.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use crate::workload::Mailbox;

/// What a handler and its body's mailbox share. Only the actor's own task ever locks it.
#[derive(Default)]
struct Slot {
    /// The message that is handed over.
    message: Option<Vec<u8>>,
    /// Whether the body was last seen to wait for one.
    waits: bool,
}

/// The end of the slot that the body receives from.
pub(crate) struct SlotMailbox(Arc<Mutex<Slot>>);

impl Mailbox for SlotMailbox {
    type Message = Vec<u8>;

    async fn recv(&mut self) -> Option<Vec<u8>> {
        let message = poll_fn(|_| {
            // Nobody panics with the slot; were it so, it would still be whole.
            let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let message = slot.message.take();
            slot.waits = message.is_none();
            // No waker is kept: the handler polls the body again once it has a message.
            message.map_or(Poll::Pending, Poll::Ready)
        });
        Some(message.await)
    }
}

/// Whether a body wants to be called again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Now {
    /// It waits for its next message.
    Waits,
    /// It has ended.
    Ended,
}

/// A body, as its actor owns it.
pub(super) struct Body {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    slot: Arc<Mutex<Slot>>,
}

impl Body {
    /// A body that has not begun.
    pub(super) fn new<F, Fut>(body: F) -> Self
    where
        F: FnOnce(SlotMailbox) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let slot = Arc::<Mutex<Slot>>::default();
        Self { future: Box::pin(body(SlotMailbox(slot.clone()))), slot }
    }

    /// Runs the body until it waits for its first message: once, when its actor starts. A body that never waits keeps its
    /// actor here.
    pub(super) async fn begin(&mut self) -> Now {
        self.run().await
    }

    /// Hands `message` to the body, which waits for one, and runs it until it waits for the next.
    pub(super) async fn handle(&mut self, message: Vec<u8>) -> Now {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner).message = Some(message);
        self.run().await
    }

    async fn run(&mut self) -> Now {
        poll_fn(|cx| match self.future.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Now::Ended),
            Poll::Pending if self.slot.lock().unwrap_or_else(PoisonError::into_inner).waits => {
                Poll::Ready(Now::Waits)
            }
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_body_gets_each_message_and_holds_the_handler_while_it_awaits_something_else() {
        let (heard, hears) = mpsc::channel();
        let mut body = Body::new(move |mut mailbox| async move {
            let _ = heard.send(b"begun".to_vec());
            for _ in 0..2 {
                let message = mailbox.recv().await.expect("only messages arrive");
                tokio::task::yield_now().await;
                let _ = heard.send(message);
            }
        });
        assert_eq!(hears.try_recv(), Err(mpsc::TryRecvError::Empty), "nothing runs before its actor starts");
        assert_eq!(body.begin().await, Now::Waits);
        assert_eq!(body.handle(b"one".to_vec()).await, Now::Waits);
        assert_eq!(body.handle(b"two".to_vec()).await, Now::Ended);
        assert_eq!(
            hears.try_iter().collect::<Vec<_>>(),
            [b"begun".to_vec(), b"one".to_vec(), b"two".to_vec()]
        );
    }

    #[tokio::test]
    async fn a_body_that_never_receives_runs_to_its_end_when_it_begins() {
        let mut body = Body::new(|_| tokio::task::yield_now());
        assert_eq!(body.begin().await, Now::Ended);
    }
}
