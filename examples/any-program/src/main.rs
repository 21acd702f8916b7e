//! A web server as Rust programs are without Narthex: it listens at the port in `PORT`. `apps.toml` puts it beside the two others.

use axum::{Router, http::HeaderMap, response::Html, routing::get};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let app = Router::new().route("/", get(page)).route("/whoami", get(whoami));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let ended = async move {
        terminate.recv().await;
    };
    axum::serve(listener, app).with_graceful_shutdown(ended).await?;
    Ok(())
}

async fn page() -> Html<String> {
    let process = std::process::id();
    Html(format!("<!doctype html><title>Rust</title><h1>Rust, process {process}</h1><p><a href=\"whoami\">who am I</a>"))
}

async fn whoami(headers: HeaderMap) -> String {
    let prefix = headers.get("x-forwarded-prefix").and_then(|prefix| prefix.to_str().ok()).unwrap_or_default();
    format!("{{\"program\":\"rust\",\"process\":{},\"path\":\"/whoami\",\"prefix\":\"{prefix}\"}}", std::process::id())
}
