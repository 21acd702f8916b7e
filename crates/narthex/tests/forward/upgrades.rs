//! WebSockets and other upgrades go through, both ways and until either end has had enough.

use std::time::Duration;

use narthex::forward::{Forward, Upstream};
use narthex::hub::Hub;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::stage::{Connection, PATIENCE, Scripted, app, read_until, running, running_with, script};
use crate::client::{Client, Place, Running, close, exchange};

on_both! {
    websockets_go_through
    a_hub_behind_a_forward_is_a_hub
    a_websocket_of_http2_goes_through
    each_direction_ends_by_itself
    a_refused_upgrade_is_an_answer_like_any_other
}

async fn websocket(running: &Running, path: &str) -> tokio_tungstenite::WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(running.address()).await.unwrap();
    let url = format!("ws://{}{path}", running.address());
    tokio_tungstenite::client_async(url, stream).await.expect("the server wants the client").0
}

async fn websockets_go_through(place: &Place) {
    let origin = app(crate::client::app()).await;
    let running = running(place, Forward::to(format!("http://{origin}")).unwrap()).await;
    let mut socket = websocket(&running, "/ws").await;
    for size in [1, 125, 70_000, 3_000_000] {
        exchange(&mut socket, Message::binary(vec![7; size])).await;
    }
    exchange(&mut socket, Message::text("text")).await;
    close(socket).await;
}

async fn a_hub_behind_a_forward_is_a_hub(place: &Place) {
    let hub = Hub::builder().build();
    hub.on_message(|peer, text| async move { peer.send(text) });
    let origin =
        Running::start(Place::embedded().serving(axum::Router::new().route("/ws", hub.route()), "http://127.0.0.1:0/")).await;
    // Pages may connect to their own host only: the hub has to see the one that the client sees.
    let running = running(place, Forward::to(format!("http://{}", origin.address())).unwrap()).await;
    let mut client = running.connect().await;
    client
        .send(
            b"GET /ws HTTP/1.1\r\nHost: shop.example\r\nOrigin: http://shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await;
    let head = read_until(&mut client.0, "\r\n\r\n").await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101") && head.contains("s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
    // "hi", masked with zeros.
    client.send(b"\x81\x82\0\0\0\0hi").await;
    let mut echo = [0; 4];
    timeout(PATIENCE, client.0.read_exact(&mut echo)).await.expect("an echo").unwrap();
    assert_eq!(&echo, b"\x81\x02hi");
}

/// Extended CONNECT (RFC 8441): the server sees an upgrade of HTTP/1.1.
async fn a_websocket_of_http2_goes_through(place: &Place) {
    let origin = app(crate::client::app()).await;
    let running = running(place, Forward::to(format!("http://{origin}")).unwrap()).await;
    let stream = TcpStream::connect(running.address()).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    // Whether it may ask stands in the server's settings.
    while !client.is_extended_connect_protocol_enabled() {
        tokio::task::yield_now().await;
        client = client.ready().await.unwrap();
    }
    let url = format!("http://{}/ws", running.address());
    let mut request = http::Request::connect(url).header("sec-websocket-version", "13").body(()).unwrap();
    request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
    let (response, mut send) = client.send_request(request, false).unwrap();
    // "hi", masked with zeros.
    send.send_data(axum::body::Bytes::from_static(b"\x81\x82\0\0\0\0hi"), false).unwrap();
    let response = timeout(PATIENCE, response).await.expect("an answer").unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    let echo = timeout(PATIENCE, body.data()).await.expect("an echo").unwrap().unwrap();
    assert_eq!(&echo[..], b"\x81\x02hi");
}

const ASKS: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: lines\r\n\r\n";
const SWITCHES: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: lines\r\n\r\n";

/// A server that switches to a protocol of lines, and says the first at once.
async fn lines<F, Fut>(then: F) -> Scripted
where
    F: Fn(Connection) -> Fut + Send + Sync + Clone + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    script(move |mut connection, _| {
        let then = then.clone();
        async move {
            let head = connection.head().await.to_ascii_lowercase();
            assert!(head.contains("\r\nupgrade: lines\r\n") && head.contains("\r\nconnection: upgrade\r\n"), "{head}");
            connection.say(&format!("{SWITCHES}first\n")).await;
            then(connection).await;
        }
    })
    .await
}

async fn switched(running: &Running) -> Client {
    let mut client = running.connect().await;
    client.send(ASKS).await;
    let head = timeout(PATIENCE, read_until(&mut client.0, "\r\n\r\n")).await.expect("an answer").to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101") && head.contains("\r\nupgrade: lines\r\n"), "{head}");
    assert_eq!(read_until(&mut client.0, "\n").await, "first\n");
    client
}

async fn each_direction_ends_by_itself(place: &Place) {
    let origin = lines(async |mut connection| {
        let mut said = String::new();
        connection.0.read_to_string(&mut said).await.unwrap();
        // It still answers, when the client has said all it had to say.
        connection.say(&format!("you said {said}")).await;
    })
    .await;
    let running = running(place, Forward::new().route("/", origin.upstream())).await;
    let mut client = switched(&running).await;
    client.send(b"this").await;
    client.0.shutdown().await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, client.0.read_to_string(&mut answer)).await.expect("the end").unwrap();
    assert_eq!(answer, "you said this");
}

async fn a_refused_upgrade_is_an_answer_like_any_other(place: &Place) {
    let origin = script(async |mut connection, _| {
        while !connection.head().await.is_empty() {
            connection.say("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
        }
    })
    .await;
    let running = running(place, Forward::new().route("/", origin.upstream())).await;
    let mut client = running.connect().await;
    for _ in 0..2 {
        client.send(ASKS).await;
        let reply = client.reply().await;
        assert_eq!((reply.status, reply.text()), (403, "no"));
    }
    assert_eq!(origin.connections(), 1);
}

/// Sends on the channel when the server's end is closed.
async fn closing() -> (Scripted, tokio::sync::mpsc::UnboundedReceiver<()>) {
    let (closed, is_closed) = tokio::sync::mpsc::unbounded_channel();
    let origin = lines(move |mut connection| {
        let closed = closed.clone();
        async move {
            connection.closed().await;
            closed.send(()).unwrap();
        }
    })
    .await;
    (origin, is_closed)
}

#[tokio::test]
async fn a_tunnel_through_which_nothing_goes_is_closed() {
    let (origin, mut is_closed) = closing().await;
    let upstream = origin.upstream().tunnel_timeout(Duration::from_millis(50));
    let running = running_with(upstream.clone()).await;
    let mut client = switched(&running).await;
    timeout(PATIENCE, is_closed.recv()).await.expect("the server's end is closed");
    assert_eq!(timeout(PATIENCE, client.0.read(&mut [0])).await.expect("and the client's").unwrap_or(0), 0);
    super::stage::until("nothing is counted any more", || upstream.status().servers[0].in_flight == 0).await;
}

#[tokio::test]
async fn a_client_that_is_gone_takes_its_tunnel_with_it() {
    let (origin, mut is_closed) = closing().await;
    let running = running_with(origin.upstream()).await;
    let client = switched(&running).await;
    client.0.set_zero_linger().unwrap();
    drop(client);
    timeout(PATIENCE, is_closed.recv()).await.expect("the server's end is closed");
}

#[tokio::test]
async fn a_stop_cuts_tunnels_when_its_time_is_up() {
    let (origin, mut is_closed) = closing().await;
    let forward = Forward::new().route("/", origin.upstream());
    let server = Place::embedded().serving(forward, "http://127.0.0.1:0/").workers(1);
    let running = Running::start(server.shutdown_timeout(Duration::from_millis(100))).await;
    let mut client = switched(&running).await;
    running.stop().await;
    timeout(PATIENCE, is_closed.recv()).await.expect("the server's end is closed");
    assert_eq!(timeout(PATIENCE, client.0.read(&mut [0])).await.expect("and the client's").unwrap_or(0), 0);
}

#[tokio::test]
async fn protocols_that_would_go_past_the_routes_are_not_switched_to() {
    let origin = script(async |mut connection, _| {
        let head = connection.head().await.to_ascii_lowercase();
        assert!(!head.contains("upgrade"), "{head}");
        connection.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        connection.closed().await;
    })
    .await;
    for protocol in ["h2c", "HTTP/2.0", "TLS/1.2, HTTP/1.1", "websocket, h2c"] {
        let upstream = Upstream::new(format!("http://{}", origin.address)).unwrap();
        let running = running_with(upstream).await;
        let mut client = running.connect().await;
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n\r\n").as_bytes()).await;
        assert_eq!(client.reply().await.text(), "ok", "{protocol}");
    }
}
