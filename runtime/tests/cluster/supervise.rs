//! A supervisor and its children on different nodes.

use regatta::server::StartError;
use regatta::supervisor::{ChildSpec, ControlError, Restart, Strategy, Supervisor, SupervisorSpec};
use regatta::{CallError, ClusterNode, ExitReason, Runtime, ServerRef, SpawnRemote};

use super::world::{pair, park, run};

/// A child that the other node was taught to build.
fn remote(node: &ClusterNode, to: &'static str) -> ChildSpec {
    let node = node.clone();
    ChildSpec::started_by("remote", move |_| {
        let node = node.clone();
        Box::pin(async move {
            let linked = SpawnRemote { link: true, ..SpawnRemote::default() };
            let child = node.spawn_remote_with(to, "worker", Vec::new(), linked).await;
            child
                .map(|child| child.pid)
                .map_err(|error| StartError::Init(ExitReason::custom(error.to_string())))
        })
    })
}

fn taught(node: &ClusterNode) {
    node.register_spawnable("worker", |rt: &Runtime, _| rt.spawn(|_| park()).pid());
}

#[test]
fn a_child_on_another_node_is_restarted_there_and_stopped_with_its_supervisor() {
    run(async {
        let (a, b) = pair().await;
        taught(&b);
        let rt = a.runtime();
        let spec = SupervisorSpec::new(Strategy::OneForOne).child(remote(&a, "b"));
        let supervisor = rt.start::<Supervisor>(spec).await.expect("the child starts on b");
        let first = supervisor.which_children(rt).await.expect("it lives")[0].pid().expect("it runs");
        assert!(b.runtime().is_alive(first));
        b.runtime().kill(first);
        let second = loop {
            // Each look is a call, and so comes back after whatever the supervisor was doing.
            let child = supervisor.which_children(rt).await.expect("it lives")[0].pid();
            match child {
                Some(pid) if pid != first => break pid,
                _ => tokio::task::yield_now().await,
            }
        };
        let process = b.runtime().process(second).expect("it lives on b");
        assert_eq!(rt.stop(&supervisor, ExitReason::Shutdown).await, Ok(ExitReason::Shutdown));
        assert_eq!(process.join().await, ExitReason::Shutdown);
    });
}

#[test]
fn a_supervisor_is_asked_and_changed_from_another_node_except_for_what_is_code() {
    run(async {
        let (a, b) = pair().await;
        let child = ChildSpec::process("worker", |_| park());
        let spec = SupervisorSpec::new(Strategy::OneForOne).child(child.clone());
        let supervisor = b.runtime().start::<Supervisor>(spec).await.expect("it starts");
        let pid = supervisor.to_pid().expect("by pid");
        b.register_global("svc/supervisor", pid);
        a.settled(|a| a.whereis_global("svc/supervisor").is_some()).await;
        let far = ServerRef::<Supervisor>::global("svc/supervisor").expect("a name");
        let rt = a.runtime();
        let seen = far.which_children(rt).await;
        assert_eq!(seen, supervisor.which_children(b.runtime()).await);
        assert_eq!(far.terminate_child(rt, "worker").await, Ok(()));
        let again = far.restart_child(rt, "worker").await.expect("it starts again");
        assert!(b.runtime().is_alive(again));
        assert_eq!(far.count_children(rt).await.expect("it lives").active, 1);
        let code = far.start_child(rt, child.restart(Restart::Temporary)).await;
        assert!(matches!(code, Err(ControlError::Call(CallError::Encode(_)))), "{code:?}");
    });
}
