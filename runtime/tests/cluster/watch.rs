//! Links and monitors across nodes: each fires once, whatever ends first.

use regatta::{Context, ExitReason, Received};

use super::world::{Probe, pair, park, run};

/// The monitor is gone everywhere: the loss of the connection would fire it again if a trace of it were left.
async fn assert_nothing_more(a: regatta::ClusterNode, b: regatta::ClusterNode, probe: &mut Probe) {
    b.shutdown();
    a.settled(|a| a.peers().is_empty()).await;
    a.runtime().send(probe.pid(), "last").await.expect("the probe lives");
    assert_eq!(probe.next().await, Received::Message("last".into()), "nothing came before this");
}

#[test]
fn the_end_of_a_remote_process_fires_its_monitor_once() {
    run(async {
        let (a, b) = pair().await;
        let mut probe = Probe::start(&a);
        let target = b.runtime().spawn(|_| park());
        let pid = target.pid();
        let watch_and_end = move |ctx: &Context| {
            let reference = ctx.monitor(pid);
            assert!(ctx.exit(pid, ExitReason::custom("enough")), "the request is on its way");
            reference
        };
        let reference = probe.act(watch_and_end).await;
        let down = Received::Down { reference, pid: target.pid(), reason: ExitReason::custom("enough") };
        assert_eq!(probe.next().await, down);
        assert_nothing_more(a, b, &mut probe).await;
    });
}

#[test]
fn a_link_to_a_remote_process_carries_its_exit_once_and_both_ways() {
    run(async {
        let (a, b) = pair().await;
        let mut probe = Probe::start(&a);
        let target = b.runtime().spawn(|_| park());
        let pid = target.pid();
        let link_and_kill = move |ctx: &Context| {
            ctx.link(pid);
            assert!(ctx.exit(pid, ExitReason::Killed), "the request is on its way");
        };
        probe.act(link_and_kill).await;
        assert_eq!(probe.next().await, Received::Exit { from: pid, reason: ExitReason::Killed });

        let mut far = Probe::start(&b);
        let near = a.runtime().spawn(|_| park());
        assert!(a.runtime().link(near.pid(), far.pid()));
        near.kill();
        near.join().await;
        assert_eq!(far.next().await, Received::Exit { from: near.pid(), reason: ExitReason::Killed });
        assert_nothing_more(a, b, &mut probe).await;
    });
}

#[test]
fn the_shutdown_of_a_node_fires_links_and_monitors_on_its_processes_with_no_connection() {
    run(async {
        let (a, b) = pair().await;
        let mut probe = Probe::start(&a);
        let mut far = Probe::start(&b);
        let pid = far.pid();
        let set_up = move |ctx: &Context| {
            let reference = ctx.monitor(pid);
            ctx.link(pid);
            ctx.try_send(pid, "set up").expect("there is room");
            reference
        };
        let reference = probe.act(set_up).await;
        assert_eq!(far.message().await, "set up");
        b.shutdown();
        b.ended().await;
        let mut seen = [probe.next().await, probe.next().await];
        seen.sort_by_key(|received| matches!(received, Received::Down { .. }));
        let gone = ExitReason::NoConnection;
        assert_eq!(seen[0], Received::Exit { from: far.pid(), reason: gone.clone() });
        assert_eq!(seen[1], Received::Down { reference, pid: far.pid(), reason: gone.clone() });
        let exit = Received::Exit { from: probe.pid(), reason: gone };
        assert_eq!(far.next().await, exit, "the other end loses the link too, and lives on, alone");
        assert_nothing_more(a, b, &mut probe).await;
    });
}

#[test]
fn a_monitor_on_what_is_not_there_fires_at_once() {
    run(async {
        let (a, b) = pair().await;
        let mut probe = Probe::start(&a);
        let target = b.runtime().spawn(|_| async {});
        target.join().await;
        let reference = a.runtime().monitor(probe.pid(), target.pid()).expect("the probe lives");
        let down = Received::Down { reference, pid: target.pid(), reason: ExitReason::NoProc };
        assert_eq!(probe.next().await, down);
        b.shutdown();
        a.settled(|a| a.peers().is_empty()).await;
        let reference = a.runtime().monitor(probe.pid(), target.pid()).expect("the probe lives");
        let down = Received::Down { reference, pid: target.pid(), reason: ExitReason::NoConnection };
        assert_eq!(probe.next().await, down);
    });
}

#[test]
fn what_was_taken_back_does_not_fire() {
    run(async {
        let (a, b) = pair().await;
        let mut probe = Probe::start(&a);
        let target = Probe::start(&b);
        let rt = a.runtime().clone();
        let reference = rt.monitor(probe.pid(), target.pid()).expect("the probe lives");
        assert!(rt.link(probe.pid(), target.pid()));
        assert!(rt.demonitor(probe.pid(), reference));
        rt.unlink(probe.pid(), target.pid());
        target.process.kill();
        target.process.join().await;
        assert_nothing_more(a, b, &mut probe).await;
    });
}
