//! The app of the suite on responses: layers of tower-http, extractors of axum-extra and what this crate adds, together.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, FromRef, Path, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use axum_extra::extract::cookie::{Cookie, Key, SameSite};
use axum_extra::extract::{CookieJar, PrivateCookieJar, SignedCookieJar};
use http_body_util::{BodyExt, Full};
use narthex::RequestControl;
use narthex::files::{FileError, SendFile};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_stream::{Stream, StreamExt};
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;

use crate::app::Counted;

/// Whose pages may ask with credentials.
pub const FRIEND: &str = "https://shop.example";
/// A thousand of these are what `/text` is answered with.
pub const LINE: &str = "to be compressed ";
/// The file of `/file`.
pub const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/files/wildcard.txt");

/// The routes.
pub fn router() -> Router {
    Router::new().merge(compressed()).merge(cross_origin()).merge(cookies()).merge(streams())
}

fn compressed() -> Router {
    let kind = |kind: &'static str| get(move || async move { ([(header::CONTENT_TYPE, kind)], LINE.repeat(1000)) });
    Router::new()
        .route("/text", kind("text/plain; charset=utf-8"))
        .route("/page", kind("text/html; charset=utf-8"))
        .route("/picture", kind("image/png"))
        .route("/json", get(|| async { Json(json!({ "lines": vec![LINE; 1000] })) }))
        .route("/bytes", get(|| async { Bytes::from(vec![7; 10_000]) }))
        .route("/short", get(|| async { "short" }))
        .route("/packed", get(|| async { ([(header::CONTENT_ENCODING, "gzip")], LINE.repeat(1000)) }))
        .route("/piecewise", get(|| async { Body::from_stream(pieces(LINE, 200)) }))
        .route("/events", get(|| async { events(pieces("event", 4)) }))
        .route("/file", get(file))
        .route("/empty", get(|| async { StatusCode::NO_CONTENT }))
        .layer(CompressionLayer::new())
}

fn cross_origin() -> Router {
    let friends = CorsLayer::new()
        .allow_origin([HeaderValue::from_static(FRIEND), HeaderValue::from_static("https://www.shop.example")])
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::PUT])
        .allow_headers([header::CONTENT_TYPE, HeaderName::from_static("x-token")])
        .expose_headers([HeaderName::from_static("x-total")])
        .max_age(Duration::from_secs(600));
    let all = CorsLayer::new().allow_origin(tower_http::cors::Any).allow_methods([Method::GET]);
    let handler = || async { ([("x-total", "1")], "for friends") };
    Router::new()
        .route("/friends", get(handler).put(handler).layer(friends))
        .route("/all", get(|| async { "for all" }).layer(all))
}

/// Keys of signed and private cookies. Those of a real app are kept outside of it.
#[derive(Clone)]
struct Keys(Key);

impl FromRef<Keys> for Key {
    fn from_ref(keys: &Keys) -> Self {
        keys.0.clone()
    }
}

fn cookies() -> Router {
    let cookie = |name, value| Cookie::build((name, value)).path("/").http_only(true).secure(true).same_site(SameSite::Strict);
    Router::new()
        .route(
            "/cookies/set",
            get(move |jar: CookieJar| async move {
                let jar = jar.add(cookie("a", "1")).add(Cookie::new("b", "2=2")).remove(Cookie::build("old").path("/"));
                // An array of fields would replace those of the jar.
                (jar, AppendHeaders([(header::SET_COOKIE, "raw=3; Max-Age=60")]), "set")
            }),
        )
        .route("/cookies/signed/set", get(move |jar: SignedCookieJar| async move { jar.add(cookie("who", "ann")) }))
        .route("/cookies/signed", get(|jar: SignedCookieJar| async move { named(jar.get("who")) }))
        .route("/cookies/private/set", get(move |jar: PrivateCookieJar| async move { jar.add(cookie("who", "ann")) }))
        .route("/cookies/private", get(|jar: PrivateCookieJar| async move { named(jar.get("who")) }))
        .with_state(Keys(Key::from(&[7; 64])))
}

fn named(cookie: Option<Cookie<'static>>) -> String {
    cookie.map_or_else(|| "nobody".to_owned(), |cookie| cookie.value().to_owned())
}

fn streams() -> Router {
    // Each piece but the first has to be let through.
    let gate = Arc::new(Semaphore::new(0));
    let (of_stream, of_events) = (Arc::clone(&gate), Arc::clone(&gate));
    let behind_gate = Router::new()
        .route("/gated/stream", get(move || async { Body::from_stream(gated(pieces("piece", 5), of_stream)) }))
        .route("/gated/events", get(move || async { events(gated(pieces("piece", 5), of_events)) }))
        .route("/gated/open", post(move || async move { gate.add_permits(4) }))
        .layer(CompressionLayer::new());
    Router::new()
        .merge(behind_gate)
        .route("/trailers", get(trailers))
        .route("/trailers/announced", get(|| async { ([(header::TRAILER, "x-sum")], summed()) }))
        .route("/trailers/compressed", get(trailers).layer(CompressionLayer::new()))
        .route("/trailers/unannounced", get(|| async { summed() }))
        .route("/hints", get(hints))
        .route("/fields", get(fields))
        .route("/status/{code}", get(|Path(code): Path<u16>| async move { StatusCode::from_u16(code).unwrap_or_default() }))
}

/// Each told apart by its number.
fn pieces(text: &'static str, count: u32) -> impl Stream<Item = Result<String, Infallible>> + Send {
    tokio_stream::iter((0..count).map(move |nth| Ok(format!("{text}-{nth};"))))
}

/// The same, each but the first of which waits to be let through.
fn gated(
    pieces: impl Stream<Item = Result<String, Infallible>> + Send,
    gate: Arc<Semaphore>,
) -> impl Stream<Item = Result<String, Infallible>> + Send {
    let mut is_first = true;
    pieces.then(move |piece| {
        let gate = (!std::mem::take(&mut is_first)).then(|| Arc::clone(&gate));
        async move {
            if let Some(gate) = gate {
                gate.acquire().await.expect("it is never closed").forget();
            }
            piece
        }
    })
}

fn events(pieces: impl Stream<Item = Result<String, Infallible>> + Send + 'static) -> impl IntoResponse {
    let events = pieces.map(|piece| piece.map(|text| Event::default().event("step").id("7").data(text + "\nand more")));
    Sse::new(events).keep_alive(KeepAlive::default())
}

async fn file(request: Request) -> Result<Response, FileError> {
    Ok(SendFile::open(FILE).await?.respond_to(&request).into_response())
}

async fn trailers() -> Response {
    let mut fields = HeaderMap::new();
    fields.insert("x-sum", HeaderValue::from_static("abc123"));
    fields.append("x-twice", HeaderValue::from_static("1"));
    fields.append("x-twice", HeaderValue::from_static("2"));
    // What decides about framing must not come after the fact.
    fields.insert(header::CONTENT_LENGTH, HeaderValue::from_static("1"));
    let body = Body::new(Counted::new(100_000, 30_000).with_trailers(fields));
    ([(header::TRAILER, "x-sum, x-twice")], body).into_response()
}

/// A body of one piece whose length is known, and trailers.
fn summed() -> Body {
    let fields = HeaderMap::from_iter([(HeaderName::from_static("x-sum"), HeaderValue::from_static("abc123"))]);
    Body::new(Full::new(Bytes::from_static(b"in one piece")).with_trailers(std::future::ready(Some(Ok(fields)))))
}

async fn hints(Extension(control): Extension<RequestControl>) -> impl IntoResponse {
    let links = ["</style.css>; rel=preload; as=style", "</app.js>; rel=preload; as=script"];
    // Nobody has answered yet.
    control.early_hints(links.map(HeaderValue::from_static)).expect("it is not too late");
    tokio::time::sleep(Duration::from_millis(50)).await;
    ([(header::LINK, links[0])], "the page")
}

async fn fields() -> Response {
    let mut response = "fields".into_response();
    let fields = response.headers_mut();
    for (name, value) in [("x-a", "1"), ("x-b", ""), ("x-a", "2, 3"), ("x-long-name-of-a-field", "a b\tc")] {
        fields.append(name, HeaderValue::from_static(value));
    }
    fields.insert("content-type", HeaderValue::from_static("application/vnd.shop+json"));
    response
}
