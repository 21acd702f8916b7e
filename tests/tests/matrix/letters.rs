//! Rows A to E and G to K.

use narthex_tests::matrix::letters::{STREAM, WILDCARD, large};
use narthex_tests::matrix::{Ask, Reply, Rows, Scene, Variant, Wire, same, that};
use serde_json::{Value, json};

const BOUNDARY: &str = "----HorseMultipartTestBoundary7e9f";

pub(crate) fn rows(variant: Variant) {
    let scene = Scene::start(variant, &["--routes", "letters"]);
    let mut wire = scene.wire();
    let mut rows = Rows::default();
    values(&mut rows, &mut wire);
    rows.row("G1", || {
        let asks: Vec<_> = (1..=8).map(|n| Ask::get(format!("/param/conc-g{n}"))).collect();
        let replies = scene.at_once(&asks)?;
        let seen: Result<Vec<_>, _> = replies.iter().map(Reply::json).collect();
        same(seen?, (1..=8).map(|n| param("GET", &format!("conc-g{n}"))).collect::<Vec<_>>())
    });
    rows.row("H1", || text(&mut wire, &Ask::get("/stream"), STREAM));
    rows.row("H2", || {
        let reply = wire.ask(&Ask::get("/stream/large"))?;
        same(reply.header("content-type"), Some("application/octet-stream"))?;
        that(reply.status == 200 && reply.body == large(), || format!("{} with {} bytes", reply.status, reply.body.len()))
    });
    forms(&mut rows, &mut wire);
    rows.row("J1", || text(&mut wire, &Ask::get("/no/such/route"), WILDCARD));
    cookies(&mut rows, &mut wire);
    rows.done();
}

fn param(method: &str, id: &str) -> Value {
    json!({ "method": method, "id": id })
}

/// One connection for all of them: what one request leaves behind would be seen by the next.
fn values(rows: &mut Rows, wire: &mut Wire) {
    rows.row("A01", || text(wire, &Ask::get("/ping"), "pong"));
    let mut by_id = |rows: &mut Rows, row: &str, method: &str, id: &str| {
        rows.row(row, || same(wire.ask(&Ask::new(method, format!("/param/{id}")))?.json()?, param(method, id)));
    };
    by_id(rows, "A02", "DELETE", "first-123");
    by_id(rows, "A03", "PUT", "second-456");
    by_id(rows, "A04", "GET", "get-val");
    by_id(rows, "A05", "PATCH", "patch-val");
    rows.row("A06", || {
        let reply = wire.ask(&Ask::post("/param/post-val", "hello"))?;
        same(reply.json()?, json!({ "method": "POST", "id": "post-val", "body": "hello" }))
    });
    let mut by_id = |rows: &mut Rows, row: String, method: &str, id: String| {
        rows.row(&row, || same(wire.ask(&Ask::new(method, format!("/param/{id}")))?.json()?, param(method, &id)));
    };
    by_id(rows, "A07".to_owned(), "DELETE", "after-post".to_owned());
    for n in 1..=5 {
        by_id(rows, format!("B{:02}", 6 + 2 * n), "DELETE", format!("r{n}-del"));
        by_id(rows, format!("B{:02}", 7 + 2 * n), "PUT", format!("r{n}-put"));
    }
    for n in 1..=5 {
        by_id(rows, format!("E{}", 21 + n), "DELETE", format!("seq-{n}"));
    }
    for (row, method, a, b) in [("C18", "DELETE", "del-a", "del-b"), ("C19", "PUT", "put-a", "put-b")] {
        rows.row(row, || {
            let reply = wire.ask(&Ask::new(method, format!("/multi/{a}/{b}")))?;
            same(reply.json()?, json!({ "method": method, "a": a, "b": b }))
        });
    }
    for (row, method, uuid) in [("D20", "DELETE", "uuid-del-123"), ("D21", "PUT", "uuid-put-456")] {
        rows.row(row, || {
            let reply = wire.ask(&Ask::new(method, format!("/product_category/uuid_product_category/{uuid}")))?;
            same(reply.json()?, json!({ "method": method, "uuid": uuid }))
        });
    }
}

fn forms(rows: &mut Rows, wire: &mut Wire) {
    let part = |name: &str, more: &str, content: &str| {
        format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n{content}\r\n")
    };
    let file = "; filename=\"note.txt\"\r\nContent-Type: text/plain";
    let form = part("field1", "", "multipart-field-one")
        + &part("field2", "", "multipart-field-two-ABC")
        + &part("upload", file, "FILE-CONTENT-0123456789-abcdef")
        + &format!("--{BOUNDARY}--\r\n");
    let ask = Ask::post("/upload", form).field("content-type", format!("multipart/form-data; boundary={BOUNDARY}"));
    let mut found = |rows: &mut Rows, row: &str, wanted: Value| {
        rows.row(row, || {
            let seen = wire.ask(&ask)?.json()?;
            let wanted = wanted.as_object().ok_or("the row wants nothing")?;
            wanted.iter().try_for_each(|(name, value)| same(&seen[name], value))
        });
    };
    found(rows, "I1", json!({ "field1": "multipart-field-one" }));
    found(rows, "I2", json!({ "field2": "multipart-field-two-ABC" }));
    found(rows, "I3", json!({ "fileLen": 30, "fileContent": "FILE-CONTENT-0123456789-abcdef" }));
}

fn cookies(rows: &mut Rows, wire: &mut Wire) {
    let mut set = || -> Result<Vec<Vec<String>>, String> {
        let reply = wire.ask(&Ask::get("/cookies"))?;
        same((reply.status, reply.text().as_str()), (200, "cookies-set"))?;
        let mut cookies: Vec<Vec<String>> =
            reply.all("set-cookie").iter().map(|line| line.split("; ").map(str::to_owned).collect()).collect();
        cookies.sort();
        // What comes after the name has no order.
        cookies.iter_mut().for_each(|cookie| cookie[1..].sort());
        Ok(cookies)
    };
    rows.row("K1", || {
        let names: Vec<String> = set()?.into_iter().map(|cookie| cookie[0].clone()).collect();
        same(names, ["sid=abc123", "theme=dark"])
    });
    rows.row("K2", || {
        let attributes: Vec<Vec<String>> = set()?.into_iter().map(|cookie| cookie[1..].to_vec()).collect();
        same(attributes, [vec!["HttpOnly", "Path=/", "SameSite=Lax"], vec!["Max-Age=3600"]])
    });
}

fn text(wire: &mut Wire, ask: &Ask, wanted: &str) -> Result<(), String> {
    let reply = wire.ask(ask)?;
    same((reply.status, reply.text().as_str()), (200, wanted))
}
