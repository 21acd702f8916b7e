//! A request head: found, parsed and judged in one pass, without copying a byte.
//!
//! `httparse` tokenises; the rules that decide where one request ends and the next begins are here, since two programs
//! that disagree about them can be made to confuse one client's bytes with another's (RFC 9112 section 11.2).

use std::mem::MaybeUninit;

use httparse::{Error, Header, Status};
use narthex_proto::host::RequestHost;

use crate::limits::Limits;
use crate::reason::Reason;

/// Room for the longest method that is worth waiting for, the spaces and the version.
const REQUEST_LINE_REST: usize = 64;

/// The versions of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: one request per connection unless the client asks for more.
    Http10,
    /// HTTP/1.1 (and any later HTTP/1.x, as RFC 9110 section 2.5 asks).
    Http11,
    /// HTTP/2 (RFC 9113).
    Http2,
    /// HTTP/3 (RFC 9114).
    Http3,
}

/// How long a message body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// Exactly this many bytes; 0 is "no body".
    Exact(u64),
    /// Not known yet: chunked, or until the connection closes.
    Unknown,
}

impl BodyLength {
    /// Whether there is no body at all.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::Exact(0)
    }
}

/// A valid request head, borrowed from the connection's buffer.
#[derive(Debug)]
pub(crate) struct Head<'h, 'b> {
    pub(crate) raw: &'b [u8],
    pub(crate) method: &'b str,
    pub(crate) target: &'b str,
    pub(crate) version: Version,
    pub(crate) headers: &'h [Header<'b>],
    /// `None` for HTTP/1.0 without Host.
    pub(crate) host: Option<RequestHost<'b>>,
    pub(crate) body: BodyLength,
    pub(crate) persistent: bool,
    pub(crate) expects_continue: bool,
    pub(crate) wants_upgrade: bool,
}

pub(crate) enum Parsed<'h, 'b> {
    Complete(Head<'h, 'b>),
    Partial,
    /// The version is HTTP/1.2 or later: put a `1` at this offset and parse again.
    NewerMinor(usize),
    Refused(Reason),
}

pub(crate) type Slots<'b> = [MaybeUninit<Header<'b>>; Limits::MOST_HEADERS];

pub(crate) const fn slots<'b>() -> Slots<'b> {
    [const { MaybeUninit::uninit() }; Limits::MOST_HEADERS]
}

/// Parses the head at the start of `buffer`. `scanned` bytes of it were seen before without an end of head in them.
pub(crate) fn parse<'h, 'b>(buffer: &'b [u8], scanned: usize, slots: &'h mut Slots<'b>, limits: &Limits) -> Parsed<'h, 'b> {
    // A head that drips in byte by byte must not be parsed anew for each byte.
    if scanned > 0 && memchr::memmem::find(&buffer[scanned.saturating_sub(3)..], b"\r\n\r\n").is_none() {
        return incomplete(buffer, limits);
    }
    let most = limits.max_headers.min(Limits::MOST_HEADERS);
    let mut request = httparse::Request::new(&mut []);
    let status = request.parse_with_uninit_headers(buffer, &mut slots[..most]);
    let length = match status {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return incomplete(buffer, limits),
        Err(error) => return refuse(error, buffer, limits),
    };
    let raw = &buffer[..length];
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Parsed::Refused(Reason::BadRequest);
    };
    if target.len() > limits.max_target {
        return Parsed::Refused(Reason::UrlLength);
    }
    if length > limits.max_head {
        return Parsed::Refused(Reason::RequestLength);
    }
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    let headers: &'h [Header<'b>] = request.headers;
    if length > limits.max_field_length && headers.iter().any(|header| line_length(header) > limits.max_field_length) {
        return Parsed::Refused(Reason::FieldLength);
    }
    if !lines_end_in_crlf(raw, method, headers) {
        return Parsed::Refused(Reason::InvalidCrLf);
    }
    match judge(raw, method, target, version, headers) {
        Ok(head) => Parsed::Complete(head),
        Err(reason) => Parsed::Refused(reason),
    }
}

fn incomplete<'h, 'b>(buffer: &[u8], limits: &Limits) -> Parsed<'h, 'b> {
    if has_bare_line_feed(buffer) {
        return Parsed::Refused(Reason::InvalidCrLf);
    }
    let line = memchr::memchr(b'\n', buffer).unwrap_or(buffer.len());
    if line > limits.max_target + REQUEST_LINE_REST {
        return Parsed::Refused(Reason::UrlLength);
    }
    if buffer.len() > limits.max_head {
        return Parsed::Refused(Reason::RequestLength);
    }
    if buffer.len() > limits.max_field_length {
        let last = memchr::memrchr(b'\n', buffer).map_or(buffer.len(), |at| at + 1);
        if buffer.len() - last > limits.max_field_length {
            return Parsed::Refused(Reason::FieldLength);
        }
    }
    Parsed::Partial
}

/// From the first byte of its name to the last of its value.
fn line_length(header: &Header<'_>) -> usize {
    let end = (header.value.as_ptr() as usize).wrapping_add(header.value.len());
    end.wrapping_sub(header.name.as_ptr() as usize)
}

/// RFC 9112 section 2.2 lets a recipient take a bare LF for a line end; accepting what others do not is how requests are
/// smuggled, so it is refused here.
fn has_bare_line_feed(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', bytes).any(|at| at == 0 || bytes[at - 1] != b'\r')
}

/// The same for a head that was parsed: only what stands before each field and at the end has to be looked at.
fn lines_end_in_crlf(raw: &[u8], method: &str, headers: &[Header<'_>]) -> bool {
    let offset = |field: &str| (field.as_ptr() as usize).wrapping_sub(raw.as_ptr() as usize);
    let after_crlf = |at: usize| raw.get(at.wrapping_sub(2)..at).is_some_and(|before| before == b"\r\n");
    // One empty line before the request line is left from a careless client; more are none.
    let starts_at_once = offset(method) == 0 || offset(method) == 2 && raw.starts_with(b"\r\n");
    starts_at_once && raw.ends_with(b"\r\n\r\n") && headers.iter().all(|header| after_crlf(offset(header.name)))
}

fn refuse<'h, 'b>(error: Error, buffer: &[u8], limits: &Limits) -> Parsed<'h, 'b> {
    let line_end = memchr::memchr(b'\n', buffer).unwrap_or(buffer.len());
    if line_end > limits.max_target + REQUEST_LINE_REST {
        return Parsed::Refused(Reason::UrlLength);
    }
    Parsed::Refused(match error {
        Error::TooManyHeaders => Reason::RequestLength,
        Error::HeaderName | Error::HeaderValue | Error::Status => Reason::Header,
        Error::NewLine if has_long_version(&buffer[..line_end]) => Reason::BadRequest,
        Error::NewLine => Reason::InvalidCrLf,
        Error::Version => match other_version(&buffer[..line_end]) {
            OtherVersion::NewerMinor(at) => return Parsed::NewerMinor(at),
            OtherVersion::Major => Reason::VersionNotSupported,
            OtherVersion::Malformed => Reason::BadRequest,
        },
        Error::Token => {
            let mut words = buffer[..line_end].split(|&byte| byte == b' ');
            let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let has_version = words.next().is_some();
            match () {
                () if method.is_empty() || !method.iter().all(|&byte| is_token(byte)) => Reason::Verb,
                () if target.strip_suffix(b"\r").unwrap_or(target).iter().any(|&byte| !byte.is_ascii_graphic()) => {
                    Reason::Forbidden
                }
                () if !has_version && !target.is_empty() => Reason::BadRequest,
                () => Reason::Url,
            }
        }
    })
}

/// A version that goes on where it should end, as in `HTTP/1.1.1`.
fn has_long_version(line: &[u8]) -> bool {
    let word = memchr::memrchr(b' ', line).and_then(|at| line.get(at + 1..)).unwrap_or_default();
    word.starts_with(b"HTTP/") && word.get(8).is_some_and(u8::is_ascii_graphic)
}

enum OtherVersion {
    NewerMinor(usize),
    Major,
    Malformed,
}

fn other_version(line: &[u8]) -> OtherVersion {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let Some(at) = memchr::memrchr(b' ', line) else { return OtherVersion::Malformed };
    match line.get(at + 1..) {
        Some([b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor]) if (b'2'..=b'9').contains(minor) => {
            OtherVersion::NewerMinor(line.len() - 1)
        }
        Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor])
            if major.is_ascii_digit() && minor.is_ascii_digit() && *major >= b'2' =>
        {
            OtherVersion::Major
        }
        _ => OtherVersion::Malformed,
    }
}

/// `tchar` of RFC 9110 section 5.6.2.
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Reads the headers that decide framing, persistence and routing.
fn judge<'h, 'b>(
    raw: &'b [u8],
    method: &'b str,
    target: &'b str,
    version: Version,
    headers: &'h [Header<'b>],
) -> Result<Head<'h, 'b>, Reason> {
    let mut host = None;
    let mut length: Option<u64> = None;
    let mut chunked = false;
    let mut close = false;
    let mut keep_alive = false;
    let mut upgrade_token = false;
    let mut upgrade_header = false;
    let mut expects_continue = false;
    for header in headers {
        let value = header.value;
        match header.name.len() {
            // An HTTP/1.0 client that does not know the host may say so.
            4 if value.is_empty() && version == Version::Http10 && header.name.eq_ignore_ascii_case("host") => {}
            4 if header.name.eq_ignore_ascii_case("host") => {
                // RFC 9112 section 3.2: more than one Host, or a bad one, is 400.
                let parsed = RequestHost::parse(value).map_err(|_| Reason::Hostname)?;
                if host.replace(parsed).is_some() {
                    return Err(Reason::Hostname);
                }
            }
            6 if header.name.eq_ignore_ascii_case("expect") => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Reason::Precondition);
                }
                expects_continue = version == Version::Http11;
            }
            7 if header.name.eq_ignore_ascii_case("upgrade") => upgrade_header = true,
            10 if header.name.eq_ignore_ascii_case("connection") => {
                for token in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                    close |= token.eq_ignore_ascii_case(b"close");
                    keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                    upgrade_token |= token.eq_ignore_ascii_case(b"upgrade");
                }
            }
            14 if header.name.eq_ignore_ascii_case("content-length") => {
                // RFC 9112 section 6.3: different lengths are an error. Equal ones are one length, as in HTTP.sys.
                let parsed = content_length(value).ok_or(Reason::Number)?;
                if length.is_some_and(|earlier| earlier != parsed) {
                    return Err(Reason::Number);
                }
                length = Some(parsed);
            }
            17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                if chunked {
                    return Err(Reason::NotImplemented);
                }
                chunked = transfer_coding(value)?;
            }
            _ => {}
        }
    }
    if host.is_none() && version == Version::Http11 {
        return Err(Reason::Hostname);
    }
    // RFC 9112 section 6.1: both at once is an attack or a bug, and so is a transfer coding in HTTP/1.0.
    if chunked && (length.is_some() || version == Version::Http10) {
        return Err(Reason::BadRequest);
    }
    let body = if chunked { BodyLength::Unknown } else { BodyLength::Exact(length.unwrap_or(0)) };
    let persistent = !close && (version == Version::Http11 || keep_alive);
    Ok(Head {
        raw,
        method,
        target,
        version,
        headers,
        host,
        body,
        persistent,
        expects_continue: expects_continue && !body.is_empty(),
        wants_upgrade: upgrade_token && upgrade_header && version == Version::Http11 && body.is_empty(),
    })
}

/// `Content-Length = 1*DIGIT`, and nothing else: no sign, no list, no blank within.
pub(crate) fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// Only `chunked`, once, is implemented. A coding after it makes the length unknowable: 400 (RFC 9112 section 6.1).
fn transfer_coding(value: &[u8]) -> Result<bool, Reason> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(true);
    }
    let last = value.rsplit(|&byte| byte == b',').next().unwrap_or_default().trim_ascii();
    let known = [&b"chunked"[..], b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress", b"identity"];
    let is = |name: &[u8]| last.eq_ignore_ascii_case(name);
    if is(b"chunked")
        || !value.contains(&b',') && (known.iter().any(|name| is(name)) || !last.is_empty() && last.iter().all(|&b| is_token(b)))
    {
        return Err(Reason::NotImplemented);
    }
    Err(Reason::BadRequest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(text: &str) -> Result<(BodyLength, bool), Option<Reason>> {
        let mut slots = slots();
        match parse(text.as_bytes(), 0, &mut slots, &Limits::default()) {
            Parsed::Complete(head) => Ok((head.body, head.persistent)),
            Parsed::Partial => Err(None),
            Parsed::NewerMinor(at) => {
                let mut bytes = text.as_bytes().to_vec();
                bytes[at] = b'1';
                outcome(std::str::from_utf8(&bytes).unwrap())
            }
            Parsed::Refused(reason) => Err(Some(reason)),
        }
    }

    #[test]
    fn framing_follows_rfc_9112() {
        let none = BodyLength::Exact(0);
        for (rest, expected) in [
            ("", Ok((none, true))),
            ("Connection: close\r\n", Ok((none, false))),
            ("Content-Length: 5\r\n", Ok((BodyLength::Exact(5), true))),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", Ok((BodyLength::Exact(5), true))),
            ("Content-Length: 5\r\nContent-Length: 6\r\n", Err(Some(Reason::Number))),
            ("Content-Length: +5\r\n", Err(Some(Reason::Number))),
            ("Content-Length: 5, 5\r\n", Err(Some(Reason::Number))),
            ("Content-Length: \r\n", Err(Some(Reason::Number))),
            ("Content-Length: 18446744073709551616\r\n", Err(Some(Reason::Number))),
            ("Transfer-Encoding: Chunked\r\n", Ok((BodyLength::Unknown, true))),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Err(Some(Reason::NotImplemented))),
            ("Transfer-Encoding: chunked, chunked\r\n", Err(Some(Reason::NotImplemented))),
            ("Transfer-Encoding: gzip, chunked\r\n", Err(Some(Reason::NotImplemented))),
            ("Transfer-Encoding: chunked, gzip\r\n", Err(Some(Reason::BadRequest))),
            ("Transfer-Encoding: xchunked\r\n", Err(Some(Reason::NotImplemented))),
            ("Transfer-Encoding: \u{b}chunked\r\n", Err(Some(Reason::Header))),
            ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Err(Some(Reason::BadRequest))),
            ("Host: b\r\n", Err(Some(Reason::Hostname))),
            ("X : y\r\n", Err(Some(Reason::Header))),
            ("X: y\r\n z\r\n", Err(Some(Reason::Header))),
            ("X: a\0b\r\n", Err(Some(Reason::Header))),
            ("X: y\n", Err(Some(Reason::InvalidCrLf))),
            ("X: y\nY: z\r\n", Err(Some(Reason::InvalidCrLf))),
            ("\n", Err(Some(Reason::InvalidCrLf))),
            ("Expect: 200-ok\r\n", Err(Some(Reason::Precondition))),
        ] {
            assert_eq!(outcome(&format!("GET / HTTP/1.1\r\nHost: a\r\n{rest}\r\n")), expected, "{rest:?}");
        }
    }

    #[test]
    fn request_lines_are_judged() {
        for (line, expected) in [
            ("GET / HTTP/1.2", Ok(())),
            ("\r\nGET / HTTP/1.1", Ok(())),
            ("\r\n\r\nGET / HTTP/1.1", Err(Some(Reason::InvalidCrLf))),
            ("\nGET / HTTP/1.1", Err(Some(Reason::InvalidCrLf))),
            ("GET / HTTP/1.1\nX: y", Err(Some(Reason::InvalidCrLf))),
            ("GET / HTTP/2.0", Err(Some(Reason::VersionNotSupported))),
            ("GET / http/1.1", Err(Some(Reason::BadRequest))),
            ("GET / HTTP/1.1.1", Err(Some(Reason::BadRequest))),
            ("GET /", Err(Some(Reason::BadRequest))),
            ("GET / HTTP/aaa", Err(Some(Reason::BadRequest))),
            ("GET / HTTP/0.1", Err(Some(Reason::BadRequest))),
            ("G(T / HTTP/1.1", Err(Some(Reason::Verb))),
            ("GET /\u{1} HTTP/1.1", Err(Some(Reason::Forbidden))),
        ] {
            assert_eq!(outcome(&format!("{line}\r\nHost: a\r\n\r\n")).map(|_| ()), expected, "{line:?}");
        }
    }

    #[test]
    fn a_head_that_never_ends_is_refused_at_the_limit() {
        let long_target = format!("GET /{} HTTP/1.1\r\n", "a".repeat(9000));
        assert_eq!(outcome(&long_target), Err(Some(Reason::UrlLength)));
        let long_head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "a".repeat(17_000));
        assert_eq!(outcome(&long_head), Err(Some(Reason::RequestLength)));
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(100));
        assert_eq!(outcome(&many), Err(Some(Reason::RequestLength)));
    }
}
