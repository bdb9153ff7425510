//! The seam to other nodes: what goes out, and what comes in.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use regatta_proto::id::{Incarnation, Name, NodeName, Pid, Reference};
use regatta_proto::reason::ExitReason;
use regatta_proto::signal::Signal;

use super::world::{Probe, dead, parked};
use crate::actor::{Acked, Received, Remote, Runtime, SendError, Way};

/// A network side that writes everything down.
#[derive(Default)]
struct Recorder {
    signals: Mutex<Vec<(u64, Pid, Signal)>>,
    ended: Mutex<Vec<u64>>,
    /// What every signal fails with.
    fails: Mutex<Option<SendError>>,
}

impl Recorder {
    fn attach(rt: &Runtime) -> Arc<Self> {
        let recorder = Arc::new(Self::default());
        assert!(rt.attach_remote(recorder.clone()));
        recorder
    }

    /// What went out since the last look.
    fn sent(&self) -> Vec<(u64, Pid, Signal)> {
        std::mem::take(&mut *self.signals.lock())
    }
}

impl Remote for Recorder {
    fn signal(&self, from: u64, to: Pid, signal: Signal) -> Result<(), SendError> {
        if let Some(error) = &*self.fails.lock() {
            return Err(error.clone());
        }
        self.signals.lock().push((from, to, signal));
        Ok(())
    }

    fn request(
        &self,
        from: u64,
        to: Pid,
        _: Option<&Name>,
        reference: Option<Reference>,
        body: Bytes,
    ) -> Result<(), SendError> {
        self.signal(from, to, Signal::Request { reference, body })
    }

    fn node(&self, _: &NodeName) -> Option<Incarnation> {
        None
    }

    fn whereis_global(&self, _: &Name) -> Option<Pid> {
        None
    }

    fn message(&self, _: u64, _: Pid, _: Bytes, _: Way) -> Result<(), SendError> {
        Err(SendError::NoConnection)
    }

    fn acked(&self, _: u64, _: Pid, _: Bytes, _: Duration) -> Acked<'_> {
        Box::pin(std::future::ready(Err(SendError::NoConnection.into())))
    }

    fn ready(&self, _: Pid) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }

    fn membership(&self, _: &Name, _: u64, _: u32) {}

    fn broadcast(&self, _: u64, _: &Name, _: &Bytes, to: &[Pid]) -> Vec<Result<(), SendError>> {
        vec![Err(SendError::NoConnection); to.len()]
    }

    fn ended(&self, serial: u64) {
        self.ended.lock().push(serial);
    }
}

/// A process of another node.
fn far() -> Pid {
    Pid::new(Incarnation::from_raw(7), 70)
}

#[tokio::test]
async fn without_a_network_side_every_other_node_is_out_of_reach() {
    let rt = Runtime::new();
    let mut probe = Probe::start(&rt);
    assert_eq!(rt.send(far(), "x").await, Err(SendError::NoConnection));
    assert!(rt.link(probe.pid(), far()));
    let reference = rt.monitor(probe.pid(), far()).unwrap();
    let reason = ExitReason::NoConnection;
    let exit = Received::Exit { from: far(), reason: reason.clone() };
    assert_eq!(probe.all().await, [exit, Received::Down { reference, pid: far(), reason }]);
    assert!(!rt.exit(far(), ExitReason::Killed));
    assert!(!rt.is_alive(far()));
}

#[tokio::test]
async fn a_runtime_has_one_network_side() {
    let rt = Runtime::new();
    Recorder::attach(&rt);
    assert!(!rt.attach_remote(Arc::new(Recorder::default())));
}

#[tokio::test]
async fn a_processs_signals_go_out_under_its_serial_in_their_order() {
    let rt = Runtime::new();
    let net = Recorder::attach(&rt);
    let process = rt.spawn(|ctx| async move {
        ctx.send(far(), "one").await.unwrap();
        ctx.runtime().try_send(far(), "two").unwrap();
        ctx.link(far());
        ctx.link(far());
        ctx.exit(far(), ExitReason::Shutdown);
    });
    process.join().await;
    let out: Vec<Signal> = net
        .sent()
        .into_iter()
        .map(|(from, to, signal)| {
            assert_eq!((from, to), (process.pid().serial(), far()));
            signal
        })
        .collect();
    let message = |text: &'static str| Signal::Message(text.into());
    let (exit, end) = (Signal::Exit(ExitReason::Shutdown), Signal::LinkExit(ExitReason::Normal));
    assert_eq!(
        out,
        [message("one"), message("two"), Signal::Link, exit, end],
        "linking twice is linking once"
    );
}

#[tokio::test]
async fn a_remote_end_fires_a_link_and_a_monitor_once() {
    let rt = Runtime::new();
    Recorder::attach(&rt);
    let mut probe = Probe::start(&rt);
    let serial = probe.pid().serial();
    rt.link(probe.pid(), far());
    let reference = rt.monitor(probe.pid(), far()).unwrap();
    let reason = ExitReason::custom("over there");
    for _ in 0..2 {
        rt.deliver(far(), serial, Signal::LinkExit(reason.clone())).unwrap();
        rt.deliver(far(), serial, Signal::Down { reference, reason: reason.clone() }).unwrap();
    }
    let exit = Received::Exit { from: far(), reason: reason.clone() };
    assert_eq!(probe.all().await, [exit, Received::Down { reference, pid: far(), reason }]);
}

#[tokio::test]
async fn a_down_of_another_process_or_for_another_monitor_is_not_taken() {
    let rt = Runtime::new();
    Recorder::attach(&rt);
    let mut probe = Probe::start(&rt);
    let serial = probe.pid().serial();
    let reference = rt.monitor(probe.pid(), far()).unwrap();
    let reason = ExitReason::Normal;
    let other = Pid::new(far().incarnation(), 71);
    rt.deliver(other, serial, Signal::Down { reference, reason: reason.clone() }).unwrap();
    let unknown = Reference::from_raw(reference.raw() + 1_000);
    rt.deliver(far(), serial, Signal::Down { reference: unknown, reason: reason.clone() }).unwrap();
    rt.deliver(other, serial, Signal::LinkExit(ExitReason::Killed)).unwrap();
    assert_eq!(probe.all().await, []);
    rt.deliver(far(), serial, Signal::Down { reference, reason: reason.clone() }).unwrap();
    assert_eq!(probe.all().await, [Received::Down { reference, pid: far(), reason }]);
}

#[tokio::test]
async fn an_exit_that_crosses_an_unlink_does_nothing() {
    let rt = Runtime::new();
    let net = Recorder::attach(&rt);
    let mut probe = Probe::start(&rt);
    let serial = probe.pid().serial();
    rt.link(probe.pid(), far());
    net.sent();
    rt.unlink(probe.pid(), far());
    rt.unlink(probe.pid(), far());
    let out = net.sent();
    let [(_, _, Signal::Unlink { id })] = out[..] else { panic!("one unlink, not {out:?}") };
    rt.deliver(far(), serial, Signal::LinkExit(ExitReason::Killed)).unwrap();
    rt.deliver(far(), serial, Signal::UnlinkAck { id }).unwrap();
    assert_eq!(probe.all().await, []);
}

#[tokio::test]
async fn a_link_that_is_made_again_survives_the_late_acknowledgement_of_its_unlink() {
    let rt = Runtime::new();
    let net = Recorder::attach(&rt);
    let mut probe = Probe::start(&rt);
    let serial = probe.pid().serial();
    rt.link(probe.pid(), far());
    rt.unlink(probe.pid(), far());
    rt.link(probe.pid(), far());
    let out: Vec<Signal> = net.sent().into_iter().map(|(_, _, signal)| signal).collect();
    let [Signal::Link, Signal::Unlink { id }, Signal::Link] = out[..] else { panic!("{out:?}") };
    rt.deliver(far(), serial, Signal::UnlinkAck { id }).unwrap();
    assert_eq!(rt.info(probe.pid()).unwrap().links, [far()]);
    rt.deliver(far(), serial, Signal::LinkExit(ExitReason::Killed)).unwrap();
    assert_eq!(probe.all().await, [Received::Exit { from: far(), reason: ExitReason::Killed }]);
}

#[tokio::test]
async fn a_link_that_the_peer_makes_after_an_acknowledged_unlink_fires() {
    let rt = Runtime::new();
    let net = Recorder::attach(&rt);
    let mut probe = Probe::start(&rt);
    let serial = probe.pid().serial();
    rt.link(probe.pid(), far());
    rt.unlink(probe.pid(), far());
    let Some((_, _, Signal::Unlink { id })) = net.sent().pop() else { panic!("an unlink went out") };
    // The peer's acknowledgement, or the engine's in its place when the link between the nodes was lost.
    rt.deliver(far(), serial, Signal::UnlinkAck { id }).unwrap();
    rt.deliver(far(), serial, Signal::Link).unwrap();
    rt.deliver(far(), serial, Signal::LinkExit(ExitReason::Killed)).unwrap();
    assert_eq!(probe.all().await, [Received::Exit { from: far(), reason: ExitReason::Killed }]);
}

#[tokio::test]
async fn a_child_that_came_too_late_is_told_unless_its_caller_has_linked_itself_to_it_meanwhile() {
    let rt = Runtime::new();
    let net = Recorder::attach(&rt);
    let caller = parked(&rt);
    let serial = caller.pid().serial();
    let reference = Reference::from_raw(5);
    let exit = (serial, far(), Signal::LinkExit(ExitReason::NoConnection));
    let demonitor = (serial, far(), Signal::Demonitor { reference });
    rt.disown_remote(serial, far(), true, Some(reference));
    assert_eq!(net.sent(), [exit, demonitor.clone()]);
    rt.disown_remote(serial, far(), false, None);
    assert_eq!(net.sent(), []);
    assert!(rt.link(caller.pid(), far()));
    net.sent();
    rt.disown_remote(serial, far(), true, Some(reference));
    assert_eq!(net.sent(), [demonitor]);
    assert_eq!(rt.info(caller.pid()).unwrap().links, [far()]);
}

#[tokio::test]
async fn what_comes_for_a_dead_process_is_answered() {
    let rt = Runtime::new();
    let net = Recorder::attach(&rt);
    let gone = dead(&rt).await.serial();
    let reference = Reference::from_raw(5);
    let reason = ExitReason::NoProc;
    for (signal, answer) in [
        (Signal::Link, Some(Signal::LinkExit(reason.clone()))),
        (Signal::Monitor { reference }, Some(Signal::Down { reference, reason })),
        (Signal::Unlink { id: 9 }, Some(Signal::UnlinkAck { id: 9 })),
        (Signal::Message("x".into()), None),
        (Signal::Exit(ExitReason::Killed), None),
        (Signal::Demonitor { reference }, None),
        (Signal::LinkExit(ExitReason::Killed), None),
    ] {
        assert_eq!(rt.deliver(far(), gone, signal.clone()), Err(SendError::NoProc), "{signal:?}");
        let expected: Vec<_> = answer.into_iter().map(|answer| (gone, far(), answer)).collect();
        assert_eq!(net.sent(), expected, "{signal:?}");
    }
}

#[tokio::test]
async fn a_processs_end_tells_remote_links_watchers_and_targets() {
    let rt = Runtime::new();
    let net = Recorder::attach(&rt);
    let process = parked(&rt);
    let serial = process.pid().serial();
    let theirs = Reference::from_raw(5);
    rt.deliver(far(), serial, Signal::Link).unwrap();
    rt.deliver(far(), serial, Signal::Monitor { reference: theirs }).unwrap();
    let mine = rt.monitor(process.pid(), far()).unwrap();
    let forgotten = Reference::from_raw(6);
    rt.deliver(far(), serial, Signal::Monitor { reference: forgotten }).unwrap();
    rt.forget_remote_watcher(serial, far(), forgotten);
    net.sent();
    process.kill();
    process.join().await;
    let reason = ExitReason::Killed;
    assert_eq!(
        net.sent(),
        [
            (serial, far(), Signal::LinkExit(reason.clone())),
            (serial, far(), Signal::Down { reference: theirs, reason }),
            (serial, far(), Signal::Demonitor { reference: mine }),
        ]
    );
}

#[tokio::test]
async fn a_tracked_process_is_reported_once_after_its_last_signals() {
    let rt = Runtime::new();
    let net = Recorder::attach(&rt);
    let (tracked, untracked) = (parked(&rt), parked(&rt));
    assert!(rt.track(tracked.pid()) && rt.track(tracked.pid()));
    tracked.kill();
    untracked.kill();
    tracked.join().await;
    untracked.join().await;
    assert_eq!(*net.ended.lock(), [tracked.pid().serial()]);
    assert!(!rt.track(tracked.pid()), "it is gone");
}

#[tokio::test]
async fn a_pid_of_an_earlier_start_is_a_process_that_is_gone() {
    let rt = Runtime::new();
    let net = Recorder::attach(&rt);
    *net.fails.lock() = Some(SendError::StaleIncarnation);
    let mut probe = Probe::start(&rt);
    rt.link(probe.pid(), far());
    let reference = rt.monitor(probe.pid(), far()).unwrap();
    let reason = ExitReason::NoProc;
    let exit = Received::Exit { from: far(), reason: reason.clone() };
    assert_eq!(probe.all().await, [exit, Received::Down { reference, pid: far(), reason }]);
    assert_eq!(rt.send(far(), "x").await, Err(SendError::StaleIncarnation));
}
