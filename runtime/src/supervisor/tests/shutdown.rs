//! How children are stopped.

use std::time::Duration;

use regatta_proto::reason::ExitReason;
use tokio::time::Instant;

use super::world::{Diary, MS, child, family, order, pid, settle};
use crate::actor::Runtime;
use crate::supervisor::{Shutdown, Strategy, SupervisorSpec};

const LONG: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_ends_stops_its_children_in_reverse_order() {
    let (rt, diary) = (Runtime::new(), Diary::default());
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .child(child(&diary, "a"))
        .child(child(&diary, "b").shutdown(Shutdown::Kill))
        .child(child(&diary, "c"));
    let supervisor = family(&rt, &diary, spec).await;
    let b = rt.process(pid(&rt, &supervisor, "b").await.expect("it runs")).expect("it lives");
    rt.exit(supervisor.to_pid().expect("by pid"), ExitReason::Shutdown);
    assert_eq!(b.join().await, ExitReason::Killed);
    settle(&rt).await;
    assert_eq!(diary.read(), ["c ends: shutdown", "a ends: shutdown"]);
    assert_eq!(rt.process_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_does_not_end_in_time_is_killed() {
    let (rt, diary) = (Runtime::new(), Diary::default());
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .child(child(&diary, "a").shutdown(Shutdown::After(100 * MS)));
    let supervisor = family(&rt, &diary, spec).await;
    order(&rt, &supervisor, "a", "deaf").await;
    let (begun, process) = (Instant::now(), pid(&rt, &supervisor, "a").await.expect("it runs"));
    let process = rt.process(process).expect("it lives");
    supervisor.terminate_child(&rt, "a").await.expect("it lives");
    assert!((100 * MS..110 * MS).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    assert_eq!(process.join().await, ExitReason::Killed);
    assert_eq!(diary.read(), [""; 0], "it is not started again");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_one_child_while_another_is_being_stopped_is_not_lost() {
    let (rt, diary) = (Runtime::new(), Diary::default());
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .intensity(10, LONG)
        .child(child(&diary, "a"))
        .child(child(&diary, "slow").shutdown(Shutdown::After(100 * MS)));
    let supervisor = family(&rt, &diary, spec).await;
    order(&rt, &supervisor, "slow", "deaf").await;
    let a = pid(&rt, &supervisor, "a").await.expect("it runs");
    let stop = supervisor.terminate_child(&rt, "slow");
    let meanwhile = async {
        tokio::time::sleep(50 * MS).await;
        rt.send(a, "panic").await.expect("it lives");
    };
    let (stopped, ()) = tokio::join!(stop, meanwhile);
    stopped.expect("it lives");
    settle(&rt).await;
    assert_eq!(diary.read(), ["a starts"]);
    assert!(pid(&rt, &supervisor, "a").await.is_some_and(|now| now != a));
}

#[tokio::test(start_paused = true)]
async fn children_that_end_together_are_restarted_together_once() {
    let (rt, diary) = (Runtime::new(), Diary::default());
    let spec = SupervisorSpec::new(Strategy::OneForAll)
        .intensity(1, LONG)
        .child(child(&diary, "a"))
        .child(child(&diary, "b"));
    let supervisor = family(&rt, &diary, spec).await;
    let (a, b) = (pid(&rt, &supervisor, "a").await, pid(&rt, &supervisor, "b").await);
    // Both are dead before the supervisor hears of the first.
    rt.kill(a.expect("it runs"));
    rt.kill(b.expect("it runs"));
    settle(&rt).await;
    assert_eq!(diary.read(), ["a starts", "b starts"], "the second end belongs to the first restart");
    assert_eq!(supervisor.count_children(&rt).await.expect("it lives").active, 2);
}

#[tokio::test(start_paused = true)]
async fn a_dynamic_supervisor_stops_all_children_at_once() {
    let (rt, diary) = (Runtime::new(), Diary::default());
    let mut spec = SupervisorSpec::new(Strategy::Dynamic);
    for _ in 0..100 {
        spec = spec.child(child(&diary, "deaf").shutdown(Shutdown::After(100 * MS)));
    }
    let supervisor = family(&rt, &diary, spec).await;
    for child in supervisor.which_children(&rt).await.expect("it lives") {
        rt.send(child.pid().expect("it runs"), "deaf").await.expect("it lives");
    }
    settle(&rt).await;
    let begun = Instant::now();
    assert_eq!(rt.stop(&supervisor, ExitReason::Shutdown).await, Ok(ExitReason::Shutdown));
    assert!(begun.elapsed() < 200 * MS, "one after the other would take ten seconds");
    assert_eq!(rt.process_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn children_of_a_supervisor_that_is_killed_are_told() {
    let (rt, diary) = (Runtime::new(), Diary::default());
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(child(&diary, "a"));
    let supervisor = family(&rt, &diary, spec).await;
    rt.kill(supervisor.to_pid().expect("by pid"));
    settle(&rt).await;
    assert_eq!(diary.read(), ["a ends: killed"]);
}

#[tokio::test(start_paused = true)]
async fn a_runtime_ends_its_trees_in_order_before_all_others() {
    let (rt, diary) = (Runtime::new(), Diary::default());
    let below =
        SupervisorSpec::new(Strategy::OneForOne).child(child(&diary, "b1")).child(child(&diary, "b2"));
    let first = SupervisorSpec::new(Strategy::OneForOne)
        .child(child(&diary, "a"))
        .child(crate::supervisor::ChildSpec::supervisor("below", below))
        .child(child(&diary, "c"));
    let loner = {
        let diary = diary.clone();
        rt.spawn(move |mut ctx| {
            ctx.trap_exit(true);
            async move {
                ctx.recv().await;
                diary.note("the loner ends");
            }
        })
    };
    family(&rt, &diary, first).await;
    family(&rt, &diary, SupervisorSpec::new(Strategy::OneForOne).child(child(&diary, "later"))).await;
    let report = rt.shutdown().await;
    let ends = ["later", "c", "b2", "b1", "a"].map(|id| format!("{id} ends: shutdown"));
    let mut expected = ends.to_vec();
    expected.push("the loner ends".to_owned());
    assert_eq!(diary.read(), expected);
    assert_eq!((report.orderly, report.killed, report.left), (9, 0, vec![]));
    assert_eq!(loner.join().await, ExitReason::Normal);
}

#[tokio::test(start_paused = true)]
async fn a_tree_that_takes_too_long_is_killed_at_the_deadline_of_the_whole() {
    let (rt, diary) = (Runtime::new(), Diary::default());
    let spec =
        SupervisorSpec::new(Strategy::OneForOne).child(child(&diary, "a").shutdown(Shutdown::Infinity));
    let supervisor = family(&rt, &diary, spec).await;
    order(&rt, &supervisor, "a", "deaf").await;
    let begun = Instant::now();
    let report = rt.shutdown_within(Duration::from_secs(3)).await;
    assert!((Duration::from_secs(3)..Duration::from_secs(4)).contains(&begun.elapsed()));
    assert_eq!((report.killed, report.left), (2, vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_with_a_full_mailbox_stops_its_many_children_and_keeps_what_waits() {
    let (rt, diary) = (Runtime::new(), Diary::default());
    let supervisor = family(&rt, &diary, SupervisorSpec::new(Strategy::Dynamic)).await;
    for id in 0..1_000 {
        let waits =
            crate::supervisor::ChildSpec::process(
                id.to_string(),
                |mut ctx| async move { drop(ctx.recv().await) },
            );
        supervisor.start_child(&rt, waits).await.expect("it starts");
    }
    let pid = supervisor.to_pid().expect("by pid");
    for _ in 0..10_000 {
        rt.try_send(pid, "nothing to it").expect("there is room");
    }
    rt.exit(pid, ExitReason::Shutdown);
    settle(&rt).await;
    assert_eq!(rt.process_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_took_its_link_back_is_stopped_all_the_same() {
    let (rt, diary) = (Runtime::new(), Diary::default());
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(child(&diary, "a"));
    let supervisor = family(&rt, &diary, spec).await;
    let a = pid(&rt, &supervisor, "a").await.expect("it runs");
    rt.unlink(a, supervisor.to_pid().expect("by pid"));
    supervisor.terminate_child(&rt, "a").await.expect("it lives");
    assert_eq!(diary.read(), ["a ends: shutdown"]);
    assert!(!rt.is_alive(a));
    assert_eq!(supervisor.restart_child(&rt, "a").await.map(|_| ()), Ok(()));
}
