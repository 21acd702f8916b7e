//! The error log: HTTP.sys's HTTPERR, a line for everything that the host itself refused or ended.

use crate::log::clock::Moment;
use crate::log::text;
use narthex_http::{Refused, RequestId};

/// Its fields, in the order of a line.
pub(super) const FIELDS: [&str; 14] = [
    "date",
    "time",
    "c-ip",
    "c-port",
    "s-ip",
    "s-port",
    "cs-version",
    "cs-method",
    "cs-uri",
    "sc-status",
    "s-siteid",
    "s-reason",
    "s-queuename",
    "x-request-id",
];
const LONGEST_VERB: usize = 255;
const LONGEST_URL: usize = 4096;
const LONGEST_QUEUE_NAME: usize = 255;

/// Appends the line. `site` is the URL group that the request was for, if it came that far.
pub(in crate::log) fn refused(
    refused: &Refused<'_>,
    queue_name: Option<&str>,
    site: Option<u64>,
    now: &Moment,
    line: &mut Vec<u8>,
) {
    let (method, url, version) = parts(refused.request_line);
    line.extend_from_slice(&now.date);
    line.push(b' ');
    line.extend_from_slice(&now.time);
    for end in [refused.connection.peer, refused.connection.local] {
        line.push(b' ');
        text::address(line, end.ip());
        line.push(b' ');
        text::number(line, end.port().into());
    }
    line.push(b' ');
    line.extend_from_slice(version);
    line.push(b' ');
    text::error(line, method, LONGEST_VERB);
    line.push(b' ');
    text::error(line, url, LONGEST_URL);
    for number in [refused.status.map(u64::from), site] {
        line.push(b' ');
        match number {
            Some(number) => text::number(line, number),
            None => line.push(b'-'),
        }
    }
    line.push(b' ');
    text::error(line, refused.reason.token().as_bytes(), usize::MAX);
    line.push(b' ');
    text::error(line, queue_name.unwrap_or_default().as_bytes(), LONGEST_QUEUE_NAME);
    line.push(b' ');
    text::error(line, refused.id.map(RequestId::as_bytes).unwrap_or_default(), RequestId::LONGEST);
    line.push(b'\n');
}

/// Method, URL and version of whatever was sent. A version that HTTP.sys would not show is `HTTP/?.?`, as there.
fn parts(line: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let line = line.trim_ascii_end();
    let Some(first) = memchr::memchr(b' ', line) else { return (line, b"", b"-") };
    let (method, rest) = line.split_at_checked(first).unwrap_or((line, b""));
    let rest = rest.trim_ascii_start();
    let last = memchr::memrchr(b' ', rest).map_or(0, |space| space + 1);
    let (url, version) = rest.split_at_checked(last).unwrap_or((rest, b""));
    match version {
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => (method, url.trim_ascii_end(), version),
        [b'H', b'T', b'T', b'P', b'/', ..] => (method, url.trim_ascii_end(), b"HTTP/?.?"),
        _ => (method, rest, b"-"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_line_falls_into_its_parts_however_broken_it_is() {
        let cases = [
            ("GET /a?b HTTP/1.1", ["GET", "/a?b", "HTTP/1.1"]),
            ("GET /a b HTTP/1.1\r\n", ["GET", "/a b", "HTTP/1.1"]),
            ("GET /a HTTP/1.10", ["GET", "/a", "HTTP/?.?"]),
            ("GET /a HTTP/x", ["GET", "/a", "HTTP/?.?"]),
            ("GET /a", ["GET", "/a", "-"]),
            ("GET HTTP/1.1", ["GET", "", "HTTP/1.1"]),
            ("\x16\x03\x01", ["\x16\x03\x01", "", "-"]),
            ("", ["", "", "-"]),
        ];
        for (line, expected) in cases {
            assert_eq!(<[&[u8]; 3]>::from(parts(line.as_bytes())), expected.map(str::as_bytes), "{line:?}");
        }
    }
}
