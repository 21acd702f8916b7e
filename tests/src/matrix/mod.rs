//! The compatibility matrix that Horse's providers are tested by, a public project: its routes as ordinary axum apps, one client for
//! every way to reach them, and rows that fail one by one. `docs/conformance.md` lists the rows.

mod active;
pub mod general;
pub mod layered;
pub mod letters;
mod rows;
mod scene;
mod wire;

pub use rows::{LIST, Rows, same, that};
pub use scene::{Http, Scene, Variant, with_http1, with_http2};
pub use wire::{Ask, Reply, Sent, Wire};
