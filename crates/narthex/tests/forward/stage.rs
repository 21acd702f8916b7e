//! Servers to forward to: apps, and scripts that say what no app would.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use narthex::forward::{Forward, Upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{Place, Running};

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// An app on a port of its own.
pub(crate) async fn app(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// A server that runs `script` for each connection, with its number, beginning with 0.
pub(crate) async fn script<F, Fut>(script: F) -> Scripted
where
    F: Fn(Connection, usize) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(script(Connection(stream), count.fetch_add(1, Ordering::SeqCst)));
        }
    });
    Scripted { address, connections }
}

pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Scripted {
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn upstream(&self) -> Upstream {
        Upstream::new(format!("http://{}", self.address)).unwrap()
    }
}

/// A server that answers every request with the same, over connections that stay open.
pub(crate) async fn always(answer: &'static str) -> Scripted {
    script(move |mut connection: Connection, _| async move {
        while connection.request().await {
            connection.say(answer).await;
        }
    })
    .await
}

/// A server's end of a connection.
pub(crate) struct Connection(pub(crate) TcpStream);

impl Connection {
    /// The next head, with its empty line; `""` at the end.
    pub(crate) async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// Takes a request, with its body if that has a length. `false` at the end.
    pub(crate) async fn request(&mut self) -> bool {
        let head = self.head().await.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        !head.is_empty() && self.0.read_exact(&mut body).await.is_ok()
    }

    /// What comes, until and with `end`.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        read_until(&mut self.0, end).await
    }

    pub(crate) async fn say(&mut self, text: &str) {
        let _ = self.0.write_all(text.as_bytes()).await;
    }

    /// Waits until the other end has closed the connection, whatever it still says.
    pub(crate) async fn closed(&mut self) {
        while matches!(self.0.read(&mut [0; 4096]).await, Ok(1..)) {}
    }
}

pub(crate) async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        match stream.read_u8().await {
            Ok(byte) => text.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(text).unwrap()
}

/// The server of an app that forwards.
pub(crate) async fn running(place: &Place, forward: Forward) -> Running {
    Running::start(place.serving(forward, "http://127.0.0.1:0/").workers(1)).await
}

/// One that forwards everything to `address`.
pub(crate) async fn running_to(place: &Place, address: SocketAddr) -> Running {
    running(place, Forward::to(format!("http://{address}")).unwrap()).await
}

/// One that forwards everything to `upstream`.
pub(crate) async fn running_with(upstream: Upstream) -> Running {
    running(&Place::embedded(), Forward::new().route("/", upstream)).await
}

/// Waits for what is bound to happen.
pub(crate) async fn until(what: &str, happened: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if happened() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never happens that {what}");
}
