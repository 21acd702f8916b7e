//! Hubs as apps mount them: one echoes, one echoes text and compresses it for clients that can, one sends what comes to everybody.

use axum::Router;
use narthex::hub::{Deflate, Hub};

pub(crate) fn router() -> Router {
    let echo = Hub::new();
    echo.on_binary(|peer, bytes| async move {
        let _ = peer.send(bytes);
    });
    let text = Hub::builder().deflate(Deflate::default()).build();
    text.on_message(|peer, text| async move {
        let _ = peer.send(text);
    });
    let broadcast = Hub::new();
    broadcast.on_binary(|peer, bytes| async move {
        if let Some(hub) = peer.hub() {
            hub.broadcast(bytes).send();
        }
    });
    Router::new().route("/echo", echo.route()).route("/text", text.route()).route("/broadcast", broadcast.route())
}
