//! A request as the cache sees it: under which key its answer lies, and whether the cache may give or take one.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use narthex_proto::cooked::Cooking;
use narthex_proto::prefix::Scheme;

use super::list::trim;

/// A request head. [`narthex_http::Request`] is one; tests have others.
pub(crate) trait RequestHead {
    /// The method.
    fn method(&self) -> &str;
    /// `https` when TLS is below.
    fn scheme(&self) -> Scheme;
    /// The port that the client reached.
    fn port(&self) -> u16;
    /// The host's name and the port, if one was named, as they were sent.
    fn host(&self) -> Option<(&str, Option<u16>)>;
    /// The path as it was sent.
    fn path(&self) -> &str;
    /// What follows its `?`.
    fn query(&self) -> Option<&str>;
    /// By which rules the path is cooked.
    fn cooking(&self) -> Cooking;
    /// Whether there is a body.
    fn has_body(&self) -> bool;
    /// Whether the client wants something else than HTTP.
    fn wants_upgrade(&self) -> bool;
    /// The whole head, request line to empty line.
    fn raw(&self) -> &[u8];
    /// The header fields.
    fn fields(&self) -> impl Iterator<Item = (&str, &[u8])>;
}

impl RequestHead for narthex_http::Request<'_> {
    fn method(&self) -> &str {
        self.method
    }

    fn scheme(&self) -> Scheme {
        self.connection.scheme
    }

    fn port(&self) -> u16 {
        self.connection.local.port()
    }

    fn host(&self) -> Option<(&str, Option<u16>)> {
        self.host.map(|host| (host.name(), host.port()))
    }

    fn path(&self) -> &str {
        self.cooked.raw_path()
    }

    fn query(&self) -> Option<&str> {
        self.cooked.query()
    }

    fn cooking(&self) -> Cooking {
        self.cooked.cooking()
    }

    fn has_body(&self) -> bool {
        !self.body.is_empty()
    }

    fn wants_upgrade(&self) -> bool {
        self.wants_upgrade
    }

    fn raw(&self) -> &[u8] {
        self.raw
    }

    fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers()
    }
}

/// What the cache may do for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Nothing.
    None,
    /// Answer it.
    Serve,
    /// Answer it, or keep the app's answer.
    ServeAndStore,
    /// Drop what it has, if the app accepts the request (RFC 9111 section 4.4).
    Invalidate,
}

/// What of a request's fields the cache goes by, found in one pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) usage: Use,
    pub(super) cookie: bool,
    /// `If-None-Match` or `If-Modified-Since`.
    pub(super) conditional: bool,
    /// `Range`, of a GET.
    pub(super) range: bool,
}

impl Facts {
    /// `Cache-Control` and `Pragma` of a request are not looked at, as in HTTP.sys: the host answers for the origin, and
    /// a client must not be able to bypass it at will.
    pub(super) fn of(request: &impl RequestHead) -> Self {
        let mut facts = Self { usage: Use::None, cookie: false, conditional: false, range: false };
        let get = match request.method() {
            "GET" => true,
            "HEAD" => false,
            "OPTIONS" | "TRACE" => return facts,
            _ => {
                facts.usage = Use::Invalidate;
                return facts;
            }
        };
        if request.has_body() || request.wants_upgrade() || request.host().is_none() {
            return facts;
        }
        let mut store = get && has_path_for_target(request.raw());
        for (name, value) in request.fields() {
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            match name.len() {
                4 if is("host") => store &= is_usual(trim(value)),
                5 if is("range") => {
                    facts.range = get;
                    store = false;
                }
                6 if is("cookie") => facts.cookie = true,
                6 if is("expect") && !trim(value).eq_ignore_ascii_case(b"100-continue") => return facts,
                // Preconditions that only the app can judge, as they are about its own state (RFC 9111 section 4.3.2).
                8 if is("if-match") => return facts,
                8 if is("if-range") => store = false,
                9 if is("translate") && trim(value).eq_ignore_ascii_case(b"f") => return facts,
                13 if is("authorization") => return facts,
                13 if is("if-none-match") => facts.conditional = true,
                17 if is("if-modified-since") => facts.conditional = true,
                19 if is("if-unmodified-since") || is("proxy-authorization") => return facts,
                _ => {}
            }
        }
        facts.usage = if store { Use::ServeAndStore } else { Use::Serve };
        facts
    }
}

/// Whether the target is a path, as clients of an origin send it. An absolute one has a scheme and an authority, which apps
/// may build links of, and beside it is a `Host` that says something else.
fn has_path_for_target(head: &[u8]) -> bool {
    memchr::memchr(b' ', head).is_some_and(|space| head.get(space + 1) == Some(&b'/'))
}

/// Whether a host is spelled as browsers spell it. What is answered to `EXAMPLE.com.:` is the same for routing, but links that
/// the app builds of it are not: one client must not choose the links of another.
fn is_usual(host: &[u8]) -> bool {
    let odd_end = |name: &[u8]| name.is_empty() || name.ends_with(b".");
    let odd_port = |port: &[u8]| port.is_empty() || port.starts_with(b"0");
    let (name, port) = match memchr::memrchr(b':', host).filter(|_| !host.ends_with(b"]")) {
        Some(colon) => (host.get(..colon).unwrap_or_default(), host.get(colon + 1..)),
        None => (host, None),
    };
    !host.iter().any(u8::is_ascii_uppercase) && !odd_end(name) && !port.is_some_and(odd_port)
}

/// Under what an answer lies. Workers share it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(Arc<[u8]>);

impl Key {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::borrow::Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// Where the parts of a key are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    pub(super) name_end: usize,
    pub(super) target: usize,
    pub(super) end: usize,
}

/// Where the host's name starts in a key: after the tag, the registration and the scheme.
pub(super) const NAME: usize = 6;
const RESPONSE: u8 = 0;
const FRAGMENT: u8 = 1;

/// Appends the key of a request.
///
/// The port that the client named is in it, although it does not route: the app sees it, and may build links of it. One
/// client must not choose the links of another.
pub(super) fn write_key(request: &impl RequestHead, registration: u32, out: &mut Vec<u8>) -> Places {
    out.push(RESPONSE);
    out.extend_from_slice(&registration.to_le_bytes());
    out.push(scheme_tag(request.scheme()));
    let (name, port) = request.host().unwrap_or_default();
    out.extend(name.bytes().map(|byte| byte.to_ascii_lowercase()));
    let name_end = out.len();
    if let Some(port) = port {
        out.push(b':');
        out.extend_from_slice(&port.to_be_bytes());
    }
    out.push(0);
    let target = out.len();
    out.extend_from_slice(request.path().as_bytes());
    if let Some(query) = request.query() {
        out.push(b'?');
        out.extend_from_slice(query.as_bytes());
    }
    Places { name_end, target, end: out.len() }
}

/// The key of a fragment of a queue: no request has it.
pub(super) fn fragment_key(queue: u64, scheme: Scheme, host: &str, port: u16, target: &str) -> Vec<u8> {
    let mut key = vec![FRAGMENT, scheme_tag(scheme)];
    key.extend_from_slice(&queue.to_le_bytes());
    key.extend_from_slice(&port.to_be_bytes());
    key.extend_from_slice(host.as_bytes());
    key.push(0);
    key.extend_from_slice(target.as_bytes());
    key
}

fn scheme_tag(scheme: Scheme) -> u8 {
    match scheme {
        Scheme::Http => 0,
        Scheme::Https => 1,
    }
}

/// Buffers that are not in use. A miss needs one until its response is there.
pub(super) type Spare = Rc<RefCell<Vec<Vec<u8>>>>;

const MOST_SPARE: usize = 64;

/// A buffer that goes back when it is dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    pub(super) bytes: Vec<u8>,
    spare: Spare,
}

impl Buffer {
    pub(super) fn take(spare: &Spare) -> Self {
        let bytes = spare.borrow_mut().pop().unwrap_or_default();
        Self { bytes, spare: Rc::clone(spare) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < MOST_SPARE {
            let mut bytes = std::mem::take(&mut self.bytes);
            bytes.clear();
            spare.push(bytes);
        }
    }
}

/// A request whose answer concerns the cache. Kept beside the exchange until the response's head is there.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(super) usage: Use,
    pub(super) cookie: bool,
    pub(super) registration: u32,
    pub(super) scheme: Scheme,
    pub(super) port: u16,
    pub(super) cooking: Cooking,
    /// When the request came.
    pub(super) asked: Duration,
    pub(super) places: Places,
    /// The key, then the head if the answer may be stored: which of its fields matter is for the answer to say.
    pub(super) buffer: Buffer,
}

impl Watch {
    /// The longest head whose answer is stored. They are held while requests are under way.
    pub(super) const MOST_HEAD: usize = 8 * 1024;

    pub(super) fn key(&self) -> &[u8] {
        self.buffer.bytes.get(..self.places.end).unwrap_or_default()
    }

    pub(super) fn host(&self) -> &str {
        self.text(NAME, self.places.name_end)
    }

    pub(super) fn target(&self) -> &str {
        self.text(self.places.target, self.places.end)
    }

    fn text(&self, start: usize, end: usize) -> &str {
        self.buffer.bytes.get(start..end).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// The request's header fields.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        let head = self.buffer.bytes.get(self.places.end..).unwrap_or_default();
        head.split(|&byte| byte == b'\n').skip(1).filter_map(|line| {
            let colon = memchr::memchr(b':', line)?;
            let (name, value) = line.split_at_checked(colon)?;
            let value = value.get(1..)?;
            Some((name, trim(value.strip_suffix(b"\r").unwrap_or(value))))
        })
    }
}
