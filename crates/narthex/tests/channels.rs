//! The channel protocol, the same whichever provider the app runs on.
#![cfg(all(unix, feature = "axum"))]

pub(crate) mod stage;

mod events;
mod history;
mod presence;
mod protocol;
mod requests;
