//! A supervisor and its children on different nodes.

use std::time::Duration;

use regatta::supervisor::{ChildSpec, ControlError, Restart, Strategy, Supervisor, SupervisorSpec};
use regatta::{CallError, ClusterNode, ExitReason, Pid, Runtime, ServerRef};

use super::world::{Apart, bind, link, pair, park, run, shared};

/// A child that other nodes were taught to build.
fn remote(node: &ClusterNode, places: &[&str]) -> ChildSpec {
    node.remote_child("remote", places.iter().copied(), "worker", Vec::new())
}

/// The supervisor's child, once it is another one than `before`.
async fn child(supervisor: &ServerRef<Supervisor>, rt: &Runtime, before: Option<Pid>) -> Pid {
    loop {
        // Each look is a call, and so comes back after whatever the supervisor was doing.
        match supervisor.which_children(rt).await.expect("it lives")[0].pid() {
            Some(pid) if Some(pid) != before => return pid,
            _ => tokio::task::yield_now().await,
        }
    }
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
        let spec = SupervisorSpec::new(Strategy::OneForOne).child(remote(&a, &["b"]));
        let supervisor = rt.start::<Supervisor>(spec).await.expect("the child starts on b");
        let first = child(&supervisor, rt, None).await;
        assert!(b.runtime().is_alive(first));
        b.runtime().kill(first);
        let second = child(&supervisor, rt, Some(first)).await;
        let process = b.runtime().process(second).expect("it lives on b");
        assert_eq!(rt.stop(&supervisor, ExitReason::Shutdown).await, Ok(ExitReason::Shutdown));
        assert_eq!(process.join().await, ExitReason::Shutdown);
    });
}

#[test]
fn a_child_whose_node_is_lost_runs_on_the_next_one_and_its_supervisor_lives() {
    run(async {
        let identity = shared();
        let a = bind("a", &identity);
        let (b, c) = (Apart::bind("b", &identity), bind("c", &identity));
        for other in [&b.node, &c] {
            taught(other);
            link(&a, other).await;
        }
        let rt = a.runtime();
        // One restart for each loss, and none for the wait below.
        let spec = SupervisorSpec::new(Strategy::OneForOne).intensity(2, Duration::from_secs(600));
        let spec = spec.child(remote(&a, &["b", "c"]));
        let supervisor = rt.start::<Supervisor>(spec).await.expect("the child starts on b");
        let first = child(&supervisor, rt, None).await;
        assert!(b.node.runtime().is_alive(first));
        let _dead = b.kill().await;
        a.settled(|a| a.peers() == ["c"]).await;
        let second = child(&supervisor, rt, Some(first)).await;
        assert!(c.runtime().is_alive(second));
        // With nobody to run it the start waits for somebody: no restart is spent on that.
        c.shutdown();
        c.ended().await;
        let again = bind("b", &identity);
        taught(&again);
        link(&again, &a).await;
        let third = child(&supervisor, rt, Some(second)).await;
        assert!(again.runtime().is_alive(third));
    });
}

#[test]
fn a_child_that_no_node_starts_says_what_each_of_them_said() {
    run(async {
        let (a, _b) = pair().await;
        let spec = SupervisorSpec::new(Strategy::OneForOne).child(remote(&a, &["b"]));
        let error = a.runtime().start::<Supervisor>(spec).await.expect_err("b was not taught it");
        assert!(error.to_string().contains("has no factory"), "{error}");
        let spec = SupervisorSpec::new(Strategy::OneForOne).child(remote(&a, &[]));
        let error = a.runtime().start::<Supervisor>(spec).await.expect_err("there is nobody to ask");
        assert!(error.to_string().contains("no node is named"), "{error}");
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
