//! Whose timers hold when, and how exactly.

use std::io::{Read, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use narthex_http::{ConnectionCaps, Exchange, Piece, Reason, Request, Timeouts};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::engine::paused::{self, Server, response, run, until_end};
use crate::engine::server::{Work, note, ok, serve_with};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const SHORT: Duration = Duration::from_millis(150);
/// The granularity of tokio's timers.
const TICKS: Duration = Duration::from_millis(3);

/// How long `wait` takes is `SHORT`, exactly.
async fn takes_short(wait: impl Future) {
    let start = tokio::time::Instant::now();
    wait.await;
    let taken = start.elapsed();
    assert!(taken >= SHORT && taken <= SHORT + TICKS, "{taken:?}");
}

fn timeouts(limit: Option<Duration>) -> Timeouts {
    let mut timeouts = Timeouts::default();
    timeouts.idle_connection = limit;
    timeouts.header_wait = limit;
    timeouts.entity_body = limit;
    timeouts.drain_entity_body = limit;
    timeouts.request_queue = limit;
    timeouts
}

/// The worker's timers are `limit`, those of the group at `/group` short, and those of the group at `/none` disabled.
fn serve(limit: Option<Duration>) -> Server {
    paused::serve(|settings| settings.timeouts = timeouts(limit), app)
}

fn app(request: &Request<'_>, exchange: &Exchange) -> Work {
    note(request, exchange);
    match request.target {
        "/group" => exchange.set_timeouts(Rc::new(timeouts(Some(SHORT)))),
        "/none" => exchange.set_timeouts(Rc::new(timeouts(None))),
        "/read" => {
            let exchange = exchange.clone();
            return Some(Box::pin(async move {
                while let Some(Ok(_)) = std::future::poll_fn(|cx| exchange.poll_body(cx)).await {}
                ok(&exchange);
            }));
        }
        "/later" => {
            let exchange = exchange.clone();
            return Some(Box::pin(async move {
                sleep(SHORT).await;
                ok(&exchange);
            }));
        }
        "/queued" => {
            exchange.queued();
            return crate::engine::server::hold(exchange);
        }
        "/large" => {
            let _ = exchange.send(200, std::iter::empty(), Piece::Shared(Bytes::from(vec![0; 32 << 20])));
            return None;
        }
        _ => {}
    }
    ok(exchange);
    None
}

#[test]
fn every_timer_is_exact_to_a_fraction_of_a_second() {
    run(async || {
        for (request, reason) in [
            ("", Reason::TimerHeaderWait),
            ("GET / HT", Reason::TimerHeaderWait),
            (GET, Reason::TimerConnectionIdle),
            ("POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1", Reason::TimerEntityBody),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1", Reason::TimerDrainEntityBody),
            ("GET /queued HTTP/1.0\r\n\r\n", Reason::TimerReqQueue),
        ] {
            let server = serve(Some(SHORT));
            takes_short(async { until_end(&mut server.send(request).await).await }).await;
            assert_eq!(*server.refused.borrow(), [reason], "{request:?}");
        }
    });
}

#[test]
fn a_timer_that_is_disabled_never_runs_out() {
    run(async || {
        for request in
            ["", "GET / HT", GET, "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1", "GET /queued HTTP/1.0\r\n\r\n"]
        {
            let server = serve(None);
            let stream = server.send(request).await;
            sleep(Duration::from_secs(100_000)).await;
            assert_eq!((server.worker.counts().connections, server.refused.borrow().len()), (1, 0), "{request:?}");
            drop(stream);
        }
    });
}

#[test]
fn the_first_request_has_the_servers_timers_and_the_next_those_of_the_last_ones_group() {
    run(async || {
        // The server's are short, and the group has none: the first is cut off, the second may take its time.
        let server = serve(Some(SHORT));
        takes_short(async { until_end(&mut server.send("").await).await }).await;
        let mut stream = server.get("/none").await;
        response(&mut stream).await;
        sleep(2 * SHORT).await;
        dripped(&mut stream).await;
        // That request was the server's again.
        takes_short(until_end(&mut stream)).await;
    });
}

#[test]
fn the_timers_of_a_group_hold_from_its_request_on() {
    run(async || {
        // The server's are disabled, and the group's short.
        let server = serve(None);
        let mut stream = server.send("").await;
        sleep(2 * SHORT).await;
        dripped(&mut stream).await;
        stream.write_all(b"GET /group HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        response(&mut stream).await;
        takes_short(until_end(&mut stream)).await;
        let mut stream = server.get("/group").await;
        response(&mut stream).await;
        stream.write_all(b"GET / HT").await.unwrap();
        takes_short(async { assert!(until_end(&mut stream).await.starts_with(b"HTTP/1.1 408 ")) }).await;
    });
}

/// One request whose head takes longer than `SHORT`.
async fn dripped(stream: &mut TcpStream) {
    stream.write_all(b"GET / HT").await.unwrap();
    sleep(2 * SHORT).await;
    stream.write_all(b"TP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    response(stream).await;
}

#[test]
fn timers_that_are_set_later_hold_for_connections_that_are_open() {
    run(async || {
        let server = serve(None);
        let mut stream = server.send(GET).await;
        response(&mut stream).await;
        server.worker.set_timeouts(timeouts(Some(SHORT)));
        stream.write_all(GET.as_bytes()).await.unwrap();
        response(&mut stream).await;
        takes_short(until_end(&mut stream)).await;
    });
}

#[test]
fn the_time_that_an_exchange_took_begins_with_the_first_byte_of_its_head() {
    run(async || {
        let server = serve(None);
        let mut stream = server.send("GET /later HT").await;
        sleep(SHORT).await;
        stream.write_all(b"TP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        response(&mut stream).await;
        stream.write_all(b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        response(&mut stream).await;
        for (taken, expected) in server.taken.borrow().iter().zip([2 * SHORT, SHORT]) {
            assert!(*taken >= expected && *taken < expected + 2 * TICKS, "{taken:?}");
        }
        assert_eq!(server.taken.borrow().len(), 2);
    });
}

#[expect(clippy::disallowed_methods, reason = "a test measures real time")]
fn now() -> Instant {
    Instant::now()
}

/// A server that wants `rate` bytes per second taken, with a client that has begun to take a large response.
fn slow(rate: u32) -> (crate::engine::server::Server, std::net::TcpStream) {
    let change = move |settings: &mut narthex_http::Settings| settings.timeouts.min_send_rate = rate;
    let server = serve_with(change, ConnectionCaps::default(), |_| {}, app);
    // As on a network: on the loopback device, windows open in steps of 64 KiB.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    #[cfg(unix)]
    socket.set_tcp_mss(1460).unwrap();
    socket.connect(&server.address.into()).unwrap();
    let stream = std::net::TcpStream::from(socket);
    (&stream).write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    (server, stream)
}

/// Takes `rate` bytes per second for `time`. Whether the server let it.
fn takes_at(mut stream: &std::net::TcpStream, rate: usize, time: Duration) -> bool {
    let start = now();
    let mut taken = 0;
    let mut buffer = vec![0; 64 * 1024];
    while start.elapsed() < time {
        let due = (start.elapsed().as_secs_f64() * rate as f64) as usize;
        let most = due.saturating_sub(taken).min(buffer.len());
        if most > 0 {
            match stream.read(&mut buffer[..most]) {
                Ok(0) | Err(_) => return false,
                Ok(read) => taken += read,
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

#[test]
fn a_client_that_takes_nothing_is_cut_off_in_the_time_of_what_the_kernel_may_hold() {
    let (server, _stream) = slow(40_000);
    let start = now();
    assert_eq!(server.refusal().reason, Reason::TimerMinBytesPerSecond);
    // 16 KiB are 0.4 s at this rate, and 80 KiB 2 s, twice if the client's kernel takes some first.
    let taken = start.elapsed();
    assert!(taken > Duration::from_millis(350) && taken < Duration::from_secs(6), "{taken:?}");
}

/// The exact border is proved of the arithmetic (`h1::deadlines`): windows open and close in steps of their own.
#[test]
fn a_client_that_is_faster_than_the_rate_is_not_cut_off() {
    let (_server, stream) = slow(16_000);
    assert!(takes_at(&stream, 40_000, Duration::from_secs(6)));
}

#[test]
fn a_client_that_is_slower_than_the_rate_is_cut_off() {
    let (server, stream) = slow(40_000);
    let reader = std::thread::spawn(move || takes_at(&stream, 16_000, Duration::from_secs(15)));
    let start = now();
    assert_eq!(server.refusal().reason, Reason::TimerMinBytesPerSecond);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    drop(reader);
}
