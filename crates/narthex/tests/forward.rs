//! Forwarding to real servers, good ones and bad ones.
#![cfg(all(unix, feature = "axum", feature = "forward"))]

pub(crate) mod stage;

mod bad_clients;
mod bad_servers;
mod connections;
mod health;
mod hooks;
mod messages;
mod protocols;
mod retries;
mod told;
mod upgrades;
