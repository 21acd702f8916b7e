//! The PROXY protocol's headers as bytes (haproxy's proxy-protocol.txt): version 2 here, version 1 in [`line`](super::line).

use std::net::{IpAddr, SocketAddr};

use super::line;

/// What version 2 begins with. No HTTP request and no TLS handshake does.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED: usize = 16;
/// The most that may follow in version 2. Addresses take 216 bytes at most; the rest is for what else is told of a client.
const LONGEST_REST: usize = 4096;

const TYPE_CRC32C: u8 = 0x03;
const TYPE_SSL: u8 = 0x20;
/// The client connected over TLS.
const CLIENT_SSL: u8 = 0x01;

/// What bytes at the start of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// The start of a header, as far as one can tell.
    Incomplete,
    /// A header.
    Complete(Header),
    /// No header, and more bytes would not make it one.
    Malformed,
}

/// A PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Its bytes. What comes after them is the client's.
    pub(crate) length: usize,
    /// The client's address and the one that it reached. `None` where the socket's own ones are meant, or no others are known.
    pub(crate) addresses: Option<(SocketAddr, SocketAddr)>,
    /// The client's connection to the proxy is encrypted. `None` if the proxy does not say.
    pub(crate) tls: Option<bool>,
}

/// Looks at the bytes that a connection begins with.
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    match bytes.first() {
        None => Parsed::Incomplete,
        Some(b'P') => line::parse(bytes),
        Some(_) => binary(bytes),
    }
}

fn binary(bytes: &[u8]) -> Parsed {
    let begun = bytes.len().min(SIGNATURE.len());
    if bytes.get(..begun) != SIGNATURE.get(..begun) {
        return Parsed::Malformed;
    }
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED>() else { return Parsed::Incomplete };
    let [.., command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    // "Receivers must drop connections presenting unexpected values here", of the command, the family and the transport.
    if !matches!(command, 0x20 | 0x21) || family >> 4 > 3 || family & 0xf > 2 || length > LONGEST_REST {
        return Parsed::Malformed;
    }
    let Some(rest) = rest.get(..length) else { return Parsed::Incomplete };
    let header = Header { length: FIXED + length, addresses: None, tls: None };
    // LOCAL: "must use the real connection endpoints and discard the protocol block".
    if command == 0x20 {
        return Parsed::Complete(header);
    }
    let told = match family {
        0x11 => rest.split_first_chunk::<12>().map(|(block, more)| (Some(v4(block)), more)),
        0x21 => rest.split_first_chunk::<36>().map(|(block, more)| (Some(v6(block)), more)),
        // No TCP client has such an address.
        0x12 => rest.get(12..).map(|more| (None, more)),
        0x22 => rest.get(36..).map(|more| (None, more)),
        0x31 | 0x32 => rest.get(216..).map(|more| (None, more)),
        // Nobody knows how long its addresses are, and so not where anything else begins.
        _ => return Parsed::Complete(header),
    };
    let Some((addresses, more)) = told else { return Parsed::Malformed };
    let Some(tls) = facts(more, bytes.get(..header.length).unwrap_or_default()) else { return Parsed::Malformed };
    Parsed::Complete(Header { addresses, tls, ..header })
}

fn v4(block: &[u8; 12]) -> (SocketAddr, SocketAddr) {
    let [a, b, c, d, e, f, g, h, port @ ..] = *block;
    pair([a, b, c, d].into(), [e, f, g, h].into(), port)
}

fn v6(block: &[u8; 36]) -> (SocketAddr, SocketAddr) {
    let (mut from, mut to, mut port) = ([0; 16], [0; 16], [0; 4]);
    for (place, byte) in from.iter_mut().chain(&mut to).chain(&mut port).zip(block) {
        *place = *byte;
    }
    pair(from.into(), to.into(), port)
}

fn pair(from: IpAddr, to: IpAddr, [a, b, c, d]: [u8; 4]) -> (SocketAddr, SocketAddr) {
    (SocketAddr::new(from, u16::from_be_bytes([a, b])), SocketAddr::new(to, u16::from_be_bytes([c, d])))
}

/// What the type-length-values say of TLS. `None` if they are malformed, or the checksum among them is wrong.
fn facts(values: &[u8], header: &[u8]) -> Option<Option<bool>> {
    let mut tls = None;
    let mut rest = values;
    while !rest.is_empty() {
        let (kind, value, more) = split(rest)?;
        match kind {
            TYPE_CRC32C => {
                let given = u32::from_be_bytes(value.try_into().ok()?);
                let at = header.len() - more.len() - 4;
                let (before, after) = (header.get(..at)?, header.get(at + 4..)?);
                if crc32c(before.iter().chain(&[0; 4]).chain(after)) != given {
                    return None;
                }
            }
            TYPE_SSL => {
                // The flags, four bytes about the certificate, and more of these values.
                let (flags, inner) = (*value.first()?, value.get(5..)?);
                check(inner)?;
                tls = Some(flags & CLIENT_SSL != 0);
            }
            _ => {}
        }
        rest = more;
    }
    Some(tls)
}

fn check(mut values: &[u8]) -> Option<()> {
    while !values.is_empty() {
        (_, _, values) = split(values)?;
    }
    Some(())
}

/// The first of the values: its type, itself, and what comes after it.
fn split(values: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[kind, high, low], rest) = values.split_first_chunk()?;
    let (value, more) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
    Some((kind, value, more))
}

/// RFC 4960 appendix B. Bit by bit: it is done once for a connection, over a few dozen bytes.
fn crc32c<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 0 { sum >> 1 } else { (sum >> 1) ^ 0x82f6_3b78 };
    !bytes.fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family][..], &length, rest].concat()
    }

    fn block(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
        let octets = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        [octets(from.ip()), octets(to.ip()), from.port().to_be_bytes().into(), to.port().to_be_bytes().into()].concat()
    }

    fn value(kind: u8, value: &[u8]) -> Vec<u8> {
        [&[kind][..], &u16::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
    }

    fn some_addresses() -> Vec<u8> {
        block("192.0.2.1:1000".parse().unwrap(), "192.0.2.2:443".parse().unwrap())
    }

    /// A TCP4 header whose last value is the right checksum.
    fn summed(values: &[u8]) -> Vec<u8> {
        let mut bytes = header(0x21, 0x11, &[some_addresses(), values.to_vec(), value(TYPE_CRC32C, &[0; 4])].concat());
        let sum = crc32c(bytes.iter()).to_be_bytes();
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&sum);
        bytes
    }

    fn complete(bytes: &[u8]) -> Header {
        match parse(bytes) {
            Parsed::Complete(header) => header,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn local_unspecified_and_foreign_families_keep_the_sockets_addresses() {
        for (command, family, rest) in [
            (0x20, 0x00, vec![]),
            (0x20, 0x11, vec![1, 2, 3]),
            (0x21, 0x00, vec![0xff; 20]),
            (0x21, 0x01, vec![]),
            (0x21, 0x12, vec![1; 12]),
            (0x21, 0x22, vec![1; 36]),
            (0x21, 0x31, vec![1; 216]),
            (0x21, 0x32, vec![1; 216]),
        ] {
            let bytes = header(command, family, &rest);
            assert_eq!(complete(&bytes), Header { length: bytes.len(), addresses: None, tls: None }, "{command:x} {family:x}");
        }
    }

    #[test]
    fn what_the_specification_does_not_know_and_what_is_cut_short_is_malformed() {
        let long = vec![0; LONGEST_REST + 1];
        for (command, family, rest) in [
            (0x11, 0x11, &some_addresses()[..]),
            (0x22, 0x11, &some_addresses()),
            (0x21, 0x41, &some_addresses()),
            (0x21, 0x13, &some_addresses()),
            (0x21, 0x11, &some_addresses()[..11]),
            (0x21, 0x21, &[0; 35]),
            (0x21, 0x31, &[0; 215]),
            (0x21, 0x11, &[some_addresses(), vec![4, 0]].concat()),
            (0x21, 0x11, &[some_addresses(), vec![4, 0, 2, 0]].concat()),
            (0x21, 0x11, &[some_addresses(), value(TYPE_SSL, &[1, 0, 0, 0])].concat()),
            (0x21, 0x11, &[some_addresses(), value(TYPE_SSL, &[1, 0, 0, 0, 0, 0x21, 0])].concat()),
            (0x21, 0x11, &[some_addresses(), value(TYPE_CRC32C, &[1, 2, 3])].concat()),
            (0x20, 0x00, &long),
        ] {
            assert_eq!(parse(&header(command, family, rest)), Parsed::Malformed, "{command:x} {family:x} {}", rest.len());
        }
    }

    #[test]
    fn the_value_about_tls_says_whether_the_client_has_it() {
        let with = |flags| {
            let ssl = value(TYPE_SSL, &[&[flags, 0, 0, 0, 0][..], &value(0x21, b"TLSv1.3")].concat());
            complete(&header(0x21, 0x11, &[some_addresses(), value(0x04, b"pad"), ssl].concat())).tls
        };
        assert_eq!((with(0x01), with(0x07), with(0x00)), (Some(true), Some(true), Some(false)));
    }

    #[test]
    fn a_checksum_is_verified_wherever_it_stands() {
        assert_eq!(crc32c(b"123456789".iter()), 0xe306_9283);
        let bytes = summed(&value(0x02, b"shop.example.com"));
        assert!(complete(&bytes).addresses.is_some());
        // The addresses, and the checksum itself.
        for at in (FIXED..FIXED + 12).chain(bytes.len() - 4..bytes.len()) {
            let mut wrong = bytes.clone();
            wrong[at] ^= 0x10;
            assert_eq!(parse(&wrong), Parsed::Malformed, "{at}");
        }
    }

    proptest! {
        #[test]
        fn addresses_come_back_and_what_follows_is_not_touched(
            from: (std::net::Ipv6Addr, u16), to: (std::net::Ipv6Addr, u16), four: bool, rest: Vec<u8>,
        ) {
            let narrow = |(ip, port): (std::net::Ipv6Addr, u16)| {
                let [.., a, b, c, d] = ip.octets();
                if four { SocketAddr::from(([a, b, c, d], port)) } else { SocketAddr::from((ip, port)) }
            };
            let (from, to) = (narrow(from), narrow(to));
            let bytes = header(0x21, if four { 0x11 } else { 0x21 }, &block(from, to));
            let length = bytes.len();
            for cut in 0..length {
                prop_assert_eq!(parse(&bytes[..cut]), Parsed::Incomplete);
            }
            let with_more = [bytes, rest].concat();
            prop_assert_eq!(parse(&with_more), Parsed::Complete(Header { length, addresses: Some((from, to)), tls: None }));
        }

        #[test]
        fn no_bytes_panic_or_are_longer_than_they_are(noise: Vec<u8>, binary: bool, command in 0x20u8..0x23, family: u8) {
            let bytes = if binary { header(command, family, &noise) } else { noise };
            if let Parsed::Complete(header) = parse(&bytes) {
                prop_assert!(header.length <= bytes.len());
            }
            let line = [b"PROXY ", &bytes[..]].concat();
            if let Parsed::Complete(header) = parse(&line) {
                prop_assert!(header.length <= 107);
            }
        }
    }
}
