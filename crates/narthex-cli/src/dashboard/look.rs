//! What the dashboard shows, as JSON.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use narthex_host::admin::{AdminError, Answer, Client, Question};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Inner;
use super::guard::{May, unless_may_act};

/// So much of a log's end is shown.
const TAIL: u64 = 16 * 1024;

/// Everything but the logs.
pub(super) fn view(client: &mut Client) -> Result<Value, AdminError> {
    let state = client.service_state()?;
    let Answer::Sslcerts(certificates) = client.question(&Question::ShowSslcert { binding: None })? else {
        return Err(AdminError::Unexpected);
    };
    Ok(json!({ "state": state, "certificates": certificates }))
}

pub(super) async fn state(State(inner): State<Arc<Inner>>, may: Option<Extension<May>>) -> Response {
    match inner.ask(view).await {
        Ok(mut view) => {
            view["may_act"] = json!(matches!(may, Some(Extension(May::Act))));
            fresh(Json(view))
        }
        Err(error) => unavailable(&error),
    }
}

#[derive(Deserialize)]
pub(super) struct Explain {
    url: String,
}

pub(super) async fn explain(State(inner): State<Arc<Inner>>, Query(typed): Query<Explain>) -> Response {
    let question = Question::Explain { url: typed.url, local: None, user: None };
    match inner.ask(move |client| client.question(&question)).await {
        Ok(Answer::Explanation { text, .. }) => fresh(text),
        Ok(_) => unavailable(&AdminError::Unexpected),
        Err(AdminError::Refused(why)) => (StatusCode::BAD_REQUEST, why).into_response(),
        Err(error) => unavailable(&error),
    }
}

#[derive(Deserialize)]
pub(super) struct LogName {
    site: String,
}

/// The end of a log's current file, for who has the token: there are clients' addresses in it.
pub(super) async fn log(State(inner): State<Arc<Inner>>, may: Option<Extension<May>>, Query(typed): Query<LogName>) -> Response {
    if let Some(refused) = unless_may_act(may) {
        return refused;
    }
    let found = inner.ask(move |client| {
        // What is buffered belongs to the tail.
        let _ = client.question(&Question::FlushLogbuffer)?;
        let state = client.service_state()?;
        let log = state.logs.into_iter().find(|log| log.site == typed.site);
        let file = log.and_then(|log| Some(PathBuf::from(state.log_directory).join(log.site).join(log.file?)));
        Ok(file.map(|file| tail(&file)))
    });
    match found.await {
        Ok(Some(Ok(text))) => fresh(text),
        Ok(Some(Err(error))) => (StatusCode::INTERNAL_SERVER_ERROR, format!("the log cannot be read: {error}")).into_response(),
        Ok(None) => (StatusCode::NOT_FOUND, "there is no such log, or nothing is in it yet").into_response(),
        Err(error) => unavailable(&error),
    }
}

/// Whole lines of a file's end.
fn tail(file: &Path) -> std::io::Result<String> {
    let mut file = File::open(file)?;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(match text.split_once('\n') {
        Some((_, lines)) if from > 0 => lines.to_owned(),
        _ => text.into_owned(),
    })
}

pub(super) fn unavailable(error: &AdminError) -> Response {
    (StatusCode::BAD_GATEWAY, error.to_string()).into_response()
}

fn fresh(body: impl IntoResponse) -> Response {
    ([(CACHE_CONTROL, "no-store")], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_a_log_has_whole_lines() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "one\ntwo\n").unwrap();
        assert_eq!(tail(file.path()).unwrap(), "one\ntwo\n");
        let line = "x".repeat(99) + "\n";
        std::fs::write(file.path(), line.repeat(1_000)).unwrap();
        let text = tail(file.path()).unwrap();
        assert!(text.len() > 16_000 && text.lines().all(|line| line.len() == 99), "{}", text.len());
    }
}
