//! A raw HTTP/1.1 client, a running server, and the app that the tests serve.
#![allow(dead_code, unused_macros, reason = "each test program uses its own part")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{ConnectInfo, Extension, OriginalUri, Path, Request, State};
use axum::response::IntoResponse;
use axum::routing::{any, get, post};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use narthex::{
    CachePolicy, Composed, ConnectionInfo, Delegation, PathBase, Provider, RequestControl, Result, Server, ServerHandle,
    UrlPrefix,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes each function a test on either provider.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod embedded {
            $(#[tokio::test] async fn $name() { super::$name(&crate::client::Place::embedded()).await; })*
        }
        mod shared {
            $(#[tokio::test] async fn $name() { super::$name(&crate::client::Place::shared()).await; })*
        }
    };
}

/// The app.
pub(crate) fn app() -> Router {
    let count = Arc::new(AtomicUsize::new(0));
    Router::new()
        .route("/ping", any(|| async { "pong" }))
        .route("/json", get(|| async { axum::Json(serde_json::json!({"ok": true})) }))
        .route("/hello/{name}", get(|Path(name): Path<String>| async move { format!("hello {name}") }))
        .route(
            "/count",
            get(async |State(count): State<Arc<AtomicUsize>>| (count.fetch_add(1, Ordering::SeqCst) + 1).to_string()),
        )
        .route("/len", post(length))
        .route("/echo", post(async |request: Request| Body::new(request.into_body())))
        .route("/elsewhere", post(elsewhere))
        .route("/big/{length}", get(async |Path(length): Path<usize>| Bytes::from(vec![b'x'; length])))
        .route("/stream/{pieces}", get(async |Path(pieces): Path<usize>| Body::new(Pieces { left: pieces, fails: false })))
        .route("/breaks", get(|| async { Body::new(Pieces { left: 2, fails: true }) }))
        .route("/cached", get(async || (CachePolicy::UntilFlushed, "kept")))
        .route("/cached/{pieces}", get(cached_stream))
        .route("/fragment", get(async || Composed::new().bytes("<").fragment("/f", 1..3).or_else(|| "abcd").bytes(">")))
        .route("/panic", any(panics))
        .route("/seen", get(seen))
        .route("/delegated", any(async || Delegation::to("other").url("/Other/x?y")))
        .route("/delegated/read", any(read_and_delegate))
        .route("/gone", any(async |Extension(control): Extension<RequestControl>| control.disconnected().await.to_string()))
        .route("/cancelled", any(cancelled))
        .route("/slow/{ms}", get(slow))
        .route(
            "/ws",
            any(async |upgrade: WebSocketUpgrade| {
                upgrade.on_upgrade(async |mut socket| {
                    while let Some(Ok(message)) = socket.recv().await {
                        if matches!(message, axum::extract::ws::Message::Text(_) | axum::extract::ws::Message::Binary(_))
                            && socket.send(message).await.is_err()
                        {
                            return;
                        }
                    }
                })
            }),
        )
        .with_state(count)
}

async fn read_and_delegate(request: Request) -> Delegation {
    let _ = request.into_body().collect().await;
    Delegation::to("other")
}

async fn cancelled(Extension(control): Extension<RequestControl>) -> &'static str {
    control.cancel();
    "not sent"
}

async fn slow(Path(ms): Path<u64>) -> &'static str {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    "slow"
}

async fn cached_stream(Path(pieces): Path<usize>) -> impl IntoResponse {
    (CachePolicy::TimeToLive(Duration::from_secs(90)), Body::new(Pieces { left: pieces, fails: false }))
}

async fn panics() -> &'static str {
    panic!("a handler panics, as the test wants")
}

async fn seen(
    OriginalUri(original): OriginalUri,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    base: PathBase,
    Extension(connection): Extension<ConnectionInfo>,
    request: Request,
) -> String {
    let (uri, version) = (request.uri(), connection.version);
    assert_eq!(connection.peer, peer);
    format!("uri={uri} original={original} base={base} peer={peer} tls={} {version:?}", connection.tls)
}

async fn length(request: Request) -> Result<String, (StatusCode, String)> {
    let collected = request.into_body().collect().await.map_err(|error| (StatusCode::IM_A_TEAPOT, error.to_string()))?;
    let trailers: HeaderMap = collected.trailers().cloned().unwrap_or_default();
    let sum = trailers.get("x-sum").map(|sum| format!(" {}", sum.to_str().unwrap())).unwrap_or_default();
    Ok(format!("{}{sum}", collected.to_bytes().len()))
}

/// Reads the body on a thread of its own.
async fn elsewhere(request: Request) -> String {
    let body = request.into_body();
    let read = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(body.collect()).unwrap().to_bytes().len()
    };
    tokio::task::spawn_blocking(read).await.unwrap().to_string()
}

struct Pieces {
    left: usize,
    fails: bool,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<std::result::Result<http_body::Frame<Bytes>, std::io::Error>>> {
        if self.left == 0 {
            let error = std::io::Error::other("the body breaks, as the test wants");
            return std::task::Poll::Ready(self.fails.then_some(Err(error)));
        }
        self.left -= 1;
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from(vec![b'p'; 10_000])))))
    }
}

/// Where an app runs.
pub(crate) struct Place {
    #[cfg(unix)]
    pub(crate) host: Option<narthex_host::Host>,
    #[cfg(unix)]
    directory: tempfile::TempDir,
}

impl Place {
    pub(crate) fn embedded() -> Self {
        Self {
            #[cfg(unix)]
            host: None,
            #[cfg(unix)]
            directory: tempfile::tempdir().unwrap(),
        }
    }

    #[cfg(unix)]
    pub(crate) fn shared() -> Self {
        let mut place = Self::embedded();
        place.start_host();
        place
    }

    #[cfg(unix)]
    pub(crate) fn socket(&self) -> std::path::PathBuf {
        self.directory.path().join("host.sock")
    }

    #[cfg(unix)]
    pub(crate) fn start_host(&mut self) {
        let mut options = narthex_host::HostOptions::default();
        options.socket = self.socket();
        options.workers = 2;
        self.host = Some(narthex_host::Host::start(options).unwrap());
    }

    pub(crate) fn server(&self, prefix: &str) -> Server<Router> {
        self.serving(app(), prefix)
    }

    pub(crate) fn serving<S>(&self, app: S, prefix: &str) -> Server<S> {
        Server::new(app).prefix(prefix).provider(self.provider()).workers(2).connection_info(true)
    }

    #[cfg(unix)]
    fn provider(&self) -> Provider {
        if self.host.is_some() { Provider::shared_at(self.socket()) } else { Provider::embedded() }
    }

    #[cfg(not(unix))]
    fn provider(&self) -> Provider {
        Provider::embedded()
    }

    pub(crate) async fn start(&self, prefix: &str) -> Running {
        Running::start(self.server(prefix)).await
    }
}

/// A running server.
pub(crate) struct Running {
    pub(crate) prefixes: Vec<UrlPrefix>,
    pub(crate) handle: ServerHandle,
    pub(crate) ended: JoinHandle<Result<()>>,
}

impl Running {
    /// Starts a server and waits until it is ready.
    pub(crate) async fn start<S, B>(server: Server<S>) -> Self
    where
        S: tower::Service<Request<narthex::Body>, Response = http::Response<B>, Error = Infallible, Future: Send>
            + Clone
            + Send
            + Sync
            + 'static,
        B: http_body::Body<Data: Send, Error: Into<narthex::BoxError>> + Send + 'static,
    {
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let handle = server.handle();
        let mut ready = Some(ready);
        let server = server.on_ready(move |prefixes| {
            if let Some(ready) = ready.take() {
                ready.send(prefixes.to_vec()).unwrap();
            }
        });
        let ended = tokio::spawn(server.run());
        let prefixes = match timeout(PATIENCE, is_ready).await {
            Ok(Ok(prefixes)) => prefixes,
            _ => panic!("the server does not start: {:?}", ended.await),
        };
        Self { prefixes, handle, ended }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.prefixes[0].port().get()).into()
    }

    pub(crate) async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address()).await.unwrap())
    }

    /// One GET on a connection of its own.
    pub(crate) async fn get(&self, target: &str) -> Reply {
        self.connect().await.get(target).await
    }

    pub(crate) async fn stop(self) {
        self.handle.stop();
        timeout(PATIENCE, self.ended).await.expect("the server stops").unwrap().unwrap();
    }
}

pub(crate) struct Client(pub(crate) TcpStream);

/// A response: head, body with the chunks' framing removed, and whether the connection ended before it did.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) cut_off: bool,
}

impl Reply {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Client {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn get(&mut self, target: &str) -> Reply {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await;
        self.reply().await
    }

    /// Sends the head of a POST to `/len`. The app works on it when this returns, and waits for a body of 3 bytes.
    pub(crate) async fn begin_len(&mut self, target: &str) {
        let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
        self.send(head.as_bytes()).await;
        assert_eq!(self.reply().await.status, 100);
    }

    pub(crate) async fn post(&mut self, target: &str, body: &[u8]) -> Reply {
        let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
        let (mut reader, mut writer) = self.0.split();
        let write = async {
            writer.write_all(head.as_bytes()).await.unwrap();
            writer.write_all(body).await.unwrap();
        };
        let (reply, ()) = tokio::join!(timeout(PATIENCE, read_reply(&mut reader, false)), write);
        reply.expect("an answer")
    }

    /// The next response.
    pub(crate) async fn reply(&mut self) -> Reply {
        timeout(PATIENCE, read_reply(&mut self.0, false)).await.expect("an answer")
    }

    /// The next response, to HEAD.
    pub(crate) async fn reply_to_head(&mut self) -> Reply {
        timeout(PATIENCE, read_reply(&mut self.0, true)).await.expect("an answer")
    }
}

async fn read_reply(stream: &mut (impl AsyncReadExt + Unpin), head_only: bool) -> Reply {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return Reply { status: 0, head: String::new(), body: Vec::new(), cut_off: true },
        }
    }
    let head = String::from_utf8(head).unwrap();
    let status = head[9..12].parse().unwrap();
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned));
    let mut body = Vec::new();
    let mut cut_off = false;
    if head_only {
    } else if let Some(length) = field("content-length") {
        body.resize(length.parse().unwrap(), 0);
        cut_off = stream.read_exact(&mut body).await.is_err();
    } else if field("transfer-encoding").is_some() {
        cut_off = read_chunks(stream, &mut body).await.is_none();
    }
    Reply { status, head, body, cut_off }
}

async fn read_chunks(stream: &mut (impl AsyncReadExt + Unpin), body: &mut Vec<u8>) -> Option<()> {
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(stream.read_u8().await.ok()?);
        }
        let length = usize::from_str_radix(std::str::from_utf8(&line).ok()?.trim(), 16).ok()?;
        let mut chunk = vec![0; length + 2];
        stream.read_exact(&mut chunk).await.ok()?;
        body.extend_from_slice(&chunk[..length]);
        if length == 0 {
            return Some(());
        }
    }
}

type Socket = tokio_tungstenite::WebSocketStream<TcpStream>;

/// Sends a message and expects it back.
pub(crate) async fn exchange(socket: &mut Socket, message: tokio_tungstenite::tungstenite::Message) {
    use futures_util::{SinkExt, StreamExt};
    socket.send(message.clone()).await.unwrap();
    let mut back = timeout(PATIENCE, socket.next()).await.expect("an echo").unwrap().unwrap();
    // A server's heartbeat may come at any time.
    while back.is_ping() {
        back = timeout(PATIENCE, socket.next()).await.expect("an echo").unwrap().unwrap();
    }
    assert!(back == message, "another message of {} bytes", back.len());
}

/// Closes in order, and expects the server to do so too.
pub(crate) async fn close(mut socket: Socket) {
    use futures_util::StreamExt;
    socket.close(None).await.unwrap();
    while let Some(message) = timeout(PATIENCE, socket.next()).await.expect("a close") {
        let message = message.unwrap();
        assert!(message.is_close() || message.is_ping());
    }
}
