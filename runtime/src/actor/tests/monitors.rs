//! Monitors: exactly one `Down` each.

use regatta_proto::reason::ExitReason;

use super::world::{Probe, dead, parked};
use crate::actor::{Received, Runtime, SpawnOptions};

#[tokio::test]
async fn each_monitor_fires_once_with_the_reason_of_the_end() {
    let rt = Runtime::new();
    let (mut probe, target) = (Probe::start(&rt), parked(&rt));
    let first = rt.monitor(probe.pid(), target.pid()).unwrap();
    let second = rt.monitor(probe.pid(), target.pid()).unwrap();
    assert_ne!(first, second, "two monitors on one process are two");
    assert_eq!(rt.info(target.pid()).unwrap().monitored_by, [probe.pid(), probe.pid()]);
    let reason = ExitReason::custom("over");
    rt.exit(target.pid(), reason.clone());
    // A second reason comes too late.
    target.kill();
    assert_eq!(target.join().await, reason);
    let pid = target.pid();
    let down = |reference| Received::Down { reference, pid, reason: reason.clone() };
    assert_eq!(probe.all().await, [down(first), down(second)]);
    target.kill();
    assert_eq!(probe.all().await, [], "none fires again");
    assert_eq!(rt.info(probe.pid()).unwrap().monitors, []);
}

#[tokio::test]
async fn a_monitor_on_a_process_that_is_gone_fires_at_once() {
    let rt = Runtime::new();
    let (mut probe, gone) = (Probe::start(&rt), dead(&rt).await);
    let reference = rt.monitor(probe.pid(), gone).unwrap();
    assert_eq!(probe.all().await, [Received::Down { reference, pid: gone, reason: ExitReason::NoProc }]);
    assert_eq!(rt.monitor(gone, probe.pid()), None, "the dead watch nobody");
}

#[tokio::test]
async fn a_monitor_that_was_taken_back_does_not_fire() {
    let rt = Runtime::new();
    let (mut probe, target) = (Probe::start(&rt), parked(&rt));
    let reference = rt.monitor(probe.pid(), target.pid()).unwrap();
    assert!(rt.demonitor(probe.pid(), reference));
    assert!(!rt.demonitor(probe.pid(), reference), "only once");
    assert_eq!(rt.info(target.pid()).unwrap().monitored_by, []);
    target.kill();
    target.join().await;
    assert_eq!(probe.all().await, []);
}

#[tokio::test]
async fn taking_a_monitor_back_takes_its_down_out_of_the_mailbox() {
    let rt = Runtime::new();
    let target = parked(&rt);
    let pid = target.pid();
    let watcher = rt.spawn(move |mut ctx| async move {
        let (fired, other) = (ctx.monitor(pid), ctx.monitor(pid));
        ctx.exit(pid, ExitReason::Killed);
        // The other one's down tells that the first is in the mailbox too.
        let is_other =
            |received: &Received| matches!(received, Received::Down { reference, .. } if *reference == other);
        ctx.recv_match(is_other).await;
        assert!(!ctx.demonitor(fired), "it has fired");
        let left = ctx.recv_timeout(std::time::Duration::ZERO).await;
        assert_eq!(left, None, "but is not seen");
        assert_eq!(ctx.runtime().info(ctx.pid()).unwrap().mailbox_depth, 0);
    });
    assert_eq!(watcher.join().await, ExitReason::Normal);
}

#[tokio::test]
async fn a_watchers_end_leaves_nothing_at_its_target() {
    let rt = Runtime::new();
    let (watcher, target) = (parked(&rt), parked(&rt));
    rt.monitor(watcher.pid(), target.pid()).unwrap();
    watcher.kill();
    watcher.join().await;
    assert_eq!(rt.info(target.pid()).unwrap().monitored_by, []);
    assert!(rt.is_alive(target.pid()), "a monitor does not work backwards");
}

#[tokio::test]
async fn a_child_is_watched_before_its_first_poll() {
    let rt = Runtime::new();
    let mut probe = Probe::start(&rt);
    let reference = rt.reference();
    let options = SpawnOptions { monitor: Some((probe.pid(), reference)), ..SpawnOptions::default() };
    let child = rt.spawn_with(options, |_| async {});
    child.join().await;
    let (pid, reason) = (child.pid(), ExitReason::Normal);
    assert_eq!(probe.all().await, [Received::Down { reference, pid, reason }]);

    let parent = rt.spawn(|mut ctx| async move {
        let (child, reference) = ctx.spawn_monitor(|_| async { ExitReason::Shutdown });
        let down = Received::Down { reference, pid: child.pid(), reason: ExitReason::Shutdown };
        assert_eq!(ctx.recv().await, down);
    });
    assert_eq!(parent.join().await, ExitReason::Normal);
}

#[tokio::test]
async fn a_process_that_watches_itself_ends_like_any_other() {
    let rt = Runtime::new();
    let process = parked(&rt);
    rt.monitor(process.pid(), process.pid()).unwrap();
    process.kill();
    assert_eq!(process.join().await, ExitReason::Killed);
    assert_eq!(rt.process_count(), 0);
}

#[tokio::test]
async fn what_a_process_sent_before_its_end_comes_before_its_down() {
    let rt = Runtime::new();
    let mut probe = Probe::start(&rt);
    let to = probe.pid();
    let target = rt.spawn(move |ctx| async move {
        ctx.send(to, "my last words").await.unwrap();
    });
    let reference = rt.monitor(probe.pid(), target.pid()).unwrap();
    target.join().await;
    let down = Received::Down { reference, pid: target.pid(), reason: ExitReason::Normal };
    assert_eq!(probe.all().await, [Received::Message("my last words".into()), down]);
}
