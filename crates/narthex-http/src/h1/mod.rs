//! The HTTP/1.1 engine (RFC 9112).

pub(crate) mod answer;
pub(crate) mod chunked;
pub(crate) mod conn;
pub(crate) mod encode;
pub(crate) mod head;
mod output;
pub(crate) mod state;
