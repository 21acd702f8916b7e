//! A file of a gigabyte as a response, and forms with files.

use std::path::PathBuf;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http_body_util::BodyExt;
use narthex::files::{FileError, SendFile};
use narthex::uploads::{Form, Uploads};

/// The file is in `directory`, and so are uploads until they are answered. Files that are `copied` come as a body of which nobody knows
/// that it is a file.
pub(crate) fn router(directory: PathBuf, copied: bool) -> Router {
    let uploads = Uploads::new().directory(&directory).memory_up_to(0);
    let file = directory.join("gigabyte");
    Router::new()
        .route("/", get(|| async { ([(http::header::CONTENT_TYPE, "text/plain")], "Hello, World!") }))
        .route("/gigabyte", get(move |request| send(file.clone(), copied, request)))
        .route("/upload", post(|form: Form| async move { form.files().first().map_or(0, |file| file.len()).to_string() }))
        .with_state(uploads)
}

async fn send(file: PathBuf, copied: bool, request: Request) -> Result<Response, FileError> {
    let response = SendFile::open(file).await?.respond_to(&request);
    if !copied {
        return Ok(response.into_response());
    }
    // A frame that was made anew is not the one that the file was offered by.
    Ok(response
        .map(|body| Body::new(body.map_frame(|frame| frame.map_data(|data| if data.is_empty() { Bytes::new() } else { data }))))
        .into_response())
}
