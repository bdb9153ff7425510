//! A node that is gone without a word, over UDP.

use regatta::cluster::{DownCause, LinkEnd, NodeChange, NodeEvents};
use regatta::{ClusterCa, ClusterNode, NodeId, Received, Runtime};

use super::world::{Apart, Probe, bind, link, run};

/// The next change of a node that is more than a suspicion, which a machine under load may raise and lift at any time.
async fn change_of(events: &mut NodeEvents, node: &str) -> NodeChange {
    loop {
        let event = events.next().await.expect("the node runs");
        let is_suspicion = matches!(event.change, NodeChange::Suspect | NodeChange::Trusted);
        if event.node.name.as_str() == node && !is_suspicion {
            return event.change;
        }
    }
}

/// Waits until each of these nodes sees exactly these, and nothing between them is cut.
async fn agree<const N: usize>(nodes: [&ClusterNode; N]) {
    let all: Vec<NodeId> = nodes.iter().map(|node| node.id().clone()).collect();
    for node in nodes {
        node.settled(|node| node.view().members == all && node.view().cuts.is_empty()).await;
    }
}

#[test]
fn a_node_that_is_gone_without_a_word_is_found_down_and_its_next_start_is_found_too() {
    run(async {
        let ca = ClusterCa::generate().expect("a CA");
        let [a_id, b_id, c_id] = ["a", "b", "c"].map(|name| ca.issue(name).expect("a certificate"));
        let (a, b) = (bind("a", &a_id), bind("b", &b_id));
        let c = Apart::bind("c", &c_id);
        link(&b, &a).await;
        link(&c.node, &a).await;
        b.settled(|b| b.peers() == ["a", "c"]).await;
        let (addr, process) = (c.node.local_addr().expect("it runs"), Probe::start(&c.node));
        assert!(c.node.register_global("svc", process.pid()));
        a.settled(|a| a.whereis_global("svc").is_some()).await;
        let mut watcher = Probe::start(&a);
        let watched = process.pid();
        watcher.act(move |ctx| ctx.monitor(watched)).await;
        let mut events = a.node_events();
        // Its loop stops in the middle of its life: no link is closed.
        let _dead = c.kill().await;
        let NodeChange::Down { evidence } = change_of(&mut events, "c").await else { panic!("not down") };
        assert_eq!(evidence.cause, DownCause::LinkEnd(LinkEnd::Silence));
        assert_eq!(a.why_down("c"), Some(*evidence));
        assert!(matches!(watcher.next().await, Received::Down { .. }));
        assert_eq!(a.whereis_global("svc"), None);
        agree([&a, &b]).await;
        let again = ClusterNode::bind("c", Runtime::new(), addr, &c_id).expect("it starts");
        assert_eq!(change_of(&mut events, "c").await, NodeChange::Up);
        agree([&a, &b, &again]).await;
    });
}
