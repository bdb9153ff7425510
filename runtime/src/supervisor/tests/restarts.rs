//! Who is started again, and who with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use regatta_proto::reason::ExitReason;

use super::world::{Diary, MS, child, family, order, pid, settle};
use crate::actor::Runtime;
use crate::server::StartError;
use crate::supervisor::{ChildSpec, ChildState, Restart, Strategy, Supervisor, SupervisorSpec};

const LONG: Duration = Duration::from_secs(60);

fn three(diary: &Diary, strategy: Strategy) -> SupervisorSpec {
    let children = ["a", "b", "c"].map(|id| child(diary, id));
    let [a, b, c] = children;
    SupervisorSpec::new(strategy).intensity(100, LONG).child(a).child(b).child(c)
}

#[tokio::test(start_paused = true)]
async fn children_are_started_in_their_order_before_the_start_returns() {
    let (rt, diary) = (Runtime::new(), Diary::default());
    let supervisor = rt.start::<Supervisor>(three(&diary, Strategy::OneForOne)).await.expect("it starts");
    let children = supervisor.which_children(&rt).await.expect("it lives");
    assert!(children.iter().all(|child| child.pid().is_some()));
    assert_eq!(children.iter().map(|child| &*child.id).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(diary.read(), ["a starts", "b starts", "c starts"]);
}

#[tokio::test(start_paused = true)]
async fn one_for_one_restarts_the_child_alone() {
    let (rt, diary) = (Runtime::new(), Diary::default());
    let supervisor = family(&rt, &diary, three(&diary, Strategy::OneForOne)).await;
    let before = pid(&rt, &supervisor, "b").await;
    order(&rt, &supervisor, "b", "panic").await;
    assert_eq!(diary.read(), ["b starts"]);
    assert_ne!(pid(&rt, &supervisor, "b").await, before);
}

#[tokio::test(start_paused = true)]
async fn one_for_all_stops_the_others_in_reverse_order_and_starts_all() {
    let (rt, diary) = (Runtime::new(), Diary::default());
    let supervisor = family(&rt, &diary, three(&diary, Strategy::OneForAll)).await;
    order(&rt, &supervisor, "b", "panic").await;
    let expected = ["c ends: shutdown", "a ends: shutdown", "a starts", "b starts", "c starts"];
    assert_eq!(diary.read(), expected);
}

#[tokio::test(start_paused = true)]
async fn rest_for_one_stops_and_starts_those_that_were_started_later() {
    let (rt, diary) = (Runtime::new(), Diary::default());
    let supervisor = family(&rt, &diary, three(&diary, Strategy::RestForOne)).await;
    order(&rt, &supervisor, "b", "panic").await;
    assert_eq!(diary.read(), ["c ends: shutdown", "b starts", "c starts"]);
    order(&rt, &supervisor, "c", "panic").await;
    assert_eq!(diary.read(), ["c starts"]);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_child_is_restarted_after_every_end_a_transient_one_after_a_failure_a_temporary_one_never()
 {
    let ends = ["", "shutdown", "panic", "a reason of its own"];
    for (restart, restarted) in [
        (Restart::Permanent, [true, true, true, true]),
        (Restart::Transient, [false, false, true, true]),
        (Restart::Temporary, [false, false, false, false]),
    ] {
        for (end, restarted) in ends.into_iter().zip(restarted) {
            let (rt, diary) = (Runtime::new(), Diary::default());
            let spec = SupervisorSpec::new(Strategy::OneForOne).child(child(&diary, "a").restart(restart));
            let supervisor = family(&rt, &diary, spec).await;
            order(&rt, &supervisor, "a", end).await;
            let started = !diary.read().is_empty();
            assert_eq!(started, restarted, "{restart:?} after {end:?}");
            let known = supervisor.which_children(&rt).await.expect("it lives");
            assert_eq!(known.len(), usize::from(restart != Restart::Temporary), "{restart:?} after {end:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_child_that_is_not_restarted_changes_nothing_for_the_others() {
    let (rt, diary) = (Runtime::new(), Diary::default());
    let spec = SupervisorSpec::new(Strategy::OneForAll)
        .child(child(&diary, "a"))
        .child(child(&diary, "b").restart(Restart::Transient))
        .child(child(&diary, "c").restart(Restart::Temporary));
    let supervisor = family(&rt, &diary, spec).await;
    order(&rt, &supervisor, "b", "").await;
    order(&rt, &supervisor, "c", "panic").await;
    assert_eq!(diary.read(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_temporary_child_that_is_stopped_with_the_others_is_not_started_again() {
    let (rt, diary) = (Runtime::new(), Diary::default());
    let spec = SupervisorSpec::new(Strategy::OneForAll)
        .child(child(&diary, "a"))
        .child(child(&diary, "b").restart(Restart::Temporary));
    let supervisor = family(&rt, &diary, spec).await;
    order(&rt, &supervisor, "a", "panic").await;
    assert_eq!(diary.read(), ["b ends: shutdown", "a starts"]);
    assert_eq!(supervisor.count_children(&rt).await.expect("it lives").specs, 1);
}

#[tokio::test(start_paused = true)]
async fn too_many_restarts_within_the_window_end_the_supervisor_and_all_children() {
    let (rt, diary) = (Runtime::new(), Diary::default());
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .intensity(2, 10 * MS)
        .child(child(&diary, "a"))
        .child(child(&diary, "b"));
    let supervisor = family(&rt, &diary, spec).await;
    let process = rt.process(supervisor.to_pid().expect("by pid")).expect("it lives");
    // Spread over more than the window: as many as one likes.
    for _ in 0..5 {
        order(&rt, &supervisor, "a", "panic").await;
        tokio::time::sleep(10 * MS).await;
    }
    assert_eq!(diary.read().len(), 5);
    for _ in 0..2 {
        order(&rt, &supervisor, "b", "panic").await;
    }
    assert_eq!(diary.read(), ["b starts", "b starts"]);
    order(&rt, &supervisor, "b", "panic").await;
    assert_eq!(process.join().await, ExitReason::Shutdown);
    assert_eq!(diary.read(), ["a ends: shutdown"]);
    assert_eq!(rt.process_count(), 0);
}

/// A child whose start fails from its second one on, `failures` times.
fn fragile(diary: &Diary, failures: u32) -> ChildSpec {
    let (diary, starts) = (diary.clone(), Arc::new(AtomicU32::new(0)));
    ChildSpec::started_by("fragile", move |ctx| {
        let number = starts.fetch_add(1, Ordering::Relaxed);
        let fails = (1..=failures).contains(&number);
        diary.note(if fails { "fragile fails" } else { "fragile starts" });
        let child = (!fails).then(|| ctx.spawn_link(|mut ctx| async move { drop(ctx.recv().await) }).pid());
        Box::pin(async move { child.ok_or(StartError::Init(ExitReason::custom("fragile"))) })
    })
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_is_tried_again_and_counts_as_a_restart() {
    let (rt, diary) = (Runtime::new(), Diary::default());
    let spec = SupervisorSpec::new(Strategy::OneForOne).intensity(4, LONG).child(fragile(&diary, 3));
    let supervisor = family(&rt, &diary, spec).await;
    order(&rt, &supervisor, "fragile", "end").await;
    assert_eq!(diary.read(), ["fragile fails", "fragile fails", "fragile fails", "fragile starts"]);
    let spec =
        SupervisorSpec::new(Strategy::OneForOne).intensity(3, LONG).child(fragile(&diary, u32::MAX - 1));
    let supervisor = family(&rt, &diary, spec).await;
    let process = rt.process(supervisor.to_pid().expect("by pid")).expect("it lives");
    order(&rt, &supervisor, "fragile", "end").await;
    assert_eq!(process.join().await, ExitReason::Shutdown, "it gives up");
    assert_eq!(diary.read(), ["fragile fails"; 3]);
}

#[tokio::test(start_paused = true)]
async fn rest_for_one_tries_again_from_the_child_whose_start_failed() {
    let (rt, diary) = (Runtime::new(), Diary::default());
    let spec = SupervisorSpec::new(Strategy::RestForOne)
        .intensity(10, LONG)
        .child(child(&diary, "a"))
        .child(fragile(&diary, 1))
        .child(child(&diary, "c"));
    let supervisor = family(&rt, &diary, spec).await;
    order(&rt, &supervisor, "a", "panic").await;
    let expected = ["c ends: shutdown", "fragile fails", "fragile starts", "a starts", "c starts"];
    let mut diary = diary.read();
    diary.sort_unstable();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(diary, expected);
    let children = supervisor.which_children(&rt).await.expect("it lives");
    assert!(children.iter().all(|child| matches!(child.state, ChildState::Running(_))));
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_whose_child_does_not_start_does_not_start_and_leaves_nothing() {
    let (rt, diary) = (Runtime::new(), Diary::default());
    let failing =
        ChildSpec::started_by("b", |_| Box::pin(async { Err(StartError::Init(ExitReason::custom("no"))) }));
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(child(&diary, "a")).child(failing);
    let parent = rt.spawn(|ctx| async move {
        let started = ctx.start_link::<Supervisor>(spec).await;
        let Err(StartError::Init(ExitReason::Custom(why))) = started else { panic!("it has started") };
        let why = String::from_utf8_lossy(&why).into_owned();
        assert_eq!(why, "child \"b\" did not start: the server did not start: custom: no");
    });
    assert_eq!(parent.join().await, ExitReason::Normal);
    settle(&rt).await;
    assert_eq!(diary.read(), ["a starts", "a ends: shutdown"]);
    assert_eq!(rt.process_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_below_another_one_is_restarted_with_its_children() {
    let (rt, diary) = (Runtime::new(), Diary::default());
    let below = SupervisorSpec::new(Strategy::OneForOne).intensity(0, LONG).child(child(&diary, "leaf"));
    let spec = SupervisorSpec::new(Strategy::OneForOne)
        .child(ChildSpec::supervisor("below", below))
        .child(child(&diary, "beside"));
    let supervisor = family(&rt, &diary, spec).await;
    let below = pid(&rt, &supervisor, "below").await.expect("it runs");
    let below = crate::server::ServerRef::<Supervisor>::pid(below);
    // It may not restart at all, so it ends, and is restarted itself.
    order(&rt, &below, "leaf", "panic").await;
    assert_eq!(diary.read(), ["leaf starts"]);
    let counts = supervisor.count_children(&rt).await.expect("it lives");
    assert_eq!((counts.specs, counts.active, counts.supervisors, counts.workers), (2, 2, 1, 1));
    let now = pid(&rt, &supervisor, "below").await.expect("it runs");
    assert_ne!(Some(now), below.to_pid());
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_process_that_is_no_child_is_nothing_to_a_supervisor() {
    let (rt, diary) = (Runtime::new(), Diary::default());
    let supervisor = family(&rt, &diary, three(&diary, Strategy::OneForAll)).await;
    let target = supervisor.to_pid().expect("by pid");
    let stranger = rt.spawn(move |ctx| async move {
        ctx.link(target);
        ExitReason::custom("a stranger's")
    });
    stranger.join().await;
    rt.send(target, "a message").await.expect("it lives");
    settle(&rt).await;
    assert_eq!(diary.read(), [""; 0]);
    assert_eq!(supervisor.count_children(&rt).await.expect("it lives").active, 3);
}
