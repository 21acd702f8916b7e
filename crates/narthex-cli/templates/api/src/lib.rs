//! A JSON API: notes that are kept in memory. What goes wrong is JSON too: `{"error":"..."}`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use narthex::{OpaqueErrors, PathBase, SecurityHeaders};
use serde::{Deserialize, Serialize};

/// One more is refused.
const MOST_NOTES: usize = 10_000;

#[derive(Clone, Debug, Serialize)]
struct Note {
    id: u64,
    text: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewNote {
    text: String,
}

/// Clones are the same notes.
#[derive(Clone, Debug, Default)]
struct Notes(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    notes: BTreeMap<u64, Note>,
    last_id: u64,
}

impl Notes {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a request is not done.
#[derive(Debug)]
enum Refused {
    NotFound,
    NoJson(JsonRejection),
    Full,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, text) = match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "there is no such thing".to_owned()),
            Self::NoJson(rejection) => (rejection.status(), rejection.body_text()),
            Self::Full => (
                StatusCode::INSUFFICIENT_STORAGE,
                format!("there are {MOST_NOTES} notes already"),
            ),
        };
        (status, Json(serde_json::json!({ "error": text }))).into_response()
    }
}

impl From<JsonRejection> for Refused {
    fn from(rejection: JsonRejection) -> Self {
        Self::NoJson(rejection)
    }
}

/// The app: an ordinary axum router.
pub fn app() -> Router {
    Router::new()
        .route("/notes", get(list).post(add))
        .route("/notes/{id}", get(one).delete(remove))
        .fallback(|| async { Refused::NotFound })
        .with_state(Notes::default())
        .layer(OpaqueErrors)
        .layer(SecurityHeaders::new().no_store())
}

async fn list(State(notes): State<Notes>) -> Json<Vec<Note>> {
    Json(notes.kept().notes.values().cloned().collect())
}

async fn add(
    base: PathBase,
    State(notes): State<Notes>,
    new: Result<Json<NewNote>, JsonRejection>,
) -> Result<impl IntoResponse, Refused> {
    let Json(NewNote { text }) = new?;
    let mut kept = notes.kept();
    if kept.notes.len() >= MOST_NOTES {
        return Err(Refused::Full);
    }
    kept.last_id += 1;
    let note = Note {
        id: kept.last_id,
        text,
    };
    kept.notes.insert(note.id, note.clone());
    // Where it is below the app's prefix.
    let location = format!("{base}/notes/{}", note.id);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(note),
    ))
}

async fn one(State(notes): State<Notes>, Path(id): Path<u64>) -> Result<Json<Note>, Refused> {
    notes
        .kept()
        .notes
        .get(&id)
        .cloned()
        .map(Json)
        .ok_or(Refused::NotFound)
}

async fn remove(State(notes): State<Notes>, Path(id): Path<u64>) -> Result<StatusCode, Refused> {
    notes
        .kept()
        .notes
        .remove(&id)
        .map(|_| StatusCode::NO_CONTENT)
        .ok_or(Refused::NotFound)
}
