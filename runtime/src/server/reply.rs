//! The answer to a call, now or later.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use regatta_proto::id::Pid;
use regatta_proto::signal::Unanswered;

use super::Server;
use super::exchange::Exchange;
use crate::actor::letter::{Letter, Request};

/// Somebody waits for an answer of the server `S`. It may be kept, moved to another process or task of the node, and answered
/// from there. If it is dropped, the caller is told at once that there will be none.
#[must_use = "the caller waits for an answer"]
pub struct ReplyTo<S: Server>(Option<Way<S>>);

enum Way<S: Server> {
    /// The caller is on this node.
    Here(Arc<Exchange<S>>),
    /// It is on another one.
    Away(Arc<Request>),
}

impl<S: Server> ReplyTo<S> {
    pub(super) fn here(exchange: Arc<Exchange<S>>) -> Self {
        Self(Some(Way::Here(exchange)))
    }

    pub(super) fn away(request: Arc<Request>) -> Self {
        Self(Some(Way::Away(request)))
    }

    /// Answers. Never waits; if the caller has given up, the answer is dropped.
    pub fn reply(mut self, answer: S::Reply) {
        match self.0.take() {
            Some(Way::Here(exchange)) => exchange.answer(Ok(answer)),
            Some(Way::Away(request)) => {
                request.answer(S::encode(&answer).map(Bytes::from).map_err(|_| Unanswered::BadReply));
            }
            None => {}
        }
    }

    /// The process that calls; serial 0 if the call was made outside of any.
    #[must_use]
    pub fn caller(&self) -> Pid {
        match self.0.as_ref().expect("it is there until it is answered") {
            Way::Here(exchange) => exchange.from,
            Way::Away(request) => request.from,
        }
    }

    /// Whether the caller still waits, as far as this node knows: one on another node seems to.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        match &self.0 {
            Some(Way::Here(exchange)) => exchange.is_waiting(),
            other => other.is_some(),
        }
    }
}

impl<S: Server> Drop for ReplyTo<S> {
    fn drop(&mut self) {
        match self.0.take() {
            Some(Way::Here(exchange)) => exchange.unanswered(Unanswered::NoReply),
            Some(Way::Away(request)) => request.unanswered(Unanswered::NoReply),
            None => {}
        }
    }
}

impl<S: Server> fmt::Debug for ReplyTo<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReplyTo").finish()
    }
}
