//! Hardening, of what goes out: fields that an app cannot break, and what is not told to anybody.

use narthex_tests::case::{self, case};
use narthex_tests::matrix::{Ask, Reply, Scene, Variant};
use narthex_tests::{Provider, Response};

fn start(variant: Variant) -> Scene {
    Scene::start(variant, &["--routes", "general"])
}

fn answer(scene: &Scene, ask: &Ask) -> Reply {
    scene.wire().ask(ask).unwrap_or_else(|problem| panic!("{ask:?}: {problem}"))
}

pub(crate) fn sec_05(provider: Provider) {
    let nameless = |response: &Response| {
        let text = format!("{:?} {}", response.headers, response.text()).to_ascii_lowercase();
        !text.contains("narthex") && !text.contains("rust") && !response.has("server") && !response.has("x-powered-by")
    };
    let named = |name: &str, request: &str, status: u16| {
        case(name).send(format!("{request}\r\nHost: {{host}}\r\n\r\n")).answer(status).check("it says who it is", nameless)
    };
    case::run(
        provider,
        &[
            named("an answer", "GET / HTTP/1.1", 200),
            named("a refusal", "GET /%zz HTTP/1.1", 400),
            named("a failure", "GET /panic HTTP/1.1", 500),
            named("a method that is not there", "CONNECT x:1 HTTP/1.1", 501),
        ],
    );
}

/// Horse takes line breaks out of values. Here no such value can be made, and what an app sends past this crate is refused by the host.
pub(crate) fn sec_19(variant: Variant) {
    let scene = start(variant);
    for value in ["a%0d%0aX-Evil:%201", "a%0aX-Evil:%201", "a%0dX-Evil:%201", "a%00b", "%0d%0a%0d%0aforged"] {
        let mut wire = scene.wire();
        let reply = wire.ask(&Ask::get(format!("/headers/set?x-a={value}"))).expect("it is answered");
        assert_eq!((reply.status, reply.header("x-evil"), reply.header("x-a")), (422, None, None), "{value}");
        assert_eq!(wire.ask(&Ask::get("/ping")).expect("the connection is sound").text(), "pong", "{value}");
    }
    assert_eq!(answer(&scene, &Ask::get("/headers/set?x-a=b%09c")).header("x-a"), Some("b\tc"));
}

/// Of the names on Horse's list those that are about the connection. `Proxy-Authenticate` and `Server` are an app's to set.
pub(crate) fn sec_20(variant: Variant) {
    let scene = start(variant);
    for field in [
        "keep-alive=timeout%3D5",
        "proxy-connection=keep-alive",
        "transfer-encoding=chunked",
        "upgrade=h2c",
        "te=trailers",
        "connection=keep-alive,%20x-secret&x-secret=1",
    ] {
        let mut wire = scene.wire();
        let reply = wire.ask(&Ask::get(format!("/headers/set?{field}"))).unwrap_or_else(|problem| panic!("{field}: {problem}"));
        let name = field.split('=').next().unwrap_or_default();
        assert_eq!((reply.status, reply.all(name), reply.text().as_str()), (200, vec![], "set"), "{field}");
        assert_eq!(wire.ask(&Ask::get("/ping")).expect("the connection is sound").text(), "pong", "{field}");
    }
    let set = answer(&scene, &Ask::get("/headers/set?server=mine&proxy-authenticate=Basic"));
    assert_eq!((set.header("server"), set.header("proxy-authenticate")), (Some("mine"), Some("Basic")));
}

pub(crate) fn sec_21(variant: Variant) {
    let scene = start(variant);
    for (target, kind) in [
        ("/ping", Some("text/plain; charset=utf-8")),
        ("/body/bytes", Some("application/octet-stream")),
        ("/methods/get", Some("application/json")),
        ("/stream/ndjson", Some("application/x-ndjson")),
        // Horse makes it text/plain. A guess would be the client's to make, or nobody's.
        ("/stream/empty", None),
        ("/does/not/exist", None),
    ] {
        assert_eq!(answer(&scene, &Ask::get(target)).header("content-type"), kind, "{target}");
    }
}

/// Horse's provider adds them to every answer, so that an app's own are there twice. Here they are a layer's, which has them on whatever
/// the app answers, and leaves alone what a handler says.
pub(crate) fn sec_22_23(variant: Variant) {
    const FIELDS: [(&str, &str, &str); 4] = [
        ("x-content-type-options", "nosniff", "mine"),
        ("x-frame-options", "DENY", "SAMEORIGIN"),
        ("referrer-policy", "strict-origin-when-cross-origin", "no-referrer"),
        ("cache-control", "no-store", "public"),
    ];
    let scene = start(variant);
    for (ask, status) in [
        (Ask::get("/ping"), 200),
        (Ask::new("HEAD", "/response/large"), 200),
        (Ask::get("/file").field("range", "bytes=0-1"), 206),
        (Ask::new("OPTIONS", "/raw/cors"), 204),
        (Ask::get("/does/not/exist"), 404),
        (Ask::post("/methods/get", "not for it"), 405),
        (Ask::post("/upload", "no form").field("content-type", "text/plain"), 415),
        (Ask::get("/status/500"), 500),
        (Ask::get("/panic"), 500),
    ] {
        let reply = answer(&scene, &ask);
        assert_eq!(reply.status, status, "{ask:?}");
        for (name, value, _) in FIELDS {
            assert_eq!(reply.all(name), [value], "{name} of {ask:?}");
        }
    }
    for own in FIELDS {
        let reply = answer(&scene, &Ask::get(format!("/headers/set?{}={}", own.0, own.2)));
        for field in FIELDS {
            let value = if field == own { field.2 } else { field.1 };
            assert_eq!(reply.all(field.0), [value], "{field:?}, where {own:?} is the handler's");
        }
    }
}

/// Of handlers on the server's threads, and of those that block on others.
pub(crate) fn sec_31(variant: Variant) {
    let scene = start(variant);
    let mut wire = scene.wire();
    for target in ["/panic", "/blocking/panic"] {
        let reply = wire.ask(&Ask::get(target)).expect("it is answered");
        assert_eq!((reply.status, reply.text().as_str()), (500, "{\"error\":\"Internal Server Error\"}"), "{target}");
        assert_eq!(reply.header("content-type"), Some("application/json"), "{target}");
        let told = format!("{:?}", reply.fields).to_ascii_lowercase();
        assert!(!["secret", "panic", ".rs", "handler"].iter().any(|word| told.contains(word)), "{told}");
        assert_eq!(wire.ask(&Ask::get("/ping")).expect("the connection is sound").text(), "pong");
    }
}
