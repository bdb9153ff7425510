//! Nodes that come and go, as users hear of them.

use regatta_proto::id::NodeId;
use thiserror::Error;
use tokio::sync::broadcast;

pub use regatta_proto::host::{DownCause, Evidence, LinkEnd, NodeChange, Testimony};

/// Events that a subscriber may be behind.
const EVENTS_MAX: usize = 1_024;

/// Something happened to another node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeEvent {
    /// Which start of which node.
    pub node: NodeId,
    /// What happened to it.
    pub change: NodeChange,
}

impl NodeEvent {
    pub(crate) fn new(node: NodeId, change: NodeChange) -> Self {
        Self { node, change }
    }
}

/// Why there is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EventsError {
    /// The subscriber was too slow, and so many events are lost to it. The next ones follow. Look at
    /// [`ClusterNode::members`](crate::ClusterNode::members) to know where things stand.
    #[error("{0} events were missed")]
    Missed(u64),
    /// The node is gone: there will be no more.
    #[error("the node is gone")]
    Ended,
}

/// Nodes that come and go, since the subscription began.
#[derive(Debug)]
pub struct NodeEvents(broadcast::Receiver<NodeEvent>);

impl NodeEvents {
    /// Waits for the next event.
    ///
    /// # Errors
    /// [`EventsError`]: some were missed, or there will be no more. A wait that is given up loses nothing.
    pub async fn next(&mut self) -> Result<NodeEvent, EventsError> {
        self.0.recv().await.map_err(|error| match error {
            broadcast::error::RecvError::Lagged(missed) => EventsError::Missed(missed),
            broadcast::error::RecvError::Closed => EventsError::Ended,
        })
    }
}

/// All subscribers.
#[derive(Debug)]
pub(crate) struct Events(broadcast::Sender<NodeEvent>);

impl Default for Events {
    fn default() -> Self {
        Self(broadcast::Sender::new(EVENTS_MAX))
    }
}

impl Events {
    pub(crate) fn publish(&self, event: NodeEvent) {
        // An error means that nobody listens.
        let _ = self.0.send(event);
    }

    pub(crate) fn subscribe(&self) -> NodeEvents {
        NodeEvents(self.0.subscribe())
    }
}
