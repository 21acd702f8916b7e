//! Where a request's body ends: everything that two parsers could read in two ways is refused.

use narthex_tests::case::{Case, case};

use crate::http1::{chunked, post, refuse};

pub(crate) fn cases() -> Vec<Case> {
    const CHUNKS: &str = "0\r\n\r\n";
    let either = |name: &str, request: String| case(name).send(request).refused_with_one_of(&[400, 501]);
    let mut cases = vec![
        refuse("a length and chunks", 400, post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + CHUNKS),
        refuse("chunks and a length", 400, post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n") + CHUNKS),
        refuse("two different lengths", 400, post("Content-Length: 5\r\nContent-Length: 6\r\n") + "hello"),
        refuse("two lengths that differ in form", 400, post("Content-Length: 5\r\nContent-Length: +5\r\n") + "hello"),
        refuse("chunked twice in one field", 501, post("Transfer-Encoding: chunked, chunked\r\n") + CHUNKS),
        refuse("chunked twice in two fields", 501, post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n") + CHUNKS),
        refuse("an unknown coding", 501, post("Transfer-Encoding: frob\r\n") + CHUNKS),
        refuse("an unknown coding before chunked", 501, post("Transfer-Encoding: gzip, chunked\r\n") + CHUNKS),
        refuse("identity", 501, post("Transfer-Encoding: identity\r\n") + CHUNKS),
        refuse("a coding that ends in chunked", 501, post("Transfer-Encoding: xchunked\r\n") + CHUNKS),
        refuse("a coding that starts with chunked", 501, post("Transfer-Encoding: chunkedx\r\n") + CHUNKS),
        refuse("a quoted coding", 400, post("Transfer-Encoding: \"chunked\"\r\n") + CHUNKS),
        either("chunked is not the last coding", post("Transfer-Encoding: chunked, gzip\r\n") + CHUNKS),
        either("chunked with a parameter", post("Transfer-Encoding: chunked;q=1\r\n") + CHUNKS),
        either("an empty coding", post("Transfer-Encoding:\r\n") + CHUNKS),
        either("a vertical tab before the coding", post("Transfer-Encoding: \x0bchunked\r\n") + CHUNKS),
        either(
            "chunks in HTTP/1.0",
            format!("POST /len HTTP/1.0\r\nHost: {{host}}\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNKS}"),
        ),
        // RFC 9112 section 6.3: no length means no body. HTTP.sys's 411 would break clients that rely on it.
        case("a POST of no stated length").send(post("")).answer(200).body("0").alive(),
        case("a PUT of no stated length").send("PUT / HTTP/1.1\r\nHost: {host}\r\n\r\n").answer(200).alive(),
    ];
    for bad in
        ["+5", "-1", "-0", "5x", "0x5", "5.0", "5 5", "5, 6", "", "five", "18446744073709551616", "99999999999999999999999999"]
    {
        cases.push(refuse(format!("the length {bad:?}"), 400, post(&format!("Content-Length: {bad}\r\n")) + "hello"));
    }
    cases
}

pub(crate) fn chunks() -> Vec<Case> {
    let mut cases = vec![
        refuse("a chunk longer than its size", 400, chunked("3\r\nhello\r\n0\r\n\r\n")),
        refuse("a chunk without its CR LF", 400, chunked("5\r\nhelloXX0\r\n\r\n")),
        refuse("a chunk that ends in LF", 400, chunked("5\r\nhello\n0\r\n\r\n")),
        refuse("a chunk that ends in CR", 400, chunked("5\r\nhello\r0\r\n\r\n")),
        refuse("a size that ends in LF", 400, chunked("5\nhello\r\n0\r\n\r\n")),
        refuse("a size that ends in CR", 400, chunked("5\rhello\r\n0\r\n\r\n")),
        refuse("a last chunk that ends in LF", 400, chunked("5\r\nhello\r\n0\n\r\n")),
        refuse("a body that ends in LF", 400, chunked("5\r\nhello\r\n0\r\n\n")),
        refuse("data after the last chunk", 400, chunked("0\r\nhello\r\n\r\n")),
        refuse("a bare LF in an extension", 400, chunked("5;a\nb\r\nhello\r\n0\r\n\r\n")),
        refuse("an extension that ends in LF", 400, chunked("5;a\nhello\r\n0\r\n\r\n")),
        refuse("a bare CR in an extension", 400, chunked("5;a\rb\r\nhello\r\n0\r\n\r\n")),
        refuse("NUL in an extension", 400, chunked("5;a\0b\r\nhello\r\n0\r\n\r\n")),
        refuse("a control character in an extension", 400, chunked("5;a\x01b\r\nhello\r\n0\r\n\r\n")),
        refuse("a trailer without a colon", 400, chunked("0\r\nX-A\r\n\r\n")),
        refuse("a trailer with a space before the colon", 400, chunked("0\r\nX-A : b\r\n\r\n")),
        refuse("a folded trailer", 400, chunked("0\r\nX-A: b\r\n c\r\n\r\n")),
        refuse("a trailer that ends in LF", 400, chunked("0\r\nX-A: b\n\r\n")),
        refuse("NUL in a trailer", 400, chunked("0\r\nX-A: b\0\r\n\r\n")),
    ];
    for bad in ["", "g", "0x5", "+5", "-5", " 5", "5 ", "\t5", "5g", "5 5", "5.", "FFFFFFFFFFFFFFFFF", "10000000000000005"] {
        cases.push(refuse(format!("the chunk size {bad:?}"), 400, chunked(&format!("{bad}\r\nhello\r\n0\r\n\r\n"))));
    }
    cases
}
