//! Socket addresses as bytes: the address (4 or 16 bytes) and the port (2 bytes), both in network order.

use std::net::{IpAddr, SocketAddr};

/// The address as bytes.
pub(crate) fn bytes(addr: &SocketAddr) -> Vec<u8> {
    let mut out = match addr.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    out.extend_from_slice(&addr.port().to_be_bytes());
    out
}

/// The address that the bytes stand for, if they stand for one.
pub(crate) fn read(bytes: &[u8]) -> Option<SocketAddr> {
    let (port, ip) = bytes.split_last_chunk::<2>().map(|(ip, port)| (u16::from_be_bytes(*port), ip))?;
    let ip = match ip.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(ip).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(ip).ok()?),
        _ => return None,
    };
    Some(SocketAddr::new(ip.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bytes_of_an_address_stay_what_they_are() {
        let v4: SocketAddr = "10.1.2.3:4000".parse().unwrap();
        assert_eq!(bytes(&v4), [10, 1, 2, 3, 0x0f, 0xa0]);
        let v6: SocketAddr = "[2001:db8::7]:1".parse().unwrap();
        assert_eq!(bytes(&v6).len(), 18);
        assert_eq!(read(&bytes(&v6)), Some(v6));
        let mapped: SocketAddr = "[::ffff:10.1.2.3]:4000".parse().unwrap();
        assert_eq!(read(&bytes(&mapped)), Some(v4), "one address, whichever way it is written");
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_address_or_none(input in prop::collection::vec(any::<u8>(), 0..32)) {
            prop_assert_eq!(read(&input).is_some(), input.len() == 6 || input.len() == 18);
        }
    }
}
