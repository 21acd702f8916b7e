//! A chat over WebSocket, which curl can take part in.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::Form;
use axum::extract::State;
use axum::http::{Extensions, HeaderMap};
use axum::response::Response;
use narthex::hub::{Hub, Reached};
use serde::{Deserialize, Serialize};

use super::{App, pages};
use crate::demo::apps::AppName;
use crate::demo::page::{Value, fill};

const CHAT: &str = include_str!("../pages/chat.html");

const LONGEST_MESSAGE: usize = 8 * 1024;
const LONGEST_NAME: usize = 40;

/// What somebody is called who gives no name.
struct Guest(String);

/// The chat of one app. Only its own page can join it, which is what a hub does unless it is told otherwise.
pub(super) fn room(app: AppName) -> Hub {
    let hub = Hub::builder().max_message_size(LONGEST_MESSAGE).build();
    let guests = AtomicU64::new(0);
    hub.on_open(move |peer| {
        let guest = format!("guest {}", guests.fetch_add(1, Ordering::Relaxed) + 1);
        async move {
            let welcome = match peer.hub().map_or(1, |hub| hub.len()) {
                0 | 1 => format!("Welcome, {guest}. Nobody else is here yet; open this page in a second window."),
                people => format!("Welcome, {guest}. {people} people are here."),
            };
            peer.set_data(Guest(guest));
            peer.send(Said { from: app.as_str(), text: &welcome }.to_json())
        }
    });
    hub.on_message(|peer, message| async move {
        let (Some(hub), Some(guest)) = (peer.hub(), peer.data::<Guest>()) else { return };
        let say = Say::parse(&message);
        tell(&hub, say.from(&guest.0), &say.text);
    });
    hub
}

/// Tells everybody.
fn tell(hub: &Hub, from: &str, text: &str) -> Reached {
    hub.broadcast(Said { from, text }.to_json()).send()
}

/// What people get.
#[derive(Debug, Serialize)]
struct Said<'a> {
    from: &'a str,
    text: &'a str,
}

impl Said<'_> {
    fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
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
    let people = tell(&app.0.chat, say.from("somebody"), &say.text).queued;
    format!("{} read it\n", if people == 1 { "1 person".to_owned() } else { format!("{people} people") })
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
