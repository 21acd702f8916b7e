//! A key is issued, used, rotated and revoked.

use std::net::SocketAddr;
use std::process::Command;

use narthex_tests::client::{Client, Response};
use narthex_tests::process::Process;

fn ask(address: SocketAddr, line: &str, key: &str, body: &str) -> Response {
    let mut client = Client::connect(address).expect("somebody listens");
    let head = format!("{line} HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nContent-Length: {}\r\n\r\n", body.len());
    client.send(format!("{head}{body}").as_bytes()).expect("somebody reads");
    client.response(false).expect("somebody answers")
}

/// The key and its id.
fn pair(answer: &Response) -> (String, String) {
    assert_eq!(answer.status, 200);
    let (key, id) = answer.text().trim().split_once(' ').map(|(key, id)| (key.to_owned(), id.to_owned())).expect("two words");
    (key, id)
}

#[test]
fn a_key_is_issued_used_rotated_and_revoked() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_keys"));
    // A socket that nobody listens at: the app opens a port of its own.
    let command = command.args(["http://127.0.0.1:0/keys/"]).arg(directory.path().join("keys.redb"));
    let mut keys = Process::start("keys", command.env("NARTHEX_HOST", "/nowhere/host.sock"));
    let first = keys.line("the first key is ");
    let admin = first.split(',').next().expect("the key comes first").to_owned();
    let url = keys.line("keys open ");
    let authority = url.trim_start_matches("http://").split('/').next().expect("it has an authority");
    let address: SocketAddr = authority.parse().expect("it is an address");

    assert_eq!(ask(address, "GET /keys/orders", "nk_guess", "").status, 401);
    assert_eq!(ask(address, "GET /keys/orders", &admin, "").text(), "the orders of admin\n");
    let (bobs, id) = pair(&ask(address, "POST /keys/manage/issue", &admin, "bob"));
    assert_eq!(ask(address, "GET /keys/orders", &bobs, "").text(), "the orders of bob\n");
    assert_eq!(ask(address, "GET /keys/manage/audit", &bobs, "").status, 403);

    let (new, new_id) = pair(&ask(address, &format!("POST /keys/manage/rotate/{id}"), &admin, ""));
    assert_eq!(ask(address, "GET /keys/orders", &bobs, "").status, 200, "there is a grace");
    assert_eq!(ask(address, &format!("DELETE /keys/manage/{new_id}"), &admin, "").status, 204);
    assert_eq!(ask(address, "GET /keys/orders", &new, "").status, 401);
    assert_eq!(ask(address, "DELETE /keys/manage/nobody", &admin, "").status, 404);
    let audit = ask(address, "GET /keys/manage/audit", &admin, "").text();
    assert!(audit.contains(&format!("{new_id} Revoked")), "{audit}");
}
