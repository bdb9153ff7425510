//! Our side: the crate `regatta`, by the same calls and with its defaults but for `connect_all(false)`.

use std::net::SocketAddr;
use std::time::Duration;

use ::regatta::actor::SpawnOptions;
use ::regatta::{Bytes, ClusterCa, ClusterNode, Context, Identity, Runtime};

use crate::workload::{Failure, Mailbox, Offers, System};

/// Spins as it comes: on a runtime of one worker.
pub(crate) const DEFAULT: u8 = 0;
/// Sleeps whenever there is nothing to do.
pub(crate) const SLEEPS: u8 = 1;
/// Spins also on a runtime of several workers.
pub(crate) const SPINS: u8 = 2;

/// How long one that [`SPINS`] looks for more: as long as one that spins by default.
const SPIN: Duration = Duration::from_micros(100);

/// A node of Regatta; `IDLE` is one of the constants above.
#[derive(Clone)]
pub(crate) struct Regatta<const IDLE: u8>(ClusterNode);

/// A process's mailbox on Regatta.
pub(crate) struct RegattaMailbox(Context);

impl Mailbox for RegattaMailbox {
    type Message = Bytes;

    async fn recv(&mut self) -> Option<Bytes> {
        self.0.recv().await.message()
    }
}

impl<const IDLE: u8> System for Regatta<IDLE> {
    const NAME: &'static str = match IDLE {
        SLEEPS => "regatta-sleeps",
        SPINS => "regatta-spins",
        _ => "regatta",
    };
    const OFFERS: Offers = Offers { spawn: true, handshake: true, bulk: true, reliable: true };
    type Authority = ClusterCa;
    type Identity = Identity;
    type Mailbox = RegattaMailbox;

    fn authority() -> Result<ClusterCa, Failure> {
        ClusterCa::generate().map_err(|error| Failure::system("generate a CA", error))
    }

    fn issue(authority: &ClusterCa, name: &str) -> Result<Identity, Failure> {
        authority.issue(name).map_err(|error| Failure::system("issue a certificate", error))
    }

    fn start(name: &str, identity: &Identity) -> Result<Self, Failure> {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        // The links of a trial are those that it makes, as on the other systems: far nodes need none to each other.
        let mut builder = ClusterNode::builder(name, Runtime::new(), identity).connect_all(false);
        match IDLE {
            SLEEPS => builder = builder.spin(Duration::ZERO),
            SPINS => builder = builder.spin(SPIN),
            _ => {}
        }
        builder.bind(loopback).map(Self).map_err(|error| Failure::system("bind", error))
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
        F: FnOnce(RegattaMailbox) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let runtime = self.0.runtime();
        // It begins once it has its name: what it asks for may be answered by that name at once.
        let held = SpawnOptions { held: true, ..SpawnOptions::default() };
        let handle = runtime.spawn_with(held, |context| body(RegattaMailbox(context)));
        runtime.register(name, handle.pid()).map_err(|error| Failure::system("register", error))?;
        runtime.release(handle.pid());
        Ok(())
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
        self.0.ended().await;
    }
}
