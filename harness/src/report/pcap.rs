//! Captured datagrams as a pcapng file (draft-ietf-opsawg-pcapng), with the secrets that decrypt them inside.
//!
//! Wireshark opens it and shows QUIC in the clear. A datagram that a fault dropped is there too, with a comment.

use std::net::{IpAddr, SocketAddr};

use crate::fault::capture::Captured;

/// The file's bytes. `fault` names a fault by its key.
pub(crate) fn file(captured: &[Captured], keys: &[String], fault: impl Fn(u32) -> String) -> Vec<u8> {
    let mut out = Vec::new();
    let mut header = Vec::new();
    header.extend(0x1a2b_3c4d_u32.to_le_bytes());
    header.extend(1_u16.to_le_bytes());
    header.extend(0_u16.to_le_bytes());
    header.extend(u64::MAX.to_le_bytes());
    block(&mut out, SECTION_HEADER, &header);
    let mut interface = Vec::new();
    interface.extend(LINKTYPE_RAW.to_le_bytes());
    interface.extend([0; 6]);
    // Timestamps in nanoseconds.
    option(&mut interface, 9, &[9]);
    option(&mut interface, 0, &[]);
    block(&mut out, INTERFACE, &interface);
    if !keys.is_empty() {
        let text = format!("{}\n", keys.join("\n"));
        let mut secrets = Vec::new();
        secrets.extend(TLS_KEY_LOG.to_le_bytes());
        secrets.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
        secrets.extend(text.as_bytes());
        pad(&mut secrets);
        block(&mut out, SECRETS, &secrets);
    }
    for datagram in captured {
        let bytes = packet(datagram.from, datagram.to, &datagram.data);
        let mut body = Vec::new();
        body.extend(0_u32.to_le_bytes());
        body.extend(u32::try_from(datagram.at_ns >> 32).unwrap_or(0).to_le_bytes());
        body.extend((datagram.at_ns as u32).to_le_bytes());
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        body.extend(length);
        body.extend(length);
        body.extend(&bytes);
        pad(&mut body);
        if let Some(key) = datagram.dropped {
            option(&mut body, 1, format!("dropped by {}", fault(key)).as_bytes());
            option(&mut body, 0, &[]);
        }
        block(&mut out, PACKET, &body);
    }
    out
}

fn block(out: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let length = u32::try_from(body.len() + 12).unwrap_or(u32::MAX).to_le_bytes();
    out.extend(kind.to_le_bytes());
    out.extend(length);
    out.extend(body);
    out.extend(length);
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend(code.to_le_bytes());
    out.extend(u16::try_from(value.len()).unwrap_or(0).to_le_bytes());
    out.extend(value);
    pad(out);
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

/// The datagram with headers of IPv4 and UDP.
fn packet(from: SocketAddr, to: SocketAddr, data: &[u8]) -> Vec<u8> {
    let v4 = |addr: SocketAddr| match addr.ip() {
        IpAddr::V4(ip) => ip.octets(),
        IpAddr::V6(_) => [0; 4],
    };
    let udp_length = u16::try_from(data.len() + 8).unwrap_or(u16::MAX);
    let mut ip = Vec::with_capacity(28 + data.len());
    ip.extend([0x45, 0]);
    ip.extend((udp_length.saturating_add(20)).to_be_bytes());
    ip.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
    ip.extend(v4(from));
    ip.extend(v4(to));
    let mut sum: u32 = ip.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let checksum = !(sum as u16);
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    ip.extend(from.port().to_be_bytes());
    ip.extend(to.port().to_be_bytes());
    ip.extend(udp_length.to_be_bytes());
    // No checksum: allowed over IPv4.
    ip.extend([0, 0]);
    ip.extend(data);
    ip
}

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
const SECRETS: u32 = 10;
/// Packets begin with their IP header.
const LINKTYPE_RAW: u16 = 101;
/// `TLSK`.
const TLS_KEY_LOG: u32 = 0x544c_534b;

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(dropped: Option<u32>) -> Captured {
        let addr = |port| SocketAddr::from(([10, 0, 0, 1], port));
        Captured { at_ns: 5_000_000_123, from: addr(1), to: addr(2), data: Box::new([1, 2, 3]), dropped }
    }

    /// The blocks of a file: kind and body.
    fn blocks(mut file: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let number = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().unwrap());
        let mut all = Vec::new();
        while !file.is_empty() {
            let length = number(&file[4..]) as usize;
            assert_eq!(length % 4, 0);
            assert_eq!(number(&file[length - 4..]) as usize, length, "the length stands at both ends");
            all.push((number(file), file[8..length - 4].to_vec()));
            file = &file[length..];
        }
        all
    }

    #[test]
    fn a_file_has_its_secrets_before_its_packets_and_says_what_was_dropped() {
        let keys = ["CLIENT_RANDOM aa bb".to_owned()];
        let file = file(&[captured(None), captured(Some(7))], &keys, |key| format!("`f{key}`"));
        let blocks = blocks(&file);
        let kinds: Vec<u32> = blocks.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [SECTION_HEADER, INTERFACE, SECRETS, PACKET, PACKET]);
        let has = |body: &[u8], text: &str| body.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(has(&blocks[2].1, "CLIENT_RANDOM aa bb\n"));
        assert!(!has(&blocks[3].1, "dropped") && has(&blocks[4].1, "dropped by `f7`"));
    }

    #[test]
    fn an_ip_header_sums_up() {
        let bytes = packet(captured(None).from, captured(None).to, &[9; 5]);
        let mut sum: u32 =
            bytes[..20].chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        assert_eq!((sum, bytes.len()), (0xffff, 33));
    }
}
