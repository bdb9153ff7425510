//! How much of what has arrived one turn of the loop delivers, before the answers to it leave.
//!
//! With a whole train delivered first, the peer would wait while we work, and we while it works: with 256 messages between two
//! nodes on two cores, turns of 128 leave a quarter of the cores idle, and turns of 96 nothing. With many peers there is always one
//! that works meanwhile, and a turn that cuts the train of one of them in two costs datagrams. Where nothing is answered, nobody
//! waits for the end of a turn. All three were measured, with messages of 64 bytes.

/// Signals of a turn while one peer is all there is.
const ONE_PEER: usize = 96;
/// Signals of a turn with more peers.
const MORE_PEERS: usize = 128;
/// Signals of a turn while what arrives is not answered.
const UNANSWERED: usize = 512;

/// What the loop has seen of answers.
#[derive(Debug, Default)]
pub(crate) struct Share {
    /// The last turn in which anything arrived had nothing to send for it.
    unanswered: bool,
}

impl Share {
    /// Signals, about, that the next turn delivers.
    pub(crate) fn signals(&self, peers: usize) -> usize {
        match (self.unanswered, peers) {
            (true, _) => UNANSWERED,
            (false, ..=1) => ONE_PEER,
            (false, _) => MORE_PEERS,
        }
    }

    /// A turn delivered signals, and what they woke has run; whether that has something to send.
    pub(crate) fn delivered(&mut self, answered: bool) {
        self.unanswered = !answered;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_answered_comes_in_shares_and_a_peer_alone_in_smaller_ones() {
        let mut share = Share::default();
        assert_eq!((share.signals(1), share.signals(2)), (ONE_PEER, MORE_PEERS));
        share.delivered(false);
        assert_eq!((share.signals(1), share.signals(2)), (UNANSWERED, UNANSWERED));
        share.delivered(true);
        assert_eq!((share.signals(0), share.signals(200)), (ONE_PEER, MORE_PEERS));
    }
}
