//! A server moves to another port, restarts and stops, as clients tell it to.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use narthex_tests::client::{Client, Response};
use narthex_tests::process::Process;

fn ask(address: SocketAddr, line: &str, body: &str) -> Response {
    let mut client = Client::connect(address).expect("somebody listens");
    let head = format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    client.send(format!("{head}{body}").as_bytes()).expect("somebody reads");
    client.response(false).expect("somebody answers")
}

fn address(url: &str) -> SocketAddr {
    let authority = url.trim().trim_start_matches("http://").split('/').next().expect("it has an authority");
    authority.parse().expect("it is an address")
}

#[test]
fn a_server_moves_restarts_and_stops_as_it_is_told() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_live"));
    // A socket that nobody listens at: the app opens a port of its own.
    let command = command.arg("http://127.0.0.1:0/live/").env("NARTHEX_HOST", "/nowhere/host.sock");
    let mut live = Process::start("live", command);
    let first = live.line("the door is ");
    let report = ask(address(&first), "GET /live/report", "");
    assert_eq!(report.text(), "by narthex-blocking-1\n");

    let opened = ask(address(&first), "POST /live/doors", "http://127.0.0.1:0/live/");
    let second = opened.text();
    assert_ne!(address(&second), address(&first));
    assert_eq!(ask(address(&second), "DELETE /live/doors", &first).status, 204);
    assert_eq!(ask(address(&second), "DELETE /live/doors", &first).status, 409, "it is closed already");
    assert!(TcpStream::connect(address(&first)).is_err());

    assert_eq!(ask(address(&second), "POST /live/restart", "").status, 202);
    live.line("the door is ");
    assert_eq!(ask(address(&second), "GET /live/report", "").status, 200);
    assert_eq!(ask(address(&second), "POST /live/stop", "").status, 202);
    live.line("the server is down");
}
