//! Children that come and go on demand.

use regatta_proto::reason::ExitReason;

use super::world::{Diary, child, family, order, pid, settle};
use crate::actor::Runtime;
use crate::server::ServerOptions;
use crate::supervisor::{
    ChildSpec, ChildState, ControlError, Counts, Refused, Restart, Strategy, SupervisorSpec,
};

#[tokio::test(start_paused = true)]
async fn a_child_is_stopped_restarted_and_deleted_on_demand() {
    let (rt, diary) = (Runtime::new(), Diary::default());
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(child(&diary, "a"));
    let supervisor = family(&rt, &diary, spec).await;
    let running = pid(&rt, &supervisor, "a").await.expect("it runs");
    let refused = |refused| Err(ControlError::Refused(refused));
    assert_eq!(supervisor.restart_child(&rt, "a").await, refused(Refused::Running(running)));
    assert_eq!(supervisor.delete_child(&rt, "a").await.err(), Some(Refused::Running(running).into()));
    assert_eq!(supervisor.terminate_child(&rt, "a").await, Ok(()));
    assert_eq!(supervisor.terminate_child(&rt, "a").await, Ok(()), "stopping twice is stopping once");
    let children = supervisor.which_children(&rt).await.expect("it lives");
    assert_eq!(children[0].state, ChildState::Stopped);
    assert_eq!(supervisor.start_child(&rt, child(&diary, "a")).await, refused(Refused::Present));
    let again = supervisor.restart_child(&rt, "a").await.expect("it starts");
    assert_eq!(supervisor.start_child(&rt, child(&diary, "a")).await, refused(Refused::Running(again)));
    supervisor.terminate_child(&rt, "a").await.expect("it lives");
    assert_eq!(supervisor.delete_child(&rt, "a").await, Ok(()));
    assert_eq!(supervisor.delete_child(&rt, "a").await.err(), Some(Refused::NotFound.into()));
    assert_eq!(supervisor.restart_child(&rt, "a").await, refused(Refused::NotFound));
    assert!(supervisor.start_child(&rt, child(&diary, "a")).await.is_ok(), "the id is free again");
}

#[tokio::test(start_paused = true)]
async fn a_child_that_was_added_is_supervised_like_the_first_ones() {
    let (rt, diary) = (Runtime::new(), Diary::default());
    let spec = SupervisorSpec::new(Strategy::RestForOne).child(child(&diary, "a"));
    let supervisor = family(&rt, &diary, spec).await;
    supervisor.start_child(&rt, child(&diary, "b")).await.expect("it starts");
    order(&rt, &supervisor, "a", "panic").await;
    assert_eq!(diary.read(), ["b starts", "b ends: shutdown", "a starts", "b starts"]);
}

#[tokio::test(start_paused = true)]
async fn a_temporary_child_that_is_stopped_is_forgotten() {
    let (rt, diary) = (Runtime::new(), Diary::default());
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(child(&diary, "a").restart(Restart::Temporary));
    let supervisor = family(&rt, &diary, spec).await;
    supervisor.terminate_child(&rt, "a").await.expect("it lives");
    assert_eq!(supervisor.count_children(&rt).await, Ok(Counts::default()));
}

#[tokio::test(start_paused = true)]
async fn children_of_a_dynamic_supervisor_are_known_by_their_pids() {
    let (rt, diary) = (Runtime::new(), Diary::default());
    let supervisor = family(&rt, &diary, SupervisorSpec::new(Strategy::Dynamic)).await;
    let mut pids = Vec::new();
    for _ in 0..3 {
        pids.push(supervisor.start_child(&rt, child(&diary, "worker")).await.expect("it starts"));
    }
    assert_eq!(supervisor.count_children(&rt).await.expect("it lives").active, 3);
    assert_eq!(supervisor.terminate_child(&rt, "worker").await.err(), Some(Refused::NotFound.into()));
    assert_eq!(supervisor.terminate_child_pid(&rt, pids[0]).await, Ok(()));
    assert_eq!(supervisor.terminate_child_pid(&rt, pids[0]).await.err(), Some(Refused::NotFound.into()));
    rt.send(pids[1], "panic").await.expect("it lives");
    settle(&rt).await;
    let children = supervisor.which_children(&rt).await.expect("it lives");
    assert_eq!(children.len(), 2, "one was stopped, one was restarted");
    assert!(children.iter().any(|child| child.pid() == Some(pids[2])));
}

#[tokio::test(start_paused = true)]
async fn a_child_whose_start_fails_is_not_kept() {
    let (rt, diary) = (Runtime::new(), Diary::default());
    let supervisor = family(&rt, &diary, SupervisorSpec::new(Strategy::OneForOne)).await;
    let named = || {
        ChildSpec::server::<crate::supervisor::Supervisor>("below", ServerOptions::named("taken"), || {
            SupervisorSpec::new(Strategy::OneForOne)
        })
    };
    let holder = rt.spawn(|_| std::future::pending::<()>());
    rt.register("taken", holder.pid()).expect("it is free");
    let refused = supervisor.start_child(&rt, named()).await;
    assert!(matches!(refused, Err(ControlError::Refused(Refused::Start(_)))), "{refused:?}");
    assert_eq!(supervisor.count_children(&rt).await, Ok(Counts::default()));
    holder.kill();
    assert_eq!(holder.join().await, ExitReason::Killed);
    assert!(supervisor.start_child(&rt, named()).await.is_ok());
    assert!(rt.whereis("taken").is_some());
}
