//! HTTP/1.1 as raw bytes: one body of cases, run unchanged against every provider.
//!
//! `NARTHEX_CASE=word` runs only the cases whose name contains the word.

mod bodies;
mod connections;
mod fields;
mod framing;
mod limits;
mod request_lines;
mod responses;

use narthex_tests::case::{Case, case};

/// What follows a refused request in every case: it must be neither answered nor read as part of anything.
const NEXT: &str = "GET / HTTP/1.1\r\nHost: {host}\r\n\r\n";

/// A request that is refused with `status`, and whose connection then ends.
fn refuse(name: impl Into<String>, status: u16, request: impl AsRef<str>) -> Case {
    case(name).send(format!("{}{NEXT}", request.as_ref())).refused(status)
}

/// A POST to `/len` with these further header lines, each with its CR LF.
fn post(fields: &str) -> String {
    format!("POST /len HTTP/1.1\r\nHost: {{host}}\r\n{fields}\r\n")
}

/// A chunked POST to `/len` with this raw body.
fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked\r\n") + body
}

macro_rules! suites {
    ($($test:ident: $cases:path;)*) => {
        mod embedded {
            $(#[test] fn $test() { narthex_tests::case::run(narthex_tests::Provider::Embedded, &$cases()); })*
        }
        mod shared {
            $(#[test] fn $test() { narthex_tests::case::run(narthex_tests::Provider::Shared, &$cases()); })*
        }
    };
}

suites! {
    connections_are_kept_pipelined_and_closed_as_the_rfcs_say: super::connections::cases;
    request_bodies_are_read_as_framed: super::bodies::cases;
    expectations_are_met_only_when_the_body_is_read: super::bodies::expectations;
    upgraded_connections_are_tunnels: super::connections::upgrades;
    request_lines_and_targets_are_parsed_strictly: super::request_lines::cases;
    hosts_are_checked: super::request_lines::hosts;
    header_fields_are_parsed_strictly: super::fields::cases;
    message_framing_is_never_ambiguous: super::framing::cases;
    chunks_are_parsed_strictly: super::framing::chunks;
    sizes_are_limited: super::limits::cases;
    responses_are_framed_for_their_client: super::responses::cases;
}
