//! Sections 8.1 and 8.3 to 8.5: how messages are made of frames, what a request must say, CONNECT.

use narthex_tests::h2::conformance::{Case, Expect, case, checked};
use narthex_tests::h2::frame::{self, END_HEADERS, END_STREAM};
use narthex_tests::h2::{Answer, hpack};

pub(crate) fn cases() -> Vec<Case> {
    [exchanges(), trailers(), lengths(), pseudo_fields(), targets(), connects()].into_iter().flatten().collect()
}

/// Nothing but these fields, in this order. `{host}` is the authority.
fn fields(name: &'static str, expect: Expect, fields: &'static [(&'static str, &'static str)]) -> Case {
    case(name, expect, move |c| {
        let host = c.authority().to_owned();
        let block = hpack::block(fields.iter().map(|(name, value)| (*name, value.replace("{host}", &host))));
        c.send(&frame::headers(1, END_STREAM, block));
    })
}

fn malformed() -> Expect {
    Expect::Malformed(1)
}

fn exchange(
    name: &'static str,
    method: &'static str,
    path: &'static str,
    bodies: &'static [&'static str],
    right: fn(&Answer) -> bool,
) -> Case {
    checked(name, Expect::Serves, move |c| {
        let block = c.request(method, path, &[]);
        let ends = |last: bool| if last { END_STREAM } else { 0 };
        c.send(&frame::headers(1, ends(bodies.is_empty()), block));
        for (index, body) in bodies.iter().enumerate() {
            c.send(&frame::data(1, ends(index + 1 == bodies.len()), body));
        }
        let answer = c.answer(1).map_err(|end| format!("{end:?}, {:?}", c.goaways))?;
        if right(&answer) { Ok(()) } else { Err(format!("{answer:?}")) }
    })
}

fn exchanges() -> Vec<Case> {
    vec![
        exchange("8.1: GET", "GET", "/", &[], |answer| answer.status == 200 && answer.text() == "OK"),
        exchange("8.1: HEAD has no body, and its length", "HEAD", "/bytes?n=1000", &[], |answer| {
            answer.status == 200 && answer.body.is_empty() && answer.header("content-length") == Some("1000")
        }),
        exchange("8.1: POST is echoed", "POST", "/", &["hello"], |answer| answer.text() == "hello"),
        exchange("8.1: POST of several frames", "POST", "/", &["hel", "", "lo"], |answer| answer.text() == "hello"),
        exchange("8.1: PUT without a body", "PUT", "/", &[], |answer| answer.status == 200 && answer.body.is_empty()),
        exchange("8.1: an unusual method", "PROPFIND", "/ignore-body", &["x"], |answer| answer.status == 200),
        exchange("8.1: 204 has no body", "GET", "/status/204", &[], |answer| answer.status == 204 && answer.body.is_empty()),
        exchange("8.1: names of response fields are in lower case", "GET", "/", &[], |answer| {
            answer.headers.iter().all(|(name, _)| !name.chars().any(char::is_uppercase))
        }),
        exchange("8.2.2: a response has no fields about the connection", "GET", "/close", &[], |answer| {
            answer.text() == "bye" && answer.header("connection").is_none() && answer.header("transfer-encoding").is_none()
        }),
        exchange("8.1: trailers of a response", "GET", "/trailers", &[], |answer| {
            answer.trailers == [("x-checksum".to_owned(), "abc123".to_owned())]
        }),
        exchange("8.1: a response that breaks off is reset, not ended", "GET", "/break-off?chunks=3&size=10", &[], |answer| {
            !answer.ended && answer.reset.is_some()
        }),
        exchange("8.1: an app that answers before the body came", "POST", "/early", &["x"], |answer| answer.text() == "early"),
        checked("8.1: an early answer ends with RST_STREAM NO_ERROR, or waits for the rest", Expect::Serves, |c| {
            c.post(1, "/early", &[]);
            let answer = c.answer(1).map_err(|end| format!("{end:?}"))?;
            c.send(&frame::data(1, END_STREAM, "x"));
            if answer.text() == "early" && answer.ended { Ok(()) } else { Err(format!("{answer:?}")) }
        }),
    ]
}

fn trailers() -> Vec<Case> {
    let with = |name, expect, trailers: &'static [(&'static str, &'static str)], flags: u8| {
        case(name, expect, move |c| {
            c.post(1, "/len", &[]);
            c.send(&frame::data(1, 0, "hello"));
            c.send(&frame::headers(1, flags, hpack::block(trailers.iter().copied())));
        })
    };
    vec![
        checked("8.1: trailers reach the app", Expect::Serves, |c| {
            c.post(1, "/len", &[("trailer", "x-one")]);
            c.send(&frame::data(1, 0, "hello"));
            c.send(&frame::headers(1, END_STREAM, hpack::block([("x-one", "1"), ("x-two", "2")])));
            let answer = c.answer(1).map_err(|end| format!("{end:?}"))?;
            let right = answer.text().contains("x-one=1") && answer.text().contains("x-two=2") && answer.text().starts_with("5;");
            if right { Ok(()) } else { Err(format!("{answer:?}")) }
        }),
        checked("8.1: trailers without a body", Expect::Serves, |c| {
            c.post(1, "/len", &[]);
            c.send(&frame::headers(1, END_STREAM, hpack::block([("x-one", "1")])));
            let answer = c.answer(1).map_err(|end| format!("{end:?}"))?;
            if answer.text() == "0;x-one=1" { Ok(()) } else { Err(format!("{answer:?}")) }
        }),
        case("8.1: trailers of two frames", Expect::Answered(1, 200), |c| {
            c.post(1, "/len", &[]);
            let block = hpack::block([("x-one", "1")]);
            c.send(&frame::frame(frame::HEADERS, END_STREAM, 1, &block[..4]));
            c.send(&frame::frame(frame::CONTINUATION, END_HEADERS, 1, &block[4..]));
        }),
        with("8.1: a second HEADERS that does not end the stream", malformed(), &[("x-one", "1")], 0),
        with("8.3: a pseudo-field in trailers", malformed(), &[(":method", "POST")], END_STREAM),
        with("8.3: an unknown pseudo-field in trailers", malformed(), &[("x-one", "1"), (":unknown", "x")], END_STREAM),
        with("8.2.1: an upper-case name in trailers", malformed(), &[("X-One", "1")], END_STREAM),
        with("8.2.2: a field about the connection in trailers", malformed(), &[("transfer-encoding", "chunked")], END_STREAM),
    ]
}

fn lengths() -> Vec<Case> {
    let of = |name, expect, length: &'static str, bodies: &'static [&'static str], trailers: bool| {
        case(name, expect, move |c| {
            c.post(1, "/len", &[("content-length", length)]);
            for (index, body) in bodies.iter().enumerate() {
                let end = if index + 1 == bodies.len() && !trailers { END_STREAM } else { 0 };
                c.send(&frame::data(1, end, body));
            }
            if trailers {
                c.send(&frame::headers(1, END_STREAM, hpack::block([("x-one", "1")])));
            }
        })
    };
    vec![
        of("8.1.1: a body of the length that was announced", Expect::Answered(1, 200), "5", &["hello"], false),
        of("8.1.1: a body of that length in pieces", Expect::Answered(1, 200), "5", &["he", "ll", "o", ""], false),
        of("8.1.1: a body of that length, and trailers", Expect::Answered(1, 200), "5", &["hello"], true),
        of("8.1.1: a body that is longer", malformed(), "3", &["hello"], false),
        of("8.1.1: a body that is longer in pieces", malformed(), "3", &["he", "llo"], false),
        of("8.1.1: a body that is shorter", malformed(), "8", &["hello"], false),
        of("8.1.1: a body that is shorter in pieces", malformed(), "8", &["he", "llo", ""], false),
        of("8.1.1: a body that is shorter, and trailers", malformed(), "8", &["hello"], true),
        of("8.1.1: a body that is longer, and trailers", malformed(), "3", &["hello"], true),
        of("8.1.1: a body where none was announced", malformed(), "0", &["x"], false),
        of("8.1.1: a length that is no number", malformed(), "five", &["hello"], false),
        of("8.1.1: a negative length", malformed(), "-5", &["hello"], false),
        of("8.1.1: a length with a sign", malformed(), "+5", &["hello"], false),
        of("8.1.1: a length that is a list", malformed(), "5, 6", &["hello"], false),
        of("8.1.1: a length beyond 2^64", malformed(), "18446744073709551621", &["hello"], false),
        case("8.1.1: a length without a body", malformed(), |c| {
            let block = c.request("POST", "/len", &[("content-length", "5")]);
            c.send(&frame::headers(1, END_STREAM, block));
        }),
        case("8.1.1: a length of 0 without a body", Expect::Answered(1, 200), |c| {
            let block = c.request("POST", "/len", &[("content-length", "0")]);
            c.send(&frame::headers(1, END_STREAM, block));
        }),
        case("8.1.1: two lengths that differ", malformed(), |c| {
            c.post(1, "/len", &[("content-length", "5"), ("content-length", "6")]);
            c.send(&frame::data(1, END_STREAM, "hello"));
        }),
        case("8.1.1: trailers in place of a body of some length", malformed(), |c| {
            c.post(1, "/len", &[("content-length", "5")]);
            c.send(&frame::headers(1, END_STREAM, hpack::block([("x-one", "1")])));
        }),
    ]
}

const M: (&str, &str) = (":method", "GET");
const S: (&str, &str) = (":scheme", "http");
const P: (&str, &str) = (":path", "/");
const A: (&str, &str) = (":authority", "{host}");

fn pseudo_fields() -> Vec<Case> {
    vec![
        fields("8.3: pseudo-fields in any order", Expect::Answered(1, 200), &[P, A, M, S]),
        fields("8.3: an unknown pseudo-field", malformed(), &[M, S, P, A, (":unknown", "x")]),
        fields("8.3: a response's pseudo-field", malformed(), &[M, S, P, A, (":status", "200")]),
        fields("8.3: a pseudo-field after a field", malformed(), &[M, S, P, ("x-a", "b"), A]),
        fields("8.3: the method after a field", malformed(), &[S, P, A, ("x-a", "b"), M]),
        fields("8.3.1: no :method", malformed(), &[S, P, A]),
        fields("8.3.1: no :scheme", malformed(), &[M, P, A]),
        fields("8.3.1: no :path", malformed(), &[M, S, A]),
        fields("8.3.1: no pseudo-field at all", malformed(), &[("x-a", "b")]),
        fields("8.3.1: two :method", malformed(), &[M, M, S, P, A]),
        fields("8.3.1: two :scheme", malformed(), &[M, S, S, P, A]),
        fields("8.3.1: two :path", malformed(), &[M, S, P, P, A]),
        fields("8.3.1: two :authority", malformed(), &[M, S, P, A, A]),
        fields("8.3.1: a method that is no token", malformed(), &[(":method", "GE T"), S, P, A]),
        fields("8.3.1: an empty method", malformed(), &[(":method", ""), S, P, A]),
        fields("8.3.1: an empty scheme", malformed(), &[M, (":scheme", ""), P, A]),
        fields("8.3.1: another scheme than the connection's", malformed(), &[M, (":scheme", "https"), P, A]),
        fields("8.3.1: a scheme that nobody knows", malformed(), &[M, (":scheme", "gopher"), P, A]),
    ]
}

fn targets() -> Vec<Case> {
    vec![
        fields("8.3.1: an empty :path", malformed(), &[M, S, (":path", ""), A]),
        fields("8.3.1: a :path without a slash", malformed(), &[M, S, (":path", "index.html"), A]),
        fields("8.3.1: a :path with a space", malformed(), &[M, S, (":path", "/a b"), A]),
        fields("8.3.1: a :path with a line break", malformed(), &[M, S, (":path", "/ HTTP/1.1\r\nX-Evil: 1"), A]),
        fields("8.3.1: a :path with a NUL", malformed(), &[M, S, (":path", "/a\0b"), A]),
        fields("8.3.1: a :path with a fragment", malformed(), &[M, S, (":path", "/#a"), A]),
        fields("8.3.1: a whole URI as :path", malformed(), &[M, S, (":path", "http://{host}/"), A]),
        fields("8.3.1: an asterisk but for OPTIONS", malformed(), &[M, S, (":path", "*"), A]),
        fields("8.3.1: OPTIONS of the server", Expect::Answered(1, 200), &[(":method", "OPTIONS"), S, (":path", "*"), A]),
        fields("8.3.1: OPTIONS with an empty :path", malformed(), &[(":method", "OPTIONS"), S, (":path", ""), A]),
        fields("8.3.1: Host in place of :authority", Expect::Answered(1, 200), &[M, S, P, ("host", "{host}")]),
        fields("8.3.1: Host and :authority that agree", Expect::Answered(1, 200), &[M, S, P, A, ("host", "{host}")]),
        fields("8.3.1: Host and :authority that differ", malformed(), &[M, S, P, A, ("host", "elsewhere.example")]),
        fields("8.3.1: neither Host nor :authority", malformed(), &[M, S, P]),
        fields("8.3.1: two Hosts", malformed(), &[M, S, P, ("host", "{host}"), ("host", "{host}")]),
        fields("8.3.1: an empty :authority", malformed(), &[M, S, P, (":authority", "")]),
        fields("8.3.1: a user in :authority", malformed(), &[M, S, P, (":authority", "user@{host}")]),
        fields("8.3.1: a path in :authority", malformed(), &[M, S, P, (":authority", "{host}/x")]),
        fields("8.3.1: a space in :authority", malformed(), &[M, S, P, (":authority", "{host} x")]),
    ]
}

fn connects() -> Vec<Case> {
    const C: (&str, &str) = (":method", "CONNECT");
    const W: (&str, &str) = (":protocol", "websocket");
    vec![
        fields("8.5: CONNECT is refused: this is no proxy", malformed(), &[C, A]),
        fields("8.5: CONNECT with a :scheme", malformed(), &[C, S, A]),
        fields("8.5: CONNECT with a :path", malformed(), &[C, P, A]),
        fields("8.5: CONNECT with both", malformed(), &[C, S, P, A]),
        fields("8.5: CONNECT without :authority", malformed(), &[C]),
        fields("RFC 8441 4: :protocol of another method", malformed(), &[M, W, S, P, A]),
        fields("RFC 8441 4: an extended CONNECT without :path", malformed(), &[C, W, S, A]),
        fields("RFC 8441 4: an extended CONNECT without :scheme", malformed(), &[C, W, P, A]),
        fields("RFC 8441 4: an extended CONNECT without :authority", malformed(), &[C, W, S, P]),
        fields("RFC 8441 4: two :protocol", malformed(), &[C, W, W, S, P, A]),
    ]
}
