use super::*;
use proptest::prelude::*;

fn id(index: usize) -> NodeId {
    let letter = char::from(b'a' + u8::try_from(index).unwrap());
    // Names and incarnations do not sort alike.
    let incarnation = Incarnation::from_raw(100 - index as u64);
    NodeId { name: NodeName::new(letter.to_string()).unwrap(), incarnation }
}

fn cut(one: usize, other: usize) -> (NodeId, NodeId) {
    (id(one), id(other))
}

/// Nodes that hear of each other only over their links, which carry all that is said.
struct World {
    views: Vec<View>,
    links: BTreeSet<(usize, usize)>,
}

impl World {
    /// Nodes of these kinds: sparse, hidden.
    fn new(kinds: &[(bool, bool)]) -> Self {
        let nodes = kinds.iter().enumerate();
        let views =
            nodes.map(|(node, (sparse, hidden))| View::new(id(node), *sparse, *hidden, 100)).collect();
        Self { views, links: BTreeSet::new() }
    }

    fn full(nodes: usize) -> Self {
        let mut world = Self::new(&vec![(false, false); nodes]);
        for one in 0..nodes {
            for other in one + 1..nodes {
                world.link(one, other);
            }
        }
        world.settle();
        world
    }

    fn link(&mut self, one: usize, other: usize) {
        if !self.links.insert((one.min(other), one.max(other))) {
            return;
        }
        for (at, peer) in [(one, other), (other, one)] {
            let introduction = self.views[peer].introduction();
            if let Some(links) = introduction {
                self.views[at].heard(&id(peer), &links);
            }
        }
        for (at, peer) in [(one, other), (other, one)] {
            // A hidden node is in nobody's row.
            if !self.views[peer].hidden {
                self.views[at].link_up(&id(peer));
            }
        }
    }

    /// The link ends, as one end notices, or both.
    fn lose(&mut self, one: usize, other: usize) {
        if self.links.remove(&(one.min(other), one.max(other))) {
            self.views[one].link_down(&id(other));
            self.views[other].link_down(&id(one));
        }
    }

    fn peers(&self, node: usize) -> Vec<usize> {
        let ends = self.links.iter().filter(|(one, other)| *one == node || *other == node);
        ends.map(|(one, other)| if *one == node { *other } else { *one }).collect()
    }

    fn tell(&mut self, node: usize) {
        let Some(news) = self.views[node].take_news() else { return };
        for peer in self.peers(node) {
            self.views[peer].heard(&id(node), &news);
        }
    }

    /// One node's pulse reaches a peer, which sends what the node may be missing if they differ.
    fn pulse(&mut self, node: usize, peer: usize) {
        if self.views[node].digest() != self.views[peer].digest() {
            for links in self.views[peer].rows_for(&id(node)) {
                self.views[node].heard(&id(peer), &links);
            }
        }
    }

    /// News and pulses, until all is said.
    fn settle(&mut self) {
        for _ in 0..self.views.len() + 1 {
            (0..self.views.len()).for_each(|node| self.tell(node));
            for (one, other) in self.links.clone() {
                self.pulse(one, other);
                self.pulse(other, one);
            }
        }
    }

    fn view(&self, node: usize) -> (Vec<usize>, Vec<(NodeId, NodeId)>) {
        let ClusterView { members, cuts } = self.views[node].compute();
        let index = |member: &NodeId| (0..self.views.len()).find(|node| id(*node) == *member).unwrap();
        (members.iter().map(index).collect(), cuts)
    }
}

#[test]
fn a_full_mesh_has_all_as_members_and_no_cuts() {
    let mut world = World::full(4);
    for node in 0..4 {
        assert_eq!(world.view(node), (vec![0, 1, 2, 3], vec![]));
        assert_eq!(world.views[node].digest(), world.views[0].digest());
    }
    assert_eq!(
        View::new(id(0), false, false, 9).compute().members,
        [id(0)],
        "a node alone is its own member"
    );
}

#[test]
fn a_pair_without_a_link_is_cut_for_all_and_still_a_member() {
    let mut world = World::full(4);
    world.lose(1, 3);
    world.settle();
    for node in 0..4 {
        assert_eq!(world.view(node), (vec![0, 1, 2, 3], vec![cut(1, 3)]), "as {node} sees it");
    }
    assert_eq!(world.views[1].seen_by(id(3).incarnation), [id(2).name, id(0).name]);
    assert_ne!(world.views[1].digest(), World::full(4).views[1].digest());
    world.link(1, 3);
    world.settle();
    assert!((0..4).all(|node| world.view(node).1.is_empty()));
}

#[test]
fn a_node_without_links_is_no_member_whatever_it_said_before() {
    let mut world = World::full(4);
    (0..3).for_each(|node| world.lose(node, 3));
    world.settle();
    for node in 0..3 {
        assert_eq!(world.view(node), (vec![0, 1, 2], vec![]));
        assert!(world.views[node].seen_by(id(3).incarnation).is_empty());
    }
    assert_eq!(world.view(3), (vec![3], vec![]));
}

#[test]
fn a_link_is_one_that_both_ends_speak_of() {
    let mut world = World::full(3);
    // Only one end has noticed; its word is enough.
    world.views[0].link_down(&id(2));
    world.settle();
    assert_eq!(world.view(1), (vec![0, 1, 2], vec![cut(0, 2)]));
}

#[test]
fn in_a_chain_rows_are_passed_on_to_those_who_cannot_have_them_from_their_owners() {
    let mut world = World::full(6);
    for one in 0..6 {
        for other in one + 2..6 {
            world.lose(one, other);
        }
    }
    world.settle();
    for node in 0..6 {
        assert_eq!(world.view(node).0.len(), 6);
        assert_eq!(world.view(node).1.len(), 10);
    }
}

#[test]
fn a_sparse_nodes_missing_links_are_no_cuts_and_a_hidden_node_is_in_nobodys_view() {
    let mut world = World::new(&[(false, false), (false, false), (true, false), (false, true)]);
    world.link(0, 1);
    world.link(0, 2);
    world.link(0, 3);
    world.settle();
    for node in 0..4 {
        assert_eq!(world.view(node), (vec![0, 1, 2], vec![]), "as {node} sees it");
        assert_eq!(world.views[node].digest(), world.views[0].digest());
    }
    assert_eq!(world.views[3].introduction(), None);
}

#[test]
fn what_is_passed_on_does_not_replace_what_the_owner_says_itself() {
    let mut world = World::full(3);
    let forged = control::Links {
        node: "c".into(),
        incarnation: id(2).incarnation.raw(),
        version: 1_000_000,
        ..control::Links::default()
    };
    world.views[0].heard(&id(1), &forged);
    assert_eq!(world.view(0).1, []);
    let in_my_name =
        control::Links { node: "a".into(), incarnation: id(0).incarnation.raw(), ..forged.clone() };
    world.views[0].heard(&id(1), &in_my_name);
    let under_another_name = control::Links { node: "x".into(), ..forged };
    world.views[0].heard(&id(2), &under_another_name);
    assert_eq!(world.view(0), (vec![0, 1, 2], vec![]));
}

#[test]
fn rows_are_bounded_in_number_and_length_and_forgotten_when_there_are_many() {
    let mut view = View::new(id(0), false, false, 10);
    let row = |incarnation: u64, linked: Vec<u64>| control::Links {
        node: format!("n{incarnation}"),
        incarnation,
        version: 1,
        linked,
        ..control::Links::default()
    };
    view.link_up(&id(1));
    for incarnation in 1_000..2_000 {
        view.heard(&id(1), &row(incarnation, vec![]));
    }
    assert_eq!(view.rows.len(), 11);
    view.heard(
        &id(1),
        &control::Links { node: "b".into(), ..row(id(1).incarnation.raw(), (0..11).collect()) },
    );
    assert!(view.rows.values().all(|row| row.linked.len() <= 10));
    let mut view = View::new(id(0), false, false, 100);
    view.link_up(&id(1));
    for incarnation in 1_000..1_050 {
        view.heard(&id(1), &row(incarnation, vec![]));
    }
    view.prune(|incarnation| incarnation.raw() == 1_007);
    assert_eq!(view.rows.keys().map(|node| node.raw()).collect::<Vec<_>>(), [100, 1_007]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever links come and go, in whatever order it is heard of: all who reach each other see the same, and it is
    /// what is there.
    #[test]
    fn all_who_reach_each_other_end_with_one_view(
        changes in prop::collection::vec((0usize..6, 0usize..6, any::<bool>(), 0usize..6), 0..40),
    ) {
        let mut world = World::full(6);
        for (one, other, is_link, tells) in changes {
            match (one == other, is_link) {
                (true, _) => {}
                (false, true) => world.link(one, other),
                (false, false) => world.lose(one, other),
            }
            // Some news wait for others.
            world.tell(tells);
        }
        world.settle();
        for node in 0..6 {
            let mut side = BTreeSet::from([node]);
            for _ in 0..6 {
                let more: Vec<usize> = side.iter().flat_map(|node| world.peers(*node)).collect();
                side.extend(more);
            }
            let pairs = side.iter().flat_map(|one| side.iter().map(move |other| (*one, *other)));
            let cuts = pairs.filter(|(one, other)| one < other && !world.links.contains(&(*one, *other)));
            let cuts: Vec<_> = cuts.map(|(one, other)| cut(one, other)).collect();
            prop_assert_eq!(world.view(node), (side.iter().copied().collect(), cuts));
            let digest = world.views[node].digest();
            for other in side {
                prop_assert_eq!(world.views[other].digest(), digest);
            }
        }
    }
}
