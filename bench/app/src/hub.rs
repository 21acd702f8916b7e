//! Hubs as apps mount them: one echoes, one sends what comes to everybody.

use axum::Router;
use narthex::hub::Hub;

pub(crate) fn router() -> Router {
    let echo = Hub::new();
    echo.on_binary(|peer, bytes| async move {
        let _ = peer.send(bytes);
    });
    let broadcast = Hub::new();
    broadcast.on_binary(|peer, bytes| async move {
        if let Some(hub) = peer.hub() {
            hub.broadcast(bytes).send();
        }
    });
    Router::new().route("/echo", echo.route()).route("/broadcast", broadcast.route())
}
