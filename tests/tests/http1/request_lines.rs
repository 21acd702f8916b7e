//! The request line, its target, and the host.

use narthex_tests::case::{Case, case};

use crate::http1::refuse;

pub(crate) fn cases() -> Vec<Case> {
    let line = |line: &str| format!("{line}\r\nHost: {{host}}\r\n\r\n");
    let mut cases = vec![
        refuse("an HTTP/0.9 request", 400, "GET /\r\n"),
        refuse("a request line of one word", 400, line("GET")),
        refuse("a request line of four words", 400, line("GET / HTTP/1.1 more")),
        refuse("two spaces before the target", 400, line("GET  / HTTP/1.1")),
        refuse("two spaces before the version", 400, line("GET /  HTTP/1.1")),
        refuse("a space after the version", 400, line("GET / HTTP/1.1 ")),
        refuse("a space before the method", 400, line(" GET / HTTP/1.1")),
        refuse("a tab between method and target", 400, line("GET\t/ HTTP/1.1")),
        refuse("a tab between target and version", 400, line("GET /\tHTTP/1.1")),
        refuse("an unescaped space in the target", 400, line("GET /a b HTTP/1.1")),
        refuse("a bare LF after the request line", 400, "GET / HTTP/1.1\nHost: {host}\r\n\r\n"),
        refuse("a bare CR after the request line", 400, "GET / HTTP/1.1\rHost: {host}\r\n\r\n"),
        refuse("bare LF everywhere", 400, "GET / HTTP/1.1\nHost: {host}\n\n"),
        refuse("a bare LF before the request line", 400, line("\nGET / HTTP/1.1")),
        refuse("TLS on a plain port", 400, "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n"),
        refuse("version in lower case", 400, line("GET / http/1.1")),
        refuse("version HTTP/0.1", 400, line("GET / HTTP/0.1")),
        refuse("version HTTP/1.1.1", 400, line("GET / HTTP/1.1.1")),
        refuse("version HTTP/1", 400, line("GET / HTTP/1")),
        refuse("version HTTP/1.", 400, line("GET / HTTP/1.")),
        refuse("version HTTP/aaa", 400, line("GET / HTTP/aaa")),
        refuse("version HTTP/1,1", 400, line("GET / HTTP/1,1")),
        refuse("another protocol's version", 400, line("GET / RTSP/1.0")),
        refuse("version HTTP/2.0", 505, line("GET / HTTP/2.0")),
        refuse("version HTTP/3.0", 505, line("GET / HTTP/3.0")),
        refuse("what only begins as HTTP/2's preface", 505, "PRI * HTTP/2.0\r\nHost: {host}\r\n\r\n"),
        refuse("a method of NUL", 400, line("GE\0T / HTTP/1.1")),
        refuse("a method with a control character", 400, line("GE\x01T / HTTP/1.1")),
        case("a method that is not ASCII").send_bytes(b"G\xc4T / HTTP/1.1\r\nHost: x\r\n\r\n").refused(400),
        refuse("an empty target", 400, line("GET  HTTP/1.1")),
        refuse("a target that does not start with a slash", 400, line("GET index.html HTTP/1.1")),
        // No client should send one; those that do mean no harm, and it does not decide where the request ends.
        case("a fragment in the query is data").send(line("GET /?page=1#part HTTP/1.1")).answer(200).alive(),
        refuse("NUL in the target", 400, line("GET /a\0b HTTP/1.1")),
        refuse("a control character in the target", 400, line("GET /a\x01b HTTP/1.1")),
        refuse("DEL in the target", 400, line("GET /a\x7fb HTTP/1.1")),
        refuse("a control character in the query", 400, line("GET /?a\x01b HTTP/1.1")),
        refuse("an escaped NUL", 400, line("GET /a%00b HTTP/1.1")),
        refuse("an escaped control character", 400, line("GET /a%0ab HTTP/1.1")),
        refuse("escape at the end", 400, line("GET /path% HTTP/1.1")),
        refuse("escape that is not hexadecimal", 400, line("GET /path%XY HTTP/1.1")),
        refuse("half an escape", 400, line("GET /path%F HTTP/1.1")),
        refuse("an escaped escape", 400, line("GET /%%32 HTTP/1.1")),
        refuse("overlong UTF-8", 400, line("GET /%C0%AF HTTP/1.1")),
        refuse("UTF-8 of a surrogate", 400, line("GET /%ED%A0%80 HTTP/1.1")),
        refuse("* for another method than OPTIONS", 400, line("GET * HTTP/1.1")),
        refuse("an absolute target with slashes in its query but no path", 400, line("GET http://{host}?a/b HTTP/1.1")),
        refuse("an absolute target without an authority", 400, line("GET http:/// HTTP/1.1")),
        refuse("an absolute target with user information", 400, line("GET http://me@{host}/ HTTP/1.1")),
        refuse("an absolute target of another scheme", 400, line("GET ftp://{host}/ HTTP/1.1")),
        refuse("CONNECT", 501, line("CONNECT {host} HTTP/1.1")),
        case("OPTIONS * is for the app at the root")
            .send(line("OPTIONS * HTTP/1.1"))
            .answer(200)
            .body("the server as a whole")
            .alive(),
        case("OPTIONS of a path").send(line("OPTIONS / HTTP/1.1")).answer(200).body("OK").alive(),
        case("an unknown method is for the app").send(line("FROBNICATE / HTTP/1.1")).answer(200).body("OK").alive(),
        case("methods keep their case")
            .send(line("get /headers HTTP/1.1"))
            .answer(200)
            .check("the method is not as sent", |response| response.text().contains("\"method\":\"get\""))
            .alive(),
        case("an escaped escape sign is data").get("/headers?x=%252F").answer(200).alive(),
        case("the query reaches the app as it was sent")
            .get("/headers?a=b&c=%20d/../e?f")
            .answer(200)
            .check("the query is not as sent", |response| response.text().contains("?a=b&c=%20d/../e?f\""))
            .alive(),
        case("an absolute target").send(line("GET http://{host}/ HTTP/1.1")).answer(200).body("OK").alive(),
        case("an absolute target without a path").send(line("GET http://{host} HTTP/1.1")).answer(200).body("OK").alive(),
        case("an absolute target in capitals").send(line("GET HTTP://{host}/ HTTP/1.1")).answer(200).body("OK").alive(),
        case("an absolute target's authority wins over Host")
            .send("GET http://wins.test/headers HTTP/1.1\r\nHost: loses.test\r\n\r\n")
            .answer(200)
            .check("the app sees the wrong host", |response| {
                response.text().contains("wins.test") && !response.text().contains("loses.test")
            })
            .alive(),
    ];
    for separator in "()<>@,;:\\\"/[]?={}".chars() {
        cases.push(refuse(format!("a method with {separator:?} in it"), 400, line(&format!("G{separator}T / HTTP/1.1"))));
    }
    cases
}

pub(crate) fn hosts() -> Vec<Case> {
    let host = |value: &str| format!("GET / HTTP/1.1\r\nHost: {value}\r\n\r\n");
    let mut cases = vec![
        refuse("no Host", 400, "GET / HTTP/1.1\r\nAccept: */*\r\n\r\n"),
        refuse("two different Hosts", 400, "GET / HTTP/1.1\r\nHost: {host}\r\nHost: other.test\r\n\r\n"),
        refuse("two equal Hosts", 400, "GET / HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\n\r\n"),
        refuse("two Hosts in HTTP/1.0", 400, "GET / HTTP/1.0\r\nHost: {host}\r\nHost: other.test\r\n\r\n"),
        refuse("an absolute target does not excuse a missing Host", 400, "GET http://{host}/ HTTP/1.1\r\n\r\n"),
        refuse("an absolute target does not excuse a bad Host", 400, "GET http://{host}/ HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        case("HTTP/1.0 needs no Host").send("GET / HTTP/1.0\r\n\r\n").answer(200).closed(),
        case("HTTP/1.0 may have an empty Host").send("GET / HTTP/1.0\r\nHost:\r\n\r\n").answer(200).closed(),
        case("a Host without a port").send(host("127.0.0.1")).answer(200).alive(),
        case("a Host with another port").send(host("127.0.0.1:1")).answer(200).alive(),
        case("any Host reaches an app that is bound to the address").send(host("anything.test")).answer(200).alive(),
    ];
    for bad in [
        "",
        " ",
        "a b",
        "a/b",
        "http://a",
        "http://a/",
        "a:99999",
        "a:b",
        "a:-1",
        "me@a",
        "[::1",
        "::1",
        "a\\b",
        "a?b",
        "a#b",
        "a%zz",
        "a\x7fb",
    ] {
        cases.push(refuse(format!("the Host {bad:?}"), 400, host(bad)));
    }
    cases
}
