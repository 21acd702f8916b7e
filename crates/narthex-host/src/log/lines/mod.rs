//! The formats. A line is begun while the request's head is there, into the exchange's record, and completed at its end:
//! nearly all of it is copied twice and escaped once.

mod errors;
mod json;
mod ncsa;
mod w3c;

use std::io::Write;

use super::clock::Moment;
use super::head::Head;
use super::spec::Format;
use super::state::Log;
use narthex_http::Ended;

pub(super) use errors::refused;

/// Appends what is known at the start of a request.
pub(super) fn begin(log: &Log, head: &Head<'_>, record: &mut Vec<u8>) {
    match log.spec.format {
        Format::W3c => w3c::begin(log, head, record),
        Format::Ncsa => ncsa::begin(head, record),
        Format::Json => json::begin(log, head, record),
        Format::Error => {}
    }
}

/// Appends the line of a request that was begun with this record.
pub(super) fn end(log: &Log, record: &[u8], ended: &Ended<'_>, now: &Moment, line: &mut Vec<u8>) {
    match log.spec.format {
        Format::W3c => w3c::end(log, record, ended, now, line),
        Format::Ncsa => ncsa::end(record, ended, now, line),
        Format::Json => json::end(log, record, ended, now, line),
        Format::Error => {}
    }
}

/// Appends what stands at the top of a file, and again where the host went on writing to it.
pub(super) fn heading(log: &Log, now: &Moment, out: &mut Vec<u8>) {
    let fields: &mut dyn Iterator<Item = &str> = match log.spec.format {
        Format::W3c => &mut log.spec.fields.names(),
        Format::Error => &mut errors::FIELDS.into_iter(),
        Format::Ncsa | Format::Json => return,
    };
    out.extend_from_slice(concat!("#Software: Narthex ", env!("CARGO_PKG_VERSION"), "\n#Version: 1.0\n#Date: ").as_bytes());
    out.extend_from_slice(&now.date);
    out.push(b' ');
    out.extend_from_slice(&now.time);
    out.extend_from_slice(b"\n#Fields:");
    for field in fields {
        out.push(b' ');
        out.extend_from_slice(field.as_bytes());
    }
    out.push(b'\n');
}

/// Appends the line that says how many lines are missing. NCSA has no place for it.
pub(super) fn lost(log: &Log, lines: u64, now: &Moment, out: &mut Vec<u8>) {
    // Writing to a vector cannot fail.
    let _ = match log.spec.format {
        Format::W3c | Format::Error => writeln!(out, "#Lost: {lines}"),
        Format::Json => {
            json::time(now, out);
            writeln!(out, "\"lost\":{lines}}}")
        }
        Format::Ncsa => Ok(()),
    };
}
