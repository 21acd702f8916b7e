//! The host a request names: its `Host` field, `:authority`, or the authority of an absolute-form target.

use std::net::{IpAddr, Ipv6Addr};

/// What a request says it wants to reach: `host[:port]`, checked against RFC 3986 section 3.2.
///
/// The port is kept but never routes: the port a connection arrived on does (1.5 of the HTTP Server API's rules,
/// and what makes a mapped container port work).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHost<'a> {
    /// ASCII, as every byte of it was checked. Kept as bytes, since many requests are routed without a look at it.
    name: &'a [u8],
    port: Option<u16>,
}

/// Why a request's host is refused. All of them are answered 400 with the reason `Hostname`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// Nothing before the port, or nothing at all.
    #[error("the host is empty")]
    Empty,
    /// A byte that no host may contain: a slash, a space, a control character, `@`, a non-ASCII byte.
    #[error("the host contains the byte {0:#04x}")]
    Byte(u8),
    /// A `%` that is not followed by two hexadecimal digits.
    #[error("the host has a broken percent escape")]
    Escape,
    /// What is in brackets is not an IPv6 address without scope id.
    #[error("the host is not an IPv6 address")]
    Ipv6,
    /// An IPv4 address in IPv6 form, as in `[::ffff:7f00:1]`.
    #[error("the host is an IPv4 address in IPv6 form")]
    Ipv4Mapped,
    /// The port is not a number up to 65535.
    #[error("the port of the host is not a number from 0 to 65535")]
    Port,
}

impl<'a> RequestHost<'a> {
    /// Parses a `Host` field value or an authority, without surrounding white space.
    pub fn parse(text: &'a [u8]) -> Result<Self, HostError> {
        if text.first() == Some(&b'[') {
            return Self::parse_ipv6(text);
        }
        let end = text.iter().position(|&byte| !PLAIN[usize::from(byte)]).unwrap_or(text.len());
        let end = match text.get(end) {
            None | Some(b':') => end,
            Some(_) => end_of_escaped(text)?,
        };
        let (name, rest) = text.split_at_checked(end).unwrap_or((text, &[]));
        if name.is_empty() {
            return Err(HostError::Empty);
        }
        Ok(Self { name: without_root_dot(name), port: parse_port(rest)? })
    }

    fn parse_ipv6(text: &'a [u8]) -> Result<Self, HostError> {
        let end = text.iter().position(|&byte| byte == b']').ok_or(HostError::Ipv6)?;
        let name = text.get(..=end).unwrap_or_default();
        let literal = text.get(1..end).unwrap_or_default();
        let address: Ipv6Addr = to_str(literal)?.parse().map_err(|_| HostError::Ipv6)?;
        if address.to_ipv4_mapped().is_some() {
            return Err(HostError::Ipv4Mapped);
        }
        let port = parse_port(text.get(end + 1..).unwrap_or_default())?;
        Ok(Self { name, port })
    }

    /// The host without the port, in the case it was sent; an IPv6 address keeps its brackets. The dot that ends
    /// a fully qualified name is left out.
    pub fn name(&self) -> &'a str {
        std::str::from_utf8(self.name).unwrap_or_default()
    }

    /// The address, if the host is an IP literal.
    pub fn ip(&self) -> Option<IpAddr> {
        let name = self.name();
        match name.strip_prefix('[') {
            Some(literal) => literal.trim_end_matches(']').parse().ok().map(IpAddr::V6),
            None => name.parse().ok().map(IpAddr::V4),
        }
    }

    /// The port, if one was named.
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

fn without_root_dot(name: &[u8]) -> &[u8] {
    match name.strip_suffix(b".") {
        Some(relative) if !relative.is_empty() => relative,
        _ => name,
    }
}

fn to_str(bytes: &[u8]) -> Result<&str, HostError> {
    std::str::from_utf8(bytes).map_err(|error| HostError::Byte(bytes.get(error.valid_up_to()).copied().unwrap_or_default()))
}

/// `""`, `":"` or `":8080"`.
fn parse_port(text: &[u8]) -> Result<Option<u16>, HostError> {
    let Some((colon, digits)) = text.split_first() else { return Ok(None) };
    if *colon != b':' {
        return Err(HostError::Byte(*colon));
    }
    if digits.is_empty() {
        return Ok(None);
    }
    let mut port = 0u16;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return Err(HostError::Port);
        }
        let digit = u16::from(byte - b'0');
        port = port.checked_mul(10).and_then(|port| port.checked_add(digit)).ok_or(HostError::Port)?;
    }
    Ok(Some(port))
}

/// Where a name with percent escapes ends.
fn end_of_escaped(text: &[u8]) -> Result<usize, HostError> {
    let end = text.iter().position(|&byte| byte == b':').unwrap_or(text.len());
    let name = text.get(..end).unwrap_or_default();
    for (index, &byte) in name.iter().enumerate() {
        let digits = name.get(index + 1..index + 3);
        match byte {
            b'%' if digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) => {}
            b'%' => return Err(HostError::Escape),
            byte if PLAIN[usize::from(byte)] => {}
            byte => return Err(HostError::Byte(byte)),
        }
    }
    Ok(end)
}

/// unreserved / sub-delims of RFC 3986.
static PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"-._~!$&'()*+,;=";
    let mut index = 0;
    while index < others.len() {
        table[others[index] as usize] = true;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::{HostError, RequestHost};

    fn parse(text: &str) -> Result<RequestHost<'_>, HostError> {
        RequestHost::parse(text.as_bytes())
    }

    #[test]
    fn hosts_that_requests_may_name_are_split_into_name_address_and_port() {
        for (text, name, ip, port) in [
            ("localhost", "localhost", None, None),
            ("Example.COM:8080", "Example.COM", None, Some(8080)),
            ("example.com:", "example.com", None, None),
            ("example.com.", "example.com", None, None),
            ("example.com:0", "example.com", None, Some(0)),
            ("example.com:00080", "example.com", None, Some(80)),
            ("example.com:65535", "example.com", None, Some(65535)),
            ("127.0.0.1:80", "127.0.0.1", Some("127.0.0.1"), Some(80)),
            ("[::1]", "[::1]", Some("::1"), None),
            ("[::1]:8080", "[::1]", Some("::1"), Some(8080)),
            ("0.0.0.0=5000", "0.0.0.0=5000", None, None),
            ("1.2.3.256", "1.2.3.256", None, None),
            ("a_b~c!d", "a_b~c!d", None, None),
            ("b%C3%BCcher.example", "b%C3%BCcher.example", None, None),
            (".", ".", None, None),
        ] {
            let host = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(host.name(), name, "{text}");
            assert_eq!(host.ip(), ip.map(|ip| ip.parse().unwrap()), "{text}");
            assert_eq!(host.port(), port, "{text}");
        }
    }

    #[test]
    fn hosts_that_are_not_hosts_are_refused() {
        for (text, error) in [
            ("", HostError::Empty),
            (":80", HostError::Empty),
            ("http://example.com", HostError::Port),
            ("example.com/", HostError::Byte(b'/')),
            ("example.com:80/", HostError::Port),
            ("user@example.com", HostError::Byte(b'@')),
            ("user:pass@example.com", HostError::Port),
            ("exa mple.com", HostError::Byte(b' ')),
            ("example.com\t", HostError::Byte(b'\t')),
            ("example.com\0", HostError::Byte(0)),
            ("exa\\mple.com", HostError::Byte(b'\\')),
            ("a,b?c", HostError::Byte(b'?')),
            ("bücher.example", HostError::Byte(0xc3)),
            ("example.com:65536", HostError::Port),
            ("example.com:99999999999999999999", HostError::Port),
            ("example.com:+80", HostError::Port),
            ("example.com:-1", HostError::Port),
            ("example.com:80:80", HostError::Port),
            ("::1", HostError::Empty),
            ("%", HostError::Escape),
            ("a%2", HostError::Escape),
            ("a%zz", HostError::Escape),
            ("[", HostError::Ipv6),
            ("[]", HostError::Ipv6),
            ("[::1", HostError::Ipv6),
            ("[::1%25eth0]", HostError::Ipv6),
            ("[v1.x]", HostError::Ipv6),
            ("[::1]x", HostError::Byte(b'x')),
            ("[::ffff:7f00:1]", HostError::Ipv4Mapped),
            ("[::ffff:127.0.0.1]:80", HostError::Ipv4Mapped),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
        assert_eq!(RequestHost::parse(&[b'a', 0xff]), Err(HostError::Byte(0xff)));
    }
}
