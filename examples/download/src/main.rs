//! Downloads that can be broken off and resumed: `cargo run -p download`, then `curl -C - -o big http://localhost:8888/download/file`,
//! Ctrl-C, and the same again: it goes on where it stopped.

use std::fs::File;
use std::path::PathBuf;

use axum::Router;
use axum::extract::Request;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use narthex::files::{FileError, SendFile, StaticDir};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().init();
    // A gigabyte that takes no room on the disk.
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("file");
    File::create(&path)?.set_len(1 << 30)?;
    let app = Router::new()
        .route("/", get(|| async { Html("<a href=file>A gigabyte of nothing</a>, or <a href=files/file>as it is</a>") }))
        .route("/file", get(move |request| send(path.clone(), request)))
        .nest_service("/files", StaticDir::new(directory.path()));
    narthex::serve("http://+:8888/download/", app).await?;
    Ok(())
}

async fn send(path: PathBuf, request: Request) -> Result<impl IntoResponse, FileError> {
    Ok(SendFile::open(path).await?.download_as("Übersicht.bin").respond_to(&request))
}
