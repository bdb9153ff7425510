//! Raw UDP: each process has a socket of its own, a message is a datagram, and what is lost is lost.
//!
//! No encryption, no acknowledgement, no link: what a wake-up and two system calls cost, under the same process bodies.
//! A process's address follows from the node's address and the process's name, so that nobody has to be asked: a node
//! has a loopback address of its own, and each kind of process a range of ports. The addresses are taken from the
//! trial's process id, so that two trials do not meet.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use socket2::SockRef;
use tokio::net::UdpSocket;

use crate::workload::{Failure, Mailbox, NEAR, Offers, PAYLOAD_BYTES, System};

/// Receive buffer of each socket: a sink's senders do not wait for it.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// The kinds of process that receive, each with [`PORTS`] ports from [`FIRST_PORT`] on.
const KINDS: [&str; 5] = ["echo-", "probe-echo-", "client-", "sink-", "sender-"];
const FIRST_PORT: u16 = 10_000;
const PORTS: u16 = 2_000;

/// A node on raw UDP.
#[derive(Clone)]
pub(crate) struct Udp {
    address: Ipv4Addr,
    trial: u32,
    /// What all processes of the node send from.
    socket: Arc<UdpSocket>,
}

/// A process's own socket.
pub(crate) struct UdpMailbox {
    socket: UdpSocket,
    buffer: [u8; PAYLOAD_BYTES],
}

impl Mailbox for UdpMailbox {
    type Message = [u8; PAYLOAD_BYTES];

    async fn recv(&mut self) -> Option<[u8; PAYLOAD_BYTES]> {
        match self.socket.recv(&mut self.buffer).await {
            Ok(PAYLOAD_BYTES) => Some(self.buffer),
            _ => None,
        }
    }
}

impl System for Udp {
    const NAME: &'static str = "udp";
    const OFFERS: Offers = Offers { spawn: false, handshake: false, bulk: false, reliable: false };
    /// The trial's process id: nodes that are forked off it inherit it.
    type Authority = u32;
    type Identity = u32;
    type Mailbox = UdpMailbox;

    fn authority() -> Result<u32, Failure> {
        Ok(std::process::id())
    }

    fn issue(authority: &u32, _name: &str) -> Result<u32, Failure> {
        Ok(*authority)
    }

    fn start(name: &str, trial: &u32) -> Result<Self, Failure> {
        let address = address_of(*trial, name)?;
        Ok(Self { address, trial: *trial, socket: Arc::new(bind(SocketAddr::from((address, 0)))?) })
    }

    fn address(&self) -> Result<SocketAddr, Failure> {
        Ok(self.socket.local_addr()?)
    }

    async fn connect(&self, _address: SocketAddr) -> Result<(), Failure> {
        Ok(())
    }

    fn sees(&self, _peer: &str) -> bool {
        true
    }

    fn process<F, Fut>(&self, name: &str, body: F) -> Result<(), Failure>
    where
        F: FnOnce(UdpMailbox) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let socket = bind(SocketAddr::from((self.address, port_of(name)?)))?;
        tokio::spawn(body(UdpMailbox { socket, buffer: [0; PAYLOAD_BYTES] }));
        Ok(())
    }

    async fn send(&self, to: &str, name: &str, payload: &[u8]) -> Result<(), Failure> {
        let address = SocketAddr::from((address_of(self.trial, to)?, port_of(name)?));
        self.socket.send_to(payload, address).await?;
        Ok(())
    }

    fn offer_spawn(&self) -> Result<(), Failure> {
        Err(Failure::system("spawn_remote", "raw UDP starts no processes"))
    }

    async fn spawn_remote(&self, _to: &str) -> Result<(), Failure> {
        self.offer_spawn()
    }

    async fn shutdown(self) {}
}

fn bind(address: SocketAddr) -> Result<UdpSocket, Failure> {
    let socket = std::net::UdpSocket::bind(address)?;
    SockRef::from(&socket).set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    Ok(UdpSocket::from_std(socket)?)
}

/// 127, then 17 bits of the trial, then 7 bits of the node: 0 is the near one, the others are 1 more than their link.
fn address_of(trial: u32, node: &str) -> Result<Ipv4Addr, Failure> {
    let index = match node.strip_prefix("far-") {
        Some(link) => link.parse::<u32>().ok().and_then(|link| link.checked_add(1)),
        None => (node == NEAR).then_some(0),
    };
    let index = index.filter(|index| *index < 128).ok_or(Failure::Late("a node of that name"))?;
    Ok(Ipv4Addr::from_bits(127 << 24 | (trial & 0x1_ffff) << 7 | index))
}

fn port_of(process: &str) -> Result<u16, Failure> {
    let port = KINDS.iter().zip(0u16..).find_map(|(kind, place)| {
        let index = process.strip_prefix(kind)?.parse::<u16>().ok().filter(|index| *index < PORTS)?;
        Some(FIRST_PORT + place * PORTS + index)
    });
    port.ok_or(Failure::Late("a process of that name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_and_process_has_an_address_of_its_own() {
        let nodes = [NEAR, "far-0", "far-1", "far-31"].map(|node| address_of(7, node).expect("a node"));
        let processes = ["echo-0", "echo-1023", "probe-echo-0", "client-0", "sink-31", "sender-31"];
        let ports = processes.map(|process| port_of(process).expect("a process"));
        for list in [nodes.map(|address| address.to_string()).to_vec(), ports.map(|p| p.to_string()).to_vec()]
        {
            let distinct: std::collections::BTreeSet<_> = list.iter().collect();
            assert_eq!(distinct.len(), list.len(), "{list:?}");
        }
        assert!(nodes.iter().all(Ipv4Addr::is_loopback));
    }

    #[test]
    fn another_trial_has_other_addresses() {
        assert_ne!(address_of(7, NEAR).expect("a node"), address_of(8, NEAR).expect("a node"));
    }
}
