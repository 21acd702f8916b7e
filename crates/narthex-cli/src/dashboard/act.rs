//! What an operator does from the dashboard.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use narthex_host::admin::{AdminError, Answer, Question};
use narthex_proto::wire::Activity;
use serde::Deserialize;

use super::Inner;
use super::guard::{May, unless_may_act};
use super::look::unavailable;

/// A wish. It comes with the token, which the dashboard's own script has and no browser adds by itself: other pages cannot wish.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Wish {
    StopQueue { id: u64 },
    StartQueue { id: u64 },
    FlushCache { url: Option<String> },
    FlushLogs,
}

impl From<Wish> for Question {
    fn from(wish: Wish) -> Self {
        match wish {
            Wish::StopQueue { id } => Self::UpdateQueue { id, state: Activity::Inactive },
            Wish::StartQueue { id } => Self::UpdateQueue { id, state: Activity::Active },
            Wish::FlushCache { url } => Self::DeleteCache { recursive: url.is_some(), url },
            Wish::FlushLogs => Self::FlushLogbuffer,
        }
    }
}

pub(super) async fn act(State(inner): State<Arc<Inner>>, may: Option<Extension<May>>, Json(wish): Json<Wish>) -> Response {
    if let Some(refused) = unless_may_act(may) {
        return refused;
    }
    tracing::info!(?wish, "asked for by the dashboard");
    let question = Question::from(wish);
    match inner.ask(move |client| client.question(&question)).await {
        Ok(Answer::Done(said)) => said.into_response(),
        Ok(_) => unavailable(&AdminError::Unexpected),
        Err(AdminError::Refused(why)) => (StatusCode::CONFLICT, why).into_response(),
        Err(error) => unavailable(&error),
    }
}
