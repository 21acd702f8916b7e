//! One of the demo's apps: an ordinary axum program that knows nothing of the other but its name.

mod chat;
mod download;
mod form;
mod json;
mod pages;
mod upload;

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use narthex::RequestQueue;
use narthex::hub::Hub;
use rustix::process::{Signal, getpid, kill_process};
use tokio::time::Instant;

use super::apps::AppName;
use crate::args::DemoAppArguments;
use crate::output::print;
use crate::stop::StopSignals;

/// How long a stopping app waits for what still runs. People wait for Ctrl-C, so it is short.
const DRAIN: Duration = Duration::from_secs(2);
/// When nothing else ended the app.
const GIVE_UP: Duration = Duration::from_secs(8);

/// The line that tells the demo that the app is registered.
pub(super) const READY: &str = "ready";

/// What every request of the app can see.
#[derive(Clone, Debug)]
struct App(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: AppName,
    prefix: String,
    started: Instant,
    requests: AtomicU64,
    chat: Hub,
}

impl App {
    fn name(&self) -> AppName {
        self.0.name
    }

    fn uptime(&self) -> Duration {
        self.0.started.elapsed()
    }
}

fn router(app: App) -> Router {
    Router::new()
        .route("/", get(pages::overview))
        .route("/info", get(pages::info))
        .route("/form", get(form::with_get).post(form::with_post))
        .merge(upload::routes())
        .route("/download", get(download::download))
        .route("/chat", get(chat::page))
        .route("/chat/socket", app.0.chat.route())
        .route("/chat/say", post(chat::say))
        .fallback(pages::not_found)
        .layer(middleware::from_fn_with_state(app.clone(), count))
        .with_state(app)
}

async fn count(State(app): State<App>, request: Request, next: Next) -> Response {
    app.0.requests.fetch_add(1, Ordering::Relaxed);
    next.run(request).await
}

/// Runs the app until it is told to stop or the demo is gone.
pub(crate) fn run(arguments: &DemoAppArguments) -> anyhow::Result<()> {
    crate::log::start("warn");
    end_with_the_demo()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(serve(arguments))
}

async fn serve(arguments: &DemoAppArguments) -> anyhow::Result<()> {
    let mut signals = StopSignals::catch().context("cannot catch signals")?;
    let app = App(Arc::new(Inner {
        name: arguments.name,
        prefix: arguments.prefix.clone(),
        started: Instant::now(),
        requests: AtomicU64::new(0),
        chat: chat::room(arguments.name),
    }));
    narthex::Server::new(router(app))
        .name(arguments.name.to_string())
        .prefix(&arguments.prefix)
        // With a name it waits for its next process: whoever kills this one loses nothing.
        .queue(RequestQueue::new().named(arguments.name.as_str()))
        .provider(narthex::Provider::shared_at(&arguments.socket))
        // Uploads are hashed and thrown away, so any size will do.
        .max_body(None)
        .shutdown_timeout(DRAIN)
        .with_graceful_shutdown(async move { signals.received().await })
        // The demo may have gone; then standard input says so.
        .on_ready(|_| print(READY))
        .run()
        .await
        .with_context(|| format!("{} cannot run", arguments.name))
}

/// Standard input is a pipe that only the demo holds open, so that however the demo ends, even by `kill -9`, no app stays.
fn end_with_the_demo() -> anyhow::Result<()> {
    std::thread::Builder::new()
        .name("demo-watch".to_owned())
        .spawn(|| {
            let mut input = std::io::stdin();
            while !matches!(input.read(&mut [0; 64]), Ok(0) | Err(_)) {}
            // The way that every other stop takes.
            let _ = kill_process(getpid(), Signal::TERM);
            std::thread::sleep(GIVE_UP);
            std::process::exit(1);
        })
        .context("cannot start a thread")?;
    Ok(())
}
