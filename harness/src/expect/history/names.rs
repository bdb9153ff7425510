//! In the end each global name has one owner, and all nodes that are linked with each other agree on it.

use std::collections::{BTreeMap, BTreeSet};

use super::{History, told};
use crate::record::What;

pub(super) fn check(history: &History) -> Result<(), String> {
    let mut owners: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    let mut links: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut running: BTreeSet<&str> = BTreeSet::new();
    for event in &history.events {
        match &event.what {
            What::Node { node, runs: true } => {
                running.insert(node);
            }
            What::Node { node, runs: false } => {
                running.remove(&**node);
                links.remove(&**node);
                owners.remove(&**node);
            }
            What::Link { node, peer, up } => {
                let peers = links.entry(node).or_default();
                if *up {
                    peers.insert(peer)
                } else {
                    peers.remove(&**peer)
                };
            }
            What::Name { node, name, owner } => {
                let known = owners.entry(node).or_default();
                match owner {
                    Some(owner) => known.insert(name, owner),
                    None => known.remove(&**name),
                };
            }
            _ => {}
        }
    }
    let mut wrong = Vec::new();
    let names: BTreeSet<&str> = owners.values().flat_map(BTreeMap::keys).copied().collect();
    for name in names {
        for node in &running {
            let mine = owners.get(node).and_then(|known| known.get(name));
            for peer in links.get(node).into_iter().flatten().filter(|peer| running.contains(**peer)) {
                let theirs = owners.get(peer).and_then(|known| known.get(name));
                if mine != theirs && node < peer {
                    let show = |owner: Option<&&str>| owner.map_or("nobody", |owner| *owner).to_owned();
                    wrong.push(format!(
                        "`{name}` is {}'s for `{node}` and {}'s for `{peer}`, which are linked",
                        show(mine),
                        show(theirs),
                    ));
                }
            }
            if let Some(owner) = mine.filter(|owner| !running.contains(**owner)) {
                wrong.push(format!("`{name}` is `{owner}`'s for `{node}`, and `{owner}` does not run"));
            }
        }
    }
    told(wrong)
}

#[cfg(test)]
mod tests {
    use super::super::testing::history;
    use super::*;

    fn name(node: &str, owner: Option<&str>) -> What {
        What::Name { node: node.into(), name: "x".into(), owner: owner.map(str::to_owned) }
    }

    fn with(more: Vec<What>) -> History {
        let runs = |node: &str| What::Node { node: node.into(), runs: true };
        let link = |node: &str, peer: &str| What::Link { node: node.into(), peer: peer.into(), up: true };
        let mut whats = vec![runs("a"), runs("b"), link("a", "b"), link("b", "a")];
        whats.extend(more);
        history(whats)
    }

    #[test]
    fn linked_nodes_agree_on_one_owner_that_runs() {
        assert_eq!(check(&with(vec![name("a", Some("a")), name("b", Some("a"))])), Ok(()));
        let two = with(vec![name("a", Some("a")), name("b", Some("b"))]);
        assert!(check(&two).unwrap_err().contains("`x` is a's for `a` and b's for `b`"));
        assert!(check(&with(vec![name("a", Some("a"))])).unwrap_err().contains("nobody's for `b`"));
        let apart = What::Link { node: "a".into(), peer: "b".into(), up: false };
        let back = What::Link { node: "b".into(), peer: "a".into(), up: false };
        assert_eq!(check(&with(vec![name("a", Some("a")), apart, back])), Ok(()), "they are not linked");
        let gone = What::Node { node: "b".into(), runs: false };
        assert!(check(&with(vec![name("a", Some("b")), gone])).unwrap_err().contains("does not run"));
    }
}
