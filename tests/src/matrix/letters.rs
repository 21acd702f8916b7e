//! The app of the rows A to K.

use std::time::Duration;

use axum::extract::{Multipart, Path};
use axum::http::{Method, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::{Cookie, SameSite};
use serde_json::{Value, json};
use tower_http::services::ServeFile;

use super::active::{Active, counted};

/// What every path without a route is answered with.
pub const WILDCARD: &str = "wildcard-sendfile-OK-0123456789-ABCDEF";
/// What `/stream` is answered with.
pub const STREAM: &str = "stream-body-OK-0123456789-ABCDEFGHIJKLMNOPQRSTUVWXYZ";
/// The file that is served.
pub(super) const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/files/wildcard.txt");

/// The routes.
pub fn router() -> Router {
    let active = Active::default();
    let looked_at = active.clone();
    Router::new()
        .route("/ping", get(|| async { "pong" }))
        .route("/param/{id}", get(param).put(param).delete(param).patch(param).post(param_and_body))
        .route("/multi/{a}/{b}", delete(multi).put(multi))
        .route("/product_category/uuid_product_category/{uuid}", delete(uuid).put(uuid))
        .route("/mem", get(memory))
        .route("/mem/active", get(move || async move { Json(json!({ "requests": looked_at.count() })) }))
        .route("/stream", get(|| async { STREAM }))
        .route("/stream/large", get(|| async { large() }))
        .route("/upload", post(upload))
        .route("/cookies", get(cookies))
        .route("/quick", get(|| done_after(Duration::from_millis(1500))))
        .route("/slow", get(|| done_after(Duration::from_secs(5))))
        .fallback_service(ServeFile::new(FILE))
        .layer(from_fn_with_state(active, counted))
}

/// 65 536 letters, A to Z again and again.
pub fn large() -> Vec<u8> {
    (b'A'..=b'Z').cycle().take(65_536).collect()
}

async fn param(method: Method, Path(id): Path<String>) -> Json<Value> {
    Json(json!({ "method": method.as_str(), "id": id }))
}

async fn param_and_body(method: Method, Path(id): Path<String>, body: String) -> Json<Value> {
    Json(json!({ "method": method.as_str(), "id": id, "body": body }))
}

async fn multi(method: Method, Path((a, b)): Path<(String, String)>) -> Json<Value> {
    Json(json!({ "method": method.as_str(), "a": a, "b": b }))
}

async fn uuid(method: Method, Path(uuid): Path<String>) -> Json<Value> {
    Json(json!({ "method": method.as_str(), "uuid": uuid }))
}

/// The memory that the process has resident.
pub(super) async fn memory() -> Result<Json<Value>, StatusCode> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|_| StatusCode::NOT_IMPLEMENTED)?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or(StatusCode::NOT_IMPLEMENTED)?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().map_err(|_| StatusCode::NOT_IMPLEMENTED)?;
    Ok(Json(json!({ "workingSetKB": kib })))
}

async fn upload(mut form: Multipart) -> Result<Json<Value>, impl IntoResponse> {
    let mut seen = serde_json::Map::new();
    while let Some(field) = form.next_field().await? {
        let name = field.name().unwrap_or_default().to_owned();
        let is_file = field.file_name().is_some();
        let bytes = field.bytes().await?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if is_file {
            seen.insert("fileLen".to_owned(), bytes.len().into());
            seen.insert("fileContent".to_owned(), text.into());
        } else {
            seen.insert(name, text.into());
        }
    }
    Ok::<_, axum::extract::multipart::MultipartError>(Json(Value::Object(seen)))
}

async fn cookies(jar: CookieJar) -> (CookieJar, &'static str) {
    let sid = Cookie::build(("sid", "abc123")).path("/").http_only(true).same_site(SameSite::Lax);
    let hour = Duration::from_secs(3600).try_into().expect("an hour is not long");
    let theme = Cookie::build(("theme", "dark")).max_age(hour);
    (jar.add(sid).add(theme), "cookies-set")
}

async fn done_after(time: Duration) -> &'static str {
    tokio::time::sleep(time).await;
    "done"
}
