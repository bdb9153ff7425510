//! Members find each other, and find again whom they lost.

use regatta::cluster::{BindError, ClusterNodeBuilder, EventsError, NodeChange};
use regatta::{ClusterCa, ClusterNode, Runtime};

use super::world::{bind, link, run, shared};

fn peers(node: &ClusterNode) -> Vec<String> {
    node.peers()
}

#[test]
fn nodes_that_dial_one_member_are_all_linked_with_each_other() {
    run(async {
        let ca = ClusterCa::generate().expect("a CA");
        let nodes = ["a", "b", "c", "d"].map(|name| bind(name, &ca.issue(name).expect("a certificate")));
        for node in &nodes[1..] {
            let to_a = nodes[0].local_addr().expect("it runs");
            node.connect(to_a).await.expect("the dial succeeds");
        }
        for node in &nodes {
            node.settled(|node| peers(node).len() == 3).await;
            assert_eq!(node.members().len(), 3);
            assert_eq!(node.stats().links_down, 0, "no link gave way after it was up");
        }
    });
}

#[test]
fn a_node_that_left_and_is_started_again_is_a_member_again() {
    run(async {
        let ca = ClusterCa::generate().expect("a CA");
        let [a_id, b_id] = ["a", "b"].map(|name| ca.issue(name).expect("a certificate"));
        let (a, b) = (bind("a", &a_id), bind("b", &b_id));
        let mut events = a.node_events();
        link(&a, &b).await;
        let (first, addr) = (b.id().clone(), b.local_addr().expect("it runs"));
        assert_eq!(
            events.next().await.map(|event| (event.node, event.change)),
            Ok((first.clone(), NodeChange::Up))
        );
        b.shutdown();
        b.ended().await;
        assert_eq!(
            events.next().await.map(|event| (event.node, event.change)),
            Ok((first, NodeChange::Left))
        );
        let again = ClusterNode::bind("b", Runtime::new(), addr, &b_id).expect("it starts");
        // A third one dials both: they learn of each other through it.
        let c = bind("c", &ca.issue("c").expect("a certificate"));
        link(&c, &a).await;
        link(&c, &again).await;
        a.settled(|a| peers(a) == ["b", "c"]).await;
        again.settled(|again| peers(again) == ["a", "c"]).await;
        drop(a);
        let ended = async {
            loop {
                match events.next().await {
                    Ok(_) => {}
                    Err(error) => return error,
                }
            }
        };
        assert_eq!(ended.await, EventsError::Ended);
    });
}

#[test]
fn a_node_that_is_bound_to_a_wildcard_says_where_it_can_be_dialled_or_stays_out_of_the_mesh() {
    run(async {
        let identity = shared();
        let everywhere = "0.0.0.0:0".parse().expect("an address");
        let start = |name: &str, choose: fn(ClusterNodeBuilder) -> ClusterNodeBuilder| {
            choose(ClusterNode::builder(name, Runtime::new(), &identity)).bind(everywhere)
        };
        let refused = start("a", |builder| builder);
        assert!(matches!(refused, Err(BindError::Advertised { .. })), "{refused:?}");
        let refused = start("a", |builder| builder.advertise("0.0.0.0:7".parse().expect("an address")));
        assert!(matches!(refused, Err(BindError::Advertised { .. })), "{refused:?}");
        start("a", |builder| builder.connect_all(false)).expect("it starts");
        let b = start("b", |builder| builder.advertise("127.0.0.1:0".parse().expect("an address")));
        let b = b.expect("it starts");
        let port = b.local_addr().expect("it runs").port();
        // Through a member that it dialled itself, a third one learns of the address that it advertises.
        let (a, c) = (bind("x", &identity), bind("y", &identity));
        b.connect(a.local_addr().expect("it runs")).await.expect("the dial succeeds");
        link(&c, &a).await;
        c.settled(|c| peers(c) == ["b", "x"]).await;
        let member = c.members().into_iter().find(|member| member.id.name.as_str() == "b").expect("known");
        assert_eq!(member.addrs, [([127, 0, 0, 1], port).into()]);
    });
}
