//! Every refusal that the engine makes by itself, row by row, and what verbosity makes of the 503s.

use narthex_http::{ConnectionCaps, Exchange, Limits, Reason, Request};
use narthex_proto::wire::Verbosity;

use crate::engine::client::{connect, exchange, send, until_end};
use crate::engine::server::{Work, note, ok, serve, serve_with};

fn app(_: &Request<'_>, exchange: &Exchange) -> Work {
    let exchange = exchange.clone();
    Some(Box::pin(async move {
        while let Some(Ok(_)) = std::future::poll_fn(|cx| exchange.poll_body(cx)).await {}
        ok(&exchange);
    }))
}

fn small(limits: &mut Limits) {
    limits.max_target = 64;
    limits.max_head = 512;
    limits.max_headers = 4;
    limits.max_field_length = 200;
    limits.max_segment_length = 8;
    limits.max_segments = 3;
    limits.max_body = Some(10);
}

#[test]
fn each_broken_request_gets_its_status_and_its_token() {
    let server = serve_with(|settings| small(&mut settings.limits), ConnectionCaps::default(), |_| {}, app);
    let long = "x".repeat(300);
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    let with = |lines: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    for (request, status, token) in [
        (get(&format!("/{}", "a/".repeat(40))), 414, "URL_Length"),
        (get("/123456789"), 400, "URL"),
        (get("/a/b/c/d"), 400, "URL"),
        (get("/%zz"), 400, "URL"),
        (get("/../a"), 400, "URL"),
        (get("*"), 400, "URL"),
        (get("/\u{1}"), 400, "Forbidden"),
        (get("/%01"), 400, "Forbidden"),
        (get("/\\"), 400, "Forbidden"),
        (get("/é"), 400, "Forbidden"),
        (get("http://[a/"), 400, "Hostname"),
        ("G[T / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400, "Verb"),
        ("GET / http/1.1\r\nHost: a\r\n\r\n".to_owned(), 400, "BadRequest"),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_owned(), 505, "Version_N/S"),
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n".to_owned(), 505, "Version_N/S"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400, "Hostname"),
        ("GET / HTTP/1.1\nHost: a\n\n".to_owned(), 400, "Invalid_CR/LF"),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 501, "N/I"),
        (with("Host: b\r\n"), 400, "Hostname"),
        (with("no colon\r\n"), 400, "Header"),
        (with("X: a\0b\r\n"), 400, "Header"),
        (with(&format!("X: {long}\r\n")), 431, "FieldLength"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(250)), 431, "FieldLength"),
        (with(&format!("A: {0}\r\nB: {0}\r\nC: {0}\r\n", &long[..190])), 431, "RequestLength"),
        (with("A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n"), 431, "RequestLength"),
        (with("Content-Length: -1\r\n"), 400, "Number"),
        (with("Content-Length: 18446744073709551616\r\n"), 400, "Number"),
        (with("Content-Length: 1\r\nContent-Length: 2\r\n"), 400, "Number"),
        (with("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n"), 400, "BadRequest"),
        (with("Transfer-Encoding: gzip\r\n"), 501, "N/I"),
        (with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 501, "N/I"),
        (with("Expect: tea\r\n"), 417, "Precondition"),
        (with("Content-Length: 11\r\n"), 413, "EntityTooLarge"),
        (format!("{}z\r\n", with("Transfer-Encoding: chunked\r\n")), 400, "Number"),
        (format!("{}5\r\n12345\r\n6\r\n123456\r\n", with("Transfer-Encoding: chunked\r\n")), 413, "EntityTooLarge"),
    ] {
        let answer = exchange(server.address, &request);
        let refusal = server.refusal();
        assert_eq!((refusal.reason.token(), refusal.status), (token, Some(status)), "{request:?}");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
        assert!(answer.contains("connection: close\r\n"), "{request:?}: {answer}");
    }
}

#[test]
fn a_request_within_all_limits_is_served() {
    let server = serve_with(|settings| small(&mut settings.limits), ConnectionCaps::default(), |_| {}, app);
    let lines = format!("X: {}\r\nContent-Length: 10\r\nConnection: close\r\n", "x".repeat(190));
    let answer = exchange(server.address, &format!("POST /12345678/2/3/ HTTP/1.1\r\nHost: a\r\n{lines}\r\n1234567890"));
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

const REFUSED_503: [Reason; 6] =
    [Reason::QueueFull, Reason::Disabled, Reason::AppOffline, Reason::AppShutdown, Reason::NotAvailable, Reason::TimerReqQueue];

/// `/VERBOSITY/REASON` by their places.
fn refusing(request: &Request<'_>, exchange: &Exchange) -> Work {
    note(request, exchange);
    let mut places = request.target.split('/').skip(1).map(|text| text.parse::<usize>().unwrap());
    exchange.set_verbosity([Verbosity::Basic, Verbosity::Limited, Verbosity::Full][places.next().unwrap()]);
    exchange.refuse(REFUSED_503[places.next().unwrap()]);
    None
}

#[test]
fn limited_and_full_answer_503_and_full_says_why() {
    let server = serve(refusing);
    for (place, reason) in REFUSED_503.iter().enumerate() {
        let answer = |verbosity| exchange(server.address, &format!("GET /{verbosity}/{place} HTTP/1.0\r\n\r\n"));
        let (limited, full) = (answer(1), answer(2));
        assert!(limited.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{limited}");
        assert!(full.starts_with(&format!("HTTP/1.1 503 {reason}\r\n")), "{full}");
        assert!(full.contains(&format!("\r\n\r\n503 {reason}\n")), "{full}");
        assert!(limited.contains("retry-after: 1\r\n") && full.contains("retry-after: 1\r\n"));
    }
}

#[test]
fn basic_resets_the_connection_without_a_byte() {
    let server = serve(refusing);
    for (place, reason) in REFUSED_503.iter().enumerate() {
        let stream = send(server.address, &format!("GET /0/{place} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(until_end(&stream), (Vec::new(), true), "{reason}");
        let (end, refusal) = (server.end(), server.refusal());
        assert_eq!((end.status, end.reason, end.sent), (0, Some(*reason), 0));
        assert_eq!((refusal.reason, refusal.status), (*reason, None));
    }
}

#[test]
fn verbosity_is_of_503_only_and_of_one_exchange() {
    let server = serve(|request, exchange| {
        if request.target == "/404" {
            exchange.set_verbosity(Verbosity::Basic);
            exchange.refuse(Reason::NotFound);
        } else if request.target == "/full" {
            exchange.set_verbosity(Verbosity::Full);
            exchange.refuse(Reason::QueueFull);
        } else {
            exchange.refuse(Reason::QueueFull);
        }
        None
    });
    assert!(exchange(server.address, "GET /404 HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 404 Not Found\r\n"));
    let two = "GET /full HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = exchange(server.address, two);
    assert!(answer.starts_with("HTTP/1.1 503 QueueFull\r\n"), "{answer}");
    assert!(answer.contains("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
}

#[test]
fn the_timer_of_the_queue_obeys_verbosity() {
    let server = serve_with(
        |settings| settings.timeouts.request_queue = Some(std::time::Duration::from_millis(30)),
        ConnectionCaps::default(),
        |_| {},
        |_, exchange| {
            exchange.set_verbosity(Verbosity::Full);
            exchange.queued();
            crate::engine::server::hold(exchange)
        },
    );
    let answer = exchange(server.address, "GET / HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 503 Timer_ReqQueue\r\n"), "{answer}");
}

#[test]
fn a_reset_is_seen_by_the_client_even_if_a_handle_is_kept() {
    thread_local!(static KEPT: std::cell::RefCell<Vec<Exchange>> = const { std::cell::RefCell::new(Vec::new()) });
    let server = serve(|_, exchange| {
        KEPT.with_borrow_mut(|kept| kept.push(exchange.clone()));
        exchange.reset(Reason::RequestCancelled);
        None
    });
    let stream = send(server.address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(until_end(&stream), (Vec::new(), true));
    let refusal = server.refusal();
    assert_eq!((refusal.reason.token(), refusal.status), ("Request_Cancelled", None));
}

#[test]
fn what_is_changed_while_the_server_runs_holds_for_the_next_request() {
    let server = serve_with(
        |_| {},
        ConnectionCaps::default(),
        |worker| {
            let mut limits = Limits::default();
            limits.max_target = 5;
            worker.set_limits(limits);
            worker.set_cooking(narthex_proto::cooked::Cooking::HttpSys);
        },
        app,
    );
    assert!(exchange(server.address, "GET /a\\b HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 200 "));
    assert!(exchange(server.address, "GET /123456 HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 414 "));
    drop(connect(server.address));
}
