//! Work that would hold a worker.

use std::sync::mpsc;

use regatta_proto::reason::ExitReason;

use super::world::parked;
use crate::actor::{BlockingError, Received, Runtime, current};

#[tokio::test]
async fn others_run_while_a_process_waits_for_work_that_blocks() {
    let rt = Runtime::new();
    let (go, wait) = mpsc::channel::<()>();
    let works = rt.spawn(|ctx| async move {
        let done = ctx.spawn_blocking(move || wait.recv().map(|()| 7)).await;
        assert_eq!(done, Ok(Ok(7)));
    });
    // On the one worker that there is.
    let other = rt.spawn(|mut ctx| async move { drop(ctx.recv().await) });
    rt.send(other.pid(), "x").await.unwrap();
    assert_eq!(other.join().await, ExitReason::Normal);
    assert_eq!(rt.stats().blocking, 1);
    go.send(()).unwrap();
    assert_eq!(works.join().await, ExitReason::Normal);
}

#[tokio::test]
async fn a_panic_of_the_work_is_an_error_of_the_wait_alone() {
    let rt = Runtime::new();
    let works = rt.spawn(|ctx| async move {
        let failed = ctx.spawn_blocking(|| panic!("as planned")).await;
        assert_eq!(failed, Err::<(), _>(BlockingError::Panicked("as planned".to_owned())));
    });
    assert_eq!(works.join().await, ExitReason::Normal);
}

#[tokio::test]
async fn what_the_work_sends_comes_from_its_process() {
    let rt = Runtime::new();
    let works = rt.spawn(|mut ctx| async move {
        let (rt, me) = (ctx.runtime().clone(), ctx.pid());
        let sender = ctx.spawn_blocking(move || {
            rt.try_send(me, "from the work").expect("it lives");
            current()
        });
        assert_eq!(sender.await, Ok(Some(me)));
        assert_eq!(ctx.recv().await, Received::Message("from the work".into()));
    });
    assert_eq!(works.join().await, ExitReason::Normal);
}

#[tokio::test]
async fn a_shutdown_waits_for_work_that_blocks_and_says_if_it_goes_on() {
    let rt = Runtime::new();
    let (go, wait) = mpsc::channel::<()>();
    let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
    let works = rt.spawn(|ctx| async move {
        let _work = ctx.spawn_blocking(move || {
            begun.send(()).expect("the test listens");
            wait.recv()
        });
        std::future::pending::<()>().await;
    });
    begins.recv().await.expect("it begins");
    let report = rt.shutdown_within(std::time::Duration::from_millis(50)).await;
    assert_eq!(works.join().await, ExitReason::Shutdown);
    assert_eq!((report.left, report.busy), (vec![], 1));
    go.send(()).unwrap();
    let report = rt.shutdown().await;
    assert_eq!(report.busy, 0);
    assert_eq!(rt.stats().blocking, 0);
    parked(&rt).join().await;
}
