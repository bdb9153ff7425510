//! Messages by name: to a process of a named node, and to whoever holds a global name.

use std::sync::Arc;

use regatta_proto::id::Name;
use regatta_proto::wire::frame::To;

use super::core::Core;
use super::error::NodeSendError;
use super::outbox::PeerLink;
use crate::actor::SendError;

impl Core {
    /// Sends to the process that `name` names on `node`, which may be this one. `None`: nothing was done, as a link must be waited for,
    /// or room on it: [`Self::send_when_ready`] does that.
    pub(crate) fn send_at_once(
        &self,
        node: &str,
        name: &str,
        body: &[u8],
    ) -> Option<Result<(), NodeSendError>> {
        if let Err(error) = Name::check(name) {
            return Some(Err(error.into()));
        }
        if node == self.id.name.as_str() {
            let sent = self.runtime.send_named(name, body.to_vec());
            return Some(sent.map_err(|source| NodeSendError::Local { name: name.to_owned(), source }));
        }
        let at_once = |link: &Arc<PeerLink>| link.has_room().then(|| self.send_by_name(link, name, body));
        self.peers.with(node, at_once).flatten()
    }

    /// Sends to the process that `name` names on another node, once it is linked and the link is below its high-water mark.
    pub(crate) async fn send_when_ready(
        &self,
        node: &str,
        name: &str,
        body: &[u8],
    ) -> Result<(), NodeSendError> {
        let no_connection = || NodeSendError::NoConnection { node: node.to_owned() };
        let link = self.reach(node).await.ok_or_else(no_connection)?;
        link.ready().await;
        self.send_by_name(&link, name, body)
    }

    /// Sends to whoever holds the global name, as this node sees it.
    pub(crate) async fn send_global(&self, name: &str, body: &[u8]) -> Result<(), NodeSendError> {
        let owner = self.names.read().get(name).map(|owner| (owner.node.clone(), owner.pid));
        let (node, pid) = owner.ok_or_else(|| NodeSendError::NoName { name: name.to_owned() })?;
        if pid.incarnation() == self.id.incarnation {
            let sent = self.runtime.try_send(pid, body.to_vec());
            return sent.map_err(|source| NodeSendError::Local { name: name.to_owned(), source });
        }
        let no_connection = || NodeSendError::NoConnection { node: node.to_string() };
        let link = self.reach(node.as_str()).await;
        let link =
            link.filter(|link| link.peer.incarnation == pid.incarnation()).ok_or_else(no_connection)?;
        link.ready().await;
        self.send_by_name(&link, name, body)
    }

    fn send_by_name(&self, link: &Arc<PeerLink>, name: &str, body: &[u8]) -> Result<(), NodeSendError> {
        let from = self.caller();
        let node = || link.peer.name.to_string();
        self.push(link, |outgoing| outgoing.message(from, To::Name(name), body)).map_err(
            |error| match error {
                SendError::TooLarge { len, max } => NodeSendError::TooLarge { node: node(), len, max },
                _ => NodeSendError::NoConnection { node: node() },
            },
        )
    }
}
