//! At most one link to each peer: both ends decide by the same rule which one, before it carries a single message.
//!
//! Two nodes may dial each other at once, or one may dial twice. The exchange (see
//! [`wire::control`](crate::wire::control)) settles it as OTP's distribution handshake does:
//!
//! - The acceptor remembers every link whose hello it answered until it is confirmed or closed. It answers *linked* if
//!   it has a live link with that node, or has answered another hello of it. The dialer then drops the new link if it
//!   knows of any other one; if it does not, because its end of the old link is gone, it confirms, and that replaces the
//!   old link at the acceptor.
//! - If both dial at once, each may answer the other's hello before it hears of its own. Then the link of the node with
//!   the smaller name stays: the dialer with the greater name drops its own.
//! - Only the dialer confirms, and only a confirmed link carries messages. A dialer confirms a second link only after it
//!   has closed the first, so a confirmation always replaces what the acceptor had.
//!
//! A node that comes back with a higher incarnation, proven by a certificate, replaces its old self. With the shared
//! identity a name cannot be proven: the first live holder keeps it.
//!
//! **A conflict between a live link and an unproven newcomer is always decided for the live link.**

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{NodeId, NodeName};
use crate::link::close::CloseCode;
use crate::link::handshake::{Greeted, Refusal};

/// Where the engine keeps a link.
pub(crate) type LinkIndex = u32;

/// The links with one peer.
#[derive(Debug)]
struct Peer {
    id: NodeId,
    live: Option<LinkIndex>,
    /// Links whose hello we answered and which the peer has neither confirmed nor closed.
    answered: BTreeSet<LinkIndex>,
}

/// What to do with a link whose peer has introduced itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Go on; `linked` is what the acceptor answers, `ends` are links that this one replaces.
    Proceed { linked: bool, ends: Vec<LinkIndex> },
    /// Drop this link in favour of the other one, which is live or about to be.
    Duplicate,
    /// Turn the peer away.
    Refuse(Refusal),
}

/// All peers with a link, live or about to be.
#[derive(Debug)]
pub(crate) struct Mesh {
    me: NodeName,
    peers: BTreeMap<NodeName, Peer>,
}

impl Mesh {
    pub(crate) fn new(me: NodeName) -> Self {
        Self { me, peers: BTreeMap::new() }
    }

    /// The live link to a peer.
    pub(crate) fn live(&self, name: &str) -> Option<LinkIndex> {
        self.peers.get(name).and_then(|peer| peer.live)
    }

    /// Every live link, by the peer's name.
    pub(crate) fn live_links(&self) -> impl Iterator<Item = LinkIndex> {
        self.peers.values().filter_map(|peer| peer.live)
    }

    /// As acceptor: a hello came by `link`.
    pub(crate) fn hello(&mut self, link: LinkIndex, from: &Greeted) -> Verdict {
        let ends = match self.replace(from) {
            Ok(ends) => ends,
            Err(refusal) => return Verdict::Refuse(refusal),
        };
        let peer = self.peer(&from.id);
        let linked = peer.live.is_some() || !peer.answered.is_empty();
        peer.answered.insert(link);
        Verdict::Proceed { linked, ends }
    }

    /// As dialer: the peer answered our hello by `link`. `Proceed` means that the link is live from here on.
    pub(crate) fn welcome(&mut self, link: LinkIndex, from: &Greeted, linked: bool) -> Verdict {
        let mut ends = match self.replace(from) {
            Ok(ends) => ends,
            Err(refusal) => return Verdict::Refuse(refusal),
        };
        let i_yield = self.me > from.id.name;
        let peer = self.peer(&from.id);
        if peer.live.is_some() || !peer.answered.is_empty() && (linked || i_yield) {
            return Verdict::Duplicate;
        }
        ends.extend(std::mem::take(&mut peer.answered));
        peer.live = Some(link);
        Verdict::Proceed { linked, ends }
    }

    /// As acceptor: the dialer confirmed `link`, which is live from here on; returns the links that it replaces.
    pub(crate) fn confirmed(&mut self, link: LinkIndex, from: &Greeted) -> Result<Vec<LinkIndex>, Refusal> {
        let mut ends = self.replace(from)?;
        let peer = self.peer(&from.id);
        peer.answered.remove(&link);
        ends.extend(std::mem::take(&mut peer.answered));
        ends.extend(peer.live.replace(link));
        Ok(ends)
    }

    /// A link is gone, whatever it was.
    pub(crate) fn ended(&mut self, link: LinkIndex, peer: &NodeName) {
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.live = entry.live.filter(|live| *live != link && !planted!(LinkRemovedByName));
            entry.answered.remove(&link);
            if entry.live.is_none() && entry.answered.is_empty() {
                self.peers.remove(peer);
            }
        }
    }

    /// Whether the node may speak under its name, and which links of its former self end with that.
    fn replace(&mut self, from: &Greeted) -> Result<Vec<LinkIndex>, Refusal> {
        let Some(known) = self.peers.get_mut(&from.id.name) else { return Ok(Vec::new()) };
        if known.id.incarnation == from.id.incarnation {
            return Ok(Vec::new());
        }
        if !from.certified {
            let detail = format!("\"{}\" is the name of another node that is linked", from.id.name);
            return Err(Refusal::new(CloseCode::IdentityMismatch, detail));
        }
        if known.id.incarnation > from.id.incarnation {
            let detail = format!("\"{}\" has been started again since", from.id.name);
            // Not as a duplicate: the dialer would wait for another link, and there is none for it.
            return Err(Refusal::new(CloseCode::IdentityMismatch, detail));
        }
        known.id = from.id.clone();
        Ok(known.live.take().into_iter().chain(std::mem::take(&mut known.answered)).collect())
    }

    fn peer(&mut self, id: &NodeId) -> &mut Peer {
        self.peers.entry(id.name.clone()).or_insert_with(|| Peer {
            id: id.clone(),
            live: None,
            answered: BTreeSet::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Incarnation;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    fn greeted(name: &str, incarnation: u64, certified: bool) -> Greeted {
        let id =
            NodeId { name: NodeName::new(name).unwrap(), incarnation: Incarnation::from_raw(incarnation) };
        Greeted { id, certified, message_bytes_max: 1 }
    }

    fn proceed(linked: bool) -> Verdict {
        Verdict::Proceed { linked, ends: vec![] }
    }

    #[test]
    fn a_restarted_node_replaces_its_old_self_only_with_a_certificate() {
        let mut mesh = Mesh::new(NodeName::new("a").unwrap());
        assert_eq!(mesh.hello(0, &greeted("b", 1, true)), proceed(false));
        assert_eq!(mesh.confirmed(0, &greeted("b", 1, true)), Ok(vec![]));
        assert!(matches!(mesh.hello(1, &greeted("b", 2, false)), Verdict::Refuse(_)));
        assert_eq!(mesh.live("b"), Some(0));
        let restarted = Verdict::Proceed { linked: false, ends: vec![0] };
        assert_eq!(mesh.hello(2, &greeted("b", 2, true)), restarted);
        assert!(
            matches!(mesh.hello(3, &greeted("b", 1, true)), Verdict::Refuse(_)),
            "the old self is refused"
        );
    }

    #[test]
    fn a_dialer_that_lost_its_end_of_the_old_link_replaces_it() {
        let mut acceptor = Mesh::new(NodeName::new("a").unwrap());
        acceptor.confirmed(0, &greeted("b", 1, true)).unwrap();
        assert_eq!(acceptor.hello(1, &greeted("b", 1, true)), proceed(true));
        let mut dialer = Mesh::new(NodeName::new("b").unwrap());
        assert_eq!(dialer.welcome(7, &greeted("a", 1, true), true), proceed(true));
        assert_eq!(acceptor.confirmed(1, &greeted("b", 1, true)), Ok(vec![0]));
        assert_eq!(acceptor.live("b"), Some(1));
    }

    /// A tiny world: any number of dials between two nodes, messages of one link in order, links in any order.
    struct World {
        mesh: [Mesh; 2],
        /// Per link: who dialled, whether it is open at each end, and what is under way to (acceptor, dialer).
        links: Vec<(usize, [bool; 2], [VecDeque<Wire>; 2])>,
    }

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Wire {
        Hello,
        Welcome(bool),
        Confirm,
        Close,
    }

    impl World {
        fn close(&mut self, node: usize, link: usize) {
            let names = ["a", "b"].map(|name| NodeName::new(name).unwrap());
            if std::mem::take(&mut self.links[link].1[node]) {
                let was_live = self.mesh[node].live(names[1 - node].as_str()) == Some(link as u32);
                assert!(!was_live, "link {link} was dropped while it carried messages");
                self.mesh[node].ended(link as u32, &names[1 - node]);
                let to = self.end(1 - node, link);
                self.links[link].2[to].push_back(Wire::Close);
            }
        }

        /// 0 if `node` accepted the link, 1 if it dialled it.
        fn end(&self, node: usize, link: usize) -> usize {
            usize::from(self.links[link].0 == node)
        }

        fn receive(&mut self, node: usize, link: usize) {
            let end = self.end(node, link);
            let Some(wire) = self.links[link].2[end].pop_front() else { return };
            if !self.links[link].1[node] {
                return;
            }
            let from = greeted(["a", "b"][1 - node], 1 + (1 - node) as u64, true);
            let send = |world: &mut Self, wire| world.links[link].2[1 - end].push_back(wire);
            let was_live = self.mesh[node].live(["a", "b"][1 - node]);
            let verdict = match wire {
                Wire::Hello => self.mesh[node].hello(link as u32, &from),
                Wire::Welcome(linked) => self.mesh[node].welcome(link as u32, &from, linked),
                Wire::Confirm => {
                    let ends = self.mesh[node].confirmed(link as u32, &from).expect("same incarnation");
                    Verdict::Proceed { linked: false, ends }
                }
                Wire::Close => return self.close(node, link),
            };
            match verdict {
                Verdict::Proceed { linked, ends } => {
                    match wire {
                        Wire::Hello => send(self, Wire::Welcome(linked)),
                        Wire::Welcome(_) => send(self, Wire::Confirm),
                        _ => {}
                    }
                    assert!(
                        !ends.iter().any(|end| was_live == Some(*end)),
                        "a live link gave way to another"
                    );
                    for other in ends {
                        self.close(node, other as usize);
                    }
                }
                Verdict::Duplicate => self.close(node, link),
                Verdict::Refuse(refusal) => panic!("{refusal}"),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn however_two_nodes_dial_each_other_they_end_with_one_and_the_same_link(
            dialers in prop::collection::vec(0usize..2, 1..5),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        ) {
            let mesh = ["a", "b"].map(|name| Mesh::new(NodeName::new(name).unwrap()));
            let mut world = World { mesh, links: vec![] };
            for dialer in dialers {
                world.links.push((dialer, [true; 2], [VecDeque::from([Wire::Hello]), VecDeque::new()]));
            }
            let mut order = order.into_iter();
            loop {
                let busy: Vec<(usize, usize)> = (0..world.links.len())
                    .flat_map(|link| [(0, link), (1, link)])
                    .filter(|(node, link)| !world.links[*link].2[world.end(*node, *link)].is_empty())
                    .collect();
                if busy.is_empty() {
                    break;
                }
                let (node, link) = order.next().map_or(busy[0], |index| busy[index.index(busy.len())]);
                world.receive(node, link);
            }
            let live = [world.mesh[0].live("b"), world.mesh[1].live("a")];
            prop_assert!(live[0].is_some() && live[0] == live[1], "{:?}", live);
            let open = world.links.iter().filter(|(_, open, _)| open[0] && open[1]).count();
            prop_assert_eq!(open, 1);
        }
    }
}
