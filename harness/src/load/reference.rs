//! What the machine can do at this moment without us: two threads, each of which seals datagrams and sends them to itself.
//!
//! On a shared machine a message takes a fifth longer in one minute than in the next, and a saturation rate follows. As a multiple of
//! this reference it follows far less: sealing and segmented sends are what a transport over QUIC cannot do without. Datagrams that
//! are sent one by one follow worse, and so do processor, memory, allocator and plain system calls on their own.

use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

/// Bytes of a datagram: about what a full packet of QUIC has, with those of its seal.
const DATAGRAM: usize = 1_200;
const SEAL: usize = 16;
/// Datagrams that are handed to the kernel at once, where it takes them so.
const BATCH: usize = 10;
/// How long one reading takes.
const READING: Duration = Duration::from_millis(30);
/// How long a datagram may take.
const WITHIN: Duration = Duration::from_secs(1);

/// Takes a reading, while no load runs: datagrams a second of each thread.
pub(super) async fn read() -> io::Result<f64> {
    tokio::task::spawn_blocking(|| sealed_udp(READING)).await.map_err(io::Error::other)?
}

/// Datagrams a second that a thread seals, sends to itself and takes, while another does the same: the mean of both.
fn sealed_udp(time: Duration) -> io::Result<f64> {
    let other = thread::spawn(move || to_itself(time));
    let one = to_itself(time);
    let other = other.join().unwrap_or_else(|_| Err(io::Error::other("the second thread panicked")));
    Ok(f64::midpoint(one?, other?))
}

fn to_itself(time: Duration) -> io::Result<f64> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let destination = socket.local_addr()?;
    let state = UdpSocketState::new((&socket).into())?;
    socket.set_nonblocking(false)?;
    // Loopback loses nothing that has room; should it, the reading fails and the search with it, rather than wait.
    socket.set_read_timeout(Some(WITHIN))?;
    let key = UnboundKey::new(&AES_128_GCM, &[7; 16]).map_err(|_| io::Error::other("no AES-128-GCM"))?;
    let key = LessSafeKey::new(key);
    let mut sent = vec![7; DATAGRAM * BATCH.min(state.max_gso_segments())];
    let (mut taken, mut meta) = (vec![0; 1 << 16], [RecvMeta::default()]);
    let (begun, mut datagrams) = (Instant::now(), 0);
    loop {
        for datagram in sent.chunks_exact_mut(DATAGRAM) {
            // Nobody is to be kept from reading it.
            let nonce = Nonce::assume_unique_for_key([0; 12]);
            let sealed =
                key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut datagram[..DATAGRAM - SEAL]);
            let tag = sealed.map_err(|_| io::Error::other("a datagram cannot be sealed"))?;
            datagram[DATAGRAM - SEAL..].copy_from_slice(tag.as_ref());
        }
        let segment_size = (sent.len() > DATAGRAM).then_some(DATAGRAM);
        let transmit = Transmit { destination, ecn: None, contents: &sent, segment_size, src_ip: None };
        state.try_send((&socket).into(), &transmit)?;
        let mut came = 0;
        while came < sent.len() {
            state.recv((&socket).into(), &mut [IoSliceMut::new(&mut taken)], &mut meta)?;
            came += meta[0].len;
        }
        datagrams += sent.len() / DATAGRAM;
        let elapsed = begun.elapsed();
        if elapsed >= time {
            return Ok(datagrams as f64 / elapsed.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reading_is_a_rate() {
        assert!(read().await.expect("loopback works") > 1_000.0);
    }
}
