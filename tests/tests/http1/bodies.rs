//! Request bodies that are right, and when `100 Continue` is sent.

use narthex_tests::Framing;
use narthex_tests::case::{Case, case};

use crate::http1::{chunked, post};

pub(crate) fn cases() -> Vec<Case> {
    let accepted = |name: &str, request: String, answer: &'static str| case(name).send(request).answer(200).body(answer).alive();
    let streamed = "POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    vec![
        accepted("a body of known length", post("Content-Length: 5\r\n") + "hello", "5"),
        accepted("a body of length 0", post("Content-Length: 0\r\n"), "0"),
        accepted("a length with leading zeros", post("Content-Length: 0005\r\n") + "hello", "5"),
        accepted("equal lengths given twice", post("Content-Length: 5\r\nContent-Length: 5\r\n") + "hello", "5"),
        accepted("one chunk", chunked("5\r\nhello\r\n0\r\n\r\n"), "5"),
        accepted("no chunk but the last", chunked("0\r\n\r\n"), "0"),
        accepted("several chunks", chunked("1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n0\r\n\r\n"), "6"),
        accepted(
            "chunk sizes with leading zeros and in both cases",
            chunked("00a\r\n0123456789\r\n0A\r\n0123456789\r\n000\r\n\r\n"),
            "20",
        ),
        accepted("chunk extensions", chunked("5;a;b=c;d=\"e;f\"\r\nhello\r\n0;last\r\n\r\n"), "5"),
        accepted("trailers", chunked("5\r\nhello\r\n0\r\nX-One: 1\r\nX-Two:  2 \r\n\r\n"), "5;x-one=1;x-two=2"),
        accepted("the coding's name in any case", post("Transfer-Encoding: ChUnKeD\r\n") + "1\r\na\r\n0\r\n\r\n", "1"),
        accepted("CR LF inside of a chunk is data", chunked("4\r\n\r\n\r\n\r\n0\r\n\r\n"), "4"),
        accepted("a body that looks like a request", post("Content-Length: 18\r\n") + "GET / HTTP/1.1\r\n\r\n", "18"),
        case("a GET may have a body")
            .send("GET / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\n\r\nabc")
            .answer(200)
            .body("OK")
            .alive(),
        case("an unusual method may have a body")
            .send("PROPFIND /ignore-body HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\n\r\nabc")
            .answer(200)
            .alive(),
        case("an echoed body keeps its length")
            .send("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\n\r\nhello")
            .answer(200)
            .body("hello")
            .header("content-length", "5")
            .alive(),
        case("a body is echoed while it still comes").send(streamed).until("hello").send("3\r\nbye\r\n0\r\n\r\n"),
        case("an echo of chunks is chunked")
            .send(format!("{streamed}0\r\n\r\n"))
            .answer(200)
            .body("hello")
            .check("it is not chunked", |response| response.framing == Framing::Chunked)
            .alive(),
        case("a body cut short is not a body").send(post("Content-Length: 10\r\n") + "hello").finish().not_answered(200),
        case("chunks cut short are not a body").send(chunked("5\r\nhello\r\n")).finish().not_answered(200),
    ]
}

pub(crate) fn expectations() -> Vec<Case> {
    let expecting =
        |target: &str, fields: &str| format!("POST {target} HTTP/1.1\r\nHost: {{host}}\r\nExpect: 100-continue\r\n{fields}\r\n");
    vec![
        case("100 is sent when the app reads the body")
            .send(expecting("/len", "Content-Length: 5\r\n"))
            .answer(100)
            .send("hello")
            .answer(200)
            .body("5")
            .alive(),
        case("100 is sent before a chunked body")
            .send(expecting("/len", "Transfer-Encoding: chunked\r\n"))
            .answer(100)
            .send("5\r\nhello\r\n0\r\n\r\n")
            .answer(200)
            .body("5")
            .alive(),
        case("100 is sent for the second request of a connection too")
            .get("/")
            .answer(200)
            .send(expecting("/len", "Content-Length: 5\r\n"))
            .answer(100)
            .send("hello")
            .answer(200)
            .alive(),
        case("the expectation's case does not matter")
            .send("POST /len HTTP/1.1\r\nHost: {host}\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n")
            .answer(100)
            .send("x")
            .answer(200)
            .alive(),
        case("an app that answers at once sends no 100, and the connection ends")
            .send(expecting("/early", "Content-Length: 5\r\n"))
            .answer(200)
            .body("early")
            .header("connection", "close")
            .closed(),
        case("a request without a body needs no 100")
            .send("GET / HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\n\r\n")
            .answer(200)
            .body("OK")
            .alive(),
        case("an HTTP/1.0 client gets no 100")
            .send("POST /len HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
            .answer(200)
            .body("5")
            .closed(),
        case("a body that would be refused gets no 100").send(expecting("/len", "Content-Length: 30000001\r\n")).refused(413),
        case("an unknown expectation is refused")
            .send("POST /len HTTP/1.1\r\nHost: {host}\r\nExpect: the-impossible\r\nContent-Length: 5\r\n\r\nhello")
            .refused(417),
    ]
}
