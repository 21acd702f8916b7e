//! Heads: a request's as HTTP/1.1 would have it, a response's as a list of fields.

use http::header::{ALT_SVC, CONTENT_LENGTH, COOKIE, DATE, HOST, TE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri, request};
use narthex_proto::prefix::Scheme;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::h1::encode::{self, Asked, Framing};
use crate::h1::head::{BodyLength, content_length};
use crate::reason::Reason;

/// The request opens a tunnel for this protocol (extended CONNECT: RFC 8441, RFC 9220).
#[derive(Clone, Debug)]
pub(crate) struct Tunnel(pub(crate) Box<str>);

/// A request as the protocol's own library gives it.
pub(crate) struct Incoming {
    pub(crate) head: request::Parts,
    pub(crate) tunnel: Option<Tunnel>,
    /// No body follows.
    pub(crate) ended: bool,
}

/// Fields that are about an HTTP/1.1 connection and have no place elsewhere (RFC 9113 section 8.2.2).
pub(crate) fn is_of_connection(name: &HeaderName) -> bool {
    matches!(name.as_str(), "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade")
}

/// What the app answers to a WebSocket handshake is not checked by a client that did not come over HTTP/1.1.
const NO_KEY: &[u8] = b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

/// Writes the head as HTTP/1.1 would have it.
///
/// # Errors
/// The request is malformed (RFC 9113 section 8.1.1), or asks for what there is not.
pub(crate) fn write_request(incoming: &Incoming, scheme: Scheme, raw: &mut Vec<u8>) -> Result<(), Reason> {
    let head = &incoming.head;
    if head.method == Method::CONNECT && incoming.tunnel.is_none() {
        return Err(Reason::NotImplemented);
    }
    let expected = if scheme == Scheme::Https { "https" } else { "http" };
    if head.uri.scheme_str().is_some_and(|scheme| scheme != expected) {
        return Err(Reason::Url);
    }
    let method = if incoming.tunnel.is_some() { "GET" } else { head.method.as_str() };
    raw.extend_from_slice(method.as_bytes());
    raw.push(b' ');
    write_target(&head.method, &head.uri, raw);
    raw.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    raw.extend_from_slice(authority(&head.uri, &head.headers)?);
    raw.extend_from_slice(b"\r\n");
    if let Some(Tunnel(protocol)) = &incoming.tunnel {
        raw.extend_from_slice(b"connection: upgrade\r\nupgrade: ");
        raw.extend_from_slice(protocol.as_bytes());
        raw.extend_from_slice(b"\r\n");
        raw.extend_from_slice(NO_KEY);
    }
    write_fields(&head.headers, raw)
}

fn write_target(method: &Method, uri: &Uri, raw: &mut Vec<u8>) {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    // RFC 9113 section 8.3.1: OPTIONS without a path is about the server as a whole.
    let whole = method == Method::OPTIONS && (uri.path() == "*" || uri.path().is_empty());
    raw.extend_from_slice(if whole { b"*" } else { target.as_bytes() });
}

/// `:authority`, or `Host` in its place. Two that differ would let a proxy and this server see different requests.
fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<&'a [u8], Reason> {
    let mut hosts = headers.get_all(HOST).into_iter();
    let host = hosts.next().map(HeaderValue::as_bytes);
    if hosts.next().is_some() {
        return Err(Reason::Hostname);
    }
    match (uri.authority().map(|authority| authority.as_str().as_bytes()), host) {
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => Err(Reason::Hostname),
        (Some(authority), _) => Ok(authority),
        (None, Some(host)) => Ok(host),
        (None, None) => Err(Reason::Hostname),
    }
}

fn write_fields(headers: &HeaderMap, raw: &mut Vec<u8>) -> Result<(), Reason> {
    for (name, value) in headers {
        if name == HOST || name == COOKIE {
            continue;
        }
        if is_of_connection(name) || name == "te" && !value.as_bytes().eq_ignore_ascii_case(b"trailers") {
            return Err(Reason::Header);
        }
        // RFC 9113 section 8.2.1: HTTP/1.1 would strip it, and so might see another value.
        let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        if is_blank(value.as_bytes().first()) || is_blank(value.as_bytes().last()) {
            return Err(Reason::Header);
        }
        crate::fields::write_field(name.as_str().as_bytes(), value.as_bytes(), raw);
    }
    // RFC 9113 section 8.2.3: crumbs are one field to everybody else.
    let mut crumbs = headers.get_all(COOKIE).into_iter();
    if let Some(first) = crumbs.next() {
        raw.extend_from_slice(b"cookie: ");
        raw.extend_from_slice(first.as_bytes());
        for crumb in crumbs {
            raw.extend_from_slice(b"; ");
            raw.extend_from_slice(crumb.as_bytes());
        }
        raw.extend_from_slice(b"\r\n");
    }
    raw.extend_from_slice(b"\r\n");
    Ok(())
}

/// A response head, and how its body goes on. As in HTTP/1.1, framing and `Date` are the server's.
pub(crate) fn response<'h>(
    clock: &Clock,
    now: Instant,
    asked: Asked,
    status: u16,
    headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
    length: BodyLength,
) -> (Response<()>, Framing) {
    let tunnel = status == 101;
    let mut declared = None;
    let mut head = Response::new(());
    // RFC 8441 section 5: a tunnel is accepted by 2xx.
    *head.status_mut() = if tunnel { StatusCode::OK } else { StatusCode::from_u16(status).unwrap_or_default() };
    let fields = head.headers_mut();
    for (name, value) in headers {
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) else { continue };
        if name == CONTENT_LENGTH {
            declared = content_length(value.as_bytes());
        } else if name != DATE && name != TE && !is_of_connection(&name) && !(tunnel && name == "sec-websocket-accept") {
            // No map has room for so many fields as would fail here: the app's own had not either.
            let _ = fields.try_append(name, value);
        }
    }
    fields.insert(DATE, clock.date_value(now));
    if let Some(port) = asked.alt_svc.filter(|_| !fields.contains_key(ALT_SVC))
        && let Ok(value) = HeaderValue::from_str(&encode::alt_svc(port))
    {
        fields.insert(ALT_SVC, value);
    }
    if tunnel {
        return (head, Framing::Raw);
    }
    let (framing, announced) = encode::frame(asked, status, declared, length);
    if let Some(length) = announced {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    (head, framing)
}

/// An interim response.
pub(crate) fn interim<'h>(status: u16, headers: impl Iterator<Item = (&'h [u8], &'h [u8])>) -> Response<()> {
    let mut head = Response::new(());
    *head.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::PROCESSING);
    for (name, value) in headers.filter(|(name, _)| crate::fields::may_trail(name)) {
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) else { continue };
        if !is_of_connection(&name) {
            let _ = head.headers_mut().try_append(name, value);
        }
    }
    head
}

/// About as many bytes as a head has in HTTP/1.1: what logs count.
pub(crate) fn size(head: &Response<()>) -> usize {
    head.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>() + 17
}

/// Trailers as lines.
pub(crate) fn trailer_lines(trailers: &HeaderMap) -> Vec<u8> {
    let mut lines = Vec::new();
    for (name, value) in trailers.iter().filter(|(name, _)| crate::fields::may_trail(name.as_str().as_bytes())) {
        crate::fields::write_field(name.as_str().as_bytes(), value.as_bytes(), &mut lines);
    }
    lines
}

/// Lines as trailers. What is no field, and what must not come so late, is left out.
pub(crate) fn trailers(lines: &[u8]) -> HeaderMap {
    let mut found = crate::fields::Fields::default();
    let mut map = HeaderMap::new();
    if found.parse(lines) {
        for (name, value) in found.iter(lines).filter(|(name, _)| crate::fields::may_trail(name)) {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                let _ = map.try_append(name, value);
            }
        }
    }
    map
}
