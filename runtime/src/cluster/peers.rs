//! Who this node is linked with, for senders: read on every send, replaced as a whole when a link comes or goes.

use std::collections::VecDeque;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use regatta_proto::host::LinkId;
use regatta_proto::id::{Incarnation, NodeName};
use rustc_hash::FxHashMap;

use super::outbox::PeerLink;
use crate::actor::SendError;

/// Past incarnations that are remembered, so that their pids are told apart from those of unknown nodes.
const RETIRED_MAX: usize = 4_096;

/// One state of the links.
#[derive(Debug, Default, Clone)]
struct View {
    by_name: FxHashMap<NodeName, Arc<PeerLink>>,
    by_incarnation: FxHashMap<Incarnation, Arc<PeerLink>>,
}

/// The live links.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    view: ArcSwap<View>,
    /// Incarnations that were replaced by a later start of the same node; the oldest are forgotten first.
    retired: Mutex<VecDeque<Incarnation>>,
    /// The last incarnation seen of each node that was linked once, as many as there are retired ones.
    seen: Mutex<FxHashMap<NodeName, Incarnation>>,
}

impl Peers {
    pub(crate) fn up(&self, link: PeerLink) {
        let (name, incarnation) = (link.peer.name.clone(), link.peer.incarnation);
        let link = Arc::new(link);
        let mut view = View::clone(&self.view.load());
        view.by_name.insert(name.clone(), link.clone());
        view.by_incarnation.insert(incarnation, link);
        self.view.store(Arc::new(view));
        let before = self.seen.lock().insert(name, incarnation).filter(|before| *before != incarnation);
        if let Some(before) = before {
            let mut retired = self.retired.lock();
            retired.push_back(before);
            if retired.len() > RETIRED_MAX {
                retired.pop_front();
            }
        }
    }

    /// Removes the link with this very generation, if it is there.
    pub(crate) fn down(&self, link: LinkId) -> Option<Arc<PeerLink>> {
        let mut view = View::clone(&self.view.load());
        let peer = view.by_name.values().find(|peer| peer.link == link)?.clone();
        view.by_name.remove(&peer.peer.name);
        view.by_incarnation.remove(&peer.peer.incarnation);
        self.view.store(Arc::new(view));
        Some(peer)
    }

    /// All links are over: senders fail from now on.
    pub(crate) fn clear(&self) {
        let before = self.view.swap(Arc::default());
        for link in before.by_name.values() {
            link.close();
        }
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<Arc<PeerLink>> {
        self.view.load().by_name.get(name).cloned()
    }

    /// Does something with the link to the node of this name, if there is one.
    pub(crate) fn with<T>(&self, name: &str, act: impl FnOnce(&Arc<PeerLink>) -> T) -> Option<T> {
        self.view.load().by_name.get(name).map(act)
    }

    pub(crate) fn by_link(&self, link: LinkId) -> Option<Arc<PeerLink>> {
        self.view.load().by_name.values().find(|peer| peer.link == link).cloned()
    }

    /// The link to the node that runs this incarnation.
    ///
    /// # Errors
    /// [`SendError::StaleIncarnation`] if the node has been started again since, [`SendError::NoConnection`] otherwise.
    pub(crate) fn find(&self, incarnation: Incarnation) -> Result<Arc<PeerLink>, SendError> {
        match self.view.load().by_incarnation.get(&incarnation) {
            Some(link) => Ok(link.clone()),
            None if self.retired.lock().contains(&incarnation) => Err(SendError::StaleIncarnation),
            None => Err(SendError::NoConnection),
        }
    }

    /// All live links, by name.
    pub(crate) fn all(&self) -> Vec<Arc<PeerLink>> {
        let mut all: Vec<_> = self.view.load().by_name.values().cloned().collect();
        all.sort_by(|a, b| a.peer.name.cmp(&b.peer.name));
        all
    }
}
