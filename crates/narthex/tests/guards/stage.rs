//! A guarded app on a running server, and requests with header fields.

use std::time::Duration;

use axum::Router;
use futures_util::{SinkExt, StreamExt};
use http::HeaderValue;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::client::{Place, Reply, Running};

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) type Socket = WebSocketStream<TcpStream>;

pub(crate) async fn start(place: &Place, app: Router) -> Running {
    Running::start(place.serving(app, "http://127.0.0.1:0/")).await
}

/// One request on a connection of its own, `GET /path`.
pub(crate) async fn ask(running: &Running, line: &str, fields: &[(&str, &str)]) -> Reply {
    send(running, line, fields, "").await
}

pub(crate) async fn send(running: &Running, line: &str, fields: &[(&str, &str)], body: &str) -> Reply {
    let mut client = running.connect().await;
    let mut head = format!("{line} HTTP/1.1\r\nHost: a\r\n");
    for (name, value) in fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    client.send(format!("{head}\r\n{body}").as_bytes()).await;
    client.reply().await
}

/// The values of a field.
pub(crate) fn values<'r>(reply: &'r Reply, name: &str) -> Vec<&'r str> {
    let lines = reply.head.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

/// The one value of a field, or nothing.
pub(crate) fn value<'r>(reply: &'r Reply, name: &str) -> &'r str {
    let values = values(reply, name);
    assert!(values.len() < 2, "{values:?}");
    values.first().copied().unwrap_or_default()
}

/// Opens a WebSocket, or says with which status it was refused.
pub(crate) async fn open(running: &Running, target: &str, fields: &[(&'static str, &str)]) -> Result<Socket, u16> {
    let mut request = format!("ws://{}{target}", running.address()).into_client_request().unwrap();
    for (name, value) in fields {
        request.headers_mut().append(*name, HeaderValue::from_str(value).unwrap());
    }
    let stream = TcpStream::connect(running.address()).await.unwrap();
    match timeout(PATIENCE, tokio_tungstenite::client_async(request, stream)).await.expect("an answer") {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

/// Sends a text, and gives the next one that comes.
pub(crate) async fn say(socket: &mut Socket, text: &str) -> String {
    socket.send(Message::text(text)).await.unwrap();
    loop {
        match timeout(PATIENCE, socket.next()).await.expect("an answer").unwrap().unwrap() {
            Message::Text(text) => return text.to_string(),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Sends a text, and gives the code with which the server closes.
pub(crate) async fn closed_after(socket: &mut Socket, text: &str) -> u16 {
    socket.send(Message::text(text)).await.unwrap();
    loop {
        match timeout(PATIENCE, socket.next()).await.expect("a close").unwrap().unwrap() {
            Message::Close(frame) => return frame.map_or(1005, |frame| frame.code.into()),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}
