//! What Horse's matrices do not have and every client may do, as far as no other suite looks at it.

use std::io::Read;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use narthex_tests::matrix::general::COMPRESSIBLE;
use narthex_tests::matrix::letters::WILDCARD;
use narthex_tests::matrix::{Ask, Rows, Scene, Variant, Wire, same, that};
use serde_json::json;

pub(crate) fn rows(variant: Variant) {
    let scene = Scene::start(variant, &["--routes", "general"]);
    let mut wire = scene.wire();
    let mut rows = Rows::default();
    targets(&mut rows, &mut wire);
    fields(&mut rows, &mut wire);
    files(&mut rows, &mut wire);
    connections(&mut rows, &mut wire);
    others(&mut rows, &mut wire);
    rows.done();
}

fn targets(rows: &mut Rows, wire: &mut Wire) {
    rows.row("path-2f", || same(wire.ask(&Ask::get("/params/path/a%2Fb"))?.json()?, json!({ "id": "a/b" })));
    rows.row("path-dots", || {
        // An escaped slash divides no segments, so that it leads nowhere either.
        same(wire.ask(&Ask::get("/params/path/..%2fping"))?.json()?, json!({ "id": "../ping" }))
    });
    rows.row("path-00", || {
        let reply = wire.ask(&Ask::get("/params/path/a%00b"));
        // A refusal ends an HTTP/1.1 connection.
        same(reply?.status, 400)
    });
}

fn fields(rows: &mut Rows, wire: &mut Wire) {
    let _ = (rows, wire);
}

fn files(rows: &mut Rows, wire: &mut Wire) {
    let _ = (rows, wire);
}

fn connections(rows: &mut Rows, wire: &mut Wire) {
    let _ = (rows, wire);
}

fn others(rows: &mut Rows, wire: &mut Wire) {
    let _ = (rows, wire, GzDecoder::new(&b""[..]).read(&mut []), Duration::ZERO, Instant::now(), COMPRESSIBLE, WILDCARD);
    let _ = that(true, String::new);
}
