//! Connections to servers are used again, and not longer than is good.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use narthex::forward::Forward;

use super::stage::{always, running, running_with, script, until};
use crate::client::Place;

on_both! {
    a_connection_serves_one_request_after_the_other
    a_server_that_closes_its_connections_gets_new_ones
}

async fn a_connection_serves_one_request_after_the_other(place: &Place) {
    let origin = always("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let running = running(place, Forward::new().route("/", origin.upstream())).await;
    let mut client = running.connect().await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.text(), "ok");
        assert_eq!(client.post("/", b"body").await.text(), "ok");
    }
    assert_eq!(running.get("/").await.text(), "ok");
    assert_eq!(origin.connections(), 1);
}

async fn a_server_that_closes_its_connections_gets_new_ones(place: &Place) {
    let origin = script(async |mut connection, _| {
        connection.head().await;
        connection.say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").await;
    })
    .await;
    let running = running(place, Forward::new().route("/", origin.upstream())).await;
    let mut client = running.connect().await;
    for _ in 0..5 {
        let reply = client.get("/").await;
        assert_eq!(reply.text(), "ok");
        // That was between the two of them.
        assert!(!reply.head.contains("connection: close"), "{}", reply.head);
    }
    assert_eq!(origin.connections(), 5);
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_closed() {
    let open = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&open);
    let origin = script(move |mut connection, _| {
        let open = Arc::clone(&count);
        async move {
            open.fetch_add(1, Ordering::SeqCst);
            connection.head().await;
            connection.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            connection.closed().await;
            open.fetch_sub(1, Ordering::SeqCst);
        }
    })
    .await;
    let running = running_with(origin.upstream().keep_alive(Duration::from_millis(50), 8)).await;
    assert_eq!(running.get("/").await.text(), "ok");
    until("the connection is closed", || open.load(Ordering::SeqCst) == 0).await;
    assert_eq!(running.get("/").await.text(), "ok");
}

#[tokio::test]
async fn no_more_are_kept_than_is_said() {
    let open = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&open);
    let all = Arc::new(tokio::sync::Barrier::new(5));
    let origin = script(move |mut connection, _| {
        let (open, all) = (Arc::clone(&count), Arc::clone(&all));
        async move {
            open.fetch_add(1, Ordering::SeqCst);
            connection.head().await;
            all.wait().await;
            connection.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            connection.closed().await;
            open.fetch_sub(1, Ordering::SeqCst);
        }
    })
    .await;
    let running = running_with(origin.upstream().keep_alive(Duration::from_secs(60), 2)).await;
    for reply in join_all((0..5).map(|_| running.get("/"))).await {
        assert_eq!(reply.text(), "ok");
    }
    until("three are closed", || open.load(Ordering::SeqCst) == 2).await;
}
