//! The app of the numbered rows, and of those that Horse's matrices do not have.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::multipart::MultipartError;
use axum::extract::{ConnectInfo, Multipart, Path, Query, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, head, options, patch, post, put};
use axum::{Json, Router};
use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::Cookie;
use serde_json::{Value, json};
use tokio_stream::{Stream, StreamExt};
use tower_http::compression::CompressionLayer;

use super::active::{Active, counted};
use super::layered;
use super::letters::memory;

/// A thousand of these are what `/compressed` is answered with.
pub const COMPRESSIBLE: &str = "to be compressed ";

/// The routes.
pub fn router() -> Router {
    let active = Active::default();
    let looked_at = active.clone();
    let router = Router::new()
        .merge(methods())
        .merge(values())
        .merge(answers())
        .merge(streams())
        .merge(layered::blocking())
        .merge(layered::files_and_forms())
        .route("/ping", get(|| async { "pong" }))
        .route("/mem/active", get(move || async move { Json(json!({ "requests": looked_at.count() })) }))
        .route("/mem", get(memory))
        .route("/panic", any(|| async { panics() }));
    layered::guarded(router).layer(from_fn_with_state(active, counted))
}

fn methods() -> Router {
    let allowed = || async { (StatusCode::NO_CONTENT, [(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")]) };
    Router::new()
        .route("/methods/get", get(method))
        .route("/methods/post", post(method_and_body))
        .route("/methods/put/{id}", put(method_and_id))
        .route("/methods/delete/{id}", delete(method_and_id))
        .route("/methods/patch/{id}", patch(method_and_id))
        .route("/methods/head", head(|| async { [("x-head-ok", "true")] }))
        .route("/methods/any", any(method_and_body))
        .route("/raw/cors", get(cors).merge(options(allowed)))
}

fn values() -> Router {
    Router::new()
        .route("/params/path/{id}", get(|Path(id): Path<String>| async move { Json(json!({ "id": id })) }))
        .route("/params/multi/{a}/{b}", get(two_values))
        .route("/params/query", get(|Query(query): Query<HashMap<String, String>>| async { Json(query) }))
        .route("/cookies/set", get(set_cookies))
        .route("/cookies/echo", get(echo_cookies))
        .route("/headers/echo", get(echo_fields))
        .route("/raw/webrequest", get(whole_request))
        .route("/echo/file", post(echo_file))
        .route("/echo/body", post(|body: String| async move { Json(json!({ "size": body.len(), "body": body })) }))
        .route("/echo/body-twice", post(body_twice))
        .route("/pool/burst", post(|body: String| async move { Json(json!({ "marker": body })) }))
        .route("/body/binary", post(sum))
}

fn answers() -> Router {
    let two_fields = [("x-via-rawresponse", "PATCH-RES-6-OK"), ("x-via-addheader", "AddHeader-OK")];
    let replaced = map_response(|response: Response| async { response.map(|_| Body::from("shadow-wins")) });
    Router::new()
        .route("/status/{code}", get(status))
        .route("/response/large", get(|| async { "X".repeat(65_536) }))
        .route("/raw/webresponse", get((two_fields, "two fields")))
        .route("/compat/rawbody", get("raw text that nobody is to see").layer(replaced))
        .route("/body/bytes", get(|| async { Bytes::from_static(b"BODYBYTES-OK-0123456789") }))
        .route("/compressed", get(|| async { COMPRESSIBLE.repeat(1000) }).layer(CompressionLayer::new()))
        .route("/headers/set", get(set_field))
}

fn streams() -> Router {
    Router::new()
        .route("/stream/pull", get(|| async { Body::from_stream(pieces("chunk", 5)) }))
        .route("/stream/content-type", get(|| async { octets(Body::from_stream(pieces("ct-chunk", 3))) }))
        .route("/stream/empty", get(|| async { Body::from_stream(tokio_stream::empty::<Result<Bytes, Infallible>>()) }))
        .route("/stream/ndjson", get(lines_of_json))
        .route("/stream/sse", get(events))
}

async fn method(method: Method) -> Json<Value> {
    Json(json!({ "method": method.as_str() }))
}

async fn method_and_id(method: Method, Path(id): Path<String>) -> Json<Value> {
    Json(json!({ "method": method.as_str(), "id": id }))
}

async fn method_and_body(method: Method, body: String) -> Json<Value> {
    Json(json!({ "method": method.as_str(), "body": body }))
}

async fn two_values(Path((a, b)): Path<(String, String)>) -> Json<Value> {
    Json(json!({ "a": a, "b": b }))
}

async fn echo_cookies(jar: CookieJar) -> Json<HashMap<String, String>> {
    Json(jar.iter().map(|cookie| (cookie.name().to_owned(), cookie.value().to_owned())).collect())
}

fn octets(body: Body) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/octet-stream")], body)
}

async fn lines_of_json() -> impl IntoResponse {
    let lines = (0..5).map(|n| Ok::<_, Infallible>(format!("{{\"n\":{n}}}\n")));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(tokio_stream::iter(lines)))
}

async fn events() -> impl IntoResponse {
    let events = (0..5).map(|n| Ok::<_, Infallible>(Event::default().id(n.to_string()).data(format!("event {n}"))));
    Sse::new(tokio_stream::iter(events))
}

/// One after the other, 120 ms apart.
fn pieces(name: &'static str, count: u32) -> impl Stream<Item = Result<String, Infallible>> {
    tokio_stream::iter(0..count).then(move |nth| async move {
        if nth > 0 {
            tokio::time::sleep(Duration::from_millis(120)).await;
        }
        Ok(format!("{name}-{nth};"))
    })
}

async fn cors(method: Method) -> ([(HeaderName, &'static str); 1], String) {
    ([(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")], format!("cors-route:{method}"))
}

async fn set_cookies(jar: CookieJar) -> (CookieJar, &'static str) {
    let cookie = |name, value| Cookie::build((name, value)).path("/");
    (jar.add(cookie("session", "abc123")).add(cookie("user", "tester")), "cookies-set")
}

/// All fields: of each name all values, in their order.
async fn echo_fields(headers: HeaderMap) -> Json<HashMap<String, Vec<String>>> {
    let mut fields: HashMap<String, Vec<String>> = HashMap::new();
    for (name, value) in &headers {
        fields.entry(name.to_string()).or_default().push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    Json(fields)
}

async fn whole_request(ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request) -> Json<Value> {
    let field = |name: &str| request.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    Json(json!({
        "method": request.method().as_str(),
        "host": field("host").or_else(|| request.uri().authority().map(ToString::to_string)),
        "pathInfo": request.uri().path(),
        "query": request.uri().query(),
        "custom": field("x-custom"),
        "remoteAddr": peer.to_string(),
    }))
}

/// The bytes of the first part.
async fn echo_file(mut form: Multipart) -> Result<Bytes, MultipartError> {
    match form.next_field().await? {
        Some(field) => field.bytes().await,
        None => Ok(Bytes::new()),
    }
}

/// What two extractors see that both want the body.
async fn body_twice(body: Bytes) -> Json<Value> {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let (first, second) = (text(&body), text(&body.clone()));
    Json(json!({ "equal": first == second, "first": first, "second": second }))
}

async fn sum(body: Bytes) -> Json<Value> {
    let sum: u64 = body.iter().map(|byte| u64::from(*byte)).sum();
    Json(json!({ "size": body.len(), "sum": sum }))
}

async fn status(Path(code): Path<u16>) -> Response {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST);
    (status, Json(json!({ "status": code }))).into_response()
}

/// Answers with the fields that the query has.
async fn set_field(Query(query): Query<Vec<(String, String)>>) -> Response {
    let mut response = "set".into_response();
    for (name, value) in query {
        let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) else {
            return (StatusCode::UNPROCESSABLE_ENTITY, "no field can be made of that").into_response();
        };
        response.headers_mut().append(name, value);
    }
    response
}

fn panics() -> &'static str {
    panic!("secret words of a handler that panics on purpose")
}
