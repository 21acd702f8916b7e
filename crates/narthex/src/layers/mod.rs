//! Layers for any service of an app.

mod opaque_errors;
mod security_headers;

pub use opaque_errors::{OpaqueErrors, OpaqueErrorsService};
pub use security_headers::{SecurityHeaders, SecurityHeadersService};
