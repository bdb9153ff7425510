//! What the machine can do at this moment without us: two threads, each of which sends itself datagrams over loopback.
//!
//! On a shared machine the kernel's part of a message takes half as long again from one quarter of a minute to the next, and a
//! saturation rate follows. As a multiple of this reference it does not.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use crate::gate::shift::median;

/// Bytes of a datagram: about what a full packet of QUIC has.
const DATAGRAM: usize = 1_200;
/// How long one reading takes.
const READING: Duration = Duration::from_millis(25);

/// So many readings together say how fast the machine is now.
const NOW: usize = 5;

/// The readings of a time.
#[derive(Debug, Default)]
pub(super) struct Reference {
    readings: Vec<f64>,
}

impl Reference {
    /// Takes a reading, while no load runs.
    pub(super) async fn read(&mut self) -> io::Result<()> {
        let reading = tokio::task::spawn_blocking(|| raw_udp(READING)).await;
        self.readings.push(reading.map_err(io::Error::other)??);
        Ok(())
    }

    /// Datagrams a second of each thread, there and back: the median of the latest readings; 1 before the first.
    pub(super) fn rate(&self) -> f64 {
        median(&self.readings[self.readings.len().saturating_sub(NOW)..]).unwrap_or(1.0)
    }
}

/// Datagrams a second that a thread sends to itself and takes, while another does the same: the mean of both.
fn raw_udp(time: Duration) -> io::Result<f64> {
    let other = thread::spawn(move || to_itself(time));
    let one = to_itself(time);
    let other = other.join().unwrap_or_else(|_| Err(io::Error::other("the second thread panicked")));
    Ok(f64::midpoint(one?, other?))
}

fn to_itself(time: Duration) -> io::Result<f64> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(socket.local_addr()?)?;
    // Loopback loses nothing that has room; should it, the reading fails and the run with it, rather than wait.
    socket.set_read_timeout(Some(WITHIN))?;
    let (sent, mut taken, mut datagrams) = ([7; DATAGRAM], [0; DATAGRAM], 0_u64);
    let begun = Instant::now();
    loop {
        socket.send(&sent)?;
        socket.recv(&mut taken)?;
        datagrams += 1;
        let elapsed = begun.elapsed();
        if elapsed >= time {
            return Ok(datagrams as f64 / elapsed.as_secs_f64());
        }
    }
}

/// How long a datagram may take.
const WITHIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reading_is_a_rate_and_the_median_of_the_latest_counts() {
        let mut reference = Reference::default();
        reference.read().await.expect("loopback works");
        assert!(reference.rate() > 1_000.0, "{reference:?}");
        reference.readings = vec![900.0, 900.0, 5.0, 3.0, 9.0, 4.0, 8.0];
        assert_eq!(reference.rate(), 5.0);
    }
}
