//! Whatever clients send, a request makes one line, and its fields stay in their places.

use serde_json::Value;

use crate::logging::stage::{JSON, Stage};

/// What could end a field, a line, a string or an object, or begin a comment.
const PAYLOADS: [&[u8]; 22] = [
    b"plain",
    b"two words",
    b"a\tb",
    b"\"",
    b"\\",
    b"\\\"",
    b"\\\\\"",
    b"\" 200 5 \"-\" \"-",
    b"#Fields: date",
    b"#",
    b"-",
    b"%0d%0aforged",
    b"%00",
    b"\r\nX-Next: forged",
    b"\nforged",
    b"\rforged",
    b"\0",
    b"\x7f\x1b[31m",
    b"\xff\xfe",
    "ä\u{85}\u{2028}".as_bytes(),
    b"\",\"status\":999,\"x\":\"",
    b"{\"time\":\"x\"}",
];

/// Sends every payload in every place, and returns how many of the requests had an app.
fn attack(stage: &Stage) -> usize {
    let mut routed = 0;
    for payload in PAYLOADS {
        for (before, after) in [
            ("GET /", " HTTP/1.1\r\nHost: x\r\n\r\n"),
            ("GET /?", " HTTP/1.1\r\nHost: x\r\n\r\n"),
            ("GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: ", "\r\n\r\n"),
            ("GET / HTTP/1.1\r\nHost: x\r\nReferer: ", "\r\n\r\n"),
            ("GET / HTTP/1.1\r\nHost: x\r\nCookie: ", "\r\n\r\n"),
            ("GET / HTTP/1.1\r\nHost: ", "\r\n\r\n"),
            ("GET http://", "/ HTTP/1.1\r\nHost: x\r\n\r\n"),
            ("", " / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ] {
            let mut client = stage.connect();
            client.send(&[before.as_bytes(), payload, after.as_bytes()].concat()).expect("the host reads");
            let response = client.response(before.is_empty() && payload == b"HEAD");
            // The app signs its answers.
            routed += usize::from(response.is_ok_and(|response| response.has("x-app")));
        }
    }
    routed
}

/// Attacks a host that logs like this, and judges each line.
fn every_line_is_one(settings: &str, is_one: impl Fn(&str) -> bool) {
    let stage = Stage::new(settings);
    let routed = attack(&stage);
    assert!(routed > 50, "{routed}");
    crate::logging::stage::eventually("a line for each request", || stage.lines().len() >= routed);
    let lines = stage.lines();
    assert_eq!(lines.len(), routed);
    for line in lines {
        assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line:?}");
        assert!(is_one(&line), "{line:?}");
    }
}

fn is_dated(text: &str) -> bool {
    text.starts_with("20") && text.get(4..5) == Some("-")
}

#[test]
fn w3c_lines_cannot_be_forged() {
    let fields = "access_log_fields = \"date,cs-method,cs-uri-stem,cs-uri-query,cs(User-Agent),cs(Cookie),cs(Referer),cs-host,\
                  sc-status\"";
    every_line_is_one(&format!("access_log = \"w3c\"\n{fields}"), |line| {
        let fields: Vec<&str> = line.split(' ').collect();
        let is_status = |field: &str| field.len() == 3 && field.parse::<u16>().is_ok();
        fields.len() == 9 && is_dated(fields[0]) && is_status(fields[8]) && fields.iter().all(|field| !field.is_empty())
    });
}

#[test]
fn ncsa_lines_cannot_be_forged() {
    every_line_is_one("access_log = \"ncsa\"", |line| {
        let mut escaped = false;
        let quotes = line.bytes().filter(|&byte| {
            let counts = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            counts
        });
        line.starts_with("127.0.0.1 - - [") && line.ends_with('"') && quotes.count() == 6
    });
}

#[test]
fn json_lines_cannot_be_forged() {
    every_line_is_one(JSON, |line| {
        let Ok(Value::Object(object)) = serde_json::from_str(line) else { return false };
        let status = object.get("status").and_then(Value::as_u64);
        let known = ["method", "path", "query", "version", "user_agent", "referer", "cookie", "host", "reason"];
        let mut others = object.keys().filter(|key| !known.contains(&key.as_str()));
        let rest = ["bytes_received", "bytes_sent", "request_id", "status", "time", "time_taken_ms"];
        // A name that came twice would be there once: the text must have each quoted name once.
        let once = object.keys().all(|key| line.matches(&format!(",\"{key}\":")).count() <= 1);
        status.is_some_and(|status| status < 600) && once && others.all(|key| rest.contains(&key.as_str()))
    });
}

#[test]
fn json_has_what_the_client_sent() {
    let stage = Stage::new(JSON);
    let sent: Vec<&str> = PAYLOADS.iter().filter_map(|payload| std::str::from_utf8(payload).ok()).collect();
    let sent: Vec<&str> = sent.into_iter().filter(|text| !text.contains(['\r', '\n', '\0', '\u{7f}'])).collect();
    for text in &sent {
        assert_eq!(stage.get_with("/", &format!("User-Agent: {text}\r\n")).status, 200, "{text:?}");
    }
    let logged = stage.await_objects(sent.len());
    let mut seen: Vec<&str> = logged.iter().filter_map(|line| line["user_agent"].as_str()).collect();
    let mut sent = sent;
    seen.sort_unstable();
    sent.sort_unstable();
    assert_eq!(seen, sent);
}

#[test]
fn a_value_is_cut_and_its_line_is_whole() {
    let stage = Stage::new(JSON);
    let long = "x".repeat(10_000);
    stage.get_with("/", &format!("User-Agent: {long}\r\n"));
    let logged = stage.await_objects(1).remove(0);
    let agent = logged["user_agent"].as_str().expect("it has a user agent");
    assert!(agent.len() <= 4200 && agent.ends_with("..."), "{}", agent.len());
}
