//! Mailboxes under names, for a node that has no runtime of its own to keep them.

use std::sync::Arc;
use std::sync::RwLock;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::workload::Mailbox;

/// The table of one node.
#[derive(Default, Clone)]
pub(crate) struct Names(Arc<RwLock<Table>>);

type Table = FxHashMap<Box<[u8]>, UnboundedSender<Bytes>>;

/// The receiving end of a mailbox.
pub(crate) struct ChannelMailbox(UnboundedReceiver<Bytes>);

/// One reader's own copy of what it looked up, so that a delivery takes no lock.
pub(crate) struct Deliveries {
    names: Names,
    known: Table,
}

impl Mailbox for ChannelMailbox {
    type Message = Bytes;

    async fn recv(&mut self) -> Option<Bytes> {
        self.0.recv().await
    }
}

impl Names {
    /// A fresh mailbox under `name`; one that had the name before loses it.
    pub(crate) fn mailbox(&self, name: &str) -> ChannelMailbox {
        let (sender, receiver) = unbounded_channel();
        self.0.write().expect("no holder panics").insert(name.as_bytes().into(), sender);
        ChannelMailbox(receiver)
    }

    /// Deliveries to the mailboxes of this table.
    pub(crate) fn deliveries(&self) -> Deliveries {
        Deliveries { names: self.clone(), known: Table::default() }
    }
}

impl Deliveries {
    /// Puts `body` into the mailbox of `name`, if there is one.
    pub(crate) fn deliver(&mut self, name: &[u8], body: Bytes) {
        if !self.known.contains_key(name) {
            let names = self.names.0.read().expect("no holder panics");
            let Some(sender) = names.get(name) else { return };
            self.known.insert(name.into(), sender.clone());
        }
        // A process that has ended hears nothing more.
        let _ = self.known[name].send(body);
    }
}
