//! A path that loses datagrams: a relay between two nodes, on loopback, with a thread for each direction.
//!
//! It costs the same for every system: a receive and a send per datagram. What one trial loses follows from its seed.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, OnceLock};
use std::thread;

/// Room for the largest datagram.
const DATAGRAM_BYTES: usize = 65_536;

/// Starts a relay to the node at `to` that loses so many datagrams in a thousand, in each direction; where it listens. Its
/// threads end with the process.
pub(crate) fn start(to: SocketAddr, loss_per_mille: u32, seed: u64) -> io::Result<SocketAddr> {
    let here = SocketAddr::from(([127, 0, 0, 1], 0));
    let (front, back) = (UdpSocket::bind(here)?, UdpSocket::bind(here)?);
    back.connect(to)?;
    let listens = front.local_addr()?;
    let (front, back, caller) = (Arc::new(front), Arc::new(back), Arc::new(OnceLock::new()));
    let mut there = Loss { per_mille: loss_per_mille, random: fastrand::Rng::with_seed(seed) };
    let mut back_again = Loss { per_mille: loss_per_mille, random: fastrand::Rng::with_seed(!seed) };
    let (front_in, back_out, known) = (front.clone(), back.clone(), caller.clone());
    thread::Builder::new().name("relay-there".into()).spawn(move || {
        let mut datagram = vec![0; DATAGRAM_BYTES];
        while let Ok((len, from)) = front_in.recv_from(&mut datagram) {
            known.get_or_init(|| from);
            if !there.hits() {
                // What the socket does not take is lost too.
                let _ = back_out.send(&datagram[..len]);
            }
        }
    })?;
    thread::Builder::new().name("relay-back".into()).spawn(move || {
        let mut datagram = vec![0; DATAGRAM_BYTES];
        while let Ok(len) = back.recv(&mut datagram) {
            if let (false, Some(to)) = (back_again.hits(), caller.get()) {
                let _ = front.send_to(&datagram[..len], to);
            }
        }
    })?;
    Ok(listens)
}

struct Loss {
    per_mille: u32,
    random: fastrand::Rng,
}

impl Loss {
    fn hits(&mut self) -> bool {
        self.random.u32(0..1000) < self.per_mille
    }
}
