//! Response heads: status line, the app's headers, and the ones that are the server's to write.

use http::StatusCode;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::fields::write_field;
use crate::h1::head::{BodyLength, Version, content_length};

/// How the body of a response is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No body bytes may be sent (HEAD, 204, 304, or an empty body).
    None,
    /// This many bytes are still to come.
    Length(u64),
    Chunked,
    /// HTTP/1.0 clients learn the end from the close.
    UntilClose,
    /// An upgraded connection: bytes as they are.
    Raw,
}

/// What the encoder must know of the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) version: Version,
    pub(crate) head_only: bool,
    pub(crate) persistent: bool,
    /// The port where HTTP/3 is served too.
    pub(crate) alt_svc: Option<u16>,
}

/// What `Alt-Svc` (RFC 7838) says of HTTP/3 on this port: for a day.
pub(crate) fn alt_svc(port: u16) -> String {
    format!("h3=\":{port}\"; ma=86400")
}

/// How the response goes on after its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) framing: Framing,
    pub(crate) persistent: bool,
}

/// Writes a response head.
///
/// `Date`, `Content-Length`, `Transfer-Encoding` and `Connection` are the server's (RFC 9112 sections 6 and 9.1): what the
/// app says of them is read, and written anew where it holds.
pub(crate) fn write_head<'h>(
    out: &mut Vec<u8>,
    clock: &Clock,
    now: Instant,
    asked: Asked,
    status: u16,
    headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
    length: BodyLength,
) -> Head {
    write_status_line(out, status);
    write_fields(out, clock, now, asked, status, headers, length)
}

/// Writes what follows the status line.
pub(crate) fn write_fields<'h>(
    out: &mut Vec<u8>,
    clock: &Clock,
    now: Instant,
    asked: Asked,
    status: u16,
    headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
    length: BodyLength,
) -> Head {
    let upgrade = status == 101;
    let mut declared = None;
    // What the app says of it counts.
    let mut offered = asked.alt_svc;
    let mut close = !asked.persistent;
    for (name, value) in headers {
        match name.len() {
            2 if name.eq_ignore_ascii_case(b"te") => continue,
            4 if name.eq_ignore_ascii_case(b"date") => continue,
            7 if name.eq_ignore_ascii_case(b"upgrade") && !upgrade => continue,
            7 if name.eq_ignore_ascii_case(b"alt-svc") => offered = None,
            10 if name.eq_ignore_ascii_case(b"connection") => {
                close |= value.split(|&byte| byte == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(b"close"));
                continue;
            }
            10 if name.eq_ignore_ascii_case(b"keep-alive") => continue,
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                declared = content_length(value);
                continue;
            }
            16 if name.eq_ignore_ascii_case(b"proxy-connection") => continue,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => continue,
            _ => {}
        }
        write_field(name, value, out);
    }
    clock.write_date_line(now, out);
    if let Some(port) = offered {
        write_field(b"alt-svc", alt_svc(port).as_bytes(), out);
    }
    if upgrade {
        out.extend_from_slice(b"connection: upgrade\r\n\r\n");
        return Head { framing: Framing::Raw, persistent: false };
    }
    let (framing, announced) = frame(asked, status, declared, length);
    if let Some(length) = announced {
        out.extend_from_slice(b"content-length: ");
        write_decimal(length, out);
        out.extend_from_slice(b"\r\n");
    }
    match framing {
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Framing::UntilClose => close = true,
        _ => {}
    }
    if close {
        out.extend_from_slice(b"connection: close\r\n");
    } else if asked.version == Version::Http10 {
        out.extend_from_slice(b"connection: keep-alive\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Head { framing, persistent: !close }
}

/// Writes what follows `Date` in a head whose own header lines are ready in `block`. Returns whether no body may follow.
pub(crate) fn write_stored_fields(
    out: &mut Vec<u8>,
    asked: Asked,
    status: u16,
    block: &[u8],
    age: Option<u64>,
    body: usize,
) -> bool {
    if let Some(age) = age {
        out.extend_from_slice(b"age: ");
        write_decimal(age, out);
        out.extend_from_slice(b"\r\n");
    }
    let bodiless = status < 200 || status == 204 || status == 304;
    if !bodiless {
        out.extend_from_slice(b"content-length: ");
        write_decimal(body as u64, out);
        out.extend_from_slice(b"\r\n");
    }
    if let Some(port) = asked.alt_svc {
        write_field(b"alt-svc", alt_svc(port).as_bytes(), out);
    }
    out.extend_from_slice(block);
    out.extend_from_slice(match (asked.persistent, asked.version) {
        (true, Version::Http10) => b"connection: keep-alive\r\n\r\n",
        (true, _) => b"\r\n",
        (false, _) => b"connection: close\r\n\r\n",
    });
    bodiless || asked.head_only
}

/// Decides the framing, and the `Content-Length` to announce (RFC 9110 section 8.6, RFC 9112 section 6.3).
pub(crate) fn frame(asked: Asked, status: u16, declared: Option<u64>, length: BodyLength) -> (Framing, Option<u64>) {
    if status < 200 || status == 204 {
        return (Framing::None, None);
    }
    if status == 304 {
        return (Framing::None, declared);
    }
    if asked.head_only {
        let known = match length {
            BodyLength::Exact(length) if length > 0 => Some(length),
            _ => None,
        };
        return (Framing::None, declared.or(known));
    }
    match length {
        BodyLength::Exact(0) => (Framing::None, Some(0)),
        BodyLength::Exact(length) => (Framing::Length(length), Some(length)),
        BodyLength::Unknown if asked.version == Version::Http10 => (Framing::UntilClose, None),
        BodyLength::Unknown => (Framing::Chunked, None),
    }
}

pub(crate) fn write_status_line(out: &mut Vec<u8>, status: u16) {
    let line: &[u8] = match status {
        200 => b"HTTP/1.1 200 OK\r\n",
        101 => b"HTTP/1.1 101 Switching Protocols\r\n",
        204 => b"HTTP/1.1 204 No Content\r\n",
        304 => b"HTTP/1.1 304 Not Modified\r\n",
        404 => b"HTTP/1.1 404 Not Found\r\n",
        _ => {
            let phrase = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
            return write_status_line_with(out, status, phrase.unwrap_or_default());
        }
    };
    out.extend_from_slice(line);
}

pub(crate) fn write_status_line_with(out: &mut Vec<u8>, status: u16, phrase: &str) {
    out.extend_from_slice(b"HTTP/1.1 ");
    write_decimal(status.into(), out);
    out.push(b' ');
    out.extend_from_slice(phrase.as_bytes());
    out.extend_from_slice(b"\r\n");
}

pub(crate) fn write_decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut text = [0_u8; 20];
    let mut at = text.len();
    loop {
        at -= 1;
        // The remainder is below ten.
        text[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: Asked = Asked { version: Version::Http11, head_only: false, persistent: true, alt_svc: None };

    fn encode(asked: Asked, status: u16, headers: &[(&str, &str)], length: BodyLength) -> (String, Head) {
        let clock = Clock::new();
        let mut out = Vec::new();
        let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let head = write_head(&mut out, &clock, clock.now(), asked, status, headers, length);
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.split("\r\n").filter(|line| !line.starts_with("date: ")).collect();
        (lines.join("|"), head)
    }

    #[tokio::test]
    async fn the_server_writes_framing_and_the_app_cannot_contradict_it() {
        let hostile = [("Content-Length", "99"), ("Transfer-Encoding", "chunked"), ("Date", "never"), ("X", "y")];
        let (text, head) = encode(GET, 200, &hostile, BodyLength::Exact(2));
        assert_eq!(text, "HTTP/1.1 200 OK|X: y|content-length: 2||");
        assert_eq!(head, Head { framing: Framing::Length(2), persistent: true });
    }

    #[tokio::test]
    async fn unknown_lengths_are_chunked_or_end_with_the_connection() {
        let (text, head) = encode(GET, 200, &[], BodyLength::Unknown);
        assert_eq!((text.as_str(), head.framing), ("HTTP/1.1 200 OK|transfer-encoding: chunked||", Framing::Chunked));
        let old = Asked { version: Version::Http10, ..GET };
        let (text, head) = encode(old, 200, &[], BodyLength::Unknown);
        assert_eq!((text.as_str(), head.persistent), ("HTTP/1.1 200 OK|connection: close||", false));
    }

    #[tokio::test]
    async fn head_204_and_304_have_no_body() {
        let head_request = Asked { head_only: true, ..GET };
        assert_eq!(
            encode(head_request, 200, &[("content-length", "7")], BodyLength::Exact(0)).0,
            "HTTP/1.1 200 OK|content-length: 7||"
        );
        assert_eq!(encode(head_request, 200, &[], BodyLength::Exact(7)).0, "HTTP/1.1 200 OK|content-length: 7||");
        assert_eq!(encode(GET, 204, &[("content-length", "7")], BodyLength::Exact(7)).0, "HTTP/1.1 204 No Content||");
        assert_eq!(
            encode(GET, 304, &[("content-length", "7")], BodyLength::Exact(0)).0,
            "HTTP/1.1 304 Not Modified|content-length: 7||"
        );
    }

    #[tokio::test]
    async fn an_app_can_ask_for_the_connection_to_close() {
        let (text, head) = encode(GET, 200, &[("Connection", "foo, Close")], BodyLength::Exact(0));
        assert_eq!((text.as_str(), head.persistent), ("HTTP/1.1 200 OK|content-length: 0|connection: close||", false));
    }
}
