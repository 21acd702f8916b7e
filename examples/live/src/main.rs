//! A server that is changed while it runs, and handlers that block: `cargo run -p live`, then
//!
//! ```text
//! curl http://localhost:8888/live/report                             # an ordinary function, on a thread of its own
//! curl -d 'http://localhost:8889/live/' http://localhost:8888/live/doors   # one door more
//! curl -X DELETE -d 'http://localhost:8888/live/' http://localhost:8889/live/doors
//! curl -X POST http://localhost:8889/live/restart
//! curl -X POST http://localhost:8889/live/stop
//! ```

use std::thread;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use narthex::{BlockingPool, OpaqueErrors, Server, ServerHandle};
use tokio::sync::watch;

#[tokio::main]
async fn main() -> narthex::Result<()> {
    tracing_subscriber::fmt::init();
    // Only this machine comes in by that name: who may stop a server should be asked more than that.
    let prefix = std::env::args().nth(1).unwrap_or_else(|| "http://localhost:8888/live/".to_owned());
    // The app has to know the server that it is an app of.
    let (tell, handle) = watch::channel(ServerHandle::default());
    let server = Server::new(app(handle)).prefix(&prefix).on_shutdown(|| println!("the server is down"));
    tell.send_replace(server.handle());
    let running = server.on_ready(|prefixes| prefixes.iter().for_each(|prefix| println!("the door is {prefix}"))).start().await?;
    running.stopped().await
}

fn app(handle: watch::Receiver<ServerHandle>) -> Router {
    let pool = BlockingPool::new().max_threads(4).queue_length(100);
    Router::new()
        .route("/report", get(pool.handler(report)))
        .route("/doors", post(open).delete(close))
        .route("/restart", post(restart))
        .route("/stop", post(stop))
        .with_state(handle)
        .layer(OpaqueErrors)
}

/// What would hold up a worker: it reads a large file, asks a database, or counts for long.
fn report() -> String {
    thread::sleep(Duration::from_millis(100));
    format!("by {}\n", thread::current().name().unwrap_or("nobody"))
}

type Handle = State<watch::Receiver<ServerHandle>>;

async fn open(State(handle): Handle, prefix: String) -> Result<String, (StatusCode, String)> {
    let handle = handle.borrow().clone();
    let opened = handle.add_prefix(prefix.trim()).await.map_err(|error| (StatusCode::CONFLICT, format!("{error}\n")))?;
    Ok(format!("{opened}\n"))
}

async fn close(State(handle): Handle, prefix: String) -> Result<StatusCode, (StatusCode, String)> {
    let handle = handle.borrow().clone();
    handle.remove_prefix(prefix.trim()).await.map_err(|error| (StatusCode::CONFLICT, format!("{error}\n")))?;
    Ok(StatusCode::NO_CONTENT)
}

/// The answer still goes out: the server waits for this handler before it restarts.
async fn restart(State(handle): Handle) -> Result<StatusCode, (StatusCode, String)> {
    let handle = handle.borrow().clone();
    handle.restart().await.map_err(|error| (StatusCode::CONFLICT, format!("{error}\n")))?;
    Ok(StatusCode::ACCEPTED)
}

async fn stop(State(handle): Handle) -> StatusCode {
    handle.borrow().stop();
    StatusCode::ACCEPTED
}
