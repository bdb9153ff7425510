//! The last datagrams of a node, kept for a report: what it sent, when, and what became of it.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::network::Key;

/// One datagram that a node sent.
#[derive(Debug, Clone)]
pub(crate) struct Captured {
    /// When, in nanoseconds since the run's start.
    pub(crate) at_ns: u64,
    /// Where it left.
    pub(crate) from: SocketAddr,
    /// Where it was to go.
    pub(crate) to: SocketAddr,
    /// Its bytes.
    pub(crate) data: Box<[u8]>,
    /// The fault that dropped it.
    pub(crate) dropped: Option<Key>,
}

/// A bounded store: the oldest give way.
#[derive(Debug)]
pub(crate) struct Capture {
    kept: VecDeque<Captured>,
    bytes: usize,
    bytes_max: usize,
    /// Datagrams that have given way.
    forgotten: u64,
}

impl Capture {
    /// A store for about so many bytes.
    pub(crate) const fn new(bytes_max: usize) -> Self {
        Self { kept: VecDeque::new(), bytes: 0, bytes_max, forgotten: 0 }
    }

    pub(crate) fn keep(&mut self, datagram: Captured) {
        self.bytes += datagram.data.len() + OVERHEAD_BYTES;
        self.kept.push_back(datagram);
        while self.bytes > self.bytes_max
            && let Some(oldest) = self.kept.pop_front()
        {
            self.bytes -= oldest.data.len() + OVERHEAD_BYTES;
            self.forgotten += 1;
        }
    }

    /// What is kept, oldest first, and how many datagrams have given way.
    pub(crate) fn take(&mut self) -> (Vec<Captured>, u64) {
        self.bytes = 0;
        (self.kept.drain(..).collect(), self.forgotten)
    }
}

/// What an entry takes beside its bytes, about.
const OVERHEAD_BYTES: usize = 96;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_datagrams_give_way_and_are_counted() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut capture = Capture::new(10 * (OVERHEAD_BYTES + 4));
        for at_ns in 0..25 {
            let data = Box::new([0; 4]);
            capture.keep(Captured { at_ns, from: addr, to: addr, data, dropped: None });
        }
        let (kept, forgotten) = capture.take();
        assert_eq!((kept.len(), kept[0].at_ns, forgotten), (10, 15, 15));
    }
}
