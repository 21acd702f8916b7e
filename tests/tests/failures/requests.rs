//! Requests that the host cannot or will not understand, whoever they are for.

use narthex_tests::Client;
use narthex_tests::wire_app::WireApp;

use crate::failures::scene::{compare, plain};
use crate::failures::stage::{Stage, send};

/// What is sent, what its client sees, and the line of the error log.
struct Bad {
    sent: fn() -> String,
    seen: &'static str,
    line: &'static str,
}

/// A request with these lines besides `Host`.
macro_rules! bad {
    ($sent:expr, $seen:literal, $line:literal) => {
        Bad { sent: || String::from($sent), seen: concat!($seen, ", closed"), line: $line }
    };
}

/// Fields that are valid each for itself.
fn fields(count: usize, length: usize) -> String {
    let value = "v".repeat(length);
    (0..count).map(|number| format!("f{number}: {value}\r\n")).collect()
}

const BAD: &[Bad] = &[
    bad!("G(T /verb HTTP/1.1\r\nHost: x\r\n\r\n", "400 Bad Request", "HTTP/1.1 G(T /verb 400 - Verb -"),
    bad!("GET /% HTTP/1.1\r\nHost: x\r\n\r\n", "400 Bad Request", "HTTP/1.1 GET /% 400 - URL -"),
    bad!("GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", "400 Bad Request", "HTTP/1.1 GET /%zz 400 - URL -"),
    bad!("GET page HTTP/1.1\r\nHost: x\r\n\r\n", "400 Bad Request", "HTTP/1.1 GET page 400 - URL -"),
    bad!("GET * HTTP/1.1\r\nHost: x\r\n\r\n", "400 Bad Request", "HTTP/1.1 GET * 400 - URL -"),
    bad!("GET /a/b/c/d/e HTTP/1.1\r\nHost: x\r\n\r\n", "400 Bad Request", "HTTP/1.1 GET /a/b/c/d/e 400 - URL -"),
    bad!(
        "GET /segment-of-more-than-40-characters-is-too-much HTTP/1.1\r\nHost: x\r\n\r\n",
        "400 Bad Request",
        "HTTP/1.1 GET /segment-of-more-than-40-characters-is-too-much 400 - URL -"
    ),
    bad!("GET /a\\b HTTP/1.1\r\nHost: x\r\n\r\n", "400 Bad Request", "HTTP/1.1 GET /a\\b 400 - Forbidden -"),
    bad!("GET /\u{e9} HTTP/1.1\r\nHost: x\r\n\r\n", "400 Bad Request", "HTTP/1.1 GET /++ 400 - Forbidden -"),
    bad!("GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n", "400 Bad Request", "HTTP/1.1 GET /%00 400 - Forbidden -"),
    bad!(
        format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "u".repeat(200)),
        "414 URI Too Long",
        "HTTP/1.1 GET * 414 - URL_Length -"
    ),
    bad!(format!("GET /{}", "u".repeat(400)), "414 URI Too Long", "- GET * 414 - URL_Length -"),
    bad!(
        format!("GET /field HTTP/1.1\r\nHost: x\r\n{}\r\n", fields(1, 1000)),
        "431 Request Header Fields Too Large",
        "HTTP/1.1 GET /field 431 - FieldLength -"
    ),
    bad!(
        format!("GET /block HTTP/1.1\r\nHost: x\r\n{}\r\n", fields(6, 700)),
        "431 Request Header Fields Too Large",
        "HTTP/1.1 GET /block 431 - RequestLength -"
    ),
    bad!(
        format!("GET /count HTTP/1.1\r\nHost: x\r\n{}\r\n", fields(100, 1)),
        "431 Request Header Fields Too Large",
        "HTTP/1.1 GET /count 431 - RequestLength -"
    ),
    bad!("GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", "400 Bad Request", "HTTP/1.1 GET / 400 - Header -"),
    bad!("GET / HTTP/1.1\r\nHost: x\r\n: no name\r\n\r\n", "400 Bad Request", "HTTP/1.1 GET / 400 - Header -"),
    bad!("GET / HTTP/1.1\r\nHost: x\r\nspace : v\r\n\r\n", "400 Bad Request", "HTTP/1.1 GET / 400 - Header -"),
    bad!("GET / HTTP/1.1\r\nHost: x\r\na: \0\r\n\r\n", "400 Bad Request", "HTTP/1.1 GET / 400 - Header -"),
    bad!("GET / HTTP/1.1\r\nHost: x\r\na: b\r\n folded\r\n\r\n", "400 Bad Request", "HTTP/1.1 GET / 400 - Header -"),
    bad!("GET / HTTP/1.1\nHost: x\n\n", "400 Bad Request", "HTTP/1.1 GET / 400 - Invalid_CR/LF -"),
    bad!("GET / HTTP/1.1\r\nHost: x\r\na: b\n\r\n", "400 Bad Request", "HTTP/1.1 GET / 400 - Invalid_CR/LF -"),
    bad!("\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", "400 Bad Request", "- - - 400 - Invalid_CR/LF -"),
    bad!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "400 Bad Request", "HTTP/1.1 POST / 400 - Number -"),
    bad!(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "400 Bad Request",
        "HTTP/1.1 POST / 400 - Number -"
    ),
    bad!(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "400 Bad Request",
        "HTTP/1.1 POST / 400 - Number -"
    ),
    bad!("GET / HTTP/1.1\r\n\r\n", "400 Bad Request", "HTTP/1.1 GET / 400 - Hostname -"),
    bad!("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400 Bad Request", "HTTP/1.1 GET / 400 - Hostname -"),
    bad!("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400 Bad Request", "HTTP/1.1 GET / 400 - Hostname -"),
    bad!("GET http://a:b/ HTTP/1.1\r\nHost: x\r\n\r\n", "400 Bad Request", "HTTP/1.1 GET http://a:b/ 400 - Hostname -"),
    bad!(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "400 Bad Request",
        "HTTP/1.1 POST / 400 - BadRequest -"
    ),
    bad!(
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "400 Bad Request",
        "HTTP/1.0 POST / 400 - BadRequest -"
    ),
    bad!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", "501 Not Implemented", "HTTP/1.1 POST / 501 - N/I -"),
    bad!(
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
        "501 Not Implemented",
        "HTTP/1.1 POST / 501 - N/I -"
    ),
    bad!("CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n", "501 Not Implemented", "HTTP/1.1 CONNECT x:80 501 - N/I -"),
    bad!("GET / HTTP/2.0\r\nHost: x\r\n\r\n", "505 HTTP Version Not Supported", "HTTP/2.0 GET / 505 - Version_N/S -"),
    bad!("GET / HTTP/3.0\r\nHost: x\r\n\r\n", "505 HTTP Version Not Supported", "HTTP/3.0 GET / 505 - Version_N/S -"),
    bad!("GET / HTTP/0.9\r\nHost: x\r\n\r\n", "400 Bad Request", "HTTP/0.9 GET / 400 - BadRequest -"),
    bad!("GET /\r\n", "400 Bad Request", "- GET / 400 - BadRequest -"),
    bad!("GET / http/1.1\r\nHost: x\r\n\r\n", "400 Bad Request", "- GET /+http/1.1 400 - BadRequest -"),
    bad!("GET / HTTP/1.1.1\r\nHost: x\r\n\r\n", "400 Bad Request", "HTTP/?.? GET / 400 - BadRequest -"),
    bad!("GET / HTTP/aaa\r\nHost: x\r\n\r\n", "400 Bad Request", "HTTP/?.? GET / 400 - BadRequest -"),
    bad!("GET / more HTTP/1.1\r\nHost: x\r\n\r\n", "400 Bad Request", "HTTP/1.1 GET /+more 400 - BadRequest -"),
    bad!(
        "POST / HTTP/1.1\r\nHost: x\r\nExpect: a miracle\r\nContent-Length: 1\r\n\r\n",
        "417 Expectation Failed",
        "HTTP/1.1 POST / 417 - Precondition -"
    ),
];

const LIMITS: &str = "[settings]
max_url_length = 100
max_field_length = 900
max_request_bytes = 4000
max_header_count = 100
url_segment_max_length = 40
url_segment_max_count = 4
";

#[test]
fn each_bad_request_has_its_answer_and_its_line_in_the_error_log() {
    let stage = Stage::with(LIMITS);
    let (_app, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", plain());
    let play = |bad: &Bad| {
        let mut client = Client::connect(address).expect("the host accepts connections");
        send(&mut client, &(bad.sent)());
        crate::failures::scene::Seen::by(client)
    };
    let played = BAD.iter().map(|bad| {
        let sent = (bad.sent)();
        (sent[..sent.len().min(60)].to_owned(), play(bad), 0, bad.seen, bad.line)
    });
    compare(&stage, played.collect());
}
