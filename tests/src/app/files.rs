//! The app's files: a directory as it is, and each of them as a download.

use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use narthex::CachePolicy;
use narthex::files::{FileError, SendFile, StaticDir};
use serde_json::Value;

pub(super) fn add(router: Router, directory: PathBuf) -> Router {
    let files = StaticDir::new(&directory).precompressed();
    let download = move |path, query, request| download(directory.clone(), path, query, request);
    router.nest_service("/files", files).route("/download/{name}", any(download))
}

/// With `cache=SECONDS`, the host may keep it.
async fn download(
    directory: PathBuf,
    Path(name): Path<String>,
    Query(query): Query<Value>,
    request: Request,
) -> Result<Response, FileError> {
    let file = SendFile::open(directory.join(&name)).await?.download_as(name);
    let mut response = file.respond_to(&request).into_response();
    if let Some(seconds) = query["cache"].as_str().and_then(|seconds| seconds.parse().ok()) {
        response.extensions_mut().insert(CachePolicy::TimeToLive(Duration::from_secs(seconds)));
    }
    Ok(response)
}
