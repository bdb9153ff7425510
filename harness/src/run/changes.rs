//! What changed from one look at the cluster to the next, as events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::observe::Views;
use crate::record::{Recorder, What};
use crate::world::view::NodeView;

/// What was seen last.
#[derive(Debug, Default)]
pub(super) struct Seen {
    views: Views,
}

impl Seen {
    /// What was seen last.
    pub(super) const fn views(&self) -> &Views {
        &self.views
    }

    /// Notes every difference to the last look.
    pub(super) fn look(&mut self, views: &Views, recorder: &Recorder) {
        let names: BTreeSet<&String> = self.views.keys().chain(views.keys()).collect();
        for node in names {
            let (before, now) = (self.views.get(node), views.get(node));
            if let (Some(before), Some(now)) = (before, now)
                && Arc::ptr_eq(before, now)
            {
                continue;
            }
            if before.is_some() != now.is_some() {
                recorder.note(What::Node { node: node.clone(), runs: now.is_some() });
            }
            let links = |view: Option<&Arc<NodeView>>| {
                view.map(|view| view.links.iter().cloned().collect::<BTreeSet<_>>()).unwrap_or_default()
            };
            let (old, new) = (links(before), links(now));
            for peer in old.symmetric_difference(&new) {
                let up = new.contains(peer);
                recorder.note(What::Link { node: node.clone(), peer: peer.clone(), up });
            }
            // Too many to be told of one by one.
            if now.is_some_and(|now| now.leaves_names_out()) {
                continue;
            }
            let owners = |view: Option<&Arc<NodeView>>| {
                view.map(|view| view.names().iter().cloned().collect::<BTreeMap<_, _>>()).unwrap_or_default()
            };
            let (old, new) = (owners(before), owners(now));
            for name in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
                if old.get(name) != new.get(name) {
                    let owner = new.get(name).cloned();
                    recorder.note(What::Name { node: node.clone(), name: name.clone(), owner });
                }
            }
        }
        self.views = views.clone();
    }
}
