//! Whole responses whose header lines are ready.

use bytes::Bytes;
use narthex_http::{Exchange, Piece, Request};

use crate::engine::client::{exchange, response, send};
use crate::engine::server::{Work, note, serve};

const BLOCK: &[u8] = b"etag: \"1\"\r\ncontent-type: text/plain\r\n";

fn app(request: &Request<'_>, exchange: &Exchange) -> Work {
    note(request, exchange);
    let large = || Piece::Shared(Bytes::from(vec![b'x'; 5 << 20]));
    let (status, age, body) = match request.target {
        "/304" => (304, Some(3), Piece::EMPTY),
        "/empty" => (200, None, Piece::EMPTY),
        "/large" => (200, None, large()),
        _ => (200, Some(12), Piece::Slice(b"body")),
    };
    exchange.send_stored(status, BLOCK, age, body).unwrap();
    None
}

/// The answer without its `date` line, line ends as `|`.
fn answer(request: &str) -> String {
    let server = serve(app);
    let answer = exchange(server.address, request);
    assert_eq!(server.end().sent, answer.len() as u64);
    let lines: Vec<_> = answer.split("\r\n").filter(|line| !line.starts_with("date: ")).collect();
    assert_eq!(lines.len() + 1, answer.split("\r\n").count(), "one date: {answer}");
    lines.join("|")
}

#[test]
fn head_and_body_follow_from_the_request_and_the_status() {
    const FIELDS: &str = "etag: \"1\"|content-type: text/plain|connection: close";
    for (request, expected) in [
        ("GET / HTTP/1.0", format!("HTTP/1.1 200 OK|age: 12|content-length: 4|{FIELDS}||body")),
        ("HEAD / HTTP/1.0", format!("HTTP/1.1 200 OK|age: 12|content-length: 4|{FIELDS}||")),
        ("GET /304 HTTP/1.0", format!("HTTP/1.1 304 Not Modified|age: 3|{FIELDS}||")),
        ("GET /empty HTTP/1.0", format!("HTTP/1.1 200 OK|content-length: 0|{FIELDS}||")),
        ("HEAD /empty HTTP/1.0", format!("HTTP/1.1 200 OK|content-length: 0|{FIELDS}||")),
    ] {
        assert_eq!(answer(&format!("{request}\r\n\r\n")), expected, "{request}");
    }
}

#[test]
fn the_connection_is_kept_as_with_any_response() {
    let server = serve(app);
    let stream = send(server.address, "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let (head, body) = response(&stream);
    assert!(!head.contains("connection:"), "{head}");
    assert_eq!(body, b"body");
    let (head, _) = response(&stream);
    assert!(head.contains("connection: keep-alive\r\n"), "{head}");
}

#[test]
fn a_large_body_arrives_whole() {
    let server = serve(app);
    let (_, body) = response(&send(server.address, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(body.len(), 5 << 20);
}
