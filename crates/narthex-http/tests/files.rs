//! Responses that are ranges of files.

use std::fs::File;
use std::future::{Ready, ready};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use narthex_http::{Admission, BodyLength, ConnectionCaps, Exchange, Handler, Request, Settings, Worker};
use narthex_proto::prefix::Scheme;

/// Answers `/OFFSET/LENGTH` with that range of its file.
struct Ranges(PathBuf);

impl Handler for Ranges {
    type Future = Ready<()>;

    fn handle(&self, request: Request<'_>, exchange: Exchange) -> Option<Ready<()>> {
        let mut numbers = request.target.split('/').filter_map(|text| text.parse().ok());
        let (offset, length) = (numbers.next().unwrap(), numbers.next().unwrap());
        exchange.start(200, std::iter::empty(), BodyLength::Exact(length)).unwrap();
        exchange.file(File::open(&self.0).unwrap().into(), offset, length).unwrap();
        Some(ready(()))
    }
}

/// A server on a file of a million bytes that tell their place.
fn serve() -> (SocketAddr, Vec<u8>, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let content: Vec<u8> = (0..1_000_000_u32).map(|place| (place % 251) as u8).collect();
    std::fs::write(&path, &content).unwrap();
    let listener = narthex_http::listen(Ipv4Addr::LOCALHOST.into(), 0, 1).unwrap().remove(0);
    let address = listener.local_addr().unwrap();
    let _detached = narthex_http::spawn_worker("worker".to_owned(), move || async move {
        let worker = Worker::new(Settings::default(), Admission::new(ConnectionCaps::default()));
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        worker.accept(listener, Scheme::Http, Rc::new(Ranges(path))).await
    })
    .unwrap();
    (address, content, directory)
}

/// Head and body of what the server says before it closes.
fn exchange(address: SocketAddr, requests: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(requests.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let body = answer.split_off(end);
    (String::from_utf8(answer).unwrap(), body)
}

const CLOSE: &str = "HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[test]
fn a_range_of_a_file_arrives_whole() {
    let (address, content, _directory) = serve();
    for (offset, length) in [(0, 1_000_000), (0, 1), (999_999, 1), (12_345, 678_901), (500, 0)] {
        let (head, body) = exchange(address, &format!("GET /{offset}/{length} {CLOSE}"));
        assert!(head.contains(&format!("content-length: {length}\r\n")), "{head}");
        assert!(body == content[offset..offset + length], "{offset} {length}: {} bytes", body.len());
    }
}

#[test]
fn the_next_request_on_the_connection_is_answered_after_a_file() {
    let (address, content, _directory) = serve();
    let keep = "HTTP/1.1\r\nHost: a\r\n\r\n";
    let (_, rest) = exchange(address, &format!("GET /0/700000 {keep}GET /5/9 {CLOSE}"));
    assert!(rest.starts_with(&content[..700_000]));
    assert!(rest.ends_with(&content[5..14]));
}

#[test]
fn head_sends_the_length_of_a_file_and_not_the_file() {
    let (address, _, _directory) = serve();
    let (head, body) = exchange(address, &format!("HEAD /0/1000000 {CLOSE}"));
    assert!(head.contains("content-length: 1000000\r\n"), "{head}");
    assert_eq!(body, b"");
}

#[test]
fn a_file_that_is_shorter_than_promised_breaks_the_connection() {
    let (address, content, _directory) = serve();
    let keep = "HTTP/1.1\r\nHost: a\r\n\r\n";
    let (head, body) = exchange(address, &format!("GET /0/1000001 {keep}GET /0/5 {CLOSE}"));
    assert!(head.contains("content-length: 1000001\r\n"), "{head}");
    assert!(body == content, "{} bytes", body.len());
}
