//! Members find each other, and find again whom they lost.

use std::time::Duration;

use regatta::cluster::{BindError, ClusterNodeBuilder, EventsError, NodeChange, NodeSendError};
use regatta::{ClusterCa, ClusterNode, ExitReason, Identity, Runtime, SendError};

use super::world::{Apart, Probe, anywhere, bind, link, run, shared};

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

/// A node that links with whom it must, and knows of `b` through `a`, to which alone it is linked.
async fn sparse(a: &ClusterNode, b: &ClusterNode, identity: &Identity) -> ClusterNode {
    let sparse = ClusterNode::builder("s", Runtime::new(), identity).connect_all(false).bind(anywhere());
    let sparse = sparse.expect("the node starts");
    link(&sparse, a).await;
    let hears = |s: &ClusterNode| s.members().iter().any(|member| member.id == *b.id());
    sparse.settled(hears).await;
    assert_eq!(sparse.peers(), ["a"]);
    sparse
}

/// Ends the node, and waits until none of the others has its link: a later one of its name is not taken for another node then.
async fn end(node: ClusterNode, others: [&ClusterNode; 2]) {
    node.shutdown();
    for other in others {
        other.settled(|other| !other.peers().iter().any(|peer| peer == node.name())).await;
    }
}

#[test]
fn a_node_that_does_not_connect_to_all_dials_whom_it_sends_to() {
    run(async {
        let identity = shared();
        let (a, b) = (bind("a", &identity), bind("b", &identity));
        link(&a, &b).await;
        let mut sink = Probe::start(&b);
        b.runtime().register("sink", sink.pid()).expect("it lives");
        b.register_spawnable("idle", |rt, _| rt.spawn(|_| async {}).pid());

        // Each in its own way, each from a node that is not linked with `b`.
        let s = sparse(&a, &b, &identity).await;
        s.send("b", "sink", b"by name").await.expect("it is dialled");
        assert_eq!(sink.message().await, "by name");
        assert_eq!(s.peers(), ["a", "b"]);
        end(s, [&a, &b]).await;

        let s = sparse(&a, &b, &identity).await;
        s.runtime().send(sink.pid(), "by pid").await.expect("it is dialled");
        assert_eq!(sink.message().await, "by pid");
        end(s, [&a, &b]).await;

        let s = sparse(&a, &b, &identity).await;
        let pid = sink.pid();
        let sends = s.runtime().spawn(move |ctx| async move {
            ctx.send_acked(pid, "acked", Duration::from_secs(20)).await.expect("it is dialled");
        });
        assert_eq!(sends.join().await, ExitReason::Normal);
        assert_eq!(sink.message().await, "acked");
        end(s, [&a, &b]).await;

        let s = sparse(&a, &b, &identity).await;
        s.spawn_remote("b", "idle", Vec::new()).await.expect("it is dialled");
        end(s, [&a, &b]).await;

        // Whoever never waits is told to come back.
        let s = sparse(&a, &b, &identity).await;
        assert_eq!(s.runtime().try_send(sink.pid(), "soon"), Err(SendError::Busy));
        s.settled(|s| s.peers() == ["a", "b"]).await;
        s.runtime().try_send(sink.pid(), "now").expect("it is linked");
        assert_eq!(sink.message().await, "now");
    });
}

#[test]
fn a_send_to_a_member_that_does_not_answer_ends_without_a_connection() {
    run(async {
        let identity = shared();
        let a = bind("a", &identity);
        let b = Apart::bind("b", &identity);
        link(&a, &b.node).await;
        let pid = b.node.runtime().spawn(|mut ctx| async move { drop(ctx.recv().await) }).pid();
        let s = sparse(&a, &b.node, &identity).await;
        let _gone = b.kill().await;
        let (by_pid, by_name) = tokio::join!(s.runtime().send(pid, "x"), s.send("b", "sink", b"x"));
        assert_eq!(by_pid, Err(SendError::NoConnection));
        assert!(matches!(by_name, Err(NodeSendError::NoConnection { .. })), "{by_name:?}");
        assert!(!s.peers().iter().any(|peer| peer == "b"));
    });
}
