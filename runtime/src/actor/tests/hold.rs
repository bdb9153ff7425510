//! Holding what is spawned until it is released.

use std::panic::{AssertUnwindSafe, catch_unwind};

use regatta_proto::reason::ExitReason;

use super::world::parked;
use crate::actor::{Runtime, SpawnOptions, Status};

async fn turns() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_process_that_is_spawned_held_waits_for_its_release() {
    let rt = Runtime::new();
    let options = SpawnOptions { held: true, ..SpawnOptions::default() };
    let process = rt.spawn_with(options, |_| async {});
    turns().await;
    assert_eq!(rt.info(process.pid()).unwrap().status, Status::Suspended);
    assert!(rt.release(process.pid()));
    assert!(!rt.release(process.pid()), "only once");
    assert_eq!(process.join().await, ExitReason::Normal);
}

#[tokio::test]
async fn a_held_process_can_be_killed_and_linked_to() {
    let rt = Runtime::new();
    let options = || SpawnOptions { held: true, ..SpawnOptions::default() };
    let (killed, linked) = (rt.spawn_with(options(), |_| async {}), rt.spawn_with(options(), |_| async {}));
    rt.link(killed.pid(), linked.pid());
    turns().await;
    killed.kill();
    assert_eq!(killed.join().await, ExitReason::Killed);
    assert_eq!(linked.join().await, ExitReason::Killed);
}

#[tokio::test]
async fn what_a_call_spawns_is_held_and_listed_in_its_order() {
    let rt = Runtime::new();
    let ((first, second), held) = rt.hold_spawned(|rt| (rt.spawn(|_| async {}), rt.spawn(|_| async {})));
    assert_eq!(held, [first.pid(), second.pid()]);
    turns().await;
    assert!(held.iter().all(|pid| rt.is_alive(*pid)), "neither has run");
    rt.release(second.pid());
    assert_eq!(second.join().await, ExitReason::Normal);
    assert!(rt.is_alive(first.pid()));
    rt.release(first.pid());
    assert_eq!(first.join().await, ExitReason::Normal);
    let after = rt.spawn(|_| async {});
    assert_eq!(after.join().await, ExitReason::Normal, "the hold ended with the call");
}

#[tokio::test]
async fn a_hold_is_for_one_runtime_and_nests() {
    let (rt, other) = (Runtime::new(), Runtime::new());
    let ((stranger, inner, outer), held) = rt.hold_spawned(|rt| {
        let stranger = other.spawn(|_| async {});
        let (inner, caught) = rt.hold_spawned(parked);
        assert_eq!(caught, [inner.pid()], "the inner hold has what was spawned in it");
        (stranger, inner, parked(rt))
    });
    assert_eq!(held, [outer.pid()], "the outer hold is back after it");
    assert!(rt.release(inner.pid()) && rt.release(outer.pid()));
    assert_eq!(stranger.join().await, ExitReason::Normal, "another runtime's process runs");
}

#[tokio::test]
async fn what_a_call_spawned_before_it_panicked_is_killed() {
    let rt = Runtime::new();
    let mut spawned = None;
    let caught = catch_unwind(AssertUnwindSafe(|| {
        rt.hold_spawned(|rt| {
            spawned = Some(parked(rt));
            panic!("after the spawn");
        })
    }));
    assert!(caught.is_err(), "the panic goes on to the caller");
    assert_eq!(spawned.unwrap().join().await, ExitReason::Killed);
    let after = rt.spawn(|_| async {});
    assert_eq!(after.join().await, ExitReason::Normal, "the hold ended with the call");
}
