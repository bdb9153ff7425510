//! The seed: rusm-cluster 0.7.0 over rusm-otp 0.7.0, by its own natural API and with its defaults.

use std::net::SocketAddr;

use rusm_cluster::{ClusterCa, ClusterNode, Identity};
use rusm_otp::{Context, Runtime};

use crate::workload::{Failure, Mailbox, Offers, System};

/// A node of the seed.
#[derive(Clone)]
pub(crate) struct Seed(ClusterNode);

/// A process's mailbox on the seed.
pub(crate) struct SeedMailbox(Context);

impl Mailbox for SeedMailbox {
    type Message = Vec<u8>;

    async fn recv(&mut self) -> Option<Vec<u8>> {
        self.0.recv().await.message()
    }
}

impl System for Seed {
    const NAME: &'static str = "seed";
    const OFFERS: Offers = Offers { spawn: true, handshake: true, bulk: true, reliable: true };
    type Authority = ClusterCa;
    type Identity = Identity;
    type Mailbox = SeedMailbox;

    fn authority() -> Result<ClusterCa, Failure> {
        ClusterCa::generate().map_err(|error| Failure::system("generate a CA", error))
    }

    fn issue(authority: &ClusterCa, name: &str) -> Result<Identity, Failure> {
        authority.issue(name).map_err(|error| Failure::system("issue a certificate", error))
    }

    fn start(name: &str, identity: &Identity) -> Result<Self, Failure> {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let node = ClusterNode::bind(name, Runtime::new(), loopback, identity);
        node.map(Self).map_err(|error| Failure::system("bind", error))
    }

    fn address(&self) -> Result<SocketAddr, Failure> {
        self.0.local_addr().map_err(|error| Failure::system("local_addr", error))
    }

    async fn connect(&self, address: SocketAddr) -> Result<(), Failure> {
        self.0.connect(address).await.map(drop).map_err(|error| Failure::system("connect", error))
    }

    fn sees(&self, peer: &str) -> bool {
        self.0.peers().iter().any(|name| name == peer)
    }

    fn process<F, Fut>(&self, name: &str, body: F) -> Result<(), Failure>
    where
        F: FnOnce(SeedMailbox) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let runtime = self.0.runtime();
        let handle = runtime.spawn(|context| body(SeedMailbox(context)));
        match runtime.register(name, handle.pid()) {
            true => Ok(()),
            false => Err(Failure::system("register", name)),
        }
    }

    async fn send(&self, to: &str, name: &str, payload: &[u8]) -> Result<(), Failure> {
        self.0.send(to, name, payload).await.map_err(|error| Failure::system("send", error))
    }

    fn offer_spawn(&self) -> Result<(), Failure> {
        self.0.register_spawnable("brief", |runtime, _| runtime.spawn(|_| async {}).pid());
        Ok(())
    }

    async fn spawn_remote(&self, to: &str) -> Result<(), Failure> {
        let pid = self.0.spawn_remote(to, "brief", Vec::new()).await;
        pid.map(drop).map_err(|error| Failure::system("spawn_remote", error))
    }

    async fn shutdown(self) {
        self.0.shutdown();
    }
}
