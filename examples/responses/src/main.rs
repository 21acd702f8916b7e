//! Every kind of response: `cargo run -p responses`, then open `http://localhost:8888/responses/`.
//!
//! Layers are tower-http's, cookies axum-extra's, and only early hints this crate's own: docs/responses.md says why.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Extension;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use axum::{Json, Router};
use axum_extra::extract::SignedCookieJar;
use axum_extra::extract::cookie::{Cookie, Key, SameSite};
use http_body_util::{BodyExt, Full};
use narthex::{OpaqueErrors, RequestControl, SecurityHeaders};
use tokio_stream::{Stream, StreamExt};
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;

const STYLE: HeaderValue = HeaderValue::from_static("<style.css>; rel=preload; as=style");

#[tokio::main]
async fn main() -> narthex::Result<()> {
    tracing_subscriber::fmt().init();
    let prefix = std::env::args().nth(1).unwrap_or_else(|| "http://+:8888/responses/".to_owned());
    // Requests have a control, by which hints are sent.
    let server = narthex::Server::new(app()).prefix(&prefix).request_control(true);
    server.on_ready(|prefixes| prefixes.iter().for_each(|prefix| println!("responses are at {prefix}"))).run().await
}

fn app() -> Router {
    // A real app keeps its key: with another one, earlier cookies are worth nothing.
    let key = Key::generate();
    let shop = CorsLayer::new()
        .allow_origin([HeaderValue::from_static("https://shop.example")])
        .allow_methods([Method::GET])
        .allow_credentials(true);
    Router::new()
        .route("/", get(page))
        .route("/style.css", get(|| async { ([(header::CONTENT_TYPE, "text/css")], "body { font: 1rem system-ui }") }))
        .route("/text", get(|| async { "plain text\n".repeat(100) }))
        .route("/json", get(|| async { Json(serde_json::json!({ "answer": 42 })) }).layer(shop))
        .route("/bytes", get(|| async { Bytes::from_static(&[0, 1, 2, 3]) }))
        .route("/stream", get(|| async { Body::from_stream(ticks().map(|tick| Ok::<_, Infallible>(format!("tick {tick}\n")))) }))
        .route("/events", get(events))
        .route("/trailers", get(trailers))
        .route("/visits", get(visits))
        .with_state(key)
        // The first is the innermost: what comes from it is compressed, and has the fields.
        .layer(OpaqueErrors)
        .layer(CompressionLayer::new())
        .layer(SecurityHeaders::new())
}

/// The browser loads the style while the page is still being made.
async fn page(Extension(control): Extension<RequestControl>) -> impl IntoResponse {
    // It is of no matter if it is too late.
    let _ = control.early_hints([STYLE]);
    tokio::time::sleep(Duration::from_millis(200)).await;
    ([(header::LINK, STYLE)], Html(include_str!("page.html")))
}

fn ticks() -> impl Stream<Item = u32> {
    tokio_stream::iter(1..=5).then(|tick| async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        tick
    })
}

async fn events() -> impl IntoResponse {
    let events = ticks().map(|tick| Ok::<_, Infallible>(Event::default().id(tick.to_string()).data(format!("tick {tick}"))));
    Sse::new(events).keep_alive(KeepAlive::default())
}

/// A sum that is known when all has been sent.
async fn trailers() -> impl IntoResponse {
    let body = Full::from("what is summed up").with_trailers(async {
        let sum: u32 = b"what is summed up".iter().map(|byte| u32::from(*byte)).sum();
        Some(Ok(HeaderMap::from_iter([(header::HeaderName::from_static("x-sum"), HeaderValue::from(sum))])))
    });
    // Browsers and curl are told trailers of HTTP/1.1 only if they are announced.
    ([(header::TRAILER, "x-sum")], Body::new(body))
}

/// Counted by the client, which cannot cheat: the cookie is signed.
async fn visits(jar: SignedCookieJar) -> (SignedCookieJar, String) {
    let before: u32 = jar.get("visits").and_then(|cookie| cookie.value().parse().ok()).unwrap_or(0);
    let visits = before.saturating_add(1);
    let cookie = Cookie::build(("visits", visits.to_string())).http_only(true).same_site(SameSite::Lax).path("/");
    (jar.add(cookie), format!("visit {visits}\n"))
}
