//! Both programs on the HTTP.sys that there is: Wine's, on other systems than Windows. To be run alone, as all tests of HTTP.sys there.
#![cfg(windows)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::Duration;

/// No answer takes so long.
const LIMIT: Duration = Duration::from_secs(20);

/// A program, until the test ends.
struct Running(Child);

impl Running {
    fn start(program: &str, prefix: &str) -> Self {
        Self(Command::new(program).arg(prefix).spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks once in one write, and reads up to `last`. `None` if nobody answers on the port.
fn ask(port: u16, head: &str, body: &str, last: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let length = body.len();
    let request = format!("{head} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).unwrap();
    let mut got = Vec::new();
    let mut buffer = [0; 4096];
    while !got.ends_with(last.as_bytes()) {
        match stream.read(&mut buffer).ok()? {
            0 => break,
            count => got.extend_from_slice(&buffer[..count]),
        }
    }
    String::from_utf8(got).ok()
}

/// The answer that has `text`, once it comes.
fn wait_for(port: u16, head: &str, text: &str) -> String {
    for _ in 0..200 {
        if let Some(answer) = ask(port, head, "", "\n").filter(|answer| answer.contains(text)) {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{head}: nobody answers {text}");
}

#[test]
fn two_axum_apps_share_a_port_and_each_gets_its_own_requests() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let _lobby = Running::start(env!("CARGO_BIN_EXE_lobby"), &format!("http://+:{port}/"));
    wait_for(port, "GET /", "the lobby");
    let shop = Running::start(env!("CARGO_BIN_EXE_shop"), &format!("http://+:{port}/shop/"));
    assert!(wait_for(port, "GET /shop/basket", "basket").starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(ask(port, "GET /elsewhere", "", "\n").unwrap().contains("the lobby"));
    assert!(ask(port, "GET /shop/none", "", "\r\n\r\n").unwrap().starts_with("HTTP/1.1 404 "));

    let order = "0123456789".repeat(6000);
    assert!(ask(port, "POST /shop/order", &order, "bytes\n").unwrap().contains("an order of 60000 bytes"));
    let receipt = ask(port, "GET /shop/receipt", "", "0\r\n\r\n").unwrap();
    assert!(receipt.contains("Transfer-Encoding: chunked\r\n"), "{receipt}");
    assert!(receipt.ends_with("6\r\nbread\n\r\n7\r\ncheese\n\r\n6\r\ntotal\n\r\n0\r\n\r\n"), "{receipt}");
    drop(shop);
}
