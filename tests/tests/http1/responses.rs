//! What the client gets: the framing and the fields of responses.

use narthex_tests::case::{Case, case};
use narthex_tests::{Framing, Response};

use crate::http1::refuse;

pub(crate) fn cases() -> Vec<Case> {
    let framed = |name: &str, request: &str, framing: Framing, length: usize| {
        case(name)
            .send(request)
            .answer(200)
            .check("it is framed in another way", move |response| response.framing == framing)
            .check("its body has another length", move |response| response.body.len() == length)
    };
    vec![
        case("a response has a Date and no Server")
            .get("/")
            .answer(200)
            .check("its Date is not an HTTP date", has_date)
            .check("it names the server", |response| !response.has("server"))
            .alive(),
        case("a refusal has a Date, a length and no Server")
            .send("GET / HTTP/9.9\r\n\r\n")
            .answer(505)
            .check("its Date is not an HTTP date", has_date)
            .check("it has no length", |response| response.framing == Framing::Length)
            .check("it names the server", |response| !response.has("server"))
            .closed(),
        case("a page that is not there is the app's own 404").get("/none").answer(404).body("no such page").alive(),
        case("204 has no body and no length").get("/status/204").answer(204).alive(),
        case("304 has no body").get("/status/304").answer(304).alive(),
        case("an error status keeps the connection").get("/status/500").answer(500).alive(),
        case("an unusual status passes").get("/status/299").answer(299).alive(),
        framed("a whole response has its length", "GET / HTTP/1.1\r\nHost: {host}\r\n\r\n", Framing::Length, 2).alive(),
        framed("an empty response has its length", "GET /bytes?n=0 HTTP/1.1\r\nHost: {host}\r\n\r\n", Framing::Length, 0).alive(),
        framed(
            "a long response of known length",
            "GET /bytes?n=5000000 HTTP/1.1\r\nHost: {host}\r\n\r\n",
            Framing::Length,
            5_000_000,
        )
        .alive(),
        framed("a stream is chunked", "GET /stream?chunks=7&size=11 HTTP/1.1\r\nHost: {host}\r\n\r\n", Framing::Chunked, 77)
            .alive(),
        framed(
            "a long stream",
            "GET /stream?chunks=500&size=10000 HTTP/1.1\r\nHost: {host}\r\n\r\n",
            Framing::Chunked,
            5_000_000,
        )
        .alive(),
        framed(
            "a stream to HTTP/1.0 ends with the connection",
            "GET /stream?chunks=7&size=11 HTTP/1.0\r\n\r\n",
            Framing::Close,
            77,
        )
        .closed(),
        framed(
            "a stream to HTTP/1.0 ends with the connection even if that was to be kept",
            "GET /stream?chunks=7&size=11 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            Framing::Close,
            77,
        )
        .closed(),
        framed("a response of known length to HTTP/1.0", "GET /bytes?n=77 HTTP/1.0\r\n\r\n", Framing::Length, 77).closed(),
        case("trailers reach a client that takes them")
            .send("GET /trailers HTTP/1.1\r\nHost: {host}\r\nTE: trailers\r\nConnection: TE\r\n\r\n")
            .answer(200)
            .body("xxxxx")
            .check("the trailer is not there", |response| {
                response.trailers.iter().any(|(name, value)| name == "x-checksum" && value == "abc123")
            })
            .alive(),
        case("trailers do not disturb a client that does not").get("/trailers").answer(200).body("xxxxx").alive(),
        // RFC 9112 section 9.6: a reset would destroy what the client has not read yet.
        case("answers survive a refusal while the client still sends")
            .send("GET /slow?ms=50 HTTP/1.1\r\nHost: {host}\r\n\r\nGET / HTTP/9.9\r\n\r\n")
            .send_bytes(vec![b'j'; 500_000])
            .answer(200)
            .body("slow")
            .answer(505)
            .closed(),
        refuse("a refusal ends the connection", 400, "GET / HTTP/1.1\r\n\r\n"),
    ]
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn has_date(response: &Response) -> bool {
    let Some(date) = response.header("date") else { return false };
    let pattern = "Aaa, 00 Aaa 0000 00:00:00 GMT";
    date.len() == pattern.len()
        && date.chars().zip(pattern.chars()).all(|(found, wanted)| match wanted {
            '0' => found.is_ascii_digit(),
            'A' => found.is_ascii_uppercase(),
            'a' => found.is_ascii_lowercase(),
            other => found == other,
        })
}
