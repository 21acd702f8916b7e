//! Compression: which coding, for what, and that it is told to caches.

use std::io::Read;

use flate2::read::GzDecoder;
use narthex_tests::matrix::{Ask, Reply, Scene, Wire};
use narthex_tests::responses::LINE;

fn get(wire: &mut Wire, target: &str, accepts: &str) -> Reply {
    let ask = Ask::get(target);
    let ask = if accepts.is_empty() { ask } else { ask.field("accept-encoding", accepts) };
    wire.ask(&ask).unwrap_or_else(|problem| panic!("{target}, {accepts:?}: {problem}"))
}

fn decoded(reply: &Reply) -> Vec<u8> {
    let mut bytes = Vec::new();
    match reply.header("content-encoding") {
        None => bytes.clone_from(&reply.body),
        Some("gzip") => drop(GzDecoder::new(&*reply.body).read_to_end(&mut bytes).expect("it is gzip")),
        Some("br") => brotli::BrotliDecompress(&mut &*reply.body, &mut bytes).expect("it is brotli"),
        Some("zstd") => bytes = zstd::decode_all(&*reply.body).expect("it is zstd"),
        Some(other) => panic!("nobody asked for {other}"),
    }
    bytes
}

pub(crate) fn chosen(scene: &Scene) {
    let mut wire = scene.wire();
    for (accepts, coding) in [
        ("", None),
        ("identity", None),
        ("gzip", Some("gzip")),
        ("br", Some("br")),
        ("zstd", Some("zstd")),
        ("gzip;q=1.0, br;q=0.5", Some("gzip")),
        ("gzip;q=0.2, br;q=0.3, zstd;q=0.1", Some("br")),
        ("gzip;q=0.001", Some("gzip")),
        ("gzip;q=0", None),
        ("gzip;q=0, br;q=0.1", Some("br")),
        ("compress, x-unknown", None),
    ] {
        let reply = get(&mut wire, "/text", accepts);
        assert_eq!((reply.status, reply.header("content-encoding")), (200, coding), "{accepts:?}");
        // A cache has to know that another client gets something else, also where this one gets it as it is.
        let vary = reply.all("vary").join(",").to_ascii_lowercase();
        assert!(vary.contains("accept-encoding"), "{accepts:?}: Vary is {vary:?}");
        assert_eq!(decoded(&reply), LINE.repeat(1000).as_bytes(), "{accepts:?}");
        assert_eq!(reply.body.len() < 1000, coding.is_some(), "{accepts:?}: {} bytes", reply.body.len());
    }
}

pub(crate) fn whole(scene: &Scene) {
    let mut wire = scene.wire();
    for coding in ["gzip", "br", "zstd"] {
        for target in ["/text", "/page", "/json", "/bytes", "/piecewise"] {
            let (plain, packed) = (get(&mut wire, target, ""), get(&mut wire, target, coding));
            assert_eq!(packed.header("content-encoding"), Some(coding), "{target}");
            assert_eq!(packed.header("content-type"), plain.header("content-type"), "{target}");
            // The length of what was compressed would be the wrong one.
            let length = packed.header("content-length").map(|length| length.parse());
            assert!(length.is_none_or(|length| length == Ok(packed.body.len())), "{target}: {packed:?}");
            assert!(decoded(&packed) == plain.body, "{target} by {coding}");
        }
    }
}

pub(crate) fn left_alone(scene: &Scene) {
    let mut wire = scene.wire();
    for target in ["/picture", "/short", "/events", "/empty", "/status/404"] {
        let reply = get(&mut wire, target, "gzip, br, zstd");
        assert_eq!(reply.header("content-encoding"), None, "{target}");
    }
    let packed = get(&mut wire, "/packed", "gzip, br, zstd");
    assert_eq!((packed.all("content-encoding"), packed.text()), (vec!["gzip"], LINE.repeat(1000)));
    // A part of a file is a part of the file, not of something else.
    let part = wire.ask(&Ask::get("/file").field("range", "bytes=9-16").field("accept-encoding", "gzip, br, zstd"));
    let part = part.expect("it is answered");
    assert_eq!((part.status, part.text().as_str(), part.header("content-encoding")), (206, "sendfile", None));
    let head = wire.ask(&Ask::new("HEAD", "/text").field("accept-encoding", "gzip")).expect("it is answered");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(get(&mut wire, "/short", "gzip").text(), "short", "the connection goes on");
}
