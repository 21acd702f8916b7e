//! What an app sees and what its clients see, the same whichever provider the app runs on.
#![cfg(unix)]

use std::time::Duration;

use crate::client::{self, Place, Running};
use narthex::Error;
use tokio_tungstenite::tungstenite::Message;

on_both! {
    ordinary_routes_work_as_with_axum_serve
    pipelined_requests_are_answered_in_order
    head_has_the_length_and_no_body
    bodies_of_any_size_come_through_both_ways
    chunked_bodies_and_their_trailers_reach_the_app
    a_client_that_waits_for_100_gets_it_when_the_body_is_read_and_not_otherwise
    a_body_over_the_limit_is_refused
    a_panic_is_500_and_the_worker_goes_on
    a_body_that_breaks_is_seen_to_break
    the_app_sees_its_own_paths_and_the_client
    web_sockets_work_with_axums_own_extractor
    an_upgrade_that_the_app_does_not_take_is_answered
    the_app_can_say_when_to_stop
    a_server_runs_once
}

async fn ordinary_routes_work_as_with_axum_serve(place: &Place) {
    let running = place.start("http://127.0.0.1:0/").await;
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

async fn pipelined_requests_are_answered_in_order(place: &Place) {
    let running = place.start("http://127.0.0.1:0/").await;
    let mut client = running.connect().await;
    client.send(b"GET /slow/50 HTTP/1.1\r\nHost: a\r\n\r\nGET /ping HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.reply().await.text(), "slow");
    assert_eq!(client.reply().await.text(), "pong");
}

async fn head_has_the_length_and_no_body(place: &Place) {
    let running = place.start("http://127.0.0.1:0/").await;
    let mut client = running.connect().await;
    client.send(b"HEAD /ping HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let reply = client.reply_to_head().await;
    assert!(reply.head.contains("content-length: 4\r\n"), "{}", reply.head);
    assert_eq!(client.get("/ping").await.text(), "pong", "the connection goes on");
}

async fn bodies_of_any_size_come_through_both_ways(place: &Place) {
    let running = place.start("http://127.0.0.1:0/").await;
    let big = vec![b'y'; 5_000_000];
    assert_eq!(running.connect().await.post("/len", &big).await.text(), "5000000");
    assert_eq!(running.connect().await.post("/echo", &big).await.body, big);
    let mut client = running.connect().await;
    assert_eq!(client.post("/elsewhere", &big).await.text(), "5000000");
    assert_eq!(client.post("/echo", b"").await.body, b"");
    assert_eq!(client.get("/big/3000000").await.body.len(), 3_000_000);
    assert_eq!(client.get("/stream/300").await.body.len(), 3_000_000);
}

async fn chunked_bodies_and_their_trailers_reach_the_app(place: &Place) {
    let running = place.start("http://127.0.0.1:0/").await;
    let mut client = running.connect().await;
    client.send(b"POST /len HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    for _ in 0..3 {
        client.send(b"4\r\nabcd\r\n").await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    client.send(b"0\r\nX-Sum: 12\r\n\r\n").await;
    assert_eq!(client.reply().await.text(), "12 12");
}

async fn a_client_that_waits_for_100_gets_it_when_the_body_is_read_and_not_otherwise(place: &Place) {
    let running = place.start("http://127.0.0.1:0/").await;
    let mut client = running.connect().await;
    client.send(b"POST /len HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(client.reply().await.status, 100);
    client.send(b"abc").await;
    assert_eq!(client.reply().await.text(), "3");

    client.send(b"POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(client.reply().await.text(), "pong");
}

async fn a_body_over_the_limit_is_refused(place: &Place) {
    let running = Running::start(place.server("http://127.0.0.1:0/").max_body(10)).await;
    assert_eq!(running.connect().await.post("/len", &[0; 11]).await.status, 413);
    assert_eq!(running.connect().await.post("/len", &[0; 10]).await.text(), "10");
}

async fn a_panic_is_500_and_the_worker_goes_on(place: &Place) {
    let running = place.start("http://127.0.0.1:0/").await;
    for _ in 0..4 {
        assert_eq!(running.get("/panic").await.status, 500);
    }
    assert_eq!(running.get("/ping").await.text(), "pong");
}

async fn a_body_that_breaks_is_seen_to_break(place: &Place) {
    let running = place.start("http://127.0.0.1:0/").await;
    let reply = running.get("/breaks").await;
    assert!(reply.cut_off, "{reply:?}");
}

async fn the_app_sees_its_own_paths_and_the_client(place: &Place) {
    let running = place.start("http://127.0.0.1:0/My/App").await;
    let mut client = running.connect().await;
    let peer = client.0.local_addr().unwrap();
    assert_eq!(
        client.get("/my/APP/seen?q=/a").await.text(),
        format!("uri=/seen?q=/a original=/my/APP/seen?q=/a base=/my/APP peer={peer} tls=false HTTP/1.1")
    );
    assert_eq!(running.get("/My/Apple/seen").await.status, 404);
}

async fn web_sockets_work_with_axums_own_extractor(place: &Place) {
    let running = place.start("http://127.0.0.1:0/app/").await;
    let stream = running.connect().await.0;
    let (mut socket, _) = tokio_tungstenite::client_async(format!("ws://{}/app/ws", running.address()), stream).await.unwrap();
    for size in [0, 5, 100_000, 1_000_000] {
        let message = Message::Binary(vec![7; size].into());
        client::exchange(&mut socket, message).await;
    }
    client::close(socket).await;
    running.stop().await;
}

async fn an_upgrade_that_the_app_does_not_take_is_answered(place: &Place) {
    let running = place.start("http://127.0.0.1:0/").await;
    let mut client = running.connect().await;
    client.send(b"GET /ping HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    assert_eq!(client.reply().await.text(), "pong");
    assert_eq!(client.get("/ping").await.text(), "pong");
}

async fn the_app_can_say_when_to_stop(place: &Place) {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = place.server("http://127.0.0.1:0/").with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let running = Running::start(server).await;
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), running.ended).await.unwrap().unwrap().unwrap();
}

async fn a_server_runs_once(place: &Place) {
    let server = place.server("http://127.0.0.1:0/");
    let running = Running::start(server.clone()).await;
    assert!(matches!(server.run().await, Err(Error::AlreadyRunning)));
    assert_eq!(running.get("/ping").await.text(), "pong");
}
