//! Forms that clients send, by every provider and from any split of bytes.
#![cfg(all(unix, feature = "uploads", feature = "axum"))]

mod forms;
mod large;
mod leavings;
mod saving;
mod serving;
