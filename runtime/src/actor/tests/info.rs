//! What a process looks like from outside.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::world::parked;
use crate::actor::{Context, Received, Runtime};

async fn waits(mut ctx: Context) {
    ctx.recv().await;
}

#[tokio::test(start_paused = true)]
async fn a_process_shows_its_groups_what_runs_in_it_and_its_age() {
    let rt = Runtime::new();
    tokio::time::advance(Duration::from_secs(1)).await;
    let process = rt.spawn(waits);
    for group in ["b", "a", "b"] {
        rt.join_group(group, process.pid()).unwrap();
    }
    tokio::time::advance(Duration::from_secs(7)).await;
    let info = rt.info(process.pid()).expect("it lives");
    assert_eq!(info.groups.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a", "b"]);
    assert!(info.initial_call.ends_with("tests::info::waits"), "{}", info.initial_call);
    assert_eq!(info.age, Duration::from_secs(7));
}

#[tokio::test]
async fn the_counters_of_a_runtime_follow_what_is_there() {
    let rt = Runtime::new();
    let process = parked(&rt);
    rt.register("n", process.pid()).unwrap();
    rt.join_group("g", process.pid()).unwrap();
    let timer = rt.send_after(process.pid(), "later", Duration::from_secs(9));
    tokio::task::yield_now().await;
    let stats = rt.stats();
    assert_eq!((stats.live, stats.names, stats.groups, stats.timers), (1, 1, 1, 1));
    assert!(stats.polls >= 1);
    rt.cancel_timer(timer);
    process.kill();
    process.join().await;
    let stats = rt.stats();
    assert_eq!((stats.live, stats.names, stats.groups, stats.timers, stats.finished), (0, 0, 0, 0, 1));
}

/// Readers look at all of 100,000 processes again and again while two others talk, until these are done: if a look stopped
/// the world, they would not be before the looks are over, and the looks are not over before they are.
#[test]
fn reading_a_hundred_thousand_processes_stops_nobody() {
    let executor = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime");
    executor.block_on(async {
        let rt = Runtime::new();
        let crowd: BTreeSet<_> = (0..100_000).map(|_| parked(&rt).pid().serial()).collect();
        let (done, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let pong = rt.spawn(|mut ctx| async move {
            loop {
                let Received::Message(from) = ctx.recv().await else { return };
                let from = u64::from_le_bytes(from[..].try_into().expect("a serial"));
                let _gone = ctx.try_send(regatta_proto::id::Pid::new(ctx.pid().incarnation(), from), "pong");
            }
        });
        let to = pong.pid();
        let whole = Arc::clone(&looks);
        let ping = rt.spawn(move |mut ctx| async move {
            // As many round trips as it takes until three whole looks fell into them.
            while whole.load(Ordering::Acquire) < 3 {
                ctx.try_send(to, ctx.pid().serial().to_le_bytes().to_vec()).expect("it lives");
                ctx.recv().await;
            }
        });
        let (reader, stop, count) = (rt.clone(), Arc::clone(&done), Arc::clone(&looks));
        let reader = std::thread::spawn(move || {
            while !stop.load(Ordering::Acquire) {
                let (mut after, mut seen) = (0, BTreeSet::new());
                loop {
                    let page = reader.infos(after, 1_000);
                    assert!(page.len() <= 1_000);
                    let Some(last) = page.last() else { break };
                    after = last.pid.serial();
                    seen.extend(page.iter().map(|info| info.pid.serial()));
                }
                assert!(seen.is_superset(&crowd), "who is there throughout is seen");
                count.fetch_add(1, Ordering::Release);
            }
        });
        assert_eq!(ping.join().await, crate::ExitReason::Normal);
        done.store(true, Ordering::Release);
        reader.join().expect("it sees all");
        let report = rt.shutdown().await;
        assert_eq!((report.orderly, report.killed, report.left), (100_001, 0, vec![]));
    });
}
