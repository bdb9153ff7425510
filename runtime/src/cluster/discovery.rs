//! Where the other nodes may be: a list, a DNS name, a file, or whatever a program asks instead.
//!
//! A node that was given a discovery asks it from its start on, dials what it does not know, and asks again: soon while
//! it is linked with nobody, seldom afterwards, so that two halves of a cluster that started apart find each other in
//! the end. Members found through others need none of this; a member that was lost is dialled by the node itself.

use std::collections::BTreeSet;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use regatta_proto::host::ConnectError;
use tokio::sync::watch;

use super::core::{Core, Life};
use crate::clock::Timer;

/// Between two looks while the node is linked with nobody: at first, and at most; doubled from look to look.
const ALONE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// Between two looks while it is linked.
const TOGETHER: Duration = Duration::from_secs(30);
/// Addresses of one answer that are looked at.
const ADDRS_MAX: usize = 1_024;

/// The answer of a discovery.
pub type Found<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// Knows where other nodes of the cluster may be.
pub trait Discovery: Send + Sync + 'static {
    /// The addresses as of now. The node's own may be among them, and those of nodes that do not run.
    ///
    /// An error is logged, and asked again later.
    fn addresses(&self) -> Found<'_>;
}

/// A list that does not change.
#[derive(Debug, Clone, Default)]
pub struct StaticSeeds(pub Vec<SocketAddr>);

impl Discovery for StaticSeeds {
    fn addresses(&self) -> Found<'_> {
        Box::pin(async { Ok(self.0.clone()) })
    }
}

/// All addresses of a DNS name, IPv4 and IPv6, with one port: a headless service, or a name with several records. Asked
/// by the system's resolver on one of tokio's blocking threads.
#[derive(Debug, Clone)]
pub struct DnsSeeds {
    name: String,
    port: u16,
}

impl DnsSeeds {
    /// The addresses of `name`, with `port`.
    #[must_use]
    pub fn new(name: impl Into<String>, port: u16) -> Self {
        Self { name: name.into(), port }
    }
}

impl Discovery for DnsSeeds {
    fn addresses(&self) -> Found<'_> {
        Box::pin(async { Ok(tokio::net::lookup_host((self.name.as_str(), self.port)).await?.collect()) })
    }
}

/// A file with one address and port in a line; empty lines, and what follows a `#`, do not count. It is read at every
/// look, on one of tokio's blocking threads, so it may change.
#[derive(Debug, Clone)]
pub struct SeedFile {
    path: PathBuf,
}

impl SeedFile {
    /// The file at `path`, which need not be there yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn parse(text: &str) -> io::Result<Vec<SocketAddr>> {
        let lines =
            text.lines().zip(1..).map(|(line, number)| (line.split('#').next().unwrap_or("").trim(), number));
        let addrs = lines.filter(|(line, _)| !line.is_empty()).map(|(line, number)| {
            line.parse().map_err(|_| {
                let detail =
                    format!("line {number}: {line:?} is not an address with a port, such as 10.0.0.7:4000");
                io::Error::new(io::ErrorKind::InvalidData, detail)
            })
        });
        addrs.collect()
    }
}

impl Discovery for SeedFile {
    fn addresses(&self) -> Found<'_> {
        Box::pin(async {
            let path = self.path.clone();
            let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(path));
            Self::parse(&read.await.map_err(io::Error::other)??)
        })
    }
}

/// Looks for other nodes as long as the node runs.
pub(crate) struct Search {
    core: Weak<Core>,
    discovery: Arc<dyn Discovery>,
    life: watch::Receiver<Life>,
    timer: Box<dyn Timer>,
    /// Addresses that turned out to be the node's own.
    own: BTreeSet<SocketAddr>,
    /// What the last look failed with, so that the log has it once.
    failed: Option<String>,
}

impl fmt::Debug for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Search").finish_non_exhaustive()
    }
}

impl Search {
    pub(crate) fn new(core: &Arc<Core>, discovery: Arc<dyn Discovery>) -> Self {
        let mut own = BTreeSet::from([core.addr]);
        own.extend(core.advertised.iter().copied());
        let (life, timer) = (core.life.subscribe(), core.runtime.clock().timer());
        Self { core: Arc::downgrade(core), discovery, life, timer, own, failed: None }
    }

    pub(crate) async fn run(mut self) {
        let mut pause = ALONE.0;
        loop {
            let found = tokio::select! {
                biased;
                _ = self.life.wait_for(|life| *life > Life::Running) => return,
                found = self.discovery.addresses() => found,
            };
            let Some(core) = self.core.upgrade() else { return };
            match found {
                Ok(addrs) => {
                    self.failed = None;
                    self.dial(&core, addrs).await;
                }
                Err(error) => self.note(&core, &error),
            }
            let is_linked = !core.peers.all().is_empty();
            let next = if is_linked { TOGETHER } else { pause };
            pause = if is_linked { ALONE.0 } else { (2 * pause).min(ALONE.1) };
            // Not all nodes that were started by one act look at the same moments.
            let jitter = fastrand::Rng::with_seed(core.id.incarnation.raw() ^ core.number()).u32(..256);
            let until = core.runtime.clock().now() + next - next * jitter / 1_024;
            drop(core);
            if self.sleeps(until).await {
                return;
            }
        }
    }

    /// Dials all that are not known yet, at the same time.
    async fn dial(&mut self, core: &Arc<Core>, addrs: Vec<SocketAddr>) {
        let linked: BTreeSet<SocketAddr> =
            core.read_engine(|engine| engine.links().map(|link| link.addr).collect());
        let advertised: BTreeSet<SocketAddr> = core.read_engine(|engine| {
            let linked = engine.members().filter(|member| member.standing == super::node::Standing::Up);
            linked.flat_map(|member| member.addrs).collect()
        });
        let known =
            |addr: &SocketAddr| linked.contains(addr) || advertised.contains(addr) || self.own.contains(addr);
        let wanted: BTreeSet<SocketAddr> =
            addrs.into_iter().take(ADDRS_MAX).filter(|addr| !known(addr)).collect();
        let dials: Vec<_> = wanted.into_iter().map(|addr| (addr, core.dial(addr))).collect();
        for (addr, dial) in dials {
            match dial.await {
                Ok(_) => {}
                Err(ConnectError::SelfDial(_)) => {
                    self.own.insert(addr);
                }
                // It may be a node that does not run yet; who does not belong here is said by name.
                Err(error) => tracing::debug!(node = %core.id.name, %addr, %error, "a seed was not linked"),
            }
        }
    }

    fn note(&mut self, core: &Core, error: &io::Error) {
        let text = error.to_string();
        if self.failed.as_ref() != Some(&text) {
            tracing::warn!(node = %core.id.name, %error, "the discovery of other nodes failed; it is asked again");
            self.failed = Some(text);
        }
    }

    /// Waits; whether the node has ended meanwhile.
    async fn sleeps(&mut self, until: Instant) -> bool {
        self.timer.set(until);
        tokio::select! {
            biased;
            _ = self.life.wait_for(|life| *life > Life::Running) => true,
            () = poll_fn(|cx| self.timer.poll(cx)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_an_address_in_a_line_and_says_which_line_has_none() {
        let text = "# seeds\n10.0.0.1:4000\n\n  [::1]:4001  # here\n";
        let addrs = SeedFile::parse(text).expect("addresses");
        assert_eq!(
            addrs.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["10.0.0.1:4000", "[::1]:4001"]
        );
        let error = SeedFile::parse("10.0.0.1:4000\nlondon\n").expect_err("no address");
        assert_eq!(
            error.to_string(),
            "line 2: \"london\" is not an address with a port, such as 10.0.0.7:4000"
        );
    }
}
