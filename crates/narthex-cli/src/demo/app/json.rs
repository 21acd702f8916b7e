//! JSON that is easy on a terminal.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// A value as indented JSON, with a line end so that the shell's prompt does not stick to it.
#[derive(Debug)]
pub(super) struct JsonLine<T>(pub(super) T);

impl<T: Serialize> IntoResponse for JsonLine<T> {
    fn into_response(self) -> Response {
        match serde_json::to_string_pretty(&self.0) {
            Ok(json) => {
                let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
                (headers, json + "\n").into_response()
            }
            Err(error) => (axum::http::StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    }
}
