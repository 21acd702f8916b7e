//! Who may come in, what is remembered of them, and how often they may ask: `cargo run -p accounts`, then
//!
//! ```text
//! curl -u ann:sesame http://localhost:8888/accounts/hello
//! curl -H 'Content-Type: application/json' -d '{"user": "ann", "password": "sesame"}' http://localhost:8888/accounts/auth/session
//! curl -H 'Authorization: Bearer THE_TOKEN' http://localhost:8888/accounts/hello
//! ```

use std::time::Duration;

use axum::http::Method;
use axum::routing::{get, post};
use axum::{Router, http::StatusCode};
use narthex::Identity;
use narthex::auth::{Auth, PasswordHash, SessionTokens, Users};
use narthex::hub::Hub;
use narthex::limits::{Limit, RateLimit};
use narthex::sessions::{Session, SessionError, Sessions};

/// What is remembered of a browser.
#[derive(Default)]
struct Visit {
    notes: Vec<String>,
}

#[tokio::main]
async fn main() -> narthex::Result<()> {
    tracing_subscriber::fmt::init();
    let prefix = std::env::args().nth(1).unwrap_or_else(|| "http://+:8888/accounts/".to_owned());
    // Cookies have to know whether the connection is encrypted.
    let server = narthex::Server::new(app()).prefix(&prefix).connection_info(true);
    server.on_ready(|prefixes| prefixes.iter().for_each(|prefix| println!("accounts are at {prefix}"))).run().await
}

fn app() -> Router {
    // Nobody tries more than ten passwords in five minutes. A real app has hashes in its database: Users::found_by.
    let users = Users::new().attempts(Limit::bucket(10, Duration::from_secs(300)));
    users.insert("ann", PasswordHash::of("sesame"));
    let auth = Auth::new("Accounts")
        .basic(users.clone())
        .session_tokens(SessionTokens::new(users))
        .token_in_protocol()
        .anonymous([Method::GET], ["/"]);
    Router::new()
        .route("/", get(async || "Everybody may read this.\n"))
        .route("/hello", get(hello))
        .route("/notes", post(note))
        .route("/ws", hub().route())
        .layer(Sessions::<Visit>::new())
        .layer(auth)
        // The last layer is the first to see a request: a flood costs no password's hash.
        .layer(RateLimit::per_ip(Limit::bucket(10, Duration::from_secs(1)).burst(20)))
}

async fn hello(identity: Identity) -> String {
    format!("Hello {}, who has come by {:?}.\n", identity.name(), identity.scheme())
}

async fn note(session: Session<Visit>, text: String) -> Result<String, SessionError> {
    let mut visit = session.lock().await?;
    visit.notes.push(text);
    Ok(format!("{} notes: {}\n", visit.notes.len(), visit.notes.join(", ")))
}

/// Tells everybody what somebody says, and who it was.
fn hub() -> Hub {
    let hub = Hub::builder().protocols(["talk"]).build();
    hub.on_connect(|mut connect| async move {
        let Some(identity) = connect.request().extensions.get::<Identity>().cloned() else {
            return Err(connect.refuse(StatusCode::FORBIDDEN, "nobody is anonymous here"));
        };
        connect.set_data(identity);
        Ok(connect)
    });
    hub.on_message(|peer, text| async move {
        if let (Some(hub), Some(identity)) = (peer.hub(), peer.data::<Identity>()) {
            hub.broadcast(format!("{}: {text}", identity.name())).send();
        }
    });
    hub
}
