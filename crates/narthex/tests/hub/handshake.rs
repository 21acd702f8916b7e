//! The handshake: who may connect, what is answered, and what the app learns.

use std::time::Duration;

use http::{HeaderValue, StatusCode};
use narthex::hub::{Hub, Sent};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::stage::{Stage, echo, text};
use crate::client::{Place, close, exchange};

on_both! {
    a_client_is_told_why_it_cannot_connect
    the_app_decides_who_connects_and_what_the_response_says
    pages_of_other_origins_may_not_connect
    a_peer_knows_its_client
}

async fn a_client_is_told_why_it_cannot_connect(place: &Place) {
    let stage = Stage::with(place, Hub::builder().max_connections(1), echo).await;
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (fields, status, says) in [
        (String::new(), 426, "sec-websocket-version: 13"),
        (
            format!("Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 12\r\n{key}"),
            426,
            "sec-websocket-version: 13",
        ),
        (
            "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n".to_owned(),
            400,
            "text/plain",
        ),
    ] {
        let mut client = stage.running.connect().await;
        client.send(format!("GET /ws HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes()).await;
        let reply = client.reply().await;
        assert_eq!(reply.status, status, "{fields}");
        assert!(reply.head.to_ascii_lowercase().contains(says), "{}", reply.head);
    }
    let first = stage.connect().await;
    stage.settle(1).await;
    let Err(Error::Http(refused)) = stage.connect_with(&[]).await else { panic!("one too many is connected") };
    assert_eq!(refused.status(), 503);
    close(first).await;
    stage.settle(0).await;
    stage.connect().await;
}

async fn the_app_decides_who_connects_and_what_the_response_says(place: &Place) {
    let stage = Stage::with(place, Hub::builder().protocols(["chat", "news"]), |hub| {
        echo(hub);
        hub.on_connect(|mut connect| async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let Some(user) = connect.header("x-user").map(str::to_owned) else {
                return Err(connect
                    .refuse(StatusCode::UNAUTHORIZED, "who are you?")
                    .header(http::header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"x\"")));
            };
            connect.add_header(http::header::SET_COOKIE, HeaderValue::from_static("a=b"));
            connect.add_header(http::header::UPGRADE, HeaderValue::from_static("nonsense"));
            connect.subscribe("news");
            connect.set_data(user);
            Ok(connect)
        });
    })
    .await;
    let Err(Error::Http(refused)) = stage.connect_with(&[]).await else { panic!("nobody is connected") };
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["www-authenticate"]),
        (401, &HeaderValue::from_static("Basic realm=\"x\""))
    );

    let mut request = format!("ws://{}/ws", stage.address()).into_client_request().unwrap();
    request.headers_mut().insert("x-user", HeaderValue::from_static("ann"));
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("other, news, chat"));
    let stream = TcpStream::connect(stage.address()).await.unwrap();
    let (mut socket, response) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    assert_eq!(response.headers()["set-cookie"], "a=b");
    assert_eq!(response.headers()["sec-websocket-protocol"], "news");
    stage.settle(1).await;
    let peer = stage.hub.subscribers("news").pop().expect("subscribed while connecting");
    assert_eq!((peer.data::<String>().as_deref(), peer.protocol()), (Some(&"ann".to_owned()), Some("news")));
    assert_eq!(stage.hub.broadcast("hi").protocol("news").send().queued, 1);
    assert_eq!(text(&mut socket).await, "hi");
}

async fn pages_of_other_origins_may_not_connect(place: &Place) {
    let stage = Stage::echo(place).await;
    let own = format!("http://{}", stage.address());
    assert!(stage.connect_with(&[("origin", &own)]).await.is_ok());
    let Err(Error::Http(refused)) = stage.connect_with(&[("origin", "https://evil.example")]).await else {
        panic!("it is connected")
    };
    assert_eq!(refused.status(), 403);
}

async fn a_peer_knows_its_client(place: &Place) {
    let stage = Stage::echo(place).await;
    let mut socket = stage.connect_with(&[("x-seen", "yes")]).await.unwrap();
    exchange(&mut socket, Message::text("12345")).await;
    let peer = stage.hub.peers().pop().unwrap();
    assert_eq!(peer.peer_addr(), Some(socket.get_ref().local_addr().unwrap()));
    assert_eq!(peer.local_addr(), Some(stage.address()));
    assert_eq!((peer.header("X-Seen"), peer.target(), peer.is_tls(), peer.is_open()), (Some("yes"), "/ws", false, true));
    assert_eq!(stage.hub.peer(peer.id()).as_ref(), Some(&peer));
    assert_eq!(peer.id().to_string().parse(), Ok(peer.id()));
    let mut traffic = peer.traffic();
    while traffic.bytes_sent == 0 {
        // The client may be faster than the counter.
        tokio::time::sleep(Duration::from_millis(1)).await;
        traffic = peer.traffic();
    }
    assert_eq!((traffic.messages_received, traffic.messages_sent), (1, 1));
    assert_eq!((traffic.bytes_received, traffic.bytes_sent), (11, 7));
    assert!(traffic.last_message.is_some_and(|when| when <= peer.age()));
    close(socket).await;
    stage.settle(0).await;
    assert!(!peer.is_open());
    assert_eq!((peer.send("late"), stage.hub.send(peer.id(), "late")), (Sent::NotFound, Sent::NotFound));
}
