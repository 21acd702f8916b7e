//! Every way in which an exchange can end is told exactly once, and every refusal.

use std::io::Read;
use std::net::Shutdown;
use std::time::Duration;

use bytes::Bytes;
use narthex_http::{BodyLength, ConnectionCaps, Exchange, Piece, Reason, Request};

use crate::engine::client::{connect, exchange, reset, response, send, until_end};
use crate::engine::server::{End, Work, hold, note, ok, serve, serve_with};

const CLOSE: &str = "HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const KEEP: &str = "HTTP/1.1\r\nHost: a\r\n\r\n";

fn get(target: &str) -> String {
    format!("GET {target} {CLOSE}")
}

fn app(request: &Request<'_>, exchange: &Exchange) -> Work {
    note(request, exchange);
    match request.target {
        "/chunks" => {
            exchange.start(200, std::iter::empty(), BodyLength::Unknown).unwrap();
            exchange.data(Piece::Slice(b"12345"), false).unwrap();
            exchange.data(Piece::Slice(b"67"), true).unwrap();
        }
        "/refused" => exchange.refuse(Reason::NotFound),
        "/begun-and-refused" => {
            exchange.start(200, std::iter::empty(), BodyLength::Exact(9)).unwrap();
            exchange.refuse(Reason::AppShutdown);
        }
        "/aborted" => exchange.abort(Reason::ConnectionAbandonedByReqQueue),
        "/forgotten" => {}
        "/panics" => return Some(Box::pin(async { panic!("on purpose") })),
        "/too-short" => {
            exchange.start(200, std::iter::empty(), BodyLength::Exact(9)).unwrap();
            let _ = exchange.data(Piece::Slice(b"12345"), true);
        }
        "/read" => {
            let exchange = exchange.clone();
            return Some(Box::pin(async move {
                while let Some(Ok(_)) = std::future::poll_fn(|cx| exchange.poll_body(cx)).await {}
                ok(&exchange);
            }));
        }
        "/held" => {
            exchange.inform(103, std::iter::empty()).unwrap();
            return hold(exchange);
        }
        "/large" => {
            let _ = exchange.send(200, std::iter::empty(), Piece::Shared(Bytes::from(vec![0; LARGE])));
        }
        "/upgrade" => {
            exchange.upgrade([(&b"upgrade"[..], &b"x"[..])].into_iter()).unwrap();
            let exchange = exchange.clone();
            return Some(Box::pin(async move {
                while let Some(Ok(bytes)) = std::future::poll_fn(|cx| exchange.poll_body(cx)).await {
                    exchange.data(Piece::Shared(bytes), false).unwrap();
                }
                exchange.data(Piece::EMPTY, true).unwrap();
            }));
        }
        _ => ok(exchange),
    }
    None
}

/// More than the kernel takes at once.
const LARGE: usize = 32 << 20;

#[test]
fn a_complete_exchange_ends_once_with_its_record_and_every_byte() {
    for target in ["/", "/chunks", "/read"] {
        let server = serve(app);
        let answer = exchange(server.address, &get(target));
        let end = server.end();
        assert_eq!((end.tag, end.record.as_str(), end.status, end.reason), (7, target, 200, None));
        assert_eq!((end.sent, end.received), (answer.len() as u64, get(target).len() as u64), "{target}");
        let (more, refusals) = server.finish();
        assert_eq!((more.len(), refusals.len()), (0, 0), "{target}");
    }
}

#[test]
fn requests_of_one_connection_end_one_by_one() {
    let server = serve(app);
    let answer = exchange(server.address, &format!("GET /1 {KEEP}GET /2 {KEEP}GET /3 {CLOSE}"));
    let ends: Vec<End> = (0..3).map(|_| server.end()).collect();
    let records: Vec<_> = ends.iter().map(|end| end.record.as_str()).collect();
    assert_eq!(records, ["/1", "/2", "/3"]);
    assert_eq!(ends.iter().map(|end| end.sent).sum::<u64>(), answer.len() as u64);
}

#[test]
fn what_was_read_of_the_body_counts_as_received() {
    let server = serve(app);
    let head = "POST /read HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    let answer = exchange(server.address, &format!("{head}12345"));
    let end = server.end();
    assert_eq!((end.sent, end.received), (answer.len() as u64, head.len() as u64 + 5), "{answer}");
}

#[test]
fn what_the_engine_ends_has_its_reason_in_both() {
    for (target, status, reason) in [
        ("/refused", 404, Reason::NotFound),
        ("/begun-and-refused", 200, Reason::AppShutdown),
        ("/aborted", 0, Reason::ConnectionAbandonedByReqQueue),
        ("/forgotten", 500, Reason::Internal),
        ("/panics", 0, Reason::Internal),
        ("/too-short", 200, Reason::Internal),
    ] {
        let server = serve(app);
        let (answer, _) = until_end(&send(server.address, &get(target)));
        let end = server.end();
        assert_eq!((end.status, end.reason, end.sent), (status, Some(reason), answer.len() as u64), "{target}");
        let refusal = server.refusal();
        assert_eq!((refusal.reason, refusal.tag), (reason, Some(7)), "{target}");
        assert_eq!(refusal.status, (reason.status() == Some(status)).then_some(status), "{target}");
        assert_eq!(refusal.line, format!("GET {target} HTTP/1.1"));
        let (more, refusals) = server.finish();
        assert_eq!((more.len(), refusals.len()), (0, 0), "{target}");
    }
}

#[test]
fn a_client_that_goes_away_ends_its_exchange() {
    let server = serve(app);
    let stream = send(server.address, &get("/held"));
    let (interim, _) = response(&stream);
    reset(stream);
    let end = server.end();
    assert_eq!((end.status, end.reason, end.sent), (0, Some(Reason::ClientReset), interim.len() as u64));
    assert_eq!(server.refusal().reason, Reason::ClientReset);
    let stream = send(server.address, "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1234");
    stream.shutdown(Shutdown::Write).unwrap();
    let end = server.end();
    assert_eq!((end.status, end.reason), (0, Some(Reason::ConnectionDropped)));
    assert_eq!(server.refusal().reason, Reason::ConnectionDropped);
}

#[test]
fn a_response_has_ended_when_the_kernel_has_all_of_it() {
    let server = serve(app);
    let mut stream = send(server.address, &get("/large"));
    stream.read_exact(&mut [0; 10]).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let (answer, _) = until_end(&stream);
    let end = server.end();
    assert_eq!((end.sent, end.reason), (answer.len() as u64 + 10, None));
    assert!(end.taken >= Duration::from_millis(90), "{:?}", end.taken);
}

#[test]
fn a_response_that_its_client_does_not_take_ends_with_what_was_sent_of_it() {
    let server = serve(app);
    let mut stream = send(server.address, &get("/large"));
    stream.read_exact(&mut [0; 1000]).unwrap();
    reset(stream);
    let end = server.end();
    assert_eq!((end.status, end.reason), (200, Some(Reason::ClientReset)));
    assert!((1000..LARGE as u64).contains(&end.sent), "{}", end.sent);
    assert_eq!(server.refusal().line, "GET /large HTTP/1.1");
}

#[test]
fn a_tunnel_ends_with_what_went_through_it() {
    let server = serve(app);
    let head = "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    let stream = send(server.address, &format!("{head}12345"));
    stream.shutdown(Shutdown::Write).unwrap();
    let (answer, _) = until_end(&stream);
    let end = server.end();
    assert_eq!((end.status, end.reason), (101, None));
    assert_eq!((end.sent, end.received), (answer.len() as u64, head.len() as u64 + 5));
}

#[test]
fn a_worker_that_stops_ends_what_is_in_progress() {
    let server = serve(app);
    let stream = send(server.address, &get("/held"));
    response(&stream);
    let (ends, refusals) = server.finish();
    assert_eq!(ends.iter().map(|end| (end.status, end.reason)).collect::<Vec<_>>(), [(0, Some(Reason::AppShutdown))]);
    assert_eq!(refusals.len(), 1);
    drop(stream);
}

#[test]
fn what_was_not_noted_is_told_only_if_it_was_refused() {
    let server = serve(|request, exchange| {
        if request.target == "/refused" {
            exchange.refuse(Reason::NotFound)
        } else {
            ok(exchange)
        }
        None
    });
    exchange(server.address, &format!("GET / {KEEP}GET /refused {CLOSE}"));
    let (ends, refusals) = server.finish();
    assert_eq!((ends.len(), refusals.len()), (0, 1));
    assert_eq!((refusals[0].line.as_str(), refusals[0].tag), ("GET /refused HTTP/1.1", None));
}

#[test]
fn what_never_became_a_request_is_told_with_what_there_is_of_its_line() {
    let long = "a".repeat(9000);
    for (bytes, reason, status, line) in [
        ("GET / HTTP/3.0\r\n\r\n", Reason::VersionNotSupported, Some(505), "GET / HTTP/3.0"),
        ("G(T / HTTP/1.1\r\n\r\n", Reason::Verb, Some(400), "G(T / HTTP/1.1"),
        ("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", Reason::Url, Some(400), "GET /%zz HTTP/1.1"),
        (long.as_str(), Reason::UrlLength, Some(414), &long[..4096]),
        ("GET /half HTT", Reason::ConnectionDropped, None, "GET /half HTT"),
    ] {
        let server = serve(app);
        let stream = send(server.address, bytes);
        stream.shutdown(Shutdown::Write).unwrap();
        until_end(&stream);
        let refusal = server.refusal();
        assert_eq!((refusal.reason, refusal.status, refusal.line.as_str(), refusal.tag), (reason, status, line, None));
    }
}

#[test]
fn the_timers_between_requests_are_told_and_a_client_that_closes_is_not() {
    let limit = Some(Duration::from_millis(50));
    let server = serve_with(
        move |settings| {
            settings.timeouts.idle_connection = limit;
            settings.timeouts.header_wait = limit;
            settings.timeouts.drain_entity_body = limit;
        },
        ConnectionCaps::default(),
        |_| {},
        app,
    );
    let told = |expected| {
        let refusal = server.refusal();
        assert_eq!((refusal.reason, refusal.status, refusal.line.as_str()), expected);
    };
    until_end(&send(server.address, &format!("GET / {KEEP}")));
    told((Reason::TimerConnectionIdle, None, ""));
    until_end(&connect(server.address));
    told((Reason::TimerHeaderWait, None, ""));
    until_end(&send(server.address, "GET /slow"));
    told((Reason::TimerHeaderWait, Some(408), "GET /slow"));
    until_end(&send(server.address, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1"));
    told((Reason::TimerDrainEntityBody, None, "POST / HTTP/1.1"));
    let stream = send(server.address, &format!("GET / {KEEP}"));
    response(&stream);
    drop(stream);
    assert_eq!(server.finish().1, []);
}

#[test]
fn a_connection_that_is_not_admitted_is_told() {
    let mut caps = ConnectionCaps::default();
    caps.per_client = Some(1);
    let server = serve_with(|_| {}, caps, |_| {}, app);
    let first = send(server.address, &format!("GET / {KEEP}"));
    response(&first);
    until_end(&connect(server.address));
    let refusal = server.refusal();
    assert_eq!((refusal.reason, refusal.status), (Reason::ConnLimit, Some(503)));
}

#[test]
fn a_journal_may_ask_and_change_the_worker_that_tells_it() {
    use std::rc::Rc;
    let (told, telling) = std::sync::mpsc::channel();
    let prepare = move |worker: &Rc<narthex_http::Worker>| {
        let (in_ended, in_refused) = (Rc::downgrade(worker), Rc::downgrade(worker));
        let _ = told.send("prepared");
        worker.set_journal(narthex_http::Journal {
            ended: Box::new(move |_| {
                let worker = in_ended.upgrade().unwrap();
                worker.set_timeouts(narthex_http::Timeouts::default());
                worker.set_bandwidth(None);
                worker.drain();
                let _ = told.send("ended");
            }),
            refused: Box::new(move |_| in_refused.upgrade().unwrap().kill_connections()),
        });
    };
    let server = serve_with(|_| {}, ConnectionCaps::default(), prepare, app);
    let _held = send(server.address, &get("/held"));
    until_end(&send(server.address, &get("/refused")));
    let told: Vec<_> = telling.iter().take(3).collect();
    assert_eq!(told, ["prepared", "ended", "ended"]);
}
