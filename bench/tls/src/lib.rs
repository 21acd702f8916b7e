//! What the TLS peer and the load generator agree on.

/// The body of `GET /`.
pub const BODY: &str = "Hello, World!";

/// Where there is a megabyte to get.
pub const MEGABYTE_PATH: &str = "/megabyte";

/// How much that is.
pub const MEGABYTE: usize = 1 << 20;

/// The media type of small answers.
pub const MEDIA_TYPE: &str = "text/plain";
