//! axum's `ws` on `axum::serve`, on tokio's current-thread runtime.

use anyhow::Result;
use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::any;
use axum::serve::ListenerExt;
use bench_websocket::{BROADCAST, ECHO, Everybody, TEXT};
use futures_util::{SinkExt, StreamExt};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(bench_websocket::listen()?)?;
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let app = Router::new()
        .route(ECHO, any(async |upgrade: WebSocketUpgrade| -> Response { upgrade.on_upgrade(echo) }))
        .route(TEXT, any(async |upgrade: WebSocketUpgrade| -> Response { upgrade.on_upgrade(echo) }))
        .route(
            BROADCAST,
            any(async |State(everybody): State<Everybody>, upgrade: WebSocketUpgrade| -> Response {
                upgrade.on_upgrade(|socket| broadcast(socket, everybody))
            }),
        )
        .with_state(Everybody::default());
    bench_websocket::ready();
    axum::serve(listener, app).await?;
    Ok(())
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if matches!(message, Message::Binary(_) | Message::Text(_)) && socket.send(message).await.is_err() {
            break;
        }
    }
}

async fn broadcast(socket: WebSocket, everybody: Everybody) {
    let (_member, mut mine) = everybody.enter();
    let (mut sink, mut source) = socket.split();
    tokio::spawn(async move {
        while let Some(message) = mine.recv().await {
            if sink.send(Message::Binary(message)).await.is_err() {
                break;
            }
        }
    });
    while let Some(Ok(message)) = source.next().await {
        if let Message::Binary(message) = message {
            everybody.send(&message);
        }
    }
}
