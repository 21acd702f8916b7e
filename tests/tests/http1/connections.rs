//! How long a connection lives, and in what order it is answered.

use narthex_tests::Framing;
use narthex_tests::case::{Case, case};

pub(crate) fn cases() -> Vec<Case> {
    let pipelined: String = (1..=40).map(|n| format!("GET /bytes?n={n} HTTP/1.1\r\nHost: {{host}}\r\n\r\n")).collect();
    let in_order = (1..=40usize).fold(case("40 pipelined requests are answered in order").send(pipelined), |case, n| {
        case.answer(200).check("it is not this request's answer", move |response| response.body.len() == n)
    });
    let request = "POST /len HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\n\r\nabc";
    // `{host}` has to go out as a whole to be recognised.
    let byte_by_byte = split(request).into_iter().fold(case("a request may arrive byte by byte"), Case::send);

    vec![
        case("an HTTP/1.1 connection is kept").get("/").answer(200).body("OK").get("/").answer(200).body("OK").alive(),
        case("Connection: close is honoured and announced")
            .send("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
            .answer(200)
            .header("connection", "close")
            .closed(),
        case("Connection: close is found in a list, in any case")
            .send("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: x-y, CLOSE\r\n\r\n")
            .answer(200)
            .closed(),
        case("nothing is answered after Connection: close")
            .send("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\nHost: {host}\r\n\r\n")
            .answer(200)
            .closed(),
        case("an app can close the connection").get("/close").answer(200).header("connection", "close").closed(),
        case("an HTTP/1.0 connection is closed").send("GET / HTTP/1.0\r\n\r\n").answer(200).body("OK").closed(),
        case("an HTTP/1.0 connection is kept if asked for")
            .send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            .answer(200)
            .header("connection", "keep-alive")
            .alive(),
        case("a higher minor version is read as HTTP/1.1").send("GET / HTTP/1.2\r\nHost: {host}\r\n\r\n").answer(200).alive(),
        case("a half-closed client still gets its answer").get("/slow?ms=50").finish().answer(200).body("slow").closed(),
        case("a connection on which nothing is sent is closed without an answer").finish().closed(),
        case("an unfinished head gets no answer from an app").send("GET / HTTP/1.1\r\nHo").quiet(),
        in_order,
        case("a slow answer does not let a later one pass")
            .get("/slow?ms=100")
            .get("/")
            .answer(200)
            .body("slow")
            .answer(200)
            .body("OK")
            .alive(),
        case("pipelined bodies and empty requests stay apart")
            .send(
                "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\n\r\noneGET / HTTP/1.1\r\nHost: {host}\r\n\r\n\
                 PUT /x HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n\
                 POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n",
            )
            .answer(200)
            .body("one")
            .answer(200)
            .body("OK")
            .answer(200)
            .body("two")
            .answer(200)
            .body("")
            .alive(),
        byte_by_byte.answer(200).body("3").alive(),
        case("a blank line before a request is tolerated")
            .send("\r\nGET / HTTP/1.1\r\nHost: {host}\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: {host}\r\n\r\n")
            .answer(200)
            .answer(200)
            .alive(),
        case("HEAD is answered like GET, without the body")
            .send("HEAD / HTTP/1.1\r\nHost: {host}\r\n\r\n")
            .answer_to_head(200)
            .header("content-length", "2")
            .alive(),
        case("HEAD carries a long body's length")
            .send("HEAD /bytes?n=1234567 HTTP/1.1\r\nHost: {host}\r\n\r\n")
            .answer_to_head(200)
            .header("content-length", "1234567")
            .alive(),
        case("HEAD of a stream has no body").send("HEAD /stream?chunks=3&size=5 HTTP/1.1\r\nHost: {host}\r\n\r\n").answer_to_head(200).alive(),
        case("an error answered to HEAD has no body").send("HEAD /none HTTP/1.1\r\nHost: {host}\r\n\r\n").answer_to_head(404).alive(),
        case("an early answer is followed by the next one")
            .send(format!(
                "POST /early HTTP/1.1\r\nHost: {{host}}\r\nContent-Length: 200000\r\n\r\n{}GET / HTTP/1.1\r\nHost: {{host}}\r\n\r\n",
                "e".repeat(200_000)
            ))
            .answer(200)
            .body("early")
            .answer(200)
            .body("OK")
            .alive(),
        case("an early answer comes before the body, and the rest is drained")
            .send("POST /early HTTP/1.1\r\nHost: {host}\r\nContent-Length: 10\r\n\r\n01234")
            .answer(200)
            .body("early")
            .send("56789GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")
            .answer(200)
            .body("OK")
            .alive(),
        case("an unread chunked body is drained")
            .send("POST /ignore-body HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            .answer(200)
            .body("ignored")
            .send("5\r\nworld\r\n0\r\nx-trailer: 1\r\n\r\nGET / HTTP/1.1\r\nHost: {host}\r\n\r\n")
            .answer(200)
            .body("OK")
            .alive(),
        case("a broken rest of an unread body ends the connection")
            .send("POST /ignore-body HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            .answer(200)
            .body("ignored")
            .send("zz\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: {host}\r\n\r\n")
            .closed(),
        case("a panicking handler costs one request")
            .get("/panic")
            .answer(500)
            .check("it has a length", |response| response.framing == Framing::Length),
    ]
}

/// Single characters, except that `{host}` stays whole.
fn split(text: &str) -> Vec<String> {
    let mut parts = Vec::new();
    for (index, piece) in text.split("{host}").enumerate() {
        if index > 0 {
            parts.push("{host}".to_owned());
        }
        parts.extend(piece.chars().map(String::from));
    }
    parts
}

const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// "hi" masked with zeros, and its echo.
const HI: &[u8] = &[0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];
const HI_BACK: &[u8] = &[0x81, 0x02, b'h', b'i'];

pub(crate) fn upgrades() -> Vec<Case> {
    let handshake = |name: &str| {
        case(name)
            .send(HANDSHAKE)
            .answer(101)
            .header("upgrade", "websocket")
            // The answer to RFC 6455's own example key.
            .header("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    };
    let mut long = vec![0x82, 0xff];
    long.extend_from_slice(&300_000u64.to_be_bytes());
    long.extend_from_slice(&[0; 4]);
    long.resize(long.len() + 300_000, b'L');
    let mut long_back = vec![0x82, 0x7f];
    long_back.extend_from_slice(&300_000u64.to_be_bytes());
    long_back.resize(long_back.len() + 300_000, b'L');

    vec![
        handshake("an upgraded connection carries bytes both ways")
            .send_bytes(HI)
            .tunnel(HI_BACK)
            .quiet()
            .send_bytes(HI)
            .tunnel(HI_BACK),
        handshake("HTTP after an upgrade is not read as HTTP").send("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").closed(),
        handshake("many bytes pass a tunnel").send_bytes(long).tunnel(long_back),
        handshake("the app can end a tunnel")
            .send_bytes([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8])
            .tunnel([0x88, 0x02, 0x03, 0xe8])
            .closed(),
        handshake("the client can end a tunnel").send_bytes(HI).tunnel(HI_BACK).finish().closed(),
        case("bytes sent along with the upgrade request are not lost")
            .send_bytes([HANDSHAKE.replace("{host}", "localhost").as_bytes(), HI].concat())
            .answer(101)
            .tunnel(HI_BACK),
        case("an upgrade is possible on a kept connection")
            .get("/")
            .answer(200)
            .send(HANDSHAKE)
            .answer(101)
            .send_bytes(HI)
            .tunnel(HI_BACK),
        case("an app that does not upgrade answers as usual")
            .send("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: something\r\n\r\n")
            .answer(200)
            .body("OK")
            .alive(),
    ]
}
