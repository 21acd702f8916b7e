//! A chat room: a channel of a hub, which remembers what was said and knows who is there.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::response::Html;
use axum::{Router, routing::get};
use narthex::hub::{Channels, History, Hub, Peer, Publication, Rejection};
use narthex::{OpaqueErrors, SecurityHeaders};
use serde::{Deserialize, Serialize};

const ROOM: &str = "lobby";
/// What people say is no longer than this, in bytes.
const LONGEST: usize = 1_000;

/// Who a connection belongs to. Where people log in, their session says who they are.
#[derive(Clone, Debug, Serialize)]
struct Guest {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Words {
    text: String,
}

#[derive(Debug, Serialize)]
struct Said {
    name: String,
    text: String,
}

/// The app: an ordinary axum router, with a hub in it.
pub fn app() -> Router {
    let channels = Channels::new()
        .may_subscribe(|_, channel: String| async move { channel == ROOM })
        .may_publish(|peer, publication| async move { sign(&peer, publication) })
        .history(ROOM, History::last(100))
        .presence(ROOM, |peer| {
            peer.data::<Guest>().map(|guest| Guest::clone(&guest))
        });
    let hub = Hub::builder()
        .channels(channels)
        .max_message_size(16 * 1024)
        .build();
    let guests = AtomicU64::new(0);
    hub.on_connect(move |mut connect| {
        let number = guests.fetch_add(1, Ordering::Relaxed) + 1;
        connect.set_data(Guest {
            name: format!("Guest {number}"),
        });
        async { Ok(connect) }
    });
    Router::new()
        .route("/", get(|| async { Html(include_str!("page.html")) }))
        // The hub's other end, for browsers.
        .route_service("/narthex.js", hub.client_module())
        .route_service("/events", hub.events())
        .route("/ws", hub.route())
        .layer(OpaqueErrors)
        .layer(SecurityHeaders::new())
}

/// Who says something is what the server knows, not what the client says.
fn sign(peer: &Peer, publication: Publication) -> Result<Publication, Rejection> {
    let Words { text } = publication.data()?;
    if text.trim().is_empty() || text.len() > LONGEST {
        return Err(Rejection::new(format!(
            "say something, in {LONGEST} bytes at most"
        )));
    }
    let name = peer
        .data::<Guest>()
        .map(|guest| guest.name.clone())
        .unwrap_or_default();
    publication.with_data(Said { name, text })
}
