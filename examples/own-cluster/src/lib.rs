//! A box office: one process sells numbered tickets, each number once.
//!
//! Nothing here knows of scenarios: this is what the crate ships.

use regatta::{ClusterNode, Context, Pid};

/// The office's name in the cluster.
pub const OFFICE: &str = "office";

/// Sells tickets.
#[derive(Debug, Default)]
pub struct Office {
    sold: u64,
}

impl Office {
    /// The number of the next ticket.
    pub fn sell(&mut self) -> u64 {
        self.sold += 1;
        self.sold
    }
}

/// Opens an office on a node: whoever sends it a message in which its own pid stands as text gets a number back.
pub fn open(node: &ClusterNode) -> Pid {
    let office = node.runtime().spawn(|mut context: Context| async move {
        let mut office = Office::default();
        while let Some(message) = context.recv().await.message() {
            let asker = std::str::from_utf8(&message).ok().and_then(|text| text.parse::<Pid>().ok());
            if let Some(asker) = asker {
                // Whoever went away meanwhile needs no ticket.
                let _ = context.send(asker, office.sell().to_string()).await;
            }
        }
    });
    node.register_global(OFFICE, office.pid());
    office.pid()
}
