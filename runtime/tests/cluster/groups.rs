//! Process groups across nodes, as users see them.

use std::time::Duration;

use regatta::actor::GroupSent;
use regatta::{Bytes, ClusterNode, Limits, Pid, Received, Runtime};

use super::world::{Probe, anywhere, bind, link, pair, run, shared};

/// Waits until the node sees these members, each as often as it has joined.
async fn sees(node: &ClusterNode, group: &str, members: &[&Probe]) {
    let mut expected: Vec<Pid> = members.iter().map(|member| member.pid()).collect();
    expected.sort();
    node.settled(|node| node.runtime().group_members(group) == expected).await;
}

#[test]
fn members_that_joined_before_and_after_the_link_are_known_on_all_nodes() {
    run(async {
        let identity = shared();
        let nodes = ["a", "b", "c"].map(|name| bind(name, &identity));
        let [a, b, c] = &nodes;
        let (early, late) = (Probe::start(a), Probe::start(b));
        for _ in 0..2 {
            a.runtime().join_group("g", early.pid()).expect("it is alive");
        }
        for (from, to) in [(b, a), (c, a), (c, b)] {
            link(from, to).await;
        }
        b.runtime().join_group("g", late.pid()).expect("it is alive");
        for node in &nodes {
            sees(node, "g", &[&early, &early, &late]).await;
        }
        assert_eq!(c.runtime().local_group_members("g"), []);
        assert!(a.runtime().leave_group("g", early.pid()));
        assert!(!c.runtime().leave_group("g", late.pid()), "only its own node takes it out");
        for node in &nodes {
            sees(node, "g", &[&early, &late]).await;
        }
        late.process.kill();
        for node in &nodes {
            sees(node, "g", &[&early]).await;
        }
        early.process.kill();
        c.settled(|c| c.runtime().groups_with_members().is_empty()).await;
    });
}

#[test]
fn members_that_joined_before_their_runtime_had_a_node_are_told_too() {
    run(async {
        let (identity, runtime) = (shared(), Runtime::new());
        let process = runtime.spawn(|_| std::future::pending::<()>());
        runtime.join_group("g", process.pid()).expect("it is alive");
        let a = ClusterNode::bind("a", runtime, anywhere(), &identity).expect("the node starts");
        let b = bind("b", &identity);
        link(&b, &a).await;
        b.settled(|b| b.runtime().group_members("g") == [process.pid()]).await;
    });
}

#[test]
fn a_message_to_a_group_goes_to_each_node_once_and_to_each_process_there_once() {
    run(async {
        let (a, b) = pair().await;
        let mut members = [Probe::start(&a), Probe::start(&b), Probe::start(&b)];
        for (node, member) in [(&a, 0), (&b, 1), (&b, 1), (&b, 2)] {
            node.runtime().join_group("g", members[member].pid()).expect("it is alive");
        }
        sees(&a, "g", &[&members[0], &members[1], &members[1], &members[2]]).await;
        let sent = a.runtime().send_group("g", "small").await;
        assert_eq!(sent, GroupSent { processes: 1, nodes: 1, failed: 0 });
        let large = Bytes::from(vec![7; 300_000]);
        a.runtime().send_group("g", large.clone()).await;
        a.runtime().send_group("g", "last").await;
        for member in &mut members {
            assert_eq!(member.message().await, "small");
            assert_eq!(member.message().await, large);
            assert_eq!(member.message().await, "last");
        }
    });
}

#[test]
fn messages_of_a_process_to_a_group_and_to_a_member_keep_their_order() {
    run(async {
        let (a, b) = pair().await;
        let (sender, mut member) = (Probe::start(&a), Probe::start(&b));
        b.runtime().join_group("g", member.pid()).expect("it is alive");
        sees(&a, "g", &[&member]).await;
        let to = member.pid();
        let runtime = a.runtime().clone();
        let process = runtime.spawn(move |ctx| async move {
            for n in 0..200_u32 {
                ctx.send_group("g", n.to_le_bytes().to_vec()).await;
                ctx.send(to, n.to_le_bytes().to_vec()).await.expect("accepted");
            }
        });
        for n in 0..200_u32 {
            for _ in 0..2 {
                assert_eq!(member.message().await, n.to_le_bytes().to_vec());
            }
        }
        process.join().await;
        drop(sender);
    });
}

#[test]
fn a_watcher_hears_of_members_elsewhere_and_of_their_nodes_end() {
    run(async {
        let (a, b) = pair().await;
        let (mut watcher, member) = (Probe::start(&a), Probe::start(&b));
        let (reference, members) = watcher.act(|ctx| ctx.monitor_group("g")).await.expect("a name");
        assert_eq!(members, []);
        b.runtime().join_group("g", member.pid()).expect("it is alive");
        let (group, pids) = ("g".parse().expect("a name"), vec![member.pid()]);
        assert_eq!(watcher.next().await, Received::GroupJoined { reference, group, pids });
        b.shutdown();
        let (group, pids) = ("g".parse().expect("a name"), vec![member.pid()]);
        assert_eq!(watcher.next().await, Received::GroupLeft { reference, group, pids });
        assert_eq!(a.runtime().send_group("g", "x").await, GroupSent::default());
        b.settled(|b| b.runtime().group_members("g") == [member.pid()]).await;
    });
}

#[test]
fn a_message_to_a_group_waits_while_a_link_is_full() {
    run(async {
        let identity = shared();
        let limits = Limits { queue_bytes_high: 40_000, queue_bytes_low: 10_000, ..Limits::default() };
        let builder = ClusterNode::builder("a", Runtime::new(), &identity).limits(limits);
        let a = builder.bind(anywhere()).expect("the node starts");
        let b = bind("b", &identity);
        link(&a, &b).await;
        let mut member = Probe::start(&b);
        b.runtime().join_group("g", member.pid()).expect("it is alive");
        sees(&a, "g", &[&member]).await;
        let runtime = a.runtime().clone();
        let sender = runtime.spawn(|ctx| async move {
            for n in 0..300_u32 {
                let mut body = vec![0; 10_000];
                body[..4].copy_from_slice(&n.to_le_bytes());
                assert_eq!(ctx.send_group("g", body).await, GroupSent { processes: 0, nodes: 1, failed: 0 });
            }
        });
        for n in 0..300_u32 {
            let message = tokio::time::timeout(Duration::from_secs(20), member.message()).await;
            assert_eq!(message.expect("it comes")[..4], n.to_le_bytes());
        }
        assert_eq!(sender.join().await, regatta::ExitReason::Normal);
    });
}
