//! The answer of what fails inside of an app, where the app has none: JSON that says as much as the status does.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

/// `{"error":"..."}` with the status's own name, which says nothing of the server.
pub(crate) fn json_error<B: From<String>>(status: StatusCode) -> Response<B> {
    json_error_with(status, status.canonical_reason().unwrap_or("Error"))
}

/// `{"error":"..."}` with a text for the client.
pub(crate) fn json_error_with<B: From<String>>(status: StatusCode, text: &str) -> Response<B> {
    let mut response = Response::new(B::from(serde_json::json!({ "error": text }).to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if status.is_server_error() {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
