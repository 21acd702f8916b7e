//! The start page: served by the demo's own process, as an app of the host that it also runs.

use std::path::Path;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, REFRESH, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tokio::sync::Notify;

use super::apps::AppName;
use super::page::{self, Page, Value, fill};
use super::supervisor::{Board, Status};

const LOBBY: &str = include_str!("pages/lobby.html");
const APP: &str = include_str!("pages/lobby_app.html");

/// What the start page knows.
#[derive(Clone, Debug)]
pub(super) struct Lobby(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    port: u16,
    socket: String,
    boards: Vec<Board>,
}

impl Lobby {
    pub(super) fn new(port: u16, socket: &Path, boards: Vec<Board>) -> Self {
        Self(Arc::new(Inner { port, socket: socket.display().to_string(), boards }))
    }

    /// Serves the root of the port; tells `ready` once it does.
    pub(super) async fn serve(self, ready: Arc<Notify>) -> anyhow::Result<()> {
        let prefix = format!("http://+:{}/", self.0.port);
        let provider = narthex::Provider::shared_at(&self.0.socket);
        let server = narthex::Server::new(self.router()).name("demo start page").prefix(prefix).provider(provider);
        // The demo itself knows when to stop.
        let server = server.with_graceful_shutdown(std::future::pending());
        server.on_ready(move |_| ready.notify_one()).run().await.map_err(Into::into)
    }

    fn router(self) -> Router {
        Router::new().route("/", get(start_page)).route("/status", get(status)).fallback(elsewhere).with_state(self)
    }
}

#[derive(Debug, Serialize)]
struct AppState {
    name: &'static str,
    running: bool,
    pid: Option<u32>,
    starts: u32,
}

#[derive(Debug, Serialize)]
struct States {
    apps: Vec<AppState>,
}

async fn status(State(lobby): State<Lobby>) -> Response {
    let apps = lobby.0.boards.iter().map(|board| {
        let Status { pid, starts } = *board.status.borrow();
        AppState { name: board.name.as_str(), running: pid.is_some(), pid, starts }
    });
    ([(CACHE_CONTROL, "no-store")], Json(States { apps: apps.collect() })).into_response()
}

async fn start_page(State(lobby): State<Lobby>) -> Response {
    let apps: String = lobby.0.boards.iter().map(card).collect();
    let (port, pid) = (lobby.0.port.to_string(), std::process::id().to_string());
    let body = fill(
        LOBBY,
        &[
            ("apps", Value::Html(&apps)),
            ("port", Value::Text(&port)),
            ("pid", Value::Text(&pid)),
            ("socket", Value::Text(&lobby.0.socket)),
        ],
    );
    page("Narthex demo", &body).into_response()
}

fn card(board: &Board) -> String {
    let Status { pid, starts } = *board.status.borrow();
    let (mood, state) = if pid.is_some() { ("good", "running") } else { ("bad", "starting again…") };
    let kill = pid.map_or_else(|| "…".to_owned(), |pid| format!("kill -9 {pid}"));
    let pid = pid.map_or_else(|| "–".to_owned(), |pid| pid.to_string());
    let starts = starts.to_string();
    let values =
        [("name", board.name.as_str()), ("mood", mood), ("state", state), ("pid", &pid), ("starts", &starts), ("kill", &kill)];
    fill(APP, &values.map(|(name, text)| (name, Value::Text(text))))
}

fn page<'a>(title: &'a str, body: &'a str) -> Page<'a> {
    Page { title, name: "Narthex demo", look: "lobby", navigation: "", body }
}

/// An app that is down for longer than its queue waits has given its prefix back: its requests come here, to the next shorter one.
async fn elsewhere(State(lobby): State<Lobby>, request: Request) -> Response {
    let path = request.uri().path();
    match AppName::owning(path).filter(|name| lobby.0.boards.iter().any(|board| board.name == *name)) {
        Some(name) => {
            let text = format!("{name} does not run at the moment. The demo is starting it again, and this page will reload.");
            let body = page::notice("One moment", &text, "/", "To the start page");
            let headers = [(RETRY_AFTER, "1"), (REFRESH, "1")];
            (StatusCode::SERVICE_UNAVAILABLE, headers, page("One moment", &body)).into_response()
        }
        None => {
            let body = page::notice("Not found", &format!("No app has {path}."), "/", "To the start page");
            (StatusCode::NOT_FOUND, page("Not found", &body)).into_response()
        }
    }
}
