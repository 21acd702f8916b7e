//! A hub with channels, and clients that speak JSON.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use futures_util::{SinkExt, StreamExt};
use http::HeaderValue;
use narthex::hub::{Channels, History, Hub, HubBuilder, Rejection};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::client::{Place, Running};

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Stage {
    pub(crate) running: Running,
    pub(crate) hub: Hub,
}

/// Everybody may do everything in `chat/`, which remembers the last 100 messages and who is there; `quick/` remembers nothing.
pub(crate) fn channels() -> Channels {
    Channels::new()
        .may_subscribe(|_, channel: String| async move {
            if channel.starts_with("secret") { Err(Rejection::new("it is secret")) } else { Ok(()) }
        })
        .may_publish(|_, publication| async move {
            if publication.channel().starts_with("chat/") { Ok(publication) } else { Err("only in chat/".into()) }
        })
        .history("chat/*", History::last(100))
        .presence("chat/*", |peer| json!({ "name": peer.header("x-user") }))
}

impl Stage {
    pub(crate) async fn new(place: &Place, channels: Channels) -> Self {
        Self::with(place, Hub::builder().channels(channels), |_| {}).await
    }

    pub(crate) async fn with(place: &Place, builder: HubBuilder, prepare: impl FnOnce(&Hub)) -> Self {
        let hub = builder.build();
        prepare(&hub);
        let app = Router::new().route("/ws", hub.route()).route_service("/events", hub.events());
        Self { running: Running::start(place.serving(app, "http://127.0.0.1:0/")).await, hub }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.address()
    }

    pub(crate) async fn connect(&self) -> Client {
        self.connect_as("somebody").await
    }

    /// Connects, and reads the welcome.
    pub(crate) async fn connect_as(&self, user: &str) -> Client {
        let mut client = self.connect_with(user, Some("narthex.channels.v1")).await;
        let welcome = client.next().await;
        assert_eq!(welcome["op"], "welcome");
        client.id = welcome["peer"].as_str().unwrap().to_owned();
        client
    }

    /// A client that does not speak the protocol.
    pub(crate) async fn connect_raw(&self) -> Client {
        self.connect_with("raw", None).await
    }

    async fn connect_with(&self, user: &str, protocol: Option<&'static str>) -> Client {
        let mut request = format!("ws://{}/ws", self.address()).into_client_request().unwrap();
        request.headers_mut().insert("x-user", HeaderValue::from_str(user).unwrap());
        if let Some(protocol) = protocol {
            request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(protocol));
        }
        let stream = TcpStream::connect(self.address()).await.unwrap();
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        Client { socket, id: String::new() }
    }

    /// Waits until something is so.
    pub(crate) async fn until(&self, mut is_so: impl FnMut(&Hub) -> bool) {
        for _ in 0..1_000 {
            if is_so(&self.hub) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("it does not come to be so: {:?}", self.hub);
    }
}

pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<TcpStream>,
    /// The peer's id.
    pub(crate) id: String,
}

impl Client {
    pub(crate) async fn send(&mut self, message: Value) {
        self.send_text(&message.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// The next message's text.
    pub(crate) async fn text(&mut self) -> String {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("something comes").expect("it goes on").unwrap() {
                Message::Text(text) => return text.to_string(),
                Message::Ping(_) => {}
                other => panic!("not text: {other:?}"),
            }
        }
    }

    pub(crate) async fn next(&mut self) -> Value {
        serde_json::from_str(&self.text().await).expect("it is JSON")
    }

    /// Sends a message and gives the one that comes next.
    pub(crate) async fn ask(&mut self, message: Value) -> Value {
        self.send(message).await;
        self.next().await
    }

    /// Subscribes, and gives the answer.
    pub(crate) async fn subscribe(&mut self, channel: &str) -> Value {
        let answer = self.ask(json!({"op": "subscribe", "id": 1, "channel": channel})).await;
        assert_eq!(answer["op"], "subscribed", "{answer}");
        answer
    }

    /// Nothing has come that was not read: what is asked now is answered next.
    pub(crate) async fn has_read_all(&mut self) {
        let answer = self.ask(json!({"op": "unsubscribe", "id": 99, "channel": "nothing"})).await;
        assert_eq!((&answer["id"], &answer["code"]), (&json!(99), &json!("not-subscribed")), "{answer}");
    }
}
