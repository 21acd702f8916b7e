//! Keys for programs: `cargo run -p keys`, which shows the first key once, and keeps its hash in `./keys.redb`. With that key
//!
//! ```text
//! curl -H 'X-API-Key: THE_KEY' http://localhost:8888/keys/orders
//! curl -H 'X-API-Key: THE_KEY' -d bob http://localhost:8888/keys/manage/issue
//! curl -H 'X-API-Key: THE_KEY' -X POST http://localhost:8888/keys/manage/rotate/ITS_ID
//! curl -H 'X-API-Key: THE_KEY' -X DELETE http://localhost:8888/keys/manage/ITS_ID
//! curl -H 'X-API-Key: THE_KEY' http://localhost:8888/keys/manage/audit
//! ```

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use narthex::Identity;
use narthex::api_keys::{ApiKeys, ChangeError, GRACE, KeyGuard, NewKey};
use narthex::auth::Require;
use narthex::limits::{IpFilter, IpList, Limit, RateLimit};

const READ: &str = "orders:read";
const MANAGE: &str = "keys:manage";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt::init();
    let mut arguments = std::env::args().skip(1);
    let prefix = arguments.next().unwrap_or_else(|| "http://+:8888/keys/".to_owned());
    let keys = ApiKeys::open(arguments.next().map_or_else(|| PathBuf::from("keys.redb"), PathBuf::from))?;
    if keys.keys(|_| true).is_empty() {
        let (key, about) = keys.issue(NewKey::of("admin").scopes([READ, MANAGE])).await?;
        println!("the first key is {}, and its id {}", key.expose(), about.id);
    }
    let server = narthex::Server::new(app(keys)).prefix(&prefix).connection_info(true);
    server.on_ready(|prefixes| prefixes.iter().for_each(|prefix| println!("keys open {prefix}"))).run().await?;
    Ok(())
}

fn app(keys: ApiKeys) -> Router {
    let manage = Router::new()
        .route("/issue", post(issue))
        .route("/rotate/{id}", post(rotate))
        .route("/{id}", delete(revoke))
        .route("/audit", get(audit))
        .layer(Require::scope(MANAGE))
        .with_state(keys.clone());
    Router::new()
        .route("/orders", get(orders).layer(Require::scope(READ)))
        .nest("/manage", manage)
        // From the inside out, so the last is asked first: addresses, then keys, then how often a key is used.
        .layer(RateLimit::per_api_key(Limit::bucket(10, Duration::from_secs(1)).burst(20)))
        .layer(KeyGuard::new(keys))
        .layer(IpFilter::deny(IpList::default()))
}

async fn orders(identity: Identity) -> String {
    format!("the orders of {}\n", identity.name())
}

/// A key for the program that is named, for ninety days.
async fn issue(State(keys): State<ApiKeys>, owner: String) -> Result<String, StatusCode> {
    let new = NewKey::of(owner).scopes([READ]).lifetime(Duration::from_secs(90 * 86_400));
    let (key, about) = keys.issue(new).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(format!("{} {}\n", key.expose(), about.id))
}

/// Another key in the place of this one, which is good for one more day.
async fn rotate(State(keys): State<ApiKeys>, Path(id): Path<String>) -> Result<String, StatusCode> {
    let (key, about) = keys.rotate(&id, GRACE).await.map_err(|error| status(&error))?;
    Ok(format!("{} {}\n", key.expose(), about.id))
}

async fn revoke(State(keys): State<ApiKeys>, Path(id): Path<String>) -> Result<StatusCode, StatusCode> {
    keys.revoke(&id).await.map(|()| StatusCode::NO_CONTENT).map_err(|error| status(&error))
}

/// What was done last with which key.
async fn audit(State(keys): State<ApiKeys>) -> Result<String, StatusCode> {
    let entries = keys.audit_log(None, 20).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(entries.iter().fold(String::new(), |mut text, entry| {
        let _ = writeln!(text, "{} {:?}", entry.key, entry.action);
        text
    }))
}

fn status(error: &ChangeError) -> StatusCode {
    match error {
        ChangeError::Unknown(_) => StatusCode::NOT_FOUND,
        _ => StatusCode::CONFLICT,
    }
}
