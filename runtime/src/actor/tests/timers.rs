//! Timers, in tokio's paused time: it stands still while anything can run, and jumps to the next timer when nothing can.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use regatta_proto::reason::ExitReason;
use tokio::time::Instant;

use super::world::{Probe, dead, parked};
use crate::actor::timers::Deadline;
use crate::actor::{Received, Runtime};

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn messages_are_sent_when_their_time_has_come_and_in_its_order() {
    let rt = Runtime::new();
    let process = rt.spawn(|mut ctx| async move {
        let begun = Instant::now();
        let rt = ctx.runtime().clone();
        rt.send_after(ctx.pid(), "late", 30 * MS);
        rt.send_after(ctx.pid(), "first of two", 20 * MS);
        rt.send_after(ctx.pid(), "second of two", 20 * MS);
        ctx.send_self_after("early", 10 * MS);
        for (text, ms) in [("early", 10), ("first of two", 20), ("second of two", 20), ("late", 30)] {
            assert_eq!(ctx.recv().await.message().as_deref(), Some(text.as_bytes()));
            let passed = begun.elapsed();
            assert!((ms * MS..(ms + 2) * MS).contains(&passed), "{text} came after {passed:?}");
        }
    });
    assert_eq!(process.join().await, ExitReason::Normal);
    assert_eq!(rt.timer_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_is_cancelled_sends_nothing_and_one_that_is_over_says_so() {
    let rt = Runtime::new();
    let mut probe = Probe::start(&rt);
    let cancelled = rt.send_after(probe.pid(), "never", 10 * MS);
    let over = rt.send_after(probe.pid(), "once", 5 * MS);
    tokio::time::sleep(7 * MS).await;
    let left = rt.cancel_timer(cancelled).expect("it waits");
    assert!(left <= 4 * MS && left >= MS, "{left:?} were left");
    assert_eq!(rt.cancel_timer(cancelled), None, "it was cancelled before");
    assert_eq!(rt.cancel_timer(over), None, "its message is out");
    assert_eq!(Runtime::new().cancel_timer(over), None, "it belongs to another runtime");
    tokio::time::sleep(20 * MS).await;
    assert_eq!(probe.all().await, [Received::Message("once".into())]);
}

#[tokio::test(start_paused = true)]
async fn an_interval_keeps_its_turns_until_it_is_cancelled() {
    let rt = Runtime::new();
    let mut probe = Probe::start(&rt);
    let timer = rt.send_interval(probe.pid(), "tick", 10 * MS);
    tokio::time::sleep(55 * MS).await;
    assert_eq!(probe.all().await.len(), 5);
    assert!(rt.cancel_timer(timer).is_some_and(|left| left <= 6 * MS));
    tokio::time::sleep(50 * MS).await;
    assert_eq!(probe.all().await, []);
    assert_eq!(rt.timer_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn turns_that_an_interval_missed_are_left_out() {
    let rt = Runtime::new();
    let mut probe = Probe::start(&rt);
    rt.send_interval(probe.pid(), "tick", 10 * MS);
    // In one jump: nobody runs in between.
    tokio::time::advance(45 * MS).await;
    tokio::time::sleep(MS).await;
    assert_eq!(probe.all().await.len(), 1, "of four turns that were due at once, one is left");
    tokio::time::sleep(6 * MS).await;
    assert_eq!(probe.all().await.len(), 1, "the next one is when it always was to be");
}

#[tokio::test(start_paused = true)]
async fn an_interval_ends_with_the_process_that_it_is_for() {
    let rt = Runtime::new();
    let process = parked(&rt);
    rt.send_interval(process.pid(), "tick", 10 * MS);
    rt.send_interval(dead(&rt).await, "tick", 10 * MS);
    tokio::time::sleep(15 * MS).await;
    assert_eq!(rt.timer_count(), 1, "one of the two is for nobody");
    process.kill();
    process.join().await;
    tokio::time::sleep(15 * MS).await;
    assert_eq!(rt.timer_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_receive_ends_at_its_deadline_and_a_process_leaves_no_timer_behind() {
    let rt = Runtime::new();
    let process = rt.spawn(|mut ctx| async move {
        let begun = Instant::now();
        assert_eq!(ctx.recv_timeout(10 * MS).await, None);
        assert!(begun.elapsed() >= 10 * MS);
        ctx.send_self_after("in time", 10 * MS);
        assert!(ctx.recv_timeout(20 * MS).await.is_some());
        assert_eq!(ctx.runtime().timer_count(), 1, "its alarm is set still");
        ctx.try_send(ctx.pid(), "other").expect("room");
        let wanted = |received: &Received| *received == Received::Message("wanted".into());
        assert_eq!(ctx.recv_match_timeout(10 * MS, wanted).await, None);
        ctx.send_self_after("wanted", 5 * MS);
        assert!(ctx.recv_match_timeout(10 * MS, wanted).await.is_some());
        assert_eq!(ctx.recv().await.message().as_deref(), Some(&b"other"[..]), "what was not wanted stays");
        assert_eq!(ctx.recv_timeout(Duration::MAX / 2).await.map(|_| ()), None, "killed before");
    });
    tokio::time::sleep(100 * MS).await;
    process.kill();
    process.join().await;
    assert_eq!(rt.timer_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_process_has_one_timer_for_all_its_deadlines() {
    let rt = Runtime::new();
    let process = rt.spawn(|mut ctx| async move {
        // Each is shorter than the one before, so that the alarm is moved each time; none comes.
        for left in (3..=1_000).rev() {
            ctx.send_self_after("comes", MS);
            assert!(ctx.recv_timeout(MS * left).await.is_some());
            assert!(ctx.runtime().timer_count() <= 1);
        }
        let begun = Instant::now();
        assert_eq!(ctx.recv_timeout(50 * MS).await, None);
        assert!(begun.elapsed() >= 50 * MS, "an alarm that rings for a deadline that is over ends no other");
    });
    assert_eq!(process.join().await, ExitReason::Normal);
    assert_eq!(rt.timer_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn deadlines_of_one_process_that_wait_at_once_each_come_at_their_time() {
    let rt = Runtime::new();
    let process = rt.spawn(|mut ctx| async move {
        let (rt, cell) = (ctx.runtime().clone(), std::sync::Arc::clone(ctx.cell()));
        let begun = Instant::now();
        let after = |ms| {
            let deadline = Deadline::after(&rt, Some(&cell), MS * ms);
            async move {
                deadline.await;
                begun.elapsed().as_millis()
            }
        };
        assert_eq!(tokio::join!(after(20), after(5), after(10), after(5)), (20, 5, 10, 5));
        // A sub-executor polls only those that were woken.
        let apart: FuturesUnordered<_> = [50, 30, 40].into_iter().map(after).collect();
        assert_eq!(apart.collect::<Vec<_>>().await, [50, 60, 70], "in their order, 20 ms later");
        assert_eq!(ctx.recv_timeout(MS).await, None);
    });
    assert_eq!(process.join().await, ExitReason::Normal);
    assert_eq!(rt.timer_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_timers_fire_each_once() {
    let rt = Runtime::new();
    let mut probe = Probe::start(&rt);
    for number in 0..100_000_u64 {
        rt.send_after(probe.pid(), "tick", Duration::from_millis(number * 7_919 % 10_000));
    }
    assert_eq!(rt.timer_count(), 100_000);
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(probe.all().await.len(), 100_000);
}

#[test]
fn deadlines_go_on_when_the_executor_of_the_timers_ends() {
    let tokio =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("tokio");
    let (a, b) = (tokio(), tokio());
    let rt = Runtime::new();
    let (waits, waiting) = tokio::sync::oneshot::channel();
    let process = a.block_on(async {
        rt.spawn(|mut ctx| async move {
            ctx.recv().await;
            waits.send(()).expect("the test waits");
            assert!(ctx.recv_timeout(200 * MS).await.is_some());
            // Its alarm is set early enough, and the task that would have rung it is gone.
            assert_eq!(ctx.recv_timeout(300 * MS).await, None);
        })
    });
    b.block_on(async {
        rt.send_after(process.pid(), "go", MS);
        waiting.await.expect("it waits");
    });
    drop(b);
    let _sent = rt.try_send(process.pid(), "the executor has ended");
    assert_eq!(a.block_on(process.join()), ExitReason::Normal);
}

#[test]
fn timers_go_on_when_another_executor_takes_the_runtime_over() {
    let rt = Runtime::new();
    let tokio = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
    for _ in 0..2 {
        tokio().block_on(async {
            let process = rt.spawn(|mut ctx| async move {
                ctx.send_self_after("tick", MS);
                ctx.recv().await;
            });
            assert_eq!(process.join().await, ExitReason::Normal);
        });
    }
}
