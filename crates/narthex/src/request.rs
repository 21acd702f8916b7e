//! From a raw head to the `http::Request` that the app gets. The one place where both providers do it.
//!
//! The head is copied once, into a buffer that later requests of the worker use again; URI and header values are slices
//! of it.

use std::cell::RefCell;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use http::uri::Uri;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version};

use crate::body::Body;

/// Heads are gathered in pieces of this size. An app that keeps a header value keeps the whole piece, so it is small.
const ARENA: usize = 4096;

/// The part of the path that the app's prefix took, as the client spelled it and without its last slash; empty at the
/// root. Every request has it in its extensions.
///
/// `base.as_str()` before a path of the app gives a link that works wherever the app is registered:
///
/// ```
/// # use narthex::PathBase;
/// # fn link(extensions: &http::Extensions) -> Option<String> {
/// let base = extensions.get::<PathBase>()?;
/// Some(format!("{base}/login"))
/// # }
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct PathBase(Bytes);

impl PathBase {
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

/// The client's connection. Every request has it in its extensions.
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

/// The worker's buffer for heads.
pub(crate) struct Heads(RefCell<BytesMut>);

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
    pub(crate) connection: ConnectionInfo,
}

/// The head is valid HTTP, and yet the `http` crate has no value for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotRepresentable;

impl Heads {
    pub(crate) fn new() -> Self {
        Self(RefCell::new(BytesMut::new()))
    }

    /// Copies `raw`. Once all earlier heads are gone, their memory is used again, so this seldom allocates.
    fn keep(&self, raw: &[u8]) -> Bytes {
        let mut arena = self.0.borrow_mut();
        if arena.capacity() < raw.len() {
            arena.reserve(raw.len().max(ARENA));
        }
        arena.extend_from_slice(raw);
        arena.split().freeze()
    }

    /// Builds the request.
    pub(crate) fn request<'a, H>(&self, head: Head<'a, H>, body: Body) -> Result<Request<Body>, NotRepresentable>
    where
        H: ExactSizeIterator<Item = (&'a str, &'a [u8])>,
    {
        let Head { raw, method, target, path_base, relative, headers: fields, connection } = head;
        let kept = Kept { bytes: self.keep(raw), raw };
        let uri = kept.uri(relative)?;
        let original = if target == relative { uri.clone() } else { kept.original_uri(target, path_base, relative)? };

        let mut headers = HeaderMap::with_capacity(fields.len());
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| NotRepresentable)?;
            let value = HeaderValue::from_maybe_shared(kept.slice(value)).map_err(|_| NotRepresentable)?;
            headers.try_append(name, value).map_err(|_| NotRepresentable)?;
        }

        let mut request = Request::new(body);
        *request.method_mut() =
            if method == "GET" { Method::GET } else { Method::from_bytes(method.as_bytes()).map_err(|_| NotRepresentable)? };
        *request.uri_mut() = uri;
        *request.version_mut() = connection.version;
        *request.headers_mut() = headers;
        let extensions = request.extensions_mut();
        extensions.insert(PathBase(kept.slice(path_base)));
        extensions.insert(connection);
        #[cfg(feature = "axum")]
        {
            extensions.insert(axum::extract::ConnectInfo(connection.peer));
            extensions.insert(axum::extract::OriginalUri(original));
        }
        #[cfg(not(feature = "axum"))]
        let _ = original;
        Ok(request)
    }
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

    fn uri(&self, text: &[u8]) -> Result<Uri, NotRepresentable> {
        Uri::from_maybe_shared(self.slice(text)).map_err(|_| NotRepresentable)
    }

    /// The URI as sent; where the `http` crate does not take that, its parts as they were re-encoded for the app.
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

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: &[u8] = b"GET /My/App/x?q HTTP/1.1\r\nHost: a\r\n\r\n";

    fn build(path_base: &[u8], relative: &[u8]) -> Request<Body> {
        let connection = ConnectionInfo {
            peer: ([127, 0, 0, 1], 1).into(),
            local: ([127, 0, 0, 1], 2).into(),
            tls: false,
            version: Version::HTTP_11,
        };
        let headers = [("Host", &RAW[32..33])].into_iter();
        let head = Head { raw: RAW, method: "GET", target: &RAW[4..15], path_base, relative, headers, connection };
        Heads::new().request(head, Body::empty()).unwrap()
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
    fn heads_of_finished_requests_lend_their_memory_to_later_ones() {
        let heads = Heads::new();
        let first = heads.keep(RAW).as_ptr();
        assert!((0..1000).all(|_| heads.keep(RAW).as_ptr().addr().abs_diff(first.addr()) < ARENA));
    }
}
