//! Pages: a guest book. Links are relative or begin with the path base, so that the app works below any prefix.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Form, State};
use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Redirect};
use axum::routing::get;
use axum::{Router, extract::DefaultBodyLimit};
use narthex::{OpaqueErrors, PathBase, SecurityHeaders};
use serde::Deserialize;

/// Older entries are forgotten.
const MOST_ENTRIES: usize = 100;

type Entries = Arc<Mutex<VecDeque<Entry>>>;

#[derive(Deserialize)]
struct Entry {
    name: String,
    text: String,
}

/// The app: an ordinary axum router.
pub fn app() -> Router {
    let policy = HeaderValue::from_static("default-src 'self'");
    Router::new()
        .route("/", get(book).post(write))
        .route("/style.css", get(style))
        .with_state(Entries::default())
        .layer(DefaultBodyLimit::max(16 * 1024))
        .layer(OpaqueErrors)
        .layer(SecurityHeaders::new().field(header::CONTENT_SECURITY_POLICY, policy))
}

async fn book(State(entries): State<Entries>) -> Html<String> {
    let entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
    let items = entries.iter().map(|entry| {
        format!(
            "<li><b>{}</b> {}",
            escaped(&entry.name),
            escaped(&entry.text)
        )
    });
    Html(include_str!("page.html").replace("<!-- entries -->", &items.collect::<String>()))
}

async fn write(
    base: PathBase,
    State(entries): State<Entries>,
    Form(entry): Form<Entry>,
) -> Redirect {
    let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
    entries.push_front(entry);
    entries.truncate(MOST_ENTRIES);
    Redirect::to(&format!("{base}/"))
}

async fn style() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/css; charset=utf-8")],
        include_str!("style.css"),
    )
}

/// What people write is text, not HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
