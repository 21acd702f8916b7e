//! Bounds are in bytes of memory, not in bytes of payload: tiny pieces must not cost more than big ones.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use narthex_tests::{App, AppOptions, Client, Provider};

use crate::regressions::stage::{Stage, ask, connect, get};

const BOUND: u64 = 64 << 20;

#[test]
fn clients_that_do_not_read_a_stream_of_single_bytes_cost_little_memory() {
    let stage = Stage::new();
    let app = stage.app("app", "http://127.0.0.1:0/");
    let before = (stage.host.process.peak_memory(), app.process.peak_memory());
    let _clients: Vec<Client> = (0..10)
        .map(|_| {
            let mut client = connect(app.address);
            get(&mut client, "/stream?size=1&chunks=10000000");
            client
        })
        .collect();
    std::thread::sleep(Duration::from_secs(6));
    grew_little("host", before.0, stage.host.process.peak_memory());
    grew_little("app", before.1, app.process.peak_memory());
    assert_eq!(ask(app.address, "/whoami").text(), "app");
}

#[test]
fn uploads_in_single_bytes_to_a_handler_that_does_not_read_cost_little_memory() {
    const CHUNK: &[u8] = b"1\r\nx\r\n";
    let stage = Stage::new();
    let app = stage.app("app", "http://127.0.0.1:0/");
    let before = (stage.host.process.peak_memory(), app.process.peak_memory());
    let body = CHUNK.repeat(100_000);
    let mut clients: Vec<(TcpStream, usize)> = (0..20)
        .map(|_| {
            let mut client = connect(app.address);
            let head = b"POST /slow?ms=20000 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
            client.send(head).expect("the host reads");
            let sender = client.sender().expect("there are descriptors left");
            sender.set_nonblocking(true).expect("a socket can be non-blocking");
            (sender, 0)
        })
        .collect();
    // Also when all is sent, there is time for the app to take it up.
    let deadline = Instant::now() + Duration::from_secs(6);
    while Instant::now() < deadline {
        for (sender, sent) in &mut clients {
            if *sent == body.len() {
                continue;
            }
            match sender.write(&body[*sent..]) {
                Ok(count) => *sent += count,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "an upload is broken off: {error}"),
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    grew_little("host", before.0, stage.host.process.peak_memory());
    grew_little("app", before.1, app.process.peak_memory());
    // What was taken up has to go somewhere when its clients leave.
    drop(clients);
    assert_eq!(ask(app.address, "/whoami").text(), "app");
    grew_little("host", before.0, stage.host.process.peak_memory());
    grew_little("app", before.1, app.process.peak_memory());
}

#[test]
fn single_bytes_that_a_shared_queue_keeps_for_another_process_cost_little_memory() {
    let stage = Stage::new();
    let shared = |prefix: String| {
        let options = AppOptions::new("app", prefix).arguments(["--queue", "shop"]);
        App::start(Provider::Shared, Some(&stage.host), &options)
    };
    let app = shared("http://127.0.0.1:0/".to_owned());
    let _other = shared(format!("http://127.0.0.1:{}/", app.address.port()));
    let before = stage.host.process.peak_memory();
    let mut clients: Vec<Client> = (0..20)
        .map(|_| {
            let mut client = connect(app.address);
            let head = b"POST /slow?ms=20000 HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n";
            client.send(head).expect("the host reads");
            client
        })
        .collect();
    // Each comes alone.
    for _ in 0..3000 {
        clients.iter_mut().for_each(|client| client.send(b"x").expect("the host reads"));
        std::thread::sleep(Duration::from_millis(1));
    }
    grew_little("host", before, stage.host.process.peak_memory());
}

fn grew_little(who: &str, before: u64, after: u64) {
    let growth = after.saturating_sub(before);
    assert!(growth < BOUND, "the {who} grew by {} MiB", growth >> 20);
}
