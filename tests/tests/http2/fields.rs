//! Section 8.2: fields.

use narthex_tests::h2::conformance::{Case, Expect, case, checked};
use narthex_tests::h2::frame::{self, END_STREAM};
use narthex_tests::h2::hpack;

pub(crate) fn cases() -> Vec<Case> {
    [names(), values(), of_the_connection(), cookies()].into_iter().flatten().collect()
}

/// A request that is whole but for one field.
fn with(name: &'static str, expect: Expect, field: &'static [u8], value: &'static [u8]) -> Case {
    case(name, expect, move |c| {
        let mut block = c.request("GET", "/", &[]);
        block.extend(hpack::block([(field, value)]));
        c.send(&frame::headers(1, END_STREAM, block));
    })
}

fn malformed() -> Expect {
    Expect::Malformed(1)
}

fn names() -> Vec<Case> {
    vec![
        with("8.2.1: an upper-case name", malformed(), b"X-A", b"b"),
        with("8.2.1: one upper-case letter", malformed(), b"x-abC", b"b"),
        with("8.2.1: a name with a space", malformed(), b"x a", b"b"),
        with("8.2.1: a name with a colon", malformed(), b"x:a", b"b"),
        with("8.2.1: a name with a line break", malformed(), b"x\r\na", b"b"),
        with("8.2.1: a name with a NUL", malformed(), b"x\0a", b"b"),
        with("8.2.1: a name with DEL", malformed(), b"x\x7f", b"b"),
        with("8.2.1: a name with a byte above 127", malformed(), b"x\xe9", b"b"),
        with("8.2.1: an empty name", malformed(), b"", b"b"),
        with("8.2.1: a name that is nothing but a colon", malformed(), b":", b"b"),
        with("8.2.1: every character of a token", Expect::Answered(1, 200), b"x!#$%&'*+-.^_`|~09az", b"b"),
    ]
}

fn values() -> Vec<Case> {
    vec![
        with("8.2.1: a value with a NUL", malformed(), b"x-a", b"b\0c"),
        with("8.2.1: a value with LF", malformed(), b"x-a", b"b\nx-evil: 1"),
        with("8.2.1: a value with CR", malformed(), b"x-a", b"b\rc"),
        with("8.2.1: a value with CR LF", malformed(), b"x-a", b"b\r\nx-evil: 1"),
        with("8.2.1: a value that begins with a space", malformed(), b"x-a", b" b"),
        with("8.2.1: a value that ends with a space", malformed(), b"x-a", b"b "),
        with("8.2.1: a value that begins with a tab", malformed(), b"x-a", b"\tb"),
        with("8.2.1: an empty value", Expect::Answered(1, 200), b"x-a", b""),
        with("8.2.1: a value with bytes above 127", Expect::Answered(1, 200), b"x-a", b"\xc3\xa9\xff"),
        with("8.2.1: a value with spaces and tabs within", Expect::Answered(1, 200), b"x-a", b"b \t c"),
    ]
}

fn of_the_connection() -> Vec<Case> {
    vec![
        with("8.2.2: Connection", malformed(), b"connection", b"keep-alive"),
        with("8.2.2: Proxy-Connection", malformed(), b"proxy-connection", b"keep-alive"),
        with("8.2.2: Keep-Alive", malformed(), b"keep-alive", b"timeout=5"),
        with("8.2.2: Transfer-Encoding", malformed(), b"transfer-encoding", b"chunked"),
        with("8.2.2: Upgrade", malformed(), b"upgrade", b"websocket"),
        with("8.2.2: TE with something but trailers", malformed(), b"te", b"trailers, deflate"),
        with("8.2.2: TE: gzip", malformed(), b"te", b"gzip"),
        with("8.2.2: TE: trailers", Expect::Answered(1, 200), b"te", b"trailers"),
        case("8.2.2: Transfer-Encoding of a body", malformed(), |c| {
            c.post(1, "/len", &[("transfer-encoding", "chunked")]);
            c.send(&frame::data(1, END_STREAM, "0\r\n\r\n"));
        }),
    ]
}

fn cookies() -> Vec<Case> {
    vec![checked("8.2.3: crumbs of cookies are joined", Expect::Serves, |c| {
        let block = c.request("GET", "/headers", &[("cookie", "a=b"), ("x-a", "b"), ("cookie", "c=d"), ("cookie", "e=f")]);
        c.send(&frame::headers(1, END_STREAM, block));
        let answer = c.answer(1).map_err(|end| format!("{end:?}"))?;
        let right = answer.text().contains(r#"["cookie","a=b; c=d; e=f"]"#) && answer.text().matches("cookie").count() == 1;
        if right { Ok(()) } else { Err(answer.text()) }
    })]
}
