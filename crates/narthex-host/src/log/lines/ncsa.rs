//! NCSA combined: the common format, and the referer and the user agent behind it.

use crate::log::clock::Moment;
use crate::log::head::Head;
use crate::log::text;
use narthex_http::Ended;

/// The request line in quotes, and behind the place of status and bytes the two others. The last two bytes say how long
/// the first part is.
pub(super) fn begin(head: &Head<'_>, record: &mut Vec<u8>) {
    let start = record.len();
    record.push(b'"');
    text::quoted(record, head.method.as_bytes());
    record.push(b' ');
    text::quoted(record, head.target.as_bytes());
    record.push(b' ');
    record.extend_from_slice(head.version.as_bytes());
    record.push(b'"');
    // The bound on values keeps it below 64 KiB.
    let length = u16::try_from(record.len() - start).unwrap_or(u16::MAX);
    for value in [head.named.referer, head.named.user_agent] {
        record.extend_from_slice(b" \"");
        match value {
            [] => record.push(b'-'),
            _ => text::quoted(record, value),
        }
        record.push(b'"');
    }
    record.extend_from_slice(&length.to_le_bytes());
}

pub(super) fn end(record: &[u8], ended: &Ended<'_>, now: &Moment, line: &mut Vec<u8>) {
    let Some((record, length)) = record.split_last_chunk() else { return };
    let Some((request, others)) = record.split_at_checked(u16::from_le_bytes(*length).into()) else { return };
    text::address(line, ended.connection.peer.ip());
    line.extend_from_slice(b" - - [");
    line.extend_from_slice(&now.local);
    line.extend_from_slice(b"] ");
    line.extend_from_slice(request);
    line.push(b' ');
    match ended.status {
        0 => line.push(b'-'),
        status => text::number(line, status.into()),
    }
    line.push(b' ');
    text::number(line, ended.sent);
    line.extend_from_slice(others);
    line.push(b'\n');
}
