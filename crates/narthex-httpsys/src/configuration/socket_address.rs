//! Socket addresses as Windows lays them out: `SOCKADDR_IN` and `SOCKADDR_IN6` in the room of a `SOCKADDR_STORAGE`.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// `AF_INET`.
const IPV4: u16 = 2;
/// `AF_INET6`, which is another number on other systems.
const IPV6: u16 = 23;

/// The bytes of a `SOCKADDR_STORAGE`.
pub(super) const STORAGE: usize = 128;

/// The bytes of an address, and how many of them count.
pub(super) fn to_bytes(address: SocketAddr) -> ([u8; STORAGE], usize) {
    let mut bytes = [0; STORAGE];
    bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
    match address {
        SocketAddr::V4(address) => {
            bytes[..2].copy_from_slice(&IPV4.to_ne_bytes());
            bytes[4..8].copy_from_slice(&address.ip().octets());
            (bytes, 16)
        }
        SocketAddr::V6(address) => {
            bytes[..2].copy_from_slice(&IPV6.to_ne_bytes());
            bytes[8..24].copy_from_slice(&address.ip().octets());
            bytes[24..28].copy_from_slice(&address.scope_id().to_ne_bytes());
            (bytes, 28)
        }
    }
}

/// The address that begins with these bytes. `None` if it is of neither kind.
pub(super) fn from_bytes(bytes: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(*bytes.first_chunk()?);
    let port = u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
    match family {
        IPV4 => {
            let ip: [u8; 4] = *bytes.get(4..)?.first_chunk()?;
            Some((Ipv4Addr::from(ip), port).into())
        }
        IPV6 => {
            let ip: [u8; 16] = *bytes.get(8..)?.first_chunk()?;
            let scope = u32::from_ne_bytes(*bytes.get(24..)?.first_chunk()?);
            Some(SocketAddrV6::new(Ipv6Addr::from(ip), port, 0, scope).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_as_they_went() {
        for text in ["0.0.0.0:443", "127.0.0.1:65535", "[::]:443", "[fe80::1%5]:80", "[2001:db8::1]:8443"] {
            let address: SocketAddr = text.parse().unwrap();
            let (bytes, length) = to_bytes(address);
            assert_eq!(from_bytes(&bytes[..length]), Some(address));
            assert_eq!(from_bytes(&bytes[..length - 1]).is_some(), address.is_ipv4(), "IPv4's last eight bytes are padding");
        }
    }

    #[test]
    fn what_is_no_address_is_none() {
        assert_eq!(from_bytes(&[]), None);
        assert_eq!(from_bytes(&[0; STORAGE]), None);
        assert_eq!(from_bytes(&IPV4.to_ne_bytes()), None);
    }
}
