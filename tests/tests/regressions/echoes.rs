//! Uploads and downloads of many clients share one session; neither may wait for the other.

use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use narthex_tests::{Client, Subject};

use crate::regressions::stage::{PROVIDERS, Stage, connect};

const CLIENTS: usize = 80;
const LENGTH: usize = 2_000_000;
const CHUNK: usize = 30_000;
const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn echoes_of_many_clients_do_not_stop_each_other_with_one_worker() {
    crowd_echoes(1);
}

#[test]
fn echoes_of_many_clients_do_not_stop_each_other_with_two_workers() {
    crowd_echoes(2);
}

fn crowd_echoes(workers: usize) {
    let stage = Stage::with_workers(workers);
    let app = stage.app("echo", "http://127.0.0.1:0/");
    let deadline = Instant::now() + LIMIT;
    let failures: Vec<String> = std::thread::scope(|scope| {
        let clients: Vec<_> =
            (0..CLIENTS).map(|client| scope.spawn(move || echo_chunked(app.address, client, deadline))).collect();
        clients.into_iter().filter_map(|client| client.join().expect("no client panics").err()).collect()
    });
    assert!(failures.is_empty(), "{} of {CLIENTS} echoes fail; the first: {}", failures.len(), failures[0]);
}

fn echo_chunked(address: SocketAddr, number: usize, deadline: Instant) -> Result<(), String> {
    let body = body_of(number, LENGTH);
    let mut client = connect(address);
    let mut sender = client.sender().map_err(|error| error.to_string())?;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // What comes back says whether all of it arrived.
            let _ = send_chunked(&mut sender, &body);
        });
        let answer = client.response_within(false, deadline.saturating_duration_since(Instant::now()));
        // A sender that still waits for room would keep the test from ending.
        let _ = client.finish();
        let answer = answer.map_err(|error| error.to_string().chars().take(120).collect::<String>())?;
        if answer.status == 200 && answer.body == body {
            return Ok(());
        }
        Err(format!("status {}, {} bytes", answer.status, answer.body.len()))
    })
}

fn send_chunked(sender: &mut impl Write, body: &[u8]) -> std::io::Result<()> {
    sender.write_all(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    for chunk in body.chunks(CHUNK) {
        sender.write_all(format!("{:x}\r\n", chunk.len()).as_bytes())?;
        sender.write_all(chunk)?;
        sender.write_all(b"\r\n")?;
    }
    sender.write_all(b"0\r\n\r\n")
}

/// Bytes that no other client sends, and that differ along the way.
fn body_of(number: usize, length: usize) -> Vec<u8> {
    let line = format!("client {number} says something of its own, ");
    line.bytes().cycle().take(length).collect()
}

#[test]
fn an_echo_of_three_megabytes_keeps_the_connection_alive() {
    for provider in PROVIDERS {
        let subject = Subject::start(provider);
        let body = body_of(7, 3_000_000);
        for chunked in [false, true] {
            let mut client = subject.connect();
            // Twice: the second echo is the next request that the first must leave room for.
            for turn in 1..=2 {
                let answer = echo(&mut client, &body, chunked);
                assert_eq!((answer.0, answer.1.len()), (200, body.len()), "{provider}, chunked: {chunked}, turn {turn}");
                assert!(answer.1 == body, "{provider}, chunked: {chunked}, turn {turn}: other bytes come back");
            }
            client.send(b"GET /whoami HTTP/1.1\r\nHost: x\r\n\r\n").expect("the connection is alive");
            let next = client.response(false).unwrap_or_else(|error| panic!("{provider}, chunked: {chunked}: {error}"));
            assert_eq!(next.text(), "app", "{provider}, chunked: {chunked}");
        }
    }
}

fn echo(client: &mut Client, body: &[u8], chunked: bool) -> (u16, Vec<u8>) {
    let mut sender = client.sender().expect("there are descriptors left");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let _ = match chunked {
                true => send_chunked(&mut sender, body),
                false => {
                    let head = format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
                    sender.write_all(head.as_bytes()).and_then(|()| sender.write_all(body))
                }
            };
        });
        match client.response(false) {
            Ok(answer) => (answer.status, answer.body),
            Err(error) => panic!("an echo does not come back: {error}"),
        }
    })
}
