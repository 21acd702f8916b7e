//! The timers and caps of the engine, on real sockets with short limits.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use narthex_http::{Admission, BodyLength, ConnectionCaps, Exchange, Handler, Piece, Request, Settings, Timeouts, Worker};
use narthex_proto::prefix::Scheme;

/// Long enough for a busy machine, short beside the tests' patience.
const LIMIT: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(20);

/// `/read` answers when the body is read, `/never` never, `/endless` streams zeros for ever, all else at once.
struct App;

impl Handler for App {
    type Future = Pin<Box<dyn Future<Output = ()>>>;

    fn handle(&self, request: Request<'_>, exchange: Exchange) -> Option<Self::Future> {
        let ok = |exchange: &Exchange| exchange.send(200, std::iter::empty(), Piece::Slice(b"ok"));
        let future: Self::Future = match request.target {
            "/never" => Box::pin(std::future::pending()),
            "/queued" => {
                exchange.queued();
                Box::pin(async move {
                    std::future::pending::<()>().await;
                    drop(exchange);
                })
            }
            "/read" => Box::pin(async move {
                while let Some(Ok(_)) = std::future::poll_fn(|cx| exchange.poll_body(cx)).await {}
                let _ = ok(&exchange);
            }),
            "/endless" => Box::pin(async move {
                let zeros = bytes::Bytes::from(vec![0; 64 * 1024]);
                let _ = exchange.start(200, std::iter::empty(), BodyLength::Unknown);
                while std::future::poll_fn(|cx| exchange.poll_ready(cx)).await.is_ok() {
                    let _ = exchange.data(Piece::Shared(zeros.clone()), false);
                }
            }),
            _ => {
                let _ = ok(&exchange);
                return None;
            }
        };
        Some(future)
    }
}

/// A server that lives until its process ends, as tests do.
fn serve(timeouts: Timeouts, caps: ConnectionCaps) -> SocketAddr {
    let listener = narthex_http::listen(Ipv4Addr::LOCALHOST.into(), 0, 1).unwrap().remove(0);
    let address = listener.local_addr().unwrap();
    let _detached = narthex_http::spawn_worker("worker".to_owned(), move || async move {
        let mut settings = Settings::default();
        settings.timeouts = timeouts;
        let worker = Worker::new(settings, Admission::new(caps));
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        worker.accept(listener, Scheme::Http, Rc::new(App)).await
    })
    .unwrap();
    address
}

fn short(change: impl FnOnce(&mut Timeouts)) -> Timeouts {
    let mut timeouts = Timeouts::default();
    change(&mut timeouts);
    timeouts
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends `request` and reads until the server closes.
fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let address = serve(short(|timeouts| timeouts.idle_connection = Some(LIMIT)), ConnectionCaps::default());
    let answer = exchange(address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
}

#[test]
fn a_head_that_does_not_come_is_answered_408_and_a_silent_connection_is_closed() {
    let address = serve(short(|timeouts| timeouts.header_wait = Some(LIMIT)), ConnectionCaps::default());
    assert!(exchange(address, "GET / HTTP/1.1\r\nHost:").starts_with("HTTP/1.1 408 "));
    assert_eq!(exchange(address, ""), "");
}

#[test]
fn a_head_that_drips_is_cut_off_by_the_time_of_the_whole() {
    let address = serve(short(|timeouts| timeouts.header_wait = Some(LIMIT)), ConnectionCaps::default());
    let mut stream = connect(address);
    let dripped = (0..200).find(|_| {
        std::thread::sleep(Duration::from_millis(20));
        stream.write_all(b"X").is_err()
    });
    assert!(dripped.is_some(), "the server read on");
}

#[test]
fn a_body_that_stops_coming_is_answered_408() {
    let address = serve(short(|timeouts| timeouts.entity_body = Some(LIMIT)), ConnectionCaps::default());
    let answer = exchange(address, "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
}

#[test]
fn the_rest_of_an_unread_body_is_waited_for_only_so_long() {
    let address = serve(short(|timeouts| timeouts.drain_entity_body = Some(LIMIT)), ConnectionCaps::default());
    let answer = exchange(address, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[test]
fn a_request_that_waits_in_a_queue_for_too_long_is_answered_503() {
    let address = serve(short(|timeouts| timeouts.request_queue = Some(LIMIT)), ConnectionCaps::default());
    let mut stream = connect(address);
    stream.write_all(b"GET /queued HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 503");
}

#[test]
fn a_client_that_does_not_take_its_response_is_cut_off() {
    // 16 KiB at this rate are 160 ms.
    let address = serve(short(|timeouts| timeouts.min_send_rate = 100_000), ConnectionCaps::default());
    let mut stream = connect(address);
    stream.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    std::thread::sleep(LIMIT * 5);
    // What the kernels hold can still be read; then the connection is at its end, before any end of the body.
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(!rest.ends_with(b"0\r\n\r\n"));
}

#[test]
fn there_is_no_timer_on_the_work_of_the_app() {
    let timeouts = short(|timeouts| {
        timeouts.idle_connection = Some(LIMIT);
        timeouts.header_wait = Some(LIMIT);
        timeouts.entity_body = Some(LIMIT);
    });
    let mut stream = connect(serve(timeouts, ConnectionCaps::default()));
    stream.write_all(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    stream.set_read_timeout(Some(LIMIT * 4)).unwrap();
    let error = stream.read(&mut [0; 1]).unwrap_err();
    assert!(matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut), "{error}");
}

#[test]
fn one_connection_too_many_is_answered_503() {
    let mut caps = ConnectionCaps::default();
    caps.per_client = Some(2);
    let address = serve(Timeouts::default(), caps);
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = connect(address);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        stream.read_exact(&mut [0; 15]).unwrap();
        held.push(stream);
    }
    assert!(exchange(address, "").starts_with("HTTP/1.1 503 "));
    drop(held);
}
