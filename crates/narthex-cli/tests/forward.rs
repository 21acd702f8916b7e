//! `narthex forward`, as people type it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use crate::support::{self, Program, Reply};

/// A server that tells what it is asked, one request for each connection.
fn server(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("somebody connects");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).expect("somebody writes") == 0 {
                    break;
                }
                head.extend_from_slice(&byte);
            }
            let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
            let told = head.lines().find_map(|line| line.strip_prefix("x-forwarded-prefix: ")).unwrap_or("none");
            let text = format!("{name} {} {told}", head.lines().next().unwrap_or_default());
            let answer = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}", text.len());
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

/// A host, and what forwards for it.
struct Running {
    port: u16,
    _programs: [Program; 2],
    _directory: tempfile::TempDir,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("host.sock");
        let at = ["--socket", socket.to_str().expect("it is text")];
        let mut host = Program::start(&[&["host", "--listen", "127.0.0.1"], &at[..]].concat());
        host.line_with("ready ");
        let mut forward = Program::start(&[&["forward", "--prefix", "http://127.0.0.1:0/blog/"], &at[..], arguments].concat());
        let line = forward.line_with("ready http://127.0.0.1:");
        let port = line.split("127.0.0.1:").nth(1).and_then(|rest| rest.split('/').next()).and_then(|port| port.parse().ok());
        let port = port.unwrap_or_else(|| panic!("no port in {line:?}"));
        Self { port, _programs: [host, forward], _directory: directory }
    }

    fn get(&self, target: &str) -> Reply {
        support::get(self.port, target)
    }
}

#[test]
fn a_prefix_is_forwarded_to_servers_that_take_turns() {
    let [a, b] = ["a", "b"].map(|name| format!("http://{}", server(name)));
    let forward = Running::start(&[&a, &b]);
    let answers = [forward.get("/blog/x?y=1").text(), forward.get("/blog/x?y=1").text()];
    assert_eq!(answers, ["a get /x?y=1 http/1.1 /blog", "b get /x?y=1 http/1.1 /blog"]);
    let moved = forward.get("/blog");
    assert_eq!((moved.status, moved.header("location")), (308, Some("/blog/")));
}

#[test]
fn a_prefix_can_be_kept() {
    let forward = Running::start(&["--keep-prefix", &format!("http://{}/base", server("a"))]);
    assert_eq!(forward.get("/blog/x").text(), "a get /base/blog/x http/1.1 none");
}

#[test]
fn a_server_that_is_not_there_is_a_bad_gateway() {
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port is free");
    let forward = Running::start(&[&format!("http://{nobody}")]);
    let reply = forward.get("/blog/");
    assert_eq!((reply.status, reply.text().as_str()), (502, "{\"error\":\"Bad Gateway\"}"));
}
