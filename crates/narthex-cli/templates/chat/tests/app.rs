//! Two people chat, over real connections.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use narthex::{Provider, Server};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

struct Person(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Person {
    async fn enter(url: &str) -> Self {
        let mut request = url.into_client_request().expect("a URL");
        let protocol = "narthex.channels.v1".parse().expect("a value");
        request
            .headers_mut()
            .insert("sec-websocket-protocol", protocol);
        let mut person = Self(
            connect_async(request)
                .await
                .expect("the app accepts connections")
                .0,
        );
        person
            .say(json!({ "op": "subscribe", "channel": "lobby" }))
            .await;
        person.hear("subscribed").await;
        person
    }

    async fn say(&mut self, message: Value) {
        self.0
            .send(Message::text(message.to_string()))
            .await
            .expect("the app listens");
    }

    /// The next message of this kind.
    async fn hear(&mut self, op: &str) -> Value {
        loop {
            let message = timeout(Duration::from_secs(10), self.0.next())
                .await
                .expect("in time");
            let message = message
                .expect("the connection goes on")
                .expect("it is sound");
            let Message::Text(text) = message else {
                continue;
            };
            let message: Value = serde_json::from_str(&text).expect("it is JSON");
            if message["op"] == op {
                return message["data"].clone();
            }
        }
    }
}

#[tokio::test]
async fn what_one_says_the_other_hears() {
    let server = Server::new(my_app::app())
        .prefix("http://127.0.0.1:0/my-app/")
        .provider(Provider::embedded());
    let handle = server.start().await.expect("the app starts");
    let url = format!("{}ws", handle.prefixes()[0]).replace("http://", "ws://");
    let mut ann = Person::enter(&url).await;
    let mut ben = Person::enter(&url).await;
    ann.say(
        json!({ "op": "publish", "channel": "lobby", "data": { "text": "hello", "name": "Ben" } }),
    )
    .await;
    assert_eq!(
        ben.hear("message").await,
        json!({ "name": "Guest 1", "text": "hello" }),
        "she cannot be him"
    );
    ben.say(json!({ "op": "publish", "channel": "lobby", "data": { "text": " " }, "id": 1 }))
        .await;
    ben.hear("error").await;
    handle.stop();
}
