//! Exit signals, and what a process's end does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use regatta_proto::reason::ExitReason;

use super::world::{Probe, dead, parked};
use crate::actor::{Received, Runtime};

#[tokio::test]
async fn what_a_body_returns_is_the_reason_of_its_end() {
    let rt = Runtime::new();
    let custom = ExitReason::custom("my own");
    let returned = custom.clone();
    assert_eq!(rt.spawn(|_| async {}).join().await, ExitReason::Normal);
    assert_eq!(rt.spawn(|_| async { returned }).join().await, custom);
    let fine = rt.spawn(|_| async { Ok::<(), String>(()) });
    assert_eq!(fine.join().await, ExitReason::Normal);
    let failed = rt.spawn(|_| async { Err::<(), _>("the disk is full") });
    assert_eq!(failed.join().await, ExitReason::custom("the disk is full"));
}

#[tokio::test]
async fn a_body_may_be_a_loop_without_an_end() {
    let rt = Runtime::new();
    let server = rt.spawn(|mut ctx| async move {
        loop {
            ctx.recv().await;
        }
    });
    rt.exit(server.pid(), ExitReason::Shutdown);
    assert_eq!(server.join().await, ExitReason::Shutdown);
}

#[tokio::test]
async fn an_exit_ends_a_process_unless_it_is_normal() {
    let rt = Runtime::new();
    let process = parked(&rt);
    assert!(rt.exit(process.pid(), ExitReason::Normal), "it is alive");
    tokio::task::yield_now().await;
    assert!(rt.is_alive(process.pid()), "a normal exit of another changes nothing");
    assert!(rt.exit(process.pid(), ExitReason::Shutdown));
    assert_eq!(process.join().await, ExitReason::Shutdown);
    assert!(!rt.exit(process.pid(), ExitReason::Shutdown), "it is gone");
}

#[tokio::test]
async fn a_process_that_traps_gets_exits_as_messages_but_cannot_trap_a_kill() {
    let rt = Runtime::new();
    let mut probe = Probe::start(&rt);
    for reason in [ExitReason::Normal, ExitReason::Shutdown, ExitReason::custom("please")] {
        assert!(rt.exit(probe.pid(), reason.clone()));
        assert_eq!(probe.all().await, [Received::Exit { from: rt.node_pid(), reason }]);
    }
    rt.kill(probe.pid());
    assert_eq!(probe.process.join().await, ExitReason::Killed);
}

#[tokio::test]
async fn the_kill_of_a_linked_process_can_be_trapped() {
    let rt = Runtime::new();
    let (mut probe, victim) = (Probe::start(&rt), parked(&rt));
    rt.link(probe.pid(), victim.pid());
    victim.kill();
    victim.join().await;
    assert_eq!(probe.all().await, [Received::Exit { from: victim.pid(), reason: ExitReason::Killed }]);
    assert!(rt.is_alive(probe.pid()));
}

#[tokio::test]
async fn an_exit_says_which_process_it_comes_from() {
    let rt = Runtime::new();
    let mut probe = Probe::start(&rt);
    let to = probe.pid();
    let asker = rt.spawn(move |ctx| async move {
        assert!(ctx.exit(to, ExitReason::custom("through the context")));
        assert!(ctx.runtime().exit(to, ExitReason::custom("through the runtime")));
    });
    asker.join().await;
    let exit = |text| Received::Exit { from: asker.pid(), reason: ExitReason::custom(text) };
    assert_eq!(probe.all().await, [exit("through the context"), exit("through the runtime")]);
}

#[tokio::test]
async fn a_process_that_asks_itself_to_end_does_so_even_normally() {
    let rt = Runtime::new();
    let process = rt.spawn(|ctx| async move {
        ctx.exit(ctx.pid(), ExitReason::Normal);
        tokio::task::yield_now().await;
        ExitReason::custom("it went on")
    });
    assert_eq!(process.join().await, ExitReason::Normal);
}

#[tokio::test]
async fn the_first_of_several_reasons_counts_also_against_the_bodys_own() {
    let rt = Runtime::new();
    let process = parked(&rt);
    rt.exit(process.pid(), ExitReason::custom("first"));
    rt.exit(process.pid(), ExitReason::custom("second"));
    rt.kill(process.pid());
    assert_eq!(process.join().await, ExitReason::custom("first"));
    // Asked to end within the very poll in which it returns.
    let returning = rt.spawn(|ctx| async move {
        ctx.exit(ctx.pid(), ExitReason::custom("asked"));
        ExitReason::custom("returned")
    });
    assert_eq!(returning.join().await, ExitReason::custom("asked"));
}

#[tokio::test]
async fn a_process_that_was_asked_to_end_is_not_polled_again() {
    let rt = Runtime::new();
    let polled = Arc::new(AtomicBool::new(false));
    let seen = polled.clone();
    let process = rt.spawn(|_| async move { seen.store(true, Ordering::Relaxed) });
    process.kill();
    assert_eq!(process.join().await, ExitReason::Killed);
    assert!(!polled.load(Ordering::Relaxed));
}

/// Sets its flag when it is dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn whoever_joins_finds_the_body_dropped_and_the_process_gone() {
    let rt = Runtime::new();
    let dropped = Arc::new(AtomicBool::new(false));
    let owned = Dropped(dropped.clone());
    let process = rt.spawn(|_| async move {
        let _owned = owned;
        std::future::pending::<()>().await;
    });
    tokio::task::yield_now().await;
    process.kill();
    let joins = [process.join(), process.join()];
    for join in joins {
        assert_eq!(join.await, ExitReason::Killed);
        assert!(dropped.load(Ordering::Relaxed));
        assert!(!rt.is_alive(process.pid()));
    }
    assert_eq!(rt.list(), []);
    assert_eq!(rt.info(process.pid()), None);
    assert_eq!(process.join().await, ExitReason::Killed, "also long after");
}

#[tokio::test]
async fn serials_are_never_used_again() {
    let rt = Runtime::new();
    let first = dead(&rt).await;
    let second = dead(&rt).await;
    assert!(first.serial() < second.serial());
    assert_eq!(first.incarnation(), second.incarnation());
}

#[test]
fn the_end_of_the_executor_ends_its_processes_as_killed() {
    let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let rt = tokio.block_on(async { Runtime::new() });
    let process = parked(&rt);
    assert!(rt.is_alive(process.pid()));
    drop(tokio);
    assert!(!rt.is_alive(process.pid()));
    assert_eq!(rt.process_count(), 0);
}
