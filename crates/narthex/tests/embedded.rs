//! The embedded provider, from a client's side.

mod client;

use std::time::Duration;

use client::{Client, Running, app};
use narthex::{Error, Provider, Server};
use tokio_tungstenite::tungstenite::Message;

fn server(prefix: &str) -> Server<axum::Router> {
    Server::new(app()).prefix(prefix).provider(Provider::embedded()).workers(2)
}

async fn start(prefix: &str) -> Running {
    Running::start(server(prefix)).await
}

#[tokio::test]
async fn ordinary_routes_work_as_with_axum_serve() {
    let running = start("http://127.0.0.1:0/").await;
    let mut client = running.connect().await;
    let pong = client.get("/ping").await;
    assert_eq!((pong.status, pong.text()), (200, "pong"));
    assert!(pong.head.contains("content-length: 4\r\n"), "{}", pong.head);
    assert_eq!(client.get("/json").await.text(), "{\"ok\":true}");
    assert_eq!(client.get("/hello/world").await.text(), "hello world");
    assert_eq!(client.get("/count").await.text(), "1");
    assert_eq!(client.get("/count").await.text(), "2");
    assert_eq!(client.get("/none").await.status, 404);
    running.stop().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let running = start("http://127.0.0.1:0/").await;
    let mut client = running.connect().await;
    client.send(b"GET /slow/50 HTTP/1.1\r\nHost: a\r\n\r\nGET /ping HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.reply().await.text(), "slow");
    assert_eq!(client.reply().await.text(), "pong");
}

#[tokio::test]
async fn head_has_the_length_and_no_body() {
    let running = start("http://127.0.0.1:0/").await;
    let mut client = running.connect().await;
    client.send(b"HEAD /ping HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let reply = client.reply_to_head().await;
    assert!(reply.head.contains("content-length: 4\r\n"), "{}", reply.head);
    assert_eq!(client.get("/ping").await.text(), "pong", "the connection goes on");
}

#[tokio::test]
async fn bodies_of_any_size_come_through_both_ways() {
    let running = start("http://127.0.0.1:0/").await;
    let big = vec![b'y'; 5_000_000];
    assert_eq!(running.connect().await.post("/len", &big).await.text(), "5000000");
    assert_eq!(running.connect().await.post("/echo", &big).await.body, big);
    assert_eq!(running.connect().await.post("/elsewhere", &big).await.text(), "5000000");
    let mut client = running.connect().await;
    assert_eq!(client.post("/echo", b"").await.body, b"");
    assert_eq!(client.get("/big/3000000").await.body.len(), 3_000_000);
    assert_eq!(client.get("/stream/300").await.body.len(), 3_000_000);
}

#[tokio::test]
async fn chunked_bodies_and_their_trailers_reach_the_app() {
    let running = start("http://127.0.0.1:0/").await;
    let mut client = running.connect().await;
    client.send(b"POST /len HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    for _ in 0..3 {
        client.send(b"4\r\nabcd\r\n").await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    client.send(b"0\r\nX-Sum: 12\r\n\r\n").await;
    assert_eq!(client.reply().await.text(), "12 12");
}

#[tokio::test]
async fn a_client_that_waits_for_100_gets_it_when_the_body_is_read_and_not_otherwise() {
    let running = start("http://127.0.0.1:0/").await;
    let mut client = running.connect().await;
    client.send(b"POST /len HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(client.reply().await.status, 100);
    client.send(b"abc").await;
    assert_eq!(client.reply().await.text(), "3");

    client.send(b"POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(client.reply().await.text(), "pong");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let running = Running::start(server("http://127.0.0.1:0/").max_body(10)).await;
    assert_eq!(running.connect().await.post("/len", &[0; 11]).await.status, 413);
    assert_eq!(running.connect().await.post("/len", &[0; 10]).await.text(), "10");
}

#[tokio::test]
async fn a_panic_is_500_and_the_worker_goes_on() {
    let running = start("http://127.0.0.1:0/").await;
    for _ in 0..4 {
        assert_eq!(running.get("/panic").await.status, 500);
    }
    assert_eq!(running.get("/ping").await.text(), "pong");
}

#[tokio::test]
async fn a_body_that_breaks_is_seen_to_break() {
    let running = start("http://127.0.0.1:0/").await;
    let reply = running.get("/breaks").await;
    assert!(reply.cut_off, "{reply:?}");
}

#[tokio::test]
async fn the_app_sees_its_own_paths_and_the_client() {
    let running = start("http://127.0.0.1:0/My/App").await;
    let mut client = running.connect().await;
    let peer = client.0.local_addr().unwrap();
    assert_eq!(
        client.get("/my/APP/seen?q=/a").await.text(),
        format!("uri=/seen?q=/a original=/my/APP/seen?q=/a base=/my/APP peer={peer} tls=false HTTP/1.1")
    );
    assert_eq!(running.get("/My/Apple/seen").await.status, 404);
}

#[tokio::test]
async fn prefixes_share_a_port_or_have_their_own() {
    let first = start("http://127.0.0.1:0/").await;
    let port = first.address().port();
    first.stop().await;
    let prefixes =
        [format!("http://127.0.0.1:{port}/one/"), format!("http://localhost:{port}/two/"), "http://127.0.0.1:0/".into()];
    let running = Running::start(server("http://*:0/free/").prefixes(prefixes)).await;
    let two = Client(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    assert_eq!({ two }.get("/one/ping").await.text(), "pong");
    assert_eq!(running.get("/free/ping").await.text(), "pong");
    assert_eq!(running.prefixes.len(), 4);
    assert_eq!(running.prefixes[1].port().get(), port);
}

#[tokio::test]
async fn web_sockets_work_with_axums_own_extractor() {
    let running = start("http://127.0.0.1:0/app/").await;
    let stream = running.connect().await.0;
    let (mut socket, _) = tokio_tungstenite::client_async(format!("ws://{}/app/ws", running.address()), stream).await.unwrap();
    for size in [0, 5, 100_000, 1_000_000] {
        let message = Message::Binary(vec![7; size].into());
        client::exchange(&mut socket, message).await;
    }
    client::close(socket).await;
    running.stop().await;
}

#[tokio::test]
async fn an_upgrade_that_the_app_does_not_take_is_answered() {
    let running = start("http://127.0.0.1:0/").await;
    let mut client = running.connect().await;
    client.send(b"GET /ping HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    assert_eq!(client.reply().await.text(), "pong");
    assert_eq!(client.get("/ping").await.text(), "pong");
}

#[tokio::test]
async fn a_stop_finishes_what_runs_and_closes_the_rest() {
    let running = start("http://127.0.0.1:0/").await;
    let (mut busy, mut idle) = (running.connect().await, running.connect().await);
    assert_eq!(idle.get("/ping").await.text(), "pong");
    busy.send(b"GET /slow/300 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(running.handle.is_active());
    running.handle.stop();
    assert_eq!(busy.reply().await.text(), "slow");
    assert!(idle.reply().await.cut_off);
    let (address, handle) = (running.address(), running.handle.clone());
    running.stop().await;
    assert!(!handle.is_active());
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_stop_does_not_wait_longer_than_its_timeout() {
    let running = Running::start(server("http://127.0.0.1:0/").shutdown_timeout(Duration::from_millis(100))).await;
    let mut busy = running.connect().await;
    busy.send(b"GET /slow/600000 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    running.stop().await;
    assert!(busy.reply().await.cut_off);
}

#[tokio::test]
async fn the_app_can_say_when_to_stop() {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = server("http://127.0.0.1:0/").with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let running = Running::start(server).await;
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), running.ended).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_server_runs_once() {
    let server = server("http://127.0.0.1:0/");
    let running = Running::start(server.clone()).await;
    assert!(matches!(server.run().await, Err(Error::AlreadyRunning)));
    assert_eq!(running.get("/ping").await.text(), "pong");
}

#[tokio::test]
async fn what_cannot_be_served_is_an_error_that_names_it() {
    let running = start("http://127.0.0.1:0/").await;
    let taken = format!("http://127.0.0.1:{}/", running.address().port());
    for (prefix, expected) in [
        (taken.as_str(), running.address().port().to_string()),
        ("http://127.0.0.1:70000/", "cannot register http://127.0.0.1:70000/: ".to_owned()),
        ("https://127.0.0.1:0/", "no TLS".to_owned()),
        ("http://192.0.2.1:8000/", "does not have that address".to_owned()),
    ] {
        let error = server(prefix).run().await.expect_err(prefix).to_string();
        assert!(error.contains(&expected), "{error}");
    }
    let twice = server("http://127.0.0.1:9/").prefix("http://127.0.0.1:9/").run().await;
    assert!(matches!(twice, Err(Error::Conflict(_))));
    assert!(matches!(Server::new(app()).provider(Provider::embedded()).run().await, Err(Error::NoPrefix)));
}

#[tokio::test]
async fn on_bind_can_change_what_is_registered() {
    let server = server("http://127.0.0.1:0/old/").on_bind(|bindings| {
        assert!(!bindings.is_shared());
        bindings.retain(|_| false);
        bindings.add("http://127.0.0.1:0/new/").unwrap();
    });
    let running = Running::start(server).await;
    assert_eq!(running.get("/new/ping").await.text(), "pong");
}
