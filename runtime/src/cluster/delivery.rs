//! Messages that are sent in another way than the ordered one: without order, in a datagram, or with word of their arrival.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use regatta_proto::host::{CallError, CallOutcome, Delivery};
use regatta_proto::id::Name;
use regatta_proto::link::outgoing::{Outgoing, TooLarge};
use regatta_proto::wire::frame::To;
use tokio::time::{Instant, timeout_at};

use super::core::Core;
use super::error::{NodeAckError, NodeSendError};
use super::outbox::PeerLink;
use crate::actor::{AckError, SendError};

impl Core {
    /// Sends without order to the process that `name` names on `node`. Waits while the link is above its high-water mark.
    pub(crate) async fn send_unordered_to_node(
        &self,
        node: &str,
        name: &str,
        body: &[u8],
    ) -> Result<(), NodeSendError> {
        let Some(link) = self.away(node, name).await? else { return self.send_here(name, body) };
        link.ready().await;
        self.put(&link, |from, outgoing| outgoing.message_unordered(from, To::Name(name), body))
    }

    /// Sends in a datagram to the process that `name` names on `node`. Never waits.
    pub(crate) fn send_datagram_to_node(
        &self,
        node: &str,
        name: &str,
        body: &[u8],
    ) -> Result<(), NodeSendError> {
        Name::check(name)?;
        if node == self.id.name.as_str() {
            return self.send_here(name, body);
        }
        let link = match self.peers.by_name(node) {
            Some(link) => link,
            None if self.wants(|id| id.name.as_str() == node) => {
                return Err(NodeSendError::Busy { node: node.to_owned() });
            }
            // It may have come up meanwhile.
            None => self
                .peers
                .by_name(node)
                .ok_or_else(|| NodeSendError::NoConnection { node: node.to_owned() })?,
        };
        if !link.has_room() {
            return Err(NodeSendError::Busy { node: node.to_owned() });
        }
        self.put(&link, |from, outgoing| outgoing.message_datagram(from, To::Name(name), body))
    }

    /// Sends to the process that `name` names on `node`, and waits for word of what became of it.
    pub(crate) async fn send_acked_to_node(
        &self,
        node: &str,
        name: &str,
        body: Bytes,
        timeout: Duration,
    ) -> Result<(), NodeAckError> {
        let whom = || (node.to_owned(), name.to_owned());
        let deadline = Instant::now() + timeout;
        let away = timeout_at(deadline, self.away(node, name)).await;
        let Some(link) = away.map_err(|_| NodeSendError::Busy { node: node.to_owned() })?? else {
            return match self.runtime.send_named(name, body) {
                Err(SendError::NoProc) => Err(NodeAckError::no_proc(whom())),
                Err(SendError::MailboxFull) => Err(NodeAckError::mailbox_full(whom())),
                sent => sent.map_err(|source| NodeSendError::Local { name: name.to_owned(), source }.into()),
            };
        };
        match self.acked(self.caller(), &link, To::Name(name), body, deadline).await {
            Ok(Delivery::Delivered) => Ok(()),
            Ok(Delivery::NoProc) => Err(NodeAckError::no_proc(whom())),
            Ok(Delivery::MailboxFull) => Err(NodeAckError::mailbox_full(whom())),
            Err(Unknown::NotSent(error)) => Err(node_error(node, &error).into()),
            Err(Unknown::Call(source)) => Err(NodeAckError::Unknown { node: node.to_owned(), source }),
        }
    }

    /// Sends by `link`, and waits for word of what became of it: at most until `deadline`, the wait for room included.
    pub(crate) async fn acked(
        &self,
        from: u64,
        link: &Arc<PeerLink>,
        to: To<'_>,
        body: Bytes,
        deadline: Instant,
    ) -> Result<Delivery, Unknown> {
        if timeout_at(deadline, link.ready()).await.is_err() {
            return Err(Unknown::NotSent(SendError::Busy));
        }
        let call = self.number();
        let outcome = self.begin_call(call).map_err(|error| match error {
            CallError::TooMany => Unknown::NotSent(SendError::Busy),
            _ => Unknown::NotSent(SendError::NoConnection),
        })?;
        let left = deadline.saturating_duration_since(Instant::now());
        if let Err(error) = self.push(link, |outgoing| outgoing.message_acked(from, to, body, call, left)) {
            self.call_ended(call, Err(CallError::NotSent));
            return Err(Unknown::NotSent(error));
        }
        match outcome.await.unwrap_or(Err(CallError::LinkLost)) {
            Ok(CallOutcome::Delivery(delivery)) => Ok(delivery),
            Ok(_) => Err(Unknown::Call(CallError::Refused("the peer answered something else".to_owned()))),
            Err(CallError::NotSent) => Err(Unknown::NotSent(SendError::NoConnection)),
            Err(error) => Err(Unknown::Call(error)),
        }
    }

    /// The link to `node`, or nothing if it is this one.
    async fn away(&self, node: &str, name: &str) -> Result<Option<Arc<PeerLink>>, NodeSendError> {
        Name::check(name)?;
        if node == self.id.name.as_str() {
            return Ok(None);
        }
        let no_connection = || NodeSendError::NoConnection { node: node.to_owned() };
        self.reach(node).await.map(Some).ok_or_else(no_connection)
    }

    fn send_here(&self, name: &str, body: &[u8]) -> Result<(), NodeSendError> {
        let sent = self.runtime.send_named(name, body.to_vec());
        sent.map_err(|source| NodeSendError::Local { name: name.to_owned(), source })
    }

    fn put(
        &self,
        link: &Arc<PeerLink>,
        put: impl FnOnce(u64, &mut Outgoing) -> Result<usize, TooLarge>,
    ) -> Result<(), NodeSendError> {
        let from = self.caller();
        let sent = self.push(link, |outgoing| put(from, outgoing));
        sent.map_err(|error| node_error(link.peer.name.as_str(), &error))
    }
}

/// Why it is not known what became of a message.
pub(crate) enum Unknown {
    /// It was not sent.
    NotSent(SendError),
    /// It was sent, and no answer came.
    Call(CallError),
}

impl From<Unknown> for AckError {
    fn from(unknown: Unknown) -> Self {
        match unknown {
            Unknown::NotSent(error) => Self::NotSent(error),
            Unknown::Call(CallError::Timeout) => Self::Timeout,
            Unknown::Call(_) => Self::ConnectionLost,
        }
    }
}

fn node_error(node: &str, error: &SendError) -> NodeSendError {
    let node = node.to_owned();
    match *error {
        SendError::TooLarge { len, max } => NodeSendError::TooLarge { node, len, max },
        SendError::Busy => NodeSendError::Busy { node },
        _ => NodeSendError::NoConnection { node },
    }
}
