//! The end of a runtime.

use std::time::Duration;

use regatta_proto::reason::ExitReason;

use super::world::{Probe, parked};
use crate::actor::{Received, Runtime, ShutdownReport, SpawnOptions};

#[tokio::test(start_paused = true)]
async fn processes_that_end_when_asked_end_in_order() {
    let rt = Runtime::new();
    let plain = parked(&rt);
    let held = rt.spawn_with(SpawnOptions { held: true, ..SpawnOptions::default() }, |_| async {});
    let suspended = rt.spawn(|mut ctx| async move { drop(ctx.recv().await) });
    rt.suspend(suspended.pid());
    let polite = rt.spawn(|mut ctx| {
        ctx.trap_exit(true);
        let node = ctx.runtime().node_pid();
        async move {
            let asked = Received::Exit { from: node, reason: ExitReason::Shutdown };
            assert_eq!(ctx.recv().await, asked);
            // Cleans up for a while, within the grace.
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
    });
    let report = rt.shutdown().await;
    assert_eq!(report, ShutdownReport { orderly: 4, ..ShutdownReport::default() });
    for process in [plain, held, suspended] {
        assert_eq!(process.join().await, ExitReason::Shutdown);
    }
    assert_eq!(polite.join().await, ExitReason::Normal);
    assert_eq!(rt.process_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_within_the_grace_is_killed() {
    let rt = Runtime::new();
    let (probe, plain) = (Probe::start(&rt), parked(&rt));
    rt.try_send(plain.pid(), "unread").unwrap();
    let began = tokio::time::Instant::now();
    let report = rt.shutdown_within(Duration::from_secs(2)).await;
    assert!(began.elapsed() >= Duration::from_secs(2));
    assert_eq!(
        report,
        ShutdownReport { orderly: 1, killed: 1, dropped_unread: 1, ..ShutdownReport::default() }
    );
    assert_eq!(probe.process.join().await, ExitReason::Killed);
}

#[tokio::test]
async fn what_is_spawned_after_a_shutdown_ends_before_its_first_poll() {
    let rt = Runtime::new();
    assert_eq!(rt.shutdown().await, ShutdownReport::default(), "nothing ran");
    let late = rt.spawn(|_| async { panic!("it must not run") });
    assert_eq!(late.join().await, ExitReason::Shutdown);
    assert_eq!(rt.shutdown().await, ShutdownReport::default(), "twice is once");
}

#[tokio::test]
async fn a_shutdown_takes_what_its_processes_spawn_on_the_way_out() {
    let rt = Runtime::new();
    let parent = rt.spawn(|mut ctx| {
        ctx.trap_exit(true);
        async move {
            ctx.recv().await;
            ctx.spawn(|_| std::future::pending::<()>());
        }
    });
    let report = rt.shutdown().await;
    assert_eq!((report.killed, report.left), (0, vec![]));
    assert_eq!(parent.join().await, ExitReason::Normal);
    assert_eq!(rt.list(), []);
}

#[tokio::test]
async fn two_runtimes_end_apart() {
    let (one, other) = (Runtime::new(), Runtime::new());
    let stays = parked(&other);
    let ends = parked(&one);
    one.shutdown().await;
    assert_eq!(ends.join().await, ExitReason::Shutdown);
    assert!(other.is_alive(stays.pid()));
    assert!(!one.is_alive(stays.pid()), "not one of its processes");
}

#[test]
fn nothing_is_left_of_a_runtime_that_was_shut_down() {
    let executor =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    executor.block_on(async {
        let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let before = tasks();
        let rt = Runtime::new();
        for _ in 0..100 {
            rt.spawn(|mut ctx| async move { drop(ctx.recv_timeout(Duration::from_secs(3_600)).await) });
        }
        let sink = parked(&rt);
        rt.send_interval(sink.pid(), "tick", Duration::from_secs(3_600));
        rt.send_after(sink.pid(), "once", Duration::from_secs(3_600));
        rt.send(sink.pid(), "unread").await.unwrap();
        assert!(tasks() > before, "schedulers and timers");
        let report = rt.shutdown().await;
        let expected = ShutdownReport {
            orderly: 101,
            dropped_unread: 1,
            dropped_timers: 2,
            ..ShutdownReport::default()
        };
        assert_eq!(report, expected);
        let stats = rt.stats();
        assert_eq!((stats.live, stats.timers, stats.blocking), (0, 0, 0));
        assert_eq!(rt.staff().len(), 0);
        assert!(rt.schedulers().lookout().is_none(), "its thread was waited for");
        // Tokio forgets a task a moment after it has dropped it.
        while tasks() > before {
            tokio::task::yield_now().await;
        }
        let late = rt.spawn(|_| async { panic!("it must not run") });
        assert_eq!(late.join().await, ExitReason::Shutdown, "nobody polls it, and it ends");
        // A deadline after the end still works, and its task goes again.
        let timer = rt.send_after(late.pid(), "x", Duration::from_millis(1));
        while rt.timer_count() > 0 || tasks() > before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(rt.cancel_timer(timer), None);
    });
}
