//! Uploads of any size: hashed as they arrive, never kept.

use axum::Router;
use axum::body::Body;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Path, Request, State};
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{self, get};
use bytes::Bytes;
use http_body_util::BodyExt;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::json::JsonLine;
use super::{App, pages};
use crate::demo::page::{Value, fill};

const UPLOAD: &str = include_str!("../pages/upload.html");
const RESULT: &str = include_str!("../pages/upload_result.html");

/// What is known of a file that went by.
#[derive(Debug, Serialize)]
struct Received {
    name: String,
    bytes: u64,
    sha256: String,
}

/// Why a file did not get through.
#[derive(Debug)]
enum UploadError {
    /// The client went away, or its body is broken.
    Body(axum::Error),
    /// The form is no form with a file.
    Form(String),
}

impl From<MultipartError> for UploadError {
    fn from(error: MultipartError) -> Self {
        Self::Form(error.body_text())
    }
}

impl IntoResponse for UploadError {
    fn into_response(self) -> Response {
        let text = match self {
            Self::Body(error) => format!("The body could not be read: {error}\n"),
            Self::Form(reason) => format!("The form could not be read: {reason}\n"),
        };
        (StatusCode::BAD_REQUEST, text).into_response()
    }
}

/// Counts and hashes what it is fed.
#[derive(Default)]
struct Meter {
    hash: Sha256,
    bytes: u64,
}

impl Meter {
    fn feed(&mut self, piece: &Bytes) {
        self.hash.update(piece);
        self.bytes = self.bytes.saturating_add(piece.len() as u64);
    }

    fn finish(self, name: &str) -> Received {
        let sha256 = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Received { name: name.to_owned(), bytes: self.bytes, sha256 }
    }
}

/// axum's limit of 2 MB is for bodies that are kept in memory; these are not.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/upload", get(page).post(post).put(put_unnamed))
        .route("/upload/{name}", routing::put(put))
        .layer(DefaultBodyLimit::disable())
}

async fn page(State(app): State<App>, headers: HeaderMap, extensions: Extensions) -> Response {
    render(&app, &headers, &extensions, None)
}

async fn put(Path(name): Path<String>, body: Body) -> Result<JsonLine<Received>, UploadError> {
    measure(&name, body).await.map(JsonLine)
}

async fn put_unnamed(body: Body) -> Result<JsonLine<Received>, UploadError> {
    measure("upload", body).await.map(JsonLine)
}

/// A form from the page or from `curl -F`, or the bare bytes.
async fn post(State(app): State<App>, request: Request) -> Result<Response, UploadError> {
    let headers = request.headers().clone();
    if !header_has(&headers, header::CONTENT_TYPE, "multipart/form-data") {
        return put_unnamed(request.into_body()).await.map(IntoResponse::into_response);
    }
    let extensions = request.extensions().clone();
    let received = measure_form(request).await?;
    if header_has(&headers, header::ACCEPT, "text/html") {
        return Ok(render(&app, &headers, &extensions, Some(&received)));
    }
    Ok(JsonLine(received).into_response())
}

fn header_has(headers: &HeaderMap, name: header::HeaderName, part: &str) -> bool {
    headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains(part))
}

async fn measure(name: &str, mut body: Body) -> Result<Received, UploadError> {
    let mut meter = Meter::default();
    while let Some(frame) = body.frame().await {
        if let Some(piece) = frame.map_err(UploadError::Body)?.data_ref() {
            meter.feed(piece);
        }
    }
    Ok(meter.finish(name))
}

async fn measure_form(request: Request) -> Result<Received, UploadError> {
    let mut form = Multipart::from_request(request, &()).await.map_err(|error| UploadError::Form(error.body_text()))?;
    while let Some(field) = form.next_field().await? {
        if field.file_name().is_some() {
            return measure_field(field).await;
        }
    }
    Err(UploadError::Form("it has no file".to_owned()))
}

async fn measure_field(mut field: Field<'_>) -> Result<Received, UploadError> {
    let name = field.file_name().unwrap_or("upload").to_owned();
    let mut meter = Meter::default();
    while let Some(piece) = field.chunk().await? {
        meter.feed(&piece);
    }
    Ok(meter.finish(&name))
}

fn render(app: &App, headers: &HeaderMap, extensions: &Extensions, received: Option<&Received>) -> Response {
    let result = received.map_or_else(String::new, |received| {
        let bytes = received.bytes.to_string();
        let values = [("file", &*received.name), ("bytes", &*bytes), ("sha256", &*received.sha256)];
        fill(RESULT, &values.map(|(name, text)| (name, Value::Text(text))))
    });
    let url = pages::own_url(headers, extensions);
    let body = fill(UPLOAD, &[("result", Value::Html(&result)), ("url", Value::Text(&url))]);
    app.page("Upload", &body)
}
