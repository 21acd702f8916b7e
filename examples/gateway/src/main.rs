//! One door for two other servers: `cargo run -p gateway`, then open `http://localhost:8888/a/hello`, and connect a WebSocket to
//! `ws://localhost:8888/b/echo`. With addresses, it forwards to those: `cargo run -p gateway http://127.0.0.1:3000 unix:/run/b.sock`.
//!
//! The two apps that it starts without stand for programs of any kind, in whatever language: they know nothing of Narthex.

use std::time::Duration;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::routing::{any, get};
use http::{HeaderMap, Response, StatusCode};
use narthex::forward::{AddressError, CircuitBreaker, Forward, Route, Upstream};

#[tokio::main]
async fn main() -> narthex::Result<()> {
    tracing_subscriber::fmt::init();
    let mut addresses = std::env::args().skip(1);
    let (a, b) = match (addresses.next(), addresses.next()) {
        (Some(a), Some(b)) => (a, b),
        _ => (start(app_a()).await, start(app_b()).await),
    };
    let server = narthex::Server::new(gateway(&a, &b)?).prefix("http://+:8888/").connection_info(true);
    server.on_ready(move |prefixes| println!("{prefixes:?} is the door to {a} and {b}")).run().await
}

fn gateway(a: &str, b: &str) -> Result<Forward, AddressError> {
    let a = Upstream::new(a)?.head_timeout(Duration::from_secs(10)).circuit_breaker(CircuitBreaker::new());
    let b = Upstream::new(b)?;
    let forward = Forward::new().route("/a", Route::to(a).strip_prefix()).route("/b", Route::to(b).strip_prefix());
    Ok(forward.before(|request| async move {
        if request.uri.path().starts_with("/a/internal") {
            return Err(Response::builder().status(StatusCode::FORBIDDEN).body("not from here\n").unwrap_or_default());
        }
        Ok(request)
    }))
}

/// Serves an app on any free port, and returns its address.
async fn start(app: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

fn app_a() -> Router {
    let hello = async |headers: HeaderMap| {
        let told = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("nobody knows").to_owned();
        format!("hello {}, who is at {}{}\n", told("x-forwarded-for"), told("x-forwarded-host"), told("x-forwarded-prefix"))
    };
    Router::new().route("/hello", get(hello)).route("/internal", get(async || "secret\n"))
}

fn app_b() -> Router {
    Router::new().route("/echo", any(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo)))
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if matches!(message, Message::Text(_) | Message::Binary(_)) && socket.send(message).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{SinkExt, StreamExt};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio_tungstenite::tungstenite::Message;

    use super::*;

    #[tokio::test]
    async fn both_apps_are_behind_one_door() {
        let gateway = gateway(&start(app_a()).await, &start(app_b()).await).unwrap();
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let server = narthex::Server::new(gateway).prefix("http://127.0.0.1:0/").provider(narthex::Provider::embedded());
        let mut ready = Some(ready);
        let server = server.connection_info(true).on_ready(move |prefixes| {
            ready.take().unwrap().send(prefixes[0].port().get()).unwrap();
        });
        let running = tokio::spawn(server.run());
        let port = is_ready.await.unwrap();
        let get = async |path: &str| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nHost: door\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        assert!(get("/a/hello").await.ends_with("hello 127.0.0.1, who is at door/a\n"));
        assert!(get("/a/internal").await.starts_with("HTTP/1.1 403"));
        assert!(get("/c").await.starts_with("HTTP/1.1 404"));

        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (mut socket, _) = tokio_tungstenite::client_async(format!("ws://127.0.0.1:{port}/b/echo"), stream).await.unwrap();
        socket.send(Message::text("through both")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("through both"));
        running.abort();
    }
}
