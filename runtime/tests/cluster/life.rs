//! Nodes start, link, and end.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use regatta::actor::Spawner;
use regatta::cluster::{BindError, ConnectError, NodeChange, NodeEvents};
use regatta::{Clock, ClusterCa, ClusterNode, Identity, Limits, Runtime, SendError, SystemClock, Timer};

use super::world::{Probe, anywhere, bind, link, pair, run, shared};

#[test]
fn two_nodes_that_dial_each_other_at_once_end_with_one_link() {
    run(async {
        let identity = shared();
        let (a, b) = (bind("a", &identity), bind("b", &identity));
        let (to_a, to_b) = (a.local_addr().expect("it runs"), b.local_addr().expect("it runs"));
        let all = tokio::join!(a.connect(to_b), b.connect(to_a), a.connect(to_b), b.connect(to_a));
        for outcome in [all.0, all.1, all.2, all.3] {
            outcome.expect("every dial succeeds");
        }
        assert_eq!((a.peers(), b.peers()), (vec!["b".to_owned()], vec!["a".to_owned()]));
        let dialed = |node: &ClusterNode| node.links().iter().map(|link| link.dialed).collect::<Vec<_>>();
        assert_eq!((dialed(&a).len(), dialed(&b).len()), (1, 1));
        assert_ne!(dialed(&a), dialed(&b), "the same link at both ends");
        let mut probe = Probe::start(&b);
        a.runtime().send(probe.pid(), "over it").await.expect("accepted");
        assert_eq!(probe.message().await, "over it");
        assert_eq!((a.stats().links_down, b.stats().links_down), (0, 0), "none gave way after it was up");
    });
}

#[test]
fn a_node_that_would_take_larger_messages_than_any_may_does_not_start() {
    run(async {
        let identity = shared();
        let start = |message_bytes_max| {
            let limits = Limits { message_bytes_max, ..Limits::default() };
            ClusterNode::builder("a", Runtime::new(), &identity).limits(limits).bind(anywhere())
        };
        let max = 16 << 20;
        assert!(start(max).is_ok());
        let error = start(max + 1).expect_err("above the ceiling");
        assert!(matches!(error, BindError::MessageBytes { asked, max: of } if asked == max + 1 && of == max));
    });
}

/// A node on a tokio runtime of its own, as a program has it.
fn apart(name: &str, identity: &Identity) -> (tokio::runtime::Runtime, ClusterNode) {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let tokio = tokio.expect("a tokio runtime");
    let node = {
        let _inside = tokio.enter();
        bind(name, identity)
    };
    (tokio, node)
}

/// Ends a node as the end of `main` does, or its panic; waits until its peer has heard of that.
async fn left_without_shutdown(tokio: tokio::runtime::Runtime, events: &mut NodeEvents) {
    tokio.shutdown_background();
    loop {
        match events.next().await.expect("the peer runs").change {
            NodeChange::Up => {}
            NodeChange::Left => return,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_node_whose_tokio_runtime_ends_amid_its_sends_says_goodbye_without_waiting_for_them() {
    run(async {
        let identity = shared();
        let a = bind("a", &identity);
        for _ in 0..10 {
            let (tokio, b) = apart("b", &identity);
            let mut events = a.node_events();
            link(&b, &a).await;
            for _ in 0..200 {
                b.send("a", "nobody", &[7; 4_096]).await.expect("they are linked");
            }
            left_without_shutdown(tokio, &mut events).await;
        }
    });
}

#[test]
fn a_node_whose_tokio_runtime_ends_says_goodbye_all_the_same() {
    run(async {
        let identity = shared();
        let a = bind("a", &identity);
        let (tokio, b) = apart("b", &identity);
        let mut events = a.node_events();
        link(&a, &b).await;
        left_without_shutdown(tokio, &mut events).await;
        assert_eq!(a.peers(), Vec::<String>::new());
    });
}

#[test]
fn a_node_does_not_link_with_itself() {
    run(async {
        let a = bind("a", &shared());
        let addr = a.local_addr().expect("it runs");
        assert_eq!(a.connect(addr).await.err(), Some(ConnectError::SelfDial(addr)));
        assert_eq!(a.peers(), Vec::<String>::new());
    });
}

#[test]
fn nodes_of_two_cas_do_not_trust_each_other() {
    run(async {
        let issue = |name| ClusterCa::generate().and_then(|ca| ca.issue(name)).expect("an identity");
        let (a, b) = (bind("a", &issue("a")), bind("b", &issue("b")));
        for (from, to) in [(&a, &b), (&b, &a)] {
            let outcome = from.connect(to.local_addr().expect("it runs")).await;
            assert!(matches!(outcome, Err(ConnectError::NotTrusted(_))), "{outcome:?}");
            to.settled(|to| to.stats().handshakes_refused == 1).await;
        }
        assert!(a.peers().is_empty() && b.peers().is_empty());
    });
}

#[test]
fn nodes_with_certificates_of_one_ca_link_under_their_names() {
    run(async {
        let ca = ClusterCa::generate().expect("a CA");
        let [a, b] = ["a", "b"].map(|name| bind(name, &ca.issue(name).expect("a certificate")));
        link(&a, &b).await;
        assert_eq!((a.peers(), b.peers()), (vec!["b".to_owned()], vec!["a".to_owned()]));
    });
}

#[test]
fn a_node_binds_only_under_the_name_of_its_identity() {
    run(async {
        let x = ClusterCa::generate().and_then(|ca| ca.issue("x")).expect("an identity");
        let runtime = Runtime::new();
        let error = ClusterNode::bind("y", runtime.clone(), anywhere(), &x).expect_err("another's identity");
        assert!(
            matches!(&error, BindError::Identity { name, issued } if name == "y" && issued == "x"),
            "{error}"
        );
        ClusterNode::bind("x", runtime, anywhere(), &x).expect("nothing was left behind");
    });
}

#[test]
fn what_cannot_be_bound_is_an_error_that_says_why() {
    run(async {
        let identity = shared();
        let runtime = Runtime::new();
        let a = ClusterNode::bind("a", runtime.clone(), anywhere(), &identity).expect("it starts");
        let twice = ClusterNode::bind("b", runtime, anywhere(), &identity);
        assert!(matches!(twice, Err(BindError::RuntimeInUse)), "{twice:?}");
        let addr = a.local_addr().expect("it runs");
        let taken = ClusterNode::bind("b", Runtime::new(), addr, &identity);
        assert!(matches!(&taken, Err(BindError::Address { addr: at, .. }) if *at == addr), "{taken:?}");
        let named = ClusterNode::bind("no.name", Runtime::new(), anywhere(), &identity);
        assert!(matches!(named, Err(BindError::Name(_))), "{named:?}");
    });
    let outside = ClusterNode::bind("a", Runtime::new(), anywhere(), &shared());
    assert!(matches!(outside, Err(BindError::NoTokio)), "{outside:?}");
}

#[test]
fn a_node_that_was_shut_down_tells_its_peers_and_does_nothing_more() {
    run(async {
        let (a, b) = pair().await;
        let probe = Probe::start(&b);
        b.shutdown();
        b.shutdown();
        a.settled(|a| a.peers().is_empty()).await;
        b.ended().await;
        let to_a = a.local_addr().expect("it runs");
        assert_eq!(b.connect(to_a).await.err(), Some(ConnectError::Shutdown));
        assert_eq!(b.local_addr().map_err(|error| error.kind()), Err(io::ErrorKind::NotConnected));
        assert!(b.runtime().is_alive(probe.pid()), "its processes go on, alone");
        assert_eq!(a.stats().links_down, 1);
    });
}

#[test]
fn what_a_node_had_sent_arrives_before_its_goodbye() {
    run(async {
        let identity = shared();
        // However slow the machine is.
        let limits = Limits { leave_timeout: Duration::from_secs(20), ..Limits::default() };
        let a = bind("a", &identity);
        let b = ClusterNode::builder("b", Runtime::new(), &identity).limits(limits).bind(anywhere());
        let b = b.expect("it starts");
        link(&b, &a).await;
        let mut probe = Probe::start(&a);
        for number in 0..5_000u32 {
            b.runtime().send(probe.pid(), number.to_be_bytes().to_vec()).await.expect("accepted");
        }
        b.shutdown();
        let late = b.runtime().send(probe.pid(), "late").await;
        assert_eq!(late, Err(SendError::NoConnection));
        for number in 0..5_000u32 {
            assert_eq!(probe.message().await, number.to_be_bytes()[..]);
        }
        b.ended().await;
        assert_eq!(b.stats().signals_dropped, 0);
    });
}

#[test]
fn the_last_handle_takes_the_node_with_it() {
    run(async {
        let (a, b) = pair().await;
        let (ended, other) = (b.ended(), b.clone());
        drop(b);
        assert_eq!(a.remote_pids("b").await, Ok(vec![]), "another handle keeps it");
        drop(other);
        ended.await;
        a.settled(|a| a.peers().is_empty()).await;
    });
}

#[test]
fn a_dial_ends_when_its_node_is_shut_down() {
    run(async {
        let a = bind("a", &shared());
        // A socket that never answers.
        let silent = std::net::UdpSocket::bind(anywhere()).expect("a socket");
        let (node, addr) = (a.clone(), silent.local_addr().expect("bound"));
        let dial = tokio::spawn(async move { node.connect(addr).await.err() });
        let mut first = [0; 1500];
        tokio::task::spawn_blocking(move || silent.recv(&mut first).expect("the dial's first datagram"))
            .await
            .expect("received");
        a.shutdown();
        assert_eq!(dial.await.expect("it ends"), Some(ConnectError::Shutdown));
    });
}

/// Counts what it is asked for, and gives what the system gives.
#[derive(Default)]
struct Counted {
    tasks: AtomicUsize,
    looks: AtomicUsize,
    timers: AtomicUsize,
}

impl Spawner for Counted {
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.tasks.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(task);
    }
}

impl Clock for Counted {
    fn unix_us(&self) -> u64 {
        SystemClock.unix_us()
    }

    fn now(&self) -> Instant {
        self.looks.fetch_add(1, Ordering::Relaxed);
        SystemClock.now()
    }

    fn timer(&self) -> Box<dyn Timer> {
        self.timers.fetch_add(1, Ordering::Relaxed);
        SystemClock.timer()
    }
}

#[test]
fn the_loop_of_a_node_runs_where_its_processes_do_and_by_the_same_clock() {
    run(async {
        let (counted, identity) = (Arc::new(Counted::default()), shared());
        let runtime = Runtime::builder().spawner(counted.clone()).clock(counted.clone()).build();
        let a = ClusterNode::bind("a", runtime, anywhere(), &identity).expect("the node starts");
        let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
        assert_eq!((count(&counted.tasks), count(&counted.timers)), (1, 1), "the loop and its timer");
        let b = bind("b", &identity);
        link(&a, &b).await;
        assert!(count(&counted.looks) > 1, "the loop tells the engine this clock's time");
        let _probe = Probe::start(&a);
        assert_eq!(count(&counted.tasks), 2, "a process");
    });
}
