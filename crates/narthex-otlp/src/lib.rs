//! Spans on their way to an OpenTelemetry collector (OTLP over HTTP, protobuf).
//!
//! Who has spans gives them to an [`Outlet`], which never waits: a thread of its own sends them, in batches and one after the
//! other. What it cannot keep up with is lost and counted, and so is what a collector does not take. A collector that is dead
//! costs one attempt now and then, one line in the log, and no memory beyond the outlet's bound.

mod client;
mod endpoint;
mod exporter;
mod outlet;

pub use endpoint::{Endpoint, EndpointError};
pub use outlet::{Batch, Outlet};

/// What spans are made of.
pub use opentelemetry;
/// What spans are, and who makes them in an app.
pub use opentelemetry_sdk;
