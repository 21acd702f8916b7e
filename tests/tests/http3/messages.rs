//! Requests as RFC 9114 section 4 has them, and those that it calls malformed: never does an app see one of these.

use narthex_tests::h3::frame::{self, DATA, HEADERS};
use narthex_tests::h3::{Connection, End, Stream, qpack};
use narthex_tests::{PATIENCE, Provider};

use crate::http3::stage::{both, start};

type Fields = [(&'static [u8], &'static [u8])];

both! {
    heads_are_checked_as_strictly_as_in_http_1;
    fields_are_checked_as_strictly_as_in_http_1;
    bodies_have_the_length_that_was_announced;
    trailers_are_checked_too;
}

const M: (&[u8], &[u8]) = (b":method", b"GET");
const S: (&[u8], &[u8]) = (b":scheme", b"https");
const P: (&[u8], &[u8]) = (b":path", b"/whoami");
const A: (&[u8], &[u8]) = (b":authority", b"{host}");
const C: (&[u8], &[u8]) = (b":method", b"CONNECT");
const W: (&[u8], &[u8]) = (b":protocol", b"websocket");
const H: (&[u8], &[u8]) = (b"host", b"{host}");

/// A head with the server's address in place of `{host}`.
async fn send(connection: &Connection, fields: &Fields) -> Stream {
    let authority = connection.authority().as_bytes();
    let filled = fields.iter().map(|(name, value)| match value.strip_prefix(b"{host}") {
        Some(rest) => (*name, [authority, rest].concat()),
        None => (*name, value.to_vec()),
    });
    connection.send_head(filled).await.expect("the connection is there")
}

/// What has to come of it: an answer of the app, or a refusal that the app knows nothing of.
#[track_caller]
fn judge(end: Result<narthex_tests::h2::Answer, End>, right: bool) -> Result<(), String> {
    match end {
        Ok(answer) if right && answer.status == 200 && answer.header("x-app").is_some() => Ok(()),
        Ok(answer) if !right && answer.status >= 400 && answer.header("x-app").is_none() => Ok(()),
        Err(End::Reset(0x10e)) if !right => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

async fn all(connection: &Connection, right: bool, heads: &[(&str, &Fields)]) {
    let mut wrong = Vec::new();
    for (name, fields) in heads {
        let end = tokio::time::timeout(PATIENCE, async { send(connection, fields).await.answer().await }).await;
        if let Err(problem) = judge(end.unwrap_or(Err(End::Malformed("nothing comes".to_owned()))), right) {
            wrong.push(format!("{name}: {problem}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(connection.get("/whoami").await.text(), "app", "the connection goes on");
}

async fn heads_are_checked_as_strictly_as_in_http_1(provider: Provider) {
    let secure = start(provider);
    let connection = secure.http3().await;
    let right: &[(&str, &Fields)] = &[
        ("pseudo-fields in any order", &[P, A, M, S]),
        ("Host in place of :authority", &[M, S, P, H]),
        ("Host and :authority that agree", &[M, S, P, A, H]),
        ("OPTIONS of the server", &[(b":method", b"OPTIONS"), S, (b":path", b"*"), A]),
    ];
    all(&connection, true, right).await;
    let wrong: &[(&str, &Fields)] = &[
        ("an unknown pseudo-field", &[M, S, P, A, (b":unknown", b"x")]),
        ("a response's pseudo-field", &[M, S, P, A, (b":status", b"200")]),
        ("a pseudo-field after a field", &[M, S, P, (b"x-a", b"b"), A]),
        ("the method after a field", &[S, P, A, (b"x-a", b"b"), M]),
        ("no :method", &[S, P, A]),
        ("no :scheme", &[M, P, A]),
        ("no :path", &[M, S, A]),
        ("no pseudo-field at all", &[(b"x-a", b"b")]),
        ("nothing", &[]),
        ("two :method", &[M, M, S, P, A]),
        ("two :scheme", &[M, S, S, P, A]),
        ("two :path", &[M, S, P, P, A]),
        ("two :authority", &[M, S, P, A, A]),
        ("a method that is no token", &[(b":method", b"GE T"), S, P, A]),
        ("a method with a line break", &[(b":method", b"GET / HTTP/1.1\r\nx: y"), S, P, A]),
        ("an empty method", &[(b":method", b""), S, P, A]),
        ("an empty scheme", &[M, (b":scheme", b""), P, A]),
        ("another scheme than the connection's", &[M, (b":scheme", b"http"), P, A]),
        ("another scheme, and Host", &[M, (b":scheme", b"http"), P, H]),
        ("a scheme that nobody knows", &[M, (b":scheme", b"gopher"), P, A]),
        ("an empty :path", &[M, S, (b":path", b""), A]),
        ("a :path without a slash", &[M, S, (b":path", b"whoami"), A]),
        ("a :path with a space", &[M, S, (b":path", b"/a b"), A]),
        ("a :path with a line break", &[M, S, (b":path", b"/ HTTP/1.1\r\nX-Evil: 1"), A]),
        ("a :path with a NUL", &[M, S, (b":path", b"/a\0b"), A]),
        ("a :path with a fragment", &[M, S, (b":path", b"/whoami#a"), A]),
        ("a whole URI as :path", &[M, S, (b":path", b"https://localhost/"), A]),
        ("an asterisk but for OPTIONS", &[M, S, (b":path", b"*"), A]),
        ("Host and :authority that differ", &[M, S, P, A, (b"host", b"elsewhere.example")]),
        ("neither Host nor :authority", &[M, S, P]),
        ("two Hosts", &[M, S, P, H, H]),
        ("an empty :authority", &[M, S, P, (b":authority", b"")]),
        ("an empty Host", &[M, S, P, (b"host", b"")]),
        ("a user in :authority", &[M, S, P, (b":authority", b"user@localhost")]),
        ("a path in :authority", &[M, S, P, (b":authority", b"{host}/x")]),
        ("a space in :authority", &[M, S, P, (b":authority", b"{host} x")]),
        ("a line break in :authority", &[M, S, P, (b":authority", b"{host}\r\nx: y")]),
        ("CONNECT: this is no proxy", &[C, A]),
        ("CONNECT with a :scheme", &[C, S, A]),
        ("CONNECT with a :path", &[C, P, A]),
        ("CONNECT with both", &[C, S, P, A]),
        ("CONNECT without :authority", &[C]),
        (":protocol of another method", &[M, W, S, P, A]),
        ("an extended CONNECT without :path", &[C, W, S, A]),
        ("an extended CONNECT without :scheme", &[C, W, P, A]),
        ("an extended CONNECT without :authority", &[C, W, S, P]),
        ("two :protocol", &[C, W, W, S, P, A]),
        ("a :protocol with a line break", &[C, (b":protocol", b"a\r\nb: c"), S, P, A]),
    ];
    all(&connection, false, wrong).await;
}

async fn fields_are_checked_as_strictly_as_in_http_1(provider: Provider) {
    let secure = start(provider);
    let connection = secure.http3().await;
    let right: &[(&str, &Fields)] = &[
        ("every character of a token", &[M, S, P, A, (b"x!#$%&'*+-.^_`|~09az", b"b")]),
        ("an empty value", &[M, S, P, A, (b"x-a", b"")]),
        ("a value with bytes above 127", &[M, S, P, A, (b"x-a", b"\xc3\xa9\xff")]),
        ("a value with spaces and tabs within", &[M, S, P, A, (b"x-a", b"b \t c")]),
        ("TE: trailers", &[M, S, P, A, (b"te", b"trailers")]),
    ];
    all(&connection, true, right).await;
    let wrong: &[(&str, &Fields)] = &[
        ("an upper-case name", &[M, S, P, A, (b"X-A", b"b")]),
        ("one upper-case letter", &[M, S, P, A, (b"x-abC", b"b")]),
        ("a name with a space", &[M, S, P, A, (b"x a", b"b")]),
        ("a name with a colon", &[M, S, P, A, (b"x:a", b"b")]),
        ("a name with a line break", &[M, S, P, A, (b"x\r\na", b"b")]),
        ("a name with a NUL", &[M, S, P, A, (b"x\0a", b"b")]),
        ("a name with DEL", &[M, S, P, A, (b"x\x7f", b"b")]),
        ("a name with a byte above 127", &[M, S, P, A, (b"x\xe9", b"b")]),
        ("an empty name", &[M, S, P, A, (b"", b"b")]),
        ("a name that is nothing but a colon", &[M, S, P, A, (b":", b"b")]),
        ("a value with a NUL", &[M, S, P, A, (b"x-a", b"b\0c")]),
        ("a value with LF", &[M, S, P, A, (b"x-a", b"b\nx-evil: 1")]),
        ("a value with CR", &[M, S, P, A, (b"x-a", b"b\rc")]),
        ("a value with CR LF", &[M, S, P, A, (b"x-a", b"b\r\nx-evil: 1")]),
        ("a value that begins with a space", &[M, S, P, A, (b"x-a", b" b")]),
        ("a value that ends with a space", &[M, S, P, A, (b"x-a", b"b ")]),
        ("a value that begins with a tab", &[M, S, P, A, (b"x-a", b"\tb")]),
        ("Connection", &[M, S, P, A, (b"connection", b"keep-alive")]),
        ("Proxy-Connection", &[M, S, P, A, (b"proxy-connection", b"keep-alive")]),
        ("Keep-Alive", &[M, S, P, A, (b"keep-alive", b"timeout=5")]),
        ("Transfer-Encoding", &[M, S, P, A, (b"transfer-encoding", b"chunked")]),
        ("Upgrade", &[M, S, P, A, (b"upgrade", b"websocket")]),
        ("TE with something but trailers", &[M, S, P, A, (b"te", b"trailers, deflate")]),
        ("two lengths that differ", &[M, S, P, A, (b"content-length", b"0"), (b"content-length", b"1")]),
        ("a negative length", &[M, S, P, A, (b"content-length", b"-5")]),
        ("a length that is a list", &[M, S, P, A, (b"content-length", b"5, 6")]),
        ("a length beyond 2^64", &[M, S, P, A, (b"content-length", b"18446744073709551621")]),
        ("a length without a body", &[(b":method", b"POST"), S, (b":path", b"/len"), A, (b"content-length", b"5")]),
    ];
    all(&connection, false, wrong).await;
}

async fn bodies_have_the_length_that_was_announced(provider: Provider) {
    let secure = start(provider);
    let connection = secure.http3().await;
    let mut wrong = Vec::new();
    for (length, pieces, trailers, right) in [
        ("5", &["hello"][..], false, true),
        ("5", &["he", "ll", "o", ""], false, true),
        ("5", &["hello"], true, true),
        ("0", &[], false, true),
        ("3", &["hello"], false, false),
        ("3", &["he", "llo"], false, false),
        ("8", &["hello"], false, false),
        ("8", &["he", "llo", ""], false, false),
        ("8", &["hello"], true, false),
        ("3", &["hello"], true, false),
        ("5", &[], true, false),
    ] {
        let mut stream = connection.open("POST", "/len", &[("content-length", length)]).await.expect("the connection is there");
        // The server may have seen enough of it.
        for piece in pieces {
            let _ = stream.request.data(piece.as_bytes()).await;
        }
        if trailers {
            let _ = stream.request.trailers(&[("x-one", "1")]).await;
        }
        if let Err(problem) = judge(stream.answer().await, right) {
            wrong.push(format!("{length} {pieces:?} {trailers}: {problem}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // In one packet: later, it may be answered already.
    let authority = connection.authority();
    let head = [(":method", "POST"), (":scheme", "https"), (":authority", authority), (":path", "/len"), ("content-length", "0")];
    let mut bytes = frame::frame(HEADERS, qpack::block(head));
    bytes.extend(frame::frame(DATA, "x"));
    let mut stream = connection.stream().await.expect("the connection is there");
    stream.request.write(&bytes).await.expect("the server reads");
    assert_eq!(judge(stream.answer().await, false), Ok(()), "a body where none was announced");
    assert_eq!(connection.get("/whoami").await.text(), "app", "the connection goes on");
}

async fn trailers_are_checked_too(provider: Provider) {
    let secure = start(provider);
    let connection = secure.http3().await;
    let mut wrong = Vec::new();
    for (name, value, right) in [
        ("x-one", "1", true),
        (":method", "POST", false),
        (":unknown", "x", false),
        ("X-One", "1", false),
        ("transfer-encoding", "chunked", false),
        ("x-one", "1\r\nx-two: 2", false),
    ] {
        let mut stream = connection.open("POST", "/len", &[]).await.expect("the connection is there");
        let _ = stream.request.data(b"hello").await;
        let _ = stream.request.trailers(&[(name, value)]).await;
        if let Err(problem) = judge(stream.answer().await, right) {
            wrong.push(format!("{name}: {problem}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let mut stream = connection.open("POST", "/len", &[]).await.expect("the connection is there");
    let block = frame::frame(HEADERS, qpack::block([("x-large", "x".repeat(20_000))]));
    let _ = stream.request.write(&block).await;
    let end = stream.answer().await;
    assert!(end.as_ref().map_or(true, |answer| answer.status == 431), "trailers that are too large: {end:?}");
    assert_eq!(connection.get("/whoami").await.text(), "app", "the connection goes on");
}
