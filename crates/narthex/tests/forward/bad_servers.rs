//! Servers that break the rules harm nobody but themselves.

use std::time::Duration;

use narthex::forward::Upstream;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::stage::{always, running_with, script};

#[tokio::test]
async fn what_is_no_http_is_a_bad_gateway() {
    for garbage in [
        "SSH-2.0-OpenSSH_9.9\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        "\0\0\0\0",
    ] {
        let origin = script(move |mut connection, _| async move {
            connection.head().await;
            connection.say(garbage).await;
            let _ = connection.0.shutdown().await;
        })
        .await;
        let running = running_with(origin.upstream()).await;
        let reply = running.get("/").await;
        assert_eq!((reply.status, reply.text()), (502, r#"{"error":"Bad Gateway"}"#), "{garbage:?}");
        assert_eq!(origin.connections(), 1, "it is an answer, and not asked for again");
    }
}

#[tokio::test]
async fn a_huge_head_is_a_bad_gateway() {
    for head in ["X: ".to_owned() + &"x".repeat(200_000), "X: x\r\n".repeat(30_000)] {
        let origin = script(move |mut connection, _| {
            let head = head.clone();
            async move {
                connection.head().await;
                connection.say("HTTP/1.1 200 OK\r\n").await;
                connection.say(&head).await;
                connection.closed().await;
            }
        })
        .await;
        let running = running_with(origin.upstream()).await;
        assert_eq!(running.get("/").await.status, 502);
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_a_gateway_timeout() {
    let origin = script(async |mut connection, _| connection.closed().await).await;
    let running = running_with(origin.upstream().head_timeout(Duration::from_millis(50))).await;
    let reply = running.get("/").await;
    assert_eq!((reply.status, reply.text()), (504, r#"{"error":"Gateway Timeout"}"#));
    assert_eq!(origin.connections(), 1, "a timeout is no reason to ask again");
}

#[tokio::test]
async fn a_server_that_waits_for_a_slow_body_is_not_to_blame() {
    let origin = script(async |mut connection, _| {
        connection.head().await;
        connection.until("0\r\n\r\n").await;
        connection.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    })
    .await;
    let running = running_with(origin.upstream().head_timeout(Duration::from_millis(400))).await;
    let mut client = running.connect().await;
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let mut pieces = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..8 {
        pieces.tick().await;
        client.send(b"1\r\nx\r\n").await;
    }
    client.send(b"0\r\n\r\n").await;
    assert_eq!(client.reply().await.text(), "ok");
}

#[tokio::test]
async fn a_server_that_does_not_take_the_connection_is_a_gateway_timeout() {
    // The handshake of TLS never gets an answer.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream::new(format!("https://{}", listener.local_addr().unwrap())).unwrap();
    let (pem, _) = super::protocols::certificate();
    let upstream = upstream.authorities(pem).connect_timeout(Duration::from_millis(50)).retries(0);
    let running = running_with(upstream).await;
    assert_eq!(running.get("/").await.status, 504);
}

#[tokio::test]
async fn a_switch_of_protocols_that_nobody_asked_for_is_a_bad_gateway() {
    let origin =
        always("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")
            .await;
    let running = running_with(origin.upstream()).await;
    let mut client = running.connect().await;
    assert_eq!(client.get("/").await.status, 502);
    // And one to another protocol than that which was asked for.
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n").await;
    assert_eq!(client.reply().await.status, 502);
}

#[tokio::test]
async fn words_before_the_answer_are_passed_over() {
    let origin = always("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(running_with(origin.upstream()).await.get("/").await.text(), "ok");
}

#[tokio::test]
async fn what_comes_after_an_answer_is_not_taken_for_the_next() {
    let origin = script(async |mut connection, number| {
        connection.head().await;
        let extra = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
        connection.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}{extra}")).await;
        connection.closed().await;
    })
    .await;
    let running = running_with(origin.upstream()).await;
    let mut client = running.connect().await;
    for number in ["0", "1", "2"] {
        assert_eq!(client.get("/").await.text(), number);
    }
}

#[tokio::test]
async fn a_server_may_take_for_ever() {
    let origin = always("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let upstream = origin.upstream().head_timeout(Duration::MAX).body_timeout(Duration::MAX).tunnel_timeout(Duration::MAX);
    assert_eq!(running_with(upstream).await.get("/").await.text(), "ok");
}
