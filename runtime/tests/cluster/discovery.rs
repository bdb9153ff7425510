//! Nodes that find each other by a list, a name or a file.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use regatta::cluster::discovery::Found;
use regatta::cluster::{Discovery, DnsSeeds, SeedFile, StaticSeeds};
use regatta::{ClusterNode, Identity, Runtime};

use super::world::{anywhere, bind, run, shared};

fn search(name: &str, identity: &Identity, discovery: impl Discovery) -> ClusterNode {
    let builder = ClusterNode::builder(name, Runtime::new(), identity).discovery(discovery);
    builder.bind(anywhere()).expect("the node starts")
}

fn addr(node: &ClusterNode) -> SocketAddr {
    node.local_addr().expect("it runs")
}

async fn sees(node: &ClusterNode, peers: &[&str]) {
    node.settled(|node| node.peers() == peers).await;
}

#[test]
fn a_node_that_is_given_one_seed_is_linked_with_all_nodes() {
    run(async {
        let identity = shared();
        let a = bind("a", &identity);
        // Nobody answers at the first one.
        let nobody = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let seeds = StaticSeeds(vec![nobody.local_addr().expect("an address"), addr(&a)]);
        let b = search("b", &identity, seeds.clone());
        let c = search("c", &identity, seeds);
        sees(&a, &["b", "c"]).await;
        sees(&b, &["a", "c"]).await;
        sees(&c, &["a", "b"]).await;
    });
}

#[test]
fn all_addresses_of_a_name_are_dialled() {
    run(async {
        let identity = shared();
        let a = bind("a", &identity);
        // The name has an IPv6 address too on most machines, where nobody answers.
        let b = search("b", &identity, DnsSeeds::new("localhost", addr(&a).port()));
        sees(&a, &["b"]).await;
        sees(&b, &["a"]).await;
    });
}

/// A path of this test's own.
fn path(name: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("regatta-{name}-{}", std::process::id()))
}

#[test]
fn a_file_may_come_and_be_mended_later() {
    run(async {
        let identity = shared();
        let a = bind("a", &identity);
        let path = path("seeds");
        // It is not there, then it has a mistake, then the address.
        let b = search("b", &identity, SeedFile::new(&path));
        std::fs::write(&path, "nonsense\n").expect("written");
        std::fs::write(&path, format!("# the first node\n{}\n", addr(&a))).expect("written");
        sees(&b, &["a"]).await;
        std::fs::remove_file(&path).expect("removed");
    });
}

/// Answers in turn, the last one for ever, and counts how often it was asked.
#[derive(Clone)]
struct Script {
    answers: Arc<Mutex<Vec<io::Result<Vec<SocketAddr>>>>>,
    asked: Arc<tokio::sync::Semaphore>,
}

impl Script {
    fn new() -> Self {
        Self { answers: Arc::default(), asked: Arc::new(tokio::sync::Semaphore::new(0)) }
    }
}

impl Discovery for Script {
    fn addresses(&self) -> Found<'_> {
        let mut answers = self.answers.lock();
        let answer = if answers.is_empty() { Ok(Vec::new()) } else { answers.remove(0) };
        self.asked.add_permits(1);
        Box::pin(async { answer })
    }
}

#[test]
fn a_discovery_that_fails_or_knows_nobody_is_asked_again_until_the_node_ends() {
    run(async {
        let identity = shared();
        let a = bind("a", &identity);
        let script = Script::new();
        let fails = Err(io::Error::other("the resolver is away"));
        script.answers.lock().extend([fails, Ok(Vec::new()), Ok(vec![addr(&a)])]);
        let b = search("b", &identity, script.clone());
        sees(&b, &["a"]).await;
        assert!(script.asked.available_permits() >= 3);
        b.shutdown();
        b.ended().await;
        drop(b);
        // The task lets go of what it was given.
        while Arc::strong_count(&script.asked) > 1 {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_node_that_finds_itself_is_alone_and_stays_whole() {
    run(async {
        let identity = shared();
        let script = Script::new();
        let a = search("a", &identity, script.clone());
        let own = addr(&a);
        script.answers.lock().extend([Ok(vec![own]), Ok(vec![own])]);
        script.asked.acquire_many(3).await.expect("it is asked").forget();
        assert_eq!(a.peers(), [""; 0]);
        assert_eq!(a.stats().handshakes_refused, 0);
    });
}
