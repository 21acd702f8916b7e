//! The layers that the app of the numbered rows has, and what they are about: handlers that block, files, forms.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Path, Request};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use narthex::files::{FileError, SendFile};
use narthex::uploads::{Form, Uploads};
use narthex::{BlockingPool, OpaqueErrors, SecurityHeaders};
use serde_json::{Value, json};

use super::letters::FILE;

/// How many handlers block at a time.
pub const THREADS: usize = 2;
/// How many wait for their turn. One more is refused.
pub const WAITING: usize = 1;

/// Layers for every answer of an app: the outer one has its fields also on what the inner one answers.
pub(super) fn guarded(router: Router) -> Router {
    router.layer(OpaqueErrors).layer(SecurityHeaders::new().no_store())
}

/// Handlers that block in a pool of their own.
pub(super) fn blocking() -> Router {
    let pool = BlockingPool::new().max_threads(THREADS).queue_length(WAITING);
    let gate = Arc::new(Gate::default());
    let (seen, opened) = (pool.clone(), Arc::clone(&gate));
    let held = pool.handler(move || gate.pass());
    let slow = pool.handler(|Path(milliseconds): Path<u64>| {
        std::thread::sleep(Duration::from_millis(milliseconds));
        "done"
    });
    let panics = pool.handler(|| -> &'static str { panic!("secret words of a handler that blocks and panics on purpose") });
    Router::new()
        .route("/blocking/held", get(held))
        .route("/blocking/slow/{milliseconds}", get(slow))
        .route("/blocking/panic", get(panics))
        .route("/blocking/open", post(move || async move { opened.open() }))
        .route("/blocking", get(move || async move { Json(json!({ "running": seen.running(), "waiting": seen.waiting() })) }))
}

/// Holds whoever comes before it was opened, for at most the patience of a test.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) -> &'static str {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(open, crate::PATIENCE, |open| !*open);
        if waited.is_ok_and(|(open, _)| *open) { "done" } else { "held for too long" }
    }

    fn open(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}

/// Files that are sent, and forms that are received.
pub(super) fn files_and_forms() -> Router {
    let uploads = Uploads::new().hash_sha256(true);
    Router::new()
        .route("/file", get(|request: Request| async move { file(request, None).await }))
        .route("/download", get(|request: Request| async move { file(request, Some("testfile.txt")).await }))
        .route("/upload", post(upload))
        .with_state(uploads)
}

async fn file(request: Request, name: Option<&str>) -> Result<impl IntoResponse, FileError> {
    let file = SendFile::open(FILE).await?;
    let file = match name {
        Some(name) => file.download_as(name),
        None => file,
    };
    Ok(file.respond_to(&request))
}

async fn upload(form: Form) -> Json<Value> {
    let mut seen = json!({ "received": false });
    for (name, value) in form.fields() {
        seen[name] = value.into();
    }
    if let Some(file) = form.files().first() {
        seen["received"] = true.into();
        seen["name"] = file.file_name().into();
        seen["size"] = file.len().into();
        seen["sha256"] = file.sha256_hex().into();
    }
    Json(seen)
}
