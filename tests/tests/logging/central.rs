//! Logs that the host's settings ask for: one line per request, with the right fields.

use narthex_tests::Client;
use serde_json::json;

use crate::logging::stage::{HANDSHAKE, JSON, Stage, ask, files, object, send};

#[test]
fn a_line_says_what_was_asked_and_answered() {
    let stage = Stage::new(JSON);
    let lines = "User-Agent: tester/1\r\nReferer: http://from/\r\nCookie: a=b\r\n";
    let response = stage.get_with("/bytes?n=5000", lines);
    assert_eq!(response.body.len(), 5000);
    let logged = stage.await_objects(1).remove(0);
    for (field, expected) in [
        ("method", json!("GET")),
        ("path", json!("/bytes")),
        ("query", json!("n=5000")),
        ("version", json!("HTTP/1.1")),
        ("user_agent", json!("tester/1")),
        ("referer", json!("http://from/")),
        ("cookie", json!("a=b")),
        ("host", json!("x")),
        ("status", json!(200)),
    ] {
        assert_eq!(logged[field], expected, "{field}");
    }
    let number = |field: &str| logged[field].as_u64().unwrap_or_else(|| panic!("{field} in {logged}"));
    assert!((5050..6000).contains(&number("bytes_sent")), "{logged}");
    let received = format!("GET /bytes?n=5000 HTTP/1.1\r\nHost: x\r\n{lines}\r\n").len();
    assert_eq!(number("bytes_received"), received as u64);
    assert!(number("time_taken_ms") < 5000);
}

#[test]
fn the_time_taken_is_the_app_s_too() {
    let stage = Stage::new(JSON);
    stage.get("/slow?ms=300");
    let logged = stage.await_objects(1).remove(0);
    assert!(logged["time_taken_ms"].as_u64().is_some_and(|taken| (300..10_000).contains(&taken)), "{logged}");
}

#[test]
fn every_request_of_a_connection_has_its_line_whatever_its_answer() {
    let stage = Stage::new(JSON);
    let mut client = stage.connect();
    let asked = [
        ("GET", "/", "", 200),
        ("HEAD", "/", "", 200),
        ("POST", "/len", "Content-Length: 3\r\n\r\nabc", 200),
        ("POST", "/len", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200),
        ("GET", "/stream?chunks=5&size=10", "", 200),
        ("GET", "/status/404", "", 404),
        ("GET", "/status/304", "", 304),
        ("GET", "/status/503", "", 503),
        ("GET", "/panic", "", 500),
    ];
    for (method, target, lines, status) in asked {
        assert_eq!(ask(&mut client, method, target, lines).status, status, "{method} {target}");
    }
    let logged: Vec<_> = stage
        .await_objects(asked.len())
        .iter()
        .map(|line| (line["method"].clone(), line["path"].clone(), line["status"].clone()))
        .collect();
    let path = |target: &'static str| target.split('?').next();
    let expected: Vec<_> =
        asked.iter().map(|(method, target, _, status)| (json!(method), json!(path(target)), json!(status))).collect();
    assert_eq!(logged, expected);
}

#[test]
fn pipelined_requests_have_a_line_each() {
    let stage = Stage::new(JSON);
    let mut client = stage.connect();
    (0..50).for_each(|number| send(&mut client, "GET", &format!("/?{number}"), ""));
    (0..50).for_each(|_| drop(client.response(false).expect("every request is answered")));
    let logged = stage.await_objects(50);
    let queries: Vec<&str> = logged.iter().filter_map(|line| line["query"].as_str()).collect();
    let expected: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    assert_eq!(queries, expected);
}

#[test]
fn what_the_cache_answers_is_logged() {
    let stage = Stage::with(1, JSON);
    let target = "/answer?policy=flush&size=5000&header=etag:%22a%22";
    let (new, stored) = (stage.get(target), stage.get(target));
    let (unchanged, part) = (stage.get_with(target, "If-None-Match: \"a\"\r\n"), stage.get_with(target, "Range: bytes=0-9\r\n"));
    assert_eq!([&new, &stored, &unchanged, &part].map(|response| response.has("age")), [false, true, true, true]);
    let logged = stage.await_objects(4);
    let statuses: Vec<_> = logged.iter().filter_map(|line| line["status"].as_u64()).collect();
    assert_eq!(statuses, [200, 200, 304, 206]);
    let sent: Vec<_> = logged.iter().filter_map(|line| line["bytes_sent"].as_u64()).collect();
    assert!(sent[0] > 5000 && sent[1] > 5000 && sent[2] < 500 && sent[3] < 500, "{sent:?}");
}

#[test]
fn what_the_host_refuses_is_logged_with_its_reason() {
    let stage = Stage::new(&format!("{JSON}\nmax_request_body = 10"));
    assert_eq!(ask(&mut stage.connect(), "POST", "/len", "Content-Length: 11\r\n\r\n").status, 413);
    let logged = stage.await_objects(1).remove(0);
    assert_eq!((&logged["status"], &logged["path"]), (&json!(413), &json!("/len")));
    assert!(logged["reason"].is_string(), "{logged}");
    // What no app is for, no access log is for either.
    let mut client = Client::connect(stage.app.address).expect("the host accepts connections");
    client.send(b"GET / HTTP/1.1\r\n\r\n").expect("the host reads");
    assert_eq!(client.response(false).expect("it is refused").status, 400);
    stage.await_objects(1);
}

#[test]
fn an_upgraded_connection_has_one_line_when_it_ends() {
    let stage = Stage::new(JSON);
    let mut client = stage.connect();
    assert_eq!(ask(&mut client, "GET", "/ws", HANDSHAKE).status, 101);
    // A text message of one letter, masked with zeros.
    client.send(&[0x81, 0x81, 0, 0, 0, 0, b'a']).expect("the host reads");
    assert_eq!(client.bytes(3).expect("the echo comes"), [0x81, 1, b'a']);
    drop(client);
    let logged = stage.await_objects(1).remove(0);
    assert_eq!((&logged["status"], &logged["path"]), (&json!(101), &json!("/ws")));
}

#[test]
fn only_errors_or_only_successes_are_logged() {
    for (only, expected) in [("errors", vec![404, 500]), ("successes", vec![200, 304])] {
        let stage = Stage::with(1, &format!("{JSON}\naccess_log_only = \"{only}\""));
        [200, 404, 304, 500].iter().for_each(|status| drop(stage.get(&format!("/status/{status}"))));
        let logged: Vec<_> = stage.await_objects(2).iter().filter_map(|line| line["status"].as_u64()).collect();
        assert_eq!(logged, expected, "{only}");
    }
}

#[test]
fn w3c_and_ncsa_lines_have_their_fields_in_their_places() {
    let stage = Stage::new("access_log = \"w3c\"");
    stage.get_with("/whoami?a=1", "User-Agent: two words\r\n");
    crate::logging::stage::eventually("the line", || stage.lines().len() == 1);
    let line = stage.lines().remove(0);
    let fields: Vec<&str> = line.split(' ').collect();
    let port = stage.app.address.port().to_string();
    let expected = ["127.0.0.1", "GET", "/whoami", "a=1", &port, "-", "127.0.0.1", "two+words", "-", "200", "0", "0"];
    assert_eq!(fields[2..14], expected, "{line}");
    assert_eq!(fields.len(), 15, "{line}");
    let text = std::fs::read_to_string(&files(&stage.logs())[0]).expect("a log is text");
    assert!(text.starts_with("#Software: Narthex"), "{text}");
    assert_eq!(text.lines().find(|line| line.starts_with("#Fields:")).map(|line| line.split(' ').count()), Some(16));

    let stage = Stage::new("access_log = \"ncsa\"");
    let sent = stage.get_with("/whoami?a=1", "User-Agent: two words\r\nReferer: r\r\n");
    crate::logging::stage::eventually("the line", || stage.lines().len() == 1);
    let line = stage.lines().remove(0);
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    assert!(line.contains("] \"GET /whoami?a=1 HTTP/1.1\" 200 ") && line.ends_with(" \"r\" \"two words\""), "{line}");
    assert_eq!(sent.status, 200);
}

#[test]
fn logging_is_switched_on_and_off_while_the_host_runs() {
    let stage = Stage::new("");
    stage.get("/?off");
    assert!(stage.lines().is_empty());
    stage.set("access_log", "json");
    let mut kept = stage.connect();
    ask(&mut kept, "GET", "/?on", "");
    crate::logging::stage::eventually("the line", || stage.lines().len() == 1);
    assert_eq!(object(&stage.lines()[0])["query"], "on");
    stage.set("access_log", "off");
    ask(&mut kept, "GET", "/?off", "");
    stage.set("access_log", "json");
    ask(&mut kept, "GET", "/?again", "");
    crate::logging::stage::eventually("the line", || stage.lines().len() == 2);
    assert_eq!(object(&stage.lines()[1])["query"], "again");
}
