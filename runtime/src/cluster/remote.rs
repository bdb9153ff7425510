//! The runtime's way to other nodes: signals of its processes go to the queue of the right link.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use regatta_proto::id::Pid;
use regatta_proto::signal::Signal;

use super::core::Core;
use crate::actor::{Remote, SendError};

/// What the actor core sees of a node.
pub(crate) struct Wire(pub(crate) Arc<Core>);

impl Remote for Wire {
    fn signal(&self, from: u64, to: Pid, signal: Signal) -> Result<(), SendError> {
        let link = self.0.peers.find(to.incarnation())?;
        // Only messages wait for room: what ends or watches processes must get through.
        if matches!(signal, Signal::Message(_)) && !link.has_room() {
            return Err(SendError::Busy);
        }
        self.0.push(&link, |outgoing| outgoing.signal(from, to, signal))
    }

    fn ready(&self, to: Pid) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            if let Ok(link) = self.0.peers.find(to.incarnation()) {
                link.ready().await;
            }
        })
    }

    fn ended(&self, serial: u64) {
        self.0.process_ended(serial);
    }
}
