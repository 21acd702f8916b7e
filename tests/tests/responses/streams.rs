//! What does not come at once: trailers, interim responses, pieces; and fields as they are.

use narthex_tests::matrix::{Ask, Http, Scene};

fn field<'a>(fields: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
}

pub(crate) fn trailers(scene: &Scene) {
    let mut wire = scene.wire();
    for _ in 0..2 {
        let reply = wire.ask(&Ask::get("/trailers").field("te", "trailers")).expect("it is answered");
        assert_eq!((reply.status, reply.body.len()), (200, 100_000));
        assert_eq!(reply.header("trailer"), Some("x-sum, x-twice"));
        assert_eq!(field(&reply.trailers, "x-sum"), ["abc123"]);
        assert_eq!(field(&reply.trailers, "x-twice"), ["1", "2"]);
        assert_eq!(reply.trailers.len(), 3, "no framing comes after the fact: {:?}", reply.trailers);
        assert_eq!(reply.all("x-sum"), [""; 0]);
    }
    let packed = wire.ask(&Ask::get("/trailers/compressed").field("accept-encoding", "gzip")).expect("it is answered");
    assert_eq!((packed.header("content-encoding"), field(&packed.trailers, "x-sum")), (Some("gzip"), vec!["abc123"]));
    // Of a body whose length is known, too, where they are announced; over HTTP/1.1 such a body comes in chunks.
    for (target, announced) in [("/trailers/announced", true), ("/trailers/unannounced", false)] {
        let reply = wire.ask(&Ask::get(target)).expect("it is answered");
        assert_eq!((reply.status, reply.text().as_str()), (200, "in one piece"), "{target}");
        let told = announced || scene.variant().http == Http::Two;
        assert_eq!(field(&reply.trailers, "x-sum"), if told { vec!["abc123"] } else { vec![] }, "{target}");
        assert!(told || reply.header("content-length") == Some("12"), "{target}: {reply:?}");
        let head = wire.ask(&Ask::new("HEAD", target)).expect("it is answered");
        assert_eq!((head.status, head.body.len(), head.trailers.len()), (200, 0, 0), "{target}");
    }
}

pub(crate) fn hints(scene: &Scene) {
    let mut wire = scene.wire();
    for _ in 0..2 {
        let reply = wire.ask(&Ask::get("/hints")).expect("it is answered");
        assert_eq!((reply.interim.as_slice(), reply.status, reply.text().as_str()), (&[103][..], 200, "the page"));
        let links = ["</style.css>; rel=preload; as=style", "</app.js>; rel=preload; as=script"];
        assert_eq!(field(&reply.interim_fields, "link"), links);
        assert_eq!(reply.all("link"), links[..1]);
    }
    assert_eq!(wire.ask(&Ask::get("/short")).expect("it is answered").interim, [0; 0]);
}

/// The second is made only when the first is there.
pub(crate) fn piecewise(scene: &Scene) {
    for (target, accepts) in [("/gated/stream", "identity"), ("/gated/events", "gzip")] {
        let mut wire = scene.wire();
        let sent = wire.send(&Ask::get(target).field("accept-encoding", accepts));
        wire.until(&sent, "piece-0;").expect("the first comes");
        let opened = scene.wire().ask(&Ask::post("/gated/open", "")).expect("it is answered");
        assert_eq!(opened.status, 200, "{target}");
        wire.until(&sent, "piece-4;").expect("the last comes");
    }
    let reply = scene.wire().ask(&Ask::get("/events")).expect("it is answered");
    assert_eq!((reply.header("content-type"), reply.header("cache-control")), (Some("text/event-stream"), Some("no-cache")));
    let event = |nth: u32| format!("event: step\nid: 7\ndata: event-{nth};\ndata: and more\n\n");
    assert_eq!(reply.text(), (0..4).map(event).collect::<String>());
}

pub(crate) fn fields(scene: &Scene) {
    let reply = scene.wire().ask(&Ask::get("/fields")).expect("it is answered");
    assert_eq!(reply.all("x-a"), ["1", "2, 3"]);
    assert_eq!(reply.all("x-b"), [""]);
    assert_eq!(reply.header("x-long-name-of-a-field"), Some("a b\tc"));
    assert_eq!(reply.header("content-type"), Some("application/vnd.shop+json"));
    for status in [201, 203, 299, 402, 418, 451, 507, 599] {
        let reply = scene.wire().ask(&Ask::get(format!("/status/{status}"))).expect("it is answered");
        assert_eq!((reply.status, reply.body.len()), (status, 0));
    }
}
