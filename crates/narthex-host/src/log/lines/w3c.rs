//! W3C extended: a line of fields with spaces between them, `-` for one that is missing.

use narthex_http::Reason;

use crate::log::clock::Moment;
use crate::log::fields::Field::*;
use crate::log::head::Head;
use crate::log::state::Log;
use crate::log::text;
use narthex_http::Ended;

/// What Windows says if the other end has gone: ERROR_NETNAME_DELETED.
const CLIENT_HAS_GONE: u64 = 64;

/// The fields from s-sitename to cs-host, each with a space behind it.
pub(super) fn begin(log: &Log, head: &Head<'_>, record: &mut Vec<u8>) {
    let connection = head.connection;
    let fields = log.spec.fields;
    for (field, value) in [(SiteName, &log.names.0), (ComputerName, &log.names.1)] {
        if fields.has(field) {
            record.extend_from_slice(value);
            record.push(b' ');
        }
    }
    let mut field = |field, write: &dyn Fn(&mut Vec<u8>)| {
        if fields.has(field) {
            write(record);
            record.push(b' ');
        }
    };
    field(ServerIp, &|out| text::address(out, connection.local.ip()));
    field(Method, &|out| text::w3c(out, head.method.as_bytes()));
    field(UriStem, &|out| text::w3c(out, head.stem.as_bytes()));
    field(UriQuery, &|out| text::w3c(out, head.query.as_bytes()));
    field(ServerPort, &|out| text::number(out, connection.local.port().into()));
    field(UserName, &|out| out.push(b'-'));
    field(ClientIp, &|out| text::address(out, connection.peer.ip()));
    field(Version, &|out| out.extend_from_slice(head.version.as_bytes()));
    field(UserAgent, &|out| text::w3c(out, head.named.user_agent));
    field(Cookie, &|out| text::w3c(out, head.named.cookie));
    field(Referer, &|out| text::w3c(out, head.named.referer));
    field(Host, &|out| match head.host {
        Some(host) => text::host(out, host, text::w3c),
        None => out.push(b'-'),
    });
}

pub(super) fn end(log: &Log, record: &[u8], ended: &Ended<'_>, now: &Moment, line: &mut Vec<u8>) {
    let fields = log.spec.fields;
    for (field, value) in [(Date, &now.date), (Time, &now.time)] {
        if fields.has(field) {
            line.extend_from_slice(value);
            line.push(b' ');
        }
    }
    line.extend_from_slice(record);
    let mut number = |field, value: Option<u64>| {
        if fields.has(field) {
            match value {
                Some(value) => text::number(line, value),
                None => line.push(b'-'),
            }
            line.push(b' ');
        }
    };
    let gone = matches!(ended.reason, Some(Reason::ClientReset | Reason::ConnectionDropped));
    number(Status, (ended.status != 0).then_some(ended.status.into()));
    number(Substatus, Some(0));
    number(Win32Status, Some(if gone { CLIENT_HAS_GONE } else { 0 }));
    number(BytesSent, Some(ended.sent));
    number(BytesReceived, Some(ended.received));
    number(TimeTaken, Some(ended.taken.as_millis().try_into().unwrap_or(u64::MAX)));
    number(StreamId, None);
    if fields.has(RequestId) {
        text::w3c(line, ended.id.map(narthex_http::RequestId::as_bytes).unwrap_or_default());
        line.push(b' ');
    }
    // The last field's space.
    line.pop();
    line.push(b'\n');
}
