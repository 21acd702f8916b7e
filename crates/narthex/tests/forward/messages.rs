//! What comes through is what was sent, as fast as it is taken.

use std::time::Duration;

use axum::Router;
use axum::response::Redirect;
use axum::routing::{any, get, post};
use http::StatusCode;
use narthex::forward::Forward;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::stage::{PATIENCE, always, app, read_until, running_to, running_with, script};
use crate::client::{Place, Running};

on_both! {
    methods_statuses_and_bodies_come_through
    large_bodies_come_through_both_ways
    trailers_come_through_both_ways
    fields_of_one_connection_stay_there
    a_refusal_comes_before_a_body_that_waits_to_be_wanted
    a_body_that_waits_to_be_wanted_comes_when_it_is
    a_server_that_breaks_off_breaks_the_response_off
    interim_responses_come_through_where_requests_have_a_control
}

async fn methods_statuses_and_bodies_come_through(place: &Place) {
    let origin = Router::new()
        .route("/hello", get(async || ([("x-of", "server")], "hello")))
        .route("/created", post(async |body: String| (StatusCode::CREATED, format!("{body}!"))))
        .route("/empty", get(async || StatusCode::NO_CONTENT))
        .route("/same", get(async || (StatusCode::NOT_MODIFIED, [("etag", "\"1\"")])))
        .route("/away", get(async || Redirect::to("/hello")))
        .route("/query", get(async |uri: http::Uri| uri.to_string()))
        .route("/method", any(async |method: http::Method| method.to_string()));
    let running = running_to(place, app(origin).await).await;
    let mut client = running.connect().await;
    let reply = client.get("/hello").await;
    assert_eq!((reply.status, reply.text()), (200, "hello"));
    assert!(reply.head.contains("x-of: server\r\n"), "{}", reply.head);
    let reply = client.post("/created", b"made").await;
    assert_eq!((reply.status, reply.text()), (201, "made!"));
    let reply = client.get("/away").await;
    assert_eq!(reply.status, 303);
    assert!(reply.head.contains("location: /hello\r\n"));
    assert_eq!(client.get("/query?a=%20b&c").await.text(), "/query?a=%20b&c");
    client.send(b"PROPFIND /method HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.reply().await.text(), "PROPFIND");

    client.send(b"HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let reply = client.reply_to_head().await;
    assert!(reply.status == 200 && reply.head.contains("content-length: 5\r\n"), "{}", reply.head);
    assert_eq!(client.get("/empty").await.status, 204);
    let reply = client.get("/same").await;
    assert!(
        reply.status == 304 && !reply.head.contains("content-length") && reply.head.contains("etag: \"1\"\r\n"),
        "{}",
        reply.head
    );
    assert_eq!(client.get("/hello").await.text(), "hello");
}

async fn large_bodies_come_through_both_ways(place: &Place) {
    let echo = Router::new().route("/", post(async |request: axum::extract::Request| axum::body::Body::new(request.into_body())));
    let running = running_to(place, app(echo).await).await;
    let sent: Vec<u8> = (0..5_000_000u32).map(|index| (index * 7 / 5) as u8).collect();
    let reply = running.connect().await.post("/", &sent).await;
    assert_eq!(reply.status, 200);
    assert!(reply.body == sent);
}

async fn trailers_come_through_both_ways(place: &Place) {
    let origin = script(async |mut connection, _| {
        let head = connection.head().await.to_ascii_lowercase();
        assert!(head.contains("\r\nte: trailers\r\n") && head.contains("\r\ntransfer-encoding: chunked\r\n"), "{head}");
        let body = connection.until("0\r\nx-sum: 3\r\n\r\n").await;
        assert!(body.starts_with("3\r\nabc\r\n"), "{body}");
        let trailers = "x-sum: 5\r\nconnection: x\r\ncontent-length: 9\r\n";
        connection.say(&format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n{trailers}\r\n")).await;
    })
    .await;
    let running = running_to(place, origin.address).await;
    let mut client = running.connect().await;
    client
        .send(
            b"POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n\
              3\r\nabc\r\n0\r\nx-sum: 3\r\n\r\n",
        )
        .await;
    let head = read_until(&mut client.0, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("transfer-encoding: chunked\r\n"), "{head}");
    let body = timeout(PATIENCE, read_until(&mut client.0, "0\r\nx-sum: 5\r\n\r\n")).await.expect("the trailers");
    assert!(body.starts_with("5\r\nhello\r\n"), "{body}");
}

async fn fields_of_one_connection_stay_there(place: &Place) {
    let origin = script(async |mut connection, _| {
        let head = connection.head().await.to_ascii_lowercase();
        for gone in ["x-mine", "keep-alive", "proxy-connection", "connection:", "upgrade", "\r\nte:", "http2-settings"] {
            assert!(!head.contains(gone), "{head}");
        }
        assert!(head.contains("x-stays: 1\r\n"), "{head}");
        let fields = "Connection: keep-alive, X-Theirs\r\nX-Theirs: 1\r\nKeep-Alive: timeout=9\r\nX-Stays: 2\r\nUpgrade: h2c\r\n";
        connection.say(&format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok")).await;
        connection.closed().await;
    })
    .await;
    let running = running_to(place, origin.address).await;
    let mut client = running.connect().await;
    client
        .send(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Mine, Upgrade, HTTP2-Settings\r\nX-Mine: 1\r\nKeep-Alive: 1\r\n\
              Proxy-Connection: x\r\nTE: deflate\r\nUpgrade: h2c\r\nHTTP2-Settings: AAAA\r\nX-Stays: 1\r\n\r\n",
        )
        .await;
    let reply = client.reply().await;
    assert_eq!(reply.text(), "ok");
    for gone in ["x-theirs", "keep-alive", "upgrade"] {
        assert!(!reply.head.contains(gone), "{}", reply.head);
    }
    assert!(reply.head.contains("x-stays: 2\r\n"), "{}", reply.head);
}

const EXPECTS: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";

async fn a_refusal_comes_before_a_body_that_waits_to_be_wanted(place: &Place) {
    let origin = script(async |mut connection, _| {
        assert!(connection.head().await.contains("100-continue"));
        connection.say("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno").await;
        connection.closed().await;
    })
    .await;
    let running = running_to(place, origin.address).await;
    let mut client = running.connect().await;
    client.send(EXPECTS).await;
    // Without a 100 before it.
    let reply = client.reply().await;
    assert_eq!((reply.status, reply.text()), (401, "no"));
}

async fn a_body_that_waits_to_be_wanted_comes_when_it_is(place: &Place) {
    let origin = script(async |mut connection, number| {
        assert!(connection.head().await.contains("100-continue"));
        if number == 0 {
            connection.say("HTTP/1.1 100 Continue\r\n\r\n").await;
        }
        // The other time the server does not know of it, and just waits for the body.
        assert_eq!(connection.until("abc").await, "abc");
        connection.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
    })
    .await;
    let running = running_to(place, origin.address).await;
    for _ in 0..2 {
        let mut client = running.connect().await;
        client.send(EXPECTS).await;
        assert_eq!(client.reply().await.status, 100);
        client.send(b"abc").await;
        assert_eq!(client.reply().await.text(), "ok");
    }
    assert_eq!(origin.connections(), 2);
}

async fn a_server_that_breaks_off_breaks_the_response_off(place: &Place) {
    for framing in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        let origin = script(move |mut connection, _| async move {
            connection.head().await;
            let body = if framing.starts_with('C') { "half" } else { "4\r\nhalf\r\n" };
            connection.say(&format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{body}")).await;
        })
        .await;
        let running = running_to(place, origin.address).await;
        let reply = running.get("/").await;
        assert!(reply.cut_off, "{reply:?}");
    }
}

#[tokio::test]
async fn messages_are_framed_anew() {
    let origin = script(async |mut connection, _| {
        let head = connection.head().await.to_ascii_lowercase();
        assert_eq!(head.matches("transfer-encoding").count() + head.matches("content-length").count(), 1, "{head}");
        let body = connection.until("0\r\n\r\n").await;
        assert_eq!(body, "12\r\nGET /other HTTP/1.\r\n0\r\n\r\n");
        // Both lengths: the chunks go before (RFC 9112 section 6.3).
        connection.say("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n").await;
        connection.closed().await;
    })
    .await;
    let running = running_to(&Place::embedded(), origin.address).await;
    let mut client = running.connect().await;
    client
        .send(b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n12;ext=1\r\nGET /other HTTP/1.\r\n0\r\n\r\n")
        .await;
    let reply = client.reply().await;
    assert_eq!(reply.text(), "hello");
    assert!(!reply.head.contains("content-length"), "{}", reply.head);
}

#[tokio::test]
async fn a_post_without_a_body_says_so_to_the_server_too() {
    let (seen, mut sees) = tokio::sync::mpsc::unbounded_channel();
    let origin = script(move |mut connection, _| {
        let seen = seen.clone();
        async move {
            seen.send(connection.head().await).unwrap();
            connection.say("HTTP/1.1 204 No Content\r\n\r\n").await;
        }
    })
    .await;
    let running = running_to(&Place::embedded(), origin.address).await;
    running.connect().await.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
    let head = timeout(PATIENCE, sees.recv()).await.expect("the request comes").unwrap().to_ascii_lowercase();
    assert!(head.contains("\r\ncontent-length: 0\r\n"), "{head}");
}

#[tokio::test]
async fn an_answer_may_come_while_the_body_is_still_on_its_way() {
    let origin = script(async |mut connection, _| {
        connection.head().await;
        connection.until("begin").await;
        connection.say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno").await;
        connection.closed().await;
    })
    .await;
    let running = running_to(&Place::embedded(), origin.address).await;
    let mut client = running.connect().await;
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbegin").await;
    let reply = client.reply().await;
    assert_eq!((reply.status, reply.text()), (413, "no"));
}

#[tokio::test]
async fn a_server_is_slowed_down_by_a_client_that_does_not_read() {
    let (stalled, has_stalled) = tokio::sync::oneshot::channel();
    let stalled = std::sync::Arc::new(std::sync::Mutex::new(Some(stalled)));
    let origin = script(move |mut connection, _| {
        let stalled = stalled.lock().unwrap().take();
        async move {
            connection.head().await;
            connection.say("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n").await;
            let piece = vec![b'x'; 100_000];
            for sent in 0..1000 {
                // The buffers between are full when nothing goes for a while.
                if timeout(Duration::from_secs(1), connection.0.write_all(&piece)).await.is_err() {
                    stalled.unwrap().send(sent).unwrap();
                    break;
                }
            }
            connection.closed().await;
        }
    })
    .await;
    let running = running_to(&Place::embedded(), origin.address).await;
    let mut client = running.connect().await;
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let pieces = timeout(3 * PATIENCE, has_stalled).await.expect("the server is slowed down").unwrap();
    assert!(pieces < 500, "{pieces} pieces of 100 kB lie somewhere");
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_with_it() {
    let (left, has_left) = tokio::sync::mpsc::unbounded_channel();
    let origin = script(move |mut connection, _| {
        let left = left.clone();
        async move {
            connection.head().await;
            left.send("asked").unwrap();
            connection.closed().await;
            left.send("left").unwrap();
        }
    })
    .await;
    let mut has_left = has_left;
    let running = running_to(&Place::embedded(), origin.address).await;
    let mut client = running.connect().await;
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(has_left.recv().await, Some("asked"));
    client.0.set_zero_linger().unwrap();
    drop(client);
    assert_eq!(timeout(PATIENCE, has_left.recv()).await.expect("the server is told"), Some("left"));
}

#[tokio::test]
async fn a_body_that_the_client_does_not_finish_is_not_finished_for_the_server_either() {
    let (seen, sees) = tokio::sync::mpsc::unbounded_channel();
    let origin = script(move |mut connection, _| {
        let seen = seen.clone();
        async move {
            connection.head().await;
            let mut rest = Vec::new();
            let _ = connection.0.read_to_end(&mut rest).await;
            seen.send(String::from_utf8(rest).unwrap()).unwrap();
        }
    })
    .await;
    let mut sees = sees;
    let running = running_to(&Place::embedded(), origin.address).await;
    let mut client = running.connect().await;
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    client.0.shutdown().await.unwrap();
    let seen = timeout(PATIENCE, sees.recv()).await.expect("the connection ends").unwrap();
    assert!("3\r\nabc\r\n".starts_with(&seen), "{seen:?}");
}

#[tokio::test]
async fn it_is_mounted_in_a_router_of_axum_and_served_by_axum() {
    let origin = always("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let forward = || narthex::forward::Forward::new().route("/", origin.upstream());
    let router = Router::new().nest_service("/nested", forward()).fallback_service(forward());
    let address = app(router).await;
    for path in ["/nested/x", "/else"] {
        let mut client = crate::client::Client(tokio::net::TcpStream::connect(address).await.unwrap());
        assert_eq!(client.get(path).await.text(), "ok");
    }
}

#[tokio::test]
async fn a_body_that_stops_is_broken_off() {
    let origin = always("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await;
    let running = running_with(origin.upstream().body_timeout(Duration::from_millis(50))).await;
    assert!(running.get("/").await.cut_off);
}

#[tokio::test]
async fn an_answer_to_head_has_no_length_that_the_server_did_not_tell() {
    let origin = always("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let running = running_to(&Place::embedded(), origin.address).await;
    let mut client = running.connect().await;
    for _ in 0..2 {
        client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let reply = client.reply_to_head().await;
        assert!(reply.status == 200 && !reply.head.contains("content-length"), "{}", reply.head);
    }
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn a_response_may_end_with_its_connection() {
    let origin = script(async |mut connection, _| {
        connection.head().await;
        connection.say("HTTP/1.0 200 OK\r\n\r\nall of it").await;
    })
    .await;
    let running = running_to(&Place::embedded(), origin.address).await;
    let mut client = running.connect().await;
    for _ in 0..2 {
        let reply = client.get("/").await;
        assert!(reply.text() == "all of it" && !reply.cut_off, "{reply:?}");
    }
}

async fn interim_responses_come_through_where_requests_have_a_control(place: &Place) {
    let answer = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n\
                  HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";
    let server = always(answer).await;
    let forward = || Forward::new().route("/", server.upstream());
    let server = |control| place.serving(forward(), "http://127.0.0.1:0/").request_control(control);
    for control in [true, false] {
        let running = Running::start(server(control)).await;
        let mut client = running.connect().await;
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut reply = client.reply().await;
        if control {
            let head = reply.head.to_ascii_lowercase();
            assert!(reply.status == 103 && head.contains("link: </a.css>; rel=preload") && !head.contains("hop"), "{head}");
            reply = client.reply().await;
        }
        assert_eq!((reply.status, reply.text()), (200, "done"));
        running.stop().await;
    }
}
