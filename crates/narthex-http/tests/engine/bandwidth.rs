//! Output at a given rate, over real sockets.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use narthex_http::{Bandwidth, BodyLength, Exchange, Piece, Request};
use tokio::time::{Instant, sleep};

use crate::engine::paused::{Server, received_until, response, run, serve};
use crate::engine::server::Work;

const RATE: u64 = 1_000_000;

thread_local!(static GROUP: Arc<Bandwidth> = Bandwidth::new(300_000));

/// Answers `/BYTES`; `/file/BYTES` from a file; `/tunnel/BYTES` in an upgraded connection; `/group/BYTES` at the group's rate.
fn app(request: &Request<'_>, exchange: &Exchange) -> Work {
    let length: usize = request.target.rsplit('/').next().unwrap().parse().unwrap();
    let body = Piece::Shared(Bytes::from(vec![b'x'; length]));
    if request.target.starts_with("/group/") {
        exchange.set_bandwidth(Some(GROUP.with(Arc::clone)));
    }
    if request.target.starts_with("/file/") {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(body_of(&body)).unwrap();
        exchange.start(200, std::iter::empty(), BodyLength::Exact(length as u64)).unwrap();
        exchange.file(file.into(), 0, length as u64).unwrap();
    } else if request.target.starts_with("/tunnel/") {
        exchange.upgrade(std::iter::empty()).unwrap();
        exchange.data(body, true).unwrap();
    } else {
        exchange.send(200, std::iter::empty(), body).unwrap();
    }
    None
}

fn body_of<'a>(piece: &'a Piece<'_>) -> &'a [u8] {
    match piece {
        Piece::Slice(bytes) => bytes,
        Piece::Shared(bytes) => bytes,
    }
}

fn paced(rate: u64) -> (Server, Arc<Bandwidth>) {
    let bandwidth = Bandwidth::new(rate);
    let server = serve(|_| {}, app);
    server.worker.set_bandwidth(Some(Arc::clone(&bandwidth)));
    (server, bandwidth)
}

fn is_about(value: f64, expected: f64, tolerance: f64) {
    assert!((value / expected - 1.0).abs() <= tolerance, "{value} instead of {expected}");
}

#[test]
fn bodies_files_and_tunnels_leave_at_the_rate() {
    run(async || {
        for target in ["/1500000", "/file/1500000", "/tunnel/1500000"] {
            let (server, _) = paced(RATE);
            let start = Instant::now();
            let mut stream = server.get(target).await;
            let half = received_until(&mut stream, start + Duration::from_millis(750)).await;
            is_about(half as f64, 750_000.0, 0.05);
            let rest = received_until(&mut stream, start + Duration::from_millis(1520)).await;
            assert!(half + rest >= 1_500_000, "{target}: {}", half + rest);
        }
    });
}

#[test]
fn two_connections_share_evenly_whatever_their_size() {
    run(async || {
        let (server, _) = paced(RATE);
        let (mut large, mut small) = (server.get("/50000000").await, server.get("/1000000").await);
        let end = Instant::now() + Duration::from_millis(1500);
        let (large, small) = tokio::join!(received_until(&mut large, end), received_until(&mut small, end));
        is_about(small as f64, large as f64, 0.2);
        is_about((small + large) as f64, 1.5 * RATE as f64, 0.05);
    });
}

#[test]
fn a_large_download_does_not_starve_a_small_one() {
    run(async || {
        let (server, _) = paced(RATE);
        let mut large = server.get("/50000000").await;
        received_until(&mut large, Instant::now() + Duration::from_millis(200)).await;
        let start = Instant::now();
        response(&mut server.get("/1000").await).await;
        assert!(start.elapsed() < Duration::from_millis(60), "{:?}", start.elapsed());
    });
}

#[test]
fn a_change_of_the_rate_takes_effect_at_once() {
    run(async || {
        let (server, bandwidth) = paced(2000);
        let mut stream = server.get("/3000000").await;
        assert!(received_until(&mut stream, Instant::now() + Duration::from_secs(1)).await < 3000);
        bandwidth.set_rate(RATE);
        let second = received_until(&mut stream, Instant::now() + Duration::from_secs(1)).await;
        is_about(second as f64, RATE as f64, 0.15);
        bandwidth.set_rate(0);
        received_until(&mut stream, Instant::now() + Duration::from_millis(300)).await;
        server.worker.set_bandwidth(None);
        let start = Instant::now();
        assert_eq!(response(&mut server.get("/9000000").await).await.1.len(), 9_000_000);
        assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    });
}

#[test]
fn taking_the_rate_away_frees_what_waits() {
    run(async || {
        let (server, _) = paced(1000);
        let mut stream = server.get("/500000").await;
        sleep(Duration::from_secs(1)).await;
        server.worker.set_bandwidth(None);
        let start = Instant::now();
        response(&mut stream).await;
        assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    });
}

#[test]
fn the_rates_of_the_server_and_of_a_group_both_hold() {
    run(async || {
        let (server, _) = paced(RATE);
        let (mut grouped, mut other) = (server.get("/group/9000000").await, server.get("/group/9000000").await);
        let mut free = server.get("/9000000").await;
        let end = Instant::now() + Duration::from_millis(1500);
        let received =
            tokio::join!(received_until(&mut grouped, end), received_until(&mut other, end), received_until(&mut free, end));
        is_about((received.0 + received.1) as f64, 450_000.0, 0.05);
        assert!(received.2 > 450_000 && received.0 + received.1 + received.2 < 1_575_000, "{received:?}");
    });
}

#[test]
fn a_client_is_not_too_slow_while_the_server_holds_back() {
    run(async || {
        // Nobody could take 2000 bytes per second at the rate of a million.
        let server = serve(|settings| settings.timeouts.min_send_rate = 1_000_000, app);
        server.worker.set_bandwidth(Some(Bandwidth::new(2000)));
        assert_eq!(response(&mut server.get("/20000").await).await.1.len(), 20_000);
    });
}

#[test]
fn a_connection_that_is_still_written_to_is_not_idle() {
    run(async || {
        let server = serve(|settings| settings.timeouts.idle_connection = Some(Duration::from_secs(1)), app);
        server.worker.set_bandwidth(Some(Bandwidth::new(2000)));
        let mut stream = server.get("/10000").await;
        response(&mut stream).await;
        let start = Instant::now();
        crate::engine::paused::until_end(&mut stream).await;
        assert!(start.elapsed() > Duration::from_millis(900), "{:?}", start.elapsed());
    });
}

#[test]
fn a_client_that_sends_on_and_takes_nothing_is_made_to_wait() {
    run(async || {
        let (server, bandwidth) = paced(1);
        for target in ["/20000", "/file/20000", "/1"] {
            let before = server.worker.counts().requests;
            let mut stream = server.send(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(10_000)).await;
            sleep(Duration::from_secs(10)).await;
            let begun = server.worker.counts().requests - before;
            assert!((1..1000).contains(&begun), "{target}: {begun}");
            bandwidth.set_rate(0);
            sleep(Duration::from_millis(200)).await;
            for _ in 0..3 {
                response(&mut stream).await;
            }
            bandwidth.set_rate(1);
        }
    });
}
