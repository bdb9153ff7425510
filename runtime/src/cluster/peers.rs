//! Who this node is linked with, for senders: read on every send, replaced as a whole when a link comes or goes.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
#[derive(Debug)]
pub(crate) struct Peers {
    view: ArcSwap<View>,
    /// Another one for each view of each node: what a thread remembers is of one of them.
    version: AtomicU64,
    /// Incarnations that were replaced by a later start of the same node; the oldest are forgotten first.
    retired: Mutex<VecDeque<Incarnation>>,
    /// The last incarnation seen of each node that was linked once; if there are more than [`RETIRED_MAX`], of those that are.
    seen: Mutex<FxHashMap<NodeName, Incarnation>>,
}

/// A link that a thread has used.
struct Last {
    /// The version of the links that it was among.
    of: u64,
    link: Arc<PeerLink>,
}

thread_local! {
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

/// A version that no links have had.
fn fresh() -> u64 {
    static VERSIONS: AtomicU64 = AtomicU64::new(0);
    VERSIONS.fetch_add(1, Ordering::Relaxed)
}

impl Default for Peers {
    fn default() -> Self {
        Self {
            view: ArcSwap::default(),
            version: AtomicU64::new(fresh()),
            retired: Mutex::default(),
            seen: Mutex::default(),
        }
    }
}

impl Peers {
    fn store(&self, view: View) {
        self.view.store(Arc::new(view));
        // Whoever sees it sees the view.
        self.version.store(fresh(), Ordering::Release);
    }

    pub(crate) fn up(&self, link: PeerLink) {
        let (name, incarnation) = (link.peer.name.clone(), link.peer.incarnation);
        let link = Arc::new(link);
        let mut view = View::clone(&self.view.load());
        view.by_name.insert(name.clone(), link.clone());
        view.by_incarnation.insert(incarnation, link);
        self.store(view);
        let before = {
            let mut seen = self.seen.lock();
            let before = seen.insert(name, incarnation).filter(|before| *before != incarnation);
            if seen.len() > RETIRED_MAX {
                let view = self.view.load();
                seen.retain(|name, _| view.by_name.contains_key(name));
            }
            before
        };
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
        self.store(view);
        Some(peer)
    }

    /// All links are over: senders fail from now on.
    pub(crate) fn clear(&self) {
        let before = self.view.swap(Arc::default());
        self.version.store(fresh(), Ordering::Release);
        for link in before.by_name.values() {
            link.close();
        }
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<Arc<PeerLink>> {
        self.view.load().by_name.get(name).cloned()
    }

    /// Does something with the link to the node of this name, if there is one. Each thread remembers the one that it used last:
    /// who sends much sends much to one node.
    pub(crate) fn with<T>(&self, name: &str, act: impl FnOnce(&Arc<PeerLink>) -> T) -> Option<T> {
        // Before the view is read: what is remembered is never older than its version.
        let version = self.version.load(Ordering::Acquire);
        LAST.with(|place| {
            if let Ok(last) = place.try_borrow()
                && let Some(Last { of, link }) = &*last
                && *of == version
                && link.peer.name.as_str() == name
            {
                return Some(act(link));
            }
            let link = self.by_name(name)?;
            let result = act(&link);
            if let Ok(mut last) = place.try_borrow_mut() {
                *last = Some(Last { of: version, link });
            }
            Some(result)
        })
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

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.view.load().by_name.len()
    }

    /// All live links, by name.
    pub(crate) fn all(&self) -> Vec<Arc<PeerLink>> {
        let mut all: Vec<_> = self.view.load().by_name.values().cloned().collect();
        all.sort_by(|a, b| a.peer.name.cmp(&b.peer.name));
        all
    }
}
