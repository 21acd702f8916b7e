//! Somebody logs in, leaves notes, and asks too often.

use std::net::SocketAddr;
use std::process::Command;

use narthex_tests::client::{Client, Response};
use narthex_tests::process::Process;

fn ask(address: SocketAddr, line: &str, fields: &[&str], body: &str) -> Response {
    let mut client = Client::connect(address).expect("somebody listens");
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let head = format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
    client.send(format!("{head}{body}").as_bytes()).expect("somebody reads");
    client.response(false).expect("somebody answers")
}

#[test]
fn somebody_logs_in_and_is_known_until_they_ask_too_often() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_accounts"));
    // A socket that nobody listens at: the app opens a port of its own.
    let command = command.arg("http://127.0.0.1:0/accounts/").env("NARTHEX_HOST", "/nowhere/host.sock");
    let mut accounts = Process::start("accounts", command);
    let url = accounts.line("accounts are at ");
    let authority = url.trim_start_matches("http://").split('/').next().expect("it has an authority");
    let address: SocketAddr = authority.parse().expect("it is an address");

    assert_eq!(ask(address, "GET /accounts/", &[], "").status, 200);
    assert_eq!(ask(address, "GET /accounts/hello", &[], "").status, 401);
    let login = r#"{"user": "ann", "password": "sesame"}"#;
    let answer = ask(address, "POST /accounts/auth/session", &["Content-Type: application/json"], login);
    let cookie = answer.header("set-cookie").expect("a cookie comes");
    assert!(cookie.ends_with("; HttpOnly; SameSite=Lax; Path=/accounts; Max-Age=28800"), "{cookie}");
    let answer: serde_json::Value = serde_json::from_slice(&answer.body).expect("it is JSON");
    let bearer = format!("Authorization: Bearer {}", answer["token"].as_str().expect("a token comes"));
    assert_eq!(ask(address, "GET /accounts/hello", &[&bearer], "").text(), "Hello ann, who has come by SessionToken.\n");

    let first = ask(address, "POST /accounts/notes", &[&bearer], "milk");
    let cookie = first.header("set-cookie").and_then(|cookie| cookie.split(';').next()).expect("a cookie comes");
    let second = ask(address, "POST /accounts/notes", &[&bearer, &format!("Cookie: {cookie}")], "bread");
    assert_eq!(second.text(), "2 notes: milk, bread\n");

    let limited = (0..200).map(|_| ask(address, "GET /accounts/", &[], "")).find(|answer| answer.status == 429);
    assert_eq!(limited.expect("there is a limit").header("retry-after"), Some("1"));
}
