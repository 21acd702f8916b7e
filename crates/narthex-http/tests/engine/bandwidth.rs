//! Output at a given rate, over real sockets.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use narthex_http::{Bandwidth, BodyLength, ConnectionCaps, Piece, Settings};

use crate::client::{response, send};
use crate::server::{Server, Work, serve_with};

const RATE: u64 = 1_000_000;

#[expect(clippy::disallowed_methods, reason = "a test measures real time")]
fn now() -> Instant {
    Instant::now()
}

fn no_change(_: &mut Settings) {}

/// Answers `/BYTES`, and `/file/BYTES` from a file.
fn app(request: &narthex_http::Request<'_>, exchange: &narthex_http::Exchange) -> Work {
    let length: usize = request.target.rsplit('/').next().unwrap().parse().unwrap();
    if request.target.starts_with("/file/") {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![b'x'; length]).unwrap();
        let file: File = file;
        exchange.start(200, std::iter::empty(), BodyLength::Exact(length as u64)).unwrap();
        exchange.file(file, 0, length as u64).unwrap();
    } else {
        let _ = exchange.send(200, std::iter::empty(), Piece::Shared(Bytes::from(vec![b'x'; length])));
    }
    None
}

fn paced(rate: u64) -> (Server, Arc<Bandwidth>) {
    let bandwidth = Bandwidth::new(rate);
    let shared = Arc::clone(&bandwidth);
    (serve_with(no_change, ConnectionCaps::default(), move |worker| worker.set_bandwidth(Some(shared)), app), bandwidth)
}

fn get(server: &Server, target: &str) -> TcpStream {
    send(server.address, &format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"))
}

/// How much came until `end`.
fn received_until(mut stream: &TcpStream, end: Instant) -> usize {
    let mut total = 0;
    let mut buffer = [0; 64 * 1024];
    while let Some(left) = end.checked_duration_since(now()).filter(|left| !left.is_zero()) {
        stream.set_read_timeout(Some(left)).unwrap();
        total += stream.read(&mut buffer).unwrap_or(0);
    }
    total
}

fn is_about(value: f64, expected: f64, tolerance: f64) {
    assert!((value / expected - 1.0).abs() <= tolerance, "{value} instead of {expected}");
}

#[test]
fn bodies_and_files_leave_at_the_rate() {
    for target in ["/1500000", "/file/1500000"] {
        let (server, _) = paced(RATE);
        let start = now();
        response(&get(&server, target));
        is_about(start.elapsed().as_secs_f64(), 1.5, 0.05);
    }
}

#[test]
fn two_connections_share_evenly_whatever_their_size() {
    let (server, _) = paced(RATE);
    let (large, small) = (get(&server, "/50000000"), get(&server, "/1000000"));
    let end = now() + Duration::from_millis(1200);
    let reader = std::thread::spawn(move || received_until(&large, end));
    let (small, large) = (received_until(&small, end) as f64, reader.join().unwrap() as f64);
    assert!((small / large - 1.0).abs() < 0.2, "{small} and {large}");
    is_about(small + large, 1.2 * RATE as f64, 0.08);
}

#[test]
fn a_large_download_does_not_starve_a_small_one() {
    let (server, _) = paced(RATE);
    let large = get(&server, "/50000000");
    let reader = std::thread::spawn(move || received_until(&large, now() + Duration::from_millis(600)));
    std::thread::sleep(Duration::from_millis(100));
    let start = now();
    response(&get(&server, "/1000"));
    assert!(start.elapsed() < Duration::from_millis(200), "{:?}", start.elapsed());
    assert!(reader.join().unwrap() > 100_000);
}

#[test]
fn a_change_of_the_rate_takes_effect_at_once() {
    let (server, bandwidth) = paced(2000);
    let stream = get(&server, "/3000000");
    assert!(received_until(&stream, now() + Duration::from_millis(300)) < 5000);
    let start = now();
    bandwidth.set_rate(0);
    stream.set_read_timeout(Some(crate::client::PATIENCE)).unwrap();
    (&stream).read_exact(&mut vec![0; 2_990_000]).unwrap();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[test]
fn the_rates_of_the_server_and_of_a_group_both_hold() {
    static GROUP: OnceLock<Arc<Bandwidth>> = OnceLock::new();
    GROUP.get_or_init(|| Bandwidth::new(300_000));
    let server = Bandwidth::new(RATE);
    let server = serve_with(
        no_change,
        ConnectionCaps::default(),
        move |worker| worker.set_bandwidth(Some(server)),
        |request, exchange| {
            if request.target.starts_with("/g/") {
                exchange.set_bandwidth(GROUP.get().cloned());
            }
            app(request, exchange)
        },
    );
    let (grouped, free) = (get(&server, "/g/9000000"), get(&server, "/9000000"));
    let end = now() + Duration::from_millis(1200);
    let reader = std::thread::spawn(move || received_until(&grouped, end));
    let free = received_until(&free, end) as f64;
    is_about(reader.join().unwrap() as f64, 360_000.0, 0.1);
    assert!(free > 500_000.0 && free < 900_000.0, "{free}");
}

#[test]
fn a_client_is_not_too_slow_while_the_server_holds_back() {
    // Nobody could take 2000 bytes per second at the rate of a million.
    let bandwidth = Bandwidth::new(20_000);
    let server = serve_with(
        |settings| settings.timeouts.min_send_rate = 1_000_000,
        ConnectionCaps::default(),
        move |worker| worker.set_bandwidth(Some(bandwidth)),
        app,
    );
    assert_eq!(response(&get(&server, "/10000")).1.len(), 10_000);
}
