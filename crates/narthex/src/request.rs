//! From a raw head to the `http::Request` that the app gets. The one place where both providers do it.
//!
//! The head is copied once, into a buffer that later requests of the worker use again; URI and header values are slices
//! of it.

use std::cell::RefCell;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use http::header::HOST;
use http::uri::Uri;
use http::{Extensions, HeaderName, HeaderValue, Method, Request, Version};

use narthex_http::tls::PeerCertificate;

use crate::body::Body;

/// Where a request says its id.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static(narthex_proto::trace::TRACEPARENT);

/// Heads are gathered in pieces of this size. An app that keeps a header value keeps the whole piece, so it is small.
const ARENA: usize = 4096;

/// The part of the path that the app's prefix took, as the client spelled it and without its last slash; empty at the
/// root.
///
/// `base.as_str()` before a path of the app gives a link that works wherever the app is registered. With the feature
/// `axum`, it is an extractor:
///
/// ```
/// # use narthex::PathBase;
/// # #[cfg(feature = "axum")]
/// async fn login(base: PathBase) -> axum::response::Redirect {
///     axum::response::Redirect::to(&format!("{base}/login"))
/// }
/// ```
///
/// Elsewhere use [`PathBase::of`]. Requests to an app at the root have none in their extensions, which costs them nothing.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct PathBase(Bytes);

impl PathBase {
    /// The path base of the request with these extensions.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Self {
        extensions.get().cloned().unwrap_or_default()
    }

    /// The path base: `""`, or `/` and at least one segment, percent-encoded as in the request.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for PathBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for PathBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PathBase({:?})", self.as_str())
    }
}

#[cfg(feature = "axum")]
impl<S: Sync> axum::extract::FromRequestParts<S> for PathBase {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut http::request::Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::of(&parts.extensions))
    }
}

/// The client's connection.
///
/// Requests have it in their extensions if the server is told so with
/// [`connection_info`](crate::Server::connection_info). Not all apps need it, and an entry costs each request an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// The client's address.
    pub peer: SocketAddr,
    /// The address that the client reached: the host's, if a host is in between.
    pub local: SocketAddr,
    /// The client's connection is encrypted.
    pub tls: bool,
    /// The HTTP version that the client speaks.
    pub version: Version,
}

/// What requests have in their extensions if the server is told so.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    pub(crate) connection_info: bool,
    pub(crate) request_control: bool,
}

/// What a worker makes requests from.
pub(crate) struct Heads {
    arena: RefCell<BytesMut>,
    /// The last `Host`. The next one is likely to be the same, and a clone costs less than to find a copy valid.
    host: RefCell<HeaderValue>,
    /// What every request has in its extensions. Each gets a clone: that costs less than to insert anew, and leaves room
    /// for what axum inserts.
    extensions: RefCell<Extensions>,
}

#[derive(Clone)]
struct Room<const N: usize>;

/// What a provider knows of a request.
pub(crate) struct Head<'a, H> {
    pub(crate) raw: &'a [u8],
    pub(crate) method: &'a str,
    /// The target as it was sent.
    pub(crate) target: &'a [u8],
    /// The part of `target` that the prefix took.
    pub(crate) path_base: &'a [u8],
    /// What the app sees of `target`.
    pub(crate) relative: &'a [u8],
    pub(crate) headers: H,
    /// The request asks for an upgrade: handlers know those of HTTP/1.1, so that is what they get, whatever the client speaks.
    pub(crate) upgrade: bool,
    /// What the client has shown, DER; empty: nothing.
    pub(crate) certificate: &'a [u8],
    /// The request's id, where the header fields do not have it yet.
    pub(crate) id: Option<&'a str>,
    pub(crate) connection: ConnectionInfo,
}

/// The name of a field. What a host says of every request is no standard field to the `http` crate, which would make a copy of it.
fn named(name: &[u8]) -> Result<HeaderName, NotRepresentable> {
    match name {
        b"x-request-id" => Ok(REQUEST_ID),
        b"traceparent" => Ok(TRACEPARENT),
        _ => HeaderName::from_bytes(name).map_err(|_| NotRepresentable),
    }
}

/// The head is valid HTTP, and yet the `http` crate has no value for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotRepresentable;

impl Heads {
    /// With `connection_info`, requests have a [`ConnectionInfo`].
    pub(crate) fn new(connection_info: bool) -> Self {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut extensions = Extensions::new();
        #[cfg(feature = "axum")]
        extensions.insert(axum::extract::ConnectInfo(nowhere));
        if connection_info {
            extensions.insert(ConnectionInfo { peer: nowhere, local: nowhere, tls: false, version: Version::HTTP_11 });
        }
        // A map that has grown stays large, and so do its clones. An empty one allocates when it is cloned, too.
        if !extensions.is_empty() {
            extensions.insert(Room::<0>);
            extensions.insert(Room::<1>);
            extensions.insert(Room::<2>);
            extensions.remove::<Room<0>>();
            extensions.remove::<Room<1>>();
            extensions.remove::<Room<2>>();
        }
        let host = RefCell::new(HeaderValue::from_static(""));
        Self { arena: RefCell::new(BytesMut::new()), host, extensions: RefCell::new(extensions) }
    }

    fn extensions(&self, connection: ConnectionInfo) -> Extensions {
        let mut extensions = self.extensions.borrow_mut();
        #[cfg(feature = "axum")]
        if let Some(known) = extensions.get_mut() {
            *known = axum::extract::ConnectInfo(connection.peer);
        }
        if let Some(known) = extensions.get_mut() {
            *known = connection;
        }
        extensions.clone()
    }

    fn host(&self, text: &[u8]) -> Result<HeaderValue, NotRepresentable> {
        let mut last = self.host.borrow_mut();
        if last.as_bytes() != text {
            *last = HeaderValue::from_bytes(text).map_err(|_| NotRepresentable)?;
        }
        Ok(last.clone())
    }

    /// Copies `raw`. Once all earlier heads are gone, their memory is used again, so this seldom allocates.
    fn keep(&self, raw: &[u8]) -> Bytes {
        let mut arena = self.arena.borrow_mut();
        if arena.capacity() < raw.len() {
            arena.reserve(raw.len().max(ARENA));
        }
        arena.extend_from_slice(raw);
        arena.split().freeze()
    }

    /// Fills in a request, which is new but for room in its header map.
    pub(crate) fn fill<'a, H>(&self, request: &mut Request<Body>, head: Head<'a, H>) -> Result<(), NotRepresentable>
    where
        H: ExactSizeIterator<Item = (&'a [u8], &'a [u8])>,
    {
        let kept = Kept { bytes: self.keep(head.raw), raw: head.raw };
        // A new request is `GET /`.
        if head.method != "GET" {
            *request.method_mut() = Method::from_bytes(head.method.as_bytes()).map_err(|_| NotRepresentable)?;
        }
        if head.relative != b"/" {
            *request.uri_mut() = kept.uri(head.relative)?;
        }
        *request.version_mut() = if head.upgrade { Version::HTTP_11 } else { head.connection.version };
        let headers = request.headers_mut();
        headers.try_reserve(head.headers.len() + usize::from(head.id.is_some())).map_err(|_| NotRepresentable)?;
        for (name, value) in head.headers {
            let (name, value) =
                if name.eq_ignore_ascii_case(b"host") { (HOST, self.host(value)?) } else { (named(name)?, kept.value(value)?) };
            headers.try_append(name, value).map_err(|_| NotRepresentable)?;
        }
        if let Some(id) = head.id {
            // What the client says of it was looked at when the id was given.
            let id = HeaderValue::from_str(id).map_err(|_| NotRepresentable)?;
            headers.try_insert(REQUEST_ID, id).map_err(|_| NotRepresentable)?;
        }
        // RFC 9112 section 3.2.2: what Host says of an absolute target is to be ignored.
        if let Some(authority) = authority(head.target) {
            headers.try_insert(HOST, self.host(authority)?).map_err(|_| NotRepresentable)?;
        }

        let extensions = request.extensions_mut();
        *extensions = self.extensions(head.connection);
        if !head.certificate.is_empty() {
            extensions.insert(PeerCertificate::new(Bytes::copy_from_slice(head.certificate)));
        }
        if head.upgrade {
            // A WebSocket lives long: who is at its other end is worth an entry.
            extensions.insert(head.connection);
        }
        if !head.path_base.is_empty() {
            extensions.insert(PathBase(kept.slice(head.path_base)));
        }
        // Where the app sees the URI as it was sent, axum notes it by itself.
        #[cfg(feature = "axum")]
        if head.target != head.relative {
            let original = kept.original_uri(head.target, head.path_base, head.relative)?;
            extensions.insert(axum::extract::OriginalUri(original));
        }
        Ok(())
    }
}

/// The authority of an absolute target.
fn authority(target: &[u8]) -> Option<&[u8]> {
    if target.starts_with(b"/") {
        return None;
    }
    let scheme = target.iter().position(|&byte| byte == b':')?;
    let rest = target.get(scheme..)?.strip_prefix(b"://")?;
    rest.split(|byte| b"/?#".contains(byte)).next()
}

/// The copy of a head, and the head itself, by which parts of it are found in the copy.
struct Kept<'a> {
    bytes: Bytes,
    raw: &'a [u8],
}

impl Kept<'_> {
    /// The copy of `part`: a slice if it is a part of the head, else (paths that had to be re-encoded) a new one.
    fn slice(&self, part: &[u8]) -> Bytes {
        if part.is_empty() {
            return Bytes::new();
        }
        match position(self.raw, part) {
            Some(range) => self.bytes.slice(range),
            None => Bytes::copy_from_slice(part),
        }
    }

    fn value(&self, text: &[u8]) -> Result<HeaderValue, NotRepresentable> {
        HeaderValue::from_maybe_shared(self.slice(text)).map_err(|_| NotRepresentable)
    }

    fn uri(&self, text: &[u8]) -> Result<Uri, NotRepresentable> {
        Uri::from_maybe_shared(self.slice(text)).map_err(|_| NotRepresentable)
    }

    /// The URI as sent; where the `http` crate does not take that, its parts as they were re-encoded for the app.
    #[cfg(feature = "axum")]
    fn original_uri(&self, target: &[u8], path_base: &[u8], relative: &[u8]) -> Result<Uri, NotRepresentable> {
        self.uri(target).or_else(|_| self.uri(&[path_base, relative].concat()))
    }
}

/// Where `part` lies in `whole`, if it does.
fn position(whole: &[u8], part: &[u8]) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    let end = start.checked_add(part.len())?;
    (end <= whole.len()).then_some(start..end)
}

/// The client's address, as far as the server tells it: the real one behind proxies that are trusted.
#[cfg(any(feature = "forward", feature = "guards"))]
pub(crate) fn client_address(extensions: &Extensions) -> Option<SocketAddr> {
    let known = extensions.get::<ConnectionInfo>().map(|connection| connection.peer);
    #[cfg(feature = "axum")]
    let known = known.or_else(|| Some(extensions.get::<axum::extract::ConnectInfo<SocketAddr>>()?.0));
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: &[u8] = b"GET /My/App/x?q HTTP/1.1\r\nHost: a\r\n\r\n";

    fn build(path_base: &[u8], relative: &[u8]) -> Request<Body> {
        build_from(&RAW[4..15], path_base, relative, false)
    }

    fn build_from(target: &[u8], path_base: &[u8], relative: &[u8], connection_info: bool) -> Request<Body> {
        let connection = ConnectionInfo {
            peer: ([127, 0, 0, 1], 1).into(),
            local: ([127, 0, 0, 1], 2).into(),
            tls: false,
            version: Version::HTTP_11,
        };
        let headers = [(&b"Host"[..], &RAW[32..33])].into_iter();
        let head = Head {
            raw: RAW,
            method: "GET",
            target,
            path_base,
            relative,
            headers,
            upgrade: false,
            certificate: b"",
            id: None,
            connection,
        };
        let mut request = Request::new(Body::empty());
        Heads::new(connection_info).fill(&mut request, head).unwrap();
        request
    }

    #[test]
    fn the_app_sees_the_target_behind_its_prefix() {
        let request = build(&RAW[4..11], &RAW[11..15]);
        assert_eq!(request.uri(), "/x?q");
        assert_eq!(request.headers()["host"], "a");
        assert_eq!(request.extensions().get::<PathBase>().unwrap().as_str(), "/My/App");
    }

    #[test]
    fn parts_that_were_encoded_anew_need_not_be_in_the_head() {
        let request = build(b"/My%20App", b"/y");
        assert_eq!(request.uri(), "/y");
        assert_eq!(request.extensions().get::<PathBase>().unwrap().as_str(), "/My%20App");
    }

    #[test]
    fn the_authority_of_an_absolute_target_replaces_host() {
        for (target, host) in [("http://b:80/x", "b:80"), ("HTTP://b?q", "b"), ("http://[::1]", "[::1]"), ("/http://b/", "a")] {
            let request = build_from(target.as_bytes(), b"", b"/x", false);
            assert_eq!(request.headers().get_all("host").iter().collect::<Vec<_>>(), [host], "{target}");
        }
        assert_eq!(build_from(b"*", b"", b"*", false).headers()["host"], "a");
    }

    #[test]
    fn requests_have_connection_info_only_if_it_is_wanted() {
        let has = |wanted| build_from(b"/x", b"", b"/x", wanted).extensions().get::<ConnectionInfo>().is_some();
        assert!(has(true));
        assert!(!has(false));
    }

    #[test]
    fn a_host_is_the_one_that_was_sent_and_not_an_earlier_one() {
        let heads = Heads::new(false);
        for host in [&b"a"[..], b"a", b"b:80", b"", b"a"] {
            assert_eq!(heads.host(host).unwrap().as_bytes(), host);
        }
        assert!(heads.host(b"a\n").is_err());
        assert_eq!(heads.host(b"a").unwrap(), "a");
    }

    #[test]
    fn heads_of_finished_requests_lend_their_memory_to_later_ones() {
        let heads = Heads::new(false);
        let first = heads.keep(RAW).as_ptr();
        assert!((0..1000).all(|_| heads.keep(RAW).as_ptr().addr().abs_diff(first.addr()) < ARENA));
    }
}
