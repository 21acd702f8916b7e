//! What proxies write into requests: `X-Forwarded-For`, `X-Forwarded-Proto` and `Forwarded` (RFC 7239). All are lists, which are
//! read from their ends: what clients have written is at their beginnings, and cannot change what comes after it.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::line::port;
use super::trusted::{Client, TrustedProxies};

/// The one for which a proxy has sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    At(SocketAddr),
    /// `unknown`, or a name that the proxy has made up.
    Hidden,
}

pub(super) fn client<'h, H>(proxies: &TrustedProxies, peer: SocketAddr, headers: H) -> Option<Client>
where
    H: DoubleEndedIterator<Item = (&'h str, &'h [u8])> + Clone,
{
    let of = |wanted: &'static str| {
        headers.clone().rev().filter(move |(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
    };
    let mut walk = Walk { proxies, address: peer, hops: 0 };
    if of("x-forwarded-for").next().is_some() {
        for element in of("x-forwarded-for").flat_map(|value| value.rsplit(|byte| *byte == b',')).filter_map(listed) {
            if !walk.goes_on(bare(element).or_else(|| node(element))) {
                break;
            }
        }
        // A proxy adds its word to the list, or replaces it.
        let mut schemes = of("x-forwarded-proto").flat_map(|value| value.rsplit(|byte| *byte == b',')).filter_map(listed);
        let only = schemes.clone().nth(1).is_none();
        let scheme = if only { schemes.next() } else { schemes.nth(walk.hops.saturating_sub(1)) };
        return walk.found(scheme.and_then(is_secure));
    }
    let mut secure = None;
    let mut any = false;
    for element in of("forwarded").flat_map(|value| Elements { rest: Some(value) }).filter_map(listed) {
        any = true;
        let Some(hop) = hop(element) else { break };
        secure = hop.proto.as_deref().and_then(is_secure);
        if !walk.goes_on(hop.node.as_deref().and_then(node)) {
            break;
        }
    }
    if !any {
        secure =
            of("x-forwarded-proto").flat_map(|value| value.rsplit(|byte| *byte == b',')).find_map(listed).and_then(is_secure);
    }
    walk.found(secure)
}

/// From proxy to proxy, towards the client.
struct Walk<'a> {
    proxies: &'a TrustedProxies,
    /// The last one found.
    address: SocketAddr,
    hops: usize,
}

impl Walk<'_> {
    /// Whether whoever is there is another proxy whose word counts.
    fn goes_on(&mut self, node: Option<Node>) -> bool {
        self.hops += 1;
        let Some(Node::At(address)) = node else { return false };
        self.address = address;
        self.proxies.trusts(address.ip())
    }

    fn found(self, secure: Option<bool>) -> Option<Client> {
        (self.hops > 0 || secure.is_some()).then_some(Client { address: self.address, secure })
    }
}

/// An element of a list. Empty ones do not count (RFC 9110 section 5.6.1), and what is no text is nobody's address.
fn listed(element: &[u8]) -> Option<&str> {
    let element = std::str::from_utf8(element).unwrap_or("?").trim_matches([' ', '\t']);
    (!element.is_empty()).then_some(element)
}

fn is_secure(scheme: &str) -> Option<bool> {
    let is = |names: [&str; 2]| names.iter().any(|name| scheme.eq_ignore_ascii_case(name));
    if is(["https", "wss"]) { Some(true) } else { is(["http", "ws"]).then_some(false) }
}

/// As `X-Forwarded-For` has IPv6 addresses, too.
fn bare(text: &str) -> Option<Node> {
    text.parse().ok().map(|ip: Ipv6Addr| at(ip.into(), 0))
}

fn at(ip: IpAddr, port: u16) -> Node {
    Node::At(SocketAddr::new(ip.to_canonical(), port))
}

/// RFC 7239 section 6.
fn node(text: &str) -> Option<Node> {
    let (name, port_text) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((ip, "")) => (ip, None),
        Some((ip, rest)) => (ip, Some(rest.strip_prefix(':')?)),
        None => text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port))),
    };
    let port = match port_text {
        None => 0,
        Some(hidden) if is_obfuscated(hidden) => 0,
        Some(digits) => port(digits)?,
    };
    if text.starts_with('[') {
        return name.parse().ok().map(|ip: Ipv6Addr| at(ip.into(), port));
    }
    if name.eq_ignore_ascii_case("unknown") || is_obfuscated(name) {
        return Some(Node::Hidden);
    }
    name.parse().ok().map(|ip: Ipv4Addr| at(ip.into(), port))
}

/// RFC 7239 section 6.3.
fn is_obfuscated(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.strip_prefix('_').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(known))
}

/// The elements of a list with quoted strings, from the last to the first. A quote that a client has left open is before
/// everything that proxies have added.
struct Elements<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        let mut quoted = false;
        for (index, byte) in rest.iter().enumerate().rev() {
            match byte {
                b'"' if !quoted => quoted = true,
                b'"' => {
                    let before = rest.get(..index).unwrap_or_default();
                    let escapes = before.iter().rev().take_while(|byte| **byte == b'\\').count();
                    quoted = escapes % 2 == 1;
                }
                b',' if !quoted => {
                    self.rest = rest.get(..index);
                    return rest.get(index + 1..);
                }
                _ => {}
            }
        }
        Some(rest)
    }
}

/// What a proxy says of the one for which it has sent a request.
#[derive(Default)]
struct Hop<'a> {
    node: Option<Cow<'a, str>>,
    proto: Option<Cow<'a, str>>,
    by: Option<Cow<'a, str>>,
    host: Option<Cow<'a, str>>,
}

/// RFC 7239 section 4.
fn hop(element: &str) -> Option<Hop<'_>> {
    let mut hop = Hop::default();
    let mut rest = element;
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let name = name.trim_start_matches([' ', '\t']);
        let (value, after) = value(after)?;
        let after = after.trim_start_matches([' ', '\t']);
        rest = match after.strip_prefix(';') {
            Some(more) => more.trim_start_matches([' ', '\t']),
            None if after.is_empty() => after,
            None => return None,
        };
        let place = match name {
            _ if name.eq_ignore_ascii_case("for") => &mut hop.node,
            _ if name.eq_ignore_ascii_case("proto") => &mut hop.proto,
            _ if name.eq_ignore_ascii_case("by") => &mut hop.by,
            _ if name.eq_ignore_ascii_case("host") => &mut hop.host,
            _ if is_token(name) => continue,
            _ => return None,
        };
        // "Each parameter MUST NOT occur more than once per field-value": of two, another reader takes the other.
        if place.replace(value).is_some() {
            return None;
        }
    }
    Some(hop)
}

/// The token or the quoted string that `text` begins with, and what comes after it.
fn value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ' ', '\t']).unwrap_or(text.len());
        let (token, after) = text.split_at_checked(end)?;
        return is_token(token).then_some((token.into(), after));
    };
    let mut plain = String::new();
    let mut chars = quoted.char_indices();
    while let Some((index, char)) = chars.next() {
        match char {
            '"' => return Some((plain.into(), quoted.get(index + 1..)?)),
            '\\' => plain.push(chars.next()?.1),
            _ => plain.push(char),
        }
    }
    None
}

fn is_token(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(known)
}

#[cfg(test)]
mod tests;
