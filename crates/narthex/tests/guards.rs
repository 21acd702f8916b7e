//! Authentication, rate limits, API keys and sessions, the same whichever provider the app runs on; handshakes of WebSockets too.
#![cfg(all(unix, feature = "axum", feature = "auth", feature = "rate-limit", feature = "api-keys", feature = "sessions"))]

pub(crate) mod stage;

mod api_keys;
mod auth;
mod limits;
mod sessions;
