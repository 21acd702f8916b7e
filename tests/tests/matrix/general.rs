//! Rows 01 to 38.

use std::time::{Duration, Instant};

use narthex_tests::matrix::letters::WILDCARD;
use narthex_tests::matrix::{Ask, Reply, Rows, Scene, Variant, Wire, same, that};
use serde_json::{Value, json};

pub(crate) fn rows(variant: Variant) {
    let scene = Scene::start(variant, &["--routes", "general"]);
    let mut wire = scene.wire();
    let mut rows = Rows::default();
    routes(&mut rows, &mut wire);
    messages(&mut rows, &mut wire);
    responses(&mut rows, &mut wire);
    side_by_side(&mut rows, &scene, &mut wire);
    bodies(&mut rows, &mut wire);
    streams(&mut rows, &scene, &mut wire);
    rows.done();
}

fn answered(reply: &Reply, status: u16, text: &str) -> Result<(), String> {
    same((reply.status, reply.text().as_str()), (status, text))
}

fn routes(rows: &mut Rows, wire: &mut Wire) {
    rows.row("01", || answered(&wire.ask(&Ask::get("/ping"))?, 200, "pong"));
    rows.row("02", || same(wire.ask(&Ask::get("/methods/get"))?.json()?, json!({ "method": "GET" })));
    rows.row("03", || {
        let body = r#"{"text":"hello"}"#;
        let reply = wire.ask(&Ask::post("/methods/post", body).field("content-type", "application/json"))?;
        same(reply.json()?, json!({ "method": "POST", "body": body }))
    });
    for (row, method, target, id) in [
        ("04", "PUT", "/methods/put/42", "42"),
        ("05", "DELETE", "/methods/delete/99", "99"),
        ("06", "PATCH", "/methods/patch/7", "7"),
    ] {
        rows.row(row, || same(wire.ask(&Ask::new(method, target))?.json()?, json!({ "method": method, "id": id })));
    }
    rows.row("07", || {
        let reply = wire.ask(&Ask::new("HEAD", "/methods/head"))?;
        same((reply.status, reply.header("x-head-ok"), reply.body.len()), (200, Some("true"), 0))
    });
    let mut seen = |rows: &mut Rows, row: &str, target: &str, wanted: Value| {
        rows.row(row, || same(wire.ask(&Ask::get(target))?.json()?, wanted));
    };
    seen(rows, "08", "/params/path/hello", json!({ "id": "hello" }));
    seen(rows, "09", "/params/query?name=Horse&value=NetHttp", json!({ "name": "Horse", "value": "NetHttp" }));
    seen(rows, "19", "/params/multi/alpha/beta", json!({ "a": "alpha", "b": "beta" }));
    rows.row("20", || same(wire.ask(&Ask::get("/does/not/exist"))?.status, 404));
    for (row, status) in [("21", 400), ("22", 500)] {
        rows.row(row, || {
            let reply = wire.ask(&Ask::get(format!("/status/{status}")))?;
            answered(&reply, status, &format!("{{\"status\":{status}}}"))
        });
    }
}

fn messages(rows: &mut Rows, wire: &mut Wire) {
    rows.row("10", || {
        let reply = wire.ask(&Ask::get("/cookies/set"))?;
        let mut cookies = reply.all("set-cookie");
        cookies.sort_unstable();
        same(cookies, ["session=abc123; Path=/", "user=tester; Path=/"])
    });
    rows.row("11", || {
        let reply = wire.ask(&Ask::get("/cookies/echo").field("cookie", "session=abc123; user=tester"))?;
        same(reply.json()?, json!({ "session": "abc123", "user": "tester" }))
    });
    rows.row("12", || {
        let form = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"myupload.txt\"\r\n\r\nuploaded\r\n\
                    --b\r\nContent-Disposition: form-data; name=\"fieldname\"\r\n\r\nvalue\r\n--b--\r\n";
        let reply = wire.ask(&Ask::post("/upload", form).field("content-type", "multipart/form-data; boundary=b"))?;
        let sha256 = "3cef1b245d4b2f37dadddcbadb76017d440ba283601228724c0cb2c07d35bed4";
        let wanted = json!({ "received": true, "name": "myupload.txt", "size": 8, "sha256": sha256, "fieldname": "value" });
        same(reply.json()?, wanted)
    });
    rows.row("14", || {
        let reply = wire.ask(&Ask::get("/headers/echo").field("x-test-header", "HelloFromClient"))?;
        same(&reply.json()?["x-test-header"], &json!(["HelloFromClient"]))
    });
    rows.row("25", || {
        let seen = wire.ask(&Ask::get("/raw/webrequest?a=b").field("x-custom", "mine"))?.json()?;
        let text = |name: &str| seen[name].as_str().unwrap_or_default().to_owned();
        same((text("method"), text("pathInfo"), text("custom")), ("GET".into(), "/raw/webrequest".into(), "mine".into()))?;
        that(text("host").starts_with("127.0.0.1"), || format!("{seen}"))?;
        that(text("remoteAddr").starts_with("127.0.0.1:"), || format!("{seen}"))
    });
}

fn responses(rows: &mut Rows, wire: &mut Wire) {
    rows.row("13", || {
        let reply = wire.ask(&Ask::get("/download"))?;
        same((reply.status, reply.header("content-disposition")), (200, Some("attachment; filename=\"testfile.txt\"")))?;
        same(reply.text(), WILDCARD)
    });
    rows.row("23", || same(wire.ask(&Ask::get("/methods/get"))?.header("content-type"), Some("application/json")));
    rows.row("24", || answered(&wire.ask(&Ask::get("/response/large"))?, 200, &"X".repeat(65_536)));
    rows.row("26", || {
        let reply = wire.ask(&Ask::new("OPTIONS", "/raw/cors"))?;
        same((reply.status, reply.header("access-control-allow-origin")), (204, Some("*")))
    });
    rows.row("27", || answered(&wire.ask(&Ask::get("/raw/cors"))?, 200, "cors-route:GET"));
    rows.row("28", || {
        let reply = wire.ask(&Ask::get("/raw/webresponse"))?;
        same(reply.header("x-via-rawresponse"), Some("PATCH-RES-6-OK"))?;
        same(reply.header("x-via-addheader"), Some("AddHeader-OK"))
    });
    rows.row("32", || answered(&wire.ask(&Ask::get("/compat/rawbody"))?, 200, "shadow-wins"));
    rows.row("38", || answered(&wire.ask(&Ask::get("/body/bytes"))?, 200, "BODYBYTES-OK-0123456789"));
}

/// The answer to a body that was sent to this path, by the name of what comes back.
fn marked(target: &str, nth: usize) -> Ask {
    Ask::post(target, format!("marker-{nth}"))
}

fn side_by_side(rows: &mut Rows, scene: &Scene, wire: &mut Wire) {
    for (row, target, name, count) in [("18", "/echo/body", "body", 4), ("29", "/pool/burst", "marker", 8)] {
        rows.row(row, || {
            let asks: Vec<_> = (0..count).map(|nth| marked(target, nth)).collect();
            let replies = scene.at_once(&asks)?;
            replies.iter().enumerate().try_for_each(|(nth, reply)| same(&reply.json()?[name], &json!(format!("marker-{nth}"))))
        });
    }
    rows.row("30", || {
        (0..5).try_for_each(|nth| {
            same(wire.ask(&marked("/pool/burst", nth))?.json()?, json!({ "marker": format!("marker-{nth}") }))
        })
    });
}

fn bodies(rows: &mut Rows, wire: &mut Wire) {
    rows.row("15", || same(wire.ask(&Ask::post("/methods/post", ""))?.json()?, json!({ "method": "POST", "body": "" })));
    rows.row("16", || {
        for ask in [Ask::post("/echo/body", "b".repeat(65_536)), Ask::post("/echo/body", "b".repeat(65_536)).chunked()] {
            same(&wire.ask(&ask)?.json()?["size"], &json!(65_536))?;
        }
        Ok(())
    });
    rows.row("17", || {
        same(&wire.ask(&Ask::post("/echo/body", "ALPHA"))?.json()?["body"], &json!("ALPHA"))?;
        answered(&wire.ask(&Ask::get("/ping"))?, 200, "pong")?;
        same(&wire.ask(&Ask::post("/echo/body", "BETA"))?.json()?["body"], &json!("BETA"))
    });
    rows.row("31", || {
        let seen = wire.ask(&Ask::post("/echo/body-twice", "again"))?.json()?;
        same(seen, json!({ "equal": true, "first": "again", "second": "again" }))
    });
    rows.row("37", || {
        let bytes: Vec<u8> = (0..=255).collect();
        same(wire.ask(&Ask::post("/body/binary", bytes))?.json()?, json!({ "size": 256, "sum": 32_640 }))
    });
}

fn streams(rows: &mut Rows, scene: &Scene, wire: &mut Wire) {
    const PULLED: &str = "chunk-0;chunk-1;chunk-2;chunk-3;chunk-4;";
    rows.row("33", || {
        let mut own = scene.wire();
        let sent = own.send(&Ask::get("/stream/pull"));
        let first = own.until(&sent, "chunk-0;")?;
        let last = own.until(&sent, "chunk-4;")?;
        let gaps = last.duration_since(first);
        that(gaps > Duration::from_millis(300), || format!("all comes within {gaps:?}"))?;
        answered(&wire.ask(&Ask::get("/ping"))?, 200, "pong")
    });
    rows.row("34", || {
        let reply = wire.ask(&Ask::get("/stream/content-type"))?;
        same(reply.header("content-type"), Some("application/octet-stream"))?;
        answered(&reply, 200, "ct-chunk-0;ct-chunk-1;ct-chunk-2;")
    });
    rows.row("35", || answered(&wire.ask(&Ask::get("/stream/empty"))?, 200, ""));
    rows.row("36", || {
        let begun = Instant::now();
        let replies = scene.at_once(&[Ask::get("/stream/pull"), Ask::get("/stream/pull")])?;
        replies.iter().try_for_each(|reply| answered(reply, 200, PULLED))?;
        that(begun.elapsed() < Duration::from_millis(900), || "one waits for the other".to_owned())
    });
}
