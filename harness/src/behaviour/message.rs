//! The harness's own messages: who sent it, its number, and a checksum over all of it.
//!
//! | Bytes | |
//! |---|---|
//! | 0 | kind |
//! | 4..8 | CRC-32 of everything else, little endian |
//! | 8..24 | pid of the sender: incarnation, serial |
//! | 24..32 | number: per sender for data, of the call for requests and replies |
//! | 32.. | body |

use regatta::{Bytes, Incarnation, Pid};

/// The size of the header, and so of the smallest message.
pub const HEADER_BYTES: usize = 32;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// One of a numbered row from its sender.
    Data = 1,
    /// Wants a reply with the same number.
    Request = 2,
    /// Answers a request.
    Reply = 3,
    /// Asks a process to do a job that waits on the scene; never leaves the node.
    Job = 4,
}

impl Kind {
    /// The word for it in records.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Request => "request",
            Self::Reply => "reply",
            Self::Job => "job",
        }
    }
}

/// A message, read.
#[derive(Debug, Clone)]
pub struct Message {
    /// What it is.
    pub kind: Kind,
    /// Who sent it.
    pub from: Pid,
    /// Its number.
    pub number: u64,
    /// Header and body.
    bytes: Bytes,
}

impl Message {
    /// Reads a message; `None` if it is cut, changed, or none of ours.
    #[must_use]
    pub fn read(bytes: Bytes) -> Option<Self> {
        let kind = match bytes.first()? {
            1 => Kind::Data,
            2 => Kind::Request,
            3 => Kind::Reply,
            4 => Kind::Job,
            _ => return None,
        };
        if bytes.len() < HEADER_BYTES || number_at(&bytes, 4, 4) != u64::from(checksum(&bytes)) {
            return None;
        }
        let from = Pid::new(Incarnation::from_raw(number_at(&bytes, 8, 8)), number_at(&bytes, 16, 8));
        Some(Self { kind, from, number: number_at(&bytes, 24, 8), bytes })
    }

    /// What follows the header.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.bytes[HEADER_BYTES..]
    }

    /// Header and body, as they came.
    #[must_use]
    pub fn as_it_came(&self) -> Vec<u8> {
        self.bytes.to_vec()
    }

    /// Size of header and body.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The reply to this request from `me`, with a body of its own or, if there is none, the same.
    #[must_use]
    pub fn reply(&self, me: Pid, body: Option<&[u8]>) -> Vec<u8> {
        write(Kind::Reply, me, self.number, body.unwrap_or_else(|| self.body()))
    }
}

/// A message with a body of the caller's.
#[must_use]
pub fn write(kind: Kind, from: Pid, number: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES + body.len()];
    bytes[HEADER_BYTES..].copy_from_slice(body);
    seal(&mut bytes, kind, from, number);
    bytes
}

/// Writes header and checksum over the start of `bytes`, which is the whole message.
pub fn seal(bytes: &mut [u8], kind: Kind, from: Pid, number: u64) {
    bytes[0] = kind as u8;
    bytes[8..16].copy_from_slice(&from.incarnation().raw().to_le_bytes());
    bytes[16..24].copy_from_slice(&from.serial().to_le_bytes());
    bytes[24..32].copy_from_slice(&number.to_le_bytes());
    let sum = checksum(bytes);
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..4]);
    hasher.update(&bytes[8..]);
    hasher.finalize()
}

fn number_at(bytes: &[u8], at: usize, len: usize) -> u64 {
    let mut raw = [0; 8];
    raw[..len].copy_from_slice(&bytes[at..at + len]);
    u64::from_le_bytes(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pid() -> Pid {
        Pid::new(Incarnation::from_raw(77), 5)
    }

    #[test]
    fn a_message_reads_back_as_it_was_written() {
        let read = Message::read(write(Kind::Request, pid(), 9, b"body").into()).expect("whole");
        assert_eq!((read.kind, read.from, read.number, read.body()), (Kind::Request, pid(), 9, &b"body"[..]));
        let reply = Message::read(read.reply(pid(), None).into()).expect("whole");
        assert_eq!((reply.kind, reply.number, reply.body()), (Kind::Reply, 9, &b"body"[..]));
    }

    #[test]
    fn a_flipped_bit_anywhere_or_a_cut_is_noticed() {
        let whole = write(Kind::Data, pid(), 1, b"some body");
        for at in (0..whole.len()).filter(|at| !(1..4).contains(at)) {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(Message::read(changed.into()).is_none(), "byte {at}");
        }
        for cut in 0..whole.len() {
            assert!(Message::read(Bytes::copy_from_slice(&whole[..cut])).is_none(), "cut at {cut}");
        }
    }
}
