//! Hardening, of what comes in: what is refused, with which status, and that nothing of it reaches the app.

use std::time::{Duration, Instant};

use narthex_tests::case::{self, case};
use narthex_tests::matrix::{Ask, Http, Scene, Variant, Wire, same};
use narthex_tests::{AppOptions, Provider, Subject};
use serde_json::{Value, json};
use tempfile::TempDir;

fn start(variant: Variant) -> Scene {
    Scene::start(variant, &["--routes", "general"])
}

/// The status of an answer on a connection of its own; 0 if there is none.
fn status(scene: &Scene, ask: &Ask) -> u16 {
    scene.wire().ask(ask).map_or(0, |reply| reply.status)
}

fn seen(wire: &mut Wire, ask: &Ask) -> Value {
    wire.ask(ask).and_then(|reply| reply.json()).unwrap_or_else(|problem| panic!("{ask:?}: {problem}"))
}

/// 16 KiB of head and 30 MB of body, where Horse has 8 KiB and 4 MB: these are HTTP.sys's.
pub(crate) fn sec_01(provider: Provider) {
    let field = |length: usize| format!("GET / HTTP/1.1\r\nHost: {{host}}\r\nX-A: {}\r\n\r\n", "v".repeat(length));
    let post = |length: &str| format!("POST /len HTTP/1.1\r\nHost: {{host}}\r\nContent-Length: {length}\r\n\r\n");
    case::run(
        provider,
        &[
            case("a head below the limit").send(field(16_200)).answer(200).alive(),
            case("a head beyond it").send(field(16_400)).refused(431),
            case("a body beyond the limit").send(post("30000001")).refused(413),
        ],
    );
}

pub(crate) fn sec_07(variant: Variant) {
    let scene = start(variant);
    let mut wire = scene.wire();
    let plain = Ask::get("/headers/echo");
    let without_id = |mut headers: Value| {
        // It is another one each time.
        headers.as_object_mut().and_then(|headers| headers.remove("x-request-id")).expect("each request has an id");
        headers
    };
    let before = without_id(seen(&mut wire, &plain));
    let loaded = Ask::get("/headers/echo").field("x-secret", "1").field("cookie", "a=b").field("authorization", "Basic eDp5");
    assert_eq!(seen(&mut wire, &loaded)["x-secret"], json!(["1"]));
    assert_eq!(without_id(seen(&mut wire, &plain)), before);
    assert_eq!(seen(&mut wire, &Ask::post("/echo/body", "secret"))["size"], 6);
    assert_eq!(seen(&mut wire, &Ask::new("POST", "/echo/body"))["body"], "");
    assert_eq!(seen(&mut wire, &Ask::get("/params/query?a=secret")), json!({ "a": "secret" }));
    assert_eq!(seen(&mut wire, &Ask::get("/params/query")), json!({}));
    let failed = wire.ask(&Ask::post("/panic", "secret").field("x-secret", "1"));
    assert_eq!(failed.map(|reply| reply.status), Ok(500));
    assert_eq!(without_id(seen(&mut scene.wire(), &plain)), before);
}

pub(crate) fn sec_08(variant: Variant) {
    let scene = start(variant);
    for ask in [
        Ask::get("/ping"),
        Ask::get("/panic"),
        Ask::post("/ping", "a body that nobody reads"),
        Ask::get("/does/not/exist"),
        Ask::get("/stream/sse"),
        Ask::new("HEAD", "/stream/pull"),
    ] {
        assert_ne!(status(&scene, &ask), 0, "{ask:?}");
    }
    for _ in 0..4 {
        let mut leaving = scene.wire();
        let sent = leaving.send(&Ask::get("/stream/pull"));
        leaving.until(&sent, "chunk-0;").expect("the stream begins");
    }
    let mut wire = scene.wire();
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        // Not less than the one that asks, either: that would be one that has ended twice.
        let active = seen(&mut wire, &Ask::get("/mem/active"))["requests"].as_u64().expect("it is a number");
        assert!((1..=5).contains(&active), "{active} requests are active");
        if active == 1 {
            return;
        }
        assert!(Instant::now() < deadline, "{active} requests never end");
    }
}

pub(crate) fn sec_12(provider: Provider) {
    let post = |fields: &str| format!("POST /len HTTP/1.1\r\nHost: {{host}}\r\n{fields}\r\n0\r\n\r\n");
    case::run(
        provider,
        &[
            case("a length and chunks").send(post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")).refused(400),
            case("two lengths").send(post("Content-Length: 5\r\nContent-Length: 6\r\n")).refused(400),
            case("identity").send(post("Transfer-Encoding: identity\r\n")).refused(501),
            case("chunked, identity").send(post("Transfer-Encoding: chunked, identity\r\n")).refused_with_one_of(&[400, 501]),
            case("gzip").send(post("Transfer-Encoding: gzip\r\n")).refused(501),
            case("chunked").send(post("Transfer-Encoding: chunked\r\n")).answer(200).body("0").alive(),
        ],
    );
}

/// Horse drops surplus fields silently, which an app cannot tell from a client that did not send them. Here it is 431.
pub(crate) fn sec_13(variant: Variant) {
    let scene = start(variant);
    // One more is there already: Host.
    let with = |count: usize| (1..count).fold(Ask::get("/ping"), |ask, n| ask.field(&format!("x-{n}"), "v"));
    assert_eq!(status(&scene, &with(100)), 200);
    assert_eq!(status(&scene, &with(101)), 431);
    let long = |length: usize| Ask::get("/headers/echo").field("x-long", "v".repeat(length));
    let reply = seen(&mut scene.wire(), &long(9000));
    assert_eq!(reply["x-long"][0].as_str().map(str::len), Some(9000));
    if variant.http == Http::One {
        assert_eq!(status(&scene, &long(16_400)), 431);
    }
}

/// Horse says 400.
pub(crate) fn sec_14(variant: Variant) {
    let scene = start(variant);
    let target = |length: usize| Ask::get(format!("/ping?{}", "q".repeat(length - 6)));
    assert_eq!(status(&scene, &target(8192)), 200);
    assert_eq!(status(&scene, &target(8193)), 414);
}

/// Horse has a list of verbs. Here every token is a method, as RFC 9110 says, and the app's router answers 405 with what it allows.
/// CONNECT is the exception: this is no proxy.
pub(crate) fn sec_15(variant: Variant) {
    let scene = start(variant);
    for method in ["TRACE", "FROBNICATE", "PROPFIND"] {
        let reply = scene.wire().ask(&Ask::new(method, "/ping")).expect("it is answered");
        assert_eq!(reply.status, 405, "{method}");
        assert!(reply.header("allow").is_some_and(|allowed| allowed.contains("GET")), "{method}: {reply:?}");
    }
    assert_eq!(seen(&mut scene.wire(), &Ask::new("QUERY", "/methods/any"))["method"], "QUERY");
    let connect = status(&scene, &Ask::new("CONNECT", scene.address().to_string()));
    // Over HTTP/2 such a request is malformed: its stream is reset.
    assert_eq!(connect, if variant.http == Http::One { 501 } else { 0 });
    if variant.http == Http::One {
        assert_eq!(status(&scene, &Ask::new("G(T", "/ping")), 400);
    }
}

pub(crate) fn sec_16(variant: Variant) {
    let scene = Scene::start(variant, &["--routes", "general", "--max-body", "100000"]);
    let body = |length: usize| Ask::post("/body/binary", vec![1; length]);
    assert_eq!(seen(&mut scene.wire(), &body(100_000)), json!({ "size": 100_000, "sum": 100_000 }));
    assert_eq!(seen(&mut scene.wire(), &body(100_000).chunked())["size"], 100_000);
    assert_eq!(status(&scene, &body(100_001)), 413);
    assert_eq!(status(&scene, &body(100_001).chunked()), 413);
}

pub(crate) fn sec_17(provider: Provider) {
    let host = |line: &str| format!("GET / HTTP/1.1\r\n{line}\r\n\r\n");
    case::run(
        provider,
        &[
            case("none").send("GET / HTTP/1.1\r\n\r\n").refused(400),
            case("two").send(host("Host: a\r\nHost: b")).refused(400),
            case("an empty one").send(host("Host: ")).refused(400),
            case("one with a space").send(host("Host: a b")).refused(400),
            case("one with a control character").send(host("Host: a\x01b")).refused(400),
            case("one with DEL").send(host("Host: a\x7fb")).refused(400),
            case("one that is not ASCII").send_bytes(b"GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n").refused(400),
            case("one that is sound").send(host("Host: {host}")).answer(200).alive(),
        ],
    );
}

/// Horse drops keys and values of more than 2048 characters silently. Here the URL's length is what is limited.
pub(crate) fn sec_18(variant: Variant) {
    let (key, value) = ("k".repeat(3000), "v".repeat(3000));
    let scene = start(variant);
    let query = seen(&mut scene.wire(), &Ask::get(format!("/params/query?{key}={value}")));
    assert_eq!(query, json!({ key: value }));
}

pub(crate) fn sec_29(provider: Provider) {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let record = directory.path().join("record");
    let options = AppOptions::new("app", "http://127.0.0.1:0/").arguments(["--record".to_owned(), record.display().to_string()]);
    let subject = Subject::start_with(provider, &options);
    let ends = "Host: x\r\n\r\n";
    for (request, refusal) in [
        (format!("POST /a HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n{ends}"), 400),
        (format!("POST /a HTTP/1.1\r\nContent-Length: 30000001\r\n{ends}"), 413),
        (format!("POST /a HTTP/1.1\r\nTransfer-Encoding: frob\r\n{ends}"), 501),
        (format!("GET /{} HTTP/1.1\r\n{ends}", "a".repeat(8192)), 414),
        (format!("GET /a HTTP/1.1\r\n{}{ends}", "X: y\r\n".repeat(100)), 431),
        (format!("CONNECT x:1 HTTP/1.1\r\n{ends}"), 501),
        (format!("G(T /a HTTP/1.1\r\n{ends}"), 400),
        ("GET /a HTTP/1.1\r\n\r\n".to_owned(), 400),
    ] {
        let mut client = subject.connect();
        client.send(request.as_bytes()).expect("the server takes a request");
        let response = client.response(false).unwrap_or_else(|error| panic!("{request:?}: {error}"));
        assert_eq!(response.status, refusal, "{request:?}");
    }
    let mut client = subject.connect();
    client.send(format!("GET /whoami HTTP/1.1\r\n{ends}").as_bytes()).expect("the server takes a request");
    assert_eq!(client.response(false).expect("it is answered").text(), "app");
    let record = std::fs::read_to_string(&record).expect("the app keeps a record");
    let sent: String = record.split_inclusive('\n').filter(|line| !line.starts_with("x-request-id: ")).collect();
    same(sent, "\nGET /whoami\nhost: x\n".to_owned()).unwrap();
}
