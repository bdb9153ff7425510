//! Panics end their process, and nothing else.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as Poller, Poll};

use regatta_proto::reason::ExitReason;

use super::world::{Probe, parked};
use crate::actor::{Context, Received, Runtime, current};

#[tokio::test]
async fn a_panic_ends_the_process_with_its_text() {
    let rt = Runtime::new();
    let fixed = rt.spawn(|_| async { panic!("fixed text") });
    assert_eq!(fixed.join().await, ExitReason::Panic("fixed text".into()));
    let made = rt.spawn(|_| async { panic!("made of {}", 2) });
    assert_eq!(made.join().await, ExitReason::Panic("made of 2".into()));
    let strange = rt.spawn(|_| async { std::panic::panic_any(7) });
    assert!(matches!(strange.join().await, ExitReason::Panic(_)));
    let well = rt.spawn(|_| async {});
    assert_eq!(well.join().await, ExitReason::Normal, "the runtime goes on");
}

/// A body's type, where the panic comes before there is one.
type Body = Pin<Box<dyn Future<Output = ()> + Send>>;

#[tokio::test]
async fn a_panic_while_the_body_is_built_is_one_of_the_process() {
    let rt = Runtime::new();
    let build = |_: Context| -> Body { panic!("not even built") };
    let process = rt.spawn(build);
    assert_eq!(process.join().await, ExitReason::Panic("not even built".into()));
    assert_eq!(current(), None, "the thread is nobody's again");
    let after = rt.spawn(|_| async { panic!("polled") });
    after.join().await;
    assert_eq!(current(), None);
}

#[tokio::test]
async fn links_and_monitors_carry_a_panic() {
    let rt = Runtime::new();
    let (mut probe, linked) = (Probe::start(&rt), parked(&rt));
    let failing = rt.spawn(|mut ctx| async move {
        ctx.recv().await;
        panic!("as told");
    });
    rt.link(linked.pid(), failing.pid());
    let reference = rt.monitor(probe.pid(), failing.pid()).unwrap();
    rt.try_send(failing.pid(), "fail").unwrap();
    let reason = ExitReason::Panic("as told".into());
    assert_eq!(linked.join().await, reason);
    assert_eq!(probe.all().await, [Received::Down { reference, pid: failing.pid(), reason }]);
}

/// Waits for ever, and panics when it is dropped.
struct Bomb;

impl Future for Bomb {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Poller<'_>) -> Poll<()> {
        Poll::Pending
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("in the destructor");
    }
}

#[tokio::test]
async fn a_panic_in_a_destructor_ends_there() {
    let rt = Runtime::new();
    let mut probe = Probe::start(&rt);
    let process = rt.spawn(|_| Bomb);
    let reference = rt.monitor(probe.pid(), process.pid()).unwrap();
    tokio::task::yield_now().await;
    process.kill();
    let (pid, reason) = (process.pid(), ExitReason::Killed);
    assert_eq!(process.join().await, reason);
    assert_eq!(probe.all().await, [Received::Down { reference, pid, reason }]);
}
