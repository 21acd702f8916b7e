//! WebSockets through a hub, the same whichever provider the app runs on.
#![cfg(all(unix, feature = "axum"))]

pub(crate) mod stage;

mod endings;
mod handshake;
mod messages;
mod rooms;
