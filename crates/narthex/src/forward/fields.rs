//! Header fields on their way through: what belongs to one connection is taken off (RFC 9110 section 7.6.1), and what a server
//! has to know of the client is written down.

use std::net::{IpAddr, SocketAddr};

use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA};
use http::{Extensions, HeaderMap, HeaderValue, Version};
use http_body::Frame;
use narthex_http::TrustedProxies;

use crate::request::{ConnectionInfo, client_address};

const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// What one connection is about, beside what its `Connection` names.
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("proxy-authenticate"),
    HeaderName::from_static("proxy-authorization"),
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Takes off what belongs to the connection that the message came over.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = elements(headers, &CONNECTION).filter_map(|name| name.parse().ok()).collect();
    for name in named {
        // What frames the message and says where it goes cannot be wished away.
        if name != CONTENT_LENGTH && name != HOST {
            headers.remove(name);
        }
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// The elements of a list.
pub(super) fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|element| !element.is_empty())
}

/// Whether the client knows what to do with trailers.
pub(super) fn wants_trailers(headers: &HeaderMap) -> bool {
    elements(headers, &TE).any(|coding| coding.eq_ignore_ascii_case("trailers"))
}

/// Takes what decides about framing and routing out of trailers.
pub(super) fn without_forbidden_trailers<D>(frame: Frame<D>) -> Frame<D> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            strip_hop_by_hop(&mut trailers);
            for name in [CONTENT_LENGTH, HOST, TRAILER, http::header::AUTHORIZATION] {
                trailers.remove(name);
            }
            Frame::trailers(trailers)
        }
        Err(frame) => match frame.into_data() {
            Ok(data) => Frame::data(data),
            // There is no third kind.
            Err(_) => Frame::trailers(HeaderMap::new()),
        },
    }
}

/// Whether servers believe that only a proxy can have said this, while somebody else has: a stranger, or somebody who passes a
/// `trusted` proxy with a name that it does not look for. Programs behind CGI and WSGI see `_` and `-` as one.
fn is_a_proxys(name: &HeaderName, trusted: bool) -> bool {
    let name = name.as_str();
    if trusted && !name.contains('_') {
        return false;
    }
    let name = name.replace('_', "-");
    name.starts_with("x-forwarded-") || name == "forwarded" || name == "x-real-ip"
}

/// Joins the cookies that HTTP/2 has in lines of their own: HTTP/1.1 has one (RFC 9113 section 8.2.3).
pub(super) fn join_cookies(headers: &mut HeaderMap) {
    let mut lines = headers.get_all(COOKIE).iter();
    if lines.nth(1).is_none() {
        return;
    }
    let joined = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b"; "[..]);
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(COOKIE, joined);
    }
}

/// Who has sent a request.
#[derive(Debug, Default)]
pub(super) struct Client {
    address: Option<SocketAddr>,
    tls: Option<bool>,
}

impl Client {
    /// What the request's extensions tell of it.
    pub(super) fn of(extensions: &Extensions) -> Self {
        let tls = extensions.get::<ConnectionInfo>().map(|connection| connection.tls);
        Self { address: client_address(extensions), tls }
    }

    fn is_trusted(&self, proxies: &TrustedProxies) -> bool {
        self.address.is_some_and(|address| proxies.trusts(address.ip()))
    }

    /// Writes down who it is, and what it has asked for under which `host`. What somebody who is no trusted proxy has written
    /// there before is taken off.
    pub(super) fn write(&self, headers: &mut HeaderMap, host: Option<&HeaderValue>, proxies: &TrustedProxies, standard: bool) {
        let trusted = self.is_trusted(proxies);
        let lies: Vec<_> = headers.keys().filter(|name| is_a_proxys(name, trusted)).cloned().collect();
        for name in lies {
            headers.remove(name);
        }
        // The variable HTTP_PROXY of programs behind CGI (httpoxy).
        headers.remove("proxy");
        if let Some(address) = self.address {
            append_to_list(headers, FORWARDED_FOR, &address.ip().to_canonical().to_string());
        }
        // What the first proxy has seen is what the client did.
        if let (Some(tls), false) = (self.tls, headers.contains_key(FORWARDED_PROTO)) {
            headers.insert(FORWARDED_PROTO, HeaderValue::from_static(if tls { "https" } else { "http" }));
        }
        if let (Some(host), false) = (host, headers.contains_key(FORWARDED_HOST)) {
            headers.insert(FORWARDED_HOST, host.clone());
        }
        if standard {
            append_to_list(headers, FORWARDED, &self.element(host));
        }
    }

    /// An element of `Forwarded` (RFC 7239 section 4).
    fn element(&self, host: Option<&HeaderValue>) -> String {
        let mut element = match self.address.map(|address| address.ip().to_canonical()) {
            Some(IpAddr::V4(ip)) => format!("for={ip}"),
            Some(IpAddr::V6(ip)) => format!("for=\"[{ip}]\""),
            None => "for=unknown".to_owned(),
        };
        if let Some(tls) = self.tls {
            element.push_str(if tls { ";proto=https" } else { ";proto=http" });
        }
        // A host with quotes or backslashes is none.
        if let Some(host) = host.and_then(|host| host.to_str().ok()).filter(|host| !host.contains(['"', '\\'])) {
            element.push_str(";host=\"");
            element.push_str(host);
            element.push('"');
        }
        element
    }
}

/// Says which part of the path clients have before what the server sees. A trusted proxy's own part comes first.
pub(super) fn write_prefix(headers: &mut HeaderMap, prefix: &str) {
    let prefix = prefix.trim_end_matches('/');
    if prefix.is_empty() {
        return;
    }
    let before = headers.get(FORWARDED_PREFIX).and_then(|before| before.to_str().ok()).unwrap_or_default();
    if let Ok(value) = HeaderValue::from_str(&format!("{}{prefix}", before.trim_end_matches('/'))) {
        headers.insert(FORWARDED_PREFIX, value);
    }
}

/// Adds this proxy to those that the message has come through.
pub(super) fn write_via(headers: &mut HeaderMap, version: Version, pseudonym: &str) {
    let version = match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2.0",
        Version::HTTP_3 => "3.0",
        _ => "1.1",
    };
    append_to_list(headers, VIA, &format!("{version} {pseudonym}"));
}

/// Whether the message has been here before.
pub(super) fn was_here(headers: &HeaderMap, pseudonym: &str) -> bool {
    elements(headers, &VIA).any(|hop| hop.split_ascii_whitespace().nth(1) == Some(pseudonym))
}

/// Appends to what may be several lines, and makes one of them.
fn append_to_list(headers: &mut HeaderMap, name: HeaderName, element: &str) {
    let mut list = Vec::new();
    for line in headers.get_all(&name) {
        list.extend_from_slice(line.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(element.as_bytes());
    if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(list)) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    fn written(fields: &[(&'static str, &'static str)], trusted: &[&str], standard: bool) -> HeaderMap {
        let client = Client { address: Some("[::ffff:192.0.2.7]:99".parse().unwrap()), tls: Some(true) };
        let mut headers = map(fields);
        let host = HeaderValue::from_static("shop.example:8443");
        client.write(&mut headers, Some(&host), &TrustedProxies::parse(trusted).unwrap(), standard);
        headers
    }

    #[test]
    fn what_belongs_to_a_connection_goes_and_so_does_what_connection_names() {
        let mut headers = map(&[
            ("connection", "close, X-Mine"),
            ("connection", "content-length, host, bad name"),
            ("x-mine", "1"),
            ("x-other", "1"),
            ("keep-alive", "1"),
            ("proxy-connection", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "x"),
            ("content-length", "3"),
            ("host", "a"),
        ]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("x-other", "1"), ("content-length", "3"), ("host", "a")]));
    }

    #[test]
    fn what_a_stranger_says_of_itself_is_replaced() {
        let lies = [
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "lie"),
            ("x-forwarded-prefix", "/lie"),
            ("forwarded", "for=lie"),
            ("x-real-ip", "10.0.0.1"),
            ("x-forwarded-scheme", "https"),
            ("x_forwarded_for", "10.0.0.1"),
            ("x-forwarded_host", "lie"),
        ];
        let told = [("x-forwarded-for", "192.0.2.7"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "shop.example:8443")];
        assert_eq!(written(&lies, &[], false), map(&told));
        assert_eq!(written(&lies, &[], true)["forwarded"], "for=192.0.2.7;proto=https;host=\"shop.example:8443\"");
    }

    #[test]
    fn what_a_trusted_proxy_says_is_kept_and_added_to() {
        let truth = [
            ("x-forwarded-for", "203.0.113.1"),
            ("x-forwarded-for", "198.51.100.2"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "outer"),
            ("forwarded", "for=203.0.113.1"),
            ("x_forwarded_for", "lie"),
        ];
        let headers = written(&truth, &["192.0.2.0/24"], true);
        assert_eq!(headers["x-forwarded-for"], "203.0.113.1, 198.51.100.2, 192.0.2.7");
        assert_eq!(
            (&headers["x-forwarded-proto"], &headers["x-forwarded-host"]),
            (&HeaderValue::from_static("http"), &HeaderValue::from_static("outer"))
        );
        assert!(!headers.contains_key("x_forwarded_for"), "it has not looked at this one");
        assert_eq!(headers["forwarded"], "for=203.0.113.1, for=192.0.2.7;proto=https;host=\"shop.example:8443\"");
    }

    #[test]
    fn a_message_that_was_here_is_known_again() {
        let mut headers = map(&[("via", "1.0 fred, 1.1 p.example.net (x)")]);
        assert!(was_here(&headers, "fred") && was_here(&headers, "p.example.net"));
        assert!(!was_here(&headers, "fre"));
        write_via(&mut headers, Version::HTTP_2, "narthex-1");
        assert_eq!(headers["via"], "1.0 fred, 1.1 p.example.net (x), 2.0 narthex-1");
        assert!(was_here(&headers, "narthex-1"));
    }

    #[test]
    fn cookies_in_several_lines_become_one() {
        let mut headers = map(&[("cookie", "a=1"), ("x", "1"), ("cookie", "b=2; c=3")]);
        join_cookies(&mut headers);
        assert_eq!(headers, map(&[("x", "1"), ("cookie", "a=1; b=2; c=3")]));
    }

    #[test]
    fn a_prefix_comes_after_that_of_an_outer_proxy() {
        let mut headers = map(&[]);
        write_prefix(&mut headers, "/");
        assert!(headers.is_empty());
        write_prefix(&mut headers, "/outer/");
        write_prefix(&mut headers, "/inner");
        assert_eq!(headers["x-forwarded-prefix"], "/outer/inner");
    }
}
