//! Whose timers hold when, and how exactly.

use std::io::{Read, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use narthex_http::{ConnectionCaps, Exchange, Piece, Reason, Request, Timeouts};

use crate::client::{connect, response, send, until_end};
use crate::server::{Server, Work, ok, serve_with};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const SHORT: Duration = Duration::from_millis(150);
/// Late by more than this is not exact, even on a busy machine.
const LATE: Duration = Duration::from_millis(120);

#[expect(clippy::disallowed_methods, reason = "a test measures real time")]
fn now() -> Instant {
    Instant::now()
}

/// How long `wait` takes is `SHORT`, and not less.
fn takes_short(wait: impl FnOnce()) {
    let start = now();
    wait();
    let taken = start.elapsed();
    assert!(taken >= SHORT - Duration::from_millis(2) && taken < SHORT + LATE, "{taken:?}");
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

/// The worker's timers are `limit`; those of the group whose target is `/group` are short.
fn serve(limit: Option<Duration>) -> Server {
    let change = move |settings: &mut narthex_http::Settings| settings.timeouts = timeouts(limit);
    serve_with(change, ConnectionCaps::default(), |_| {}, app)
}

fn app(request: &Request<'_>, exchange: &Exchange) -> Work {
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
        "/queued" => {
            exchange.queued();
            return crate::server::hold(exchange);
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
    for (request, reason) in [
        ("", Reason::TimerHeaderWait),
        ("GET / HT", Reason::TimerHeaderWait),
        (GET, Reason::TimerConnectionIdle),
        ("POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1", Reason::TimerEntityBody),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1", Reason::TimerDrainEntityBody),
        ("GET /queued HTTP/1.0\r\n\r\n", Reason::TimerReqQueue),
    ] {
        let server = serve(Some(SHORT));
        takes_short(|| {
            let _stream = send(server.address, request);
            assert_eq!(server.refusal().reason, reason, "{request:?}");
        });
    }
}

#[test]
fn the_first_request_has_the_servers_timers_and_the_next_those_of_the_last_ones_group() {
    // The server's are short, and the group has none: the first is cut off, the second may take its time.
    let server = serve(Some(SHORT));
    takes_short(|| drop(until_end(&connect(server.address))));
    let mut stream = send(server.address, "GET /none HTTP/1.1\r\nHost: a\r\n\r\n");
    response(&stream);
    std::thread::sleep(2 * SHORT);
    stream.write_all(b"GET / HT").unwrap();
    std::thread::sleep(2 * SHORT);
    stream.write_all(b"TP/1.1\r\nHost: a\r\n\r\n").unwrap();
    response(&stream);
    // That request was the server's again.
    takes_short(|| drop(until_end(&stream)));
}

#[test]
fn the_timers_of_a_group_hold_from_its_request_on() {
    // The server's are disabled, and the group's short.
    let server = serve(None);
    let mut stream = connect(server.address);
    std::thread::sleep(2 * SHORT);
    stream.write_all(b"GET /group HT").unwrap();
    std::thread::sleep(2 * SHORT);
    stream.write_all(b"TP/1.1\r\nHost: a\r\n\r\n").unwrap();
    response(&stream);
    takes_short(|| drop(until_end(&stream)));
    let mut stream = send(server.address, "GET /group HTTP/1.1\r\nHost: a\r\n\r\n");
    response(&stream);
    stream.write_all(b"GET / HT").unwrap();
    takes_short(|| assert!(until_end(&stream).0.starts_with(b"HTTP/1.1 408 ")));
}

#[test]
fn timers_that_are_set_later_hold_for_connections_that_are_open() {
    thread_local!(static WORKER: std::cell::RefCell<Option<Rc<narthex_http::Worker>>> = const { std::cell::RefCell::new(None) });
    let prepare = |worker: &Rc<narthex_http::Worker>| WORKER.set(Some(Rc::clone(worker)));
    let server = serve_with(
        |settings| settings.timeouts = timeouts(None),
        ConnectionCaps::default(),
        prepare,
        |_, exchange| {
            WORKER.with_borrow(|worker| worker.as_ref().unwrap().set_timeouts(timeouts(Some(SHORT))));
            ok(exchange);
            None
        },
    );
    let stream = send(server.address, GET);
    response(&stream);
    takes_short(|| drop(until_end(&stream)));
}

/// A server that wants `rate` bytes per second taken, with a client that has begun to take a large response.
fn slow(rate: u32) -> (Server, std::net::TcpStream) {
    let change = move |settings: &mut narthex_http::Settings| settings.timeouts.min_send_rate = rate;
    let server = serve_with(change, ConnectionCaps::default(), |_| {}, app);
    // As on a network: on the loopback device, windows open in steps of 64 KiB.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
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
fn a_client_that_takes_nothing_is_cut_off_within_the_time_of_what_the_kernel_holds() {
    let (server, _stream) = slow(200_000);
    let start = now();
    assert_eq!(server.refusal().reason, Reason::TimerMinBytesPerSecond);
    // 16 KiB are 82 ms at this rate, and 80 KiB 410.
    let taken = start.elapsed();
    assert!(taken > Duration::from_millis(75) && taken < Duration::from_millis(410) + LATE, "{taken:?}");
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
