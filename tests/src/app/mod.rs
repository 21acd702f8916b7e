//! The app under test: an ordinary axum `Router`, with one route per behaviour that the suites look at.

mod answers;
mod bodies;
mod files;
mod held;
mod record;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::extract::{ConnectInfo, Path, Query, Request};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode};
use http_body::Body as _;
use narthex::Identity;
use narthex::auth::{Auth, CertificateNames};
use narthex::hub::{Deflate, HeartBeat, Hub};
use serde_json::{Value, json};

pub use self::bodies::{Counted, drain};
pub use self::record::Recorder;

/// What one process of the app is told on its command line.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What `/whoami` answers.
    pub name: String,
    /// Where to write down every byte that reaches the app.
    pub recorder: Option<Recorder>,
    /// Read every request to its end before answering, as most apps do: an answer that has begun cannot say that the rest of
    /// the request was bad.
    pub whole_bodies: bool,
    /// A directory whose files are below `/files/` and `/download/`.
    pub files: Option<PathBuf>,
}

/// What the server put into the request besides HTTP: the path base and the original URI.
fn mount(extensions: &Extensions) -> (Option<String>, Option<String>) {
    let base = extensions.get::<narthex::PathBase>().map(ToString::to_string);
    (base, extensions.get::<axum::extract::OriginalUri>().map(|uri| uri.0.to_string()))
}

/// The routes.
pub fn router(settings: Settings) -> Router {
    let name = settings.name;
    let signature = HeaderValue::from_str(&name).unwrap_or(HeaderValue::from_static("?"));
    let sign = move |mut response: Response| {
        response.headers_mut().insert("x-app", signature.clone());
        std::future::ready(response)
    };
    let (answers, held) = (answers::Answers::default(), held::Held::default());
    let (counted, sockets) = (held.clone(), held.clone());
    let router = Router::new()
        .route("/", any(root))
        .route("/whoami", any(move || async move { name }))
        .route("/answer", any(move |query, request| answers.clone().answer(query, request)))
        .route("/len", post(length))
        .route("/bytes", get(bytes))
        .route("/stream", get(stream))
        .route("/drip", get(drip))
        .route("/break-off", get(break_off))
        .route("/slow", any(slow))
        .route("/hold", any(move |request| held.hold(request)))
        .route("/held", get(move |query| held_after(query, counted)))
        .route("/early", any(|| async { "early" }))
        .route("/ignore-body", any(|| async { "ignored" }))
        .route("/panic", any(panic))
        .route("/close", any(|| async { ([(CONNECTION, "close")], "bye") }))
        .route("/status/{code}", any(status))
        .route("/headers", any(|request: Request| async move { headers(&request) }))
        .route("/trailers", get(trailers))
        .route("/evil/{kind}", any(evil))
        .route("/hub", hub().route())
        .route("/ws", any(move |upgrade| web_socket(upgrade, sockets)))
        .route("/certificate", get(certificate))
        .route("/identity", get(identity).layer(Auth::new("tests").client_certificates(CertificateNames::dns_name())))
        .route("/test.Echo/{method}", post(crate::grpc::serve))
        .fallback(echo);
    let router = match settings.files {
        Some(directory) => files::add(router, directory),
        None => router,
    };
    let router = router.layer(map_response(sign));
    let router = if settings.whole_bodies { router.layer(from_fn(whole_body)) } else { router };
    match settings.recorder {
        Some(recorder) => router.layer(from_fn_with_state(recorder, record::layer)),
        None => router,
    }
}

/// A hub that sends every message back.
fn hub() -> Hub {
    // Autobahn's client answers a ping also in the middle of a frame that it sends in pieces.
    let hub = Hub::builder().origins(["*"]).deflate(Deflate::default()).heartbeat(HeartBeat::off()).build();
    hub.on_message(|peer, text| async move { peer.send(text) });
    hub.on_binary(|peer, data| async move { peer.send(data) });
    hub
}

async fn root(request: Request) -> Response {
    match *request.method() {
        Method::POST | Method::PUT => echo(request).await,
        _ => "OK".into_response(),
    }
}

/// Sends the body back as it arrives; its length, where known, becomes the response's.
async fn whole_body(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    match axum::body::to_bytes(body, usize::MAX).await {
        Ok(bytes) => next.run(Request::from_parts(head, bytes.into())).await,
        Err(_) => StatusCode::IM_A_TEAPOT.into_response(),
    }
}

/// Whom the client's certificate is about, and its fingerprint.
async fn certificate(request: Request) -> String {
    match request.extensions().get::<narthex::PeerCertificate>() {
        Some(shown) => format!("{} {} {}", shown.subject(), shown.alternative_names().join(","), shown.fingerprint()),
        None => "none".to_owned(),
    }
}

/// Who the client is by its certificate.
async fn identity(identity: Identity) -> String {
    format!("{} by {:?}", identity.name(), identity.scheme())
}

async fn echo(request: Request) -> Response {
    if request.uri().path() == "*" {
        return "the server as a whole".into_response();
    }
    if request.method() != Method::POST && request.method() != Method::PUT {
        return (StatusCode::NOT_FOUND, "no such page").into_response();
    }
    let body = request.into_body();
    let length = body.size_hint().exact();
    let mut response = Response::new(body);
    if let Some(length) = length {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

async fn length(request: Request) -> Response {
    match drain(request.into_body()).await {
        Ok((length, trailers)) => {
            let mut text = length.to_string();
            for (name, value) in &trailers {
                text.push_str(&format!(";{name}={}", String::from_utf8_lossy(value.as_bytes())));
            }
            text.into_response()
        }
        // A status that no server picks by itself: a broken body is the server's to answer, not the app's.
        Err(error) => (StatusCode::IM_A_TEAPOT, format!("cannot read the body: {error}")).into_response(),
    }
}

#[derive(Clone, Copy)]
struct Numbers {
    n: u64,
    chunks: u64,
    size: u64,
    ms: u64,
}

impl Numbers {
    fn of(query: &[(String, u64)]) -> Self {
        let find = |name: &str, default| query.iter().find(|(key, _)| key == name).map_or(default, |(_, value)| *value);
        Self { n: find("n", 0), chunks: find("chunks", 1), size: find("size", 1), ms: find("ms", 0) }
    }
}

async fn bytes(Query(query): Query<Vec<(String, u64)>>) -> Body {
    let numbers = Numbers::of(&query);
    Body::new(Counted::new(numbers.n, 64 * 1024).with_length())
}

async fn stream(Query(query): Query<Vec<(String, u64)>>) -> Body {
    let numbers = Numbers::of(&query);
    Body::new(Counted::new(numbers.chunks.saturating_mul(numbers.size), numbers.size))
}

async fn drip(Query(query): Query<Vec<(String, u64)>>) -> Body {
    Body::new(dripping(Numbers::of(&query)))
}

async fn break_off(Query(query): Query<Vec<(String, u64)>>) -> Body {
    Body::new(dripping(Numbers::of(&query)).breaking_off())
}

fn dripping(numbers: Numbers) -> bodies::Dripping {
    bodies::Dripping::new(numbers.chunks, numbers.size, Duration::from_millis(numbers.ms))
}

async fn slow(Query(query): Query<Vec<(String, u64)>>) -> &'static str {
    tokio::time::sleep(Duration::from_millis(Numbers::of(&query).ms)).await;
    "slow"
}

/// How many requests `/hold` has then, and WebSockets.
async fn held_after(query: Query<Vec<(String, u64)>>, held: held::Held) -> String {
    slow(query).await;
    held.count().to_string()
}

async fn panic() -> &'static str {
    panic!("this handler panics on purpose")
}

async fn status(Path(code): Path<u16>) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST)
}

fn headers(request: &Request) -> Json<Value> {
    let fields: Vec<Value> =
        request.headers().iter().map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())])).collect();
    let (path_base, original_uri) = mount(request.extensions());
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.to_string());
    let connection = request.extensions().get::<narthex::ConnectionInfo>();
    Json(json!({
        "method": request.method().as_str(),
        "uri": request.uri().to_string(),
        "version": format!("{:?}", request.version()),
        "original_uri": original_uri,
        "path_base": path_base,
        "headers": fields,
        "peer": peer,
        "tls": connection.map(|connection| connection.tls),
    }))
}

async fn trailers() -> Response {
    let mut fields = HeaderMap::new();
    fields.insert("x-checksum", HeaderValue::from_static("abc123"));
    let mut response = Response::new(Body::new(Counted::new(5, 5).with_trailers(fields)));
    response.headers_mut().insert("trailer", HeaderValue::from_static("x-checksum"));
    response
}

/// What `/evil/{kind}` knows to do wrong.
pub const EVIL: [&str; 11] = [
    "length-too-short",
    "length-too-long",
    "two-lengths",
    "length-list",
    "length-not-a-number",
    "own-chunks",
    "chunks-and-length",
    "body-on-204",
    "body-on-304",
    "switching-without-upgrade",
    "informational",
];

/// Responses that try to make the client see a second one.
async fn evil(Path(kind): Path<String>) -> Response {
    const SECOND: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Evil: 1\r\n\r\nforged";
    let mut response = Response::new(Body::new(bodies::Raw::new(SECOND)));
    let headers = response.headers_mut();
    match kind.as_str() {
        "length-too-short" => drop(headers.insert(CONTENT_LENGTH, HeaderValue::from_static("2"))),
        "length-too-long" => drop(headers.insert(CONTENT_LENGTH, HeaderValue::from_static("5000"))),
        "two-lengths" => {
            headers.append(CONTENT_LENGTH, HeaderValue::from_static("2"));
            headers.append(CONTENT_LENGTH, HeaderValue::from_static("3"));
        }
        "length-list" => drop(headers.insert(CONTENT_LENGTH, HeaderValue::from_static("2, 3"))),
        "length-not-a-number" => drop(headers.insert(CONTENT_LENGTH, HeaderValue::from_static("two"))),
        "own-chunks" => {
            *response.body_mut() = Body::new(bodies::Raw::new(&format!("0\r\n\r\n{SECOND}")));
            response.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        "chunks-and-length" => {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("2"));
        }
        "body-on-204" => *response.status_mut() = StatusCode::NO_CONTENT,
        "body-on-304" => *response.status_mut() = StatusCode::NOT_MODIFIED,
        "switching-without-upgrade" => *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS,
        "informational" => *response.status_mut() = StatusCode::from_u16(199).unwrap_or_default(),
        _ => return StatusCode::NOT_FOUND.into_response(),
    }
    response
}

async fn web_socket(upgrade: WebSocketUpgrade, held: held::Held) -> Response {
    upgrade.on_upgrade(move |mut socket| async move {
        let _alive = held.one();
        while let Some(Ok(message)) = socket.recv().await {
            let reply = match message {
                Message::Text(_) | Message::Binary(_) => socket.send(message).await,
                // The library answers these itself, while it waits for the next message.
                Message::Close(_) | Message::Ping(_) | Message::Pong(_) => Ok(()),
            };
            if reply.is_err() {
                return;
            }
        }
    })
}
