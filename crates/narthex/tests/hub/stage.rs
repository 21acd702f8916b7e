//! A hub at `/ws` of a running server, and its clients.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use futures_util::StreamExt;
use http::HeaderValue;
use narthex::hub::{Hub, HubBuilder};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::client::{Place, Running};

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) type Socket = WebSocketStream<TcpStream>;

/// A hub at `/ws` of a running server.
pub(crate) struct Stage {
    pub(crate) running: Running,
    pub(crate) hub: Hub,
}

impl Stage {
    pub(crate) async fn with(place: &Place, builder: HubBuilder, prepare: impl FnOnce(&Hub)) -> Self {
        let hub = builder.build();
        prepare(&hub);
        let app = Router::new().route("/ws", hub.route());
        Self { running: Running::start(place.serving(app, "http://127.0.0.1:0/")).await, hub }
    }

    pub(crate) async fn new(place: &Place, prepare: impl FnOnce(&Hub)) -> Self {
        Self::with(place, Hub::builder(), prepare).await
    }

    pub(crate) async fn echo(place: &Place) -> Self {
        Self::new(place, echo).await
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.address()
    }

    pub(crate) async fn connect(&self) -> Socket {
        self.connect_with(&[]).await.expect("the hub wants the client")
    }

    pub(crate) async fn connect_with(&self, fields: &[(&'static str, &str)]) -> Result<Socket, Error> {
        let mut request = format!("ws://{}/ws", self.address()).into_client_request().unwrap();
        for (name, value) in fields {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let stream = TcpStream::connect(self.address()).await.unwrap();
        tokio_tungstenite::client_async(request, stream).await.map(|(socket, _)| socket)
    }

    /// Waits until so many are connected.
    pub(crate) async fn settle(&self, peers: usize) {
        for _ in 0..1_000 {
            if self.hub.len() == peers {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{} are connected, not {peers}", self.hub.len());
    }
}

pub(crate) fn echo(hub: &Hub) {
    hub.on_message(|peer, text| async move { peer.send(text) });
    hub.on_binary(|peer, data| async move { peer.send(data) });
}

pub(crate) async fn next(socket: &mut Socket) -> Message {
    loop {
        let message = timeout(PATIENCE, socket.next()).await.expect("something comes");
        let message = message.expect("the connection goes on").expect("it is right");
        // The heartbeat may come at any time.
        if !message.is_ping() {
            return message;
        }
    }
}

pub(crate) async fn text(socket: &mut Socket) -> String {
    match next(socket).await {
        Message::Text(text) => text.to_string(),
        other => panic!("not text: {other:?}"),
    }
}

/// The Close that comes next.
pub(crate) async fn closed(socket: &mut Socket) -> (u16, String) {
    loop {
        match next(socket).await {
            Message::Close(Some(CloseFrame { code, reason })) => return (code.into(), reason.to_string()),
            Message::Close(None) => return (1005, String::new()),
            _ => {}
        }
    }
}
