//! The HTTP/1.1 engine (RFC 9112).

mod ahead;
pub(crate) mod answer;
pub(crate) mod chunked;
mod close;
pub(crate) mod conn;
pub(crate) mod deadlines;
pub(crate) mod encode;
pub(crate) mod handle;
pub(crate) mod head;
mod output;
pub(crate) mod report;
pub(crate) mod state;
mod told;
