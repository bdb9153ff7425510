//! Links between processes of one runtime.

use regatta_proto::reason::ExitReason;

use super::world::{Probe, dead, parked};
use crate::actor::{Received, Runtime, SpawnOptions};

#[tokio::test]
async fn linked_processes_end_together_with_one_reason_however_long_the_chain() {
    let rt = Runtime::new();
    let chain: Vec<_> = (0..5).map(|_| parked(&rt)).collect();
    for pair in chain.windows(2) {
        assert!(rt.link(pair[0].pid(), pair[1].pid()));
    }
    let reason = ExitReason::custom("in the middle");
    assert!(rt.exit(chain[2].pid(), reason.clone()));
    for process in &chain {
        assert_eq!(process.join().await, reason);
    }
    assert_eq!(rt.process_count(), 0);
}

#[tokio::test]
async fn a_normal_end_takes_nobody_with_it_but_is_told_to_who_traps() {
    let rt = Runtime::new();
    let (mut probe, other) = (Probe::start(&rt), parked(&rt));
    let brief = rt.spawn(|_| async {});
    rt.link(probe.pid(), brief.pid());
    rt.link(other.pid(), brief.pid());
    brief.join().await;
    assert_eq!(probe.all().await, [Received::Exit { from: brief.pid(), reason: ExitReason::Normal }]);
    assert!(rt.is_alive(other.pid()));
    assert_eq!(rt.info(other.pid()).unwrap().links, [], "the link is gone");
}

#[tokio::test]
async fn linking_twice_from_either_end_is_one_link() {
    let rt = Runtime::new();
    let (mut probe, other) = (Probe::start(&rt), parked(&rt));
    rt.link(probe.pid(), other.pid());
    rt.link(probe.pid(), other.pid());
    rt.link(other.pid(), probe.pid());
    assert_eq!(rt.info(probe.pid()).unwrap().links, [other.pid()]);
    assert_eq!(rt.info(other.pid()).unwrap().links, [probe.pid()]);
    other.kill();
    other.join().await;
    assert_eq!(probe.all().await, [Received::Exit { from: other.pid(), reason: ExitReason::Killed }]);
}

#[tokio::test]
async fn an_unlinked_process_hears_nothing_whoever_took_the_link_back() {
    let rt = Runtime::new();
    for by_probe in [true, false] {
        let (mut probe, other) = (Probe::start(&rt), parked(&rt));
        rt.link(probe.pid(), other.pid());
        let (one, two) = if by_probe { (probe.pid(), other.pid()) } else { (other.pid(), probe.pid()) };
        rt.unlink(one, two);
        assert_eq!(rt.info(probe.pid()).unwrap().links, []);
        other.kill();
        other.join().await;
        assert_eq!(probe.all().await, []);
        assert!(rt.is_alive(probe.pid()));
    }
}

#[tokio::test]
async fn a_link_to_a_process_that_is_gone_is_an_exit_with_no_process() {
    let rt = Runtime::new();
    let gone = dead(&rt).await;
    let (mut probe, plain) = (Probe::start(&rt), parked(&rt));
    assert!(rt.link(probe.pid(), gone));
    assert!(rt.link(plain.pid(), gone));
    assert_eq!(probe.all().await, [Received::Exit { from: gone, reason: ExitReason::NoProc }]);
    assert_eq!(plain.join().await, ExitReason::NoProc);
    assert!(!rt.link(gone, probe.pid()), "the dead make no links");
    assert_eq!(probe.all().await, []);
}

#[tokio::test]
async fn a_link_to_itself_is_none() {
    let rt = Runtime::new();
    let process = parked(&rt);
    assert!(rt.link(process.pid(), process.pid()));
    rt.unlink(process.pid(), process.pid());
    assert_eq!(rt.info(process.pid()).unwrap().links, []);
    process.kill();
    assert_eq!(process.join().await, ExitReason::Killed);
}

#[tokio::test]
async fn a_child_is_linked_before_its_first_poll() {
    let rt = Runtime::new();
    let mut probe = Probe::start(&rt);
    let options = SpawnOptions { link: Some(probe.pid()), ..SpawnOptions::default() };
    let child = rt.spawn_with(options, |_| async { ExitReason::custom("at once") });
    child.join().await;
    let exit = Received::Exit { from: child.pid(), reason: ExitReason::custom("at once") };
    assert_eq!(probe.all().await, [exit]);

    let parent = rt.spawn(|ctx| async move {
        ctx.spawn_link(|_| async { ExitReason::custom("takes its parent along") });
        std::future::pending::<()>().await;
    });
    assert_eq!(parent.join().await, ExitReason::custom("takes its parent along"));
}

#[tokio::test]
async fn processes_that_are_linked_to_each_other_in_a_ring_end_once_each() {
    let rt = Runtime::new();
    let ring: Vec<_> = (0..50).map(|_| parked(&rt)).collect();
    for at in 0..ring.len() {
        rt.link(ring[at].pid(), ring[(at + 1) % ring.len()].pid());
    }
    ring[7].kill();
    for process in &ring {
        assert_eq!(process.join().await, ExitReason::Killed);
    }
    let stats = rt.stats();
    assert_eq!((stats.spawned, stats.finished), (50, 50));
}
