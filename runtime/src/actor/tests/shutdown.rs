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
    assert_eq!(report, ShutdownReport { orderly: 1, killed: 1, dropped_unread: 1, left: vec![] });
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
