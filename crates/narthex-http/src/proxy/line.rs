//! Version 1 of the PROXY protocol: a line of text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::header::{Header, Parsed};

const BEGIN: &[u8] = b"PROXY ";
/// With its line end: the longest that the specification has.
const LONGEST: usize = 107;

pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let begun = bytes.len().min(BEGIN.len());
    if bytes.get(..begun) != BEGIN.get(..begun) {
        return Parsed::Malformed;
    }
    let window = bytes.get(..LONGEST).unwrap_or(bytes);
    let Some(end) = memchr::memchr(b'\n', window) else {
        return if window.len() < LONGEST { Parsed::Incomplete } else { Parsed::Malformed };
    };
    let line = window.get(BEGIN.len()..end).and_then(|line| line.strip_suffix(b"\r"));
    let Some(line) = line.and_then(|line| std::str::from_utf8(line).ok()) else { return Parsed::Malformed };
    let header = |addresses| Parsed::Complete(Header { length: end + 1, addresses, tls: None });
    // "The receiver must ignore anything presented before the CRLF".
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return header(None);
    }
    addresses(line).map_or(Parsed::Malformed, |addresses| header(Some(addresses)))
}

fn addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let mut words = line.split(' ');
    let family = words.next()?;
    let ip = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::from),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::from),
            _ => None,
        }
    };
    let (from, to) = (ip(words.next()?)?, ip(words.next()?)?);
    let (from_port, to_port) = (port(words.next()?)?, port(words.next()?)?);
    words.next().is_none().then_some((SocketAddr::new(from, from_port), SocketAddr::new(to, to_port)))
}

/// Decimal digits, without a sign or zeros before them.
pub(super) fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proxy::header;

    #[test]
    fn the_specifications_longest_lines_are_headers() {
        for line in [
            "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            "PROXY TCP6 ffff:f:f:f:f:f:f:ffff ffff:f:f:f:f:f:f:ffff 65535 65535\r\n",
            "PROXY UNKNOWN\r\n",
            "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n",
        ] {
            let Parsed::Complete(header) = parse(line.as_bytes()) else { panic!("{line}") };
            assert_eq!((header.length, header.addresses.is_none()), (line.len(), line.contains("UNKNOWN")), "{line}");
        }
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LONGEST - 16));
        assert_eq!(longest.len(), LONGEST);
        assert!(matches!(parse(longest.as_bytes()), Parsed::Complete(_)));
    }

    #[test]
    fn what_is_not_written_exactly_so_is_malformed() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LONGEST - 15));
        for line in [
            "PRI * HTTP/2.0\r\n",
            "PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
            "PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY UNKNOWNS\r\n",
            "PROXY \r\n",
            "proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
            &long,
            &long[..LONGEST],
        ] {
            assert_eq!(header::parse(line.as_bytes()), Parsed::Malformed, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn addresses_come_back_and_what_follows_is_not_touched(from: SocketAddr, to: SocketAddr, rest: Vec<u8>) {
            let plain = |address: SocketAddr| SocketAddr::new(address.ip(), address.port());
            let (from, to) = (plain(from), plain(to));
            prop_assume!(from.is_ipv4() == to.is_ipv4());
            let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
            let line = format!("PROXY {family} {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port());
            for cut in 0..line.len() {
                prop_assert_eq!(header::parse(&line.as_bytes()[..cut]), Parsed::Incomplete);
            }
            let with_more = [line.as_bytes(), &rest].concat();
            let header = Header { length: line.len(), addresses: Some((from, to)), tls: None };
            prop_assert_eq!(parse(&with_more), Parsed::Complete(header));
        }
    }
}
