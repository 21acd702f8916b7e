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
    values(&mut rows, &mut wire);
    bodies(&mut rows, &mut wire);
    files(&mut rows, &mut wire);
    connections(&mut rows, &scene, &mut wire);
    compression(&mut rows, &mut wire);
    streams(&mut rows, &mut wire);
    // Last: a refusal may end the connection.
    rows.row("path-nul", || same(wire.ask(&Ask::get("/params/path/a%00b"))?.status, 400));
    rows.done();
}

fn values(rows: &mut Rows, wire: &mut Wire) {
    // An escaped slash divides no segments, so that it leads nowhere either.
    for (row, target, id) in [("path-slash", "/params/path/a%2Fb", "a/b"), ("path-dots", "/params/path/..%2fping", "../ping")] {
        rows.row(row, || same(wire.ask(&Ask::get(target))?.json()?, json!({ "id": id })));
    }
    rows.row("query", || {
        let reply = wire.ask(&Ask::get("/params/query?name=a+b%20c%2B&value=%C3%A9%26%3D"))?;
        same(reply.json()?, json!({ "name": "a b c+", "value": "é&=" }))
    });
    rows.row("cookie-lines", || {
        let reply = wire.ask(&Ask::get("/cookies/echo").field("cookie", "one=1").field("cookie", "two=2=2"))?;
        same(reply.json()?, json!({ "one": "1", "two": "2=2" }))
    });
    rows.row("field-lines", || {
        let ask = Ask::get("/headers/echo").field("x-a", "first").field("x-b", "other").field("x-a", "second, third");
        same(&wire.ask(&ask)?.json()?["x-a"], &json!(["first", "second, third"]))
    });
    rows.row("query-verb", || {
        let reply = wire.ask(&Ask::new("QUERY", "/methods/any").body("select"))?;
        same(reply.json()?, json!({ "method": "QUERY", "body": "select" }))
    });
    rows.row("allow", || {
        let reply = wire.ask(&Ask::post("/methods/get", "not for it"))?;
        let mut allowed: Vec<_> = reply.header("allow").unwrap_or_default().split(',').map(str::trim).collect();
        allowed.sort_unstable();
        same((reply.status, allowed), (405, vec!["GET", "HEAD"]))
    });
}

fn bodies(rows: &mut Rows, wire: &mut Wire) {
    rows.row("binary-file", || {
        // Line breaks, hyphens and every other byte, but not the boundary.
        let file: Vec<u8> = (0..=255).cycle().take(100_000).chain(*b"\r\n--\r\n--boundar\r\n").collect();
        let head = b"--boundary\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f.bin\"\r\n\r\n";
        let form = [&head[..], &file, b"\r\n--boundary--\r\n"].concat();
        for ask in [Ask::post("/echo/file", form.clone()), Ask::post("/echo/file", form).chunked()] {
            let reply = wire.ask(&ask.field("content-type", "multipart/form-data; boundary=boundary"))?;
            that(reply.status == 200 && reply.body == file, || format!("{} with {} bytes", reply.status, reply.body.len()))?;
        }
        Ok(())
    });
    rows.row("chunked", || {
        for method in ["POST", "PUT", "PATCH"] {
            let reply = wire.ask(&Ask::new(method, "/methods/any").body("piece ".repeat(5000)).chunked())?;
            same(reply.json()?, json!({ "method": method, "body": "piece ".repeat(5000) }))?;
        }
        Ok(())
    });
    rows.row("bodiless", || {
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            same(wire.ask(&Ask::new(method, "/methods/any"))?.json()?, json!({ "method": method, "body": "" }))?;
        }
        Ok(())
    });
}

fn files(rows: &mut Rows, wire: &mut Wire) {
    rows.row("file-range", || {
        for (range, part, told) in [
            ("bytes=0-7", "wildcard", "bytes 0-7/38"),
            ("bytes=-6", "ABCDEF", "bytes 32-37/38"),
            ("bytes=9-", &WILDCARD[9..], "bytes 9-37/38"),
        ] {
            let reply = wire.ask(&Ask::get("/file").field("range", range))?;
            same((reply.status, reply.text().as_str(), reply.header("content-range")), (206, part, Some(told)))?;
        }
        same(wire.ask(&Ask::get("/file").field("range", "bytes=100-"))?.status, 416)
    });
    rows.row("file-condition", || {
        let since = wire.ask(&Ask::get("/file"))?.header("last-modified").map(str::to_owned).ok_or("it has no date")?;
        let reply = wire.ask(&Ask::get("/file").field("if-modified-since", since))?;
        same((reply.status, reply.body.len()), (304, 0))
    });
    rows.row("head", || {
        for (target, length) in [("/response/large", "65536"), ("/file", "38")] {
            let reply = wire.ask(&Ask::new("HEAD", target))?;
            same((reply.status, reply.header("content-length"), reply.body.len()), (200, Some(length), 0))?;
        }
        same(wire.ask(&Ask::get("/ping"))?.text(), "pong")
    });
}

fn connections(rows: &mut Rows, scene: &Scene, wire: &mut Wire) {
    rows.row("after-4xx", || {
        for (ask, status) in [
            (Ask::get("/does/not/exist"), 404),
            (Ask::post("/ping", "a body that nobody reads"), 405),
            (Ask::get("/status/400"), 400),
            (Ask::post("/upload", "no form").field("content-type", "text/plain"), 415),
        ] {
            let reply = wire.ask(&ask)?;
            same((reply.status, reply.header("connection")), (status, None))?;
            same(wire.ask(&Ask::get("/ping"))?.text(), "pong")?;
        }
        Ok(())
    });
    rows.row("keep-alive", || {
        let begun = Instant::now();
        for _ in 0..30 {
            let reply = wire.ask(&Ask::get("/ping"))?;
            same((reply.text().as_str(), reply.header("connection")), ("pong", None))?;
        }
        // Two sides that wait for each other's acknowledgements would need 40 ms for each.
        that(begun.elapsed() < Duration::from_millis(30 * 40), || format!("30 requests take {:?}", begun.elapsed()))
    });
    rows.row("client-leaves", || {
        let mut leaving = scene.wire();
        let sent = leaving.send(&Ask::get("/stream/pull"));
        leaving.until(&sent, "chunk-0;")?;
        drop(leaving);
        let deadline = Instant::now() + Duration::from_secs(10);
        while wire.ask(&Ask::get("/mem/active"))?.json()?["requests"] != 1 {
            that(Instant::now() < deadline, || "the handler's place is not free".to_owned())?;
        }
        Ok(())
    });
}

fn compression(rows: &mut Rows, wire: &mut Wire) {
    rows.row("compressed-once", || {
        let reply = wire.ask(&Ask::get("/compressed").field("accept-encoding", "gzip"))?;
        same((reply.status, reply.all("content-encoding")), (200, vec!["gzip"]))?;
        let mut text = String::new();
        GzDecoder::new(&*reply.body).read_to_string(&mut text).map_err(|error| error.to_string())?;
        that(text == COMPRESSIBLE.repeat(1000), || "it is another text".to_owned())
    });
    rows.row("compressed-head", || {
        let reply = wire.ask(&Ask::new("HEAD", "/compressed").field("accept-encoding", "gzip"))?;
        same((reply.status, reply.body.len()), (200, 0))?;
        same(wire.ask(&Ask::get("/ping"))?.text(), "pong")
    });
}

fn streams(rows: &mut Rows, wire: &mut Wire) {
    rows.row("ndjson", || {
        let reply = wire.ask(&Ask::get("/stream/ndjson"))?;
        same(reply.header("content-type"), Some("application/x-ndjson"))?;
        same(reply.text(), (0..5).map(|n| format!("{{\"n\":{n}}}\n")).collect::<String>())
    });
    rows.row("sse", || {
        let reply = wire.ask(&Ask::get("/stream/sse"))?;
        same(reply.header("content-type"), Some("text/event-stream"))?;
        let ids = reply.text().lines().filter_map(|line| line.strip_prefix("id: ").map(str::to_owned)).collect::<Vec<_>>();
        same(ids, ["0", "1", "2", "3", "4"])
    });
}
