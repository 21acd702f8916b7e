//! A chat over WebSocket, which curl can take part in.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::Form;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::http::{Extensions, HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use super::{App, pages};
use crate::demo::page::{Value, fill};

const CHAT: &str = include_str!("../pages/chat.html");

/// Messages kept for somebody who reads slowly; who falls further behind misses some.
const BACKLOG: usize = 256;
const LONGEST_MESSAGE: usize = 8 * 1024;
const LONGEST_NAME: usize = 40;

/// Everybody who is connected to one app.
#[derive(Debug)]
pub(super) struct Room {
    said: broadcast::Sender<Utf8Bytes>,
    guests: AtomicU64,
}

impl Room {
    pub(super) fn new() -> Self {
        Self { said: broadcast::Sender::new(BACKLOG), guests: AtomicU64::new(0) }
    }

    /// Tells everybody, and returns how many that are.
    fn say(&self, from: &str, text: &str) -> usize {
        // Fails only if nobody listens.
        self.said.send(Said { from, text }.to_json()).unwrap_or(0)
    }
}

/// What people get.
#[derive(Debug, Serialize)]
struct Said<'a> {
    from: &'a str,
    text: &'a str,
}

impl Said<'_> {
    fn to_json(&self) -> Utf8Bytes {
        serde_json::to_string(self).unwrap_or_default().into()
    }
}

/// What people send. A message that is not this JSON is taken as the text itself.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Say {
    #[serde(default)]
    name: String,
    text: String,
}

impl Say {
    fn parse(message: &str) -> Self {
        serde_json::from_str(message).unwrap_or_else(|_| Self { name: String::new(), text: message.to_owned() })
    }

    /// The name given, or else `otherwise`.
    fn from<'a>(&'a self, otherwise: &'a str) -> &'a str {
        let name = self.name.trim();
        let end = name.char_indices().nth(LONGEST_NAME).map_or(name.len(), |(end, _)| end);
        match name.get(..end) {
            None | Some("") => otherwise,
            Some(name) => name,
        }
    }
}

pub(super) async fn page(State(app): State<App>, headers: HeaderMap, extensions: Extensions) -> Response {
    let url = pages::own_url(&headers, &extensions);
    let body = fill(CHAT, &[("name", Value::Text(app.name().as_str())), ("url", Value::Text(&url))]);
    app.page("Chat", &body)
}

pub(super) async fn say(State(app): State<App>, Form(say): Form<Say>) -> String {
    let people = app.0.chat.say(say.from("somebody"), &say.text);
    format!("{} read it\n", if people == 1 { "1 person".to_owned() } else { format!("{people} people") })
}

pub(super) async fn socket(State(app): State<App>, headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    if !is_same_origin(&headers) {
        return (StatusCode::FORBIDDEN, "This chat is for its own page only.\n").into_response();
    }
    upgrade.max_message_size(LONGEST_MESSAGE).on_upgrade(move |socket| talk(app, socket))
}

/// Browsers let any site open a WebSocket to any other and say which one it was; programs send no Origin.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    matches!((origin.as_ref().and_then(Uri::authority), host), (Some(origin), Some(host)) if origin.as_str().eq_ignore_ascii_case(host))
}

async fn talk(app: App, mut socket: WebSocket) {
    let room = &app.0.chat;
    let mut heard = room.said.subscribe();
    let mut stopping = app.0.stopping.clone();
    let guest = format!("guest {}", room.guests.fetch_add(1, Ordering::Relaxed) + 1);
    let welcome = match room.said.receiver_count() {
        0 | 1 => format!("Welcome, {guest}. Nobody else is here yet; open this page in a second window."),
        people => format!("Welcome, {guest}. {people} people are here."),
    };
    let welcome = Said { from: app.name().as_str(), text: &welcome }.to_json();
    if socket.send(Message::Text(welcome)).await.is_err() {
        return;
    }
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => {
                    let say = Say::parse(&text);
                    room.say(say.from(&guest), &say.text);
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => {}
            },
            said = heard.recv() => match said {
                Ok(said) => {
                    if socket.send(Message::Text(said)).await.is_err() {
                        return;
                    }
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            () = stop(&mut stopping) => {
                let frame = CloseFrame { code: close_code::AWAY, reason: "the app is stopping".into() };
                // The app ends either way.
                let _ = socket.send(Message::Close(Some(frame))).await;
                return;
            }
        }
    }
}

async fn stop(stopping: &mut watch::Receiver<bool>) {
    if stopping.wait_for(|stopping| *stopping).await.is_err() {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_message_is_json_with_a_name_or_else_plain_text() {
        let named = Say::parse(r#"{"name":" Ada ","text":"hi"}"#);
        assert_eq!((named.from("guest 1"), &*named.text), ("Ada", "hi"));
        let plain = Say::parse("just text");
        assert_eq!((plain.from("guest 1"), &*plain.text), ("guest 1", "just text"));
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let long = Say { name: "ä".repeat(100), text: String::new() };
        assert_eq!(long.from("x").chars().count(), LONGEST_NAME);
    }

    #[test]
    fn another_site_cannot_join_the_chat_through_its_visitors_browser() {
        let host = (header::HOST, "localhost:8888");
        assert!(is_same_origin(&headers(std::slice::from_ref(&host))));
        assert!(is_same_origin(&headers(&[host.clone(), (header::ORIGIN, "http://localhost:8888")])));
        assert!(!is_same_origin(&headers(&[host.clone(), (header::ORIGIN, "http://evil.example")])));
        assert!(!is_same_origin(&headers(&[host, (header::ORIGIN, "null")])));
    }
}
