//! A chat with rooms: `cargo run -p chat`, then open `http://localhost:8888/chat/` in two windows.
//!
//! Rooms are channels: what is said in `room/...` is kept, and who is there is known. `typing/...` tells who is writing just now.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::response::Html;
use axum::{Router, http::StatusCode, routing::get};
use narthex::hub::{Channels, Connect, History, Hub, Peer, Publication, Refusal, Rejection};
use serde::{Deserialize, Serialize};

/// What people say is no longer than this.
const LONGEST: usize = 2_000;

/// Who a connection belongs to. A real app would look it up by a session.
#[derive(Clone, Serialize)]
struct User {
    name: String,
}

#[derive(Serialize)]
struct Said {
    name: String,
    text: String,
    /// Milliseconds since 1970.
    at: u128,
}

#[derive(Serialize, Deserialize)]
struct Words {
    text: String,
}

#[tokio::main]
async fn main() -> narthex::Result<()> {
    tracing_subscriber::fmt::init();
    let prefix = std::env::args().nth(1).unwrap_or_else(|| "http://+:8888/chat/".to_owned());
    let server = narthex::Server::new(app()).prefix(&prefix);
    let server = server.on_ready(|prefixes| prefixes.iter().for_each(|prefix| println!("the chat is at {prefix}")));
    server.run().await
}

fn app() -> Router {
    let channels = Channels::new()
        .may_subscribe(|_, channel: String| async move { is_room(&channel) })
        .may_publish(|peer, publication| async move { sign(&peer, publication) })
        .history("room/*", History::last(200))
        .presence("room/*", |peer| peer.data::<User>().map(|user| User::clone(&user)));
    let hub = Hub::builder().channels(channels).max_message_size(16 * 1024).build();
    hub.on_connect(|connect| async { welcome(connect) });
    Router::new()
        .route("/", get(async || Html(include_str!("page.html"))))
        .route_service("/narthex.js", hub.client_module())
        .route_service("/events", hub.events())
        .route("/ws", hub.route())
}

/// The name is in the query, percent-encoded by the page.
fn welcome(mut connect: Connect) -> Result<Connect, Refusal> {
    let query = connect.request().uri.query().unwrap_or_default();
    let name = query.split('&').find_map(|pair| pair.strip_prefix("name=")).map(decode).unwrap_or_default();
    let name: String = name.trim().chars().filter(|character| !character.is_control()).take(30).collect();
    if name.is_empty() {
        return Err(connect.refuse(StatusCode::BAD_REQUEST, "say who you are: ?name=Ann"));
    }
    connect.set_data(User { name });
    Ok(connect)
}

fn decode(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.split_at_checked(2).and_then(|(hex, rest)| Some((u8::from_str_radix(hex, 16).ok()?, rest))) {
            Some((byte, rest)) => {
                bytes.push(byte);
                bytes.extend(rest.bytes());
            }
            None => bytes.extend(format!("%{part}").bytes()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn is_room(channel: &str) -> bool {
    let name = channel.strip_prefix("room/").or_else(|| channel.strip_prefix("typing/"));
    name.is_some_and(|name| !name.is_empty() && name.chars().all(|character| character.is_alphanumeric() || character == '-'))
}

/// Who says something is what the server knows, not what the client says.
fn sign(peer: &Peer, publication: Publication) -> Result<Publication, Rejection> {
    if !is_room(publication.channel()) {
        return Err(Rejection::new("there is no such room"));
    }
    let name = peer.data::<User>().map(|user| user.name.clone()).unwrap_or_default();
    if publication.channel().starts_with("typing/") {
        return publication.with_data(User { name });
    }
    let Words { text } = publication.data()?;
    if text.trim().is_empty() || text.len() > LONGEST {
        return Err(Rejection::new(format!("say something, in {LONGEST} bytes at most")));
    }
    publication.with_data(Said { name, text, at: milliseconds() })
}

#[expect(clippy::disallowed_methods, reason = "people want to know by their own clocks when something was said")]
fn milliseconds() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()
}
