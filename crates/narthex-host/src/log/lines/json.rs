//! One JSON object a line. The members' names are ours.

use crate::log::clock::Moment;
use crate::log::fields::Field::*;
use crate::log::head::Head;
use crate::log::state::Log;
use crate::log::text;
use narthex_http::Ended;

/// The members from `site` to `host`, each with a comma behind it. What the request does not have is left out.
pub(super) fn begin(log: &Log, head: &Head<'_>, record: &mut Vec<u8>) {
    let connection = head.connection;
    let fields = log.spec.fields;
    for (field, name, value) in [(SiteName, "\"site\":\"", &log.names.0), (ComputerName, "\"computer\":\"", &log.names.1)] {
        if fields.has(field) {
            member(record, name, value);
        }
    }
    if fields.has(ServerIp) {
        record.extend_from_slice(b"\"server_ip\":\"");
        text::address(record, connection.local.ip());
        record.extend_from_slice(b"\",");
    }
    if fields.has(Method) {
        member(record, "\"method\":\"", head.method.as_bytes());
    }
    if fields.has(UriStem) {
        member(record, "\"path\":\"", head.stem.as_bytes());
    }
    if fields.has(UriQuery) {
        member(record, "\"query\":\"", head.query.as_bytes());
    }
    if fields.has(ServerPort) {
        record.extend_from_slice(b"\"server_port\":");
        text::number(record, connection.local.port().into());
        record.push(b',');
    }
    if fields.has(ClientIp) {
        record.extend_from_slice(b"\"client_ip\":\"");
        text::address(record, connection.peer.ip());
        record.extend_from_slice(b"\",");
    }
    if fields.has(Version) {
        member(record, "\"version\":\"", head.version.as_bytes());
    }
    if fields.has(UserAgent) {
        member(record, "\"user_agent\":\"", head.named.user_agent);
    }
    if fields.has(Cookie) {
        member(record, "\"cookie\":\"", head.named.cookie);
    }
    if fields.has(Referer) {
        member(record, "\"referer\":\"", head.named.referer);
    }
    if let Some(host) = head.host.filter(|_| fields.has(Host)) {
        record.extend_from_slice(b"\"host\":\"");
        text::host(record, host, text::json);
        record.extend_from_slice(b"\",");
    }
}

fn member(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    if value.is_empty() {
        return;
    }
    out.extend_from_slice(name.as_bytes());
    text::json(out, value);
    out.extend_from_slice(b"\",");
}

/// The object's beginning: `{"time":"2026-11-22T12:38:37.123Z",`.
pub(super) fn time(now: &Moment, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(&now.date);
    out.push(b'T');
    out.extend_from_slice(&now.time);
    out.push(b'.');
    let thousandths = now.millisecond.unsigned_abs();
    for digit in [thousandths / 100, thousandths / 10, thousandths] {
        text::number(out, digit % 10);
    }
    out.extend_from_slice(b"Z\",");
}

pub(super) fn end(log: &Log, record: &[u8], ended: &Ended<'_>, now: &Moment, line: &mut Vec<u8>) {
    let fields = log.spec.fields;
    if fields.has(Date) || fields.has(Time) {
        time(now, line);
    } else {
        line.push(b'{');
    }
    line.extend_from_slice(record);
    let mut number = |wanted, name: &str, value| {
        if wanted {
            line.extend_from_slice(name.as_bytes());
            text::number(line, value);
            line.push(b',');
        }
    };
    number(fields.has(Status) && ended.status != 0, "\"status\":", ended.status.into());
    number(fields.has(BytesSent), "\"bytes_sent\":", ended.sent);
    number(fields.has(BytesReceived), "\"bytes_received\":", ended.received);
    number(fields.has(TimeTaken), "\"time_taken_ms\":", ended.taken.as_millis().try_into().unwrap_or(u64::MAX));
    if let Some(id) = ended.id {
        member(line, "\"request_id\":\"", id.as_bytes());
    }
    if let Some(reason) = ended.reason {
        member(line, "\"reason\":\"", reason.token().as_bytes());
    }
    // The last member's comma, which an object without members does not have.
    line.pop_if(|byte| *byte == b',');
    line.extend_from_slice(b"}\n");
}
